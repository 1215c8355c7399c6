//! Jetstreams as upstreams, over real sockets: several at once, sets of accounts, and records that
//! are not what their CIDs name.

mod another_filter;

use std::collections::BTreeSet;
use std::error::Error;
use std::time::{Duration, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use jetwash::client::{ClientEvent, Protocol};
use jetwash::{
    DidSet, Filter, Jetstream, JetstreamBuilder, JetstreamOptions, Source, SourceHandle, StartFrom,
    Verdict,
};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use crate::{lines, take, without_time};

const PATIENCE: Duration = Duration::from_secs(40);

/// A host whose connections a test controls.
struct Host(TcpListener);

struct Connection {
    uri: String,
    socket: WebSocketStream<TcpStream>,
}

impl Host {
    async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn url(&self) -> String {
        format!("ws://{}", self.0.local_addr().unwrap())
    }

    async fn accept(&self) -> Connection {
        let (stream, _) = timeout(PATIENCE, self.0.accept()).await.unwrap().unwrap();
        let mut uri = String::new();
        #[expect(clippy::result_large_err, reason = "the library has it so")]
        let note = |request: &Request, response: Response| {
            uri = request.uri().to_string();
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, note);
        let socket = socket.await.unwrap();
        Connection { uri, socket }
    }
}

impl Connection {
    async fn send(&mut self, lines: impl IntoIterator<Item = &String>) {
        for line in lines {
            self.socket.send(Message::text(line)).await.unwrap();
        }
    }

    /// The next message of the client, but for pings.
    async fn text(&mut self) -> String {
        loop {
            let message = timeout(PATIENCE, self.socket.next()).await.unwrap();
            if let Message::Text(text) = message.unwrap().unwrap() {
                return text.to_string();
            }
        }
    }
}

struct Run {
    jetstream: Jetstream,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Run {
    fn start(builder: JetstreamBuilder) -> Self {
        let (jetstream, ingest) = builder.build().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = ingest.run(async { drop(stopped.await) });
        Self {
            jetstream,
            stop,
            running: tokio::spawn(async { run.await.unwrap() }),
        }
    }

    async fn stop(self) {
        drop(self.stop);
        self.running.await.unwrap();
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Jetstream) -> bool) {
        let is_so = async {
            while !is_so(&self.jetstream) {
                tokio::task::yield_now().await;
            }
        };
        let waited = timeout(PATIENCE, is_so).await;
        assert!(waited.is_ok(), "{what}: {:?}", self.jetstream.snapshot());
    }

    fn lines(&self) -> Vec<String> {
        let lines = lines(self.jetstream.store());
        lines.iter().map(|line| without_time(line).0).collect()
    }
}

fn options(protocol: Protocol) -> JetstreamOptions {
    JetstreamOptions::new().plain().protocol(protocol)
}

/// The TID of a time in microseconds, as the specification makes it.
fn tid(time_us: u64) -> String {
    let digits = b"234567abcdefghijklmnopqrstuvwxyz";
    let digit = |index: u32| digits[((time_us << 10) >> (60 - 5 * index)) as usize % 32];
    (0..13).map(|index| char::from(digit(index))).collect()
}

/// A line of version 1: the deletion of a record of its own. Accounts take turns.
fn deletion(number: u64) -> String {
    let (account, time) = (number % 10, 1_783_000_000_000_000 + number * 1_000);
    format!(
        r#"{{"did":"did:web:n{account}.example","time_us":{time},"kind":"commit","commit":{{"rev":"{}","operation":"delete","collection":"a.b.c","rkey":"n{number}"}}}}"#,
        tid(time)
    )
}

#[tokio::test]
async fn of_a_union_one_drops_one_lags_and_one_dies_and_each_event_comes_once() {
    let all: Vec<String> = (0..1_000).map(deletion).collect();
    let expected: BTreeSet<_> = all.iter().map(|line| without_time(line).0).collect();
    let (drops, lags, dies) = (
        Host::start().await,
        Host::start().await,
        Host::start().await,
    );
    let folder = tempfile::tempdir().unwrap();
    let builder = || {
        Jetstream::builder()
            .jetstream_union([drops.url(), lags.url(), dies.url()])
            .jetstream_options(options(Protocol::V1))
            .folder(folder.path())
    };
    let urls = [drops.url(), lags.url()];
    let run = Run::start(builder());
    let (mut one, mut other, mut third) =
        tokio::join!(drops.accept(), lags.accept(), dies.accept());
    third.send(&all[..300]).await;
    run.until("the third", |it| it.bounds().events() == 300)
        .await;
    drop(third);
    let kept = all.iter().enumerate().filter(|(at, _)| at % 7 != 3);
    one.send(kept.map(|(_, line)| line)).await;
    // From the 300th on, it leaves out 100.
    run.until("the first", |it| it.bounds().events() == 900)
        .await;
    assert_eq!(run.jetstream.snapshot().late, 0);
    other.send(&all).await;
    run.until("the second", |it| it.bounds().events() == 1_000)
        .await;
    run.until("its last", |it| {
        it.source_cursor(&urls[1]) == it.source_cursor(&urls[0])
    })
    .await;
    let came = run.lines();
    assert_eq!(came.len(), 1_000);
    assert_eq!(came.into_iter().collect::<BTreeSet<_>>(), expected);
    let snapshot = run.jetstream.snapshot();
    // Two of the 100 are the newest of their accounts.
    assert_eq!((snapshot.late, snapshot.events), (98, 1_000));
    assert!(snapshot.dropped.is_empty(), "{:?}", snapshot.dropped);
    run.stop().await;

    // In another run too, what comes again is known.
    let run = Run::start(builder());
    let mut other = lags.accept().await;
    assert!(other.uri.contains("cursor="), "{}", other.uri);
    other.send(&all).await;
    let last = [deletion(1_001)];
    other.send(&last).await;
    run.until("the last", |it| it.bounds().events() == 1_001)
        .await;
    assert_eq!(run.jetstream.snapshot().events, 1);
    run.stop().await;
}

#[tokio::test]
async fn what_is_late_and_has_been_changed_since_is_left_out() {
    let (ahead, behind) = (Host::start().await, Host::start().await);
    let line = |seconds: u64, operation: &str| {
        deletion(7)
            .replace(
                &tid(1_783_000_000_007_000),
                &tid(1_783_000_000_000_000 + seconds),
            )
            .replace("delete", operation)
    };
    let builder = Jetstream::builder().jetstream_union([ahead.url(), behind.url()]);
    let run = Run::start(builder.jetstream_options(options(Protocol::V1)));
    let (mut ahead, mut behind) = tokio::join!(ahead.accept(), behind.accept());
    ahead.send([&line(2, "delete")]).await;
    run.until("the first", |it| it.bounds().events() == 1).await;
    behind.send([&line(1, "delete"), &line(3, "delete")]).await;
    run.until("the last", |it| it.bounds().events() == 2).await;
    let revs = [tid(1_783_000_000_000_002), tid(1_783_000_000_000_003)];
    for (line, rev) in run.lines().iter().zip(revs) {
        assert!(line.contains(&rev), "{line}");
    }
    assert_eq!(run.jetstream.snapshot().repeated, 1);
    run.stop().await;
}

/// The deletion of a record, at a revision of this time.
fn deletion_of(rkey: &str, time_us: u64, rev_us: u64) -> String {
    format!(
        r#"{{"did":"did:web:a.example","time_us":{time_us},"kind":"commit","commit":{{"rev":"{}","operation":"delete","collection":"a.b.c","rkey":"{rkey}"}}}}"#,
        tid(rev_us)
    )
}

#[tokio::test]
async fn an_operation_that_is_done_again_is_not_taken_for_the_one_before() {
    let host = Host::start().await;
    let builder = Jetstream::builder().jetstream(host.url());
    let run = Run::start(builder.jetstream_options(options(Protocol::V1)));
    let mut connection = host.accept().await;
    let begun = 1_783_000_000_000_000;
    let sent = [("a", 1), ("b", 2), ("a", 2), ("c", 3), ("b", 3)];
    let sent = sent.map(|(rkey, rev)| deletion_of(rkey, begun + rev, begun + rev));
    connection.send(&sent).await;
    run.until("all of it", |it| {
        it.bounds().events() + it.snapshot().repeated == 5
    })
    .await;
    let expected: Vec<_> = sent.iter().map(|line| without_time(line).0).collect();
    assert_eq!(run.lines(), expected);
    run.stop().await;
}

/// A revision is made up by its account, and one that is ahead of the clock is not newer for it. The
/// other host sends once more what the first one has sent.
#[tokio::test]
async fn what_an_earlier_run_had_is_known_where_its_revision_is_of_the_future() {
    let (one, other) = (Host::start().await, Host::start().await);
    let folder = tempfile::tempdir().unwrap();
    let builder = || {
        Jetstream::builder()
            .jetstream_union([one.url(), other.url()])
            .jetstream_options(options(Protocol::V1))
            .folder(folder.path())
    };
    let now = UNIX_EPOCH.elapsed().unwrap().as_micros() as u64;
    let ahead = now + 1_800_000_000;
    let sent = [("a", 0), ("b", 1), ("c", 2)];
    let sent = sent.map(|(rkey, after)| deletion_of(rkey, now + after, ahead + after));
    let run = Run::start(builder());
    let (mut connection, _idle) = tokio::join!(one.accept(), other.accept());
    connection.send(&sent).await;
    run.until("the first run", |it| it.bounds().events() == 3)
        .await;
    run.stop().await;

    let run = Run::start(builder());
    let (_idle, mut connection) = tokio::join!(one.accept(), other.accept());
    connection.send(&sent).await;
    run.until("the second run", |it| {
        let snapshot = it.snapshot();
        snapshot.events + snapshot.repeated == 3
    })
    .await;
    let snapshot = run.jetstream.snapshot();
    assert_eq!((snapshot.events, snapshot.late), (0, 0));
    run.stop().await;
}

fn of_account(name: &str, number: u64) -> String {
    format!(
        r#"{{"did":"did:web:{name}.example","time_us":{number},"kind":"account","account":{{"active":true,"did":"did:web:{name}.example","seq":7,"time":"2026-01-01T00:00:{number:02}Z"}}}}"#
    )
}

#[tokio::test]
async fn a_set_of_accounts_is_sent_to_a_host_of_version_1_and_again_when_it_changes() {
    let host = Host::start().await;
    let set = DidSet::new();
    set.add("did:web:a.example").unwrap();
    let builder = Jetstream::builder().jetstream(host.url());
    let run = Run::start(
        builder
            .jetstream_options(options(Protocol::V1))
            .ingest_filter(Filter::new().did_set(set.clone())),
    );
    let mut connection = host.accept().await;
    let uri = &connection.uri;
    assert!(uri.contains("wantedDids=did:web:a.example"), "{uri}");
    connection.send([&of_account("a", 1)]).await;
    set.add("did:web:b.example").unwrap();
    set.add("did:web:c.example").unwrap();
    let update: Value = serde_json::from_str(&connection.text().await).unwrap();
    let dids = [
        "did:web:a.example",
        "did:web:b.example",
        "did:web:c.example",
    ];
    let payload = json!({"wantedCollections": [], "wantedDids": dids});
    assert_eq!(
        update,
        json!({"type": "options_update", "payload": payload})
    );
    connection.send([&of_account("b", 2)]).await;
    // A host that does not apply it is not believed.
    set.remove("did:web:a.example");
    connection
        .send([
            &of_account("a", 3),
            &of_account("d", 4),
            &of_account("c", 5),
        ])
        .await;
    run.until("three events", |it| it.bounds().events() == 3)
        .await;
    let events = take(&run.jetstream, StartFrom::Oldest, Filter::new(), 3).await;
    let dids: Vec<_> = events.iter().map(|event| event.did()).collect();
    assert_eq!(
        dids,
        [
            "did:web:a.example",
            "did:web:b.example",
            "did:web:c.example"
        ]
    );
    // Nobody is wanted, which is not everybody.
    set.clear();
    let update = connection.text().await;
    assert!(
        update.contains(r#""wantedDids":["did:web:nobody.invalid"]"#),
        "{update}"
    );
    run.stop().await;
}

#[tokio::test]
async fn a_host_of_version_2_is_connected_to_anew_with_its_cursor_when_a_set_changes() {
    let message = |number: u64| {
        format!(
            r##"{{"$type":"message","payload":{{"$type":"network.bsky.jetstream.subscribeEvents#account","account":{{"active":true,"did":"did:web:a.example","seq":7,"time":"2026-01-01T00:00:{number:02}Z"}},"did":"did:web:a.example","seq":{number},"time":"2026-11-26T11:31:{number:02}.127266Z"}}}}"##
        )
    };
    let host = Host::start().await;
    let set = DidSet::new();
    set.add("did:web:a.example").unwrap();
    let builder = Jetstream::builder().jetstream(host.url());
    let run = Run::start(
        builder
            .jetstream_options(options(Protocol::V2))
            .ingest_filter(Filter::new().did_set(set.clone())),
    );
    let mut connection = host.accept().await;
    assert!(connection.uri.contains("dids=did:web:a.example"));
    connection.send([&message(8)]).await;
    run.until("an event", |it| it.bounds().events() == 1).await;
    set.add("did:web:b.example").unwrap();
    let _held = connection;
    let mut connection = host.accept().await;
    for part in ["dids=did:web:b.example", "cursor=8"] {
        assert!(connection.uri.contains(part), "{}", connection.uri);
    }
    connection.send([&message(8), &message(9)]).await;
    run.until("another", |it| it.bounds().events() == 2).await;
    assert_eq!(run.jetstream.snapshot().repeated, 0);
    run.stop().await;
}

#[tokio::test]
async fn a_set_that_is_too_large_is_applied_here_alone() {
    let host = Host::start().await;
    let set = DidSet::new();
    let many = (0..10_001).map(|number| format!("did:web:m{number}.example"));
    set.add_all(many).unwrap();
    let builder = Jetstream::builder().jetstream(host.url());
    let run = Run::start(
        builder
            .jetstream_options(options(Protocol::V1))
            .ingest_filter(Filter::new().did_set(set)),
    );
    let mut connection = host.accept().await;
    assert!(!connection.uri.contains("wantedDids"), "{}", connection.uri);
    connection
        .send([&of_account("a", 1), &of_account("m7", 2)])
        .await;
    run.until("an event", |it| it.bounds().events() == 1).await;
    assert_eq!(run.jetstream.snapshot().rejected, 1);
    run.stop().await;
}

/// Lines of version 1, without a socket.
struct Lines(Vec<String>);

impl Source for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }

    async fn run(&mut self, handle: SourceHandle) -> Result<(), Box<dyn Error + Send + Sync>> {
        let last = self.0.len() as u64;
        for (number, line) in (1..).zip(&self.0) {
            let event = ClientEvent::parse(Protocol::V1, line.clone());
            handle.events(vec![event.unwrap()], Some(number)).await?;
        }
        handle.events(Vec::new(), Some(last + 1)).await?;
        Ok(())
    }
}

async fn checked(lines: Vec<String>) -> Run {
    let last = lines.len() as u64 + 1;
    let builder = Jetstream::builder().source(Lines(lines));
    let options = JetstreamOptions::new().check_cids(true);
    let run = Run::start(builder.jetstream_options(options));
    run.until("all of it", |it| it.source_cursor("lines") == Some(last))
        .await;
    run
}

#[tokio::test]
async fn the_records_of_production_match_their_cids() {
    let Some(corpus) = jetwash_corpus::corpus("records and their CIDs") else {
        return;
    };
    for (file, unchecked) in [
        ("events/golden_v1.jsonl", 0),
        ("firehose-2026-07-04/expected_v1.jsonl", 0),
        ("events/events_v1_from_repos.jsonl.zst", 0),
    ] {
        let lines = corpus.lines(file);
        let records = lines
            .iter()
            .filter(|line| line.contains(r#""record":"#))
            .count() as u64;
        assert!(records > 0);
        let run = checked(lines.clone()).await;
        let snapshot = run.jetstream.snapshot();
        assert!(
            snapshot.dropped.is_empty(),
            "{file}: {:?}",
            snapshot.dropped
        );
        let count = |name| snapshot.verdicts.get(name).copied().unwrap_or_default();
        assert_eq!(count("unresolved"), records - unchecked, "{file}");
        assert_eq!(count("unchecked"), unchecked, "{file}");
        assert_eq!(snapshot.events, lines.len() as u64, "{file}");
        run.stop().await;
    }
}

#[tokio::test]
async fn a_record_that_is_not_what_its_cid_names_is_dropped_and_counted() {
    // The CIDs are those of `{}`, of the byte a0, as DAG-CBOR and as raw bytes.
    let (cid, raw) = (
        "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua",
        "bafkreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua",
    );
    let line = |rkey: &str, record: &str, cid: &str| {
        format!(
            r#"{{"did":"did:web:a.example","time_us":1,"kind":"commit","commit":{{"rev":"3l3qo2vutsw2b","operation":"create","collection":"a.b.c","rkey":"{rkey}","record":{record},"cid":"{cid}"}}}}"#
        )
    };
    let run = checked(vec![
        line("true", "{}", cid),
        line("forged", r#"{"text":"no"}"#, cid),
        line("raw", "{}", raw),
        line("float", r#"{"a":1.5}"#, cid),
        line("large", r#"{"a":1e999}"#, cid),
        deletion(1),
    ])
    .await;
    let snapshot = run.jetstream.snapshot();
    let dropped: Vec<_> = snapshot.dropped.into_iter().collect();
    assert_eq!(dropped, [("record_cid_mismatch", 2), ("record_json", 1)]);
    let verdicts: Vec<_> = snapshot.verdicts.into_iter().collect();
    assert_eq!(verdicts, [("unchecked", 1), ("unresolved", 1)]);
    let events = take(&run.jetstream, StartFrom::Oldest, Filter::new(), 3).await;
    let verdicts: Vec<_> = events.iter().map(|event| event.verdict()).collect();
    assert_eq!(verdicts, [Some(Verdict::Unresolved), None, None]);
    run.stop().await;
}
