//! Filters by sets of accounts that change, and what is turned away before it is decoded.

use std::pin::pin;

use futures_util::{FutureExt, StreamExt};
use jetwash::{DidSet, Filter, Jetstream, Micros, StartFrom};
use jetwash_sim::{Network, NetworkConfig, SimEvent};
use tokio::sync::oneshot;

use crate::{NOW_US, lines, pipeline, take};

const A: &str = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb";

/// {"t": "#account", "op": 1} {"did": …, "seq": …, "time": …, "active": true}
fn account_frame(did: &str, seq: u16) -> Vec<u8> {
    assert_eq!(did.len(), 32);
    let mut frame = b"\xa2\x61t\x68#account\x62op\x01\xa4\x63did\x78\x20".to_vec();
    frame.extend(did.as_bytes());
    frame.extend(b"\x63seq\x19");
    frame.extend((1000 + seq).to_be_bytes());
    frame.extend(b"\x64time\x742026-07-04T14:38:07Z\x66active\xf5");
    frame
}

fn commits(count: usize) -> Vec<Vec<u8>> {
    let config = NetworkConfig {
        accounts: 5,
        records: 50,
        ..NetworkConfig::default()
    };
    Network::new(config)
        .unwrap()
        .filter(|frame| matches!(frame.event, SimEvent::Commit(_)))
        .take(count)
        .map(|frame| frame.bytes)
        .collect()
}

#[tokio::test]
async fn a_change_holds_from_the_cursor_that_is_told() {
    let set = DidSet::new();
    let filter = Filter::new().did_set(set.clone());
    let (jetstream, ingest) = Jetstream::builder().ingest_filter(filter).build().unwrap();
    let mut before = pin!(jetstream.holds_from(set.add(A).unwrap()));
    assert!(before.as_mut().now_or_never().is_none());
    let (stop, stopped) = oneshot::channel::<()>();
    let run = tokio::spawn(ingest.run(async { drop(stopped.await) }));
    assert_eq!(before.await.unwrap().get(), 0);
    let pusher = jetstream.pusher("by hand");
    // Which events were judged by the set as it was between two changes.
    let mut spans = Vec::new();
    for round in 0..20_u16 {
        let allowed = if round % 2 == 0 { B } else { A };
        // These may be judged before the change or after it.
        for seq in 0..10 {
            let did = if seq % 2 == 0 { A } else { B };
            let frame = account_frame(did, round * 20 + seq);
            pusher.push(frame).await.unwrap();
        }
        let change = set.replace([allowed]).unwrap();
        let first = jetstream.holds_from(change).await.unwrap();
        for seq in 10..20 {
            let did = if seq % 2 == 0 { A } else { B };
            let frame = account_frame(did, round * 20 + seq);
            pusher.push(frame).await.unwrap();
        }
        while jetstream.snapshot().frames < u64::from(round + 1) * 20 {
            tokio::task::yield_now().await;
        }
        let last = jetstream.holds_from(change).await.unwrap();
        spans.push((first.get() as usize, last.get() as usize, allowed));
    }
    drop(stop);
    run.await.unwrap().unwrap();
    let events = lines(jetstream.store());
    for (first, last, allowed) in spans {
        assert!(last >= first + 5, "from {first} to {last}");
        for line in &events[first..last] {
            assert!(line.contains(allowed), "{line} from {first} to {last}");
        }
    }
    // The Jetstream has stopped.
    assert!(jetstream.holds_from(set.clear()).await.is_err());
}

#[tokio::test]
async fn a_subscription_follows_a_change_with_its_next_event() {
    let (jetstream, ingest) = Jetstream::builder().build().unwrap();
    let run = tokio::spawn(ingest.run(std::future::pending()));
    let pusher = jetstream.pusher("by hand");
    for seq in 0..60 {
        let did = if seq % 2 == 0 { A } else { B };
        pusher.push(account_frame(did, seq)).await.unwrap();
    }
    // All of it is there, most of it in one block.
    let all = take(&jetstream, StartFrom::Oldest, Filter::new(), 60).await;
    assert_eq!(all.len(), 60);
    let set = DidSet::new();
    set.add(A).unwrap();
    let filter = Filter::new().did_set(set.clone());
    let mut events = jetstream
        .subscribe(StartFrom::Oldest, filter)
        .await
        .unwrap();
    let mut next = async || {
        let event = events.next().await.unwrap().unwrap();
        (event.cursor().get(), event.did().to_owned())
    };
    assert_eq!(next().await, (1, A.to_owned()));
    assert_eq!(next().await, (3, A.to_owned()));
    set.replace([B]).unwrap();
    assert_eq!(next().await, (4, B.to_owned()));
    assert_eq!(next().await, (6, B.to_owned()));
    set.add(A).unwrap();
    assert_eq!(next().await, (7, A.to_owned()));
    assert_eq!(next().await, (8, B.to_owned()));
    set.remove(A);
    assert_eq!(next().await, (10, B.to_owned()));
    run.abort();
}

#[test]
fn an_empty_set_keeps_everything_out() {
    let (pipeline, log) = pipeline();
    let mut pipeline = pipeline.filter(Filter::new().did_set(DidSet::new()));
    for frame in commits(20) {
        pipeline.frame("a", &frame, Micros::new(NOW_US)).unwrap();
    }
    pipeline.commit().unwrap();
    assert!(lines(&log).is_empty());
    assert_eq!(pipeline.snapshot().rejected, 20);
}

/// An unwanted frame may be malformed behind the byte that tells: nothing behind it is read.
#[test]
fn what_is_not_wanted_is_not_decoded() {
    let cut = |frame: &Vec<u8>| {
        let repo = frame.windows(5).position(|key| key == b"\x64repo").unwrap();
        frame[..repo + 5 + 2 + 32].to_vec()
    };
    let none = DidSet::new();
    let filters = [
        Filter::new().did_set(none),
        Filter::new().collections(["com.example.*"]).unwrap(),
        Filter::new().kinds([jetwash::Kind::Account]),
    ];
    for filter in filters {
        let (pipeline, _log) = pipeline();
        let mut pipeline = pipeline.filter(filter);
        for frame in commits(20) {
            pipeline
                .frame("a", &cut(&frame), Micros::new(NOW_US))
                .unwrap();
        }
        let snapshot = pipeline.snapshot();
        assert_eq!((snapshot.rejected, snapshot.events), (20, 0));
        assert!(snapshot.dropped.is_empty());
    }
    // And with a filter that wants them they are found to be malformed.
    let (mut pipeline, _log) = pipeline();
    for frame in commits(20) {
        pipeline
            .frame("a", &cut(&frame), Micros::new(NOW_US))
            .unwrap();
    }
    assert_eq!(pipeline.snapshot().dropped["frame_malformed"], 20);
}

#[test]
fn a_closure_over_the_peeked_header_decides() {
    let frames = commits(100);
    let (pipeline, log) = pipeline();
    let mut pipeline =
        pipeline.filter_with(|frame| frame.seq.is_some_and(|seq| seq.is_multiple_of(2)));
    let mut wanted = 0;
    for frame in &frames {
        wanted += u64::from(
            jetwash::frame::peek(frame)
                .unwrap()
                .seq
                .unwrap()
                .is_multiple_of(2),
        );
        pipeline.frame("a", frame, Micros::new(NOW_US)).unwrap();
    }
    pipeline.commit().unwrap();
    assert!(wanted > 10 && wanted < 90);
    assert_eq!(pipeline.snapshot().rejected, 100 - wanted);
    assert!(!lines(&log).is_empty());
}
