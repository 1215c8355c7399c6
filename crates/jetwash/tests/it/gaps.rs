//! Where events are missing, every reader is told, and continues behind.

use std::future::ready;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use jetwash::store::{
    self, Appender, CommitPart, Durability, EventKind, Location, NewEvent, Options, Store,
};
use jetwash::{
    ConsumerError, Cursor, Delivery, Event, Failure, Filter, Gap, GapCause, Handler, Ingest,
    Jetstream, Micros, Seq, StartFrom, UpstreamGap,
};
use jetwash_store::testing::fail_power;
use tempfile::TempDir;
use tokio::time::Instant;

/// The content of a log, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Met {
    Event(u64),
    Gap(Gap),
}

fn options() -> Options {
    Options::default()
        .durability(Durability::Buffered)
        .block_events(8)
        .bucket_events(1_000)
        .hot_bytes(1)
}

fn open(folder: &Path) -> (Appender, Store) {
    store::open(Location::Disk(folder.to_owned()), options()).unwrap()
}

fn append(appender: &mut Appender, count: u64) {
    for _ in 0..count {
        let time_us = appender.next_time_us(Micros::new(crate::NOW_US));
        let json = format!("{{\"number\":{}}}", appender.next_seq());
        let event = NewEvent {
            kind: EventKind::Create,
            did: "did:web:example.com",
            collection: "app.bsky.feed.post",
            commit: CommitPart::WHOLE,
            source: "test",
            verdict: 0,
            time_us,
            json: json.as_bytes(),
            compressed: None,
        };
        appender.push(&event).unwrap();
    }
    appender.commit().unwrap();
}

/// Changes one bit of the index (part 0) or the payload (part 1) of the block that begins at a
/// position.
fn damage(folder: &Path, first_seq: u64, part: u8) {
    let database = fjall::Database::builder(folder).open().unwrap();
    let bucket = database
        .keyspace("bucket-00000000000000000001", Default::default)
        .unwrap();
    let mut keys = bucket
        .prefix(first_seq.to_be_bytes())
        .map(|guard| guard.key().unwrap());
    let key = keys.find(|key| key.last() == Some(&part)).unwrap();
    let mut bytes = bucket.get(&key).unwrap().unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bucket.insert(key, bytes).unwrap();
}

fn jetstream(folder: &Path) -> (Jetstream, Ingest) {
    let builder = Jetstream::builder().folder(folder).store_options(options());
    builder.build().unwrap()
}

/// A log with 40 events, of which 17 to 24 are damaged; the positions that a power failure took;
/// and 16 events more, before the last 8 of which an upstream has a gap. And all that in order.
fn troubled() -> (TempDir, Vec<Met>) {
    let folder = tempfile::tempdir().unwrap();
    let mut ring = open(folder.path());
    append(&mut ring.0, 40);
    fail_power(folder.path(), ring).unwrap();
    let mut ring = open(folder.path());
    let behind = ring.0.next_seq();
    assert!(behind > Seq::new(41));
    append(&mut ring.0, 8);
    let upstream = UpstreamGap::new("wss://relay.example/", Some(7), Some(9));
    ring.0
        .note_gap(GapCause::UpstreamOutdated, Some(2), Some(upstream.clone()));
    append(&mut ring.0, 8);
    drop(ring);
    damage(folder.path(), 17, 1);
    let damaged = Gap::new(Seq::new(17), Seq::new(25), GapCause::Damaged).events(8);
    let mut outdated = Gap::new(
        Seq::new(behind.get() + 8),
        Seq::new(behind.get() + 8),
        GapCause::UpstreamOutdated,
    )
    .events(2);
    outdated.upstream = Some(upstream);
    let events = |range: std::ops::Range<u64>| range.map(Met::Event);
    let all = events(1..17)
        .chain([Met::Gap(damaged)])
        .chain(events(25..41))
        .chain([Met::Gap(Gap::new(Seq::new(41), behind, GapCause::Skipped))])
        .chain(events(behind.get()..behind.get() + 8))
        .chain([Met::Gap(outdated)])
        .chain(events(behind.get() + 8..behind.get() + 16));
    (folder, all.collect())
}

/// The same without what a gap says beyond its cause.
fn plain(met: &[Met]) -> Vec<Met> {
    let plain = met.iter().map(|item| match item {
        Met::Gap(gap) => {
            let mut gap = gap.clone();
            gap.detail = None;
            Met::Gap(gap)
        }
        event @ Met::Event(_) => event.clone(),
    });
    plain.collect()
}

fn events_of(met: &[Met]) -> Vec<u64> {
    let events = met.iter().filter_map(|item| match item {
        Met::Event(seq) => Some(*seq),
        Met::Gap(_) => None,
    });
    events.collect()
}

fn seq(event: &Event) -> u64 {
    event.cursor().get()
}

#[tokio::test]
async fn polling_goes_on_behind_every_gap_and_its_cursor_always_moves() {
    let (folder, expected) = troubled();
    let (jetstream, _ingest) = jetstream(folder.path());
    for max in [1, 3, 500] {
        let (mut start, mut met) = (StartFrom::Oldest, Vec::new());
        let mut last = None;
        loop {
            // Over already: each call gets somewhere all the same.
            let deadline = Instant::now();
            let polled = jetstream.poll(start, &Filter::new(), max, deadline).await;
            let polled = polled.unwrap();
            assert!(last < Some(polled.next), "{last:?}, then {polled:?}");
            last = Some(polled.next);
            met.extend(polled.gaps.into_iter().map(Met::Gap));
            met.extend(polled.events.iter().map(|event| Met::Event(seq(event))));
            if polled.caught_up {
                break;
            }
            start = StartFrom::Cursor(polled.next);
        }
        assert_eq!(plain(&met), plain(&expected), "{max} at a time");
    }
}

#[tokio::test]
async fn a_poll_at_a_gap_with_nothing_behind_it_returns_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut ring = open(folder.path());
    append(&mut ring.0, 5);
    fail_power(folder.path(), ring).unwrap();
    let (jetstream, _ingest) = jetstream(folder.path());
    let tip = jetstream.bounds().next_seq;
    let deadline = Instant::now() + Duration::from_secs(3_600);
    for (start, gap) in [
        (5, Gap::new(Seq::new(6), tip, GapCause::Skipped)),
        (
            tip.get() + 9,
            Gap::new(Seq::new(tip.get() + 10), tip, GapCause::CursorAhead),
        ),
    ] {
        let start = StartFrom::Cursor(Cursor::new(start));
        let polled = jetstream.poll(start, &Filter::new(), 10, deadline).await;
        let polled = polled.unwrap();
        assert_eq!(polled.gaps, [gap]);
        assert_eq!(polled.next, Cursor::before(tip));
        assert!(polled.caught_up && polled.events.is_empty());
    }
}

#[tokio::test]
async fn a_subscription_gives_what_there_is_and_tells_of_gaps_on_the_side() {
    let (folder, expected) = troubled();
    let (jetstream, ingest) = jetstream(folder.path());
    ingest.run(ready(())).await.unwrap();
    let start = StartFrom::Oldest;
    let mut events = jetstream.subscribe(start, Filter::new()).await.unwrap();
    let mut met = Vec::new();
    while let Some(event) = events.next().await {
        let event = event.unwrap();
        met.extend(events.take_gaps().into_iter().map(Met::Gap));
        met.push(Met::Event(seq(&event)));
    }
    assert_eq!(plain(&met), plain(&expected));
}

#[tokio::test]
async fn a_subscription_with_gaps_gives_them_in_order() {
    let (folder, expected) = troubled();
    let (jetstream, ingest) = jetstream(folder.path());
    ingest.run(ready(())).await.unwrap();
    let start = StartFrom::Oldest;
    let events = jetstream.subscribe(start, Filter::new()).await.unwrap();
    // Filters do not hide gaps.
    let events = events.filter_with(|event| seq(event).is_multiple_of(2));
    let deliveries = events.with_gaps().map(|delivery| match delivery.unwrap() {
        Delivery::Event(event) => Met::Event(seq(&event)),
        Delivery::Gap(gap) => Met::Gap(gap),
        other => panic!("{other:?}"),
    });
    let met: Vec<Met> = deliveries.collect().await;
    let is_even = |item: &&Met| !matches!(item, Met::Event(seq) if seq % 2 == 1);
    let expected: Vec<Met> = expected.iter().filter(is_even).cloned().collect();
    assert_eq!(plain(&met), plain(&expected));
}

#[tokio::test]
async fn a_gap_without_an_event_behind_it_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut ring = open(folder.path());
    append(&mut ring.0, 5);
    fail_power(folder.path(), ring).unwrap();
    let (jetstream, _ingest) = jetstream(folder.path());
    let tip = jetstream.bounds().next_seq;
    let start = StartFrom::Cursor(Cursor::new(5));
    let events = jetstream.subscribe(start, Filter::new()).await.unwrap();
    let told = events.with_gaps().next().await.unwrap().unwrap();
    assert!(
        matches!(told, Delivery::Gap(gap) if gap == Gap::new(Seq::new(6), tip, GapCause::Skipped))
    );
}

#[tokio::test]
async fn a_gap_of_an_upstream_amid_damage_is_told_as_well() {
    let upstream = UpstreamGap::new("wss://relay.example/", Some(7), Some(9));
    let mut outdated = Gap::new(Seq::new(13), Seq::new(13), GapCause::UpstreamOutdated).events(2);
    outdated.upstream = Some(upstream.clone());
    let damaged =
        |first, next| Gap::new(first, next, GapCause::Damaged).events(next.get() - first.get());
    for (part, behind) in [
        // Without its index the block is one gap, and what is within it follows.
        (
            0,
            vec![damaged(Seq::new(9), Seq::new(17)), outdated.clone()],
        ),
        (
            1,
            vec![
                damaged(Seq::new(9), Seq::new(13)),
                outdated.clone(),
                damaged(Seq::new(13), Seq::new(17)),
            ],
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut ring = open(folder.path());
        append(&mut ring.0, 12);
        let upstream = Some(upstream.clone());
        ring.0
            .note_gap(GapCause::UpstreamOutdated, Some(2), upstream);
        append(&mut ring.0, 4);
        drop(ring);
        damage(folder.path(), 9, part);
        let (jetstream, ingest) = jetstream(folder.path());
        ingest.run(ready(())).await.unwrap();
        let start = StartFrom::Oldest;
        let events = jetstream.subscribe(start, Filter::new()).await.unwrap();
        let deliveries = events.with_gaps().map(|delivery| match delivery.unwrap() {
            Delivery::Event(event) => Met::Event(seq(&event)),
            Delivery::Gap(gap) => Met::Gap(gap),
            other => panic!("{other:?}"),
        });
        let met: Vec<Met> = deliveries.collect().await;
        let behind = behind.into_iter().map(Met::Gap);
        let expected: Vec<Met> = (1..9).map(Met::Event).chain(behind).collect();
        assert_eq!(plain(&met), expected);
    }
}

#[derive(Clone, Default)]
struct Noting(Arc<Mutex<Vec<Met>>>);

impl Noting {
    fn met(&self) -> Vec<Met> {
        self.0.lock().unwrap().clone()
    }
}

impl Handler for Noting {
    async fn handle(&self, event: Event) -> Result<(), Failure> {
        self.0.lock().unwrap().push(Met::Event(seq(&event)));
        Ok(())
    }

    async fn gap(&self, gap: Gap) {
        // Events behind it wait, however long this takes.
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        self.0.lock().unwrap().push(Met::Gap(gap));
    }
}

#[tokio::test]
async fn a_consumer_goes_on_and_its_handler_is_told_before_the_events_behind() {
    let (folder, expected) = troubled();
    let (jetstream, ingest) = jetstream(folder.path());
    ingest.run(ready(())).await.unwrap();
    let consumer = jetstream.consumer("feed").start_from(StartFrom::Oldest);
    let handle = consumer.handle();
    let noting = Noting::default();
    consumer.run(noting.clone()).await.unwrap();
    let met = noting.met();
    assert_eq!(events_of(&met), events_of(&expected));
    let gaps = met.iter().filter(|item| matches!(item, Met::Gap(_)));
    assert_eq!(gaps.count(), 3);
    for (index, item) in met.iter().enumerate() {
        let Met::Gap(gap) = item else { continue };
        // Events before it may still come.
        let before = events_of(&met[..index]);
        assert!(before.iter().all(|seq| *seq < gap.next_seq.get()), "{gap}");
    }
    let status = handle.status();
    assert_eq!((status.gaps, status.lost), (3, 10));
    let last = *events_of(&expected).last().unwrap();
    assert_eq!(status.stored, Some(Cursor::new(last)));
}

#[tokio::test]
async fn a_consumer_that_stops_at_gaps_stays_before_them() {
    let (folder, _) = troubled();
    let (jetstream, ingest) = jetstream(folder.path());
    ingest.run(ready(())).await.unwrap();
    for _ in 0..2 {
        let consumer = jetstream.consumer("feed").start_from(StartFrom::Oldest);
        let handle = consumer.handle();
        let error = consumer.stop_at_gaps().run(Noting::default()).await;
        let error = error.unwrap_err();
        assert!(
            matches!(&error, ConsumerError::Gap { gap, .. } if gap.first_seq == Seq::new(17)),
            "{error}"
        );
        // What was waiting for a worker comes again.
        assert!(handle.status().stored <= Some(Cursor::new(16)));
    }
}

#[tokio::test]
async fn a_consumer_whose_cursor_is_ahead_of_the_log_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (mut appender, store) = open(folder.path());
    append(&mut appender, 5);
    store
        .reset_named_cursor("feed", Cursor::new(1_000))
        .unwrap();
    drop((appender, store));
    let noting = Noting::default();
    let (first, ingest) = jetstream(folder.path());
    ingest.run(ready(())).await.unwrap();
    first.consumer("feed").run(noting.clone()).await.unwrap();
    let ahead = Gap::new(Seq::new(1_001), Seq::new(6), GapCause::CursorAhead);
    assert_eq!(noting.met(), [Met::Gap(ahead)]);
    drop(first);

    let (mut appender, store) = open(folder.path());
    append(&mut appender, 3);
    drop((appender, store));
    let noting = Noting::default();
    let (again, ingest) = jetstream(folder.path());
    ingest.run(ready(())).await.unwrap();
    again.consumer("feed").run(noting.clone()).await.unwrap();
    assert_eq!(noting.met(), [6, 7, 8].map(Met::Event));
}

#[tokio::test]
async fn a_cursor_of_another_log_is_told_and_everything_is_read() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [&one, &other] {
        append(&mut open(folder.path()).0, 5);
    }
    let log = jetstream(one.path()).0.log_id();
    let cursor = Cursor::new(3);
    for (folder, expected) in [
        (&one, [4, 5].map(Met::Event).to_vec()),
        (
            &other,
            [Met::Gap(Gap::new(
                Seq::FIRST,
                Seq::FIRST,
                GapCause::OtherLog,
            ))]
            .into_iter()
            .chain((1..=5).map(Met::Event))
            .collect(),
        ),
    ] {
        let start = StartFrom::CursorOf { log, cursor };
        let polled = jetstream(folder.path())
            .0
            .poll(start, &Filter::new(), 10, Instant::now())
            .await
            .unwrap();
        let gaps = polled.gaps.into_iter().map(Met::Gap);
        let events = polled.events.iter().map(|event| Met::Event(seq(event)));
        assert_eq!(gaps.chain(events).collect::<Vec<_>>(), expected);
    }
}
