//! Dictionaries that change while a `Jetstream` runs.

use std::pin::pin;

use futures_util::{FutureExt, StreamExt};
use jetwash::dict::Evaluation;
use jetwash::store::Read;
use jetwash::{
    AutoDictionary, Cursor, Dictionary, Filter, Jetstream, NetworkConfig, RotateError, Seq,
    StartFrom,
};
use jetwash_sim::Network;
use tokio::sync::oneshot;

use crate::{lines, take};

fn dictionary(id: u32) -> Dictionary {
    let samples =
        (0..2000).map(|n| format!(r#"{{"did":"did:plc:{n}","kind":"commit","of":{id}}}"#));
    Dictionary::train(samples, 2048, id).unwrap()
}

fn frames(count: usize) -> Vec<Vec<u8>> {
    let network = NetworkConfig {
        accounts: 10,
        records: 100,
        ..NetworkConfig::default()
    };
    let network = Network::new(network).unwrap();
    network.take(count).map(|frame| frame.bytes).collect()
}

/// Each event's position, the number of its dictionary, and what zstd itself makes of its frame.
fn frames_in(jetstream: &Jetstream) -> Vec<(u64, u32, String)> {
    let store = jetstream.store();
    let (mut found, mut position) = (Vec::new(), store.bounds().oldest_seq);
    while let Read::Events(run) = store.read(position).unwrap() {
        let id = run.block().dictionary_id().unwrap();
        let dictionary = store.dictionary(id).unwrap();
        let mut decoder = zstd::bulk::Decompressor::with_dictionary(dictionary.bytes()).unwrap();
        let page = run.block().compressed().unwrap().unwrap();
        for index in run.indexes() {
            let json = decoder
                .decompress(page.get(index).unwrap(), 1 << 20)
                .unwrap();
            let position = run.block().first_seq().get() + index as u64;
            found.push((position, id, String::from_utf8(json).unwrap()));
        }
        position = run.next_seq();
    }
    found
}

#[tokio::test]
async fn a_rotation_applies_from_the_position_that_it_gives() {
    let folder = tempfile::tempdir().unwrap();
    let builder = Jetstream::builder().folder(folder.path());
    let (jetstream, ingest) = builder.dictionary(dictionary(1)).build().unwrap();
    let mut changes = jetstream.dictionary_changes();
    let (stop, stopped) = oneshot::channel::<()>();
    let run = tokio::spawn(ingest.run(async { drop(stopped.await) }));
    let pusher = jetstream.pusher("hand");
    let mut uses = vec![(1, 1)];
    let mut events = jetstream
        .subscribe(StartFrom::Oldest, Filter::new())
        .await
        .unwrap();
    for (number, frame) in frames(900).into_iter().enumerate() {
        pusher.push(frame).await.unwrap();
        if matches!(number, 300 | 600) {
            let id = number as u32 / 300 + 1;
            // A rotation may overtake frames that wait: some must be in the log since the last one.
            let last = Cursor::new(uses[uses.len() - 1].0);
            while events.next().await.unwrap().unwrap().cursor() <= last {}
            let position = jetstream.rotate_dictionary(dictionary(id)).await.unwrap();
            uses.push((position.get(), id));
            assert_eq!(jetstream.dictionary().unwrap().id(), id);
            assert!(changes.has_changed().unwrap());
            changes.mark_unchanged();
        }
    }
    drop(stop);
    run.await.unwrap().unwrap();

    let found = frames_in(&jetstream);
    assert!(found.len() > 800 && uses[2].0 > uses[1].0 && uses[1].0 > 1);
    for (position, id, _) in &found {
        let used = uses.iter().rfind(|(since, _)| since <= position).unwrap();
        assert_eq!(*id, used.1, "at {position}");
    }
    let unpacked: Vec<_> = found.into_iter().map(|(_, _, json)| json).collect();
    assert_eq!(unpacked, lines(jetstream.store()));
    let known = jetstream.store().dictionaries();
    let known: Vec<_> = known.iter().map(Dictionary::id).collect();
    assert_eq!(known, [1, 2, 3]);
}

#[tokio::test]
async fn one_reader_reads_across_dictionaries() {
    let (jetstream, ingest) = Jetstream::builder()
        .dictionary(dictionary(1))
        .build()
        .unwrap();
    tokio::spawn(ingest.run(std::future::pending()));
    let pusher = jetstream.pusher("hand");
    for (number, frame) in frames(400).into_iter().enumerate() {
        if number % 100 == 50 {
            let next = dictionary(2 + number as u32 / 100);
            jetstream.rotate_dictionary(next).await.unwrap();
        }
        pusher.push(frame).await.unwrap();
    }
    let events = take(&jetstream, StartFrom::Oldest, Filter::new(), 390).await;
    assert!(events.is_sorted_by(|one, next| one.seq().next() == next.seq()));
    assert!(events.iter().all(|event| event.parse().is_ok()));
}

#[tokio::test]
async fn a_number_cannot_come_to_stand_for_another_dictionary() {
    let (jetstream, ingest) = Jetstream::builder()
        .dictionary(dictionary(1))
        .build()
        .unwrap();
    let samples = (0..2000).map(|n| format!("something else {n}"));
    let other = Dictionary::train(samples, 1024, 1).unwrap();
    tokio::spawn(ingest.run(std::future::pending()));
    let outcome = jetstream.rotate_dictionary(other).await;
    assert!(matches!(outcome, Err(RotateError::Store(_))), "{outcome:?}");
    assert_eq!(jetstream.dictionary(), Some(dictionary(1)));
}

#[tokio::test]
async fn a_rotation_waits_for_the_run_and_comes_before_its_first_event() {
    let builder = Jetstream::builder().dictionary(dictionary(1));
    let (jetstream, ingest) = builder.build().unwrap();
    let mut rotation = pin!(jetstream.rotate_dictionary(dictionary(2)));
    assert!(rotation.as_mut().now_or_never().is_none());
    assert_eq!(jetstream.dictionary(), Some(dictionary(1)));
    tokio::spawn(ingest.run(std::future::pending()));
    assert_eq!(rotation.await.unwrap(), Seq::FIRST);
    assert_eq!(jetstream.dictionary(), Some(dictionary(2)));
}

#[tokio::test]
async fn a_rotation_that_waits_for_the_run_ends_when_the_ingest_is_dropped() {
    let (jetstream, ingest) = Jetstream::builder().build().unwrap();
    let mut rotation = pin!(jetstream.rotate_dictionary(dictionary(1)));
    assert!(rotation.as_mut().now_or_never().is_none());
    drop(ingest);
    let outcome = rotation.await;
    assert!(matches!(outcome, Err(RotateError::Stopped)), "{outcome:?}");
}

#[tokio::test]
async fn nothing_rotates_after_the_end() {
    let (jetstream, ingest) = Jetstream::builder().build().unwrap();
    ingest.run(std::future::ready(())).await.unwrap();
    let outcome = jetstream.rotate_dictionary(dictionary(1)).await;
    assert!(matches!(outcome, Err(RotateError::Stopped)), "{outcome:?}");
}

/// A few thousand events of the simulator, as fast as they can be made.
fn simulated() -> jetwash::JetstreamBuilder {
    let network = NetworkConfig {
        accounts: 200,
        records: 400,
        ..NetworkConfig::default()
    };
    let auto = AutoDictionary::new().first_after(3000).look_every(2000);
    Jetstream::builder()
        .simulator(network, None)
        .auto_dictionary(auto.sizes([4096, 8192]))
}

#[tokio::test]
async fn the_log_trains_its_own_dictionary_which_is_better() {
    let folder = tempfile::tempdir().unwrap();
    let first = dictionary(1);
    let builder = simulated().dictionary(first.clone()).folder(folder.path());
    let (jetstream, ingest) = builder.build().unwrap();
    let mut changes = jetstream.dictionary_changes();
    let (stop, stopped) = oneshot::channel::<()>();
    let run = tokio::spawn(ingest.run(async { drop(stopped.await) }));
    changes.changed().await.unwrap();
    let second = changes.borrow_and_update().clone().unwrap();
    assert_ne!(second.id(), first.id());
    // Events continue to come, and are compressed with it.
    let mut tip = jetstream.store().tip();
    let now = *tip.borrow();
    tip.wait_for(|next_seq| *next_seq > Seq::new(now.get() + 1500))
        .await
        .unwrap();
    drop(stop);
    run.await.unwrap().unwrap();

    let found = frames_in(&jetstream);
    let with = |id| found.iter().filter(move |(_, used, _)| *used == id);
    assert!(with(1).count() >= 2900 && with(second.id()).count() >= 500);
    let lines: Vec<_> = with(second.id())
        .map(|(_, _, json)| json.as_bytes())
        .collect();
    let old = Evaluation::of(&first, lines.iter().copied()).ratio();
    let new = Evaluation::of(&second, lines.iter().copied()).ratio();
    assert!(new < old * 0.9, "{new} is not much better than {old}");
    drop((jetstream, tip, changes));

    // The next run continues with what this one has learnt.
    let (jetstream, _ingest) = simulated()
        .dictionary(first)
        .folder(folder.path())
        .build()
        .unwrap();
    assert_eq!(jetstream.dictionary(), Some(second));
}

#[tokio::test]
async fn a_log_whose_dictionary_is_being_trained_can_be_opened_again_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let auto = || AutoDictionary::new().first_after(2000).look_every(1);
    let builder = || simulated().auto_dictionary(auto().worse_by(-1.0));
    for first in 1..=3 {
        let (jetstream, ingest) = builder().folder(folder.path()).build().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = tokio::spawn(ingest.run(async { drop(stopped.await) }));
        // With what there is by now, one is begun as soon as the one before it is done.
        let mut tip = jetstream.store().tip();
        let enough = |next_seq: &Seq| next_seq.get() > first * 3000;
        tip.wait_for(enough).await.unwrap();
        drop(stop);
        run.await.unwrap().unwrap();
    }
}
