//! Sources of the caller's own: what they are promised, and what they are not trusted with.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use jetwash::client::{ClientEvent, Protocol};
use jetwash::event::Did;
use jetwash::identity::{DocumentAnswer, DocumentSource, IdentityOptions};
use jetwash::testing::{SimChange, did, frames_from};
use jetwash::{
    Delivery, Filter, GapCause, Jetstream, JetstreamBuilder, Mistake, NotReady, RunError, Source,
    SourceHandle, StartFrom, UpstreamState, Verify,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::{lines, take, without_time};

type End = Result<(), Box<dyn Error + Send + Sync>>;

/// Frames of accounts; their own numbers count from 1.
fn frames(count: u64) -> Vec<Bytes> {
    let change = |number| SimChange::account(did(number), true, None);
    frames_from((0..count).map(change)).unwrap()
}

/// A source that is a closure.
struct Own<F>(F);

impl<F, R> Source for Own<F>
where
    F: FnMut(SourceHandle) -> R + Send + 'static,
    R: Future<Output = End> + Send + 'static,
{
    fn name(&self) -> &'static str {
        "own"
    }

    fn is_upstream(&self) -> bool {
        true
    }

    fn run(&mut self, handle: SourceHandle) -> impl Future<Output = End> + Send {
        (self.0)(handle)
    }
}

struct Run {
    jetstream: Jetstream,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), RunError>>,
}

impl Run {
    fn start(builder: JetstreamBuilder) -> Self {
        let (jetstream, ingest) = builder.build().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(ingest.run(async { drop(stopped.await) }));
        Self {
            jetstream,
            stop,
            running,
        }
    }

    async fn stop(self) -> Result<(), RunError> {
        drop(self.stop);
        self.running.await.unwrap()
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let is_so = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(40), is_so).await;
    assert!(waited.is_ok(), "it never happened: {what}");
}

/// A line of version 1 about an account, and the event of it.
fn account(number: u64) -> (String, ClientEvent) {
    let line = format!(
        r#"{{"did":"did:web:a.example","time_us":{number},"kind":"account","account":{{"active":true,"did":"did:web:a.example","seq":7,"time":"2026-01-01T00:00:{:02}Z"}}}}"#,
        number % 60
    );
    let event = ClientEvent::parse(Protocol::V1, line.clone()).unwrap();
    (line, event)
}

/// A topic of frames with offsets of its own, read up to an offset in this run.
fn topic(folder: &Path, frames: Vec<Bytes>, until: u64) -> (JetstreamBuilder, Arc<AtomicU64>) {
    let began = Arc::new(AtomicU64::new(u64::MAX));
    let noted = Arc::clone(&began);
    let source = Own(move |handle: SourceHandle| {
        let frames = frames.clone();
        let begin = handle.cursor().unwrap_or(0);
        noted.store(begin, Ordering::SeqCst);
        async move {
            handle.connected(handle.cursor()).await?;
            let numbered = (1..=until).zip(frames).skip(begin as usize);
            for (number, frame) in numbered {
                handle.frame_at(number, frame).await?;
            }
            std::future::pending().await
        }
    });
    (Jetstream::builder().folder(folder).source(source), began)
}

#[tokio::test]
async fn a_cursor_of_numbers_of_its_own_is_resumed_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    // A topic of two relays: the numbers in the frames go up and down, and come twice.
    let mut mixed = Vec::new();
    let other = (50..80).map(|number| SimChange::account(did(number), true, None));
    for (one, other) in frames(30).into_iter().zip(frames_from(other).unwrap()) {
        mixed.extend([one, other]);
    }
    let (builder, began) = topic(folder.path(), mixed.clone(), 25);
    let run = Run::start(builder);
    until("25 events", || {
        run.jetstream.source_cursor("own") == Some(25)
    })
    .await;
    assert_eq!(began.load(Ordering::SeqCst), 0);
    run.stop().await.unwrap();

    let (builder, began) = topic(folder.path(), mixed, 60);
    let run = Run::start(builder);
    until("60 events", || {
        run.jetstream.source_cursor("own") == Some(60)
    })
    .await;
    assert_eq!(began.load(Ordering::SeqCst), 25);
    let events = take(&run.jetstream, StartFrom::Oldest, Filter::new(), 60).await;
    let dids: Vec<_> = events.iter().map(|event| event.did().to_owned()).collect();
    let expected: Vec<_> = (0..30).flat_map(|n| [did(n), did(n + 50)]).collect();
    assert_eq!(dids, expected);
    let snapshot = run.jetstream.snapshot();
    assert_eq!((snapshot.events, snapshot.repeated), (35, 0));
    assert!(snapshot.gaps.is_empty(), "{:?}", snapshot.gaps);
    assert_eq!(events[0].source(), "own");
    run.stop().await.unwrap();
}

#[tokio::test]
async fn a_cursor_given_with_events_is_resumed_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let builder = |last: u64| {
        let source = Own(move |handle: SourceHandle| async move {
            let from = handle.cursor().unwrap_or(100) + 1;
            for number in from..=last {
                handle.events(vec![account(number).1], Some(number)).await?;
            }
            std::future::pending().await
        });
        Jetstream::builder().folder(folder.path()).source(source)
    };
    for last in [107, 120] {
        let run = Run::start(builder(last));
        until("the last", || {
            run.jetstream.source_cursor("own") == Some(last)
        })
        .await;
        let came: Vec<_> = lines(run.jetstream.store())
            .iter()
            .map(|line| without_time(line).0)
            .collect();
        let expected: Vec<_> = (101..=last)
            .map(|n| without_time(&account(n).0).0)
            .collect();
        assert_eq!(came, expected);
        assert_eq!(run.jetstream.snapshot().repeated, 0);
        run.stop().await.unwrap();
    }
}

#[tokio::test]
async fn what_it_lacks_is_a_gap_between_its_events() {
    let source = Own(|handle: SourceHandle| async move {
        handle.events(vec![account(1).1], Some(1)).await?;
        handle
            .gap(GapCause::UpstreamOutdated, Some(2), Some(9))
            .await?;
        handle.events(vec![account(9).1], Some(9)).await?;
        // A source has no blocks that could be damaged.
        handle.gap(GapCause::Damaged, None, None).await?;
        handle.events(vec![account(10).1], Some(10)).await?;
        Ok(())
    });
    let run = Run::start(Jetstream::builder().source(source));
    let events = run.jetstream.subscribe(StartFrom::Oldest, Filter::new());
    let events = events.await.unwrap().with_gaps().take(5);
    let met = events.collect::<Vec<_>>();
    let met = tokio::time::timeout(Duration::from_secs(40), met).await;
    let met: Vec<_> = met
        .expect("three events and two gaps")
        .into_iter()
        .map(|met| match met.unwrap() {
            Delivery::Event(_) => None,
            Delivery::Gap(gap) => {
                let upstream = gap.upstream.unwrap();
                assert_eq!(&*upstream.source, "own");
                Some((gap.cause, upstream.first, upstream.next))
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let outdated = Some((GapCause::UpstreamOutdated, Some(2), Some(9)));
    let jump = Some((GapCause::UpstreamJump, None, None));
    assert_eq!(met, [None, outdated, None, jump, None]);
    run.stop().await.unwrap();
}

#[tokio::test]
async fn after_a_panic_and_after_an_error_it_runs_again_from_its_cursor() {
    let frames = frames(30);
    let mut runs = 0;
    let source = Own(move |handle: SourceHandle| {
        runs += 1;
        let (run, frames) = (runs, frames.clone());
        assert!(run != 2, "before the first await");
        async move {
            let done = handle.cursor().unwrap_or(0);
            for (number, frame) in (1..).zip(frames).skip(done as usize) {
                if number == 10 && run == 1 {
                    while handle.cursor() != Some(9) {
                        tokio::task::yield_now().await;
                    }
                    panic!("within");
                }
                if number == 20 && run == 3 {
                    return Err("the disk of the topic is full".into());
                }
                handle.frame(frame).await?;
            }
            std::future::pending().await
        }
    });
    let run = Run::start(Jetstream::builder().source(source));
    until("20 events", || run.jetstream.bounds().events() >= 19).await;
    until("the error is known", || {
        run.jetstream.upstreams()[0].last_end.as_deref() == Some("the disk of the topic is full")
    })
    .await;
    until("30 events", || run.jetstream.bounds().events() == 30).await;
    let snapshot = run.jetstream.snapshot();
    assert_eq!((snapshot.panics["source"], snapshot.events), (2, 30));
    let error = run.stop().await.unwrap_err();
    assert_eq!(error.to_string(), "the source own panicked: within");
}

#[tokio::test]
async fn a_source_that_is_faster_than_the_log_waits() {
    let frames = frames(2_000);
    // The frames that fit.
    let mut bytes = 0;
    let mut fits = |frame: &&Bytes| {
        bytes += frame.len();
        bytes <= 1 << 16
    };
    let room = frames.iter().take_while(|frame| fits(frame)).count() as u64;
    let given = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&given);
    let source = Own(move |handle: SourceHandle| {
        let (frames, count) = (frames.clone(), Arc::clone(&count));
        async move {
            for frame in frames {
                handle.frame(frame).await?;
                count.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        }
    });
    // The log stands still at the first frame.
    let (go, gate) = mpsc::channel::<()>();
    let builder = Jetstream::builder()
        .intake_bytes(1 << 16)
        .ingest_filter_with(move |_| gate.recv().is_err())
        .source(source);
    let run = Run::start(builder);
    until("it waits", || given.load(Ordering::SeqCst) >= room).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(given.load(Ordering::SeqCst), room);
    assert_eq!(run.jetstream.bounds().events(), 0);
    drop(go);
    until("all came", || run.jetstream.bounds().events() == 2_000).await;
    run.stop().await.unwrap();
}

#[tokio::test]
async fn at_the_stop_it_is_dropped_and_what_it_gave_is_kept() {
    struct Dropped(Arc<AtomicBool>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let is_dropped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_dropped);
    let kept = Arc::new(std::sync::Mutex::new(None));
    let keep = Arc::clone(&kept);
    let source = Own(move |handle: SourceHandle| {
        let (dropped, keep) = (Dropped(Arc::clone(&flag)), Arc::clone(&keep));
        async move {
            let _dropped = dropped;
            for frame in frames(50) {
                handle.frame(frame).await?;
            }
            *keep.lock().unwrap() = Some(handle);
            std::future::pending().await
        }
    });
    let run = Run::start(Jetstream::builder().source(source));
    until("all was given", || kept.lock().unwrap().is_some()).await;
    let jetstream = run.jetstream.clone();
    run.stop().await.unwrap();
    assert!(is_dropped.load(Ordering::SeqCst));
    assert_eq!(jetstream.bounds().events(), 50);
    // A handle that was kept is of no use any more.
    let handle = kept.lock().unwrap().take().unwrap();
    handle.frame(frames(1).remove(0)).await.unwrap_err();
    handle.events(vec![account(1).1], None).await.unwrap_err();
}

#[tokio::test]
async fn its_connection_is_that_of_an_upstream() {
    let (next, steps) = tokio::sync::mpsc::channel::<()>(1);
    let steps = Arc::new(tokio::sync::Mutex::new(steps));
    let source = Own(move |handle: SourceHandle| {
        let steps = Arc::clone(&steps);
        async move {
            let mut steps = steps.lock().await;
            handle.disconnected("nobody is\nthere");
            steps.recv().await;
            handle.connected(None).await?;
            handle.frame(frames(1).remove(0)).await?;
            steps.recv().await;
            Ok(())
        }
    });
    let run = Run::start(Jetstream::builder().source(source));
    let upstream = || run.jetstream.upstreams().remove(0);
    until("the end is known", || upstream().last_end.is_some()).await;
    assert_eq!(&*upstream().name, "own");
    assert_eq!(upstream().last_end.as_deref(), Some("nobody isthere"));
    assert_eq!(upstream().state, UpstreamState::Connecting { attempt: 1 });
    let readiness = run.jetstream.readiness();
    assert!(matches!(readiness, Err(NotReady::NoUpstream(_))));
    assert_eq!(run.jetstream.snapshot().reconnects["source"], 1);
    next.send(()).await.unwrap();
    until("an event", || upstream().last_event.is_some()).await;
    assert_eq!(upstream().state, UpstreamState::Connected);
    run.jetstream.readiness().unwrap();
    run.stop().await.unwrap();
}

#[tokio::test]
async fn what_it_gives_is_checked_like_all_that_comes_from_outside() {
    let source = Own(|handle: SourceHandle| async move {
        for (number, frame) in (1..).zip([&b"\xff"[..], b"", b"\xa2\x61t\x68#account"]) {
            handle.frame_at(number, frame).await?;
        }
        handle.frame_at(u64::MAX, frames(1).remove(0)).await?;
        let malformed = ClientEvent::parse(Protocol::V1, "{").unwrap_err();
        handle.malformed(malformed);
        // The parser does not look at this time.
        let line = account(1).0.replace("2026-01-01T", "yesterday");
        if let Ok(event) = ClientEvent::parse(Protocol::V1, line) {
            handle.events(vec![event], None).await?;
        }
        let (_, event) = account(1);
        handle.events(vec![event.clone(), event], Some(5)).await?;
        Ok(())
    });
    let run = Run::start(Jetstream::builder().source(source));
    until("the last", || run.jetstream.source_cursor("own") == Some(5)).await;
    let snapshot = run.jetstream.snapshot();
    assert_eq!((snapshot.events, snapshot.repeated), (1, 1));
    assert_eq!(snapshot.dropped["seq_invalid"], 1);
    assert_eq!(snapshot.dropped["message_json"], 1);
    assert_eq!(
        snapshot.dropped.values().sum::<u64>(),
        6,
        "{:?}",
        snapshot.dropped
    );
    run.stop().await.unwrap();
}

#[tokio::test]
async fn with_strict_verification_its_commits_are_dropped_and_counted() {
    let line = r#"{"did":"did:web:a.example","time_us":1,"kind":"commit","commit":{"rev":"3l3qo2vutsw2b","operation":"delete","collection":"a.b.c","rkey":"a"}}"#;
    let event = ClientEvent::parse(Protocol::V1, line).unwrap();
    let source = Own(move |handle: SourceHandle| {
        let event = event.clone();
        async move { Ok(handle.events(vec![event], Some(1)).await?) }
    });
    let identities = IdentityOptions::new().start().unwrap();
    let builder = Jetstream::builder().source(source);
    let run = Run::start(builder.verify(Verify::strict(identities)));
    until("it was seen", || {
        run.jetstream.source_cursor("own") == Some(1)
    })
    .await;
    assert_eq!(run.jetstream.snapshot().dropped["unsigned"], 1);
    assert_eq!(run.jetstream.bounds().events(), 0);
    run.stop().await.unwrap();
}

/// A directory that never answers.
struct Silence;

impl DocumentSource for Silence {
    fn document<'a>(&'a self, _did: &'a Did) -> BoxFuture<'a, io::Result<DocumentAnswer>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn the_cursor_stays_before_a_frame_that_waits_by_the_number_of_the_source() {
    let record = serde_json::json!({"$type": "com.example.note"});
    let commit = SimChange::create(did(1), "com.example.note", "a", record);
    let account = |number| SimChange::account(did(number), true, None);
    let frames = frames_from([account(5), commit, account(6)]).unwrap();
    let source = Own(move |handle: SourceHandle| {
        let frames = frames.clone();
        async move {
            for (number, frame) in (500..).zip(frames) {
                handle.frame_at(number, frame).await?;
            }
            Ok(())
        }
    });
    let options = IdentityOptions::new().document_source(Silence);
    let identities = options.without_directories().start().unwrap();
    let verify = Verify::lenient(identities).hold_for(Duration::from_secs(3));
    let run = Run::start(Jetstream::builder().source(source).verify(verify));
    until("it waits", || run.jetstream.bounds().events() == 2).await;
    until("the cursor", || {
        run.jetstream.source_cursor("own").is_some()
    })
    .await;
    assert_eq!(run.jetstream.source_cursor("own"), Some(500));
    until("it has waited", || {
        run.jetstream.source_cursor("own") == Some(502)
    })
    .await;
    assert_eq!(run.jetstream.bounds().events(), 3);
    run.stop().await.unwrap();
}

#[test]
fn two_sources_of_one_name_are_a_mistake() {
    let own = || Own(|_handle: SourceHandle| async { Ok(()) });
    let builder = Jetstream::builder().source(own()).source(own());
    let error = builder.build().unwrap_err();
    let [Mistake::RepeatedSource(name)] = error.mistakes() else {
        panic!("{error}");
    };
    assert_eq!(name, "own");
}
