//! The whole way into the log, with and without verification.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jetwash::event::Did;
use jetwash::identity::{DocumentAnswer, DocumentSource, Identities, IdentityOptions};
use jetwash::store::{self, Location, Options};
use jetwash::{Jetstream, Pipeline, Seq, Verify};
use jetwash_benches::Table;
use jetwash_sim::{Network, NetworkConfig, SimDirectory};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::input::{Input, NOW};

/// Documents at hand.
#[derive(Clone)]
pub(crate) enum Documents {
    Real(Arc<HashMap<String, String>>),
    Simulated(SimDirectory),
}

impl Documents {
    fn get(&self, did: &str) -> Option<String> {
        match self {
            Self::Real(documents) => documents.get(did).cloned(),
            Self::Simulated(directory) => directory.document(did),
        }
    }

    fn identities(&self) -> Identities {
        let options = IdentityOptions::new().document_source(self.clone());
        options.without_directories().start().unwrap()
    }
}

impl DocumentSource for Documents {
    fn document<'a>(&'a self, did: &'a Did) -> BoxFuture<'a, io::Result<DocumentAnswer>> {
        let document = self.get(did.as_str()).map(String::into_bytes);
        let answer = document.map_or(DocumentAnswer::NotFound, DocumentAnswer::Document);
        Box::pin(async { Ok(answer) })
    }
}

/// Real frames, each round into a new log: most are of accounts of their own, whose keys have to be
/// read from their text.
pub(crate) fn new_accounts(input: &Input) {
    let Some(documents) = &input.documents else {
        return;
    };
    let (runtime, documents) = (runtime(), Documents::Real(Arc::new(documents.clone())));
    let identities = {
        let _context = runtime.enter();
        documents.identities()
    };
    runtime.block_on(async {
        for did in input.keys.keys() {
            identities.resolve(&did.parse().unwrap()).await.unwrap();
        }
    });
    let open = |verify: Verify| {
        let folder = TempDir::new().unwrap();
        let location = Location::Disk(folder.path().to_owned());
        let (appender, _) = store::open(location, Options::default()).unwrap();
        (Pipeline::new(appender).verify(&verify), folder)
    };
    let [off, structure, lenient] = [const { RefCell::new(None) }; 3];
    let work = |cell: &RefCell<Option<(Pipeline, TempDir)>>| {
        let mut cell = cell.borrow_mut();
        take_in(&mut cell.as_mut().unwrap().0, &input.frames);
    };
    let medians = Table::new(
        "into the log, real frames of new accounts",
        input.frames.len(),
    )
    .row_after(
        "off",
        || drop(off.replace(Some(open(Verify::off())))),
        || work(&off),
    )
    .row_after(
        "structure",
        || drop(structure.replace(Some(open(Verify::structure())))),
        || work(&structure),
    )
    .row_after(
        "lenient",
        || drop(lenient.replace(Some(open(Verify::lenient(identities.clone()))))),
        || work(&lenient),
    )
    .run(Duration::from_secs(8));
    print_ratios(&medians);
    let (pipeline, _) = lenient.take().unwrap();
    println!(
        "verdicts of the last round: {:?}",
        pipeline.snapshot().verdicts
    );
}

/// Simulated frames of the size of real ones, round after round of the same accounts: keys and
/// states are known.
pub(crate) fn known_accounts() {
    let (mut traffic, documents) = Traffic::new();
    let runtime = runtime();
    let _context = runtime.enter();
    let identities = documents.identities();
    runtime.block_on(async {
        for did in &traffic.dids {
            identities.resolve(did).await.unwrap();
        }
    });
    inline(&mut traffic, &identities);
    through_ingest(&mut traffic, &runtime, &identities);
}

fn inline(traffic: &mut Traffic, identities: &Identities) {
    let folders: [TempDir; 3] = std::array::from_fn(|_| TempDir::new().unwrap());
    let mut policies = [
        Verify::off(),
        Verify::structure(),
        Verify::lenient(identities.clone()),
    ]
    .into_iter();
    let mut pipelines = folders.each_ref().map(|folder| {
        let location = Location::Disk(folder.path().to_owned());
        let (appender, _) = store::open(location, Options::default()).unwrap();
        Pipeline::new(appender).verify(&policies.next().unwrap())
    });
    let traffic = RefCell::new(traffic);
    let [off, structure, lenient] = &mut pipelines;
    let next = || traffic.borrow_mut().next_round();
    let medians = Table::new("into the log, simulated frames of known accounts", ROUND)
        .row_after("off", next, || take_in(off, &traffic.borrow().frames))
        .row("structure", || take_in(structure, &traffic.borrow().frames))
        .row("lenient", || take_in(lenient, &traffic.borrow().frames))
        .run(Duration::from_secs(12));
    print_ratios(&medians);
    println!("verdicts: {:?}", pipelines[2].snapshot().verdicts);
}

/// The same through an `Ingest`, with its queue, its writer and its workers.
fn through_ingest(traffic: &mut Traffic, runtime: &Runtime, identities: &Identities) {
    let lenient = |workers| Verify::lenient(identities.clone()).workers(workers);
    let mut off = Running::start(runtime, Verify::off());
    let mut one = Running::start(runtime, lenient(1));
    let mut two = Running::start(runtime, lenient(2));
    let traffic = RefCell::new(traffic);
    let next = || traffic.borrow_mut().next_round();
    let medians = Table::new("through an Ingest, on all cores", ROUND)
        .row_after("off", next, || off.take_in(runtime, &traffic.borrow()))
        .row("lenient, one worker", || {
            one.take_in(runtime, &traffic.borrow());
        })
        .row("lenient, two workers", || {
            two.take_in(runtime, &traffic.borrow());
        })
        .run(Duration::from_secs(12));
    println!(
        "\ntwo workers do {:.2} times as much as one; off does {:.2} times as much as two",
        medians[1] / medians[2],
        medians[2] / medians[0],
    );
    println!("verdicts: {:?}", two.jetstream.snapshot().verdicts);
    for running in [off, one, two] {
        running.end(runtime);
    }
}

fn print_ratios(medians: &[f64]) {
    println!(
        "\nbeside off, structure takes {:.2} times as long and lenient {:.2} times",
        medians[1] / medians[0],
        medians[2] / medians[0],
    );
}

fn take_in(pipeline: &mut Pipeline, frames: &[Vec<u8>]) {
    for (index, frame) in frames.iter().enumerate() {
        pipeline.frame("relay", frame, NOW).unwrap();
        if index % BATCH == BATCH - 1 {
            pipeline.commit().unwrap();
        }
    }
    pipeline.commit().unwrap();
}

/// A simulated network, a round of frames at a time.
struct Traffic {
    network: Network,
    dids: Vec<Did>,
    frames: Vec<Vec<u8>>,
    /// The positions before and after the events of this round.
    before: Seq,
    next_seq: Seq,
    counter: Pipeline,
}

impl Traffic {
    fn new() -> (Self, Documents) {
        let config = NetworkConfig {
            rare_per_million: 0,
            ..NetworkConfig::full_size()
        };
        let directory = SimDirectory::new(&config).unwrap();
        let network = Network::new(config).unwrap();
        let (appender, _) = store::open(Location::Memory, Options::default()).unwrap();
        let traffic = Self {
            dids: network.dids().map(|did| did.parse().unwrap()).collect(),
            network,
            frames: Vec::new(),
            before: Seq::FIRST,
            next_seq: Seq::FIRST,
            counter: Pipeline::new(appender),
        };
        (traffic, Documents::Simulated(directory))
    }

    fn next_round(&mut self) {
        let frames = self.network.by_ref().take(ROUND);
        self.frames = frames.map(|frame| frame.bytes).collect();
        take_in(&mut self.counter, &self.frames);
        self.before = self.next_seq;
        self.next_seq = self.counter.next_seq();
    }
}

/// A Jetstream that takes in what is pushed.
struct Running {
    jetstream: Jetstream,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
    /// The events of rounds before this began.
    offset: Option<u64>,
    _folder: TempDir,
}

impl Running {
    fn start(runtime: &Runtime, verify: Verify) -> Self {
        let folder = TempDir::new().unwrap();
        let builder = Jetstream::builder().folder(folder.path());
        let (jetstream, ingest) = builder.verify(verify).build().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = ingest.run(async { drop(stopped.await) });
        Self {
            jetstream,
            stop,
            task: runtime.spawn(async { run.await.unwrap() }),
            offset: None,
            _folder: folder,
        }
    }

    /// Pushes a round and waits until all of it is in the log.
    fn take_in(&mut self, runtime: &Runtime, traffic: &Traffic) {
        let pusher = self.jetstream.pusher("relay");
        let mut tip = self.jetstream.store().tip();
        runtime.block_on(async {
            for frame in &traffic.frames {
                pusher.push(frame.clone()).await.unwrap();
            }
            let offset = *self.offset.get_or_insert_with(|| traffic.before.get() - 1);
            let last = Seq::new(traffic.next_seq.get() - offset);
            tip.wait_for(|next| *next >= last).await.unwrap();
        });
    }

    fn end(self, runtime: &Runtime) {
        drop(self.stop);
        runtime.block_on(self.task).unwrap();
    }
}

pub(crate) fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

/// Frames a round, and a commit.
const ROUND: usize = 1_000;
const BATCH: usize = 256;
