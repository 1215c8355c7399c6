//! Verification on the way into the log: what is delivered, with which verdict, and in which order.

mod rulings;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use futures_util::StreamExt;
use jetwash::event::Did;
use jetwash::identity::{DocumentAnswer, DocumentSource, Identities, IdentityOptions};
use jetwash::{
    Event, Filter, FrameStart, GapCause, Jetstream, Kind, Mistake, NetworkConfig, Pusher, RunError,
    Snapshot, StartFrom, Subscription, Verdict, Verify,
};
use jetwash_sim::{ManualNetwork, SimChange, SimDirectory, did};
use serde_json::json;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

#[tokio::test]
async fn commits_carry_their_verdict_and_what_nobody_signs_has_none() {
    let mut world = World::new(Verify::lenient(Directory::open().identities()));
    world
        .send(&SimChange::identity(did(0), Some("alice.test")))
        .await;
    world.send(&SimChange::account(did(0), true, None)).await;
    world.create(0, "1").await;
    let events = world.take(3).await;
    let verdicts = events.iter().map(Event::verdict).collect::<Vec<_>>();
    assert_eq!(verdicts, [None, None, Some(Verdict::Verified)]);
    assert_eq!(
        world.snapshot().verdicts,
        HashMap::from([("verified", 1)]).into_iter().collect()
    );
}

#[tokio::test]
async fn without_verification_there_is_no_verdict() {
    let mut world = World::new(Verify::off());
    world.create(0, "1").await;
    assert_eq!(world.take(1).await[0].verdict(), None);
    assert!(world.jetstream.identities().is_none());
}

#[tokio::test]
async fn what_somebody_else_signed_is_dropped_and_its_neighbours_arrive() {
    for verify in [Verify::lenient, Verify::strict] {
        let mut world = World::new(verify(Directory::open().identities()));
        world.create(0, "1").await;
        let forged = forged(&world.frame(&create(0, "2")));
        world.push(forged).await;
        world.create(1, "3").await;
        let events = world.take(2).await;
        assert_eq!(rkeys(&events), ["1", "3"]);
        let snapshot = world.snapshot();
        assert_eq!(snapshot.invalid["signature_mismatch"], 1);
        assert_eq!(snapshot.dropped["signature_mismatch"], 1);
        assert_eq!(snapshot.verdicts["invalid"], 1);
    }
}

#[tokio::test]
async fn structure_needs_no_key_and_resolves_nothing() {
    let mut world = World::new(Verify::structure());
    // Who signed it is not looked at.
    let forged = forged(&world.frame(&create(0, "1")));
    world.push(forged).await;
    // The proof is: without its operation the commit is not what it says.
    let mut network = ManualNetwork::new();
    network.set_next_seq(2);
    let frame = network.apply(&create(1, "2")).unwrap().bytes;
    let lying = replaced(&frame, b"/2", b"/3");
    world.push(lying).await;
    world.network.set_next_seq(3);
    world.create(2, "4").await;
    let events = world.take(2).await;
    assert_eq!(rkeys(&events), ["1", "4"]);
    assert!(
        events
            .iter()
            .all(|event| event.verdict() == Some(Verdict::Unresolved))
    );
    assert_eq!(world.snapshot().verdicts["invalid"], 1);
}

#[tokio::test]
async fn one_slow_look_up_holds_up_one_account_and_keeps_its_order() {
    let directory = Directory::open();
    directory.close_for(did(0));
    let mut world = World::new(Verify::lenient(directory.identities()));
    world.create(0, "1").await;
    world.send(&SimChange::identity(did(0), None)).await;
    world.create(0, "2").await;
    world.create(1, "3").await;
    world.create(2, "4").await;
    assert_eq!(rkeys(&world.take(2).await), ["3", "4"]);
    assert_eq!(world.snapshot().held, 3);
    // What waits is not counted as read.
    world.until_cursor(0).await;
    directory.open_all();
    let events = world.take(3).await;
    assert_eq!(rkeys(&events), ["1", "", "2"]);
    let verdicts = events.iter().map(Event::verdict).collect::<Vec<_>>();
    assert_eq!(
        verdicts,
        [Some(Verdict::Verified), None, Some(Verdict::Verified)]
    );
    world.until(|snapshot| snapshot.held == 0).await;
    world.until_cursor(5).await;
}

#[tokio::test]
async fn what_waits_too_long_is_unresolved() {
    let directory = Directory::open();
    directory.close_for(did(0));
    let verify = Verify::lenient(directory.identities()).hold_for(Duration::from_millis(20));
    let mut world = World::new(verify);
    world.create(0, "1").await;
    let events = world.take(1).await;
    assert_eq!(events[0].verdict(), Some(Verdict::Unresolved));
    // The real key comes later, and the commits that follow are judged by it.
    directory.open_all();
    world.create(0, "2").await;
    assert_eq!(rkeys(&world.take(1).await), ["2"]);
}

#[tokio::test]
async fn strict_delivers_nothing_unresolved_and_counts_it() {
    let directory = Directory::open();
    directory.close_for(did(0));
    let verify = Verify::strict(directory.identities()).hold_for(Duration::from_millis(20));
    let mut world = World::new(verify);
    world.create(0, "1").await;
    world
        .until(|snapshot| snapshot.dropped.get("unresolved") == Some(&1))
        .await;
    world.create(1, "2").await;
    assert_eq!(rkeys(&world.take(1).await), ["2"]);
}

#[tokio::test]
async fn what_does_not_fit_is_unresolved_and_what_waits_before_it_comes_first() {
    let directory = Directory::open();
    directory.close_for(did(0));
    let verify = Verify::lenient(directory.identities()).hold_bytes(1 << 16);
    let mut world = World::new(verify);
    let text = "a".repeat(30_000);
    for rkey in ["1", "2", "3"] {
        let note = json!({"$type": "com.example.note", "text": text});
        world
            .send(&SimChange::create(did(0), "com.example.note", rkey, note))
            .await;
    }
    // They are being checked while the third one finds no room, and keep their places.
    let others: Vec<String> = (100..300).map(|number: u32| number.to_string()).collect();
    for rkey in &others {
        world.create(1, rkey).await;
    }
    let (events, rest): (Vec<_>, Vec<_>) = world
        .take(203)
        .await
        .into_iter()
        .partition(|event| event.did() == did(0));
    assert_eq!(rkeys(&events), ["1", "2", "3"]);
    assert_eq!(rkeys(&rest), others);
    assert!(
        events
            .iter()
            .all(|event| event.verdict() == Some(Verdict::Unresolved))
    );
}

#[tokio::test]
async fn what_waits_at_the_end_comes_again_and_is_delivered_once() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::open();
    directory.close_for(did(0));
    let verify = || Verify::lenient(directory.identities());
    let mut world = World::in_folder(folder.path(), verify());
    let frames: Vec<Bytes> = [(0, "1"), (1, "2"), (0, "3"), (1, "4")]
        .map(|(account, rkey)| world.frame(&create(account, rkey)))
        .into();
    for frame in &frames {
        world.push(frame.clone()).await;
    }
    assert_eq!(rkeys(&world.take(2).await), ["2", "4"]);
    world.until_cursor(0).await;
    world.stop().await.unwrap();

    directory.open_all();
    let mut world = World::in_folder(folder.path(), verify());
    for frame in &frames {
        world.push(frame.clone()).await;
    }
    world
        .until(|snapshot| snapshot.repeated == 2 && snapshot.held == 0)
        .await;
    world.events = world.subscribe().await;
    let events = world.take(4).await;
    assert_eq!(rkeys(&events), ["2", "4", "1", "3"]);
    assert!(
        events
            .iter()
            .all(|event| event.verdict() == Some(Verdict::Verified))
    );
    world.until_cursor(4).await;
    assert_eq!(world.snapshot().verdicts.get("discontinuous"), None);
}

#[tokio::test]
async fn a_frame_without_a_number_that_waits_at_the_end_is_unresolved() {
    let directory = Directory::open();
    directory.close_for(did(0));
    let mut world = World::new(Verify::lenient(directory.identities()));
    let frame = world.frame(&create(0, "1"));
    // A number of 0 is no number.
    world
        .push(replaced(&frame, b"\x63seq\x01", b"\x63seq\x00"))
        .await;
    world.until(|snapshot| snapshot.held == 1).await;
    let mut events = world.subscribe().await;
    world.stop().await.unwrap();
    let event = events.next().await.unwrap().unwrap();
    assert_eq!(event.verdict(), Some(Verdict::Unresolved));
}

#[tokio::test]
async fn a_missing_commit_makes_the_next_discontinuous_and_is_reported_once() {
    let mut world = World::new(Verify::lenient(Directory::open().identities()));
    let mut resyncs = world.jetstream.resyncs();
    world.create(0, "1").await;
    let _missing = world.frame(&create(0, "2"));
    world.create(0, "3").await;
    world.create(0, "4").await;
    let events = world.take(3).await;
    let verdicts = events.iter().map(Event::verdict).collect::<Vec<_>>();
    let expected = [Verdict::Verified, Verdict::Discontinuous, Verdict::Verified];
    assert_eq!(verdicts, expected.map(Some));
    let resync = resyncs.recv().await.unwrap().unwrap();
    assert_eq!(
        (&*resync.did, &*resync.source, resync.is_sync),
        (&*did(0), "relay", false)
    );
    assert_eq!(world.snapshot().gaps[GapCause::Discontinuous.name()], 1);
    world.stop().await.unwrap();
    assert!(resyncs.recv().await.is_none());
}

#[tokio::test]
async fn strict_does_not_deliver_a_discontinuous_commit_and_goes_on_behind_it() {
    let mut world = World::new(Verify::strict(Directory::open().identities()));
    world.create(0, "1").await;
    let _missing = world.frame(&create(0, "2"));
    world.create(0, "3").await;
    world.create(0, "4").await;
    assert_eq!(rkeys(&world.take(2).await), ["1", "4"]);
    assert_eq!(world.snapshot().dropped["discontinuous"], 1);
}

#[tokio::test]
async fn a_sync_to_another_tree_is_reported_and_the_commits_behind_it_follow() {
    let mut world = World::new(Verify::lenient(Directory::open().identities()));
    let mut resyncs = world.jetstream.resyncs();
    world.create(0, "1").await;
    let _missing = world.frame(&create(0, "2"));
    world.send(&SimChange::sync(did(0))).await;
    world.create(0, "3").await;
    let events = world.take(3).await;
    let found: Vec<_> = events
        .iter()
        .map(|event| (event.kind(), event.verdict()))
        .collect();
    let verified = (Kind::Commit, Some(Verdict::Verified));
    let sync = (Kind::Sync, Some(Verdict::Discontinuous));
    assert_eq!(found, [verified, sync, verified]);
    let resync = resyncs.recv().await.unwrap().unwrap();
    assert!(resync.is_sync && *resync.did == did(0));
    let snapshot = world.snapshot();
    assert_eq!(
        (
            snapshot.verdicts["verified"],
            snapshot.verdicts["discontinuous"]
        ),
        (2, 1)
    );
}

#[tokio::test]
async fn a_forged_sync_changes_nothing() {
    let mut world = World::new(Verify::lenient(Directory::open().identities()));
    world.create(0, "1").await;
    // A true one, of a state that nobody has seen, under another signature.
    let _missing = world.frame(&create(0, "2"));
    let sync = forged(&world.frame(&SimChange::sync(did(0))));
    world.push(sync).await;
    world
        .until(|snapshot| snapshot.invalid.contains_key("signature_mismatch"))
        .await;
    world.create(0, "3").await;
    // Judged by the state of before the sync, which the missing commit is not.
    let events = world.take(2).await;
    assert_eq!(events[1].verdict(), Some(Verdict::Discontinuous));
    // No event came of it.
    assert!(events.iter().all(|event| event.kind() == Kind::Commit));
}

#[tokio::test]
async fn a_sync_of_the_state_that_is_known_is_an_event_and_one_that_is_older_is_none() {
    for verify in [Verify::lenient, Verify::strict] {
        let mut world = World::new(verify(Directory::open().identities()));
        let mut resyncs = world.jetstream.resyncs();
        world.create(0, "1").await;
        let old = world.frame(&SimChange::sync(did(0)));
        world.create(0, "2").await;
        world.send(&SimChange::sync(did(0))).await;
        world.push(old).await;
        world.create(1, "3").await;
        let events = world.take(4).await;
        let kinds: Vec<_> = events.iter().map(Event::kind).collect();
        assert_eq!(
            kinds,
            [Kind::Commit, Kind::Commit, Kind::Sync, Kind::Commit]
        );
        let is_verified = |event: &Event| event.verdict() == Some(Verdict::Verified);
        assert!(events.iter().all(is_verified));
        assert_eq!(world.snapshot().repeated, 1);
        world.stop().await.unwrap();
        assert!(resyncs.recv().await.is_none(), "nothing is missing");
    }
}

#[tokio::test]
async fn a_signed_sync_is_delivered_by_strict_whatever_it_leads_to() {
    let mut world = World::new(Verify::strict(Directory::open().identities()));
    world.create(0, "1").await;
    let _missing = world.frame(&create(0, "2"));
    world.send(&SimChange::sync(did(0))).await;
    let events = world.take(2).await;
    assert_eq!(events[1].kind(), Kind::Sync);
    assert_eq!(events[1].verdict(), Some(Verdict::Discontinuous));
    assert!(events[1].rev() > events[0].rev());
}

#[tokio::test]
async fn a_sync_without_a_key_is_unresolved_and_once_and_not_delivered_by_strict() {
    for is_strict in [false, true] {
        let directory = Directory::open();
        directory.give(did(0), Some(String::new()));
        let identities = directory.identities();
        let mut world = World::new(if is_strict {
            Verify::strict(identities)
        } else {
            Verify::lenient(identities)
        });
        let sync = world.frame(&SimChange::sync(did(0)));
        world.push(sync.clone()).await;
        // From another relay.
        world.jetstream.pusher("other").push(sync).await.unwrap();
        world
            .until(|snapshot| snapshot.frames == 2 && snapshot.held == 0)
            .await;
        world.create(1, "1").await;
        let events = world.take(if is_strict { 1 } else { 2 }).await;
        if is_strict {
            assert_eq!(rkeys(&events), ["1"]);
            assert_eq!(world.snapshot().dropped["unresolved"], 2);
        } else {
            assert_eq!(rkeys(&events), ["", "1"]);
            assert_eq!(events[0].verdict(), Some(Verdict::Unresolved));
            assert_eq!(world.snapshot().repeated, 1);
        }
    }
}

#[tokio::test]
async fn a_filter_without_syncs_still_has_chains_follow_them() {
    let filter = Filter::new().kinds([Kind::Commit]);
    let verify = Verify::lenient(Directory::open().identities());
    let mut world = World::of(Jetstream::builder().verify(verify).ingest_filter(filter));
    world.create(0, "1").await;
    let _missing = world.frame(&create(0, "2"));
    world.send(&SimChange::sync(did(0))).await;
    world.create(0, "3").await;
    let events = world.take(2).await;
    assert_eq!(rkeys(&events), ["1", "3"]);
    assert_eq!(events[1].verdict(), Some(Verdict::Verified));
}

#[tokio::test]
async fn a_key_that_changes_is_looked_up_again_but_not_for_each_false_signature() {
    for has_notice in [true, false] {
        let directory = Directory::open();
        let mut world = World::new(Verify::lenient(directory.identities()));
        // The key of another account for now.
        directory.give(did(0), Some(document_of(&did(1), &did(0))));
        world.create(0, "1").await;
        world
            .until(|snapshot| snapshot.invalid.get("signature_mismatch") == Some(&1))
            .await;
        directory.give(did(0), None);
        if has_notice {
            world.send(&SimChange::identity(did(0), None)).await;
            assert_eq!(rkeys(&world.take(1).await), [""]);
        }
        world.create(0, "2").await;
        let events = world.take(1).await;
        assert_eq!(
            (&*rkeys(&events)[0], events[0].verdict()),
            ("2", Some(Verdict::Verified))
        );
        let asked = directory.asked();
        for number in 3..20 {
            let forged = forged(&world.frame(&create(0, &number.to_string())));
            world.push(forged).await;
        }
        world
            .until(|snapshot| snapshot.invalid["signature_mismatch"] == 18)
            .await;
        assert!(directory.asked() <= asked + 1);
    }
}

#[tokio::test]
async fn a_key_that_does_not_fit_is_looked_up_once_more() {
    let directory = Directory::open();
    let identities = directory.identities();
    let mut world = World::new(Verify::lenient(identities.clone()));
    directory.give(did(0), Some(document_of(&did(1), &did(0))));
    // It is in the cache, and has changed since.
    identities.resolve(&did(0).parse().unwrap()).await.unwrap();
    directory.give(did(0), None);
    world.create(0, "1").await;
    assert_eq!(world.take(1).await[0].verdict(), Some(Verdict::Verified));
    assert_eq!(directory.asked(), 2);
}

#[tokio::test]
async fn an_account_without_a_document_is_unresolved() {
    let directory = Directory::open();
    let mut world = World::new(Verify::lenient(directory.identities()));
    directory.give(did(0), Some(String::new()));
    world.create(0, "1").await;
    assert_eq!(world.take(1).await[0].verdict(), Some(Verdict::Unresolved));
}

#[tokio::test]
async fn a_commit_that_could_not_be_resolved_is_delivered_once() {
    let directory = Directory::open();
    let mut world = World::new(Verify::lenient(directory.identities()));
    directory.give(did(0), Some(String::new()));
    let frame = world.frame(&create(0, "1"));
    world.push(frame.clone()).await;
    assert_eq!(world.take(1).await[0].verdict(), Some(Verdict::Unresolved));
    // It comes from another relay too, when the key is there.
    directory.give(did(0), None);
    world
        .jetstream
        .identities()
        .unwrap()
        .invalidate(&did(0).parse().unwrap());
    let other = world.jetstream.pusher("other");
    other.push(frame).await.unwrap();
    world.until(|snapshot| snapshot.repeated == 1).await;
    // It is the state now: what follows is continuous.
    world.create(0, "2").await;
    let events = world.take(1).await;
    assert_eq!(
        (&*rkeys(&events)[0], events[0].verdict()),
        ("2", Some(Verdict::Verified))
    );
}

#[tokio::test]
async fn an_account_without_a_key_that_can_be_used_signs_nothing() {
    let directory = Directory::open();
    let mut world = World::new(Verify::lenient(directory.identities()));
    let document = format!(r#"{{"id":"{}"}}"#, did(0));
    directory.give(did(0), Some(document));
    world.create(0, "1").await;
    world.create(1, "2").await;
    assert_eq!(rkeys(&world.take(1).await), ["2"]);
    assert_eq!(world.snapshot().invalid["key_unusable"], 1);
}

/// A commit that nobody could check may be anybody's: it keeps nothing out that the account has signed.
#[tokio::test]
async fn a_commit_that_could_not_be_resolved_keeps_no_commit_of_the_account_out() {
    for is_forged in [false, true] {
        let directory = Directory::open();
        let mut world = World::new(Verify::lenient(directory.identities()));
        directory.give(did(0), Some(String::new()));
        let first = world.frame(&create(0, "1"));
        let unresolved = match is_forged {
            // Another commit of the same revision.
            true => forged(&first),
            false => world.frame(&create(0, "2")),
        };
        world.push(unresolved).await;
        assert_eq!(world.take(1).await[0].verdict(), Some(Verdict::Unresolved));
        directory.give(did(0), None);
        let identities = world.jetstream.identities().unwrap();
        identities.invalidate(&did(0).parse().unwrap());
        let other = world.jetstream.pusher("other");
        other.push(first).await.unwrap();
        let events = world.take(1).await;
        assert_eq!(
            (&*rkeys(&events)[0], events[0].verdict()),
            ("1", Some(Verdict::Verified))
        );
    }
}

#[tokio::test]
async fn of_two_commits_of_one_revision_the_first_that_is_verified_counts() {
    let mut world = World::new(Verify::lenient(Directory::open().identities()));
    let first = world.frame(&create(0, "1"));
    // Signed by the same account, at the same moment.
    let second = ManualNetwork::new().apply(&create(0, "2")).unwrap().bytes;
    world.push(first).await;
    let other = world.jetstream.pusher("other");
    other.push(second).await.unwrap();
    world.create(0, "3").await;
    let events = world.take(2).await;
    assert_eq!(rkeys(&events), ["1", "3"]);
    assert_eq!(events[1].verdict(), Some(Verdict::Verified));
    assert_eq!(world.snapshot().dropped["rev_stale"], 1);
}

#[tokio::test]
async fn an_inactive_account_is_heard_if_it_signs_but_not_by_strict() {
    let directory = Directory::open();
    let mut world = World::new(Verify::lenient(directory.identities()));
    world
        .send(&SimChange::account(did(0), false, Some("deactivated")))
        .await;
    world.create(0, "1").await;
    assert_eq!(rkeys(&world.take(2).await), ["", "1"]);

    let mut world = World::new(Verify::strict(directory.identities()));
    world
        .send(&SimChange::account(did(0), false, Some("deactivated")))
        .await;
    world.create(0, "1").await;
    world.send(&SimChange::account(did(0), true, None)).await;
    world.create(0, "2").await;
    // The first is not delivered, so the second does not follow what is known: nothing is.
    assert_eq!(rkeys(&world.take(3).await), ["", "", "2"]);
    assert_eq!(world.snapshot().dropped["account_inactive"], 1);
}

#[tokio::test]
async fn two_relays_send_the_same_and_each_event_comes_once_and_verified() {
    let mut world = World::new(Verify::lenient(Directory::open().identities()));
    let other = world.jetstream.pusher("other");
    for number in 0..50 {
        let frame = world.frame(&create(number % 5, &number.to_string()));
        world.push(frame.clone()).await;
        other.push(frame).await.unwrap();
    }
    let events = world.take(50).await;
    assert!(
        events
            .iter()
            .all(|event| event.verdict() == Some(Verdict::Verified))
    );
    world.until(|snapshot| snapshot.repeated == 50).await;
    assert_eq!(world.snapshot().verdicts.get("discontinuous"), None);
}

#[tokio::test]
async fn with_a_filter_for_collections_chains_are_not_judged() {
    let filter = Filter::new().collections(["com.example.note"]).unwrap();
    let verify = Verify::strict(Directory::open().identities());
    let builder = Jetstream::builder().ingest_filter(filter).verify(verify);
    let mut world = World::of(builder);
    world.create(0, "1").await;
    let like = json!({"$type": "com.example.like"});
    world
        .send(&SimChange::create(did(0), "com.example.like", "2", like))
        .await;
    world.create(0, "3").await;
    assert_eq!(rkeys(&world.take(2).await), ["1", "3"]);
    assert_eq!(world.snapshot().verdicts["verified"], 2);
}

#[tokio::test]
async fn the_closure_of_the_ingest_filter_is_asked_once_for_a_frame() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let builder = Jetstream::builder()
        .ingest_filter_with(move |_| counter.fetch_add(1, Ordering::Relaxed).is_multiple_of(2))
        .verify(Verify::lenient(Directory::open().identities()));
    let mut world = World::of(builder);
    for number in 0..10 {
        world.create(number, &number.to_string()).await;
    }
    assert_eq!(rkeys(&world.take(5).await), ["0", "2", "4", "6", "8"]);
    assert_eq!(asked.load(Ordering::Relaxed), 10);
}

#[tokio::test]
async fn a_network_comes_out_as_it_does_without_verification() {
    let config = NetworkConfig {
        accounts: 40,
        records: 200,
        rare_per_million: 20_000,
        ..NetworkConfig::default()
    };
    let frames: Vec<Bytes> = jetwash_sim::Network::new(config.clone())
        .unwrap()
        .take(2_000)
        .map(|frame| frame.bytes.into())
        .collect();
    let mut sequences = Vec::new();
    let identities = || {
        jetwash::simulator_identities(&config)
            .unwrap()
            .start()
            .unwrap()
    };
    for verify in [Verify::off(), Verify::strict(identities()).workers(3)] {
        let mut world = World::new(verify);
        for frame in &frames {
            world.push(frame.clone()).await;
        }
        // The last is an account of its own, whose event says that all have come.
        world.network.set_next_seq(1_000_000);
        world
            .until(|snapshot| snapshot.frames == 2_000 && snapshot.held == 0)
            .await;
        let snapshot = world.snapshot();
        assert_eq!(snapshot.dropped.values().sum::<u64>(), 0, "{snapshot:?}");
        let mut events = world.subscribe().await;
        world.stop().await.unwrap();
        let mut by_account: HashMap<String, Vec<String>> = HashMap::new();
        while let Some(event) = events.next().await {
            let event = event.unwrap();
            let is_signed = matches!(event.kind(), Kind::Commit | Kind::Sync);
            if snapshot.verdicts.is_empty() {
                assert_eq!(event.verdict(), None);
            } else {
                assert_eq!(event.verdict(), is_signed.then_some(Verdict::Verified));
            }
            let line = crate::without_time(event.json()).0;
            by_account
                .entry(event.did().to_owned())
                .or_default()
                .push(line);
        }
        sequences.push(by_account);
    }
    assert!(sequences[0].values().map(Vec::len).sum::<usize>() > 1_900);
    assert_eq!(sequences[0], sequences[1]);
}

#[tokio::test]
async fn a_frame_that_is_known_to_be_invalid_is_not_kept() {
    let verify = Verify::lenient(Directory::open().identities());
    let mut world = World::of(Jetstream::builder().keep_frames(1 << 20).verify(verify));
    world.create(0, "1").await;
    world.take(1).await;
    for number in 2..4 {
        // For the first, the key is looked up again meanwhile; for the second it is not.
        let forged = forged(&world.frame(&create(0, &number.to_string())));
        world.push(forged).await;
        world
            .until(|snapshot| snapshot.invalid.get("signature_mismatch") == Some(&(number - 1)))
            .await;
    }
    world.create(0, "4").await;
    world.take(1).await;
    let mut kept = world
        .jetstream
        .kept_frames("relay", FrameStart::Oldest)
        .unwrap();
    let mut seqs = Vec::new();
    while seqs.len() < 3 {
        let frames = kept.next().await.unwrap().unwrap();
        seqs.extend(frames.iter().map(|frame| frame.seq));
    }
    assert_eq!(seqs, [1, 2, 4]);
}

#[tokio::test]
async fn settings_out_of_range_are_mistakes() {
    let identities = Directory::open().identities();
    let verify = Verify::lenient(identities).workers(0).hold_bytes(1);
    let error = Jetstream::builder().verify(verify).build().unwrap_err();
    let mistakes = error.mistakes();
    assert!(matches!(mistakes[0], Mistake::VerifyWorkers { count: 0 }));
    assert!(matches!(mistakes[1], Mistake::HoldBytes { bytes: 1 }));
}

/// A Jetstream that runs, the network whose frames it is given, and a subscription to it.
struct World {
    network: ManualNetwork,
    jetstream: Jetstream,
    pusher: Pusher,
    events: Subscription,
    running: JoinHandle<Result<(), RunError>>,
    stop: oneshot::Sender<()>,
}

impl World {
    fn new(verify: Verify) -> Self {
        Self::of(Jetstream::builder().verify(verify))
    }

    fn in_folder(folder: &Path, verify: Verify) -> Self {
        Self::of(Jetstream::builder().folder(folder).verify(verify))
    }

    fn of(builder: jetwash::JetstreamBuilder) -> Self {
        let (jetstream, ingest) = builder.build().unwrap();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(ingest.run(async { drop(stopped.await) }));
        let events = jetstream.subscribe(StartFrom::Oldest, Filter::new());
        // Nothing is waited for to start at the oldest.
        let events = futures_util::FutureExt::now_or_never(events)
            .unwrap()
            .unwrap();
        Self {
            network: ManualNetwork::new(),
            pusher: jetstream.pusher("relay"),
            jetstream,
            events,
            running,
            stop,
        }
    }

    async fn subscribe(&self) -> Subscription {
        let events = self.jetstream.subscribe(StartFrom::Oldest, Filter::new());
        events.await.unwrap()
    }

    fn frame(&mut self, change: &SimChange) -> Bytes {
        self.network.apply(change).unwrap().bytes.into()
    }

    async fn push(&self, frame: impl Into<Bytes>) {
        self.pusher.push(frame).await.unwrap();
    }

    async fn send(&mut self, change: &SimChange) {
        let frame = self.frame(change);
        self.push(frame).await;
    }

    async fn create(&mut self, account: u64, rkey: &str) {
        self.send(&create(account, rkey)).await;
    }

    async fn take(&mut self, count: usize) -> Vec<Event> {
        let events = self.events.by_ref().take(count);
        let events = events.map(Result::unwrap).collect::<Vec<_>>();
        tokio::time::timeout(Duration::from_secs(60), events)
            .await
            .unwrap()
    }

    fn snapshot(&self) -> Snapshot {
        self.jetstream.snapshot()
    }

    /// Waits for a count, and then for the commit of what led to it.
    async fn until(&self, is_it: impl Fn(&Snapshot) -> bool) {
        let reached = async {
            while !is_it(&self.snapshot()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), reached)
            .await
            .unwrap();
    }

    async fn until_cursor(&self, cursor: u64) {
        let reached = async {
            while self.jetstream.source_cursor("relay") != Some(cursor) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), reached)
            .await
            .unwrap();
    }

    async fn stop(self) -> Result<(), RunError> {
        drop(self.stop);
        self.running.await.unwrap()
    }
}

/// The documents of the accounts, which can be kept back or replaced.
#[derive(Clone)]
struct Directory {
    documents: SimDirectory,
    replaced: Arc<Mutex<HashMap<String, String>>>,
    closed: Arc<Mutex<Vec<String>>>,
    opened: watch::Sender<()>,
    asked: Arc<AtomicUsize>,
}

impl Directory {
    fn open() -> Self {
        Self {
            documents: SimDirectory::new(&NetworkConfig::default()).unwrap(),
            replaced: Arc::default(),
            closed: Arc::default(),
            opened: watch::Sender::new(()),
            asked: Arc::default(),
        }
    }

    fn identities(&self) -> Identities {
        let options = IdentityOptions::new().document_source(self.clone());
        options.without_directories().start().unwrap()
    }

    /// Has questions about a DID wait.
    fn close_for(&self, did: String) {
        self.closed.lock().unwrap().push(did);
    }

    fn open_all(&self) {
        self.closed.lock().unwrap().clear();
        self.opened.send_replace(());
    }

    /// Gives a document from now on, an empty one for none; `None` gives the true one again.
    fn give(&self, did: String, document: Option<String>) {
        let mut replaced = self.replaced.lock().unwrap();
        match document {
            Some(document) => replaced.insert(did, document),
            None => replaced.remove(&did),
        };
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl DocumentSource for Directory {
    fn document<'a>(&'a self, did: &'a Did) -> BoxFuture<'a, io::Result<DocumentAnswer>> {
        Box::pin(async {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let mut opened = self.opened.subscribe();
            while self
                .closed
                .lock()
                .unwrap()
                .iter()
                .any(|closed| *closed == did.as_ref())
            {
                opened.changed().await.unwrap();
            }
            let replaced = self.replaced.lock().unwrap().get(did.as_ref()).cloned();
            let document = replaced.or_else(|| self.documents.document(did.as_ref()));
            Ok(match document {
                Some(document) if document.is_empty() => DocumentAnswer::NotFound,
                Some(document) => DocumentAnswer::Document(document.into_bytes()),
                None => DocumentAnswer::NotFound,
            })
        })
    }
}

/// The document of an account under the name of another.
fn document_of(account: &str, name: &str) -> String {
    let documents = SimDirectory::new(&NetworkConfig::default()).unwrap();
    documents.document(account).unwrap().replace(account, name)
}

fn create(account: u64, rkey: &str) -> SimChange {
    let note = json!({"$type": "com.example.note", "text": rkey});
    SimChange::create(did(account), "com.example.note", rkey, note)
}

fn rkeys(events: &[Event]) -> Vec<String> {
    let rkey = |event: &Event| {
        event
            .uri()
            .map(|uri| uri.rsplit('/').next().unwrap().to_owned())
    };
    events
        .iter()
        .map(|event| rkey(event).unwrap_or_default())
        .collect()
}

/// The frame with another signature of the right form. The commit object, its CID and the frame's
/// link to it fit it.
fn forged(frame: &[u8]) -> Bytes {
    use jetwash_cbor::{Cid, Codec};
    let marker = b"\x63sig\x58\x40";
    let at = frame
        .windows(marker.len())
        .position(|window| window == marker)
        .unwrap()
        + marker.len();
    // The block of the commit object is what its CID stands before.
    let link = commit_link(frame);
    let start = frame[..at]
        .windows(link.len())
        .rposition(|window| window == link)
        .unwrap()
        + link.len();
    let length = block_length(&frame[..start - link.len()], link.len());
    let mut object = frame[start..start + length].to_vec();
    let sig = at - start;
    object[sig + 5] ^= 1;
    let other = Cid::of(Codec::DagCbor, &object);
    let frame = [&frame[..start], &object, &frame[start + length..]].concat();
    let mut forged = Vec::new();
    let mut rest = &frame[..];
    while let Some(at) = rest.windows(link.len()).position(|window| window == link) {
        forged.extend(&rest[..at]);
        forged.extend(other.as_bytes());
        rest = &rest[at + link.len()..];
    }
    forged.extend(rest);
    forged.into()
}

/// The CID of the commit object of a commit or a sync: the root of its CAR file.
fn commit_link(frame: &[u8]) -> Vec<u8> {
    use jetwash::frame::{Car, Frame};
    let blocks = match Frame::decode(frame).unwrap() {
        Frame::Commit(commit) => commit.blocks,
        Frame::Sync(sync) => sync.blocks,
        _ => panic!("a frame with blocks"),
    };
    Car::parse(blocks).unwrap().root().as_bytes().to_vec()
}

/// The length of the block whose section, a varint and a CID, begins at the end of `before`.
fn block_length(before: &[u8], cid: usize) -> usize {
    let last = usize::from(before[before.len() - 1]);
    let previous = usize::from(before[before.len() - 2]);
    let section = if previous >= 0x80 {
        last << 7 | previous & 0x7f
    } else {
        last
    };
    section - cid
}

/// The frame with the first `from` in it replaced.
fn replaced(frame: &[u8], from: &[u8], to: &[u8]) -> Bytes {
    let at = frame.windows(from.len()).position(|window| window == from);
    let (before, rest) = frame.split_at(at.expect("it is in the frame"));
    [before, to, &rest[from.len()..]].concat().into()
}
