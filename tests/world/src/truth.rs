//! The events of the network, by the network itself and not by what was decoded.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use jetwash_cbor::Cid;
use jetwash_sim::{SimEvent, SimFrame};
use serde_json::Value;

/// A frame of the network, as all relays send it but for its number.
#[derive(Clone)]
pub(crate) struct TruthFrame {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) did: Arc<str>,
    /// Its events, each in one line that says all that has to be right.
    pub(crate) events: Vec<String>,
}

impl TruthFrame {
    pub(crate) fn of(frame: SimFrame) -> Self {
        let did = &frame.did;
        let events = match &frame.event {
            SimEvent::Commit(commit) => commit
                .ops
                .iter()
                .map(|op| {
                    let cid = op
                        .cid
                        .as_ref()
                        .map_or_else(String::new, ToString::to_string);
                    let (rev, action) = (&commit.rev, op.action.as_str());
                    format!("{did} {rev} {action} {}/{} {cid}", op.collection, op.rkey)
                })
                .collect(),
            SimEvent::Identity { handle } => {
                let handle = handle.as_deref().unwrap_or_default();
                vec![format!("{did} identity {} {handle}", frame.time)]
            }
            SimEvent::Account { active, status } => {
                let status = status.unwrap_or_default();
                vec![format!("{did} account {} {active} {status}", frame.time)]
            }
            SimEvent::Sync { rev, commit } => {
                vec![format!("{did} sync {} {rev} {commit}", frame.time)]
            }
            _ => Vec::new(),
        };
        Self {
            bytes: frame.bytes.into(),
            did: Arc::clone(&frame.did),
            events,
        }
    }
}

/// The same of a line of the log; `None` if it is not compared.
pub(crate) fn event_of(line: &Value) -> Option<String> {
    let text = |part: &Value, name: &str| part[name].as_str().unwrap_or_default().to_owned();
    let did = text(line, "did");
    Some(match line["kind"].as_str()? {
        "commit" => {
            let commit = &line["commit"];
            let (rev, action) = (text(commit, "rev"), text(commit, "operation"));
            let (collection, rkey) = (text(commit, "collection"), text(commit, "rkey"));
            format!(
                "{did} {rev} {action} {collection}/{rkey} {}",
                text(commit, "cid")
            )
        }
        "identity" => {
            let identity = &line["identity"];
            format!(
                "{did} identity {} {}",
                text(identity, "time"),
                text(identity, "handle")
            )
        }
        "account" => {
            let account = &line["account"];
            let (time, status) = (text(account, "time"), text(account, "status"));
            format!("{did} account {time} {} {status}", account["active"])
        }
        "sync" => {
            let sync = &line["sync"];
            let (time, rev) = (text(sync, "time"), text(sync, "rev"));
            let commit = root(sync["blocks"]["$bytes"].as_str()?);
            format!("{did} sync {time} {rev} {commit}")
        }
        _ => return None,
    })
}

/// The root that the head of a CAR file names, which comes first in it; empty without one.
fn root(blocks: &str) -> String {
    /// A link of 36 bytes: the tag, the head of the bytes, and the zero before a binary CID.
    const LINK: &[u8] = &[0xd8, 0x2a, 0x58, 37, 0];
    let blocks = STANDARD_NO_PAD.decode(blocks.trim_end_matches('='));
    let blocks = blocks.unwrap_or_default();
    let at = blocks.windows(LINK.len()).position(|part| part == LINK);
    let root = at.and_then(|at| blocks[at + LINK.len()..].get(..36));
    let root = root.and_then(|bytes| Cid::from_bytes(bytes).ok());
    root.map_or_else(String::new, |root| root.to_string())
}

/// The frame with another number.
pub(crate) fn renumber(frame: &[u8], seq: u64) -> Vec<u8> {
    const KEY: &[u8] = b"\x63seq";
    let at = frame.windows(KEY.len()).position(|four| four == KEY);
    let at = at.expect("a frame has a number") + KEY.len();
    let head = match frame[at] & 0x1f {
        0..=23 => 1,
        24 => 2,
        25 => 3,
        26 => 5,
        _ => 9,
    };
    let mut number = Vec::with_capacity(9);
    match seq {
        0..=23 => number.push(seq as u8),
        24..=0xff => number.extend([24, seq as u8]),
        0x100..=0xffff => {
            number.push(25);
            number.extend((seq as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            number.push(26);
            number.extend((seq as u32).to_be_bytes());
        }
        _ => {
            number.push(27);
            number.extend(seq.to_be_bytes());
        }
    }
    let frame = [&frame[..at], &number, &frame[at + head..]].concat();
    let peeked = jetwash::frame::peek(&frame).expect("a frame that can be read");
    assert_eq!(peeked.seq, Some(seq), "another number was replaced");
    frame
}
