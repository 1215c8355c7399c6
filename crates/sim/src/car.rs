use jetwash_cbor::{CborWriter, Cid};

/// Writes a CAR file of version 1.
///
/// Source: the CAR specification, version 1.
#[derive(Clone, Debug)]
pub(crate) struct CarWriter {
    bytes: Vec<u8>,
}

impl CarWriter {
    pub(crate) fn new(root: &Cid) -> Self {
        let mut header = CborWriter::new();
        header.map(2).text("roots").array(1).link(root);
        header.text("version").unsigned(1);
        let header = header.into_bytes();
        let mut bytes = Vec::with_capacity(6 * 1024);
        write_varint(&mut bytes, header.len());
        bytes.extend_from_slice(&header);
        Self { bytes }
    }

    pub(crate) fn block(&mut self, cid: &Cid, content: &[u8]) {
        write_varint(&mut self.bytes, Cid::LENGTH + content.len());
        self.bytes.extend_from_slice(cid.as_bytes());
        self.bytes.extend_from_slice(content);
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

fn write_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
