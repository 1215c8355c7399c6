//! A mirror of another's log: what it takes over, and what it refuses.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use jetwash::store::{self, Gap, GapCause, Location, LogMessage, Options, Read, Store};
use jetwash::testing::{SimChange, did, frames_from};
use jetwash::{
    Dictionary, Filter, Jetstream, JetstreamBuilder, LogId, Micros, Mistake, Pipeline,
    RelayOptions, RotateError, Seq, Source, SourceHandle, StartFrom, Upstream, UpstreamState,
    Verify,
};
use jetwash_sim::{Network, NetworkConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use crate::NOW_US;

/// The log of an origin, which the test fills.
struct Origin {
    pipeline: Pipeline,
    network: Network,
    store: Store,
    now_us: u64,
}

impl Origin {
    fn new() -> Self {
        let (appender, store) = store::open(Location::Memory, Options::default()).unwrap();
        let config = NetworkConfig {
            accounts: 10,
            records: 20,
            ..NetworkConfig::default()
        };
        Self {
            pipeline: Pipeline::new(appender),
            network: Network::new(config).unwrap(),
            store,
            now_us: NOW_US,
        }
    }

    fn with(frames: usize) -> Self {
        let mut origin = Self::new();
        origin.push(frames);
        origin
    }

    fn push(&mut self, frames: usize) {
        for frame in self.network.by_ref().take(frames) {
            self.now_us += 1_000;
            let now = Micros::new(self.now_us);
            self.pipeline.frame("sim", &frame.bytes, now).unwrap();
        }
        self.pipeline.commit().unwrap();
    }

    /// All messages from a position on.
    fn messages(&self, from: Seq) -> Vec<Bytes> {
        let mut stream = self.store.log_stream(from);
        let mut messages = Vec::new();
        while let Some(message) = stream.next().unwrap() {
            messages.push(message);
        }
        messages
    }

    fn hello(&self) -> Bytes {
        self.messages(Seq::FIRST).remove(0)
    }
}

/// Serves a log to all who connect, after a script for each of the first connections. Says what was
/// asked.
struct Served {
    address: SocketAddr,
    asked: mpsc::UnboundedReceiver<String>,
    serving: JoinHandle<()>,
}

impl Served {
    async fn honest(store: &Store) -> Self {
        Self::after(Vec::new(), store).await
    }

    async fn after(scripts: Vec<Vec<Message>>, store: &Store) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, asked) = mpsc::unbounded_channel();
        let (store, mut scripts) = (store.clone(), scripts.into_iter());
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, sender, store) = (scripts.next(), sender.clone(), store.clone());
                tokio::spawn(serve(stream, script, sender, store));
            }
        });
        Self {
            address,
            asked,
            serving,
        }
    }

    fn url(&self) -> String {
        format!("ws://{}", self.address)
    }
}

async fn serve(
    stream: TcpStream,
    script: Option<Vec<Message>>,
    sender: mpsc::UnboundedSender<String>,
    store: Store,
) {
    let mut seq = 1;
    #[expect(clippy::result_large_err, reason = "the library has it so")]
    let note = |request: &Request, response: Response| {
        let uri = request.uri().to_string();
        seq = number(&uri, "seq=").unwrap_or(1);
        let _ = sender.send(uri);
        Ok(response)
    };
    let socket = tokio_tungstenite::accept_hdr_async(stream, note).await;
    let Ok(mut socket) = socket else { return };
    if let Some(script) = script {
        for message in script {
            if socket.send(message).await.is_err() {
                return;
            }
        }
        while let Some(Ok(_)) = socket.next().await {}
        return;
    }
    let (mut stream, mut tip) = (store.log_stream(Seq::new(seq)), store.tip());
    loop {
        while let Some(message) = stream.next().unwrap() {
            if socket.send(Message::Binary(message)).await.is_err() {
                return;
            }
        }
        tokio::select! {
            changed = tip.changed() => if changed.is_err() { return },
            came = socket.next() => if !matches!(came, Some(Ok(_))) { return },
        }
    }
}

fn number(uri: &str, key: &str) -> Option<u64> {
    let (_, value) = uri.split_once(key)?;
    value.split('&').next().unwrap().parse().ok()
}

/// A mirror that runs until it is stopped.
struct Mirror {
    jetstream: Jetstream,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl Mirror {
    fn start(builder: JetstreamBuilder) -> Self {
        // The events of these logs are older than a day, and would be trimmed within a second.
        let builder = builder.retain_for(Duration::from_secs(1_000_000_000));
        let builder = builder.relay_options(RelayOptions::new().no_proxy());
        let (jetstream, ingest) = builder.build().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = ingest.run(async { drop(stopped.await) });
        Self {
            jetstream,
            stop: Some(stop),
            running: tokio::spawn(async { run.await.unwrap() }),
        }
    }

    fn of(served: &Served) -> Self {
        Self::start(Jetstream::builder().mirror(served.url()))
    }

    async fn has_all_of(&self, origin: &Store) {
        let mut tip = self.jetstream.store().tip();
        let next = origin.bounds().next_seq;
        let waiting = tip.wait_for(|&has| has >= next);
        let waited = timeout(PATIENCE, waiting).await;
        assert!(
            waited.is_ok(),
            "{:?} {:?}",
            self.jetstream.bounds(),
            self.jetstream.upstreams()
        );
        assert_eq!(entries(self.jetstream.store()), entries(origin));
    }

    async fn until(&self, what: &str, is_so: impl Fn(Upstream) -> bool) {
        let waiting = async {
            while !is_so(self.jetstream.upstreams().remove(0)) {
                tokio::task::yield_now().await;
            }
        };
        let waited = timeout(PATIENCE, waiting).await;
        let states = self.jetstream.upstreams();
        assert!(waited.is_ok(), "never {what}: {states:?}");
    }

    async fn is_stalled(&self, why: &str) {
        let is_it = |upstream: Upstream| match upstream.state {
            UpstreamState::Stalled { reason } => reason.contains(why),
            _ => false,
        };
        self.until(why, is_it).await;
    }

    fn ends(&self) -> Vec<(&'static str, u64)> {
        self.jetstream.snapshot().reconnects.into_iter().collect()
    }

    async fn stop(mut self) -> Store {
        drop(self.stop.take());
        timeout(PATIENCE, &mut self.running).await.unwrap().unwrap();
        self.jetstream.store().clone()
    }
}

/// An event as readers get it: position, time, line, compressed bytes and where it is from.
type Entry = (u64, u64, Vec<u8>, Option<Vec<u8>>, String);

fn entries(store: &Store) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut position = store.bounds().oldest_seq;
    loop {
        match store.read(position).unwrap() {
            Read::Events(run) => {
                let block = run.block();
                let (json, packed) = (block.json().unwrap(), block.compressed().unwrap());
                for index in run.indexes() {
                    let meta = block.meta(index).unwrap();
                    entries.push((
                        meta.seq.get(),
                        meta.time_us.get(),
                        json.get(index).unwrap().to_vec(),
                        packed.map(|page| page.get(index).unwrap().to_vec()),
                        format!("{:?} {} {}", meta.kind, meta.did, meta.source),
                    ));
                }
                position = run.next_seq();
            }
            Read::Gap(gap) if gap.next_seq > position => position = gap.next_seq,
            _ => return entries,
        }
    }
}

#[tokio::test]
async fn a_mirror_has_the_positions_times_lines_and_identity_of_its_origin() {
    let mut origin = Origin::with(300);
    let mut served = Served::honest(&origin.store).await;
    let mirror = Mirror::of(&served);
    mirror.has_all_of(&origin.store).await;
    assert_eq!(mirror.jetstream.log_id(), origin.store.log_id());
    // It has none of the log, and does not know which one it is.
    assert_eq!(served.asked.recv().await.unwrap(), "/mirror?seq=1");
    origin.push(300);
    mirror.has_all_of(&origin.store).await;
    let upstream = mirror.jetstream.upstreams().remove(0);
    assert_eq!(*upstream.name, *served.url());
    assert_eq!(upstream.state, UpstreamState::Connected);
    assert!(upstream.lag.is_some() && upstream.last_event.is_some());
    assert_eq!(mirror.jetstream.readiness(), Ok(()));
    let (snapshot, events) = (mirror.jetstream.snapshot(), origin.store.bounds().events());
    assert_eq!(snapshot.events, events);
    assert!(snapshot.dropped.is_empty() && snapshot.reconnects.is_empty());
    mirror.stop().await;
}

#[tokio::test]
async fn dictionaries_and_what_they_compress_are_taken_over_as_they_are() {
    let mut origin = Origin::with(300);
    let lines: Vec<_> = crate::lines(&origin.store);
    let mut ids = Vec::new();
    for id in [7, 8, 7] {
        let dictionary = Dictionary::train(&lines, 4096, id).unwrap();
        origin.pipeline.rotate_dictionary(&dictionary).unwrap();
        origin.push(100);
        ids.push(id);
    }
    let served = Served::honest(&origin.store).await;
    let mirror = Mirror::of(&served);
    let changes = mirror.jetstream.dictionary_changes();
    mirror.has_all_of(&origin.store).await;
    let of = |store: &Store| -> Vec<(u32, Vec<u8>)> {
        let all = store.dictionaries().into_iter();
        all.map(|one| (one.id(), one.bytes().to_vec())).collect()
    };
    assert_eq!(of(mirror.jetstream.store()), of(&origin.store));
    assert_eq!(of(&origin.store).len(), 2);
    assert_eq!(mirror.jetstream.dictionary().unwrap().id(), 7);
    assert!(changes.has_changed().unwrap());
    // Offered before the first event that is compressed with it can be read.
    let dictionary = Dictionary::train(&lines, 4096, 9).unwrap();
    origin.pipeline.rotate_dictionary(&dictionary).unwrap();
    origin.push(1);
    mirror.has_all_of(&origin.store).await;
    assert_eq!(mirror.jetstream.dictionary().unwrap().id(), 9);
    let outcome = mirror.jetstream.rotate_dictionary(dictionary).await;
    assert!(matches!(outcome, Err(RotateError::Mirror)), "{outcome:?}");
    mirror.stop().await;
}

#[tokio::test]
async fn a_mirror_continues_where_it_was_and_says_what_it_has() {
    let mut origin = Origin::with(200);
    let mut served = Served::honest(&origin.store).await;
    let folder = tempfile::tempdir().unwrap();
    let builder = || {
        Jetstream::builder()
            .mirror(served.url())
            .folder(folder.path())
    };
    let mirror = Mirror::start(builder());
    mirror.has_all_of(&origin.store).await;
    mirror.stop().await;
    origin.push(200);
    let has = Origin::with(200).store.bounds();
    let mirror = Mirror::start(builder());
    mirror.has_all_of(&origin.store).await;
    assert_eq!(served.asked.recv().await.unwrap(), "/mirror?seq=1");
    let asked = served.asked.recv().await.unwrap();
    let (seq, time) = (has.next_seq, has.newest_time_us.unwrap().get());
    let log = origin.store.log_id();
    assert_eq!(asked, format!("/mirror?seq={seq}&log={log}&time_us={time}"));
    let snapshot = mirror.jetstream.snapshot();
    let events = origin.store.bounds().events() - has.events();
    assert_eq!(snapshot.events, events);
    mirror.stop().await;
}

/// A message of a mirror with one byte changed.
fn damaged(message: &Bytes, at: usize) -> Message {
    let mut bytes = message.to_vec();
    bytes[at] ^= 0x55;
    Message::binary(bytes)
}

#[tokio::test]
async fn whatever_a_hostile_host_sends_costs_the_connection_and_nothing_else() {
    let origin = Origin::with(300);
    let binary = |message: Bytes| Message::Binary(message);
    let hello = || binary(origin.hello());
    let messages = origin.messages(Seq::FIRST);
    let later = origin.messages(Seq::new(40));
    let other = Origin::with(1);
    let tip = |next| binary(LogMessage::tip(Seq::FIRST, Seq::new(next)).encode());
    let gap = |first, next| {
        let gap = Gap::new(Seq::new(first), Seq::new(next), GapCause::Trimmed);
        binary(LogMessage::Gap(gap).encode())
    };
    let mut future = Origin::new();
    future.now_us = NOW_US + 10 * 365 * 24 * 3_600_000_000;
    future.push(1);
    let future = {
        // The identity of the origin, and a time of its own.
        let mut hello = origin.hello().to_vec();
        let time = future.store.bounds().newest_time_us.unwrap().get();
        let at = hello.len() - 8;
        hello[at..].copy_from_slice(&time.to_le_bytes());
        Message::binary(hello)
    };
    let last = messages[1].len() - 9;
    let scripts = [
        ("message_unreadable", vec![Message::binary(vec![])]),
        ("message_unreadable", vec![Message::binary(vec![9; 1000])]),
        (
            "message_unreadable",
            vec![hello(), Message::binary(vec![3; 50])],
        ),
        (
            "message_unreadable",
            vec![hello(), damaged(&messages[1], last)],
        ),
        ("mirror_protocol", vec![binary(messages[1].clone())]),
        ("mirror_protocol", vec![tip(1)]),
        ("mirror_protocol", vec![hello(), hello()]),
        ("mirror_protocol", vec![hello(), Message::text("hello")]),
        (
            "mirror_protocol",
            vec![
                hello(),
                Message::binary(vec![3; LogMessage::MAX_LENGTH + 1]),
            ],
        ),
        ("message_refused", vec![hello(), binary(later[1].clone())]),
        ("message_refused", vec![hello(), gap(40, 50)]),
        ("message_refused", vec![hello(), gap(1, u64::MAX)]),
        ("no_events", vec![hello(), tip(100), tip(100)]),
        ("future_time", vec![future]),
        (
            "other_log",
            vec![
                binary(other.hello()),
                binary(other.messages(Seq::FIRST)[1].clone()),
            ],
        ),
    ];
    for (reason, script) in scripts {
        is_refused(&origin, reason, script).await;
    }
}

/// Serves a script to a mirror, and then everything that is right.
async fn is_refused(origin: &Origin, reason: &'static str, script: Vec<Message>) {
    let folder = tempfile::tempdir().unwrap();
    let (mut appender, store) =
        store::open(Location::Disk(folder.path().to_owned()), Options::default()).unwrap();
    appender.become_mirror(origin.store.log_id()).unwrap();
    drop((appender, store));
    let served = Served::after(vec![script], &origin.store).await;
    let builder = Jetstream::builder().mirror(served.url());
    let mirror = Mirror::start(builder.folder(folder.path()));
    mirror
        .until(reason, |upstream| upstream.last_end.is_some())
        .await;
    let (ends, bounds) = (mirror.ends(), mirror.jetstream.bounds());
    assert_eq!(ends, [(reason, 1)], "{:?}", mirror.jetstream.upstreams());
    if !["future_time", "other_log"].contains(&reason) {
        // Asked again, it takes over all that is right.
        mirror.has_all_of(&origin.store).await;
    } else {
        assert_eq!(bounds.next_seq, Seq::FIRST);
    }
    assert!(mirror.jetstream.snapshot().panics.is_empty());
    mirror.stop().await;
    served.serving.abort();
}

#[tokio::test]
async fn positions_that_go_back_are_left_out() {
    let origin = Origin::with(300);
    let messages = origin.messages(Seq::FIRST);
    let twice = messages.iter().chain(&messages[1..]).cloned();
    let script: Vec<_> = twice.map(Message::Binary).collect();
    let served = Served::after(vec![script], &origin.store).await;
    let mirror = Mirror::of(&served);
    mirror.has_all_of(&origin.store).await;
    assert_eq!(
        mirror.jetstream.snapshot().events,
        origin.store.bounds().events()
    );
    mirror.stop().await;
}

#[tokio::test]
async fn another_log_is_refused_and_told_until_another_host_has_the_right_one() {
    let (origin, other) = (Origin::with(100), Origin::with(200));
    let folder = tempfile::tempdir().unwrap();
    let served = Served::honest(&origin.store).await;
    let builder = |urls: Vec<String>| Jetstream::builder().mirrors(urls).folder(folder.path());
    let mirror = Mirror::start(builder(vec![served.url()]));
    mirror.has_all_of(&origin.store).await;
    mirror.stop().await;

    let wrong = Served::honest(&other.store).await;
    let mirror = Mirror::start(builder(vec![wrong.url()]));
    let why = format!("it has the log {}", other.store.log_id());
    mirror.is_stalled(&why).await;
    assert_eq!(mirror.ends(), [("other_log", 1)]);
    let not_ready = mirror.jetstream.readiness().unwrap_err().to_string();
    assert!(not_ready.contains(&why), "{not_ready}");
    assert_eq!(entries(mirror.jetstream.store()), entries(&origin.store));
    mirror.stop().await;

    let mut origin = origin;
    origin.push(50);
    let mirror = Mirror::start(builder(vec![wrong.url(), served.url()]));
    mirror.has_all_of(&origin.store).await;
    mirror
        .until("connected", |upstream| {
            upstream.state == UpstreamState::Connected
        })
        .await;
    mirror.stop().await;
}

#[tokio::test]
async fn a_host_that_does_not_look_at_what_it_is_asked_is_left_if_its_log_has_parted() {
    let origin = Origin::with(20);
    let folder = tempfile::tempdir().unwrap();
    let builder = |served: &Served| {
        let builder = Jetstream::builder().mirror(served.url());
        builder.folder(folder.path())
    };
    let served = Served::honest(&origin.store).await;
    let mirror = Mirror::start(builder(&served));
    mirror.has_all_of(&origin.store).await;
    mirror.stop().await;

    // The log under the same identity, with the same events at other times.
    let mut parted = Origin::new();
    parted.now_us += 1;
    parted.push(100);
    let script = [origin.hello(), parted.messages(Seq::FIRST).swap_remove(1)];
    let script = script.map(Message::Binary).to_vec();
    let served = Served::after(vec![script], &origin.store).await;
    let mirror = Mirror::start(builder(&served));
    mirror
        .until("ended", |upstream| upstream.last_end.is_some())
        .await;
    assert_eq!(mirror.ends(), [("log_parted", 1)]);
    // It would only send the same again, so it is left alone for long, and a person has to see.
    match mirror.jetstream.upstreams().remove(0).state {
        UpstreamState::Stalled { reason } => {
            assert!(reason.contains("the logs have parted"), "{reason}");
        }
        state => panic!("{state:?}"),
    }
    assert_eq!(entries(mirror.jetstream.store()), entries(&origin.store));
    mirror.stop().await;
}

#[tokio::test]
async fn a_refusal_before_the_upgrade_stalls_the_mirror_with_the_reason() {
    for (error, reason) in [
        ("OtherLog", "other_log"),
        ("LogParted", "log_parted"),
        ("PositionAhead", "position_ahead"),
        ("MirroringDisabled", "mirroring_disabled"),
        ("NoSuchRefusal", "refused"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let answering = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 4096]).await;
                let body = format!(r#"{{"error":"{error}","message":"it is so"}}"#);
                let head = format!(
                    "HTTP/1.1 409 Conflict\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all((head + &body).as_bytes()).await;
            }
        });
        let mirror = Mirror::start(Jetstream::builder().mirror(url));
        let why = format!("the host refused with {error}: it is so");
        mirror.is_stalled(&why).await;
        assert_eq!(mirror.ends(), [(reason, 1)]);
        mirror.stop().await;
        answering.abort();
    }
}

#[tokio::test]
async fn another_host_takes_over_when_one_is_gone() {
    let origin = Origin::with(100);
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("ws://{}", gone.local_addr().unwrap());
    drop(gone);
    let served = Served::honest(&origin.store).await;
    let mirror = Mirror::start(Jetstream::builder().mirrors([nobody.clone(), served.url()]));
    mirror.has_all_of(&origin.store).await;
    assert_eq!(*mirror.jetstream.upstreams()[0].name, *nobody);
    mirror.stop().await;
}

#[tokio::test]
async fn gaps_of_the_origin_are_gaps_of_the_mirror() {
    let origin = Origin::with(100);
    let messages = origin.messages(Seq::FIRST);
    let LogMessage::Events(events) = LogMessage::decode(messages[1].clone()).unwrap() else {
        panic!("no events");
    };
    let next = events.next_seq();
    let gap = Gap::new(next, next.plus(500), GapCause::Skipped);
    let mut script = messages;
    script.push(LogMessage::Gap(gap).encode());
    let script = script.into_iter().map(Message::Binary).collect();
    let served = Served::after(vec![script], &origin.store).await;
    let mirror = Mirror::of(&served);
    let mut tip = mirror.jetstream.store().tip();
    let skipped = tip.wait_for(|&has| has == next.plus(500));
    timeout(PATIENCE, skipped).await.unwrap().unwrap();
    let Read::Gap(gap) = mirror.jetstream.store().read(next).unwrap() else {
        panic!("no gap");
    };
    assert_eq!(
        (gap.first_seq, gap.next_seq, gap.cause),
        (next, next.plus(500), GapCause::Skipped)
    );
    assert_eq!(mirror.jetstream.snapshot().gaps["skipped"], 1);
    mirror.stop().await;
}

#[tokio::test]
async fn nothing_else_gets_into_a_mirror() {
    let origin = Origin::with(10);
    let served = Served::honest(&origin.store).await;
    let mirror = Mirror::of(&served);
    let pusher = mirror.jetstream.pusher("mine");
    let frames = frames_from([SimChange::identity(did(0), Some("alice.test"))]).unwrap();
    for frame in frames {
        pusher.push(frame).await.unwrap();
    }
    mirror.has_all_of(&origin.store).await;
    let waiting = async {
        while mirror.jetstream.snapshot().dropped.get("mirror") != Some(&1) {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap();
    assert_eq!(entries(mirror.jetstream.store()), entries(&origin.store));
    mirror.stop().await;
}

#[tokio::test]
async fn a_consumer_of_the_origin_continues_at_the_mirror_by_its_cursor() {
    let origin = Origin::with(200);
    let served = Served::honest(&origin.store).await;
    let mirror = Mirror::of(&served);
    mirror.has_all_of(&origin.store).await;
    let all = entries(&origin.store);
    let half = all.len() / 2;
    // The cursor is that of the last event that was read at the origin.
    let cursor = jetwash::Cursor::new(all[half - 1].0);
    let events = mirror
        .jetstream
        .subscribe(StartFrom::Cursor(cursor), Filter::new());
    let events = events.await.unwrap().take(all.len() - half);
    let events: Vec<_> = events.collect().await;
    let read: Vec<_> = events
        .into_iter()
        .map(|event| event.unwrap().json().as_bytes().to_vec())
        .collect();
    let expected: Vec<_> = all[half..].iter().map(|entry| entry.2.clone()).collect();
    assert_eq!(read, expected);
    mirror.stop().await;
}

#[test]
fn settings_that_make_no_sense_for_a_mirror_are_named() {
    let error = Jetstream::builder()
        .mirrors(["a.example", "ftp://b.example", "https://A.example/mirror"])
        .relay("relay.example")
        .jetstream("jetstream.example")
        .frame_stream("frames", futures_util::stream::empty::<Bytes>())
        .source(OwnSource)
        .ingest_filter(Filter::new().collections(["a.b.c"]).unwrap())
        .ingest_filter_with(|_| true)
        .keep_frames(1 << 20)
        .record_cache(1 << 20)
        .verify(Verify::structure())
        .build()
        .unwrap_err();
    let settings: Vec<_> = error
        .mistakes()
        .iter()
        .filter_map(|mistake| match mistake {
            Mistake::MirrorSetting { setting } => Some(*setting),
            _ => None,
        })
        .collect();
    assert_eq!(
        settings,
        [
            "relay",
            "jetstream",
            "frame_stream",
            "source",
            "ingest_filter",
            "ingest_filter_with",
            "keep_frames",
            "record_cache",
            "verify"
        ]
    );
    let is = |expected: fn(&Mistake) -> bool| error.mistakes().iter().any(expected);
    assert!(is(|mistake| matches!(mistake, Mistake::Mirror(_))));
    assert!(is(|mistake| matches!(mistake, Mistake::RepeatedSource(_))));
    assert_eq!(error.mistakes().len(), 11, "{error}");
}

#[test]
fn a_source_of_the_callers_is_named_by_the_method_that_it_was_given_with() {
    let mirror = || Jetstream::builder().mirror("a.example");
    let stream = futures_util::stream::empty::<Bytes>();
    for (builder, expected) in [
        (mirror().frame_stream("frames", stream), "frame_stream"),
        (mirror().source(OwnSource), "source"),
    ] {
        let error = builder.build().unwrap_err();
        let [Mistake::MirrorSetting { setting }] = error.mistakes() else {
            panic!("{error}");
        };
        assert_eq!(*setting, expected);
    }
}

/// A source that brings nothing.
struct OwnSource;

impl Source for OwnSource {
    fn name(&self) -> &'static str {
        "own"
    }

    async fn run(&mut self, _: SourceHandle) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(())
    }
}

#[tokio::test]
async fn a_folder_is_of_a_mirror_or_of_own_events_and_never_both() {
    let origin = Origin::with(10);
    let served = Served::honest(&origin.store).await;
    let (folder, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mirror = Mirror::start(
        Jetstream::builder()
            .mirror(served.url())
            .folder(folder.path()),
    );
    mirror.has_all_of(&origin.store).await;
    mirror.stop().await;
    let error = Jetstream::builder()
        .folder(folder.path())
        .build()
        .unwrap_err();
    let log = origin.store.log_id();
    assert!(matches!(error.mistakes(), [Mistake::MirrorFolder { log: it }] if *it == log));
    let said = error.to_string();
    assert!(said.contains("use another folder"), "{said}");

    let (appender, _store) =
        store::open(Location::Disk(own.path().to_owned()), Options::default()).unwrap();
    let mut pipeline = Pipeline::new(appender);
    let frame = frames_from([SimChange::identity(did(0), None)])
        .unwrap()
        .remove(0);
    pipeline.frame("own", &frame, Micros::new(NOW_US)).unwrap();
    pipeline.commit().unwrap();
    drop((pipeline, _store));
    let error = Jetstream::builder()
        .mirror(served.url())
        .folder(own.path())
        .build()
        .unwrap_err();
    let is_it = |log: LogId| log != origin.store.log_id();
    assert!(matches!(error.mistakes(), [Mistake::OwnFolder { log }] if is_it(*log)));
    let said = error.to_string();
    assert!(said.contains("give a mirror a new folder"), "{said}");
}

const PATIENCE: Duration = Duration::from_secs(40);
