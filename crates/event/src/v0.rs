use thiserror::Error;

use crate::line_head::{LineHead, Unexpected};

/// Appends `line` in Jetstream's first shape: `type` `com`, `id` or `acc` in place of `kind`, and
/// in a commit `type` `c`, `u` or `d` in place of `operation`.
///
/// Only the head of the line is read; the rest is copied.
///
/// # Errors
///
/// When `line` does not begin as an event of version 1 does; `out` is then left as it was.
///
/// # Examples
///
/// ```
/// use jetwash_event::write_v0;
///
/// let line = br#"{"did":"did:web:a.b","time_us":1,"kind":"commit","commit":{"rev":"2","operation":"create"}}"#;
/// let mut out = Vec::new();
/// write_v0(line, &mut out)?;
/// assert_eq!(
///     out,
///     br#"{"did":"did:web:a.b","time_us":1,"type":"com","commit":{"rev":"2","type":"c"}}"#,
/// );
/// # Ok::<(), jetwash_event::V0Error>(())
/// ```
pub fn write_v0(line: &[u8], out: &mut Vec<u8>) -> Result<(), V0Error> {
    // Nothing is written before the whole head has been read, so an error leaves `out` alone.
    let mut rest = LineHead::new(line);
    rest.literal(br#"{"did":"#)?;
    rest.string()?;
    rest.literal(br#","time_us":"#)?;
    rest.digits()?;
    let kind = rest.position();
    rest.literal(br#","kind":"#)?;
    let (old_kind, body): (&[u8], _) = match rest.string()? {
        br#""commit""# => (br#","type":"com""#, &br#","commit":{"#[..]),
        br#""identity""# => (br#","type":"id""#, br#","identity":{"#),
        br#""account""# => (br#","type":"acc""#, br#","account":{"#),
        _ => return Err(rest.error().into()),
    };
    let kind_end = rest.position();
    rest.literal(body)?;
    let mut operation = rest.position()..rest.position();
    let mut old_operation: &[u8] = b"";
    if old_kind == br#","type":"com""# {
        if rest.literal(br#""rev":"#).is_ok() {
            rest.string()?;
            rest.literal(b",")?;
        }
        operation.start = rest.position();
        rest.literal(br#""operation":"#)?;
        old_operation = match rest.string()? {
            br#""create""# => br#""type":"c""#,
            br#""update""# => br#""type":"u""#,
            br#""delete""# => br#""type":"d""#,
            _ => return Err(rest.error().into()),
        };
        operation.end = rest.position();
    }
    if !line.ends_with(b"}}") {
        return Err(V0Error { offset: line.len() });
    }
    out.extend_from_slice(&line[..kind]);
    out.extend_from_slice(old_kind);
    out.extend_from_slice(&line[kind_end..operation.start]);
    out.extend_from_slice(old_operation);
    out.extend_from_slice(&line[operation.end..]);
    Ok(())
}

/// A line that does not begin as an event of version 1 does.
///
/// # Examples
///
/// ```
/// use jetwash_event::{V0Error, write_v0};
///
/// let line = br#"{"time_us":1}"#;
/// assert_eq!(write_v0(line, &mut Vec::new()), Err(V0Error { offset: 0 }));
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not an event of Jetstream version 1 from byte {offset} on")]
pub struct V0Error {
    /// The first byte that does not fit.
    pub offset: usize,
}

impl From<Unexpected> for V0Error {
    fn from(Unexpected { offset }: Unexpected) -> Self {
        Self { offset }
    }
}
