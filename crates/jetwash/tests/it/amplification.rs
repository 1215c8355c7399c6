//! The output of a frame is bounded, as its input is.

use jetwash::{Jetstream, Micros, Seq};
use jetwash_sim::{ManualNetwork, SimChange, SimWrite, did};
use serde_json::json;

use crate::{NOW_US, lines, pipeline};

const POST: &str = "app.bsky.feed.post";

/// A commit of `creates` creates that share one record of control characters, each of which has six
/// bytes in JSON, and of what comes behind them.
fn shared(bytes: usize, creates: usize, behind: impl IntoIterator<Item = SimWrite>) -> Vec<u8> {
    let mut network = ManualNetwork::new();
    let mut made = |change| network.apply(&change).unwrap().bytes;
    made(SimChange::create(
        did(0),
        POST,
        "old",
        json!({"text": "hej"}),
    ));
    let record = json!({"text": "\u{1}".repeat(bytes)});
    let writes = (0..creates)
        .map(|number| SimWrite::create(POST, &format!("key{number:03}"), record.clone()));
    made(SimChange::commit(did(0), writes.chain(behind)))
}

#[test]
fn the_json_of_one_frame_is_bounded_and_what_is_left_out_is_counted() {
    let frame = shared(
        1_000_000,
        150,
        [
            SimWrite::create(POST, "small", json!({"text": "hej"})),
            SimWrite::delete(POST, "old"),
        ],
    );
    assert!(frame.len() < 1_200_000);
    let (mut pipeline, log) = pipeline();
    pipeline.frame("a", &frame, Micros::new(NOW_US)).unwrap();
    pipeline.commit().unwrap();
    let lines = lines(&log);
    let bytes: usize = lines.iter().map(String::len).sum();
    assert!(bytes <= 16 << 20, "{bytes} bytes of JSON");
    // The first are there, and the deletion, whatever is before it.
    let records = lines.len() - 1;
    assert!(records >= 2, "{records}");
    assert!(lines[records].contains(r#""operation":"delete""#));
    for (index, line) in lines[..records].iter().enumerate() {
        assert!(line.contains(&format!(r#""rkey":"key{index:03}""#)));
    }
    let dropped = pipeline.snapshot().dropped;
    assert_eq!(dropped["output_too_long"], 151 - records as u64);
    assert_eq!(dropped.len(), 1);
}

#[test]
fn a_record_that_operations_share_is_the_same_in_each_event() {
    let frame = shared(600, 50, []);
    let (mut pipeline, log) = pipeline();
    pipeline.frame("a", &frame, Micros::new(NOW_US)).unwrap();
    pipeline.commit().unwrap();
    let lines = lines(&log);
    assert_eq!(lines.len(), 50);
    let record = format!(r#"{{"text":"{}"}}"#, "\\u0001".repeat(600));
    for (index, line) in lines.iter().enumerate() {
        let key = format!(r#""rkey":"key{index:03}","record":{record},"cid":""#);
        assert!(line.contains(&key), "{line}");
    }
}

#[tokio::test]
async fn a_burst_of_frames_is_committed_before_its_json_fills_the_memory() {
    // All of them are there before the writer looks.
    let frames: Vec<_> = {
        let mut network = ManualNetwork::new();
        let record = json!({"text": "\u{1}".repeat(150_000)});
        let change = |number: usize| {
            SimChange::create(did(0), POST, &format!("key{number}"), record.clone())
        };
        let frame = |number| network.apply(&change(number)).unwrap().bytes;
        (0..40).map(frame).collect()
    };
    let (jetstream, ingest) = Jetstream::builder()
        .commit_delay(std::time::Duration::from_secs(10))
        .build()
        .unwrap();
    let pusher = jetstream.pusher("a");
    for frame in frames {
        pusher.push(frame).await.unwrap();
    }
    let mut tip = jetstream.store().tip();
    tokio::spawn(ingest.run(std::future::pending()));
    // Each has 0.9 MB of JSON: 4 MB are five of them, far from all, and no commit was due.
    tip.changed().await.unwrap();
    let first = *tip.borrow();
    assert!(first < Seq::new(40), "all at once: {first}");
}
