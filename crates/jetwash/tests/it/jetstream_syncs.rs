//! Syncs that a Jetstream of version 2 brings, whose blocks may be absent, too long or of another.

use std::error::Error;
use std::future::pending;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use jetwash::client::{ClientEvent, Protocol};
use jetwash::frame::Frame;
use jetwash::store::Store;
use jetwash::{Jetstream, Snapshot, Source, SourceHandle};
use jetwash_cbor::{Cid, Codec};
use jetwash_sim::{ManualNetwork, SimChange, did};
use serde_json::{Value, json};

use crate::lines;

const PATIENCE: Duration = Duration::from_secs(60);

/// A Jetstream that has sent these messages, and no more.
struct Sent(Vec<String>);

impl Source for Sent {
    fn name(&self) -> &'static str {
        "jetstream"
    }

    async fn run(&mut self, handle: SourceHandle) -> Result<(), Box<dyn Error + Send + Sync>> {
        let parse = |text: &String| ClientEvent::parse(Protocol::V2, text.clone());
        let events: Result<Vec<_>, _> = self.0.iter().map(parse).collect();
        let events = events.map_err(|malformed| format!("{malformed:?}"))?;
        handle.events(events, Some(1)).await?;
        pending().await
    }
}

/// Takes messages in, and returns the log and the counts.
async fn taken(messages: Vec<String>) -> (Store, Snapshot) {
    let (jetstream, ingest) = Jetstream::builder().source(Sent(messages)).build().unwrap();
    let all = async {
        while jetstream.source_cursor("jetstream") != Some(1) {
            tokio::task::yield_now().await;
        }
    };
    let ingest = ingest.run(async { tokio::time::timeout(PATIENCE, all).await.unwrap() });
    ingest.await.unwrap();
    (jetstream.store().clone(), jetstream.snapshot())
}

/// The blocks of an account's `#sync`, and its revision.
fn sync_of(account: u64) -> (Vec<u8>, String) {
    let note = json!({"$type": "com.example.note"});
    let changes = [
        SimChange::create(did(account), "com.example.note", "a", note),
        SimChange::sync(did(account)),
    ];
    let frames = ManualNetwork::new().apply_all(&changes).unwrap();
    match Frame::decode(&frames[1].bytes).unwrap() {
        Frame::Sync(sync) => (sync.blocks.to_vec(), sync.rev.to_owned()),
        other => panic!("{other:?}"),
    }
}

/// The message of version 2 with a sync of the first account.
fn message(blocks: &[u8], rev: &str, second: u8) -> String {
    let (did, blocks) = (did(0), STANDARD_NO_PAD.encode(blocks));
    let time = format!("2026-07-04T14:38:{second:02}Z");
    format!(
        r#"{{"$type":"message","payload":{{"$type":"network.bsky.jetstream.subscribeEvents#sync","did":"{did}","seq":{second},"sync":{{"blocks":{{"$bytes":"{blocks}"}},"did":"{did}","rev":"{rev}","seq":7,"time":"{time}"}},"time":"2026-07-04T14:38:07.000000Z"}}}}"#
    )
}

/// The blocks with one more behind them, so that they are this long.
fn padded(blocks: &[u8], length: usize) -> Vec<u8> {
    // The length of a section has two bytes here, and a CID has 36.
    let block = vec![0xf6; length - blocks.len() - 2 - 36];
    let section = block.len() + 36;
    let head = [section as u8 & 0x7f | 0x80, (section >> 7) as u8];
    let cid = Cid::of(Codec::DagCbor, &block);
    [blocks, &head, cid.as_bytes(), &block].concat()
}

/// The bytes of the blocks of each event.
fn lengths(log: &Store) -> Vec<usize> {
    let length = |line: &String| {
        let line: Value = serde_json::from_str(line).unwrap();
        let blocks = line["sync"]["blocks"]["$bytes"]
            .as_str()
            .unwrap()
            .to_owned();
        STANDARD_NO_PAD.decode(blocks).unwrap().len()
    };
    lines(log).iter().map(length).collect()
}

#[tokio::test]
async fn a_sync_without_blocks_is_an_event_that_has_none() {
    let (blocks, rev) = sync_of(0);
    let messages = vec![message(&[], &rev, 1), message(&blocks, &rev, 2)];
    // Once more: they are known.
    let messages = [messages.clone(), messages].concat();
    let (log, snapshot) = taken(messages).await;
    assert_eq!(lengths(&log), [0, blocks.len()]);
    assert_eq!((snapshot.repeated, snapshot.dropped.len()), (2, 0));
}

#[tokio::test]
async fn blocks_of_a_sync_have_up_to_ten_thousand_bytes() {
    let (blocks, rev) = sync_of(0);
    let messages = vec![
        message(&padded(&blocks, 10_001), &rev, 1),
        message(&padded(&blocks, 10_000), &rev, 2),
        message(&padded(&blocks, 16_000), &rev, 3),
    ];
    let (log, snapshot) = taken(messages).await;
    assert_eq!(lengths(&log), [10_000]);
    assert_eq!(snapshot.dropped["frame_over_limit"], 2);
    assert_eq!(snapshot.dropped.values().sum::<u64>(), 2);
}

#[tokio::test]
async fn blocks_of_another_account_or_revision_or_none_at_all_cost_the_sync() {
    let (blocks, rev) = sync_of(0);
    let (others, others_rev) = sync_of(1);
    let other = format!("{}7", &rev[..12]);
    assert_ne!(other, rev);
    let later = message(&blocks, &rev, 5);
    let messages = vec![
        message(&others, &others_rev, 1),
        message(&blocks, &other, 2),
        message(b"no CAR file", &rev, 3),
        message(&blocks[..blocks.len() - 1], &rev, 4),
        later.replace("$bytes\":\"", "$bytes\":\"!"),
        message(&blocks, &rev, 6),
    ];
    let (log, snapshot) = taken(messages).await;
    assert_eq!(lengths(&log), [blocks.len()]);
    let dropped = &snapshot.dropped;
    assert_eq!(dropped.values().sum::<u64>(), 5, "{dropped:?}");
}
