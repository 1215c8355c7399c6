//! The log's time, when the clock jumps.

use std::time::{Duration, UNIX_EPOCH};

use futures_util::StreamExt;
use jetwash::testing::{SimChange, did, frames_from};
use jetwash::{
    Filter, Jetstream, JetstreamBuilder, ManualClock, RunError, StartFrom, Subscription,
};
use tokio::task::JoinHandle;

const START_US: u64 = 1_783_175_888_000_000;
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A Jetstream under a clock, into which frames are put one by one.
struct Timed {
    jetstream: Jetstream,
    clock: ManualClock,
    /// One of its own, since the same frames come in each run.
    source: String,
    events: Subscription,
    frames: Vec<bytes::Bytes>,
    run: JoinHandle<Result<(), RunError>>,
}

impl Timed {
    async fn start(builder: JetstreamBuilder, clock: &ManualClock) -> Self {
        let (jetstream, ingest) = builder.clock(clock).build().unwrap();
        let events = jetstream.subscribe(StartFrom::Live, Filter::new()).await;
        let run = tokio::spawn(ingest.run(std::future::pending()));
        let mut frames =
            frames_from((0..20).map(|_| SimChange::account(did(0), true, None))).unwrap();
        frames.reverse();
        Self {
            jetstream,
            clock: clock.clone(),
            source: format!("{:?}", clock.now()),
            events: events.unwrap(),
            frames,
            run,
        }
    }

    /// The time of an event that comes now.
    async fn time(&mut self) -> u64 {
        let pusher = self.jetstream.pusher(&self.source);
        pusher.push(self.frames.pop().unwrap()).await.unwrap();
        self.events.next().await.unwrap().unwrap().time_us().get()
    }

    fn jump(&self, by: Duration) {
        self.clock.set(self.clock.now() + by);
    }
}

fn clock() -> ManualClock {
    ManualClock::new(UNIX_EPOCH + Duration::from_micros(START_US))
}

#[tokio::test]
async fn a_clock_that_jumps_ten_years_ahead_for_six_seconds_takes_neither_times_nor_events_along() {
    let clock = clock();
    let mut timed = Timed::start(Jetstream::builder(), &clock).await;
    assert_eq!(timed.time().await, START_US);
    timed.jump(10 * YEAR);
    for second in 1..=6 {
        timed.clock.advance(Duration::from_secs(1));
        assert_eq!(timed.time().await, START_US + second * 1_000_000);
    }
    clock.set(clock.now() - 10 * YEAR);
    clock.advance(Duration::from_secs(1));
    assert_eq!(timed.time().await, START_US + 7_000_000);
    assert_eq!(timed.jetstream.snapshot().clock_jumps, 1);
    assert_eq!(timed.jetstream.bounds().events(), 8);
}

#[tokio::test]
async fn a_clock_that_stays_where_it_jumped_to_is_believed() {
    let clock = clock();
    let mut timed = Timed::start(Jetstream::builder(), &clock).await;
    assert_eq!(timed.time().await, START_US);
    let asleep = Duration::from_secs(3600);
    timed.jump(asleep);
    assert_eq!(timed.time().await, START_US + 1);
    clock.advance(Duration::from_secs(59));
    assert_eq!(timed.time().await, START_US + 59_000_000);
    clock.advance(Duration::from_secs(1));
    assert_eq!(timed.time().await, START_US + 3_660_000_000);
}

#[tokio::test]
async fn a_log_from_the_future_goes_on_from_there_and_that_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let builder = || Jetstream::builder().folder(folder.path());
    let ahead = ManualClock::new(clock().now() + 10 * YEAR);
    let first = {
        let mut timed = Timed::start(builder(), &ahead).await;
        let first = timed.time().await;
        timed.run.abort();
        first
    };
    let clock = clock();
    // The run before is still being put away.
    let mut timed = loop {
        match builder().clock(&clock).build() {
            Ok(built) => {
                drop(built);
                break Timed::start(builder(), &clock).await;
            }
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let next = timed.time().await;
    assert!(next > first);
    clock.advance(Duration::from_secs(5));
    assert!(timed.time().await >= first + 5_000_000);
    assert_eq!(timed.jetstream.snapshot().clock_jumps, 1);
}
