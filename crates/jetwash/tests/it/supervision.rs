//! A panic costs no more than what panicked, and is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jetwash::testing::{SimChange, did, frames_from};
use jetwash::{Event, Failure, Filter, Jetstream, ReadError, RunError, StartFrom};
use jetwash_sim::ScriptedRelay;
use tokio::sync::oneshot;

use crate::take;

fn frames(count: u64) -> Vec<bytes::Bytes> {
    let change = |number| SimChange::account(did(number), true, None);
    frames_from((0..count).map(change)).unwrap()
}

async fn until(is_so: impl Fn() -> bool) {
    let is_so = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), is_so)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_source_that_panics_leaves_the_others_running_and_is_told_at_the_end() {
    let bad = stream::iter(frames(1)).chain(stream::poll_fn(|_| panic!("the stream broke")));
    let (jetstream, ingest) = Jetstream::builder()
        .frame_stream("bad", bad)
        .build()
        .unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let run = tokio::spawn(ingest.run(async { drop(stopped.await) }));
    until(|| jetstream.snapshot().panics.get("source") == Some(&1)).await;
    // Another one continues.
    let pusher = jetstream.pusher("good");
    for frame in frames(50) {
        pusher.push(frame).await.unwrap();
    }
    let events = take(&jetstream, StartFrom::Oldest, Filter::new(), 51).await;
    assert_eq!(events.len(), 51);
    drop(stop);
    let error = run.await.unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the source bad panicked: the stream broke"
    );
    assert!(matches!(
        error,
        RunError::TaskPanicked { task: "source", .. }
    ));
}

#[tokio::test]
async fn what_connects_to_a_relay_is_started_again_when_it_panics() {
    let mut relay = ScriptedRelay::start().await.unwrap();
    // What is called there is the caller's clock.
    let panics = AtomicU64::new(0);
    let clock = jetwash::Clock::new(move || {
        let is_writer = std::thread::current().name() == Some("jetwash-writer");
        assert!(
            is_writer || panics.fetch_add(1, Ordering::SeqCst) > 0,
            "the clock broke"
        );
        std::time::SystemTime::now()
    });
    let builder = Jetstream::builder().relay(relay.url()).clock(clock);
    let builder = builder.relay_options(jetwash::RelayOptions::new().no_proxy());
    let (jetstream, ingest) = builder.build().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let run = tokio::spawn(ingest.run(async { drop(stopped.await) }));
    let change = |number: u64| {
        let record = serde_json::json!({"$type": "com.example.note", "n": number});
        SimChange::create(did(number), "com.example.note", "a", record)
    };
    let first = SimChange::account(did(20), true, None);
    let frames = frames_from([first].into_iter().chain((0..20).map(change))).unwrap();
    let mut connection = relay.accept().await.unwrap();
    connection.send([frames[0].clone()]).await.unwrap();
    until(|| jetstream.source_cursor(&relay.url()) == Some(1)).await;
    // The task dies of the first commit, before that is taken in.
    connection.send([frames[1].clone()]).await.unwrap();
    let mut connection = relay.accept_at(Some(1)).await.unwrap();
    connection.send(frames[1..].to_vec()).await.unwrap();
    until(|| jetstream.bounds().events() == 21).await;
    assert_eq!(jetstream.snapshot().panics["relay"], 1);
    drop(stop);
    let error = run.await.unwrap().unwrap_err().to_string();
    assert!(error.ends_with("panicked: the clock broke"), "{error}");
}

#[tokio::test]
async fn a_closure_that_judges_frames_costs_the_frame_when_it_panics() {
    let builder = Jetstream::builder().ingest_filter_with(|frame| {
        assert!(frame.did != Some(&*did(3)), "not this one");
        frame.did != Some(&*did(4))
    });
    let (jetstream, ingest) = builder.build().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let run = tokio::spawn(ingest.run(async { drop(stopped.await) }));
    let pusher = jetstream.pusher("a");
    for frame in frames(10) {
        pusher.push(frame).await.unwrap();
    }
    let events = take(&jetstream, StartFrom::Oldest, Filter::new(), 8).await;
    let lost = |event: &Event| event.did() == did(3) || event.did() == did(4);
    assert!(!events.iter().any(lost));
    let snapshot = jetstream.snapshot();
    assert_eq!(snapshot.panics["ingest_filter_with"], 1);
    assert_eq!(snapshot.dropped["gate_panicked"], 1);
    assert_eq!(snapshot.rejected, 1);
    drop(stop);
    run.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_filter_of_a_subscription_costs_the_event_when_it_panics() {
    let (jetstream, ingest) = Jetstream::builder()
        .frame_stream("a", stream::iter(frames(10)))
        .build()
        .unwrap();
    let run = tokio::spawn(ingest.run(std::future::pending()));
    let events = jetstream.subscribe(StartFrom::Oldest, Filter::new()).await;
    let events = events.unwrap().filter_with(|event| {
        assert!(event.did() != did(3), "not this one");
        true
    });
    let given: Vec<_> = events.take(10).collect().await;
    for (number, given) in given.iter().enumerate() {
        match given {
            Ok(event) => assert_ne!(event.did(), did(3)),
            Err(ReadError::Panicked(text)) => assert_eq!((number, &**text), (3, "not this one")),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(given.iter().filter(|given| given.is_err()).count(), 1);
    assert_eq!(jetstream.snapshot().panics["filter"], 1);
    run.abort();
}

#[tokio::test]
async fn a_filter_of_a_consumer_puts_the_event_aside_when_it_panics_and_a_handler_is_asked_again() {
    let (jetstream, ingest) = Jetstream::builder()
        .frame_stream("a", stream::iter(frames(10)))
        .build()
        .unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let run = tokio::spawn(ingest.run(async { drop(stopped.await) }));
    let calls = Arc::new(AtomicU64::new(0));
    let consumer = jetstream
        .consumer("feed")
        .start_from(StartFrom::Oldest)
        .filter_with(|event| {
            assert!(event.did() != did(3), "not this one");
            true
        });
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(move |event: Event| {
        let calls = Arc::clone(&calls);
        async move {
            if event.did() == did(5) && calls.fetch_add(1, Ordering::SeqCst) == 0 {
                panic!("the handler broke");
            }
            Ok::<(), Failure>(())
        }
    }));
    until(|| {
        let status = handle.status();
        (status.handled, status.dead_lettered) == (9, 1)
    })
    .await;
    let snapshot = jetstream.snapshot();
    assert_eq!(
        (snapshot.panics["filter"], snapshot.panics["handler"]),
        (1, 1)
    );
    handle.stop().await;
    running.await.unwrap().unwrap();
    drop(stop);
    run.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_panic_of_the_writer_is_told_with_its_message() {
    // What is called there is the caller's clock.
    let calls = AtomicU64::new(0);
    let clock = jetwash::Clock::new(move || {
        assert!(calls.fetch_add(1, Ordering::SeqCst) < 5, "the clock broke");
        std::time::SystemTime::now()
    });
    let (jetstream, ingest) = Jetstream::builder().clock(clock).build().unwrap();
    let run = tokio::spawn(ingest.run(std::future::pending()));
    let pusher = jetstream.pusher("a");
    for frame in frames(10) {
        if pusher.push(frame).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let error = run.await.unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the writer's thread panicked: the clock broke"
    );
    assert_eq!(jetstream.snapshot().panics["writer"], 1);
}
