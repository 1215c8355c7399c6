//! The order and the identity of what several sources send, and one that repeats or counts anew.

use std::path::Path;

use jetwash::store::{self, Location, Options, Store};
use jetwash::{Micros, Pipeline};
use jetwash_sim::{ManualNetwork, ScriptedRelay, SimChange, SimFrame, SimWrite, did};
use serde_json::{Value, json};

use crate::simulated::describe;
use crate::{NOW_US, lines, pipeline};

const POST: &str = "app.bsky.feed.post";

fn post(text: &str) -> Value {
    json!({"$type": POST, "text": text, "createdAt": "2026-01-01T00:00:00Z"})
}

fn create(account: u64, rkey: &str) -> SimChange {
    SimChange::create(did(account), POST, rkey, post(rkey))
}

fn delete(account: u64, rkey: &str) -> SimChange {
    SimChange::delete(did(account), POST, rkey)
}

fn frames<const N: usize>(changes: [SimChange; N]) -> Vec<Vec<u8>> {
    let frames = ManualNetwork::new().apply_all(&changes).unwrap();
    frames.into_iter().map(|frame| frame.bytes).collect()
}

fn at(frame: &[u8], part: &[u8]) -> usize {
    let mut windows = frame.windows(part.len());
    windows.position(|window| window == part).unwrap()
}

/// The same frame under another number.
pub(crate) fn numbered(frame: &[u8], seq: u64) -> Vec<u8> {
    let start = at(frame, b"\x63seq") + 4;
    let length = match frame[start] {
        0..=0x17 => 1,
        0x18 => 2,
        0x19 => 3,
        0x1a => 5,
        _ => 9,
    };
    let number = match seq {
        0..=0x17 => vec![seq as u8],
        0x18..=0xff => vec![0x18, seq as u8],
        0x100..=0xffff => [&[0x19][..], &(seq as u16).to_be_bytes()].concat(),
        0x1_0000..=0xffff_ffff => [&[0x1a][..], &(seq as u32).to_be_bytes()].concat(),
        _ => [&[0x1b][..], &seq.to_be_bytes()].concat(),
    };
    [&frame[..start], &number, &frame[start + length..]].concat()
}

/// The frames with numbers from the first on.
fn from(first: u64, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let frames = (first..).zip(frames);
    frames.map(|(seq, frame)| numbered(frame, seq)).collect()
}

/// The frame with the bytes of its last record damaged.
fn damaged(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let mut windows = frame.windows(5);
    let place = windows.rposition(|window| window == b"$type").unwrap();
    frame[place + 8] ^= 1;
    frame
}

/// The frame with no more than `ops` of its operations, of up to two.
fn cut(frame: &[u8], ops: usize) -> Vec<u8> {
    let start = at(frame, b"\x63ops") + 4;
    let end = at(frame, b"\x63rev\x6d");
    let second = start + 2 + at(&frame[start + 2..], b"\x63cid") + 4;
    let kept: Vec<u8> = match ops {
        0 => vec![0x80],
        _ => {
            // An operation is a map whose first key is `cid`.
            let next = second + at(&frame[second..], b"\x63cid") - 1;
            [&[0x81], &frame[start + 1..next]].concat()
        }
    };
    [&frame[..start], &kept, &frame[end..]].concat()
}

fn on_disk(folder: &Path) -> (Pipeline, Store) {
    let location = Location::Disk(folder.to_owned());
    let (appender, log) = store::open(location, Options::default()).unwrap();
    (Pipeline::new(appender), log)
}

fn give(pipeline: &mut Pipeline, source: &str, frames: &[Vec<u8>]) {
    for frame in frames {
        pipeline.frame(source, frame, Micros::new(NOW_US)).unwrap();
    }
    pipeline.commit().unwrap();
}

/// The content of the log: for each event the operation and the key, or what happened to the account.
fn content(log: &Store) -> Vec<String> {
    let short = |line: &String| {
        let text = describe(line);
        let words: Vec<&str> = text.split(' ').collect();
        match words[..] {
            [_, _, operation, path] => {
                let (_, rkey) = path.split_once('/').unwrap();
                format!("{operation} {rkey}")
            }
            _ => words[1..].join(" "),
        }
    };
    lines(log).iter().map(short).collect()
}

#[test]
fn a_damaged_copy_from_one_source_does_not_hide_the_good_one_of_another() {
    let good = frames([create(0, "a"), create(0, "b")]);
    for bad in [damaged(&good[0]), cut(&good[0], 0)] {
        let (pipeline, log) = pipeline();
        let mut pipeline = pipeline.deduplicate();
        give(&mut pipeline, "a", &[bad]);
        give(&mut pipeline, "b", &good);
        give(&mut pipeline, "a", &good);
        assert_eq!(content(&log), ["create a", "create b"]);
    }
}

#[test]
fn what_is_missing_from_one_copy_of_a_commit_is_taken_from_another() {
    let both = SimChange::commit(
        did(0),
        [
            SimWrite::create(POST, "a", post("a")),
            SimWrite::create(POST, "b", post("b")),
        ],
    );
    let good = frames([both]);
    for bad in [damaged(&good[0]), cut(&good[0], 1)] {
        let folder = tempfile::tempdir().unwrap();
        let (pipeline, log) = on_disk(folder.path());
        let mut first = pipeline.deduplicate();
        give(&mut first, "a", &[bad]);
        assert!(content(&log).len() <= 1, "{:?}", first.snapshot());
        drop((first, log));
        let (pipeline, log) = on_disk(folder.path());
        let mut second = pipeline.deduplicate();
        give(&mut second, "b", &good);
        give(&mut second, "a", &good);
        let mut found = content(&log);
        found.sort();
        assert_eq!(found, ["create a", "create b"]);
    }
}

#[test]
fn an_operation_that_is_done_again_is_not_taken_for_the_one_before() {
    let again = SimChange::commit(
        did(0),
        [
            SimWrite::create(POST, "b", post("b")),
            // The same record as at first, under the same key.
            SimWrite::create(POST, "a", post("a")),
        ],
    );
    let all = frames([create(0, "a"), delete(0, "a"), again]);
    let (pipeline, log) = pipeline();
    let mut pipeline = pipeline.deduplicate();
    give(
        &mut pipeline,
        "a",
        &[&all[..2], &[cut(&all[2], 1)]].concat(),
    );
    assert_eq!(content(&log), ["create a", "delete a", "create b"]);
    give(&mut pipeline, "b", &all);
    let expected = ["create a", "delete a", "create b", "create a"];
    assert_eq!(content(&log), expected);
}

#[test]
fn events_of_accounts_are_told_apart_by_their_content() {
    let mut network = ManualNetwork::new();
    let mut all = Vec::new();
    for (active, status) in [
        (true, None),
        (false, None),
        (false, Some("deactivated")),
        (false, Some("takendown")),
    ] {
        let change = SimChange::account(did(0), active, status);
        all.push(network.apply(&change).unwrap().bytes);
    }
    // All at one time.
    let time = |frame: &[u8]| at(frame, b"\x64time") + 6;
    let first = all[0][time(&all[0])..][..24].to_vec();
    for frame in &mut all[1..] {
        let start = time(frame);
        frame[start..start + 24].copy_from_slice(&first);
    }
    let (pipeline, log) = pipeline();
    let mut pipeline = pipeline.deduplicate();
    give(&mut pipeline, "a", &all);
    give(&mut pipeline, "b", &all);
    assert_eq!(
        content(&log),
        [
            "account true",
            "account false",
            "account false",
            "account false"
        ]
    );
    assert_eq!(pipeline.snapshot().repeated, 4);
    assert!(pipeline.snapshot().dropped.is_empty());
}

#[test]
fn a_late_source_does_not_raise_the_dead_even_after_a_restart() {
    let all = frames([create(0, "a"), delete(0, "a")]);
    let folder = tempfile::tempdir().unwrap();
    // First with one source, which is enough for the log to know.
    let (mut first, log) = on_disk(folder.path());
    give(&mut first, "a", &all);
    drop((first, log));
    for _ in 0..2 {
        let (pipeline, log) = on_disk(folder.path());
        let mut pipeline = pipeline.deduplicate();
        give(&mut pipeline, "late", &[numbered(&all[0], 3)]);
        give(&mut pipeline, "later", &all);
        assert_eq!(content(&log), ["create a", "delete a"]);
        assert!(pipeline.snapshot().dropped.is_empty());
    }
}

/// An `#account` frame of an account of its own, by hand: many are made fast.
fn account_frame(number: u32) -> Vec<u8> {
    let did = format!("did:web:n{number:06}.example");
    let head = b"\xa2\x61t\x68#account\x62op\x01\xa4\x63did";
    let seq = [&[0x1a][..], &number.to_be_bytes()].concat();
    let rest = b"\x64time\x742026-07-04T14:38:07Z\x66active\xf5";
    let did = [&[0x60 + did.len() as u8], did.as_bytes()].concat();
    [head, &did[..], b"\x63seq", &seq, rest].concat()
}

#[test]
fn a_late_source_does_not_raise_the_dead_after_more_accounts_than_memory_holds() {
    const FIRST: u32 = 1 << 16;
    let all = frames([create(0, "a"), delete(0, "a")]);
    let folder = tempfile::tempdir().unwrap();
    let (pipeline, log) = on_disk(folder.path());
    let mut pipeline = pipeline.deduplicate();
    give(&mut pipeline, "a", &all);
    // Of the accounts of a log on disk, the last 28,000 at most are in memory.
    for start in (FIRST..FIRST + 220_000).step_by(2_000) {
        let some: Vec<_> = (start..start + 2_000).map(account_frame).collect();
        give(&mut pipeline, "a", &some);
    }
    assert_eq!(pipeline.snapshot().events, 220_002);
    give(&mut pipeline, "late", &all);
    give(&mut pipeline, "late", &[account_frame(FIRST)]);
    let snapshot = pipeline.snapshot();
    assert_eq!((snapshot.events, snapshot.repeated), (220_002, 3));
    assert!(snapshot.dropped.is_empty(), "{:?}", snapshot.dropped);
    assert_eq!(
        content(&log)
            .iter()
            .filter(|event| event.contains(" a"))
            .count(),
        2
    );
}

#[test]
fn a_source_that_counts_anew_is_followed_and_what_it_repeats_is_known() {
    let all = frames([
        create(0, "a"),
        create(1, "b"),
        SimChange::account(did(0), true, None),
        create(0, "c"),
        create(2, "d"),
        create(3, "e"),
    ]);
    for is_restarted in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (mut pipeline, mut log) = on_disk(folder.path());
        let old = from(50_001, &all[..4]);
        give(&mut pipeline, "a", &old);
        assert_eq!(pipeline.cursor("a"), Some(50_004));
        if is_restarted {
            drop((pipeline, log));
            (pipeline, log) = on_disk(folder.path());
        }
        give(&mut pipeline, "a", &from(1, &all));
        let expected = [
            "create a",
            "create b",
            "account true",
            "create c",
            "create d",
            "create e",
        ];
        assert_eq!(content(&log), expected);
        let snapshot = pipeline.snapshot();
        assert_eq!(pipeline.cursor("a"), Some(6));
        assert_eq!(snapshot.gaps.get("upstream_renumbered"), Some(&1));
        assert_eq!(snapshot.repeated, 4);
        assert!(snapshot.dropped.is_empty());
    }
}

#[test]
fn commits_that_one_source_sends_again_under_other_numbers_are_known() {
    let both = SimChange::commit(
        did(2),
        [
            SimWrite::create(POST, "c", post("c")),
            SimWrite::create(POST, "d", post("d")),
        ],
    );
    let all = frames([create(0, "a"), delete(0, "a"), create(1, "b"), both]);
    for rounds in [1..100, 1_000_000..1_000_100] {
        let (mut pipeline, log) = pipeline();
        give(&mut pipeline, "a", &all);
        // The numbers continue from there, or a good deal further on.
        for round in rounds.clone() {
            give(&mut pipeline, "a", &from(1 + 4 * round, &all));
        }
        let expected = ["create a", "delete a", "create b", "create c", "create d"];
        assert_eq!(content(&log), expected);
        let snapshot = pipeline.snapshot();
        let again = 4 * (rounds.end - rounds.start);
        assert_eq!((snapshot.repeated, snapshot.dropped.len()), (again, 0));
        assert_eq!(pipeline.cursor("a"), Some(4 * rounds.end));
    }
}

/// Returns the log and the cursor of a process that is killed before it commits.
fn killed_after(frames: &[Vec<u8>]) -> (Vec<String>, Option<u64>) {
    let folder = tempfile::tempdir().unwrap();
    let (mut pipeline, log) = on_disk(folder.path());
    for frame in frames {
        pipeline.frame("a", frame, Micros::new(NOW_US)).unwrap();
    }
    drop((pipeline, log));
    let (pipeline, log) = on_disk(folder.path());
    (content(&log), pipeline.cursor("a"))
}

/// To know what is repeated the log is gone over, which commits what was taken in so far.
#[test]
fn a_process_killed_after_going_over_the_log_has_the_cursor_of_its_events() {
    let identity = SimChange::identity(did(1), Some("a.example"));
    let [post, identity, other] = frames([create(0, "a"), identity, create(2, "b")])
        .try_into()
        .unwrap();
    let nothing = killed_after(&[post.clone(), identity.clone()]);
    assert_eq!(nothing, (vec![], None));

    let sent = [post, identity.clone(), other, identity];
    let (content, cursor) = killed_after(&sent);
    let expected = ["create a", "identity", "create b"];
    assert_eq!(
        (&content[..], cursor),
        (&expected.map(String::from)[..], Some(3))
    );
}

/// The frame that is looked at is not in the log yet, though its number is the next.
#[test]
fn a_process_killed_after_going_over_the_log_asks_for_the_frame_that_it_was_at() {
    let both = SimChange::commit(
        did(0),
        [
            SimWrite::create(POST, "a", post("a")),
            SimWrite::create(POST, "b", post("b")),
        ],
    );
    let whole = frames([both]);
    let sent = from(1, &[cut(&whole[0], 1), whole[0].clone()]);
    assert_eq!(killed_after(&sent), (vec!["create a".into()], Some(1)));
}

#[test]
fn a_number_far_ahead_keeps_nothing_out() {
    let all = frames([
        create(0, "a"),
        create(1, "b"),
        create(2, "c"),
        create(3, "d"),
    ]);
    for far in [4_000_000, (1 << 53) - 1, (1 << 53) + 5, u64::MAX] {
        for whole in [true, false] {
            let mut stray = numbered(&all[1], far);
            if !whole {
                stray.pop();
            }
            let (mut pipeline, log) = pipeline();
            give(&mut pipeline, "a", &[all[0].clone(), stray]);
            assert_eq!(pipeline.cursor("a"), Some(1));
            give(&mut pipeline, "a", &all[1..]);
            let expected = ["create a", "create b", "create c", "create d"];
            assert_eq!(content(&log), expected, "{far} {whole}");
            assert_eq!(pipeline.cursor("a"), Some(4));
            assert!(pipeline.snapshot().gaps.is_empty());
        }
    }
}

#[test]
fn a_jump_of_the_numbers_is_a_gap_when_they_go_on_from_there() {
    let all = frames([create(0, "a"), create(1, "b"), create(2, "c")]);
    let (mut pipeline, log) = pipeline();
    let jump = [1, 9_000_000, 9_000_001];
    let jump = jump.into_iter().zip(&all);
    let jump: Vec<_> = jump.map(|(seq, frame)| numbered(frame, seq)).collect();
    give(&mut pipeline, "a", &jump);
    assert_eq!(content(&log).len(), 3);
    assert_eq!(pipeline.cursor("a"), Some(9_000_001));
    assert_eq!(pipeline.snapshot().gaps["upstream_jump"], 1);
}

#[test]
fn a_commit_that_builds_on_an_unknown_revision_is_a_gap() {
    let all = frames([
        create(0, "a"),
        create(0, "b"),
        create(0, "c"),
        create(0, "d"),
        // Nothing but a new revision.
        SimChange::commit(did(0), []),
        create(0, "e"),
    ]);
    for two in [false, true] {
        let (mut pipeline, log) = pipeline();
        if two {
            pipeline = pipeline.deduplicate();
        }
        give(&mut pipeline, "a", &[&all[..1], &all[2..]].concat());
        assert_eq!(content(&log).len(), 4);
        assert_eq!(pipeline.snapshot().gaps["discontinuous"], 1);
    }
    // Where commits are turned away unseen, nothing follows from it.
    let (pipeline, _log) = pipeline();
    let filter = jetwash::Filter::new().collections([POST]).unwrap();
    let mut pipeline = pipeline.filter(filter);
    give(&mut pipeline, "a", &[all[0].clone(), all[2].clone()]);
    assert!(pipeline.snapshot().gaps.is_empty());
}

#[test]
fn a_revision_from_the_future_keeps_no_other_out() {
    let mut network = ManualNetwork::new();
    let real = network.apply(&create(0, "real")).unwrap().bytes;
    network.set_time(Micros::new(NOW_US + 10 * 365 * 86_400_000_000));
    let future = network.apply(&create(0, "future")).unwrap().bytes;
    let (pipeline, log) = pipeline();
    let mut pipeline = pipeline.deduplicate();
    give(&mut pipeline, "a", &[future]);
    give(&mut pipeline, "b", &[real]);
    assert!(content(&log).contains(&"create real".to_owned()));
}

/// The relay's end of a test, which sends frames.
fn bytes(frames: &[SimFrame]) -> Vec<Vec<u8>> {
    frames.iter().map(|frame| frame.bytes.clone()).collect()
}

mod connected {
    use super::*;
    use jetwash::{Jetstream, JetstreamBuilder};
    use std::time::Duration;

    fn start(builder: JetstreamBuilder) -> Jetstream {
        let (jetstream, ingest) = builder.build().unwrap();
        tokio::spawn(ingest.run(std::future::pending()));
        jetstream
    }

    async fn until(what: impl Fn() -> bool) {
        let wait = async {
            while !what() {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), wait).await;
        waited.expect("it did not come to that");
    }

    fn three() -> Vec<SimFrame> {
        let changes = [create(0, "a"), create(1, "b"), create(2, "c")];
        ManualNetwork::new().apply_all(&changes).unwrap()
    }

    #[tokio::test]
    async fn what_a_quiet_relay_sends_between_two_connections_is_not_lost() {
        let mut relay = ScriptedRelay::start().await.unwrap();
        let mut network = ManualNetwork::new();
        let old = network.apply(&create(0, "old")).unwrap();
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros() as u64;
        network.set_time(Micros::new(now));
        let new = network
            .apply_all(&[create(1, "b"), create(2, "c")])
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let jetstream = start(
            Jetstream::builder()
                .relay(relay.url())
                .folder(folder.path()),
        );
        relay.accept().await.unwrap().disconnect();
        // The first connection may be noted a moment after the second is made.
        let mut connection = relay.accept().await.unwrap();
        while connection.cursor().is_none() {
            connection.disconnect();
            connection = relay.accept().await.unwrap();
        }
        assert_eq!(connection.cursor(), Some(0));
        let sent = [&[old], &new[..]].concat();
        connection.send(bytes(&sent)).await.unwrap();
        until(|| jetstream.source_cursor(&relay.url()) == Some(3)).await;
        assert_eq!(content(jetstream.store()), ["create b", "create c"]);
    }

    #[tokio::test]
    async fn a_busy_relay_that_was_silent_at_first_is_not_read_from_its_start() {
        let mut relay = ScriptedRelay::start().await.unwrap();
        let mut network = ManualNetwork::new();
        let old = network.apply(&create(0, "old")).unwrap();
        let jetstream = start(Jetstream::builder().relay(relay.url()));
        relay.accept().await.unwrap().disconnect();
        let mut connection = relay.accept().await.unwrap();
        while connection.cursor().is_none() {
            connection.disconnect();
            connection = relay.accept().await.unwrap();
        }
        for seq in 1..=20_001 {
            // The connection is given up somewhere near the end.
            if connection.send([numbered(&old.bytes, seq)]).await.is_err() {
                break;
            }
        }
        let mut connection = relay.accept_at(None).await.unwrap();
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros() as u64;
        network.set_time(Micros::new(now));
        let new = network.apply(&create(1, "b")).unwrap();
        connection
            .send([numbered(&new.bytes, 3_000_000)])
            .await
            .unwrap();
        until(|| jetstream.source_cursor(&relay.url()) == Some(3_000_000)).await;
        assert_eq!(content(jetstream.store()), ["create b"]);
        assert_eq!(jetstream.snapshot().gaps["upstream_jump"], 1);
    }

    #[tokio::test]
    async fn a_reconnect_that_repeats_the_last_frame_drops_nothing() {
        let mut relay = ScriptedRelay::start().await.unwrap();
        let jetstream = start(Jetstream::builder().relay(relay.url()));
        let all = bytes(&three());
        let mut connection = relay.accept().await.unwrap();
        connection.send(all[..2].to_vec()).await.unwrap();
        until(|| jetstream.source_cursor(&relay.url()) == Some(2)).await;
        connection.disconnect();
        let mut connection = relay.accept_at(Some(2)).await.unwrap();
        connection.send(all[1..].to_vec()).await.unwrap();
        until(|| jetstream.source_cursor(&relay.url()) == Some(3)).await;
        let snapshot = jetstream.snapshot();
        assert!(snapshot.dropped.is_empty(), "{:?}", snapshot.dropped);
        assert!(snapshot.gaps.is_empty(), "{:?}", snapshot.gaps);
        assert_eq!((snapshot.repeated, snapshot.events), (1, 3));
    }

    #[tokio::test]
    async fn a_connection_that_begins_below_its_cursor_is_followed() {
        let mut relay = ScriptedRelay::start().await.unwrap();
        let jetstream = start(Jetstream::builder().relay(relay.url()));
        let all = bytes(&three());
        let mut connection = relay.accept().await.unwrap();
        connection.send([numbered(&all[0], 50_004)]).await.unwrap();
        until(|| jetstream.source_cursor(&relay.url()) == Some(50_004)).await;
        connection.disconnect();
        let mut connection = relay.accept_at(Some(50_004)).await.unwrap();
        connection.send([numbered(&all[1], 1)]).await.unwrap();
        until(|| jetstream.source_cursor(&relay.url()) == Some(1)).await;
        assert_eq!(content(jetstream.store()), ["create a", "create b"]);
        assert_eq!(jetstream.snapshot().gaps["upstream_renumbered"], 1);
    }

    #[tokio::test]
    async fn a_relay_that_calls_the_cursor_one_of_the_future_is_read_from_its_start() {
        let mut relay = ScriptedRelay::start().await.unwrap();
        let jetstream = start(Jetstream::builder().relay(relay.url()));
        let all = bytes(&three());
        let mut connection = relay.accept().await.unwrap();
        connection.send([numbered(&all[0], 50_004)]).await.unwrap();
        until(|| jetstream.source_cursor(&relay.url()) == Some(50_004)).await;
        connection.disconnect();
        let mut connection = relay.accept_at(Some(50_004)).await.unwrap();
        connection
            .fail("FutureCursor", "Cursor in the future.")
            .await
            .unwrap();
        until(|| {
            jetstream
                .snapshot()
                .gaps
                .contains_key("upstream_renumbered")
        })
        .await;
        let mut connection = relay.accept().await.unwrap();
        assert_eq!(connection.cursor(), Some(0));
        connection.send(all).await.unwrap();
        until(|| jetstream.source_cursor(&relay.url()) == Some(3)).await;
        assert_eq!(
            content(jetstream.store()),
            ["create a", "create b", "create c"]
        );
        let snapshot = jetstream.snapshot();
        assert_eq!((snapshot.repeated, snapshot.dropped.len()), (1, 0));
    }

    #[tokio::test]
    async fn an_outdated_cursor_is_a_gap() {
        let mut relay = ScriptedRelay::start().await.unwrap();
        let jetstream = start(Jetstream::builder().relay(relay.url()));
        let all = bytes(&three());
        let mut connection = relay.accept().await.unwrap();
        connection.send([all[0].clone()]).await.unwrap();
        until(|| jetstream.source_cursor(&relay.url()) == Some(1)).await;
        connection.disconnect();
        let mut connection = relay.accept_at(Some(1)).await.unwrap();
        connection
            .inform("OutdatedCursor", "Possibly missing events")
            .await
            .unwrap();
        // It is told once, although the numbers have jumped as well.
        let rest = [numbered(&all[1], 9_000_000), numbered(&all[2], 9_000_001)];
        connection.send(rest).await.unwrap();
        until(|| jetstream.source_cursor(&relay.url()) == Some(9_000_001)).await;
        let gaps = jetstream.snapshot().gaps;
        assert_eq!(
            gaps.into_iter().collect::<Vec<_>>(),
            [("upstream_outdated", 1)]
        );
    }
}
