//! Running, subscribing, stopping and starting again.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use jetwash::{
    AutoDictionary, Cursor, Event, Filter, Jetstream, JetstreamBuilder, Kind, NetworkConfig,
    NotReady, SIMULATOR, Seq, StartFrom, Stopped,
};
use jetwash_sim::Network;
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::{lines, take};

fn network() -> NetworkConfig {
    NetworkConfig {
        accounts: 10,
        records: 100,
        ..NetworkConfig::default()
    }
}

fn frames(count: usize) -> Vec<Vec<u8>> {
    Network::new(network())
        .unwrap()
        .take(count)
        .map(|frame| frame.bytes)
        .collect()
}

/// Runs a Jetstream until told to stop.
pub(crate) fn start(builder: JetstreamBuilder) -> (Jetstream, oneshot::Sender<()>, JoinHandle<()>) {
    let (jetstream, ingest) = builder.build().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let run = ingest.run(async { drop(stopped.await) });
    let task = tokio::spawn(async { run.await.unwrap() });
    (jetstream, stop, task)
}

#[tokio::test]
async fn the_simulator_feeds_subscriptions_from_the_start() {
    let (jetstream, stop, task) = start(Jetstream::builder().simulator(network(), None));
    let events = take(&jetstream, StartFrom::Oldest, Filter::new(), 500).await;
    let cursors: Vec<_> = events.iter().map(|event| event.cursor().get()).collect();
    assert_eq!(cursors, (1..=500).collect::<Vec<_>>());
    assert!(events.is_sorted_by(|one, next| one.time_us() < next.time_us()));
    let event = &events[0];
    let parsed = event.parse().unwrap();
    assert_eq!(parsed.did.as_ref(), event.did());
    assert_eq!(parsed.time_us, event.time_us());
    drop(stop);
    task.await.unwrap();
}

#[tokio::test]
async fn a_pusher_learns_after_a_restart_where_its_source_was() {
    let folder = tempfile::tempdir().unwrap();
    for position in [None, Some(100)] {
        let (jetstream, stop, task) = start(Jetstream::builder().folder(folder.path()));
        assert_eq!(jetstream.source_cursor("mine"), position);
        let pusher = jetstream.pusher("mine");
        for frame in frames(100) {
            pusher.push(frame).await.unwrap();
        }
        drop(stop);
        task.await.unwrap();
    }
}

#[tokio::test]
async fn the_simulator_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (mut seen, mut frames) = (0, 0);
    for _ in 0..3 {
        let simulated = Jetstream::builder()
            .folder(folder.path())
            .simulator(network(), Some(20_000));
        let (jetstream, stop, task) = start(simulated);
        let after = StartFrom::Cursor(Cursor::new(seen));
        let events = take(&jetstream, after, Filter::new(), 200).await;
        seen = events.last().unwrap().cursor().get();
        drop(stop);
        task.await.unwrap();
        let snapshot = jetstream.snapshot();
        assert!(snapshot.dropped.is_empty(), "{:?}", snapshot.dropped);
        seen = seen.max(jetstream.bounds().next_seq.get() - 1);
        let newest = jetstream.source_cursor(SIMULATOR).unwrap();
        // The frames of this run have the numbers that follow on those of the last.
        assert_eq!(newest - frames, snapshot.frames);
        frames = newest;
    }
}

#[tokio::test]
async fn the_simulator_of_default_size_starts_at_once() {
    let simulated = Jetstream::builder().simulator(NetworkConfig::default(), None);
    let (jetstream, _stop, _task) = start(simulated);
    let first = take(&jetstream, StartFrom::Oldest, Filter::new(), 1);
    let first = tokio::time::timeout(Duration::from_secs(10), first).await;
    assert_eq!(first.unwrap().len(), 1);
}

#[tokio::test]
async fn a_subscription_goes_on_exactly_after_its_cursor_and_from_a_time() {
    let (jetstream, _stop, _task) = start(Jetstream::builder().simulator(network(), None));
    let all = take(&jetstream, StartFrom::Oldest, Filter::new(), 300).await;
    let after = StartFrom::Cursor(all[99].cursor());
    let resumed = take(&jetstream, after, Filter::new(), 100).await;
    let texts = |events: &[Event]| -> Vec<String> {
        events.iter().map(|event| event.json().to_owned()).collect()
    };
    assert_eq!(texts(&resumed), texts(&all[100..200]));
    let time = std::time::UNIX_EPOCH + Duration::from_micros(all[150].time_us().get());
    let since = take(&jetstream, StartFrom::Time(time), Filter::new(), 10).await;
    assert_eq!(texts(&since), texts(&all[150..160]));
}

#[tokio::test]
async fn a_filter_gives_what_filtering_by_hand_gives() {
    let (jetstream, _stop, _task) = start(Jetstream::builder().simulator(network(), None));
    let all = take(&jetstream, StartFrom::Oldest, Filter::new(), 1000).await;
    let did = all[3].did().to_owned();
    let filter = Filter::new()
        .dids([&did])
        .unwrap()
        .collections(["app.bsky.feed.*"])
        .unwrap();
    let by_hand: Vec<_> = all
        .iter()
        .filter(|event| event.did() == did)
        .filter(|event| {
            event.kind() != Kind::Commit
                || event
                    .collection()
                    .is_some_and(|name| name.starts_with("app.bsky.feed."))
        })
        .map(|event| event.cursor())
        .collect();
    assert!(by_hand.len() > 5, "the test has next to nothing to find");
    let found = take(&jetstream, StartFrom::Oldest, filter, by_hand.len()).await;
    assert_eq!(
        found.iter().map(|event| event.cursor()).collect::<Vec<_>>(),
        by_hand
    );
}

#[tokio::test]
async fn what_was_pushed_before_the_stop_is_there_after_it_and_subscriptions_end() {
    let folder = tempfile::tempdir().unwrap();
    let build = || Jetstream::builder().folder(folder.path());
    let (jetstream, stop, task) = start(build());
    let mut events = jetstream
        .subscribe(StartFrom::Live, Filter::new())
        .await
        .unwrap();
    let pusher = jetstream.pusher("hand");
    for frame in frames(200) {
        pusher.push(frame).await.unwrap();
    }
    drop(stop);
    task.await.unwrap();
    let mut seen = Vec::new();
    while let Some(event) = events.next().await {
        seen.push(event.unwrap().json().to_owned());
    }
    assert!(seen.len() >= 190);
    assert!(pusher.push(frames(1).remove(0)).await.is_err());
    let cursor = jetstream.source_cursor("hand");
    drop((jetstream, events, pusher));

    let (jetstream, _stop, _task) = start(build());
    assert_eq!(lines(jetstream.store()), seen);
    assert_eq!(cursor, Some(200));
    // The same frames again add nothing, and new ones continue behind.
    let pusher = jetstream.pusher("hand");
    for frame in frames(201) {
        pusher.push(frame).await.unwrap();
    }
    let after = StartFrom::Cursor(Cursor::new(seen.len() as u64));
    let next = take(&jetstream, after, Filter::new(), 1).await;
    assert_eq!(next[0].cursor().get(), seen.len() as u64 + 1);
    assert!(jetstream.snapshot().dropped.is_empty());
}

#[tokio::test]
async fn events_in_hand_do_not_keep_the_log_open() {
    let folder = tempfile::tempdir().unwrap();
    let builder = || Jetstream::builder().folder(folder.path());
    let (jetstream, stop, task) = start(builder().simulator(network(), None));
    take(&jetstream, StartFrom::Oldest, Filter::new(), 3_000).await;
    drop(stop);
    task.await.unwrap();
    let written = lines(jetstream.store());
    drop(jetstream);

    // Now all of it is read from the disk.
    let (jetstream, ingest) = builder().build().unwrap();
    let kept = take(&jetstream, StartFrom::Oldest, Filter::new(), 3_000).await;
    drop((jetstream, ingest));
    drop(builder().build().unwrap());
    let kept: Vec<&str> = kept.iter().map(Event::json).collect();
    assert_eq!(kept, written[..3_000]);
}

#[tokio::test]
async fn a_dropped_run_stops_as_well() {
    let (jetstream, ingest) = Jetstream::builder()
        .simulator(network(), None)
        .build()
        .unwrap();
    let mut events = jetstream
        .subscribe(StartFrom::Oldest, Filter::new())
        .await
        .unwrap();
    let run = tokio::spawn(ingest.run(std::future::pending()));
    events.next().await.unwrap().unwrap();
    run.abort();
    while let Some(event) = events.next().await {
        event.unwrap();
    }
}

#[tokio::test]
async fn a_run_that_is_dropped_before_it_begins_ends_the_log() {
    let (jetstream, ingest) = Jetstream::builder().build().unwrap();
    let start = StartFrom::Oldest;
    let mut events = jetstream.subscribe(start, Filter::new()).await.unwrap();
    drop(ingest.run(std::future::pending()));
    assert!(events.next().await.is_none());
    assert_eq!(jetstream.readiness(), Err(NotReady::NotRunning));
}

#[tokio::test]
async fn an_ingest_that_is_dropped_ends_the_log_for_its_readers() {
    let folder = tempfile::tempdir().unwrap();
    let builder = || Jetstream::builder().folder(folder.path());
    let (jetstream, stop, task) = start(builder());
    let pusher = jetstream.pusher("hand");
    for frame in frames(50) {
        pusher.push(frame).await.unwrap();
    }
    drop(stop);
    task.await.unwrap();
    let written = lines(jetstream.store());
    drop((jetstream, pusher));

    let (jetstream, ingest) = builder().build().unwrap();
    let start = StartFrom::Oldest;
    let mut events = jetstream.subscribe(start, Filter::new()).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..written.len() {
        seen.push(events.next().await.unwrap().unwrap().json().to_owned());
    }
    assert_eq!(seen, written);
    let mut next = events.next();
    assert!(
        (&mut next).now_or_never().is_none(),
        "the log may still grow"
    );
    drop(ingest);
    assert!(next.await.is_none());
    assert_eq!(jetstream.readiness(), Err(NotReady::NotRunning));
}

#[tokio::test]
async fn a_pusher_that_waits_for_the_run_is_stopped_when_the_ingest_is_dropped() {
    let builder = Jetstream::builder().intake_bytes(1 << 16);
    let (jetstream, ingest) = builder.build().unwrap();
    let pusher = jetstream.pusher("hand");
    let pushing = async {
        for frame in frames(1000) {
            pusher.push(frame).await?;
        }
        Ok(())
    };
    let mut pushing = pin!(pushing);
    assert!(
        pushing.as_mut().now_or_never().is_none(),
        "the queue is full"
    );
    drop(ingest);
    assert_eq!(pushing.await, Err(Stopped));
}

#[tokio::test]
async fn what_was_pushed_before_the_run_is_taken_in_by_it() {
    let builder = Jetstream::builder().intake_bytes(1 << 16);
    let (jetstream, ingest) = builder.build().unwrap();
    let pusher = jetstream.pusher("hand");
    let pushing = async {
        for frame in frames(1000) {
            pusher.push(frame).await.unwrap();
        }
    };
    let mut pushing = pin!(pushing);
    assert!(
        pushing.as_mut().now_or_never().is_none(),
        "the queue is full"
    );
    assert_eq!(jetstream.snapshot().frames, 0);
    let (stop, stopped) = oneshot::channel::<()>();
    let run = tokio::spawn(ingest.run(async { drop(stopped.await) }));
    pushing.await;
    drop(stop);
    run.await.unwrap().unwrap();
    assert_eq!(jetstream.source_cursor("hand"), Some(1000));
}

#[tokio::test]
async fn an_ingest_that_is_dropped_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let builder = || Jetstream::builder().folder(folder.path());
    let held = Arc::new(());
    let kept = Arc::clone(&held);
    let source = futures_util::stream::poll_fn(move |_| {
        let _ = &kept;
        Poll::Pending
    });
    let auto = AutoDictionary::new();
    let built = builder().frame_stream("a", source).auto_dictionary(auto);
    let (jetstream, ingest) = built.build().unwrap();
    jetstream
        .pusher("hand")
        .push(frames(1).remove(0))
        .await
        .unwrap();
    assert_eq!(Arc::strong_count(&held), 2);
    drop(ingest);
    assert_eq!(Arc::strong_count(&held), 1);
    drop(builder().build().unwrap_err());
    // The handle is the last to hold the folder.
    drop(jetstream);
    drop(builder().build().unwrap());
    // And the ingest is, if the handle goes first.
    let (jetstream, ingest) = builder().build().unwrap();
    drop(jetstream);
    drop(builder().build().unwrap_err());
    drop(ingest);
    drop(builder().build().unwrap());
}

/// The writer has a thread of its own, which must not be left with timers that nobody runs.
#[test]
fn a_runtime_that_is_dropped_stops_it_as_well() {
    let here = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for _ in 0..20 {
        for mut runtime in [
            runtime::Builder::new_current_thread(),
            runtime::Builder::new_multi_thread(),
        ] {
            let runtime = runtime.enable_all().build().unwrap();
            let builder = Jetstream::builder().commit_delay(Duration::from_secs(10));
            let (jetstream, ingest) = builder.build().unwrap();
            let subscribe = jetstream.subscribe(StartFrom::Oldest, Filter::new());
            let events = here.block_on(subscribe).unwrap();
            runtime.block_on(async {
                tokio::spawn(ingest.run(std::future::pending()));
                let pusher = jetstream.pusher("hand");
                for frame in frames(20) {
                    pusher.push(frame).await.unwrap();
                }
                // The writer has to be there, and is far from its next commit.
                while jetstream.snapshot().frames == 0 {
                    tokio::task::yield_now().await;
                }
            });
            drop(runtime);
            let events: Vec<_> = here.block_on(events.collect());
            assert!(events.iter().all(Result::is_ok));
            assert!(events.len() >= 19, "{}", events.len());
            assert_eq!(jetstream.source_cursor("hand"), Some(20));
        }
    }
}

/// As above, but with a `run` that is not a task of the runtime's, and so outlives it.
#[test]
fn a_run_that_outlives_its_runtime_ends() {
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let handle = runtime.handle().clone();
    let (jetstream, ingest) = Jetstream::builder().build().unwrap();
    let run = ingest.run(std::future::pending());
    let running = thread::spawn(move || handle.block_on(run));
    runtime
        .block_on(jetstream.pusher("hand").push(frames(1).remove(0)))
        .unwrap();
    runtime
        .block_on(jetstream.store().tip().wait_for(|&next| next > Seq::FIRST))
        .unwrap();
    drop(runtime);
    running.join().unwrap().unwrap();
    assert_eq!(jetstream.source_cursor("hand"), Some(1));
}
