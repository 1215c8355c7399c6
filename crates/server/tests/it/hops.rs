//! Clients that move between a log and its mirrors while all of them are killed again and again.
//!
//! `JETWASH_HOP_SECONDS` says for how long, 10 s if it is not set.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::net::TcpListener as StdListener;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::StreamExt;
use jetwash::Dictionary;
use jetwash_sim::{Network, NetworkConfig, Rate, RelayConfig, SimEvent, serve};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::{SERVER, prepare};

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_see_that_hop_between_killed_servers_is_the_log() {
    let seconds = env::var("JETWASH_HOP_SECONDS").map_or(10, |text| text.parse().unwrap());
    let frames = seconds * u64::from(RATE.get());
    let relay = serve_frames(frames).await;
    let folder = tempfile::tempdir().unwrap();
    let mut servers = Servers::start(folder.path(), &relay);
    let ports = servers.ports;
    // A new mirror has neither the log nor its dictionary before the first event.
    for port in ports {
        whole(port, Wire::V1, 1).await;
    }
    let (finish, finished) = watch::channel(None);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| tokio::spawn(hop(number, ports, finished.clone())))
        .collect();

    let until = Instant::now() + Duration::from_secs(seconds);
    let kills = servers.kill_until(until, &mut Random(seconds)).await;

    // What the network did, whatever came of it.
    let expected = events_of(frames);
    let logs = [Wire::V1, Wire::V2].map(|wire| async move {
        let origin = whole(ports[0], wire, expected).await;
        for port in &ports[1..] {
            assert!(whole(*port, wire, expected).await == origin, "{wire:?}");
        }
        origin
    });
    let [first, second] = logs;
    let (first, second) = (first.await, second.await);
    assert_eq!(first.len(), expected);
    finish.send_replace(Some(expected));

    let (mut hops, mut repeats) = (0, 0);
    for (number, client) in clients.into_iter().enumerate() {
        let seen = timeout(PATIENCE, client).await.unwrap().unwrap();
        let log = match seen.wire {
            Wire::V1 | Wire::V1Compressed => &first,
            Wire::V2 | Wire::V2Compressed => &second,
        };
        let odd = seen
            .events
            .iter()
            .zip(log)
            .position(|(one, two)| one != two);
        assert_eq!(odd, None, "client {number}, {:?}", seen.wire);
        assert_eq!(seen.events.len(), log.len(), "client {number}");
        hops += seen.connections;
        repeats += seen.repeats;
    }
    println!(
        "{seconds} s, {expected} events: {} kills of the origin, {} and {} of the mirrors; {CLIENTS} \
         clients made {hops} connections, got {repeats} events again and missed none",
        kills[0], kills[1], kills[2],
    );
}

/// A relay of a small network, which makes this many frames.
async fn serve_frames(frames: u64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let config = RelayConfig {
        rate: Rate::PerSecond(RATE),
        frames: Some(frames),
        wait_for_reader: true,
        ..RelayConfig::default()
    };
    let serving = serve(listener, network(), config, std::future::pending());
    tokio::spawn(async { serving.await.unwrap() });
    url
}

fn network() -> Network {
    let config = NetworkConfig {
        accounts: 20,
        records: 50,
        rare_per_million: 20_000,
        ..NetworkConfig::default()
    };
    Network::new(config).unwrap()
}

/// How many events come of the frames.
fn events_of(frames: u64) -> usize {
    let frames = network().take(usize::try_from(frames).unwrap());
    let events = frames.map(|frame| match &frame.event {
        SimEvent::Commit(commit) => commit.ops.len(),
        SimEvent::Account { .. } | SimEvent::Identity { .. } => 1,
        _ => 0,
    });
    events.sum()
}

/// The origin, and two mirrors of it that stand in for it, each with the other.
struct Servers {
    ports: [u16; 3],
    commands: [Command; 3],
    running: [Option<Child>; 3],
}

impl Servers {
    fn start(folder: &Path, relay: &str) -> Self {
        let ports = free_ports();
        let url = |index: usize| format!("ws://127.0.0.1:{}", ports[index]);
        let mut commands = [0, 1, 2].map(|index| {
            let mut command = Command::new(SERVER);
            prepare(&mut command);
            let name = folder.join(index.to_string());
            let said = File::create(name.with_extension("log")).unwrap();
            command.stderr(Stdio::from(said)).args(["--serve-mirrors"]);
            command.args(["--listen", url(index).trim_start_matches("ws://")]);
            command.args(["--max-connections-per-address", "0"]);
            command.arg("--data-dir").arg(name);
            match index {
                0 => command.args(["--relay", relay, "--verify", "off"]),
                _ => command.args(["--mirror", &url(0), "--mirror", &url(3 - index)]),
            };
            command
        });
        let running = commands
            .each_mut()
            .map(|command| Some(command.spawn().unwrap()));
        Self {
            ports,
            commands,
            running,
        }
    }

    /// Kills one after the other and starts it again, and says how often each was.
    async fn kill_until(&mut self, until: Instant, random: &mut Random) -> [u32; 3] {
        let mut kills = [0; 3];
        while Instant::now() < until {
            sleep(Duration::from_millis(200 + random.below(900))).await;
            let index = random.below(3) as usize;
            if let Some(mut child) = self.running[index].take() {
                assert_eq!(child.try_wait().unwrap(), None, "server {index} has ended");
                child.kill().unwrap();
                child.wait().unwrap();
            }
            kills[index] += 1;
            sleep(Duration::from_millis(random.below(400))).await;
            self.running[index] = Some(self.commands[index].spawn().unwrap());
        }
        kills
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in self.running.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Ports that stay free while nobody listens: the system gives others to clients.
fn free_ports() -> [u16; 3] {
    let mut random = Random(u64::from(std::process::id()));
    [0; 3].map(|_: u16| {
        loop {
            let port = 20_000 + random.below(10_000) as u16;
            if StdListener::bind(("127.0.0.1", port)).is_ok() {
                return port;
            }
        }
    })
}

#[derive(Clone, Copy, Debug)]
enum Wire {
    V1,
    V1Compressed,
    V2,
    V2Compressed,
}

impl Wire {
    /// The address that asks for events from the last one on, or for all of them.
    fn url(self, port: u16, last: u64) -> String {
        let cursor = last.max(1);
        let id = dictionary().id();
        let path = match self {
            Self::V1 => format!("subscribe?cursor={cursor}"),
            Self::V1Compressed => format!("subscribe?cursor={cursor}&compress=true"),
            Self::V2 => format!("{V2}?cursor={cursor}{KINDS}"),
            Self::V2Compressed => format!("{V2}?cursor={cursor}{KINDS}&zstdDictionary={id}"),
        };
        format!("ws://127.0.0.1:{port}/{path}")
    }

    /// The number of an event, which grows from one to the next, and is its cursor.
    fn number(self, text: &str) -> u64 {
        let rest = match self {
            Self::V1 | Self::V1Compressed => text.split_once(r#""time_us":"#).map(|(_, rest)| rest),
            // That of an account's or an identity's relay comes before it.
            Self::V2 | Self::V2Compressed => text.rsplit_once(r#""seq":"#).map(|(_, rest)| rest),
        };
        let rest = rest.unwrap_or_else(|| panic!("no event: {text}"));
        rest.split(',').next().unwrap().parse().unwrap()
    }
}

fn dictionary() -> Dictionary {
    Dictionary::builtin().unwrap()
}

/// An event by its number and its text.
type Event = (u64, u64);

struct Seen {
    wire: Wire,
    events: Vec<Event>,
    connections: u64,
    repeats: u64,
}

impl Seen {
    const fn new(wire: Wire) -> Self {
        Self {
            wire,
            events: Vec::new(),
            connections: 0,
            repeats: 0,
        }
    }

    /// Reads from where it is, until the connection ends, nothing comes any more, or it has `count`.
    async fn read(&mut self, port: u16, until: Instant, count: usize) {
        let last = self.events.last().map_or(0, |event| event.0);
        let connecting = timeout_at(until, connect_async(self.wire.url(port, last)));
        let Ok(Ok((mut socket, _))) = connecting.await else {
            return;
        };
        self.connections += 1;
        let mut decompressor = dictionary().decompressor();
        while self.events.len() < count {
            let Ok(Some(Ok(message))) = timeout_at(until, socket.next()).await else {
                return;
            };
            match message {
                Message::Text(text) => self.take(&text),
                Message::Binary(bytes) => {
                    let mut text = Vec::new();
                    decompressor.decompress(&bytes, 1 << 24, &mut text).unwrap();
                    self.take(str::from_utf8(&text).unwrap());
                }
                _ => {}
            }
        }
    }

    fn take(&mut self, text: &str) {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let event = (self.wire.number(text), hasher.finish());
        let last = self.events.last().copied().unwrap_or_default();
        if event.0 > last.0 {
            self.events.push(event);
            return;
        }
        // A server that is behind repeats what another had.
        self.repeats += 1;
        let known = self.events.binary_search_by_key(&event.0, |event| event.0);
        let known = known.unwrap_or_else(|_| panic!("it was not there before: {text}"));
        assert_eq!(self.events[known], event, "another event: {text}");
    }
}

/// A client that reads at one server and then at another, until it has as many events as are told.
async fn hop(number: u64, ports: [u16; 3], finish: watch::Receiver<Option<usize>>) -> Seen {
    let wire = match number % 10 {
        0..=3 => Wire::V1,
        4 | 5 => Wire::V1Compressed,
        6..=8 => Wire::V2,
        _ => Wire::V2Compressed,
    };
    let (mut seen, mut random) = (Seen::new(wire), Random(number));
    loop {
        let count = (*finish.borrow()).unwrap_or(usize::MAX);
        if seen.events.len() >= count {
            return seen;
        }
        let port = ports[random.below(3) as usize];
        let until = Instant::now() + Duration::from_millis(100 + random.below(2_000));
        let before = seen.connections;
        seen.read(port, until, count).await;
        if seen.connections == before {
            // Nobody listens there just now.
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// All events of a server, once it has `count`.
async fn whole(port: u16, wire: Wire, count: usize) -> Vec<Event> {
    let mut seen = Seen::new(wire);
    let deadline = Instant::now() + PATIENCE;
    while seen.events.len() < count {
        let has = seen.events.len();
        assert!(Instant::now() < deadline, "{has} of {count} at {port}");
        seen.read(port, Instant::now() + Duration::from_secs(5), count)
            .await;
    }
    // And no more.
    let a_moment = Instant::now() + Duration::from_millis(500);
    seen.read(port, a_moment, usize::MAX).await;
    seen.events
}

/// Numbers that look random and are the same each time: `SplitMix64`.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

const CLIENTS: u64 = 50;
/// Frames a second.
const RATE: NonZeroU32 = NonZeroU32::new(100).unwrap();
const V2: &str = "xrpc/network.bsky.jetstream.subscribeEvents";
/// Those that version 1 has too.
const KINDS: &str = "&kinds=commit&kinds=identity&kinds=account";
const PATIENCE: Duration = Duration::from_secs(90);
