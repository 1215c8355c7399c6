use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use thiserror::Error;

use crate::options::ServeOptions;
use crate::subscriber::settings::{Settings, SettingsError};

/// Parses a text message from a subscriber. Returns its new settings, or `None` if the message is
/// of an unknown type.
///
/// Jetstream reads such messages with Go's JSON decoder, and so does this: keys are matched
/// whatever their case, unknown ones are ignored, and `null` stands for nothing.
pub(crate) fn parse_update(
    text: &str,
    options: &ServeOptions,
) -> Result<Option<Settings>, UpdateError> {
    // A filter may have repetitions, and there may be fields that mean nothing.
    let most = (options.max_dids.saturating_add(options.max_collections)).saturating_mul(4);
    let message = parse_tree(text, most.saturating_add(4096))
        .map_err(|error| UpdateError::Message(error.to_string()))?;
    let (kind, payload) = match &message {
        Value::Object(_) => (field(&message, "type"), field(&message, "payload")),
        Value::Null => (None, None),
        other => return Err(UpdateError::Message(wrong_type(other, "an object"))),
    };
    match kind {
        Some(Value::String(kind)) if kind == "options_update" => {}
        None | Some(Value::String(_) | Value::Null) => return Ok(None),
        Some(other) => return Err(UpdateError::Message(wrong_type(other, "a string as type"))),
    }
    let payload = match payload {
        None => return Err(UpdateError::Payload("there is no payload".to_owned())),
        Some(payload @ (Value::Object(_) | Value::Null)) => payload,
        Some(other) => return Err(UpdateError::Payload(wrong_type(other, "an object"))),
    };
    let collections = strings(payload, "wantedCollections")?;
    let dids = strings(payload, "wantedDids")?;
    let size = match field(payload, "maxMessageSizeBytes") {
        None | Some(Value::Null) => 0,
        Some(size) => size.as_i64().ok_or_else(|| {
            UpdateError::Payload(wrong_type(size, "an integer as maxMessageSizeBytes"))
        })?,
    };
    Ok(Some(Settings::new(&collections, &dids, size, options)?))
}

/// Why a message is refused. The text is the reason that the connection is closed with.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum UpdateError {
    #[error("failed to unmarshal subscriber sourced message: {0}")]
    Message(String),
    #[error("failed to unmarshal subscriber options update: {0}")]
    Payload(String),
    #[error("failed to parse subscriber options: {0}")]
    Settings(#[from] SettingsError),
}

/// Parses JSON with up to `most` values. Without that limit, a message of short values takes far
/// more memory than its text.
fn parse_tree(text: &str, most: usize) -> serde_json::Result<Value> {
    let left = Cell::new(most);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let tree = Tree { left: &left }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(tree)
}

/// Makes a [`Value`] until no values are left.
#[derive(Clone, Copy)]
struct Tree<'a> {
    left: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let left = self.left.get().checked_sub(1);
        let left = left.ok_or_else(|| D::Error::custom("there are too many values"))?;
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(value) = values.next_element_seed(self)? {
            array.push(value);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            object.insert(name, fields.next_value_seed(self)?);
        }
        Ok(Value::Object(object))
    }
}

/// A field by its name in any case; of several the last.
fn field<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let fields = object.as_object()?;
    let exact = fields.get(name);
    exact.or_else(|| {
        fields
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .next_back()
    })
}

fn strings<'a>(payload: &'a Value, name: &'static str) -> Result<Vec<&'a str>, UpdateError> {
    let wrong = |value: &Value| {
        UpdateError::Payload(format!(
            "{name}: {}",
            wrong_type(value, "an array of strings")
        ))
    };
    match field(payload, name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(values)) => values
            .iter()
            .map(|value| match value {
                Value::Null => Ok(""),
                value => value.as_str().ok_or_else(|| wrong(value)),
            })
            .collect(),
        Some(other) => Err(wrong(other)),
    }
}

fn wrong_type(value: &Value, expected: &str) -> String {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    format!("expected {expected}, found {found}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_has_but_so_many_values() {
        let text = r#"{"a":[1,-1,0.5,true,null,"b"],"c":{}}"#;
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(parse_tree(text, 9).unwrap(), value);
        let error = parse_tree(text, 8).unwrap_err().to_string();
        assert!(error.starts_with("there are too many values"), "{error}");
        assert!(parse_tree("{} {}", 9).is_err());
    }
}
