//! Consumers: what is handled, in which order, what is stored, and what happens to what fails.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::{pending, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jetwash::event::{Account, RepoSync};
use jetwash::frame::peek;
use jetwash::store::{self, Location, Options};
use jetwash::{
    ConsumerError, ConsumerHandle, ConsumerStatus, ContentFilter, Cursor, Event, Failure, Filter,
    Handler, Jetstream, Kind, LettersError, Micros, NetworkConfig, Operation, Pipeline, ReadError,
    Retry, Seq, StartFrom, TypedHandler, WhenStuck, blocking, typed,
};
use jetwash_sim::Network;
use proptest::prelude::*;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::take;

/// A log with the events of some simulated frames, to which no others come.
struct Log {
    jetstream: Jetstream,
    events: Vec<Event>,
    stop: Mutex<Option<oneshot::Sender<()>>>,
}

impl Log {
    async fn of(frames: usize) -> Self {
        let (jetstream, ingest) = Jetstream::builder().build().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(ingest.run(async { drop(stopped.await) }));
        let pusher = jetstream.pusher("simulator");
        let mut last = None;
        for frame in self::frames(frames) {
            last = peek(&frame).unwrap().seq;
            pusher.push(frame).await.unwrap();
        }
        // It is told when all that came of the last is in the log.
        while jetstream.source_cursor("simulator") != last {
            sleep(Duration::from_millis(1)).await;
        }
        let count = jetstream.bounds().events() as usize;
        let events = take(&jetstream, StartFrom::Oldest, Filter::new(), count).await;
        Self {
            jetstream,
            events,
            stop: Mutex::new(Some(stop)),
        }
    }

    /// Ends the log, so that its consumers end when they have done everything.
    async fn end(&self) {
        self.stop.lock().unwrap().take();
        let mut tip = self.jetstream.store().tip();
        while tip.changed().await.is_ok() {}
    }

    fn last(&self) -> Cursor {
        self.events.last().unwrap().cursor()
    }

    fn cursors(&self) -> Vec<Cursor> {
        self.events.iter().map(Event::cursor).collect()
    }

    fn stored(&self, name: &str) -> Option<Cursor> {
        self.jetstream.store().named_cursor(name)
    }

    /// The account with the most events.
    fn busiest(&self) -> String {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for event in &self.events {
            *counts.entry(event.did()).or_default() += 1;
        }
        let (did, _) = counts.into_iter().max_by_key(|(_, count)| *count).unwrap();
        did.to_owned()
    }
}

fn frames(count: usize) -> impl Iterator<Item = Vec<u8>> {
    let network = NetworkConfig {
        accounts: 60,
        records: 100,
        rare_per_million: 50_000,
        ..NetworkConfig::default()
    };
    Network::new(network)
        .unwrap()
        .take(count)
        .map(|frame| frame.bytes)
}

/// The events a handler was called with, in the order in which it returned.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<(String, Cursor)>>>);

impl Seen {
    fn note(&self, event: &Event) {
        let entry = (event.did().to_owned(), event.cursor());
        self.0.lock().unwrap().push(entry);
    }

    fn cursors(&self) -> Vec<Cursor> {
        let mut cursors: Vec<_> = self.0.lock().unwrap().iter().map(|entry| entry.1).collect();
        cursors.sort();
        cursors
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn assert_in_order(&self) {
        let mut last: HashMap<String, Cursor> = HashMap::new();
        for (did, cursor) in self.0.lock().unwrap().iter() {
            let before = last.insert(did.clone(), *cursor);
            assert!(
                before.is_none_or(|before| before < *cursor),
                "{did} at {cursor}"
            );
        }
    }
}

/// Notes each event ten milliseconds after it came.
struct SlowNotes(Seen);

impl Handler for SlowNotes {
    async fn handle(&self, event: Event) -> Result<(), Failure> {
        sleep(Duration::from_millis(10)).await;
        self.0.note(&event);
        Ok(())
    }
}

/// Notes each event at once, but never gets anywhere with those of one account.
struct StuckNotes(Seen, String);

impl Handler for StuckNotes {
    async fn handle(&self, event: Event) -> Result<(), Failure> {
        if event.did() == self.1 {
            pending::<()>().await;
        }
        self.0.note(&event);
        Ok(())
    }
}

/// Waits, in the test's own time, until a consumer is as wanted.
async fn until(
    handle: &ConsumerHandle,
    wanted: impl Fn(&ConsumerStatus) -> bool,
) -> ConsumerStatus {
    for _ in 0..100_000 {
        let status = handle.status();
        if wanted(&status) {
            return status;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not get there: {:?}", handle.status());
}

#[tokio::test]
async fn a_closure_an_async_fn_and_types_all_serve_as_handler() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);

    async fn function(_event: Event) -> Result<(), std::io::Error> {
        CALLS.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    struct Own;
    impl Handler for Own {
        async fn handle(&self, event: Event) -> Result<(), Failure> {
            Ok(function(event).await?)
        }
    }

    async fn calls(log: &Log, name: &str, handler: impl Handler) -> usize {
        CALLS.store(0, Ordering::Relaxed);
        let consumer = log.jetstream.consumer(name).start_from(StartFrom::Oldest);
        consumer.workers(4).run(handler).await.unwrap();
        CALLS.load(Ordering::Relaxed)
    }

    let log = Log::of(50).await;
    log.end().await;
    let all = log.events.len();
    assert_eq!(calls(&log, "function", function).await, all);
    assert_eq!(calls(&log, "type", Own).await, all);
    assert_eq!(
        calls(&log, "closure", |event| async { function(event).await }).await,
        all
    );
    let blocks = blocking(|_: Event| {
        CALLS.fetch_add(1, Ordering::Relaxed);
        Ok::<(), Failure>(())
    });
    assert_eq!(calls(&log, "blocking", blocks).await, all);
}

#[tokio::test]
async fn a_typed_handler_is_asked_for_deletions_and_accounts_too() {
    #[derive(Clone, Default)]
    struct Count(Arc<Mutex<BTreeMap<&'static str, usize>>>);

    impl Count {
        fn add(&self, what: &'static str) -> Result<(), Failure> {
            *self.0.lock().unwrap().entry(what).or_default() += 1;
            Ok(())
        }
    }

    impl TypedHandler for Count {
        type Record = Value;

        async fn put(&self, event: &Event, record: Self::Record) -> Result<(), Failure> {
            assert_eq!(record["$type"].as_str(), event.collection());
            self.add("put")
        }

        async fn delete(&self, _event: &Event) -> Result<(), Failure> {
            self.add("delete")
        }

        async fn account(&self, event: &Event, account: Account) -> Result<(), Failure> {
            assert!(
                event
                    .json()
                    .contains(&format!("\"active\":{}", account.active))
            );
            self.add("account")
        }

        async fn sync(&self, event: &Event, sync: RepoSync) -> Result<(), Failure> {
            assert_eq!(event.rev(), Some(sync.rev.as_str()));
            self.add("sync")
        }
    }

    let log = Log::of(1000).await;
    log.end().await;
    let count = Count::default();
    let consumer = log
        .jetstream
        .consumer("typed")
        .start_from(StartFrom::Oldest);
    consumer.workers(4).run(typed(count.clone())).await.unwrap();
    let mut expected: BTreeMap<&'static str, usize> = BTreeMap::new();
    for event in &log.events {
        let what = match (event.kind(), event.operation()) {
            (Kind::Account, _) => "account",
            (Kind::Commit, Some(Operation::Delete)) => "delete",
            (Kind::Commit, _) => "put",
            (Kind::Sync, _) => "sync",
            (Kind::Identity | Kind::Label, _) => continue,
        };
        *expected.entry(what).or_default() += 1;
    }
    assert_eq!(expected.len(), 4);
    assert_eq!(*count.0.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn every_event_is_handled_in_order_per_account_and_the_next_run_goes_on() {
    let log = Log::of(1000).await;
    log.end().await;
    let seen = Seen::default();
    let consumer = || log.jetstream.consumer("feed").start_from(StartFrom::Oldest);
    let note = |seen: &Seen| {
        let seen = seen.clone();
        move |event: Event| {
            let seen = seen.clone();
            async move {
                // Some take longer than others, so that they return in another order.
                sleep(Duration::from_millis(event.cursor().get() * 7 % 13)).await;
                seen.note(&event);
                Ok::<(), Failure>(())
            }
        }
    };
    consumer().workers(8).run(note(&seen)).await.unwrap();
    assert_eq!(seen.cursors(), log.cursors());
    seen.assert_in_order();
    let order: Vec<_> = seen.0.lock().unwrap().iter().map(|entry| entry.1).collect();
    assert!(!order.is_sorted(), "nothing ran side by side");
    assert_eq!(log.stored("feed"), Some(log.last()));

    let again = Seen::default();
    consumer().workers(8).run(note(&again)).await.unwrap();
    assert_eq!(again.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn eight_workers_of_one_millisecond_do_close_to_eight_thousand_a_second() {
    let log = Log::of(3000).await;
    log.end().await;
    let consumer = log.jetstream.consumer("feed").start_from(StartFrom::Oldest);
    let start = Instant::now();
    let handler = |_: Event| async {
        sleep(Duration::from_millis(1)).await;
        Ok::<(), Failure>(())
    };
    consumer.workers(8).run(handler).await.unwrap();
    // Time passes only while all wait, so this is what the workers waited for, and no more.
    let rate = log.events.len() as f64 / start.elapsed().as_secs_f64();
    assert!(rate > 7_000.0, "{rate} a second");
}

#[tokio::test(start_paused = true)]
async fn one_stuck_account_does_not_stop_the_others_and_is_named() {
    let log = Log::of(2000).await;
    let stuck = log.busiest();
    let seen = Seen::default();
    let consumer = log.jetstream.consumer("feed").start_from(StartFrom::Oldest);
    let consumer = consumer.workers(8).stuck_after(Duration::from_secs(5));
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(StuckNotes(seen.clone(), stuck.clone())));
    let others = |event: &&Event| event.did() != stuck;
    let expected: Vec<_> = log
        .events
        .iter()
        .filter(others)
        .map(Event::cursor)
        .collect();
    assert!(expected.len() > 1000);
    let status = until(&handle, |status| status.handled == expected.len() as u64).await;
    assert_eq!(seen.cursors(), expected);
    seen.assert_in_order();
    let first = log
        .events
        .iter()
        .find(|event| event.did() == stuck)
        .unwrap();
    assert_eq!(status.held_by.as_ref().unwrap().did, stuck);
    assert_eq!(status.held_by.unwrap().seq, first.seq());
    assert_eq!(status.cursor, Some(Cursor::before(first.seq())));
    let status = until(&handle, |status| !status.stuck.is_empty()).await;
    assert_eq!(status.stuck[0].did, stuck);
    assert_eq!(status.stuck[0].seq, first.seq());
    assert!(status.stuck[0].since >= Duration::from_secs(5));
    assert!(status.lag.handler.events > 0 && status.lag.handler.bytes > 0);
    handle.stop().await;
    running.await.unwrap().unwrap();
    assert!(
        log.stored("feed")
            .is_none_or(|stored| stored < first.cursor())
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_window_says_who_holds_it() {
    let log = Log::of(1000).await;
    let first = &log.events[0];
    let (stuck, wanted) = (first.did().to_owned(), 200);
    let seen = Seen::default();
    let consumer = log.jetstream.consumer("feed").start_from(StartFrom::Oldest);
    let consumer = consumer.workers(4).window_events(wanted);
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(StuckNotes(seen.clone(), stuck.clone())));
    let status = until(&handle, |status| {
        status.window_full && status.in_progress == 1
    })
    .await;
    assert_eq!(status.held_by.unwrap().did, first.did());
    let last = seen.cursors().last().unwrap().get();
    assert!(last <= first.cursor().get() + wanted);
    // And stays so.
    sleep(Duration::from_secs(60)).await;
    assert_eq!(seen.cursors().last().unwrap().get(), last);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again_and_its_account_waits() {
    let log = Log::of(500).await;
    log.end().await;
    let attempts: Arc<Mutex<HashMap<Cursor, u32>>> = Arc::default();
    let seen = Seen::default();
    let consumer = log.jetstream.consumer("feed").start_from(StartFrom::Oldest);
    let handle = consumer.handle();
    let notes = seen.clone();
    consumer
        .workers(3)
        .run(move |event: Event| {
            let attempt = {
                let mut attempts = attempts.lock().unwrap();
                let attempt = attempts.entry(event.cursor()).or_default();
                *attempt += 1;
                *attempt
            };
            let notes = notes.clone();
            async move {
                match event.cursor().get() % 10 {
                    0 if attempt < 3 => return Err(Failure::retry("not yet")),
                    5 if attempt < 2 => panic!("a handler's panic"),
                    _ => {}
                }
                notes.note(&event);
                Ok(())
            }
        })
        .await
        .unwrap();
    assert_eq!(seen.cursors(), log.cursors());
    seen.assert_in_order();
    let numbers = || log.events.iter().map(|event| event.cursor().get() % 10);
    let panicked = numbers().filter(|number| *number == 5).count() as u64;
    let failed = numbers().filter(|number| *number == 0).count() as u64 * 2;
    let status = handle.status();
    assert_eq!(
        (status.panicked, status.failed),
        (panicked, failed + panicked)
    );
    assert_eq!(status.dead_lettered, 0);
    assert!(!status.running);
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_good_is_put_aside_listed_replayed_and_discarded() {
    let log = Log::of(300).await;
    let (bad, last) = ([3, 40, 41], log.last());
    let is_mended = Arc::new(AtomicUsize::new(0));
    let mended = Arc::clone(&is_mended);
    let consumer = log.jetstream.consumer("feed").start_from(StartFrom::Oldest);
    let consumer = consumer.workers(2).retry(Retry::new().attempts(4));
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(move |event: Event| {
        let number = event.cursor().get();
        let is_bad = bad.contains(&number) && number > mended.load(Ordering::Relaxed) as u64;
        async move {
            if is_bad && number == 40 {
                panic!("no number {number}");
            }
            let away = std::io::Error::other("the database is away");
            if is_bad { Err(away) } else { Ok(()) }
        }
    }));
    let status = until(&handle, |status| status.stored == Some(last)).await;
    assert_eq!(status.dead_lettered, 3);
    let letters = log.jetstream.dead_letters("feed");
    let listed = letters.list(None, 10).await.unwrap();
    let names: Vec<u64> = listed
        .iter()
        .map(|letter| letter.event.seq().get())
        .collect();
    assert_eq!(names, bad);
    assert!(listed.iter().all(|letter| letter.attempts == 4));
    assert_eq!(listed[0].reason, "the database is away");
    assert_eq!(listed[1].reason, "the handler panicked: no number 40");
    assert_eq!(listed[2].event.json(), log.events[40].json());

    // Two go well now, and one does not.
    is_mended.store(40, Ordering::Relaxed);
    let replayed = handle.replay_all().await.unwrap();
    assert_eq!((replayed.succeeded, replayed.failed), (2, 1));
    assert_eq!(letters.held().await.unwrap().letters, 1);
    assert!(letters.discard(Seq::new(41)).await.unwrap());
    assert!(!letters.discard(Seq::new(41)).await.unwrap());
    let gone = handle.replay(Seq::new(41)).await.unwrap_err();
    assert!(matches!(gone, LettersError::Unknown { .. }), "{gone}");
    assert_eq!(gone.to_string(), "there is no dead letter of the event 41");
    handle.stop().await;
    running.await.unwrap().unwrap();
    assert_eq!(log.stored("feed"), Some(last));
    let stopped = handle.set_filter(Filter::new()).await.unwrap_err();
    assert_eq!(stopped.to_string(), r#"the consumer "feed" does not run"#);
}

#[tokio::test(start_paused = true)]
async fn an_error_can_say_what_is_to_be_done_about_it() {
    let log = Log::of(100).await;
    let consumer = || log.jetstream.consumer("feed").start_from(StartFrom::Oldest);
    let calls: Arc<Mutex<HashMap<u64, u32>>> = Arc::default();
    let counts = Arc::clone(&calls);
    let handle = consumer().handle();
    let stop = consumer()
        .run(move |event: Event| {
            let number = event.cursor().get();
            *counts.lock().unwrap().entry(number).or_default() += 1;
            async move {
                match number {
                    7 => Err(Failure::skip("not for us")),
                    8 => Err(Failure::dead_letter("malformed")),
                    9 => Err(Failure::stop("no room on the disk")),
                    _ => Ok(()),
                }
            }
        })
        .await
        .unwrap_err();
    let did = log.events[8].did();
    assert_eq!(
        stop.to_string(),
        format!(r#"the consumer "feed" stops at event 9 of {did}, attempt 1: no room on the disk"#)
    );
    assert!(matches!(stop, ConsumerError::Handler { attempt: 1, .. }));
    assert_eq!(log.stored("feed"), Some(Cursor::new(8)));
    let status = handle.status();
    assert_eq!((status.skipped, status.dead_lettered), (1, 1));
    for number in 1..=9 {
        assert_eq!(calls.lock().unwrap()[&number], 1, "{number}");
    }
    let letters = log
        .jetstream
        .dead_letters("feed")
        .list(None, 9)
        .await
        .unwrap();
    assert_eq!(letters[0].reason, "malformed");
}

#[tokio::test(start_paused = true)]
async fn a_full_dead_letter_log_stops_the_consumer_before_anything_is_dropped() {
    let log = Log::of(100).await;
    let consumer = || {
        let consumer = log.jetstream.consumer("feed").start_from(StartFrom::Oldest);
        consumer.retry(Retry::never()).dead_letters(3, 1 << 20)
    };
    let bad = |_: Event| async { Err(Failure::retry("never works")) };
    for _ in 0..2 {
        let error = consumer().run(bad).await.unwrap_err();
        assert!(matches!(error, ConsumerError::DeadLetter { .. }));
        let text = error.to_string();
        assert!(text.contains("stops at event 4 of did:plc:"), "{text}");
        assert!(
            text.contains("never works") && text.contains("3 of 3 letters"),
            "{text}"
        );
        assert_eq!(log.stored("feed"), Some(Cursor::new(3)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_is_used_by_one_consumer_at_a_time() {
    let log = Log::of(10).await;
    let ok = |_: Event| async { Ok::<(), Failure>(()) };
    let first = log.jetstream.consumer("feed");
    let handle = first.handle();
    let running = tokio::spawn(first.run(ok));
    until(&handle, |status| status.running).await;
    let error = log.jetstream.consumer("feed").run(ok).await.unwrap_err();
    assert!(matches!(error, ConsumerError::InUse { .. }));
    assert!(
        error
            .to_string()
            .contains(r#"a consumer named "feed" is already running"#)
    );
    // The first is not disturbed, and once it is gone the name is free.
    assert!(handle.status().running);
    assert_eq!(log.jetstream.consumers().len(), 1);
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    log.end().await;
    log.jetstream.consumer("feed").run(ok).await.unwrap();
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let (jetstream, _ingest) = Jetstream::builder().build().unwrap();
    let ok = |_: Event| async { Ok::<(), Failure>(()) };
    let long = "x".repeat(129);
    let wrong = [
        (jetstream.consumer(""), "this name"),
        (jetstream.consumer("a\nb"), "this name"),
        (jetstream.consumer(&long), "this name"),
        (jetstream.consumer("feed").workers(0), "0 workers"),
        (
            jetstream.consumer("feed").window_bytes(9),
            "a window of 9 bytes",
        ),
        (jetstream.consumer("feed").window_events(0), "no events"),
        (
            jetstream.consumer("feed").retry(Retry::new().attempts(0)),
            "no attempt",
        ),
        (
            jetstream.consumer("feed").stuck_after(Duration::ZERO),
            "0 s",
        ),
    ];
    for (consumer, expected) in wrong {
        let error = consumer.run(ok).await.unwrap_err();
        assert!(matches!(error, ConsumerError::Setting { .. }));
        assert!(error.to_string().contains(expected), "{error}");
    }
    let nothing = jetstream.consumer("feed").start_from(StartFrom::Stored);
    let error = nothing.run(ok).await.unwrap_err();
    let ConsumerError::Read { source, .. } = error else {
        panic!("{error}");
    };
    assert!(matches!(source, ReadError::NothingStored));
}

#[tokio::test(start_paused = true)]
async fn a_stuck_handler_can_be_put_aside_or_stop_the_consumer() {
    let log = Log::of(100).await;
    let consumer = |name, when| {
        let consumer = log.jetstream.consumer(name).start_from(StartFrom::Oldest);
        consumer
            .stuck_after(Duration::from_secs(60))
            .when_stuck(when)
    };
    let hangs = |event: Event| async move {
        if event.cursor().get() == 5 {
            pending::<()>().await;
        }
        Ok::<(), Failure>(())
    };
    let error = consumer("stop", WhenStuck::Stop)
        .run(hangs)
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("stops at event 5"), "{text}");
    assert!(text.contains("the handler did not return in 60"), "{text}");
    assert_eq!(log.stored("stop"), Some(Cursor::new(4)));

    log.end().await;
    consumer("park", WhenStuck::DeadLetter)
        .run(hangs)
        .await
        .unwrap();
    assert_eq!(log.stored("park"), Some(log.last()));
    let letters = log
        .jetstream
        .dead_letters("park")
        .list(None, 9)
        .await
        .unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].event.cursor().get(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_gets_nowhere_leaves_the_stored_cursor_alone() {
    let log = Log::of(100).await;
    let run = |name: &'static str, start| {
        let consumer = log.jetstream.consumer(name).start_from(start);
        let consumer = consumer.shutdown(sleep(Duration::from_secs(30)));
        let consumer = consumer.drain_for(Duration::from_secs(1));
        consumer.run(|_: Event| pending::<Result<(), Failure>>())
    };
    run("new", StartFrom::Oldest).await.unwrap();
    assert_eq!(log.stored("new"), None, "not even 0");
    log.jetstream
        .store()
        .advance_named_cursor("old", None, Cursor::new(50))
        .unwrap();
    run("old", StartFrom::Oldest).await.unwrap();
    assert_eq!(log.stored("old"), Some(Cursor::new(50)));
    // Where `Live` was the first time is kept, so that what comes before the next run is not lost.
    run("live", StartFrom::Live).await.unwrap();
    assert_eq!(log.stored("live"), Some(log.last()));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_lets_what_is_in_progress_finish_within_its_bound() {
    let log = Log::of(100).await;
    let slow = |event: Event| async move {
        let is_slowest = event.cursor().get() == 3;
        sleep(Duration::from_secs(if is_slowest { 3600 } else { 2 })).await;
        Ok::<(), Failure>(())
    };
    let consumer = log.jetstream.consumer("feed").start_from(StartFrom::Oldest);
    let start = Instant::now();
    consumer
        .workers(1)
        .shutdown(sleep(Duration::from_secs(1)))
        .run(slow)
        .await
        .unwrap();
    // The first was being handled, and was done by the end.
    assert_eq!(log.stored("feed"), Some(Cursor::new(1)));
    assert!(start.elapsed() < Duration::from_secs(3));

    let consumer = log.jetstream.consumer("feed");
    let consumer = consumer.drain_for(Duration::from_secs(5));
    let start = Instant::now();
    let stop = sleep(Duration::from_secs(4));
    consumer.shutdown(stop).run(slow).await.unwrap();
    assert_eq!(log.stored("feed"), Some(Cursor::new(2)));
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_filter_changes_while_events_flow() {
    let log = Log::of(600).await;
    let likes = Filter::new().collections(["app.bsky.feed.like"]).unwrap();
    let seen = Seen::default();
    let consumer = log.jetstream.consumer("feed").start_from(StartFrom::Oldest);
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.filter(likes.clone()).run(SlowNotes(seen.clone())));
    until(&handle, |status| status.handled >= 20).await;
    let follows = Filter::new()
        .collections(["app.bsky.graph.follow"])
        .unwrap();
    let since = handle.set_filter(follows.clone()).await.unwrap();
    log.end().await;
    running.await.unwrap().unwrap();
    let wanted = |event: &&Event| {
        let filter = if event.cursor() <= since {
            &likes
        } else {
            &follows
        };
        filter.matches(event.kind(), event.did(), event.collection())
    };
    let expected: Vec<_> = log
        .events
        .iter()
        .filter(wanted)
        .map(Event::cursor)
        .collect();
    assert!(since < log.last());
    assert_eq!(seen.cursors(), expected);
    assert_eq!(log.stored("feed"), Some(log.last()));
}

#[tokio::test(start_paused = true)]
async fn a_filter_by_content_changes_while_events_flow() {
    let log = Log::of(4000).await;
    let posts = Filter::new().collections(["app.bsky.feed.post"]).unwrap();
    let both = posts.clone().collections(["app.bsky.feed.like"]).unwrap();
    let is_reply = |event: &Event| {
        let record = event.record_json().map(serde_json::from_str::<Value>);
        record.map(|record| record.unwrap().get("reply").is_some())
    };
    let seen = Seen::default();
    let consumer = log.jetstream.consumer("feed").start_from(StartFrom::Oldest);
    let handle = consumer.handle();
    let consumer = consumer
        .filter(posts.clone())
        .content(ContentFilter::new().replies(true))
        .filter_with(|event| !event.cursor().get().is_multiple_of(5));
    let running = tokio::spawn(consumer.run(SlowNotes(seen.clone())));
    until(&handle, |status| status.handled >= 20).await;
    let no_replies = ContentFilter::new().replies(false);
    let first = handle.set_content(no_replies).await.unwrap();
    until(&handle, |status| status.handled >= 100).await;
    let replies = ContentFilter::new().replies(true);
    let second = handle.set_filters(both.clone(), replies).await.unwrap();
    assert!(first < second && second < log.last());
    log.end().await;
    running.await.unwrap().unwrap();

    let wanted = |event: &&Event| {
        let (filter, replies) = match event.cursor() {
            cursor if cursor <= first => (&posts, true),
            cursor if cursor <= second => (&posts, false),
            _ => (&both, true),
        };
        filter.matches(event.kind(), event.did(), event.collection())
            && (is_reply(event).is_none_or(|is_reply| is_reply == replies)
                || event.operation() == Some(Operation::Update))
            && !event.cursor().get().is_multiple_of(5)
    };
    let expected = log.events.iter().filter(wanted).map(Event::cursor);
    assert_eq!(seen.cursors(), expected.collect::<Vec<_>>());
    let stopped = handle.set_content(ContentFilter::new()).await.unwrap_err();
    assert_eq!(stopped.to_string(), r#"the consumer "feed" does not run"#);
}

#[tokio::test(start_paused = true)]
async fn a_closure_filters_and_what_it_does_not_want_counts_as_done() {
    let log = Log::of(300).await;
    log.end().await;
    let seen = Seen::default();
    let notes = seen.clone();
    let consumer = log.jetstream.consumer("feed").start_from(StartFrom::Oldest);
    consumer
        .filter_with(|event| event.cursor().get() % 3 == 1)
        .run(move |event: Event| {
            notes.note(&event);
            async { Ok::<(), Failure>(()) }
        })
        .await
        .unwrap();
    let mut expected = log.cursors();
    expected.retain(|cursor| cursor.get() % 3 == 1);
    assert_eq!(seen.cursors(), expected);
    assert_eq!(log.stored("feed"), Some(log.last()));
}

#[tokio::test(start_paused = true)]
async fn events_that_are_gone_are_counted_or_stop_the_consumer() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let location = Location::Disk(folder.path().to_owned());
        store::open(location, Options::default()).unwrap()
    };
    let (appender, log) = open();
    let mut pipeline = Pipeline::new(appender);
    for frame in frames(200) {
        pipeline.frame("simulator", &frame, Micros::new(1)).unwrap();
    }
    pipeline.commit().unwrap();
    log.advance_named_cursor("goes on", None, Cursor::new(50))
        .unwrap();
    log.advance_named_cursor("stops", None, Cursor::new(50))
        .unwrap();
    let next = log.bounds().next_seq;
    drop((pipeline, log));
    let (mut appender, log) = open();
    appender
        .trim_after(Micros::new(u64::MAX / 2), Duration::MAX)
        .unwrap();
    drop((appender, log));

    let (jetstream, ingest) = Jetstream::builder().folder(folder.path()).build().unwrap();
    ingest.run(ready(())).await.unwrap();
    let ok = |_: Event| async { Ok::<(), Failure>(()) };
    let stops = jetstream.consumer("stops").stop_at_gaps();
    let error = stops.run(ok).await.unwrap_err();
    assert!(error.to_string().contains("events 51 to"), "{error}");
    let goes_on = jetstream.consumer("goes on");
    let handle = goes_on.handle();
    goes_on.run(ok).await.unwrap();
    assert_eq!(handle.status().lost, next.get() - 51);
    assert_eq!(handle.status().stored, Some(Cursor::before(next)));
}

#[tokio::test]
async fn lag_tells_where_the_time_goes() {
    let network = NetworkConfig {
        accounts: 10,
        records: 100,
        ..NetworkConfig::default()
    };
    let (jetstream, ingest) = Jetstream::builder()
        .simulator(network, None)
        .build()
        .unwrap();
    let consumer = jetstream.consumer("feed").start_from(StartFrom::Oldest);
    let handle = consumer.handle();
    tokio::spawn(consumer.run(|_: Event| pending::<Result<(), Failure>>()));
    tokio::spawn(ingest.run(pending()));
    let status = until(&handle, |status| status.lag.handler.events > 500).await;
    let lag = status.lag;
    // The simulated commits are of another day.
    assert!(lag.upstream > Duration::from_secs(3600));
    assert!(lag.handler.time > Duration::ZERO && lag.handler.time < Duration::from_secs(600));
    assert!(lag.handler.bytes > 500 * 50);
    assert!(lag.decode.time < Duration::from_secs(600));
    assert_eq!(lag.slowest(), jetwash::Stage::Upstream);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Runs that are dropped, or stopped, at any moment, with handlers that fail and panic at
    /// random: in the end every event was handled or put aside, in order within each run.
    #[test]
    fn nothing_is_skipped_whenever_it_is_killed(
        lives in prop::collection::vec((0..400_u64, any::<bool>(), 1..9_usize), 1..8),
        seed in any::<u64>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let log = Log::of(150).await;
            let done: Arc<Mutex<HashSet<Cursor>>> = Arc::default();
            let calls = Arc::new(AtomicUsize::new(0));
            let mut stored = None;
            let last_life = (u64::MAX, false, 4);
            for (life, is_gentle, workers) in lives.into_iter().chain([last_life]) {
                if life == u64::MAX {
                    log.end().await;
                }
                let (notes, calls, seen) = (Arc::clone(&done), Arc::clone(&calls), Seen::default());
                let in_run = seen.clone();
                let handler = move |event: Event| {
                    let call = calls.fetch_add(1, Ordering::Relaxed) as u64;
                    let dice = (seed ^ call).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
                    let (notes, in_run) = (Arc::clone(&notes), in_run.clone());
                    async move {
                        sleep(Duration::from_millis(dice % 20)).await;
                        match dice {
                            0..20 => return Err(Failure::retry("at random")),
                            20..25 => panic!("at random"),
                            25..30 => return Err(Failure::dead_letter("at random")),
                            _ => {}
                        }
                        in_run.note(&event);
                        notes.lock().unwrap().insert(event.cursor());
                        Ok(())
                    }
                };
                let consumer = log.jetstream.consumer("feed").start_from(StartFrom::Oldest);
                let consumer = consumer
                    .workers(workers)
                    .retry(Retry::new().first_wait(Duration::from_millis(30)))
                    .save_every(Duration::from_millis(100));
                let time = Duration::from_millis(life.min(1 << 40));
                if is_gentle {
                    consumer.shutdown(sleep(time)).run(handler).await.unwrap();
                } else if let Ok(ended) = tokio::time::timeout(time, consumer.run(handler)).await {
                    ended.unwrap();
                }
                seen.assert_in_order();
                let now = log.stored("feed");
                assert!(now >= stored, "it went back from {stored:?} to {now:?}");
                stored = now;
                // What is stored as done is done.
                let letters = log.jetstream.dead_letters("feed").list(None, 1000).await.unwrap();
                let aside: HashSet<Cursor> = letters.iter().map(|one| one.event.cursor()).collect();
                let done = done.lock().unwrap();
                for cursor in log.cursors() {
                    let is_done = done.contains(&cursor) || aside.contains(&cursor);
                    assert!(is_done || Some(cursor) > stored, "{cursor} of {stored:?}");
                }
            }
            assert_eq!(stored, Some(log.last()));
        });
    }
}
