//! The consequences of verdicts: for copies that lack something, behind a closure, and for syncs of
//! accounts that are not active.

use std::error::Error;

use jetwash::client::{ClientEvent, Protocol};
use jetwash::{Source, SourceHandle};
use jetwash_sim::SimWrite;
use tokio::sync::mpsc;

use super::*;

/// A record as it is in a block.
fn record(text: &str) -> Vec<u8> {
    let text = text.as_bytes();
    let head = [0xa2, 0x64];
    let length = [0x60 + text.len() as u8];
    [
        &head,
        &b"text"[..],
        &length,
        text,
        b"\x65$type\x70com.example.note",
    ]
    .concat()
}

/// The frame of a commit without the block of a record. Sections are shorter than 128 bytes here.
fn without_block(frame: &[u8], record: &[u8]) -> Bytes {
    let of = |part: &[u8]| frame.windows(part.len()).position(|window| window == part);
    let (at, head) = (of(record).unwrap(), of(b"\x66blocks\x59").unwrap() + 8);
    let (section, end) = (at - 37, at + record.len());
    assert_eq!(usize::from(frame[section]), 36 + record.len());
    let length = u16::from_be_bytes([frame[head], frame[head + 1]]) as usize;
    let length = ((length - (end - section)) as u16).to_be_bytes();
    [
        &frame[..head],
        &length,
        &frame[head + 2..section],
        &frame[end..],
    ]
    .concat()
    .into()
}

#[tokio::test]
async fn a_record_that_one_copy_of_a_verified_commit_lacks_is_taken_from_another() {
    for verify in [Verify::lenient, Verify::strict] {
        let mut world = World::new(verify(Directory::open().identities()));
        let other = world.jetstream.pusher("other");
        let note = |rkey: &str| {
            let note = json!({"$type": "com.example.note", "text": rkey});
            SimWrite::create("com.example.note", rkey, note)
        };
        let whole = world.frame(&SimChange::commit(did(0), [note("1"), note("2")]));
        world.push(without_block(&whole, &record("2"))).await;
        world.until(|snapshot| snapshot.events == 1).await;
        other.push(whole.clone()).await.unwrap();
        other.push(whole).await.unwrap();
        world.create(0, "3").await;
        let events = world.take(3).await;
        assert_eq!(rkeys(&events), ["1", "2", "3"]);
        let is_verified = |event: &Event| event.verdict() == Some(Verdict::Verified);
        assert!(events.iter().all(is_verified));
        let snapshot = world.snapshot();
        // The copy that lacks nothing has one operation that is known, and then none that is not.
        assert_eq!(snapshot.repeated, 2);
        assert_eq!(
            snapshot.dropped.values().sum::<u64>(),
            1,
            "{:?}",
            snapshot.dropped
        );
    }
}

#[tokio::test]
async fn behind_a_closure_chains_are_not_judged() {
    let verify = Verify::strict(Directory::open().identities());
    let is_wanted = |peeked: &jetwash::frame::Peek<'_>| {
        peeked
            .paths()
            .all(|path| path.starts_with("com.example.note/"))
    };
    let builder = Jetstream::builder()
        .ingest_filter_with(is_wanted)
        .verify(verify);
    let mut world = World::of(builder);
    let mut resyncs = world.jetstream.resyncs();
    world.create(0, "1").await;
    let like = json!({"$type": "com.example.like"});
    world
        .send(&SimChange::create(did(0), "com.example.like", "2", like))
        .await;
    world.create(0, "3").await;
    assert_eq!(rkeys(&world.take(2).await), ["1", "3"]);
    assert_eq!(world.snapshot().verdicts["verified"], 2);
    world.stop().await.unwrap();
    assert!(resyncs.recv().await.is_none(), "nothing is missing");
}

#[tokio::test]
async fn a_sync_of_an_inactive_account_is_kept_back_by_strict_and_still_followed() {
    for is_strict in [false, true] {
        let identities = Directory::open().identities();
        let mut world = World::new(match is_strict {
            true => Verify::strict(identities),
            false => Verify::lenient(identities),
        });
        world.create(0, "1").await;
        let _missing = world.frame(&create(0, "2"));
        world
            .send(&SimChange::account(did(0), false, Some("deactivated")))
            .await;
        world.send(&SimChange::sync(did(0))).await;
        world.send(&SimChange::account(did(0), true, None)).await;
        world.send(&SimChange::sync(did(0))).await;
        world.create(0, "3").await;
        let events = world.take(if is_strict { 5 } else { 6 }).await;
        let kinds: Vec<_> = events.iter().map(Event::kind).collect();
        let (account, sync, commit) = (Kind::Account, Kind::Sync, Kind::Commit);
        if is_strict {
            assert_eq!(kinds, [commit, account, account, sync, commit]);
            assert_eq!(world.snapshot().dropped["account_inactive"], 1);
        } else {
            assert_eq!(kinds, [commit, account, sync, account, sync, commit]);
            assert_eq!(world.snapshot().dropped.get("account_inactive"), None);
        }
        // The next commit follows on the state of a sync, whether or not that was an event.
        assert_eq!(events.last().unwrap().verdict(), Some(Verdict::Verified));
    }
}

#[tokio::test]
async fn the_next_commit_follows_on_a_sync_that_strict_keeps_back() {
    let mut world = World::new(Verify::strict(Directory::open().identities()));
    world.create(0, "1").await;
    let _missing = world.frame(&create(0, "2"));
    let inactive = SimChange::account(did(0), false, Some("deactivated"));
    world.send(&inactive).await;
    world.send(&SimChange::sync(did(0))).await;
    world.send(&SimChange::account(did(0), true, None)).await;
    world.create(0, "3").await;
    world.create(1, "4").await;
    let events = world.take(4).await;
    // A commit that does not follow would not be there.
    assert_eq!(rkeys(&events), ["1", "", "", "3"]);
    assert_eq!(events[3].verdict(), Some(Verdict::Verified));
}

/// Events that a test has a Jetstream send.
struct Unsigned(mpsc::UnboundedReceiver<ClientEvent>);

impl Source for Unsigned {
    fn name(&self) -> &'static str {
        "jetstream"
    }

    async fn run(&mut self, handle: SourceHandle) -> Result<(), Box<dyn Error + Send + Sync>> {
        while let Some(event) = self.0.recv().await {
            handle.events(vec![event], None).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_commit_behind_one_that_a_jetstream_brought_breaks_no_chain() {
    let mut plain = World::new(Verify::off());
    for rkey in ["1", "2", "3"] {
        plain.create(0, rkey).await;
    }
    let second = plain.take(2).await[1].json().to_owned();
    let second = ClientEvent::parse(Protocol::V1, second).unwrap();

    let (jetstream, sent) = mpsc::unbounded_channel();
    let verify = Verify::lenient(Directory::open().identities());
    let builder = Jetstream::builder().source(Unsigned(sent));
    let mut world = World::of(builder.verify(verify));
    let [first, _, third] = ["1", "2", "3"].map(|rkey| world.frame(&create(0, rkey)));
    world.push(first).await;
    let mut events = world.take(1).await;
    jetstream.send(second).unwrap();
    events.extend(world.take(1).await);
    world.push(third).await;
    events.extend(world.take(1).await);
    assert_eq!(rkeys(&events), ["1", "2", "3"]);
    let verdicts: Vec<_> = events.iter().map(Event::verdict).collect();
    let verified = Some(Verdict::Verified);
    assert_eq!(verdicts, [verified, None, verified]);
    let gaps = world.snapshot().gaps;
    assert!(gaps.is_empty(), "{gaps:?}");
}

#[tokio::test]
async fn a_report_of_a_missing_commit_has_the_state_that_was_reached_and_comes_once_for_each_break()
{
    let mut world = World::new(Verify::lenient(Directory::open().identities()));
    let mut resyncs = world.jetstream.resyncs();
    world.create(0, "1").await;
    let _missing = world.frame(&create(0, "2"));
    let shows = world.frame(&create(0, "3"));
    world.push(shows.clone()).await;
    // The same again, and from another relay.
    world.push(shows.clone()).await;
    world
        .jetstream
        .pusher("other")
        .push(shows.clone())
        .await
        .unwrap();
    world.create(0, "4").await;
    let _missing = world.frame(&create(0, "5"));
    world.send(&SimChange::sync(did(0))).await;
    let events = world.take(4).await;
    world.stop().await.unwrap();
    let mut reports = Vec::new();
    while let Some(report) = resyncs.recv().await {
        reports.push(report.unwrap());
    }
    let shown_by: Vec<_> = reports
        .iter()
        .map(|report| (report.rev.to_string(), report.is_sync, &*report.source))
        .collect();
    let rev = |index: usize| events[index].rev().unwrap().to_string();
    assert_eq!(
        shown_by,
        [(rev(1), false, "relay"), (rev(3), true, "relay")]
    );
    let jetwash::frame::Frame::Commit(commit) = jetwash::frame::Frame::decode(&shows).unwrap()
    else {
        panic!("a commit");
    };
    // The root of the tree is in the commit object, behind its key.
    let data = reports[0].data.as_bytes();
    let named = [&b"\x64data\xd8\x2a\x58\x25\x00"[..], data].concat();
    assert!(commit.blocks.windows(named.len()).any(|part| part == named));
}
