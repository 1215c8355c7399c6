//! The page for people who look: its JSON, its stream, and who may have them.

use std::net::SocketAddr;
use std::time::Duration;

use jetwash::Jetstream;
use jetwash::store::Retention;
use jetwash_serve::{HttpLimits, ServeOptions, StatusPage, StatusPageOptions, serve_http};
use jetwash_sim::{ManualNetwork, SimChange, did};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::client::http;
use crate::log::{World, soon};

/// A page of a world, on a socket of its own.
struct Looked {
    address: SocketAddr,
    page: StatusPage,
    serving: JoinHandle<()>,
}

impl Looked {
    async fn at(world: &World, options: StatusPageOptions) -> Self {
        let page = StatusPage::new(&world.server, options);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = HttpLimits::default();
        let serving = serve_http(listener, page.router(), limits, std::future::pending());
        let serving = tokio::spawn(async { serving.await.unwrap() });
        Self {
            address,
            page,
            serving,
        }
    }

    async fn get(&self, path: &str, headers: &str) -> (String, String) {
        let host = if headers.contains("Host:") {
            ""
        } else {
            "Host: localhost\r\n"
        };
        let request = format!("GET {path} HTTP/1.1\r\n{host}Connection: close\r\n{headers}\r\n");
        http(self.address, &request).await
    }

    async fn status(&self) -> Value {
        let (head, body) = self.get("/page/status.json", "").await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        serde_json::from_str(&body).unwrap()
    }

    /// Asks until the status, which may be a second old, is as expected.
    async fn until(&self, is_expected: impl Fn(&Value) -> bool) -> Value {
        soon(async {
            loop {
                let status = self.status().await["status"].take();
                if is_expected(&status) {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await
    }

    async fn live(&self, query: &str, headers: &str) -> Stream {
        Stream::open(self.address, query, headers).await
    }
}

impl Drop for Looked {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A viewer, as the HTML standard says how messages are read.
struct Stream {
    lines: Lines<BufReader<TcpStream>>,
    head: String,
}

#[derive(Debug)]
struct Message {
    id: u64,
    name: String,
    data: Value,
}

impl Stream {
    async fn open(address: SocketAddr, query: &str, headers: &str) -> Self {
        let mut stream = soon(TcpStream::connect(address)).await.unwrap();
        // A client of version 1.0 gets the stream without chunks.
        let request = format!("GET /page/live{query} HTTP/1.0\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut lines = BufReader::new(stream).lines();
        let mut head = String::new();
        while let Some(line) = soon(lines.next_line())
            .await
            .unwrap()
            .filter(|line| !line.is_empty())
        {
            head.push_str(&line);
            head.push('\n');
        }
        Self { lines, head }
    }

    /// The next message; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Message> {
        let (mut id, mut name, mut data) = (None, None, None);
        while let Some(line) = soon(self.lines.next_line()).await.unwrap() {
            match line.split_once(": ") {
                Some(("id", text)) => id = Some(text.parse().unwrap()),
                Some(("event", text)) => name = Some(text.to_owned()),
                Some(("data", text)) => data = Some(serde_json::from_str(text).unwrap()),
                Some(("retry", text)) => assert_eq!(text, "1000"),
                Some(other) => panic!("{other:?}"),
                None if data.is_some() => {
                    return Some(Message {
                        id: id.unwrap(),
                        name: name.unwrap(),
                        data: data.unwrap(),
                    });
                }
                None => {}
            }
        }
        None
    }

    /// The next message of a name.
    async fn named(&mut self, name: &str) -> Message {
        loop {
            let message = self.next().await.expect("the stream has ended");
            if message.name == name {
                return message;
            }
        }
    }

    /// The positions of the next events.
    async fn seqs(&mut self, count: usize) -> Vec<u64> {
        let mut seqs = Vec::new();
        while seqs.len() < count {
            let message = self.named("event").await;
            assert_eq!(message.data["seq"], json!(message.id));
            seqs.push(message.id);
        }
        seqs
    }
}

fn has(value: &Value, names: &[&str]) {
    let object = value
        .as_object()
        .unwrap_or_else(|| panic!("{value} is no object"));
    let mut names = names.to_vec();
    names.sort_unstable();
    let mut found: Vec<_> = object.keys().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(found, names, "{value}");
}

/// The fields that `docs/page.md` lists between two headings, each at the start of a row.
fn documented(from: &str, to: &str) -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/page.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once(from).unwrap();
    let (section, _) = rest.split_once(to).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split('`').next().unwrap().to_owned())
        .collect()
}

/// The paths of all values, with `[]` for those of an array; maps of counts are one value.
fn paths(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !COUNTS.contains(&at) => {
            for (name, value) in fields {
                let path = if at.is_empty() {
                    name.clone()
                } else {
                    format!("{at}.{name}")
                };
                paths(value, &path, found);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for item in items {
                paths(item, &format!("{at}[]"), found);
            }
        }
        _ => found.push(at.to_owned()),
    }
}

const COUNTS: [&str; 6] = [
    "totals.reconnects",
    "losses.dropped",
    "losses.invalid",
    "losses.gaps",
    "losses.panics",
    "verdicts",
];

#[tokio::test]
async fn the_status_has_the_fields_that_the_docs_list() {
    let builder = Jetstream::builder().relay("ws://127.0.0.1:9");
    let world = World::start_with(builder, ServeOptions::default()).await;
    let _client = world.subscribe("wantedCollections=app.bsky.feed.*").await;
    let consumer = world
        .jetstream
        .consumer("hangs")
        .stuck_after(Duration::from_millis(10));
    let hangs = consumer.run(|_| std::future::pending::<Result<(), std::io::Error>>());
    let hanging = tokio::spawn(async { hangs.await.unwrap() });
    world.push(50).await;
    let looked = Looked::at(&world, StatusPageOptions::default()).await;
    let status = looked
        .until(|status| {
            let consumer = &status["consumers"][0];
            consumer["stuck"][0].is_object() && consumer["held_by"].is_object()
        })
        .await;
    let mut found = Vec::new();
    paths(&status, "", &mut found);
    found.sort_unstable();
    found.dedup();
    let mut listed = documented("## The status", "## The samples");
    listed.sort_unstable();
    assert_eq!(found, listed);
    hanging.abort();
}

#[tokio::test]
async fn the_status_says_what_the_log_and_its_readers_have() {
    let world = World::with(50).await;
    let mut client = world
        .subscribe("wantedCollections=app.bsky.feed.post&cursor=1")
        .await;
    client.settle().await;
    let day = Some(Duration::from_secs(24 * 3600));
    let retention = Retention {
        max_age: day,
        max_bytes: None,
    };
    world.jetstream.set_retention(retention).unwrap();
    let looked = Looked::at(&world, StatusPageOptions::default()).await;
    let events = world.events();
    let last = events.last().unwrap();
    let status = looked
        .until(|status| status["subscribers"]["listed"][0]["seq"] == json!(last.seq + 1))
        .await;
    let log = &status["log"];
    assert_eq!(log["oldest_seq"], json!(1));
    assert_eq!(log["next_seq"], json!(last.seq + 1));
    assert_eq!(log["newest_time_us"], json!(last.time_us));
    assert_eq!(log["oldest_time_us"], json!(events[0].time_us));
    assert_eq!(log["events"], json!(events.len()));
    // The events are as old as the test is.
    let left = log["hours_left"].as_f64().unwrap();
    assert!((23.9..=24.0).contains(&left), "{left}");
    let posts = world.log().into_iter();
    let posts =
        posts.filter(|entry| !entry.is_commit() || entry.collection == "app.bsky.feed.post");
    let lines: Vec<_> = posts.map(|entry| entry.json).collect();
    let one = &status["subscribers"]["listed"][0];
    assert_eq!(one["events"], json!(lines.len()));
    assert_eq!(
        one["bytes"],
        json!(lines.iter().map(String::len).sum::<usize>())
    );
    assert_eq!(
        (&one["lag_events"], &one["lag_s"]),
        (&json!(0), &json!(0.0))
    );
    assert_eq!(one["filter"]["collections"], json!(["app.bsky.feed.post"]));
    assert_eq!(
        (&one["format"], &one["compression"]),
        (&json!("v1"), &json!("none"))
    );
    assert_eq!(status["totals"]["delivered_events"], json!(lines.len()));
    let of = |name: &str| {
        events
            .iter()
            .filter(|entry| entry.collection == name)
            .count()
    };
    let rates = status["collections"]["rates"].as_array().unwrap();
    let seconds = status["collections"]["seconds"].as_f64().unwrap();
    for rate in rates
        .iter()
        .filter(|rate| !rate["name"].as_str().unwrap().starts_with('#'))
    {
        let expected = of(rate["name"].as_str().unwrap()) as f64 / seconds;
        let found = rate["rate"].as_f64().unwrap();
        assert!(
            (found - expected).abs() < 0.06 + expected / 10.0,
            "{rate}: {expected}"
        );
    }
    drop(client);
    let status = looked
        .until(|status| status["subscribers"]["count"] == json!(0))
        .await;
    assert_eq!(status["totals"]["delivered_events"], json!(lines.len()));
}

#[tokio::test]
async fn addresses_of_subscribers_are_shown_only_where_that_is_allowed() {
    for (hides, shows, expected) in [
        (false, false, Value::Null),
        (false, true, json!("127.0.0.1")),
        (true, true, Value::Null),
    ] {
        let world = World::start(ServeOptions::default().hide_addresses(hides), None).await;
        let _client = world.subscribe("").await;
        let looked = Looked::at(&world, StatusPageOptions::default().show_addresses(shows)).await;
        let status = looked
            .until(|status| status["subscribers"]["count"] == json!(1))
            .await;
        assert_eq!(status["subscribers"]["listed"][0]["address"], expected);
        assert_eq!(
            status.to_string().contains("127.0.0.1"),
            !expected.is_null()
        );
    }
}

#[tokio::test]
async fn answers_are_strict_and_never_kept() {
    let world = World::with(1).await;
    let looked = Looked::at(&world, StatusPageOptions::default()).await;
    let (page, body) = looked.get("/", "").await;
    let (status, _) = looked.get("/page/status.json", "").await;
    let live = looked.live("", "").await.head.to_ascii_lowercase();
    for head in [&page, &status, &live] {
        assert!(head.contains(" 200 "), "{head}");
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
        assert!(head.contains("cache-control: no-store"), "{head}");
        assert!(!head.contains("cookie"), "{head}");
        assert!(!head.contains("access-control"), "{head}");
    }
    assert!(live.contains("content-type: text/event-stream"), "{live}");
    let policy = page
        .lines()
        .find_map(|line| line.strip_prefix("content-security-policy: "));
    let policy = policy.unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'sha256-"),
        "{policy}"
    );
    assert!(
        !policy.contains("unsafe") && !policy.contains("http"),
        "{policy}"
    );
    // Nothing is loaded from elsewhere, and no text becomes markup.
    for word in [
        "src=",
        "@import",
        "innerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
    ] {
        assert!(!body.contains(word), "{word}");
    }
    let (head, _) = http(
        looked.address,
        "POST /page/status.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(
        head.starts_with("http/1.1 405") || head.starts_with("http/1.1 421"),
        "{head}"
    );
}

#[tokio::test]
async fn pages_of_others_get_nothing() {
    let world = World::with(1).await;
    let options = StatusPageOptions::default().host("Status.Example");
    let looked = Looked::at(&world, options).await;
    for (headers, expected) in [
        ("Host: status.example\r\n", "200"),
        ("Host: 192.0.2.1:6009\r\n", "200"),
        ("Host: rebound.example\r\n", "421"),
        (
            "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\n",
            "403",
        ),
        (
            "Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: no-cors\r\n",
            "403",
        ),
        (
            "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n",
            "403",
        ),
        (
            "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n",
            "200",
        ),
        (
            "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\n",
            "200",
        ),
        (
            "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\n",
            "200",
        ),
    ] {
        let (head, _) = looked.get("/page/status.json", headers).await;
        assert!(
            head.starts_with(&format!("http/1.1 {expected}")),
            "{headers}: {head}"
        );
    }
    assert_eq!(looked.page.viewers(), 0);
}

#[tokio::test]
async fn the_stream_has_the_newest_events_and_continues_where_it_was() {
    let world = World::with(10).await;
    let looked = Looked::at(&world, StatusPageOptions::default()).await;
    let lines = world.events();
    let mut stream = looked.live("", "").await;
    let first = stream.named("event").await;
    has(
        &first.data,
        &["seq", "bytes", "verdict", "did", "collection", "event"],
    );
    let line: Value = serde_json::from_str(&lines[first.id as usize - 1].json).unwrap();
    assert_eq!(first.data["event"], line);
    assert_eq!(first.data["did"], line["did"]);
    let status = stream.named("status").await;
    assert_eq!(status.id, lines.last().unwrap().seq);
    assert_eq!(status.data["log"]["next_seq"], json!(status.id + 1));
    drop(stream);

    let before = world.events().len() as u64;
    world.push(5).await;
    let new: Vec<_> = (before + 1..=world.events().len() as u64).collect();
    let resumed = format!("Last-Event-ID: {before}\r\n");
    let mut stream = looked.live("", &resumed).await;
    assert_eq!(stream.seqs(new.len()).await, new);
    let mut stream = looked.live(&format!("?after={}", before + 1), "").await;
    assert_eq!(stream.seqs(new.len() - 1).await, new[1..]);
    // An identifier of another log, which was longer, begins anew.
    let mut stream = looked.live("", "Last-Event-ID: 1000000\r\n").await;
    assert!(stream.named("event").await.id <= world.events().len() as u64);
}

#[tokio::test]
async fn a_stream_shows_a_few_events_and_counts_the_others() {
    let world = World::with(400).await;
    let options = StatusPageOptions::default().max_tail_rate(7);
    let looked = Looked::at(&world, options).await;
    let events = world.events();
    let all = events.len() as u64;
    let mut stream = looked.live("", "Last-Event-ID: 0\r\n").await;
    assert_eq!(stream.seqs(7).await, (all - 6..=all).collect::<Vec<_>>());
    let over = stream.named("passed").await;
    assert_eq!(
        over.data,
        json!({"passed": all - 7, "unread": 0, "gaps": 0})
    );

    // Of those that are too many, not even the index is looked at.
    while world.events().len() < 5_000 {
        world.push(1_000).await;
    }
    let all = world.events().len() as u64;
    let mut stream = looked
        .live("?collection=app.bsky.feed.post", "Last-Event-ID: 10\r\n")
        .await;
    let over = stream.named("passed").await;
    assert_eq!(over.data["unread"], json!(all - 10 - 2_048));
    let posts = world.events().into_iter().skip(all as usize - 2_048);
    let posts = posts
        .filter(|entry| entry.collection == "app.bsky.feed.post")
        .count() as u64;
    assert_eq!(over.data["passed"], json!(posts - 7));
}

#[tokio::test]
async fn a_stream_has_what_its_filter_matches() {
    let world = World::with(300).await;
    let looked = Looked::at(&world, StatusPageOptions::default().max_tail_rate(1_000)).await;
    let events = world.events();
    let recent = &events[events.len().saturating_sub(512)..];
    let did = &recent[recent.len() / 2].did;
    let word = "app.bsky.feed.post/";
    let cases: [(String, Vec<u64>); 4] = [
        (
            "?collection=app.bsky.graph.*".to_owned(),
            seqs(recent, |entry| {
                entry.collection.starts_with("app.bsky.graph.")
            }),
        ),
        (
            format!("?did={did}"),
            seqs(recent, |entry| entry.did == *did),
        ),
        (
            format!("?text={}", word.to_uppercase()),
            seqs(recent, |entry| entry.json.contains(word)),
        ),
        (
            format!("?collection=app.bsky.feed.like&did={did}&text=CREATE"),
            seqs(recent, |entry| {
                entry.collection == "app.bsky.feed.like"
                    && entry.did == *did
                    && entry.json.contains(r#""create""#)
            }),
        ),
    ];
    for (query, expected) in cases {
        let mut stream = looked.live(&query, "").await;
        let mut found = Vec::new();
        loop {
            let message = stream.next().await.unwrap();
            match message.name.as_str() {
                "event" => found.push(message.id),
                "status" => break,
                other => panic!("{other}"),
            }
        }
        assert_eq!(found, expected, "{query}");
    }
    for (query, reason) in [
        ("?collection=posts", "neither a collection"),
        ("?did=x", "not a DID"),
    ] {
        let (head, body) = looked.get(&format!("/page/live{query}"), "").await;
        assert!(head.starts_with("http/1.1 400"), "{head}");
        assert!(body.contains(reason), "{body}");
    }
}

fn seqs(entries: &[crate::log::Entry], is_wanted: impl Fn(&crate::log::Entry) -> bool) -> Vec<u64> {
    let wanted = entries.iter().filter(|entry| is_wanted(entry));
    wanted.map(|entry| entry.seq).collect()
}

#[tokio::test]
async fn viewers_are_limited_and_leave_their_seats() {
    let world = World::with(1).await;
    let looked = Looked::at(&world, StatusPageOptions::default().max_viewers(2)).await;
    let mut first = looked.live("", "").await;
    let mut second = looked.live("", "").await;
    first.named("status").await;
    second.named("status").await;
    assert_eq!(looked.page.viewers(), 2);
    let (head, body) = looked.get("/page/live", "").await;
    assert!(head.starts_with("http/1.1 503"), "{head}");
    assert!(head.contains("retry-after: 10"), "{head}");
    assert_eq!(body, "2 viewers are the most\n");
    let viewers = looked
        .until(|status| status["viewers"]["refused"] == json!(1))
        .await;
    assert_eq!(
        viewers["viewers"],
        json!({"count": 2, "most": 2, "refused": 1})
    );
    drop(first);
    looked
        .until(|status| status["viewers"]["count"] == json!(1))
        .await;
    let third = looked.live("", "").await;
    assert!(third.head.contains(" 200 "), "{}", third.head);
}

#[tokio::test]
async fn a_stream_ends_in_time_and_with_the_log() {
    let world = World::with(1).await;
    let options = StatusPageOptions::default().stream_time(Duration::from_millis(600));
    let looked = Looked::at(&world, options).await;
    let mut stream = looked.live("", "").await;
    while stream.next().await.is_some() {}
    drop(looked);

    let looked = Looked::at(&world, StatusPageOptions::default()).await;
    let mut stream = looked.live("", "").await;
    stream.named("status").await;
    world.end().await;
    while stream.next().await.is_some() {}
}

#[tokio::test]
async fn hostile_text_stays_text() {
    let world = World::start(ServeOptions::default(), None).await;
    let texts = [
        "</script><script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "\n\nevent: status\ndata: {}\n\nid: 9999\n",
        "\r\r\u{2028}\u{2029}\u{0}\u{7f}\u{202e}\"\\",
    ];
    let mut network = ManualNetwork::new();
    let mut frames = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        let post = json!({"$type": "app.bsky.feed.post", "text": text, "createdAt": "2026-01-01T00:00:00Z"});
        let change = SimChange::create(did(0), "app.bsky.feed.post", &number.to_string(), post);
        frames.push(network.apply(&change).unwrap().bytes.to_vec());
    }
    world.push_frames(frames, texts.len() as u64).await;
    let looked = Looked::at(&world, StatusPageOptions::default()).await;
    let mut stream = looked.live("?collection=app.bsky.feed.post", "").await;
    for text in texts {
        let message = stream.next().await.unwrap();
        assert_eq!(message.name, "event");
        assert_eq!(
            message.data["event"]["commit"]["record"]["text"],
            json!(text)
        );
    }
    assert_eq!(stream.next().await.unwrap().name, "status");
    // On the wire nothing looks like markup either.
    let mut raw = soon(TcpStream::connect(looked.address)).await.unwrap();
    raw.write_all(b"GET /page/live HTTP/1.0\r\n\r\n")
        .await
        .unwrap();
    let mut lines = BufReader::new(raw).lines();
    loop {
        let line = soon(lines.next_line()).await.unwrap().unwrap();
        assert!(!line.contains('<'), "{line}");
        if line == "event: status" {
            break;
        }
    }
}
