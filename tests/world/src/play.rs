//! One run: what goes wrong when, and what has to hold in the end.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jetwash::store::{Durability, Options};
use jetwash_store::testing::SimulatedDisk;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::cable::Cables;
use crate::chance::Chance;
use crate::client::{Client, Mode, Way};
use crate::ledger::{End, Ledger};
use crate::mirror::{MIRROR, Mirror};
use crate::network::Source;
use crate::process::{CLIENTS, Machine, Process, YEARS};
use crate::reader::{Handled, Reader};
use crate::trace::Trace;

/// The outcome of a run.
pub(crate) struct Told {
    pub(crate) hash: u64,
    pub(crate) failures: Vec<String>,
    pub(crate) tail: Vec<String>,
    pub(crate) played: Duration,
    pub(crate) frames: usize,
    pub(crate) events: usize,
    pub(crate) faults: String,
}

/// The process that runs now, if one does.
type Running = Arc<Mutex<Option<Process>>>;

struct World {
    machine: Machine,
    running: Running,
    chance: Chance,
    clients: Vec<Client>,
    mirror: Mirror,
    is_publishing: watch::Sender<bool>,
    is_quiet: watch::Sender<bool>,
    /// Frames before this one may be missing, as a relay has lost them.
    risk: usize,
    first: usize,
    counts: [u32; 12],
}

/// Plays a seed for that many minutes, and then until all is quiet.
pub(crate) async fn play(seed: u64, minutes: u64) -> Told {
    let trace = Trace::new();
    tokio::spawn(keep_time(trace.clone()));
    let mut world = World::new(seed, &trace);
    world.begin(seed).await;
    let end = Duration::from_secs(60 * minutes);
    while trace.passed() < end && !trace.has_failed() {
        let pause = world.chance.millis(200, 15_000);
        sleep(pause).await;
        world.disturb().await;
    }
    world.quieten().await;
    let machine = &world.machine;
    let (hash, tail, failures) = trace.take();
    Told {
        hash,
        failures,
        tail,
        played: trace.passed(),
        frames: machine.source.count(),
        events: machine.ledger.visible_to(machine.ledger.process()).len(),
        faults: NAMES
            .iter()
            .zip(world.counts)
            .map(|(name, count)| format!("{count} {name}"))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// Has the clocks of the standard library follow that of the runtime.
async fn keep_time(trace: Trace) {
    loop {
        #[cfg(target_os = "linux")]
        crate::hooks::set_time(trace.passed());
        sleep(Duration::from_millis(10)).await;
    }
}

impl World {
    fn new(seed: u64, trace: &Trace) -> Self {
        let mut chance = Chance::of(seed, "world");
        let durability = match chance.below(3) {
            0 => Durability::Buffered,
            1 => Durability::Synced(Duration::from_secs(1)),
            _ => Durability::SyncedBatch,
        };
        trace.note(format!("seed {seed}: {durability:?}"));
        let options = Options::default()
            .durability(durability)
            .block_events(chance.between(8, 200) as usize)
            .bucket_events(chance.between(100, 2_000))
            .hot_bytes(chance.pick(&[1, 20_000, 4 << 20]))
            .cache_bytes(chance.pick(&[1, 1 << 20]));
        let ledger = Ledger::new(trace, durability);
        let machine = Machine {
            disk: SimulatedDisk::default(),
            options,
            cables: Cables::new(seed),
            source: Source::new(seed, trace),
            reader: Reader::new(seed, trace, &ledger),
            handled: Handled::new(seed, trace, &ledger),
            ledger,
            trace: trace.clone(),
            skew: Arc::new(AtomicI64::new(0)),
        };
        let running = Running::default();
        let mirror = mirror(seed, &machine, &running);
        Self {
            machine,
            running,
            mirror,
            chance,
            clients: Vec::new(),
            is_publishing: watch::channel(true).0,
            is_quiet: watch::channel(false).0,
            risk: 0,
            first: 0,
            counts: [0; 12],
        }
    }

    /// Starts all that there is, and has the first cursors stored: from then on, nothing may be
    /// missing.
    async fn begin(&mut self, seed: u64) {
        self.start(End::Stopped).await;
        while !self
            .machine
            .source
            .relays
            .iter()
            .all(crate::relay::Relay::has_joined)
        {
            sleep(Duration::from_millis(10)).await;
        }
        self.first = self.machine.source.count();
        self.machine.source.publish(20);
        sleep(Duration::from_secs(3)).await;
        self.end(End::Stopped).await;
        self.machine.cables.set_faulty(true);
        tokio::spawn(publish(
            self.machine.source.clone(),
            Chance::of(seed, "publish"),
            self.is_publishing.subscribe(),
        ));
        self.mirror.start().await;
        let modes = [Mode::Plain, Mode::Compressed, Mode::Second];
        for number in 0..6 {
            let mode = modes[number % modes.len()];
            let name = format!("client {number} ({mode:?})");
            let client = Client::new(name, mode, &self.machine.trace);
            self.clients.push(client.clone());
            tokio::spawn(client.run(seed, self.way()));
        }
    }

    fn way(&self) -> Way {
        let (running, cables) = (Arc::clone(&self.running), self.machine.cables.clone());
        Way {
            dial: Box::new(move || {
                let running = running.lock().unwrap_or_else(PoisonError::into_inner);
                let process = running.as_ref()?;
                let (near, far) = cables.lay(CLIENTS);
                process.accept(far);
                Some((process.number, near))
            }),
            dids: self.machine.source.dids(),
            is_quiet: self.is_quiet.subscribe(),
        }
    }

    /// Starts a process, as its supervisor does: again and again until it is up.
    async fn start(&self, before: End) {
        let mut in_use = 0;
        loop {
            match self.machine.start(before) {
                Ok(process) => {
                    *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(process);
                    return;
                }
                Err(is_in_use) => in_use = if is_in_use { in_use + 1 } else { 0 },
            }
            if in_use > LONGEST_IN_USE {
                self.machine
                    .trace
                    .fail("the log is still in use after an orderly end");
                return;
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Ends the process in one of the ways that there are, and starts the next.
    async fn end(&mut self, end: End) {
        let machine = &self.machine;
        let running = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(process) = running else { return };
        machine
            .trace
            .note(format!("process {}: {end:?}", process.number));
        match end {
            End::Stopped => process.stop(machine, false).await,
            End::Killed => {
                process.kill(machine);
                machine.disk.kill();
            }
            End::PowerFailed => {
                process.kill(machine);
                let chance = &mut self.chance;
                machine
                    .disk
                    .fail_power(|unsynced| chance.below(unsynced as u64 + 1) as usize);
            }
        }
        let pause = self.chance.millis(10, 5_000);
        sleep(pause).await;
        self.start(end).await;
    }

    /// Has something go wrong.
    async fn disturb(&mut self) {
        let what = self.chance.below(NAMES.len() as u64) as usize;
        let number = self.chance.below(2) as usize;
        let relay = self.machine.source.relays[number].clone();
        self.machine.trace.note(format!("now: {}", NAMES[what]));
        self.counts[what] += 1;
        match what {
            0 => self.machine.cables.cut(relay.name),
            1 => {
                relay.set_down(true);
                self.machine.cables.cut(relay.name);
                let pause = self.chance.millis(100, 40_000);
                tokio::spawn(async move {
                    sleep(pause).await;
                    relay.set_down(false);
                });
            }
            2 => self.machine.cables.cut(CLIENTS),
            3 => self.fill_disk().await,
            4 => self.end(End::PowerFailed).await,
            5 => self.end(End::Killed).await,
            6 => self.end(End::Stopped).await,
            7 => {
                let far = self
                    .chance
                    .pick(&[2_000_000, 60_000_000, 3_600_000_000, YEARS]);
                let jump = self.chance.between(0, 2 * far) as i64 - far as i64;
                let is_mended = self.chance.percent(40);
                let jump = if is_mended { 0 } else { jump };
                self.machine
                    .trace
                    .note(format!("the clock is off by {jump} µs"));
                self.machine.skew.store(jump, Ordering::Relaxed);
            }
            8 => relay.set_repeats(self.chance.percent(50)),
            9 => self.count_anew(&relay),
            10 => self.machine.cables.cut(MIRROR),
            _ => {
                let end = self
                    .chance
                    .pick(&[End::Stopped, End::Killed, End::PowerFailed]);
                let mirror = self.mirror.clone();
                tokio::spawn(async move { mirror.end(end).await });
            }
        }
    }

    async fn fill_disk(&mut self) {
        let machine = &self.machine;
        machine.disk.set_full(true);
        machine.ledger.disk_was_full();
        let pause = self.chance.millis(100, 20_000);
        sleep(pause).await;
        machine.ledger.disk_was_full();
        if self.chance.percent(20) {
            // A process that dies of it.
            let disk = machine.disk.clone();
            tokio::spawn(async move {
                sleep(Duration::from_secs(3)).await;
                disk.set_full(false);
            });
            return self.end(End::Killed).await;
        }
        machine.disk.set_full(false);
    }

    /// A relay loses its history, in a third of all worlds.
    fn count_anew(&mut self, relay: &crate::relay::Relay) {
        if !self.chance.percent(7) || relay.has_renumbered() {
            return;
        }
        relay.count_anew();
        self.risk = usize::MAX;
        self.machine.cables.cut(relay.name);
        self.machine
            .trace
            .note(format!("{} counts anew", relay.name));
    }

    /// Ends all faults, waits until everybody has got everything, and checks it.
    async fn quieten(&mut self) {
        let machine = &self.machine;
        machine.trace.note("all is quiet from now on");
        machine.cables.set_faulty(false);
        self.is_publishing.send_replace(false);
        self.is_quiet.send_replace(true);
        for edge in ["a", "b", CLIENTS, MIRROR] {
            machine.cables.cut(edge);
        }
        sleep(LONGEST_FAULT).await;
        // Something new of everybody, without which a relay that counts anew is not found out.
        machine.source.publish(60);
        let mut outcome = Ok(());
        for _ in 0..LONGEST_WAIT {
            sleep(Duration::from_secs(1)).await;
            outcome = self.check();
            if let Err(fault) = &outcome {
                machine.trace.note(format!("not yet: {fault}"));
            }
            if outcome.is_ok() || machine.trace.has_failed() {
                break;
            }
        }
        if let Err(fault) = outcome {
            machine.trace.fail(fault);
        }
        if !machine.trace.has_failed() {
            let running = self
                .running
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(process) = running {
                process.stop(machine, false).await;
            }
            self.mirror.close().await;
        }
    }

    /// Whether all is as it has to be in the end.
    fn check(&self) -> Result<(), String> {
        let machine = &self.machine;
        machine.ledger.drain();
        let truth = machine.source.frames();
        let has_gaps = !machine.ledger.upstream_gaps().is_empty();
        let may_lack = |frame: usize| frame < self.risk && has_gaps;
        machine
            .ledger
            .compare(&truth, (self.first, self.risk > 0), may_lack)?;
        let visible = machine.ledger.visible_to(machine.ledger.process());
        let last = visible.last().map_or(0, |entry| entry.seq);
        if machine.reader.next() <= last {
            return Err(format!(
                "the reader is at {} of {last}",
                machine.reader.next()
            ));
        }
        if let Some(seq) = machine.handled.first_missing(last) {
            return Err(format!("the consumer has not handled {seq} of {last}"));
        }
        self.mirror.check()?;
        self.clients
            .iter()
            .try_for_each(|client| client.check(&machine.ledger))
    }
}

/// The mirror of the log, which goes the way of the clients.
fn mirror(seed: u64, machine: &Machine, running: &Running) -> Mirror {
    let (running, cables) = (Arc::clone(running), machine.cables.clone());
    let parts = (&machine.cables, &machine.trace, &machine.ledger);
    Mirror::new(seed, machine.options.clone(), parts, move || {
        let running = running.lock().unwrap_or_else(PoisonError::into_inner);
        let process = running.as_ref()?;
        let (near, far) = cables.lay(MIRROR);
        process.accept(far);
        Some(near)
    })
}

/// Has things happen in the network, now few and now many.
async fn publish(source: Source, mut chance: Chance, is_publishing: watch::Receiver<bool>) {
    while *is_publishing.borrow() {
        let (pause, count) = match chance.below(20) {
            0 => (chance.millis(2_000, 20_000), 1),
            1 => (chance.millis(1, 50), chance.between(20, 60)),
            _ => (chance.millis(10, 800), chance.between(1, 3)),
        };
        sleep(pause).await;
        source.publish(count);
    }
}

const NAMES: [&str; 12] = [
    "cuts of a relay",
    "relays down",
    "cuts of clients",
    "full disks",
    "power failures",
    "kills",
    "restarts",
    "jumps of the clock",
    "repeating relays",
    "relays that may count anew",
    "cuts of the mirror",
    "ends of the mirror",
];
/// Faults that have begun last up to this long.
const LONGEST_FAULT: Duration = Duration::from_secs(60);
/// How many seconds there are until everybody has everything.
const LONGEST_WAIT: u64 = 300;
const LONGEST_IN_USE: u32 = 60;
