//! Jetstreams as upstreams: a log that follows a server over real sockets.
//!
//! `JETWASH_KILLS` says how often both sides are killed, 12 times over each version if it is not set.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use jetwash::store::Read;
use jetwash::{
    Dictionary, Filter, Jetstream, JetstreamBuilder, JetstreamOptions, Micros, Mistake, Protocol,
    StartFrom, UpstreamCursor, UpstreamState, Verify,
};
use jetwash_serve::{ServeOptions, Server};
use jetwash_sim::{Network, SimEvent, SimFrame};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use crate::log::{Entry, World, network, soon};

const FRAMES: &str = "firehose-2026-07-04/frames.bin.zst";
const LINES: &str = "firehose-2026-07-04/expected_v1.jsonl";
const LINES_V2: &str = "firehose-2026-07-04/expected_v2.jsonl";
const GOLDEN: &str = "events/golden_v1.jsonl";
/// The name of the source that feeds an upstream.
const FED: &str = "network";

/// A Jetstream that runs until it is stopped.
struct Follower {
    jetstream: Jetstream,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl Follower {
    fn start(builder: JetstreamBuilder) -> Self {
        let (jetstream, ingest) = builder.build().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = ingest.run(async { drop(stopped.await) });
        Self {
            jetstream,
            stop: Some(stop),
            running: tokio::spawn(async { run.await.unwrap() }),
        }
    }

    /// Waits until every upstream is connected.
    async fn connected(&self) {
        soon(async {
            let is_connected =
                |upstream: jetwash::Upstream| upstream.state == UpstreamState::Connected;
            while !self.jetstream.upstreams().into_iter().all(is_connected) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Waits until the log has had this many events.
    async fn has(&self, events: u64) {
        let mut tip = self.jetstream.store().tip();
        soon(async {
            while self.count() < events {
                tip.changed().await.unwrap();
            }
        })
        .await;
    }

    /// The log without the times.
    fn lines(&self) -> Vec<String> {
        timeless(&events_of(&self.jetstream))
    }

    fn count(&self) -> u64 {
        events_of(&self.jetstream).len() as u64
    }

    async fn stop(mut self) {
        drop(self.stop.take());
        soon(&mut self.running).await.unwrap();
    }

    /// Drops the run where it is.
    async fn kill(self) {
        self.running.abort();
        let _ = self.running.await;
        // The log is closed when the writer's thread has ended.
        let mut tip = self.jetstream.store().tip();
        drop(self.jetstream);
        while soon(tip.changed()).await.is_ok() {}
    }
}

/// The events of a log, in which a kill may leave out positions.
fn events_of(jetstream: &Jetstream) -> Vec<Entry> {
    let (store, mut events) = (jetstream.store(), Vec::new());
    let mut position = store.bounds().oldest_seq;
    loop {
        match store.read(position).unwrap() {
            Read::Events(run) => {
                let page = run.block().json().unwrap();
                for line in run.indexes().map(|index| page.get(index).unwrap()) {
                    let line = String::from_utf8(line.to_vec()).unwrap();
                    events.push(Entry::parse(line));
                }
                position = run.next_seq();
            }
            Read::Gap(gap) if gap.next_seq > position => position = gap.next_seq,
            _ => return events,
        }
    }
}

fn timeless(entries: &[Entry]) -> Vec<String> {
    entries
        .iter()
        .map(|entry| without_time(&entry.json))
        .collect()
}

/// A line with the digits of `time_us` left out.
fn without_time(line: &str) -> String {
    let start = line.find(r#""time_us":"#).expect("a line without time_us") + 10;
    let end = start + line[start..].find(',').unwrap();
    format!("{}{}", &line[..start], &line[end..])
}

fn url(address: SocketAddr) -> String {
    format!("ws://{address}")
}

fn follow(address: SocketAddr) -> JetstreamBuilder {
    Jetstream::builder().jetstream(url(address))
}

fn plain() -> JetstreamOptions {
    JetstreamOptions::new().plain()
}

/// A server that plays messages to everyone who connects, and says what was asked.
async fn playing(messages: Vec<String>) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    playing_what_is_there(Arc::new(Mutex::new(messages))).await
}

/// The same, with messages that change. Those of version 2 are numbered from 1, and come from the
/// cursor on.
async fn playing_what_is_there(
    messages: Arc<Mutex<Vec<String>>>,
) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (sender, messages) = (sender.clone(), messages.lock().unwrap().clone());
            tokio::spawn(async move {
                let mut first = 0;
                #[expect(clippy::result_large_err, reason = "the library has it so")]
                let note = |request: &Request, response: Response| {
                    let uri = request.uri().to_string();
                    if uri.starts_with(Protocol::V2.path()) {
                        first = cursor_of(&uri).unwrap_or(1) as usize - 1;
                    }
                    let _ = sender.send(uri);
                    Ok(response)
                };
                let socket = tokio_tungstenite::accept_hdr_async(stream, note).await;
                let Ok(mut socket) = socket else { return };
                for message in messages.into_iter().skip(first) {
                    socket.send(Message::text(message)).await.unwrap();
                }
                while let Some(Ok(_)) = socket.next().await {}
            });
        }
    });
    (address, asked)
}

fn cursor_of(uri: &str) -> Option<u64> {
    let (_, cursor) = uri.split_once("cursor=")?;
    cursor.split('&').next().unwrap().parse().ok()
}

/// A message of version 2.
fn account(number: u64) -> String {
    format!(
        r##"{{"$type":"message","payload":{{"$type":"network.bsky.jetstream.subscribeEvents#account","account":{{"active":true,"did":"did:web:a.example","seq":7,"time":"2026-01-01T00:00:{number:02}Z"}},"did":"did:web:a.example","seq":{number},"time":"2026-11-26T11:31:{number:02}.127266Z"}}}}"##
    )
}

/// The events of a log that a version has.
fn log_of(world: &World, protocol: Protocol) -> Vec<Entry> {
    match protocol {
        Protocol::V1 => world.log(),
        _ => world.events(),
    }
}

async fn follows_event_by_event(
    dictionary: Option<Dictionary>,
    options: JetstreamOptions,
    protocol: Protocol,
) {
    let world = World::start(ServeOptions::default(), dictionary.clone()).await;
    let options = options.protocol(protocol);
    let mut builder = follow(world.address).jetstream_options(options);
    if let Some(dictionary) = dictionary {
        builder = builder.dictionary(dictionary);
    }
    let follower = Follower::start(builder);
    follower.connected().await;
    // So that the server has found its place.
    world.push(1).await;
    follower.has(1).await;
    world.push(1500).await;
    let log = log_of(&world, protocol);
    follower.has(log.len() as u64).await;
    let expected = timeless(&log);
    assert_eq!(follower.lines(), expected);
    let has_sync = follower
        .lines()
        .iter()
        .any(|line| line.contains(r#","kind":"sync","sync":{"#));
    assert_eq!(has_sync, protocol == Protocol::V2);
    assert!(
        expected
            .iter()
            .any(|line| line.contains(r#""kind":"account""#))
    );
    assert!(
        expected
            .iter()
            .any(|line| line.contains(r#""operation":"delete""#))
    );
    let snapshot = follower.jetstream.snapshot();
    assert_eq!((snapshot.events, snapshot.repeated), (log.len() as u64, 0));
    assert!(snapshot.dropped.is_empty(), "{:?}", snapshot.dropped);
    assert!(snapshot.gaps.is_empty(), "{:?}", snapshot.gaps);
    follower.stop().await;
}

#[tokio::test]
async fn a_log_that_follows_plain_messages_is_the_log() {
    for protocol in [Protocol::V1, Protocol::V2] {
        follows_event_by_event(None, plain(), protocol).await;
    }
}

#[tokio::test]
async fn a_log_that_follows_compressed_messages_is_the_log() {
    let Some(corpus) = jetwash_corpus::corpus("a Jetstream that follows compressed messages")
    else {
        return;
    };
    let bytes = corpus.bytes("dictionaries/legacy_subscribe.zdict");
    let dictionary = Dictionary::from_bytes(bytes).unwrap();
    for protocol in [Protocol::V1, Protocol::V2] {
        let options = JetstreamOptions::new().dictionary(dictionary.clone());
        follows_event_by_event(Some(dictionary.clone()), options, protocol).await;
    }
}

#[tokio::test]
async fn nothing_is_lost_or_repeated_over_restarts_at_random_points() {
    for protocol in [Protocol::V1, Protocol::V2] {
        is_restarted_at_random_points(protocol).await;
    }
}

async fn is_restarted_at_random_points(protocol: Protocol) {
    let world = World::start(ServeOptions::default(), None).await;
    let folder = tempfile::tempdir().unwrap();
    let builder = || {
        follow(world.address)
            .jetstream_options(plain().protocol(protocol))
            .folder(folder.path())
    };
    let first = Follower::start(builder());
    first.connected().await;
    world.push(1).await;
    first.has(1).await;
    let mut random = 12_345_u64;
    let mut follower = first;
    for restart in 0..20 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let frames = (random >> 33) as usize % 100;
        world.push(frames).await;
        // Somewhere in what was pushed, or before the connection is there.
        let (had, has) = (follower.count(), log_of(&world, protocol).len() as u64);
        assert!(had <= has, "{had} of {has}");
        let until = had + (random >> 40) % (has - had + 1);
        follower.has(until).await;
        if restart % 2 == 0 {
            follower.stop().await;
        } else {
            follower.kill().await;
        }
        follower = Follower::start(builder());
    }
    world.push(10).await;
    let log = log_of(&world, protocol);
    follower.has(log.len() as u64).await;
    assert_eq!(follower.lines(), timeless(&log));
    let cursor = follower.jetstream.source_cursor(&url(world.address));
    assert_eq!(cursor, log.last().map(|entry| entry.time_us));
    follower.stop().await;
}

/// A server with its log in a folder, which comes back at the same address after it was killed.
struct Upstream {
    folder: tempfile::TempDir,
    address: SocketAddr,
    network: Network,
    /// The frames that it may not have committed yet.
    frames: VecDeque<SimFrame>,
    events: u64,
    running: Option<(Follower, oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Upstream {
    async fn start() -> Self {
        let mut upstream = Self {
            folder: tempfile::tempdir().unwrap(),
            address: "127.0.0.1:0".parse().unwrap(),
            network: network(),
            frames: VecDeque::new(),
            events: 0,
            running: None,
        };
        upstream.run().await;
        upstream
    }

    async fn run(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        let log = Follower::start(Jetstream::builder().folder(self.folder.path()));
        let server = Server::new(log.jetstream.clone(), ServeOptions::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = server.serve(listener, async { drop(stopped.await) });
        let serving = tokio::spawn(async { serving.await.unwrap() });
        let cursor = log.jetstream.source_cursor(FED).unwrap_or(0);
        self.frames.retain(|frame| frame.seq > cursor);
        let pusher = log.jetstream.pusher(FED);
        for frame in &self.frames {
            pusher.push(frame.bytes.clone()).await.unwrap();
        }
        self.running = Some((log, stop, serving));
    }

    /// Has it take in frames, and does not wait for that.
    async fn push(&mut self, count: usize) {
        let frames: Vec<_> = self.network.by_ref().take(count).collect();
        let pusher = self.log().jetstream.pusher(FED);
        for frame in frames {
            pusher.push(frame.bytes.clone()).await.unwrap();
            self.events += match &frame.event {
                SimEvent::Commit(commit) => commit.ops.len() as u64,
                SimEvent::Account { .. } | SimEvent::Identity { .. } => 1,
                _ => 0,
            };
            self.frames.push_back(frame);
        }
    }

    fn log(&self) -> &Follower {
        &self.running.as_ref().unwrap().0
    }

    /// Drops it where it is, and starts it again.
    async fn kill(&mut self) {
        let (log, stop, serving) = self.running.take().unwrap();
        log.kill().await;
        // Readers keep the log open, so it can be opened again only without them.
        drop(stop);
        soon(serving).await.unwrap();
        self.run().await;
    }
}

#[tokio::test]
async fn logs_are_equal_event_by_event_though_both_sides_are_killed() {
    let kills = std::env::var("JETWASH_KILLS").map_or(12, |kills| kills.parse().unwrap());
    for protocol in [Protocol::V1, Protocol::V2] {
        are_equal_after(kills, protocol).await;
    }
}

async fn are_equal_after(kills: u64, protocol: Protocol) {
    let mut upstream = Upstream::start().await;
    let folder = tempfile::tempdir().unwrap();
    // The next attempt after a kill is soon.
    let builder = |address| {
        follow(address)
            .jetstream_options(plain().protocol(protocol))
            .folder(folder.path())
    };
    let mut follower = Follower::start(builder(upstream.address));
    follower.connected().await;
    upstream.push(1).await;
    follower.has(1).await;
    let (mut random, mut of_upstream) = (kills, 0);
    let mut below = |limit: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % limit
    };
    for _ in 0..kills {
        upstream.push(below(60) as usize).await;
        // Somewhere on the way of what was pushed, on either side.
        let had = follower.count();
        follower.has(had + below(upstream.events - had + 1)).await;
        if below(2) == 0 {
            upstream.kill().await;
            of_upstream += 1;
        } else {
            follower.kill().await;
            follower = Follower::start(builder(upstream.address));
        }
    }
    upstream.push(10).await;
    upstream.log().has(upstream.events).await;
    follower.has(upstream.events).await;
    let log = upstream.log().lines();
    assert_eq!(log.len() as u64, upstream.events);
    assert_eq!(follower.lines(), log, "{protocol}");
    println!(
        "{protocol}: {} events are equal after {of_upstream} kills of the upstream and {} of the follower",
        log.len(),
        kills - of_upstream,
    );
    follower.stop().await;
}

#[tokio::test]
async fn a_first_connection_that_brought_nothing_is_continued() {
    let world = World::start(ServeOptions::default(), None).await;
    world.push(1).await;
    let folder = tempfile::tempdir().unwrap();
    let builder = || {
        follow(world.address)
            .jetstream_options(plain())
            .folder(folder.path())
    };
    let follower = Follower::start(builder());
    follower.connected().await;
    let name = url(world.address);
    soon(async {
        while follower.jetstream.source_cursor(&name).is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    follower.stop().await;
    world.push(50).await;
    let follower = Follower::start(builder());
    let log = world.events();
    // The clocks may be apart, so what came shortly before comes too.
    follower.has(log.len() as u64).await;
    assert_eq!(follower.lines(), timeless(&log));
    follower.stop().await;
}

#[tokio::test]
async fn the_recorded_lines_of_production_come_out_byte_for_byte() {
    let Some(corpus) = jetwash_corpus::corpus("lines of production as an upstream") else {
        return;
    };
    for file in [GOLDEN, LINES] {
        let lines = corpus.lines(file);
        let (address, _asked) = playing(lines.clone()).await;
        let options = plain().protocol(Protocol::V1);
        let follower = Follower::start(follow(address).jetstream_options(options));
        follower.has(lines.len() as u64).await;
        let expected: Vec<_> = lines.iter().map(|line| without_time(line)).collect();
        assert_eq!(follower.lines(), expected, "{file}");
        follower.stop().await;
    }
}

#[tokio::test]
async fn the_recorded_frames_of_version_2_give_the_lines_of_version_1() {
    let Some(corpus) = jetwash_corpus::corpus("frames of version 2 as an upstream") else {
        return;
    };
    let lines = corpus.lines(LINES);
    let (address, _asked) = playing(corpus.lines(LINES_V2)).await;
    let options = plain().protocol(Protocol::V2);
    let follower = Follower::start(follow(address).jetstream_options(options));
    follower.has(lines.len() as u64).await;
    let mut expected: Vec<_> = lines.iter().map(|line| without_time(line)).collect();
    let mut came = follower.lines();
    // The recording is in order for each account only.
    expected.sort_unstable();
    came.sort_unstable();
    assert_eq!(came, expected);
    let snapshot = follower.jetstream.snapshot();
    assert!(snapshot.dropped.is_empty(), "{:?}", snapshot.dropped);
    follower.stop().await;
}

#[tokio::test]
async fn a_host_of_version_2_is_continued_by_its_numbers() {
    let messages = Arc::new(Mutex::new((1..=3).map(account).collect::<Vec<_>>()));
    let (address, mut asked) = playing_what_is_there(Arc::clone(&messages)).await;
    let folder = tempfile::tempdir().unwrap();
    let builder = || {
        follow(address)
            .jetstream_options(plain().protocol(Protocol::V2))
            .folder(folder.path())
    };
    let follower = Follower::start(builder());
    follower.has(3).await;
    assert_eq!(cursor_of(&soon(asked.recv()).await.unwrap()), None);
    follower.stop().await;
    messages.lock().unwrap().extend((4..=5).map(account));
    let follower = Follower::start(builder());
    follower.has(5).await;
    assert_eq!(cursor_of(&soon(asked.recv()).await.unwrap()), Some(3));
    assert_eq!(follower.count(), 5);
    let snapshot = follower.jetstream.snapshot();
    assert_eq!((snapshot.events, snapshot.gaps.len()), (2, 0));
    follower.stop().await;
}

#[tokio::test]
async fn a_gap_of_the_upstream_is_one_of_the_log() {
    let info = r##"{"$type":"message","payload":{"$type":"network.bsky.jetstream.subscribeEvents#info","name":"OutdatedCursor","message":"gone"}}"##;
    let (address, _asked) = playing(vec![info.to_owned(), account(2)]).await;
    // In the past of all that is there, so that it is answered by time.
    let cursor = UpstreamCursor::at_seq(1);
    let builder = follow(address)
        .jetstream_options(plain().protocol(Protocol::V2))
        .jetstream_cursor(url(address), cursor);
    let follower = Follower::start(builder);
    follower.has(1).await;
    let gaps = follower.jetstream.snapshot().gaps;
    assert_eq!(
        gaps.into_iter().collect::<Vec<_>>(),
        [("upstream_outdated", 1)]
    );
    follower.stop().await;
}

#[tokio::test]
async fn two_jetstreams_and_a_relay_give_each_event_once() {
    let Some(corpus) = jetwash_corpus::corpus("several upstreams at once") else {
        return;
    };
    let lines = corpus.lines(LINES);
    let (one, _asked) = playing(lines.clone()).await;
    let (other, _asked) = playing(corpus.lines(LINES_V2)).await;
    let builder = Jetstream::builder()
        .jetstream(format!("{}/subscribe", url(one)))
        .jetstream(format!("{}{}", url(other), Protocol::V2.path()))
        .jetstream_options(plain());
    let follower = Follower::start(builder);
    let pusher = follower.jetstream.pusher("relay");
    for frame in corpus.frames(FRAMES) {
        pusher.push(frame).await.unwrap();
    }
    // Each of the three has brought all of it.
    soon(async {
        loop {
            let snapshot = follower.jetstream.snapshot();
            if snapshot.frames >= 100 + 102 + 102 {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let jetstream = follower.jetstream.clone();
    follower.stop().await;
    let came = timeless(&events_of(&jetstream));
    let expected: HashSet<_> = lines.iter().map(|line| without_time(line)).collect();
    assert_eq!(came.len(), lines.len());
    assert_eq!(came.into_iter().collect::<HashSet<_>>(), expected);
}

#[tokio::test]
async fn the_filter_is_sent_to_the_host_and_applied_here() {
    let line = |collection: &str, did: &str| {
        format!(
            r#"{{"did":"{did}","time_us":1,"kind":"commit","commit":{{"rev":"3l3qo2vutsw2b","operation":"delete","collection":"{collection}","rkey":"a"}}}}"#
        )
    };
    // The host ignores what it is asked for.
    let messages = vec![
        line("app.bsky.feed.like", "did:web:a.example"),
        line("app.bsky.feed.post", "did:web:b.example"),
        line("app.bsky.feed.post", "did:web:a.example"),
    ];
    let (address, mut asked) = playing(messages.clone()).await;
    let filter = Filter::new()
        .collections(["app.bsky.feed.post"])
        .unwrap()
        .dids(["did:web:a.example"])
        .unwrap();
    let options = plain().protocol(Protocol::V1);
    let builder = follow(address)
        .jetstream_options(options)
        .ingest_filter(filter);
    let follower = Follower::start(builder);
    follower.has(1).await;
    assert_eq!(follower.lines(), [without_time(&messages[2])]);
    let asked = soon(asked.recv()).await.unwrap();
    assert!(
        asked.contains("wantedCollections=app.bsky.feed.post"),
        "{asked}"
    );
    assert!(asked.contains("wantedDids=did"), "{asked}");
    follower.stop().await;
}

#[tokio::test]
async fn a_malformed_message_costs_itself_and_is_counted() {
    let line = |rkey: &str, record: &str| {
        format!(
            r#"{{"did":"did:web:a.example","time_us":1,"kind":"commit","commit":{{"rev":"3l3qo2vutsw2b","operation":"create","collection":"a.b.c","rkey":"{rkey}","record":{record},"cid":"bafyreib25swk3a6waplk2ie75u4a3qfejnkoiezfowuz7sa74i7tief3di"}}}}"#
        )
    };
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(500), "]".repeat(500));
    let messages = vec![
        "{".to_owned(),
        line("a/b", "{}"),
        line("deep", &deep),
        line("list", "[]"),
        line("ours", r#"{"a":1}"#),
        line("spaced", r#"{ "a": "<é>" }"#),
    ];
    let (address, _asked) = playing(messages).await;
    let options = plain().protocol(Protocol::V1);
    let follower = Follower::start(follow(address).jetstream_options(options));
    follower.has(2).await;
    assert_eq!(
        follower.lines(),
        [
            without_time(&line("ours", r#"{"a":1}"#)),
            without_time(&line("spaced", r#"{"a":"\u003cé\u003e"}"#)),
        ]
    );
    let dropped = follower.jetstream.snapshot().dropped;
    let counts: Vec<_> = dropped.into_iter().collect();
    assert_eq!(
        counts,
        [
            ("message_json", 1),
            ("op_rkey_invalid", 1),
            ("record_json", 1),
            ("record_not_a_map", 1),
        ]
    );
    follower.stop().await;
}

#[tokio::test]
async fn another_host_takes_over_when_one_is_gone() {
    let world = World::start(ServeOptions::default(), None).await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = gone.local_addr().unwrap();
    drop(gone);
    let builder = Jetstream::builder()
        .jetstreams([url(nobody), url(world.address)])
        .jetstream_options(plain());
    let follower = Follower::start(builder);
    follower.connected().await;
    world.push(1).await;
    follower.has(1).await;
    assert_eq!(follower.lines(), timeless(&world.events()));
    assert_eq!(*follower.jetstream.upstreams()[0].name, *url(nobody));
    follower.stop().await;
}

#[tokio::test]
async fn a_cursor_of_the_caller_is_where_it_starts() {
    let world = World::with(200).await;
    let log = world.events();
    let middle = &log[100];
    let cursor = UpstreamCursor::at_time(Micros::new(middle.time_us));
    let builder = follow(world.address)
        .jetstream_options(plain())
        .jetstream_cursor(url(world.address), cursor);
    let follower = Follower::start(builder);
    follower.has(log.len() as u64 - 101).await;
    assert_eq!(follower.lines(), timeless(&log[101..]));
    follower.stop().await;
}

#[tokio::test]
async fn lenient_verification_delivers_what_nobody_signed_without_a_verdict() {
    let (address, _asked) = playing((1..=3).map(account).collect()).await;
    let identities = jetwash::identity::IdentityOptions::new().start().unwrap();
    let builder = follow(address)
        .jetstream_options(plain().protocol(Protocol::V2))
        .verify(Verify::lenient(identities));
    let follower = Follower::start(builder);
    follower.has(3).await;
    let events = follower
        .jetstream
        .subscribe(StartFrom::Oldest, Filter::new());
    let mut events = events.await.unwrap();
    for _ in 0..3 {
        let event = soon(events.next()).await.unwrap().unwrap();
        assert_eq!(event.verdict(), None);
    }
    assert!(follower.jetstream.snapshot().verdicts.is_empty());
    follower.stop().await;
}

#[tokio::test]
async fn all_mistakes_are_told_at_once() {
    let identities = jetwash::identity::IdentityOptions::new().start().unwrap();
    let error = Jetstream::builder()
        .jetstream("ftp://a.example")
        .jetstreams(["b.example", "c.example"])
        .jetstream("https://C.example/subscribe")
        .jetstream_cursor("d.example", UpstreamCursor::at_seq(1))
        .verify(Verify::strict(identities))
        .build()
        .unwrap_err();
    let is =
        |expected: fn(&Mistake) -> bool| error.mistakes().iter().filter(|it| expected(it)).count();
    assert_eq!(
        is(|mistake| matches!(mistake, Mistake::UnverifiableSource)),
        1
    );
    assert_eq!(is(|mistake| matches!(mistake, Mistake::Jetstream(_))), 1);
    assert_eq!(
        is(|mistake| matches!(mistake, Mistake::RepeatedSource(name) if name == "wss://c.example")),
        1
    );
    assert_eq!(
        is(|mistake| matches!(mistake, Mistake::CursorWithoutRelay(_))),
        1
    );
    assert_eq!(error.mistakes().len(), 4);
}
