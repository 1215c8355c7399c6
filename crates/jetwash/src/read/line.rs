use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Where in an event's line the parts are that the log's index does not have, so that the line is
/// parsed once however many of them are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) commit: Option<CommitLine>,
    /// Of an identity, an account or a sync.
    pub(super) message: Option<Message>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CommitLine {
    pub(super) rev: Span,
    pub(super) rkey: Span,
    pub(super) record: Option<Span>,
    pub(super) cid: Option<Span>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) seq: u64,
    pub(super) time: Span,
    /// Of a sync alone.
    pub(super) rev: Option<Span>,
}

/// A part of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Line {
    /// Parses a line; a part that is not there is `None`.
    pub(super) fn parse(json: &str) -> Self {
        // Our own encoder wrote the line, and wrote nothing in these fields that needs an escape,
        // so that each is a part of the line as it stands.
        let parsed = serde_json::from_str::<Parsed<'_>>(json);
        debug_assert!(parsed.is_ok(), "the log holds a line that is not an event");
        let parsed = parsed.unwrap_or_default();
        let message = parsed.identity.or(parsed.account).or(parsed.sync);
        Self {
            commit: parsed.commit.and_then(|commit| commit.place_in(json)),
            message: message.and_then(|message| message.place_in(json)),
        }
    }
}

impl Span {
    /// The place of a part in the line that it was borrowed from; `None` if it is not from there.
    fn of(part: &str, line: &str) -> Option<Self> {
        let start = part.as_ptr().addr().checked_sub(line.as_ptr().addr())?;
        let end = start.checked_add(part.len())?;
        (end <= line.len()).then_some(())?;
        Some(Self {
            start: u32::try_from(start).ok()?,
            end: u32::try_from(end).ok()?,
        })
    }

    /// The part of the line that this was found in.
    pub(super) fn cut(self, line: &str) -> &str {
        let range: Range<usize> = self.start as usize..self.end as usize;
        debug_assert!(line.get(range.clone()).is_some(), "a part of another line");
        line.get(range).unwrap_or_default()
    }
}

#[derive(Default, Deserialize)]
struct Parsed<'a> {
    #[serde(borrow)]
    commit: Option<ParsedCommit<'a>>,
    #[serde(borrow)]
    identity: Option<ParsedMessage<'a>>,
    #[serde(borrow)]
    account: Option<ParsedMessage<'a>>,
    #[serde(borrow)]
    sync: Option<ParsedMessage<'a>>,
}

#[derive(Deserialize)]
struct ParsedCommit<'a> {
    rev: &'a str,
    rkey: &'a str,
    #[serde(borrow)]
    record: Option<&'a RawValue>,
    cid: Option<&'a str>,
}

impl ParsedCommit<'_> {
    fn place_in(&self, line: &str) -> Option<CommitLine> {
        let record = self.record.map(RawValue::get);
        Some(CommitLine {
            rev: Span::of(self.rev, line)?,
            rkey: Span::of(self.rkey, line)?,
            record: record.and_then(|record| Span::of(record, line)),
            cid: self.cid.and_then(|cid| Span::of(cid, line)),
        })
    }
}

#[derive(Deserialize)]
struct ParsedMessage<'a> {
    seq: u64,
    time: &'a str,
    rev: Option<&'a str>,
}

impl ParsedMessage<'_> {
    fn place_in(&self, line: &str) -> Option<Message> {
        Some(Message {
            seq: self.seq,
            time: Span::of(self.time, line)?,
            rev: self.rev.and_then(|rev| Span::of(rev, line)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_where_they_stand() {
        let json = r#"{"did":"did:web:a.example","time_us":7,"kind":"commit","commit":{"rev":"3l3","operation":"create","collection":"a.b.c","rkey":"self","record":{"text":"é"},"cid":"bafy"}}"#;
        let line = Line::parse(json);
        let commit = line.commit.expect("a commit");
        assert_eq!(commit.rev.cut(json), "3l3");
        assert_eq!(commit.rkey.cut(json), "self");
        let record = commit.record.map(|record| record.cut(json));
        assert_eq!(record, Some(r#"{"text":"é"}"#));
        assert_eq!(commit.cid.map(|cid| cid.cut(json)), Some("bafy"));
        assert_eq!(line.message, None);
    }

    #[test]
    fn a_sync_has_a_revision_and_the_relays_number_and_time() {
        let json = r#"{"did":"did:web:a.example","time_us":7,"kind":"sync","sync":{"blocks":{"$bytes":"oA"},"did":"did:web:a.example","rev":"3l3","seq":5,"time":"t"}}"#;
        let message = Line::parse(json).message.expect("a message");
        assert_eq!((message.seq, message.time.cut(json)), (5, "t"));
        assert_eq!(message.rev.map(|rev| rev.cut(json)), Some("3l3"));
    }

    #[test]
    fn a_part_of_another_text_has_no_place() {
        assert_eq!(Span::of("elsewhere", "here"), None);
    }
}
