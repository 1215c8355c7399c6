//! Raw frames kept beside the events, for those who send them on.

use jetwash::{Filter, FrameStart, FramesError, Jetstream, JetstreamBuilder, NetworkConfig};
use jetwash_sim::Network;

use crate::run::start;

const RELAY: &str = "relay";

fn network(count: usize) -> Vec<(u64, Vec<u8>)> {
    let config = NetworkConfig {
        accounts: 10,
        records: 100,
        ..NetworkConfig::default()
    };
    let frames = Network::new(config).unwrap().take(count);
    frames.map(|frame| (frame.seq, frame.bytes)).collect()
}

/// Keeps frames, but no event at all.
fn keeping() -> JetstreamBuilder {
    let nothing = Filter::new().collections(["com.example.nothing"]).unwrap();
    let nobody = nothing.dids(["did:web:nobody.example"]).unwrap();
    Jetstream::builder()
        .ingest_filter(nobody)
        .keep_frames(1 << 30)
}

/// The next `count` frames from a sequence number on.
async fn take(jetstream: &Jetstream, start: FrameStart, count: usize) -> Vec<(u64, Vec<u8>)> {
    let mut reader = jetstream.kept_frames(RELAY, start).unwrap();
    let mut taken = Vec::new();
    while taken.len() < count {
        let frames = reader.next().await.unwrap().unwrap();
        taken.extend(
            frames
                .into_iter()
                .map(|frame| (frame.seq, frame.bytes.to_vec())),
        );
    }
    taken
}

#[tokio::test]
async fn every_frame_is_kept_as_it_came_whatever_becomes_of_its_events() {
    let sent = network(400);
    let (jetstream, stop, task) = start(keeping());
    // One that is behind from the start, and one that is behind the first half.
    let following = take(&jetstream, FrameStart::Live, 400);
    let pushing = async {
        let pusher = jetstream.pusher(RELAY);
        for (_, frame) in &sent {
            pusher.push(frame.clone()).await.unwrap();
        }
    };
    let (followed, ()) = tokio::join!(following, pushing);
    assert_eq!(followed, sent);
    let middle = sent[200].0;
    assert_eq!(
        take(&jetstream, FrameStart::Seq(middle), 200).await,
        sent[200..]
    );
    assert_eq!(jetstream.bounds().events(), 0);
    let mut reader = jetstream
        .kept_frames(RELAY, FrameStart::Seq(sent[399].0))
        .unwrap();
    drop(stop);
    task.await.unwrap();
    assert_eq!(reader.next().await.unwrap().unwrap().len(), 1);
    assert!(reader.next().await.is_none(), "the log has been closed");
}

#[tokio::test]
async fn frames_are_read_from_disk_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let sent = network(300);
    for half in [&sent[..150], &sent[150..]] {
        let (jetstream, stop, task) = start(keeping().folder(folder.path()));
        let pusher = jetstream.pusher(RELAY);
        for (_, frame) in half {
            pusher.push(frame.clone()).await.unwrap();
        }
        drop(stop);
        task.await.unwrap();
    }
    let (jetstream, _ingest) = keeping().folder(folder.path()).build().unwrap();
    assert_eq!(take(&jetstream, FrameStart::Oldest, 300).await, sent);
    let early = sent[0].0 - 1;
    let mut reader = jetstream
        .kept_frames(RELAY, FrameStart::Seq(early))
        .unwrap();
    let lost = reader.next().await.unwrap().unwrap_err();
    let expected = (early, sent[0].0);
    assert!(matches!(lost, FramesError::Lost { from, oldest } if (from, oldest) == expected));
    assert_eq!(reader.next().await.unwrap().unwrap()[0].seq, sent[0].0);
}

#[tokio::test]
async fn what_a_source_repeats_is_kept_once() {
    let sent = network(300);
    // With events, by which a repetition is recognised.
    let (jetstream, stop, task) = start(Jetstream::builder().keep_frames(1 << 30));
    let pusher = jetstream.pusher(RELAY);
    // Up to the newest again, so that a number that is next comes right after the repetition.
    for (_, frame) in sent[..200].iter().chain(&sent[100..]) {
        pusher.push(frame.clone()).await.unwrap();
    }
    assert_eq!(take(&jetstream, FrameStart::Oldest, 300).await, sent);
    drop(stop);
    task.await.unwrap();
    let snapshot = jetstream.snapshot();
    assert_eq!((snapshot.frames, snapshot.gaps.len()), (400, 0));
}

#[test]
fn frames_that_are_not_kept_cannot_be_read() {
    let (jetstream, _ingest) = Jetstream::builder().build().unwrap();
    let error = jetstream
        .kept_frames(RELAY, FrameStart::Oldest)
        .unwrap_err();
    assert!(matches!(error, FramesError::NotKept), "{error}");
    let error = Jetstream::builder().keep_frames(17).build().unwrap_err();
    assert!(error.to_string().contains("17 bytes"), "{error}");
}
