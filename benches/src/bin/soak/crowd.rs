use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jetwash::Dictionary;
use jetwash::dict::Decompressor;
use jetwash_benches::{PONG, split_message};
use mio::{Events, Poll, Token};

use crate::arguments::Arguments;
use crate::check::{Check, Fault};
use crate::dialers::{Answer, Call, Dialers};
use crate::member::{Member, Pace, SLOW_BYTES, SLOW_EVERY};
use crate::random::Random;
use crate::seen::Seen;
use crate::shared::{Phase, Shared};
use crate::truth::{Truth, lock};
use crate::wish::{Packing, Start, Wish, random_filter};

/// Subscribers on one thread that come and go, and compare each event with the truth.
pub(crate) struct Crowd {
    shared: Arc<Shared>,
    dialers: Dialers,
    dictionary: u32,
    decoder: Decompressor,
    poll: Poll,
    members: Vec<Member>,
    random: Random,
    /// How long a connection stays in the mean.
    stay: Duration,
    /// The oracle is to notice that each event of this number is left out.
    drops: Option<u64>,
    buffer: Vec<u8>,
    text: Vec<u8>,
}

/// Why a connection ended.
enum End {
    /// With a close frame of this code.
    Closed(u16),
    /// Without one.
    Broken,
}

impl Crowd {
    /// Starts the thread. It ends when the phase is [`Phase::Over`].
    pub(crate) fn start(
        shared: Arc<Shared>,
        server: SocketAddr,
        dictionary: &Dictionary,
        options: &Arguments,
    ) -> Result<JoinHandle<io::Result<()>>, Box<dyn Error>> {
        let mut random = Random::new(options.seed, 1);
        let now = Instant::now();
        let members = {
            let truth = lock(&shared.truth);
            let mut member = |_| Member::new(Wish::random(&mut random, &truth), now);
            (0..options.subscribers).map(&mut member).collect()
        };
        let mut crowd = Self {
            dialers: Dialers::start(server, &shared)?,
            shared,
            dictionary: dictionary.id(),
            decoder: dictionary.decompressor(),
            poll: Poll::new()?,
            members,
            random,
            stay: options.stay,
            drops: options.broken,
            buffer: vec![0; BUFFER],
            text: Vec::new(),
        };
        let named = thread::Builder::new().name("subscribers".to_owned());
        Ok(named.spawn(move || crowd.run())?)
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut looked = Instant::now();
        while self.shared.phase() != Phase::Over {
            match self.poll.poll(&mut events, Some(TICK)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                let Token(index) = event.token();
                self.members[index].is_ready = true;
            }
            let now = Instant::now();
            for index in 0..self.members.len() {
                if self.members[index].is_ready && self.members[index].link.is_some() {
                    self.read(index, now);
                }
            }
            if now - looked >= LOOK {
                looked = now;
                self.look(now);
            }
            // What comes in the meantime is read together.
            thread::sleep(TICK);
        }
        self.finish();
        Ok(())
    }

    /// Counts what has not come.
    fn finish(&mut self) {
        let truth = lock(&self.shared.truth);
        for (index, member) in self.members.iter_mut().enumerate() {
            let Some(check) = &mut member.check else {
                continue;
            };
            let mut left = check.outstanding(&truth);
            if let Some(first) = left.next() {
                let (first, count) = (first + 1, left.count() + 1);
                let wish = &member.wish;
                let what =
                    format!("subscriber {index}: {count} from position {first} on: {wish:?}");
                self.shared.fault("missing", what);
            }
        }
    }

    /// Lets subscribers leave, connect and change their filters.
    fn look(&mut self, now: Instant) {
        let is_running = self.shared.phase() == Phase::Running;
        while let Some(answer) = self.dialers.answer() {
            self.answered(answer, now);
        }
        let (mut open, mut done) = (0, 0);
        for index in 0..self.members.len() {
            let member = &mut self.members[index];
            if member.link.is_some() {
                open += 1;
                if is_running && now >= member.leaves {
                    self.leave(index, now);
                } else if is_running && member.changes.is_some_and(|at| now >= at) {
                    self.change(index);
                } else if !is_running {
                    member.pace = Pace::Normal;
                    done += usize::from(self.is_done(index));
                }
            } else if !member.is_dialing && now >= member.connects && self.shared.is_up() {
                self.dial(index, now);
            }
        }
        self.shared.open.store(open, Ordering::Relaxed);
        self.shared.done.store(done, Ordering::Relaxed);
    }

    fn is_done(&mut self, index: usize) -> bool {
        let truth = lock(&self.shared.truth);
        let check = self.members[index].check.as_mut();
        check.is_some_and(|check| check.is_complete(&truth))
    }

    fn leave(&mut self, index: usize, now: Instant) {
        let stays_itself = self.random.percent(60);
        let member = &mut self.members[index];
        // Some say goodbye, the others are just gone.
        if let Some(mut link) = member.link.take() {
            if self.random.percent(50) {
                let _ = link.write(&CLOSE);
            }
            let _ = link.deregister(self.poll.registry());
        }
        member.connects = now + self.random.around(AWAY);
        if stays_itself && member.check.is_some() {
            return;
        }
        let truth = lock(&self.shared.truth);
        member.check = None;
        member.wish = Wish::random(&mut self.random, &truth);
    }

    /// Asks for a connection that begins where the last one ended, or where a new subscriber wants.
    fn dial(&mut self, index: usize, now: Instant) {
        let member = &mut self.members[index];
        member.settle(&mut self.random, now, self.stay);
        member.is_dialing = true;
        let truth = lock(&self.shared.truth);
        if let Some(check) = &member.check {
            member.wish.filter = check.newest_filter().clone();
        }
        let start = match member.check.as_ref().map(Check::resume) {
            // Its last event comes again.
            Some(Some(index)) => Start::At(index),
            Some(None) => Start::Live,
            None => member.wish.start(&mut self.random, &truth),
        };
        let wish = &member.wish;
        let target = wish.target(&mut self.random, &truth, start, self.dictionary);
        self.dialers.call(Call {
            index,
            target,
            receive_buffer: member.receive_buffer(),
            start,
            after: truth.seen(),
            generation: self.shared.generation(),
        });
    }

    fn answered(&mut self, answer: Answer, now: Instant) {
        let Answer { call, link, latest } = answer;
        let member = &mut self.members[call.index];
        member.is_dialing = false;
        let mut link = match link {
            Ok(link) => link,
            Err(error) => return self.refused(call.index, now, &call.target, &error),
        };
        let _ = link.register(self.poll.registry(), call.index);
        let filter = member.wish.filter.clone();
        member.check = Some(match call.start {
            Start::At(index) => Check::at(filter, index),
            Start::Live => Check::live(filter, call.after, latest),
        });
        // Events that came with the answer.
        let kept = link.kept().to_vec();
        member.link = Some(link);
        member.generation = call.generation;
        member.failures = 0;
        let connections = &self.shared.tally.connections;
        connections.fetch_add(1, Ordering::Relaxed);
        self.buffer[..kept.len()].copy_from_slice(&kept);
        if let Some(end) = self.messages(call.index, kept.len()) {
            self.ended(call.index, now, &end);
        }
    }

    fn refused(&mut self, index: usize, now: Instant, target: &str, error: &io::Error) {
        let member = &mut self.members[index];
        member.failures += 1;
        member.connects = now + Duration::from_millis(50) * member.failures.min(20);
        let answer = error.to_string();
        let is_http = answer.starts_with("HTTP/");
        let is_busy = answer.contains(" 503 ") || answer.contains(" 429 ");
        if is_http && !is_busy {
            self.shared.fault("refused", format!("{target}: {answer}"));
        }
        self.shared.tally.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Asks for another filter on the open connection.
    fn change(&mut self, index: usize) {
        let member = &mut self.members[index];
        member.changes = None;
        let (Some(check), Some(link)) = (&mut member.check, &mut member.link) else {
            return;
        };
        if check.is_changing() {
            return;
        }
        let truth = lock(&self.shared.truth);
        let mut filter = random_filter(&mut self.random, &truth, false);
        filter.prepare(&truth);
        let payload = filter.update(&truth);
        let mut message = vec![0x81];
        match u16::try_from(payload.len()) {
            Ok(length) if length < 126 => message.push(0x80 | length as u8),
            Ok(length) => {
                message.push(0x80 | 126);
                message.extend(length.to_be_bytes());
            }
            Err(_) => return,
        }
        // A mask of zeros.
        message.extend([0; 4]);
        message.extend(payload.as_bytes());
        // Before it is written: what comes may follow it already.
        check.change(filter);
        if link.write(&message).is_ok() {
            self.shared.tally.changes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reads once, as one that gets the log from its start would keep the others waiting.
    fn read(&mut self, index: usize, now: Instant) {
        let member = &mut self.members[index];
        let Some(link) = &mut member.link else {
            return;
        };
        let most = match member.pace {
            Pace::Normal => BUFFER,
            Pace::Slow if now >= member.reads => SLOW_BYTES,
            Pace::Slow | Pace::Stuck => return,
        };
        member.reads = now + SLOW_EVERY;
        let ended = match link.read(&mut self.buffer, most) {
            Ok((_, 0)) => Some(End::Broken),
            Ok((filled, count)) => {
                let bytes = count as u64;
                self.shared.tally.bytes.fetch_add(bytes, Ordering::Relaxed);
                self.messages(index, filled)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                member.is_ready = false;
                None
            }
            Err(_) => Some(End::Broken),
        };
        if let Some(end) = ended {
            self.ended(index, now, &end);
        }
    }

    /// Goes through the messages in the buffer.
    fn messages(&mut self, index: usize, filled: usize) -> Option<End> {
        let shared = Arc::clone(&self.shared);
        let mut truth = lock(&shared.truth);
        let buffer = std::mem::take(&mut self.buffer);
        let (mut rest, mut end) = (&buffer[..filled], None);
        while let Some((opcode, payload, after)) = split_message(rest) {
            rest = after;
            match opcode {
                0x1 | 0x2 => self.events(index, payload, &mut truth),
                0x8 => {
                    let code = payload.first_chunk::<2>().copied();
                    end = Some(End::Closed(code.map_or(1005, u16::from_be_bytes)));
                    break;
                }
                0x9 => {
                    if let Some(link) = &mut self.members[index].link {
                        let _ = link.write(&PONG);
                    }
                }
                _ => {}
            }
        }
        if let Some(link) = &mut self.members[index].link {
            link.keep(rest);
        }
        self.buffer = buffer;
        end
    }

    fn events(&mut self, index: usize, payload: &[u8], truth: &mut MutexGuard<'_, Truth>) {
        let packing = self.members[index].wish.packing;
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        if packing == Packing::Plain {
            text.extend_from_slice(payload);
        } else if self
            .decoder
            .decompress(payload, MAX_TEXT, &mut text)
            .is_err()
        {
            self.shared
                .fault("wrong", "a message cannot be decompressed".to_owned());
        }
        if packing == Packing::Batch {
            for line in text.split(|&byte| byte == b'\n') {
                self.event(index, line, truth);
            }
        } else {
            self.event(index, &text, truth);
        }
        self.text = text;
    }

    fn event(&mut self, index: usize, text: &[u8], truth: &mut Truth) {
        let count = 1 + self.shared.tally.events.fetch_add(1, Ordering::Relaxed);
        if self.drops.is_some_and(|each| count.is_multiple_of(each)) {
            return;
        }
        let member = &mut self.members[index];
        let is_v2 = member.wish.filter.is_v2;
        let seen = if is_v2 {
            Seen::message(text)
        } else {
            Seen::line(text)
        };
        let (Some(seen), Some(check)) = (seen, &mut member.check) else {
            let text = String::from_utf8_lossy(text).chars().take(400).collect();
            return self.shared.fault("wrong", text);
        };
        let (kind, what) = match check.take(truth, &seen, usize::from(is_v2)) {
            Ok(_) => return,
            Err(Fault::Missing(count)) => {
                let at = check.resume().unwrap_or_default() + 1;
                ("missing", format!("{count} before position {at}"))
            }
            Err(Fault::Extra(what)) => ("extra", what),
            Err(Fault::Order(what)) => ("out of order", what),
            Err(Fault::Wrong(what)) => ("wrong", what),
        };
        let short: String = String::from_utf8_lossy(text).chars().take(160).collect();
        let state = check.describe();
        let packing = member.wish.packing;
        let what = format!("subscriber {index}: {what}; {short}; {packing:?}, {state}");
        self.shared.fault(kind, what);
    }

    fn ended(&mut self, index: usize, now: Instant, end: &End) {
        let member = &mut self.members[index];
        if let Some(mut link) = member.link.take() {
            let _ = link.deregister(self.poll.registry());
        }
        member.connects = now + self.random.around(SOON);
        let is_slow = member.pace != Pace::Normal;
        let tally = &self.shared.tally;
        match end {
            End::Closed(1001) => tally.stopped.fetch_add(1, Ordering::Relaxed),
            End::Closed(1008 | 1013) if is_slow => tally.slow.fetch_add(1, Ordering::Relaxed),
            End::Closed(code) => {
                let wish = &member.wish;
                self.shared.fault(
                    "closed",
                    format!("subscriber {index} with {code}: {wish:?}"),
                );
                0
            }
            // A process that is killed says nothing.
            End::Broken if is_slow || self.shared.was_ended(member.generation) => {
                tally.broken.fetch_add(1, Ordering::Relaxed)
            }
            End::Broken => {
                let wish = &member.wish;
                self.shared
                    .fault("broken", format!("subscriber {index}: {wish:?}"));
                0
            }
        };
    }
}

const BUFFER: usize = 64 << 10;
const MAX_TEXT: usize = 16 << 20;
/// How often sockets are looked at.
const TICK: Duration = Duration::from_millis(2);
/// How often members are looked at.
const LOOK: Duration = Duration::from_millis(20);
const AWAY: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_millis(300);
/// A close frame of a client, 1000, with a mask of zeros.
const CLOSE: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
