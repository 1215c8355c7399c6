//! The whole way, from a relay's frames to what an app is answered.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use feed_generator::{Identity, Index, Rule, follow, router};
use jetwash::Jetstream;
use jetwash::testing::{ManualNetwork, SimChange, did};
use jetwash_sim::{ScriptedConnection, ScriptedRelay};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const POST: &str = "app.bsky.feed.post";
const FEED: &str = "at://did:web:feed.example/app.bsky.feed.generator/coffee";

/// A feed generator that follows a scripted relay, stopped when dropped.
struct Feed {
    address: SocketAddr,
    index: Arc<Index>,
    _tasks: JoinSet<()>,
}

impl Feed {
    async fn start(relay: &ScriptedRelay, folder: &Path) -> Self {
        let (jetstream, ingest) = Jetstream::builder()
            .relay(relay.url())
            .folder(folder.join("log"))
            .build()
            .unwrap();
        let index = Arc::new(Index::open(Some(&folder.join("feed.db"))).unwrap());
        let rule = Arc::new(Rule::new(["coffee"], ["en"]));
        let identity = Identity {
            hostname: "feed.example".to_owned(),
            publisher: "did:web:feed.example".to_owned(),
            name: "coffee".to_owned(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        let router = router(Arc::clone(&index), identity);
        tasks.spawn(async { axum::serve(listener, router).await.unwrap() });
        let run = ingest.run(std::future::pending());
        tasks.spawn(async { run.await.unwrap() });
        let followed = Arc::clone(&index);
        tasks.spawn(async move { follow(&jetstream, followed, rule).await.unwrap() });
        Self {
            address,
            index,
            _tasks: tasks,
        }
    }

    /// Waits until the index has taken in `events`.
    async fn until(&self, events: u64) {
        while self.index.cursor().unwrap().map(jetwash::Cursor::get) != Some(events) {
            tokio::task::yield_now().await;
        }
    }

    /// Status and body of an answer.
    async fn get(&self, path: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (
            head[9..12].parse().unwrap(),
            serde_json::from_str(body).unwrap(),
        )
    }

    /// The keys of the posts in the feed, and the cursor.
    async fn skeleton(&self, query: &str) -> (Vec<String>, Option<String>) {
        let path = format!("/xrpc/app.bsky.feed.getFeedSkeleton?feed={FEED}{query}");
        let (status, body) = self.get(&path).await;
        assert_eq!(status, 200, "{body}");
        let key = |post: &Value| {
            let uri = post["post"].as_str().unwrap();
            uri.rsplit('/').next().unwrap().to_owned()
        };
        let posts = body["feed"].as_array().unwrap();
        let cursor = body["cursor"].as_str().map(str::to_owned);
        (posts.iter().map(key).collect(), cursor)
    }

    async fn keys(&self) -> String {
        self.skeleton("").await.0.join(" ")
    }
}

fn post(account: u64, rkey: &str, text: &str) -> SimChange {
    let record = json!({"$type": POST, "text": text, "langs": ["en"]});
    SimChange::create(did(account), POST, rkey, record)
}

async fn send(
    connection: &mut ScriptedConnection,
    network: &mut ManualNetwork,
    changes: &[SimChange],
) {
    let frames = network.apply_all(changes).unwrap();
    let bytes = frames.into_iter().map(|frame| frame.bytes);
    connection.send(bytes).await.unwrap();
}

#[tokio::test]
async fn what_is_deleted_or_taken_down_is_not_shown_even_across_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = ScriptedRelay::start().await.unwrap();
    let mut network = ManualNetwork::new();
    let feed = Feed::start(&relay, folder.path()).await;
    let mut connection = relay.accept_at(None).await.unwrap();
    let danish = json!({"$type": POST, "text": "coffee", "langs": ["da"]});
    let changes = [
        post(0, "a", "More coffee!"),
        post(1, "b", "COFFEE"),
        post(2, "c", "coffee, please"),
        post(3, "d", "coffee?"),
        post(3, "e", "tea"),
        SimChange::create(did(3), POST, "f", danish),
        SimChange::create(did(3), "app.bsky.feed.like", "g", json!({"text": "coffee"})),
    ];
    send(&mut connection, &mut network, &changes).await;
    feed.until(7).await;
    assert_eq!(feed.keys().await, "d c b a");

    let edited = json!({"$type": POST, "text": "no more"});
    let changes = [
        SimChange::delete(did(0), POST, "a"),
        SimChange::account(did(1), false, Some("takendown")),
        SimChange::account(did(2), false, Some("deleted")),
        SimChange::update(did(3), POST, "d", edited),
        post(4, "h", "coffee again"),
    ];
    send(&mut connection, &mut network, &changes).await;
    feed.until(12).await;
    assert_eq!(feed.keys().await, "h");

    drop(feed);
    connection.until_closed().await;
    let feed = Feed::start(&relay, folder.path()).await;
    let mut connection = relay.accept_at(Some(12)).await.unwrap();
    let changes = [
        SimChange::account(did(1), true, None),
        SimChange::account(did(2), true, None),
        SimChange::account(did(4), false, Some("suspended")),
    ];
    send(&mut connection, &mut network, &changes).await;
    feed.until(15).await;
    // The first is back, the deleted is not.
    assert_eq!(feed.keys().await, "b");
}

#[tokio::test]
async fn posts_that_arrive_while_their_account_is_away_are_shown_when_it_returns() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = ScriptedRelay::start().await.unwrap();
    let mut network = ManualNetwork::new();
    let feed = Feed::start(&relay, folder.path()).await;
    let mut connection = relay.accept_at(None).await.unwrap();
    // As from a relay that is behind with one host and not with another.
    let changes = [
        SimChange::account(did(0), false, Some("suspended")),
        post(0, "a", "coffee, late"),
        post(1, "b", "coffee"),
    ];
    send(&mut connection, &mut network, &changes).await;
    feed.until(3).await;
    assert_eq!(feed.keys().await, "b");
    let back = [SimChange::account(did(0), true, None)];
    send(&mut connection, &mut network, &back).await;
    feed.until(4).await;
    assert_eq!(feed.keys().await, "b a");
}

#[test]
fn a_database_with_the_status_on_each_post_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("feed.db");
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(
        "CREATE TABLE post (uri TEXT PRIMARY KEY, did TEXT NOT NULL, time_us INTEGER NOT NULL,
             is_hidden INTEGER NOT NULL) WITHOUT ROWID;
         INSERT INTO post VALUES ('at://a', 'did:web:a', 1, FALSE), ('at://b', 'did:web:b', 2, TRUE);",
    )
    .unwrap();
    drop(old);
    for _ in 0..2 {
        let index = Index::open(Some(&path)).unwrap();
        assert_eq!(index.page(10, None).unwrap().posts, ["at://a"]);
    }
}

#[tokio::test]
async fn pages_follow_each_other_and_mistakes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = ScriptedRelay::start().await.unwrap();
    let feed = Feed::start(&relay, folder.path()).await;
    let mut connection = relay.accept().await.unwrap();
    let posts: Vec<_> = (0..5).map(|n| post(n, &n.to_string(), "coffee")).collect();
    send(&mut connection, &mut ManualNetwork::new(), &posts).await;
    feed.until(5).await;

    let (first, cursor) = feed.skeleton("&limit=3").await;
    assert_eq!(first, ["4", "3", "2"]);
    let next = format!("&limit=3&cursor={}", cursor.unwrap());
    assert_eq!(
        feed.skeleton(&next).await,
        (vec!["1".to_owned(), "0".to_owned()], None)
    );

    let path = "/xrpc/app.bsky.feed.getFeedSkeleton";
    let wrong = [
        (String::new(), "InvalidRequest"),
        (
            "?feed=at://did:web:feed.example/app.bsky.feed.generator/tea".to_owned(),
            "UnknownFeed",
        ),
        (format!("?feed={FEED}&limit=0"), "InvalidRequest"),
        (format!("?feed={FEED}&limit=101"), "InvalidRequest"),
        (format!("?feed={FEED}&cursor=x"), "InvalidRequest"),
    ];
    for (query, error) in wrong {
        let (status, body) = feed.get(&format!("{path}{query}")).await;
        assert_eq!(
            (status, body["error"].as_str()),
            (400, Some(error)),
            "{query}"
        );
    }

    let (_, described) = feed.get("/xrpc/app.bsky.feed.describeFeedGenerator").await;
    let expected = json!({"did": "did:web:feed.example", "feeds": [{"uri": FEED}]});
    assert_eq!(described, expected);
    let (_, document) = feed.get("/.well-known/did.json").await;
    assert_eq!(document["id"], "did:web:feed.example");
    assert_eq!(
        document["service"][0]["serviceEndpoint"],
        "https://feed.example"
    );
}
