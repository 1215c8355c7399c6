use super::error::V2Error;
use crate::line_head::LineHead;

/// Appends `line` with the field `cursor`, an event's position in its log, between `time_us` and
/// `kind`, as `/subscribe` of Jetstream version 2 has it.
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
/// use jetwash_event::write_with_cursor;
///
/// let line = br#"{"did":"did:web:a.b","time_us":1,"kind":"identity","identity":{}}"#;
/// let mut out = Vec::new();
/// write_with_cursor(line, 42, &mut out)?;
/// assert_eq!(
///     out,
///     br#"{"did":"did:web:a.b","time_us":1,"cursor":42,"kind":"identity","identity":{}}"#,
/// );
/// # Ok::<(), jetwash_event::V2Error>(())
/// ```
pub fn write_with_cursor(line: &[u8], seq: u64, out: &mut Vec<u8>) -> Result<(), V2Error> {
    let mut head = LineHead::new(line);
    head.literal(br#"{"did":"#)?;
    head.string()?;
    head.literal(br#","time_us":"#)?;
    head.digits()?;
    let rest = head.bytes();
    head.literal(br#","kind":"#)?;
    out.extend_from_slice(&line[..line.len() - rest.len()]);
    out.extend_from_slice(br#","cursor":"#);
    out.extend_from_slice(itoa::Buffer::new().format(seq).as_bytes());
    out.extend_from_slice(rest);
    Ok(())
}
