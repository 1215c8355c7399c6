use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jetwash::Dictionary;
use jetwash::dict::Decompressor;
use jetwash_benches::{Link, PONG, now_us, split_message, time_of};
use mio::{Events, Poll, Token};

/// The options of a subscriber.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) query: String,
    pub(crate) is_compressed: bool,
    pub(crate) is_v2: bool,
}

impl Shape {
    fn target(&self) -> String {
        let route = if self.is_v2 {
            "/xrpc/network.bsky.jetstream.subscribeEvents"
        } else {
            "/subscribe"
        };
        format!("{route}?{}", self.query)
    }
}

/// Subscribers on one thread that do next to nothing with what they get: it is counted, and the
/// time is read from a part of it.
pub(crate) struct Crowd {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// Counts what a crowd has received.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) events: AtomicU64,
    pub(crate) bytes: AtomicU64,
    /// Connections that the server ended.
    pub(crate) ended: AtomicU64,
    /// The phase of the measurement, from 0 on.
    pub(crate) phase: AtomicUsize,
    /// The first subscriber reads nothing while this is set.
    pub(crate) is_stalled: AtomicBool,
    is_over: AtomicBool,
    /// For each phase, how many microseconds after their arrival some events were received.
    delays: Mutex<Vec<Vec<u32>>>,
    /// The times of all events that the first two subscribers got, if that was asked for.
    records: Mutex<[Vec<u64>; 2]>,
}

impl Crowd {
    /// Connects one subscriber for each shape.
    ///
    /// With `records`, the first two keep the time of each event, and come back with their cursor
    /// when they are closed.
    pub(crate) fn connect(
        server: SocketAddr,
        shapes: &[Shape],
        dictionary: &Dictionary,
        sample: u64,
        records: bool,
    ) -> Result<Self, Box<dyn Error>> {
        let shared = Arc::new(Shared::default());
        let mut members = Vec::with_capacity(shapes.len());
        for (index, shape) in shapes.iter().enumerate() {
            let record = (records && index < 2).then_some(index);
            members.push(Member::connect(server, shape, record)?);
        }
        let mut crowd = Reading {
            server,
            shared: Arc::clone(&shared),
            poll: Poll::new()?,
            members,
            buffer: vec![0; BUFFER],
            decoder: dictionary.decompressor(),
            json: Vec::new(),
            sample,
            count: 0,
        };
        let thread = thread::Builder::new()
            .name("subscribers".to_owned())
            .spawn(move || crowd.run())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The delays of a phase in microseconds, sorted.
    pub(crate) fn delays(&self, phase: usize) -> Vec<u32> {
        let mut delays = lock(&self.shared.delays)
            .get(phase)
            .cloned()
            .unwrap_or_default();
        delays.sort_unstable();
        delays
    }

    pub(crate) fn record(&self, index: usize) -> Vec<u64> {
        lock(&self.shared.records)[index].clone()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Some(Ok(Err(error))) = self.thread.take().map(JoinHandle::join) {
            eprintln!("the subscribers failed: {error}");
        }
    }
}

/// The state of the thread.
struct Reading {
    server: SocketAddr,
    shared: Arc<Shared>,
    poll: Poll,
    members: Vec<Member>,
    buffer: Vec<u8>,
    decoder: Decompressor,
    json: Vec<u8>,
    /// The time of one event in this number is read.
    sample: u64,
    count: u64,
}

struct Member {
    link: Link,
    shape: Shape,
    record: Option<usize>,
    last_time: u64,
}

impl Member {
    fn connect(server: SocketAddr, shape: &Shape, record: Option<usize>) -> io::Result<Self> {
        // Else the kernel takes a stall of ten seconds in, and nobody notices.
        let receive_buffer = (record == Some(0)).then_some(64 << 10);
        Ok(Self {
            link: Link::connect(server, &shape.target(), receive_buffer)?,
            shape: shape.clone(),
            record,
            last_time: 0,
        })
    }
}

impl Reading {
    fn run(&mut self) -> io::Result<()> {
        for (index, member) in self.members.iter_mut().enumerate() {
            member.link.register(self.poll.registry(), index)?;
        }
        let mut events = Events::with_capacity(1024);
        let mut was_stalled = false;
        while !self.shared.is_over.load(Ordering::Relaxed) {
            // Subscribers are elsewhere, and do not make the server pay for waking them: that it
            // would, because here the kernel delivers on the sender's account.
            thread::sleep(LOOK);
            match self.poll.poll(&mut events, Some(Duration::ZERO)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            let is_stalled = self.shared.is_stalled.load(Ordering::Relaxed);
            for event in &events {
                let Token(index) = event.token();
                if index > 0 || !is_stalled {
                    self.read(index)?;
                }
            }
            if was_stalled && !is_stalled {
                self.read(0)?;
            }
            was_stalled = is_stalled;
        }
        Ok(())
    }

    fn read(&mut self, index: usize) -> io::Result<()> {
        loop {
            let Some(member) = self.members.get_mut(index) else {
                return Ok(());
            };
            let (filled, count) = match member.link.read(&mut self.buffer, BUFFER) {
                Ok((_, 0)) => return self.ended(index),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(_) => return self.ended(index),
            };
            let is_open = self.messages(index, filled)?;
            self.shared.bytes.fetch_add(count as u64, Ordering::Relaxed);
            if !is_open {
                return self.ended(index);
            }
            // A short read has emptied the socket; the next bytes wake this thread again. Only an
            // end that is there already does not, and who comes back has to see it.
            if count < BUFFER && self.members[index].record.is_none() {
                return Ok(());
            }
        }
    }

    /// Goes through the messages in the buffer; `false` when the server closes.
    fn messages(&mut self, index: usize, filled: usize) -> io::Result<bool> {
        let member = &mut self.members[index];
        let now = now_us();
        let phase = self.shared.phase.load(Ordering::Relaxed);
        let (mut rest, mut events, mut is_open) = (&self.buffer[..filled], 0, true);
        let (mut delays, mut times) = (Vec::new(), Vec::new());
        while let Some((opcode, payload, after)) = split_message(rest) {
            rest = after;
            match opcode {
                0x1 | 0x2 => events += 1,
                0x8 => is_open = false,
                0x9 => {
                    // It fits, or the socket is in trouble anyway.
                    member.link.write(&PONG)?;
                }
                _ => {}
            }
            self.count += 1;
            if opcode > 0x2 || (member.record.is_none() && !self.count.is_multiple_of(self.sample))
            {
                continue;
            }
            let time = if member.shape.is_compressed {
                self.json.clear();
                let decoded = self.decoder.decompress(payload, 16 << 20, &mut self.json);
                decoded.ok().and_then(|()| time_of(&self.json))
            } else {
                time_of(payload)
            };
            if let Some(time) = time {
                if time > member.last_time {
                    member.last_time = time;
                    times.push(time);
                }
                // The one that stalls tells nothing about the others.
                if member.record != Some(0) {
                    delays.push(u32::try_from(now.saturating_sub(time)).unwrap_or(u32::MAX));
                }
            }
        }
        let left = rest.len();
        member.link.keep(&self.buffer[filled - left..filled]);
        self.shared.events.fetch_add(events, Ordering::Relaxed);
        if let Some(record) = member.record {
            lock(&self.shared.records)[record].extend(times);
        }
        if !delays.is_empty() {
            let mut phases = lock(&self.shared.delays);
            if phases.len() <= phase {
                phases.resize_with(phase + 1, Vec::new);
            }
            phases[phase].extend(delays);
        }
        Ok(is_open)
    }

    /// A recorded subscriber comes back, the others stay away.
    fn ended(&mut self, index: usize) -> io::Result<()> {
        self.shared.ended.fetch_add(1, Ordering::Relaxed);
        let member = &mut self.members[index];
        member.link.deregister(self.poll.registry())?;
        if member.record.is_none() || self.shared.is_over.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut shape = member.shape.clone();
        shape.query = format!("{}&cursor={}", shape.query, member.last_time);
        let mut back = Member::connect(self.server, &shape, member.record)?;
        back.shape = member.shape.clone();
        back.last_time = member.last_time;
        back.link.register(self.poll.registry(), index)?;
        self.members[index] = back;
        // What came with the answer to the handshake.
        let begun = self.members[index].link.kept().to_vec();
        self.buffer[..begun.len()].copy_from_slice(&begun);
        self.messages(index, begun.len()).map(|_| ())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const BUFFER: usize = 256 << 10;
/// How often the sockets are looked at: the delays are longer by half of it.
const LOOK: Duration = Duration::from_millis(1);
