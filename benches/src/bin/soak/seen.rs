use std::borrow::Cow;
use std::hash::{DefaultHasher, Hasher};

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::truth::digest;

/// An event as a subscriber got it.
pub(crate) struct Seen {
    /// The digest of the same fields that the truth has.
    pub(crate) content: u64,
    /// Its position in the log, where the wire has it.
    pub(crate) seq: Option<u64>,
    pub(crate) time: u64,
    /// A digest of the whole text, without a position that only some ask for; never 0.
    pub(crate) text: u32,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    did: Cow<'a, str>,
    time_us: u64,
    cursor: Option<u64>,
    #[serde(borrow)]
    commit: Option<Commit<'a>>,
    #[serde(borrow)]
    identity: Option<Notice<'a>>,
    #[serde(borrow)]
    account: Option<Notice<'a>>,
}

#[derive(Deserialize)]
struct Commit<'a> {
    #[serde(borrow)]
    rev: Cow<'a, str>,
    #[serde(borrow)]
    operation: Cow<'a, str>,
    #[serde(borrow)]
    collection: Cow<'a, str>,
    #[serde(borrow)]
    rkey: Cow<'a, str>,
    #[serde(borrow)]
    cid: Option<Cow<'a, str>>,
    record: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Notice<'a> {
    #[serde(borrow)]
    did: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    handle: Option<Cow<'a, str>>,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    active: Option<bool>,
    #[serde(borrow)]
    rev: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    payload: Payload<'a>,
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    did: Cow<'a, str>,
    seq: u64,
    #[serde(borrow)]
    time: Cow<'a, str>,
    /// The fields of a commit are those of the payload.
    #[serde(borrow)]
    rev: Option<Cow<'a, str>>,
    #[serde(borrow)]
    operation: Option<Cow<'a, str>>,
    #[serde(borrow)]
    collection: Option<Cow<'a, str>>,
    #[serde(borrow)]
    rkey: Option<Cow<'a, str>>,
    #[serde(borrow)]
    cid: Option<Cow<'a, str>>,
    record: Option<IgnoredAny>,
    #[serde(borrow)]
    identity: Option<Notice<'a>>,
    #[serde(borrow)]
    account: Option<Notice<'a>>,
    #[serde(borrow)]
    sync: Option<Notice<'a>>,
}

impl Seen {
    /// Reads a line of version 1.
    pub(crate) fn line(text: &[u8]) -> Option<Self> {
        let line: Line<'_> = serde_json::from_slice(text).ok()?;
        let content = match (&line.commit, &line.identity, &line.account) {
            (Some(commit), None, None) => commit.content(&line.did)?,
            (None, Some(identity), None) => identity.identity(&line.did)?,
            (None, None, Some(account)) => account.account(&line.did)?,
            _ => return None,
        };
        let mut hasher = DefaultHasher::new();
        match line.cursor {
            None => hasher.write(text),
            Some(cursor) => {
                let field = format!("\"cursor\":{cursor},");
                let mut windows = text.windows(field.len());
                let at = windows.position(|window| window == field.as_bytes())?;
                // In one piece, as a line without it.
                hasher.write(&[&text[..at], &text[at + field.len()..]].concat());
            }
        }
        Some(Self {
            content,
            seq: line.cursor,
            time: line.time_us,
            text: (hasher.finish() as u32).max(1),
        })
    }

    /// Reads a message of version 2.
    pub(crate) fn message(text: &[u8]) -> Option<Self> {
        let Message { payload } = serde_json::from_slice(text).ok()?;
        let content = if let Some(identity) = &payload.identity {
            identity.identity(&payload.did)?
        } else if let Some(account) = &payload.account {
            account.account(&payload.did)?
        } else if let Some(sync) = &payload.sync {
            sync.sync(&payload.did)?
        } else {
            let commit = Commit {
                rev: payload.rev?,
                operation: payload.operation?,
                collection: payload.collection?,
                rkey: payload.rkey?,
                cid: payload.cid,
                record: payload.record,
            };
            commit.content(&payload.did)?
        };
        let mut hasher = DefaultHasher::new();
        hasher.write(text);
        Some(Self {
            content,
            seq: Some(payload.seq),
            time: micros(&payload.time)?,
            text: (hasher.finish() as u32).max(1),
        })
    }
}

impl Commit<'_> {
    fn content(&self, did: &str) -> Option<u64> {
        // Only a deletion has neither.
        let has_record = self.operation != "delete";
        if self.cid.is_some() != has_record || self.record.is_some() != has_record {
            return None;
        }
        let cid = self.cid.as_deref().unwrap_or_default();
        let (rev, operation) = (&*self.rev, &*self.operation);
        Some(digest(&[
            did,
            rev,
            operation,
            &self.collection,
            &self.rkey,
            cid,
        ]))
    }
}

impl Notice<'_> {
    fn identity(&self, did: &str) -> Option<u64> {
        let handle = self.handle.as_deref().unwrap_or_default();
        (self.did == did).then(|| digest(&[did, &self.time, handle]))
    }

    fn account(&self, did: &str) -> Option<u64> {
        let active = if self.active? { "true" } else { "false" };
        let status = self.status.as_deref().unwrap_or_default();
        (self.did == did).then(|| digest(&[did, &self.time, active, status]))
    }

    fn sync(&self, did: &str) -> Option<u64> {
        let rev = self.rev.as_deref()?;
        (self.did == did).then(|| digest(&[did, &self.time, rev, "sync", ""]))
    }
}

/// Microseconds since 1970 of `2026-01-01T00:00:00.000000Z`.
fn micros(text: &str) -> Option<u64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if text.get(19..20)? != "." || text.get(26..)? != "Z" || !(1..=12).contains(&month) {
        return None;
    }
    // Years that begin with March have the day that some lack at their end.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some(seconds * 1_000_000 + number(20, 26)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_microseconds_since_1970() {
        assert_eq!(micros("1970-01-01T00:00:00.000001Z"), Some(1));
        assert_eq!(
            micros("2026-01-01T00:00:00.000000Z"),
            Some(1_767_225_600_000_000)
        );
        assert_eq!(
            micros("2024-02-29T23:59:59.999999Z"),
            Some(1_709_251_199_999_999)
        );
        assert_eq!(micros("2026-01-01T00:00:00Z"), None);
    }
}
