//! A second jetwash, which mirrors the log of the first.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use jetwash::store::{GapCause, Options, Read, Store};
use jetwash::{Clock, Jetstream, RelayOptions, RunError, Seq};
use jetwash_store::testing::SimulatedDisk;
use tokio::io::DuplexStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::cable::Cables;
use crate::chance::Chance;
use crate::ledger::{End, Ledger};
use crate::process::{BEGUN, LONGEST_STOP, YEARS};
use crate::trace::Trace;

/// The mirror; its clones are the same.
#[derive(Clone)]
pub(crate) struct Mirror {
    disk: SimulatedDisk,
    options: Options,
    cables: Cables,
    trace: Trace,
    ledger: Ledger,
    dial: Arc<dyn Fn() -> Option<DuplexStream> + Send + Sync>,
    state: Arc<Mutex<State>>,
}

struct State {
    chance: Chance,
    running: Option<Running>,
    /// The position up to which its log was compared with the first since it was opened.
    next: u64,
    /// Positions of the first log that it had when it was looked at last.
    has: Vec<u64>,
}

struct Running {
    jetstream: Jetstream,
    stop: oneshot::Sender<()>,
    run: JoinHandle<Result<(), RunError>>,
}

impl Mirror {
    /// A mirror that is not started yet. `dial` connects to the server of the first log.
    pub(crate) fn new(
        seed: u64,
        options: Options,
        (cables, trace, ledger): (&Cables, &Trace, &Ledger),
        dial: impl Fn() -> Option<DuplexStream> + Send + Sync + 'static,
    ) -> Self {
        let state = State {
            chance: Chance::of(seed, "mirror"),
            running: None,
            next: 1,
            has: Vec::new(),
        };
        Self {
            disk: SimulatedDisk::default(),
            options,
            cables: cables.clone(),
            trace: trace.clone(),
            ledger: ledger.clone(),
            dial: Arc::new(dial),
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Starts it again and again until it is up.
    pub(crate) async fn start(&self) {
        for _ in 0..LONGEST_IN_USE {
            match self.build() {
                Ok(running) => {
                    let bounds = running.jetstream.store().bounds();
                    self.trace.note(format!("the mirror begins: {bounds:?}"));
                    let mut state = self.state();
                    (state.running, state.next) = (Some(running), 1);
                    state.has.clear();
                    drop(state);
                    self.look();
                    return;
                }
                Err(error) => self
                    .trace
                    .note(format!("the mirror does not start: {error}")),
            }
            sleep(Duration::from_secs(1)).await;
        }
        self.trace.fail("the mirror cannot be started");
    }

    fn build(&self) -> Result<Running, String> {
        let dial = Arc::clone(&self.dial);
        let connector = move |_| dial().ok_or_else(|| ErrorKind::ConnectionRefused.into());
        let (begun, trace) = (Instant::now(), self.trace.clone());
        // Later than the first one's clock ever is, which would have its events refused otherwise.
        let wall = move || {
            let now = BEGUN as u64 + 2 * YEARS + trace.passed().as_micros() as u64;
            UNIX_EPOCH + Duration::from_micros(now)
        };
        let (jetstream, ingest) = Jetstream::builder()
            .mirror("ws://10.0.0.3")
            .relay_options(RelayOptions::new().no_proxy().connector(connector))
            .clock(Clock::new(wall).monotonic(move || begun.elapsed()))
            .simulated_disk(self.disk.clone())
            .store_options(self.options.clone())
            .retain_for(Duration::from_secs(100 * 365 * 86_400))
            .build()
            .map_err(|error| error.to_string())?;
        let (stop, stopped) = oneshot::channel::<()>();
        Ok(Running {
            jetstream,
            stop,
            run: tokio::spawn(ingest.run(async { drop(stopped.await) })),
        })
    }

    /// Ends it in one of the ways that there are, and starts it again.
    pub(crate) async fn end(&self, end: End) {
        let Some(running) = self.state().running.take() else {
            return;
        };
        self.trace.note(format!("the mirror: {end:?}"));
        self.compare(running.jetstream.store());
        if end == End::Stopped {
            self.stop(running).await;
        } else {
            running.run.abort();
            self.cables.cut(MIRROR);
            drop(running);
        }
        match end {
            End::Stopped => {}
            End::Killed => self.disk.kill(),
            End::PowerFailed => {
                let mut state = self.state();
                let chance = &mut state.chance;
                self.disk
                    .fail_power(|unsynced| chance.below(unsynced as u64 + 1) as usize);
            }
        }
        let pause = self.state().chance.millis(10, 20_000);
        sleep(pause).await;
        self.start().await;
    }

    /// Ends it for good.
    pub(crate) async fn close(&self) {
        let running = self.state().running.take();
        if let Some(running) = running {
            self.stop(running).await;
        }
    }

    async fn stop(&self, running: Running) {
        drop(running.stop);
        match timeout(LONGEST_STOP, running.run).await {
            Ok(Ok(Ok(()))) => {}
            other => self.trace.fail(format!("the mirror ended with {other:?}")),
        }
        let panics = running.jetstream.snapshot().panics;
        if !panics.is_empty() {
            self.trace
                .fail(format!("tasks of the mirror have panicked: {panics:?}"));
        }
    }

    /// Compares what is new in its log with the first log.
    fn look(&self) {
        let store = {
            let state = self.state();
            let running = state.running.as_ref();
            running.map(|running| running.jetstream.store().clone())
        };
        if let Some(store) = store {
            self.compare(&store);
        }
    }

    fn compare(&self, store: &Store) {
        let mut next = self.state().next;
        let mut has = Vec::new();
        loop {
            match store.read(Seq::new(next)).unwrap() {
                Read::Events(run) => {
                    let page = run.block().json().unwrap();
                    for index in run.indexes() {
                        let seq = run.block().meta(index).unwrap().seq.get();
                        let json = String::from_utf8(page.get(index).unwrap().to_vec()).unwrap();
                        self.ledger.saw("mirror", seq, &json);
                        has.push(seq);
                    }
                    next = run.next_seq().get();
                }
                Read::Gap(gap) => {
                    if gap.cause != GapCause::Skipped {
                        self.trace.fail(format!("the mirror has {gap:?}"));
                    }
                    next = gap.next_seq.get();
                }
                Read::AtTip => break,
            }
        }
        let mut state = self.state();
        state.next = next;
        state.has.extend(has);
    }

    /// Whether it has all that the first log has.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.look();
        let state = self.state();
        let mut has = state.has.iter().peekable();
        for entry in self.ledger.visible_to(self.ledger.process()) {
            // What a power failure took from the first log may be here.
            while has.next_if(|seq| **seq < entry.seq).is_some() {}
            if has.next_if(|seq| **seq == entry.seq).is_none() {
                return Err(format!("the mirror does not have {}", entry.seq));
            }
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) const MIRROR: &str = "mirror";
const LONGEST_IN_USE: u32 = 60;
