use jetwash_cbor::{CborWriter, Cid};

/// A value of the data model, to be written as DAG-CBOR.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Array(Vec<Self>),
    Integer(i64),
    Boolean(bool),
    Link(Cid),
    Map(Vec<(&'static str, Self)>),
    Text(String),
    Word(&'static str),
}

impl Value {
    /// The bytes, with the keys of every map in canonical order.
    pub(crate) fn encode(mut self) -> Vec<u8> {
        let mut writer = CborWriter::new();
        self.write(&mut writer);
        writer.into_bytes()
    }

    fn write(&mut self, writer: &mut CborWriter) {
        match self {
            Self::Array(items) => {
                writer.array(items.len());
                items.iter_mut().for_each(|item| item.write(writer));
            }
            Self::Integer(value) => _ = writer.integer(*value),
            Self::Boolean(value) => _ = writer.boolean(*value),
            Self::Link(cid) => _ = writer.link(cid),
            Self::Map(pairs) => {
                pairs.sort_unstable_by_key(|(key, _)| (key.len(), *key));
                writer.map(pairs.len());
                for (key, value) in pairs {
                    value.write(writer.text(key));
                }
            }
            Self::Text(text) => _ = writer.text(text),
            Self::Word(text) => _ = writer.text(text),
        }
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Word(text)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}
