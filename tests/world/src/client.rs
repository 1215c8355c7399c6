//! Clients of the server, which come back with their cursors.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use jetwash::Dictionary;
use jetwash::dict::Decompressor;
use serde_json::Value;
use tokio::io::DuplexStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::chance::Chance;
use crate::filter::Wanted;
use crate::ledger::{Entry, Ledger};
use crate::trace::Trace;

/// How a client wants events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Plain,
    Compressed,
    Second,
}

/// The events that one connection has seen.
#[derive(Debug)]
struct Segment {
    process: u32,
    wanted: Wanted,
    from: From,
    seen: Vec<Seen>,
}

/// The event that a connection asked for.
#[derive(Clone, Copy, Debug)]
enum From {
    Time(u64),
    Seq(u64),
}

#[derive(Debug)]
enum Seen {
    /// A line of version 1.
    Line(String),
    /// The payload of a message of version 2.
    Payload(Value),
}

/// A client, which runs as long as the world.
#[derive(Clone)]
pub(crate) struct Client {
    name: String,
    mode: Mode,
    trace: Trace,
    segments: Arc<Mutex<Vec<Segment>>>,
}

/// A client's way into the world: the process that serves, by its number, and connections to it.
pub(crate) struct Way {
    pub(crate) dial: Box<dyn Fn() -> Option<(u32, DuplexStream)> + Send + Sync>,
    pub(crate) dids: Vec<String>,
    /// Whether all faults are over.
    pub(crate) is_quiet: watch::Receiver<bool>,
}

impl Client {
    pub(crate) fn new(name: String, mode: Mode, trace: &Trace) -> Self {
        Self {
            name,
            mode,
            trace: trace.clone(),
            segments: Arc::default(),
        }
    }

    /// Connects again and again, for ever.
    pub(crate) async fn run(self, seed: u64, way: Way) {
        let mut chance = Chance::of(seed, &self.name);
        let mut dictionary = Dictionary::builtin().unwrap().decompressor();
        loop {
            sleep(chance.millis(100, 3_000)).await;
            let Some((process, stream)) = (way.dial)() else {
                continue;
            };
            let wanted = Wanted::of(&mut chance, &way.dids);
            let from = self.cursor();
            let connected = timeout(PATIENCE, client_async(self.url(&wanted, from), stream)).await;
            let socket = match connected {
                Ok(Ok((socket, _))) => socket,
                Ok(Err(error)) => {
                    self.trace.note(format!("{}: refused: {error}", self.name));
                    continue;
                }
                Err(_) => continue,
            };
            self.trace
                .note(format!("{}: {from:?} of process {process}", self.name));
            self.with(|segments| {
                segments.push(Segment {
                    process,
                    wanted,
                    from,
                    seen: Vec::new(),
                });
            });
            self.follow(socket, &mut dictionary, (&mut chance, way.is_quiet.clone()))
                .await;
        }
    }

    /// Reads one connection until it ends, or the client has had enough of it.
    async fn follow(
        &self,
        mut socket: WebSocketStream<DuplexStream>,
        dictionary: &mut Decompressor,
        (chance, mut is_quiet): (&mut Chance, watch::Receiver<bool>),
    ) {
        let is_noisy = !*is_quiet.borrow();
        let mut left = if is_noisy {
            chance.between(0, 3_000)
        } else {
            u64::MAX
        };
        let pauses = is_noisy && chance.percent(25);
        while left > 0 {
            if pauses && chance.percent(3) {
                let pause = chance.millis(100, 60_000);
                tokio::select! {
                    biased;
                    _ = is_quiet.changed() => {}
                    () = sleep(pause) => {}
                }
            }
            let Ok(message) = timeout(LONGEST_SILENCE, socket.next()).await else {
                self.trace
                    .note(format!("{}: nothing came for long", self.name));
                break;
            };
            left -= 1;
            match message {
                Some(Ok(Message::Text(text))) => self.take(text.as_str()),
                Some(Ok(Message::Binary(bytes))) => {
                    let mut text = Vec::new();
                    match dictionary.decompress(&bytes, 1 << 22, &mut text) {
                        Ok(()) => self.take(std::str::from_utf8(&text).unwrap()),
                        Err(error) => self.trace.fail(format!("{}: {error}", self.name)),
                    }
                }
                Some(Ok(Message::Close(frame))) => {
                    let frame = frame.map(|frame| frame.to_string());
                    self.trace.note(format!("{}: closed: {frame:?}", self.name));
                    return;
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            }
        }
        if chance.percent(50) {
            let _ = timeout(PATIENCE, socket.close(None)).await;
            let _ = timeout(PATIENCE, socket.flush()).await;
        }
    }

    fn take(&self, text: &str) {
        let value: Value = serde_json::from_str(text).unwrap();
        let seen = match self.mode {
            Mode::Second => {
                let kind = value["payload"]["$type"].as_str().unwrap_or_default();
                if value["$type"] != "message" || kind.ends_with("#info") {
                    return self.trace.note(format!("{}: {text}", self.name));
                }
                Seen::Payload(value["payload"].clone())
            }
            _ if value["kind"] == "gap" => {
                return self.trace.note(format!("{}: {text}", self.name));
            }
            _ => Seen::Line(text.to_owned()),
        };
        self.trace.mix(text.as_bytes());
        self.with(|segments| segments.last_mut().unwrap().seen.push(seen));
    }

    /// Where the next connection begins: at the last event, which then comes again.
    fn cursor(&self) -> From {
        let last = self.with(|segments| {
            let mut seen = segments
                .iter()
                .rev()
                .flat_map(|segment| segment.seen.iter().rev());
            seen.next().map(|seen| match seen {
                Seen::Line(line) => {
                    let line: Value = serde_json::from_str(line).unwrap();
                    From::Time(line["time_us"].as_u64().unwrap())
                }
                Seen::Payload(payload) => From::Seq(payload["seq"].as_u64().unwrap()),
            })
        });
        last.unwrap_or(match self.mode {
            Mode::Second => From::Seq(1),
            _ => From::Time(1),
        })
    }

    fn url(&self, wanted: &Wanted, from: From) -> String {
        let cursor = match from {
            From::Time(number) | From::Seq(number) => number,
        };
        match self.mode {
            Mode::Second => {
                let wanted = wanted.query("collections", "dids");
                let route = "/xrpc/network.bsky.jetstream.subscribeEvents";
                format!("ws://server{route}?cursor={cursor}&gaps=true{wanted}")
            }
            mode => {
                let wanted = wanted.query("wantedCollections", "wantedDids");
                let compress = mode == Mode::Compressed;
                format!(
                    "ws://server/subscribe?cursor={cursor}&gaps=true&compress={compress}{wanted}"
                )
            }
        }
    }

    /// Checks that each connection has seen the log, filtered, from its cursor on, and that the last
    /// one has seen all of it.
    pub(crate) fn check(&self, ledger: &Ledger) -> Result<(), String> {
        let name = &self.name;
        // Version 1 has none.
        let has_syncs = self.mode == Mode::Second;
        self.with(|segments| {
            for (number, segment) in segments.iter().enumerate() {
                let visible = ledger.visible_to(segment.process);
                let mut expected = visible.iter().filter(|entry| {
                    segment.from.is_before(entry)
                        && segment.wanted.lets_pass(&entry.line, has_syncs)
                });
                for seen in &segment.seen {
                    let Some(entry) = expected.next() else {
                        return Err(format!("{name}, {number}: {seen:?} is not in the log"));
                    };
                    if !seen.is(entry) {
                        let (from, wanted) = (segment.from, &segment.wanted);
                        return Err(format!(
                            "{name}, {number}: {seen:?} came instead of {}: {}; {from:?}, {wanted:?}",
                            entry.seq, entry.json
                        ));
                    }
                }
                let is_last = number + 1 == segments.len();
                if let Some(entry) = expected.next().filter(|_| is_last) {
                    return Err(format!("{name}, {number}: {} has not come", entry.seq));
                }
            }
            Ok(())
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Vec<Segment>) -> T) -> T {
        work(&mut self.segments.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl From {
    const fn is_before(self, entry: &Entry) -> bool {
        match self {
            Self::Time(time_us) => entry.time_us >= time_us,
            Self::Seq(seq) => entry.seq >= seq,
        }
    }
}

impl Seen {
    fn is(&self, entry: &Entry) -> bool {
        match self {
            Self::Line(line) => **line == *entry.json,
            Self::Payload(payload) => {
                let kind = entry.line["kind"].as_str().unwrap_or_default();
                let body = &entry.line[kind];
                let found = if kind == "commit" {
                    payload
                } else {
                    &payload[kind]
                };
                let is_body = body
                    .as_object()
                    .is_some_and(|fields| fields.iter().all(|(name, value)| found[name] == *value));
                payload["seq"] == entry.seq && payload["did"] == entry.line["did"] && is_body
            }
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
/// The server pings before that.
const LONGEST_SILENCE: Duration = Duration::from_secs(120);
