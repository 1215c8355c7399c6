//! The program that embeds a Jetstream and serves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use jetwash::store::Options;
use jetwash::{Clock, Dictionary, Endpoint, Jetstream, Mistake, RelayOptions, RunError};
use jetwash_serve::{ServeOptions, Server};
use jetwash_store::OpenError;
use jetwash_store::testing::SimulatedDisk;
use tokio::io::DuplexStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::cable::Cables;
use crate::ledger::{End, Ledger};
use crate::mirror::MIRROR;
use crate::network::Source;
use crate::reader::{Handled, NAME, Reader};
use crate::trace::Trace;

/// The parts that a process is started from, and that outlive it.
pub(crate) struct Machine {
    pub(crate) disk: SimulatedDisk,
    pub(crate) options: Options,
    pub(crate) cables: Cables,
    pub(crate) source: Source,
    pub(crate) ledger: Ledger,
    pub(crate) reader: Reader,
    pub(crate) handled: Handled,
    pub(crate) trace: Trace,
    /// How far the clock is off, in microseconds.
    pub(crate) skew: Arc<AtomicI64>,
}

pub(crate) struct Process {
    pub(crate) number: u32,
    pub(crate) jetstream: Jetstream,
    pub(crate) server: Server,
    stop: oneshot::Sender<()>,
    run: JoinHandle<Result<(), RunError>>,
    readers: Vec<JoinHandle<()>>,
    is_alive: Arc<AtomicBool>,
}

impl Machine {
    /// Starts a process after the one before has ended like this. An error says whether the log is
    /// still in use.
    pub(crate) fn start(&self, before: End) -> Result<Process, bool> {
        let built = Jetstream::builder()
            .relay(RELAYS[0])
            .relay(RELAYS[1])
            .relay_options(RelayOptions::new().no_proxy().connector(self.connector()))
            .clock(self.clock())
            .simulated_disk(self.disk.clone())
            .store_options(self.options.clone())
            // A clock that is off by years makes everything old.
            .retain_for(Duration::from_secs(100 * 365 * 86_400))
            .dictionary(Dictionary::builtin().unwrap())
            .build();
        let (jetstream, ingest) = match built {
            Ok(built) => built,
            Err(error) => {
                self.trace.note(format!("it does not start: {error}"));
                let in_use =
                    |mistake: &Mistake| matches!(mistake, Mistake::Store(OpenError::InUse { .. }));
                return Err(error.mistakes().iter().any(in_use));
            }
        };
        let store = jetstream.store();
        let number = self.ledger.begin(store, before);
        self.trace
            .note(format!("process {number}: {:?}", store.bounds()));
        self.check_cursors(&jetstream);
        let (stop, stopped) = oneshot::channel::<()>();
        let is_alive = Arc::new(AtomicBool::new(true));
        let reader = self.reader.clone().run(jetstream.clone());
        let handled = self.handled.clone();
        let consumer = handled.run(jetstream.clone(), Arc::clone(&is_alive));
        Ok(Process {
            number,
            server: Server::new(
                jetstream.clone(),
                ServeOptions::default().serve_mirrors(true),
            ),
            stop,
            run: tokio::spawn(ingest.run(async { drop(stopped.await) })),
            readers: vec![tokio::spawn(reader), tokio::spawn(consumer)],
            is_alive,
            jetstream,
        })
    }

    /// No stored cursor is ahead of what belongs before it.
    fn check_cursors(&self, jetstream: &Jetstream) {
        let store = jetstream.store();
        let next_seq = store.bounds().next_seq.get();
        self.handled
            .check_cursor(store.named_cursor(NAME), next_seq);
        let truth = self.source.frames();
        for (relay, address) in self.source.relays.iter().zip(RELAYS) {
            let name = address.parse::<Endpoint>().unwrap().to_string();
            let cursor = jetstream.source_cursor(&name);
            self.trace
                .note(format!("the cursor of {name} is {cursor:?}"));
            // The numbers before and after one has counted anew mean different frames.
            let Some(cursor) = cursor.filter(|_| !relay.has_renumbered()) else {
                continue;
            };
            let sent = relay.sent_up_to(cursor);
            let Some(&first) = sent.first() else { continue };
            let last = sent.last().copied().unwrap_or(first);
            let others = self.source.relays.iter();
            // A relay that has lost frames may have the log ahead of this one.
            if others.clone().any(|relay| relay.has_renumbered()) {
                continue;
            }
            let outcome = self
                .ledger
                .compare(&truth, (first, false), |frame| frame > last);
            if let Err(fault) = outcome {
                self.trace
                    .fail(format!("the cursor of {name} is {cursor}: {fault}"));
            }
        }
    }

    fn clock(&self) -> Clock {
        let (begun, trace, skew) = (Instant::now(), self.trace.clone(), Arc::clone(&self.skew));
        let wall = move || {
            let now = BEGUN + trace.passed().as_micros() as i64 + skew.load(Ordering::Relaxed);
            UNIX_EPOCH + Duration::from_micros(now.max(0) as u64)
        };
        Clock::new(wall).monotonic(move || begun.elapsed())
    }

    fn connector(
        &self,
    ) -> impl Fn(std::net::SocketAddr) -> std::io::Result<DuplexStream> + Send + Sync + 'static
    {
        let (source, cables) = (self.source.clone(), self.cables.clone());
        move |address| {
            let is_first = address.ip().to_string() == "10.0.0.1";
            let relay = source.relays[usize::from(!is_first)].clone();
            if relay.is_down() {
                return Err(std::io::ErrorKind::ConnectionRefused.into());
            }
            let (near, far) = cables.lay(relay.name);
            tokio::spawn(relay.serve(far));
            Ok(near)
        }
    }
}

impl Process {
    /// Ends it without a farewell. What it has begun ends with its disk.
    pub(crate) fn kill(self, machine: &Machine) {
        machine.ledger.end();
        self.is_alive.store(false, Ordering::Relaxed);
        self.run.abort();
        self.readers.iter().for_each(JoinHandle::abort);
        for edge in ["a", "b", CLIENTS, MIRROR] {
            machine.cables.cut(edge);
        }
    }

    /// Stops it in order, which it has a minute for.
    pub(crate) async fn stop(self, machine: &Machine, is_full: bool) {
        let trace = &machine.trace;
        drop(self.stop);
        match timeout(LONGEST_STOP, self.run).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) if is_full => trace.note(format!("it ended: {error}")),
            Ok(other) => trace.fail(format!("the run ended with {other:?}")),
            Err(_) => trace.fail("the run does not end"),
        }
        self.server.close(Duration::from_secs(5)).await;
        for reader in self.readers {
            match timeout(LONGEST_STOP, reader).await {
                Ok(Ok(())) => {}
                other => trace.fail(format!("a reader does not end: {other:?}")),
            }
        }
        self.is_alive.store(false, Ordering::Relaxed);
        let panics = self.jetstream.snapshot().panics;
        if !panics.is_empty() {
            trace.fail(format!("tasks have panicked: {panics:?}"));
        }
        machine.ledger.end();
    }

    /// Serves one connection.
    pub(crate) fn accept(&self, stream: DuplexStream) {
        let router: Router = self.server.router();
        tokio::spawn(async move {
            let service = TowerToHyperService::new(router);
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // How it ends is the client's to judge.
            let _ = connection.with_upgrades().await;
        });
    }
}

pub(crate) const CLIENTS: &str = "clients";
const RELAYS: [&str; 2] = ["ws://10.0.0.1", "ws://10.0.0.2"];
pub(crate) const BEGUN: i64 = 1_783_175_888_000_000;
/// The furthest that a clock is off, in microseconds.
pub(crate) const YEARS: u64 = 10 * 365 * 86_400 * 1_000_000;
/// A consumer winds down within 30 s, and slow readers end theirs.
pub(crate) const LONGEST_STOP: Duration = Duration::from_secs(90);
