//! The parts of an event's line that the log's index does not have, borrowed from it.

use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Default, Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow)]
    pub(super) commit: Option<CommitLine<'a>>,
    #[serde(borrow)]
    pub(super) identity: Option<Message<'a>>,
    #[serde(borrow)]
    pub(super) account: Option<Message<'a>>,
}

#[derive(Deserialize)]
pub(super) struct CommitLine<'a> {
    pub(super) rev: &'a str,
    pub(super) rkey: &'a str,
    #[serde(borrow)]
    pub(super) record: Option<&'a RawValue>,
    pub(super) cid: Option<&'a str>,
}

#[derive(Deserialize)]
pub(super) struct Message<'a> {
    pub(super) seq: u64,
    pub(super) time: &'a str,
}
