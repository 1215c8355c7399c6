//! The seats of a shard under every order in which the log, the shard and the subscriber can meet.
//!
//! [`shard`] and [`seat`] are those of the server, with loom's locks and wake-ups in [`sync`]. A
//! subscriber, its events and its socket are real ones, too. Only two things are played: the log, which
//! is a number, and the subscriber's own task, which reads events by counting them. A wake-up that is
//! lost leaves all threads waiting, which loom reports as a deadlock.

#[path = "../seat.rs"]
#[allow(clippy::duplicate_mod, reason = "the same code with the locks of loom")]
mod seat;
#[path = "../shard.rs"]
#[allow(clippy::duplicate_mod, reason = "the same code with the locks of loom")]
#[allow(dead_code, reason = "the pace of batches is not played")]
mod shard;
mod sync;

use std::io;
use std::pin::Pin;
use std::sync::atomic::AtomicU64 as StdAtomicU64;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::SystemTime;

use axum::http::HeaderMap;
use futures_util::FutureExt;
use jetwash::store::{CommitPart, EventKind, Location, NewEvent, Options, Read, Run, open};
use jetwash::{Micros, Seq};
use loom::thread::{JoinHandle, spawn};
use tokio::io::AsyncWrite;
use tokio_util::sync::CancellationToken;

use self::seat::Seat;
use self::shard::{Member, Shard};
use self::sync::{AtomicU64, Mutex, Notify, Ordering};
use crate::form::encoder::Encoder;
use crate::form::recoder::Recoder;
use crate::memory::Budget;
use crate::metrics::Metrics;
use crate::options::ServeOptions;
use crate::subscriber::outbound::Outbound;
use crate::subscriber::query::Query;
use crate::subscriber::register::Register;
use crate::subscriber::socket::Socket;
use crate::tail::batch::Batch;

#[test]
fn an_event_that_is_committed_while_a_subscriber_sits_down_reaches_it_once() {
    model(|| {
        let (tail, _) = Tail::with_subscribers(&[Wire::OPEN]);
        tail.commit(1);
        tail.announce(1..=1, true);
        tail.all_have([1]);
        tail.end();
    });
}

#[test]
fn a_subscriber_is_woken_for_events_that_its_shard_cannot_send() {
    model(|| {
        let (tail, _) = Tail::with_subscribers(&[Wire::OPEN]);
        tail.commit(1);
        tail.announce(1..=1, false);
        tail.all_have([1]);
        tail.end();
    });
}

#[test]
fn two_batches_come_once_and_in_order() {
    model(|| {
        let (tail, _) = Tail::with_subscribers(&[Wire::OPEN]);
        for seq in 1..=2 {
            tail.commit(seq);
            tail.announce(seq..=seq, true);
        }
        tail.all_have([1, 2]);
        tail.end();
    });
}

#[test]
fn a_batch_that_went_missing_is_read_from_the_log() {
    model(|| {
        let (tail, _) = Tail::with_subscribers(&[Wire::OPEN]);
        tail.commit(2);
        tail.announce(2..=2, true);
        tail.all_have([1, 2]);
        tail.end();
    });
}

#[test]
fn a_socket_that_is_full_gets_the_rest_from_its_own_task() {
    model(|| {
        let (tail, _) = Tail::with_subscribers(&[Wire::FULL_ONCE]);
        tail.commit(1);
        tail.announce(1..=1, true);
        tail.all_have([1]);
        tail.end();
    });
}

#[test]
fn the_end_of_the_log_reaches_who_sits_and_who_sits_down() {
    model(|| {
        let (tail, last) = Tail::with_subscribers(&[Wire::OPEN, Wire::OPEN]);
        tail.commit(1);
        tail.end();
        // Both have read the last event, and one of them was the last.
        assert_eq!(last.load(Ordering::Relaxed), 1);
    });
}

/// Tries every order with up to as many changes of thread that no thread asked for as
/// `LOOM_MAX_PREEMPTIONS` says, or one.
fn model(check: impl Fn() + Send + Sync + 'static) {
    fixture();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(1));
    let orders = Arc::new(StdAtomicU64::new(0));
    let count = Arc::clone(&orders);
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        check();
    });
    println!("{} orders", orders.load(Ordering::Relaxed));
}

/// The log, a shard with its task, and subscribers with theirs.
struct Tail {
    /// The position of the next event.
    next_seq: Arc<AtomicU64>,
    shard: Arc<Shard>,
    received: Vec<Arc<Received>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Tail {
    /// Begins with an empty log. The number of subscribers that were told to be the last to leave is
    /// returned besides.
    fn with_subscribers(wires: &[u8]) -> (Self, Arc<AtomicU64>) {
        let next_seq = Arc::new(AtomicU64::new(1));
        let last = Arc::new(AtomicU64::new(0));
        let seats: Vec<_> = wires.iter().map(|_| Arc::new(Seat::default())).collect();
        let members = seats.iter().map(|seat| Arc::clone(seat) as Arc<dyn Member>);
        let members: Vec<_> = members.collect();
        let shard = Arc::new(Shard::new(Seq::FIRST, Arc::clone(&members[0])));
        let mut places = vec![0];
        places.extend(members[1..].iter().map(|it| shard.sit(it).unwrap()));
        let running = Arc::clone(&shard);
        let run = move || running.run(Arc::clone(&fixture().metrics)).now_or_never();
        let mut tasks = vec![spawn(move || run().unwrap())];
        let mut received = Vec::new();
        for ((seat, place), full) in seats.into_iter().zip(places).zip(wires) {
            let got = Arc::new(Received::new());
            received.push(Arc::clone(&got));
            let task = Task {
                next_seq: Arc::clone(&next_seq),
                shard: Arc::clone(&shard),
                seat,
                place,
                received: Arc::clone(&got),
                last: Arc::clone(&last),
            };
            let outbound = fixture().outbound(Wire {
                received: got,
                full: *full,
            });
            tasks.push(spawn(move || task.run(outbound)));
        }
        let tail = Self {
            next_seq,
            shard,
            received,
            tasks,
        };
        (tail, last)
    }

    fn commit(&self, last: u64) {
        self.next_seq.store(last + 1, Ordering::Release);
    }

    fn announce(&self, seqs: std::ops::RangeInclusive<u64>, are_in_memory: bool) {
        let (first, next) = (Seq::new(*seqs.start()), Seq::new(*seqs.end()).next());
        let runs = match are_in_memory {
            true => seqs
                .map(|seq| fixture().runs[seq as usize - 1].clone())
                .collect(),
            false => Vec::new(),
        };
        self.shard.push(Arc::new(Batch::new(first, next, runs)));
    }

    /// Waits until each subscriber has as many events, and makes sure that they are these.
    fn all_have<const N: usize>(&self, seqs: [u64; N]) {
        for received in &self.received {
            let found = || received.seqs.lock().unwrap().clone();
            while found().len() < N {
                received.changed.notified().now_or_never().unwrap();
            }
            assert_eq!(found(), seqs);
        }
    }

    /// Ends the log. Nobody may miss that, and nobody may have missed an event.
    fn end(self) {
        self.shard.end();
        for task in self.tasks {
            task.join().unwrap();
        }
        let all: Vec<u64> = (1..self.next_seq.load(Ordering::Acquire)).collect();
        for received in &self.received {
            assert_eq!(*received.seqs.lock().unwrap(), all);
        }
    }
}

/// A subscriber's own task, as `Connection` has it.
struct Task {
    next_seq: Arc<AtomicU64>,
    shard: Arc<Shard>,
    seat: Arc<Seat<Wire>>,
    place: usize,
    received: Arc<Received>,
    last: Arc<AtomicU64>,
}

impl Task {
    fn run(self, outbound: Box<Outbound<Wire>>) {
        let mut outbound = outbound;
        loop {
            // Whether it has ended is looked at before the log is read to its end.
            let has_ended = self.shard.has_ended();
            self.catch_up(&mut outbound);
            if has_ended {
                break;
            }
            outbound = match self.seat.put(outbound, &self.shard) {
                Some(outbound) => outbound,
                None => {
                    self.seat.woken().now_or_never().unwrap();
                    self.seat.take().unwrap()
                }
            };
        }
        if self.shard.leave(self.place) {
            self.last.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn catch_up(&self, outbound: &mut Outbound<Wire>) {
        while !outbound.write_now(&fixture().metrics).unwrap() {}
        let next_seq = Seq::new(self.next_seq.load(Ordering::Acquire));
        for seq in outbound.next_seq().get()..next_seq.get() {
            self.received.push(seq);
        }
        outbound.skip_to(next_seq);
    }
}

/// The events that a subscriber has got.
struct Received {
    seqs: Mutex<Vec<u64>>,
    changed: Notify,
}

impl Received {
    fn new() -> Self {
        Self {
            seqs: Mutex::new(Vec::new()),
            changed: Notify::new(),
        }
    }

    fn push(&self, seq: u64) {
        self.seqs.lock().unwrap().push(seq);
        self.changed.notify_one();
    }
}

/// A socket that takes nothing at first, for a number of tries.
struct Wire {
    received: Arc<Received>,
    full: u8,
}

impl Wire {
    const OPEN: u8 = 0;
    const FULL_ONCE: u8 = 1;
}

impl Socket for Wire {
    fn reset_on_drop(&self) {}
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.full > 0 {
            self.full -= 1;
            return Poll::Pending;
        }
        let text = String::from_utf8_lossy(bytes);
        for rest in text.split("\"n\":").skip(1) {
            self.received.push(rest[..1].parse().unwrap());
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The part that is the same in all runs of all models, without anything of loom.
struct Fixture {
    runs: Vec<Run>,
    query: Query,
    budget: Arc<Budget>,
    metrics: Arc<Metrics>,
}

impl Fixture {
    fn outbound(&self, wire: Wire) -> Box<Outbound<Wire>> {
        let recoder = Arc::new(Recoder::new(0, Arc::clone(&self.budget)));
        let encoder = Encoder::new(self.query.format, None, recoder).unwrap();
        let account = Arc::new(self.budget.account(CancellationToken::new()));
        let listed = Arc::new(Register::default()).enter(None, None, Arc::default());
        let report = Arc::clone(listed.report());
        let mut outbound = Outbound::new(wire, &self.query, encoder, None, account, None, report);
        outbound.start_at(Seq::FIRST, Micros::EPOCH);
        Box::new(outbound)
    }
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let (mut appender, store) = open(Location::Memory, Options::default()).unwrap();
        let empty = store.bounds();
        let runs = (1..=2).map(|seq| {
            let json = format!(r#"{{"n":{seq}}}"#);
            let event = NewEvent {
                kind: EventKind::Identity,
                did: "did:web:a.example",
                collection: "",
                commit: CommitPart::WHOLE,
                source: "test",
                verdict: 0,
                time_us: Micros::new(seq),
                json: json.as_bytes(),
                compressed: None,
            };
            appender.push(&event).unwrap();
            appender.commit().unwrap();
            match store.read(Seq::new(seq)).unwrap() {
                Read::Events(run) => run,
                other => panic!("{other:?}"),
            }
        });
        let runs = runs.collect();
        let options = ServeOptions::default();
        let now = SystemTime::now();
        Fixture {
            runs,
            query: Query::parse("", &HeaderMap::new(), &options, empty.into(), now).unwrap(),
            budget: Arc::new(Budget::new(1 << 30)),
            metrics: Arc::new(Metrics::new()),
        }
    })
}
