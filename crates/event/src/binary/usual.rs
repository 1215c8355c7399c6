use crate::kind::Operation;
use crate::micros::Micros;
use crate::to_cbor::plain_length;

/// The line of a commit as this crate and Jetstream write it: its fields in their order, without white
/// space, and without escapes outside of the record.
pub(super) struct UsualCommit<'a> {
    pub(super) did: &'a str,
    pub(super) time_us: Micros,
    pub(super) rev: &'a str,
    pub(super) operation: Operation,
    pub(super) collection: &'a str,
    pub(super) rkey: &'a str,
    /// The rest of the line after the record key: the record and its CID, or the end.
    pub(super) rest: &'a str,
}

impl<'a> UsualCommit<'a> {
    /// Reads a line up to its record; `None` if it is another line.
    pub(super) fn read(line: &'a str) -> Option<Self> {
        let rest = line.strip_prefix(r#"{"did":"#)?;
        let (did, rest) = plain_string(rest)?;
        let rest = rest.strip_prefix(r#","time_us":"#)?;
        let end = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let (time_us, rest) = rest.split_at(end);
        // JSON has no number that begins with a zero.
        if time_us.starts_with('0') {
            return None;
        }
        let time_us = Micros::new(time_us.parse().ok()?);
        let rest = rest.strip_prefix(r#","kind":"commit","commit":{"rev":"#)?;
        let (rev, rest) = plain_string(rest)?;
        let (operation, rest) = plain_string(rest.strip_prefix(r#","operation":"#)?)?;
        let operations = [Operation::Create, Operation::Update, Operation::Delete];
        let (collection, rest) = plain_string(rest.strip_prefix(r#","collection":"#)?)?;
        let (rkey, rest) = plain_string(rest.strip_prefix(r#","rkey":"#)?)?;
        Some(Self {
            did,
            time_us,
            rev,
            operation: operations.into_iter().find(|it| it.as_str() == operation)?,
            collection,
            rkey,
            rest,
        })
    }
}

/// Divides what begins with a string that has no escapes into the string and what follows.
fn plain_string(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('"')?;
    let (string, rest) = text.split_at_checked(plain_length(text.as_bytes()))?;
    Some((string, rest.strip_prefix('"')?))
}
