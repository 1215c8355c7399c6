//! A cache that is filled from the export of a directory.

use std::path::Path;

use jetwash_event::Did;
use jetwash_identity::{Budget, ExportError, ExportFollower, FileCache, Identities, ResolveError};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::server::{Reply, Server, ok, response, status};
use crate::{HOUR, SECOND, TestClock, document_at, key_of, options, plc, reopen, until};

const OLD: &str = "2022-11-17T01:07:13.996Z";
/// The time of the test clock when it starts.
const NOW: &str = "2026-07-04T14:38:08.085Z";

fn line(seq: u64, did: &Did, at: &str, operation: &Value) -> String {
    let line = json!({
        "type": "sequenced_op", "seq": seq, "did": did, "createdAt": at, "cid": "bafy",
        "nullified": false, "operation": operation,
    });
    format!("{line}\n")
}

fn operation(key: &str) -> Value {
    json!({
        "type": "plc_operation",
        "verificationMethods": { "atproto": format!("did:key:z{key}") },
        "alsoKnownAs": ["at://alice.test"],
        "services": { "atproto_pds": {
            "type": "AtprotoPersonalDataServer", "endpoint": "https://pds.test",
        } },
    })
}

fn tombstone() -> Value {
    json!({ "type": "plc_tombstone" })
}

/// The service and its follower, until it is stopped.
struct Following {
    identities: Identities,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Following {
    fn start(server: &Server, clock: &TestClock, path: &Path) -> Self {
        let disk = reopen(path, 1 << 20);
        let options = options(server).clock(clock.clone()).disk(disk);
        let identities = options.start().unwrap();
        let follower = ExportFollower::new(&identities, &server.url()).unwrap();
        let follower = follower.budget(Budget::new(1000, SECOND)).start_at_oldest();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(follower.run(async {
            let _ = stopped.await;
        }));
        Self {
            identities,
            stop,
            task,
        }
    }

    async fn exported(&self, count: u64) {
        until(|| self.identities.snapshot().exported == count).await;
    }

    async fn key(&self, number: usize) -> Result<String, ResolveError> {
        let document = self.identities.resolve(&plc(number)).await?;
        Ok(key_of(&document).to_owned())
    }

    async fn stop(self, path: &Path) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
        drop(self.identities);
        until(|| FileCache::open(path, 1 << 20).is_ok()).await;
    }
}

/// The requests for single documents.
fn look_ups(server: &Server) -> usize {
    let asked = server.asked();
    asked
        .iter()
        .filter(|path| path.starts_with("/did:"))
        .count()
}

#[tokio::test]
async fn pages_and_then_the_stream_fill_the_cache_and_no_look_up_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identities");
    let server = Server::start(|path, _| match path {
        "/export?count=1000&after=0" => ok(&[
            line(1, &plc(1), OLD, &operation("a")),
            line(2, &plc(2), OLD, &operation("b")),
            line(5, &plc(1), OLD, &operation("c")),
        ]
        .concat()),
        "/export?count=1000&after=5" => ok(""),
        "/export/stream?cursor=5" => {
            Reply::Stream(vec![line(6, &plc(3), NOW, &operation("d"))], None)
        }
        _ => status(404),
    })
    .await;
    let clock = TestClock::new();
    let following = Following::start(&server, &clock, &path);
    following.exported(4).await;
    until(|| server.asked().len() == 3).await;
    for (number, key) in [(1, "c"), (2, "b"), (3, "d")] {
        assert_eq!(following.key(number).await.unwrap(), key);
    }
    assert_eq!(look_ups(&server), 0);
    // One that the export never had is looked up.
    following.key(4).await.unwrap_err();
    assert_eq!(look_ups(&server), 1);
}

#[tokio::test]
async fn a_follower_goes_on_where_it_was_and_what_it_missed_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identities");
    let server = Server::start(|path, number| match (path, number) {
        ("/export?count=1000&after=0", _) => ok(&line(7, &plc(1), OLD, &operation("a"))),
        ("/export?count=1000&after=7", 0..3) => ok(""),
        ("/export?count=1000&after=7", _) => ok(&line(8, &plc(1), NOW, &operation("b"))),
        ("/export?count=1000&after=8", _) => ok(""),
        (path, _) if path.starts_with("/export/stream") => Reply::Stream(Vec::new(), None),
        _ => status(404),
    })
    .await;
    let clock = TestClock::new();
    let first = Following::start(&server, &clock, &path);
    until(|| server.count() == 3).await;
    assert_eq!(first.key(1).await.unwrap(), "a");
    first.stop(&path).await;
    clock.advance(100 * HOUR);
    let second = Following::start(&server, &clock, &path);
    until(|| server.count() == 6).await;
    assert_eq!(second.key(1).await.unwrap(), "b");
    assert_eq!(server.asked()[3], "/export?count=1000&after=7");
    assert_eq!(server.asked()[5], "/export/stream?cursor=8");
    assert_eq!(look_ups(&server), 0);
}

#[tokio::test]
async fn an_operation_replaces_what_memory_knows_and_a_tombstone_removes_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identities");
    let (open, gate) = tokio::sync::watch::channel(false);
    let server = Server::start(move |path, _| match path {
        path if path.starts_with("/export/stream") => {
            let lines = vec![
                line(1, &plc(1), NOW, &operation("b")),
                line(2, &plc(2), NOW, &tombstone()),
                line(3, &plc(3), OLD, &operation("old")),
                line(4, &plc(4), NOW, &json!({ "type": "novelty" })),
            ];
            Reply::After(gate.clone(), Box::new(Reply::Stream(lines, None)))
        }
        path if path.starts_with("/export") => ok(""),
        path if path.ends_with(plc(2).as_ref()) && *gate.borrow() => status(410),
        path => ok(&document_at(path, "a")),
    })
    .await;
    let following = Following::start(&server, &TestClock::new(), &path);
    for number in 1..=4 {
        assert_eq!(following.key(number).await.unwrap(), "a");
    }
    open.send_replace(true);
    following.exported(3).await;
    until(|| following.identities.cached(&plc(2)).is_none()).await;
    assert_eq!(following.key(1).await.unwrap(), "b");
    let gone = ResolveError::Tombstoned { did: plc(2) };
    assert_eq!(following.key(2).await, Err(gone));
    // An old operation, of before the look-up, does not replace it.
    assert_eq!(following.key(3).await.unwrap(), "a");
    assert_eq!(following.key(4).await.unwrap(), "a");
}

#[tokio::test]
async fn documents_do_not_grow_old_while_the_export_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identities");
    let server = Server::start(|path, number| match path {
        "/export?count=1000&after=0" => ok(&line(1, &plc(1), OLD, &operation("a"))),
        path if path.starts_with("/export/stream") => Reply::Stream(Vec::new(), Some("Restart")),
        path if path.starts_with("/export") => Reply::Send(response(200, "", "")),
        _ => panic!("request {number} for {path}"),
    })
    .await;
    let clock = TestClock::new();
    let following = Following::start(&server, &clock, &path);
    // Each round of pages says anew that there was nothing.
    for _ in 0..3 {
        let asked = server.count();
        until(|| server.count() >= asked + 3).await;
        assert_eq!(following.key(1).await.unwrap(), "a");
        clock.advance(HOUR / 2);
    }
}

#[tokio::test]
async fn trouble_is_counted_and_followed_by_another_try() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identities");
    let none = "Retry-After: 0\r\n";
    let server = Server::start(move |path, number| match number {
        0 => Reply::Send(response(500, none, "")),
        1 => Reply::Send(response(200, "", "no JSON\n{}\n")),
        2 => ok(&["half a li", &line(9, &plc(1), OLD, &operation("a"))].join("\n")),
        3 => ok(""),
        4 => Reply::Stream(Vec::new(), Some("OutdatedCursor")),
        5 => ok(&line(10, &plc(1), OLD, &operation("b"))),
        6 => ok(""),
        7 => Reply::Send(response(200, "", "no websocket")),
        8 => ok(""),
        9 => Reply::Stream(Vec::new(), Some("FutureCursor")),
        10 => Reply::Stream(vec![line(3, &plc(1), NOW, &operation("c"))], None),
        _ => panic!("{path}"),
    })
    .await;
    let following = Following::start(&server, &TestClock::new(), &path);
    following.exported(3).await;
    let expected = [
        "?count=1000&after=0",
        "?count=1000&after=0",
        "?count=1000&after=0",
        "?count=1000&after=9",
        "/stream?cursor=9",
        "?count=1000&after=9",
        "?count=1000&after=10",
        "/stream?cursor=10",
        "?count=1000&after=10",
        "/stream?cursor=10",
        "/stream",
    ];
    let asked = server.asked();
    let asked: Vec<&str> = asked.iter().map(|path| &path["/export".len()..]).collect();
    assert_eq!(asked, expected);
    // The 500, two lines and their page, half a line, no websocket, and a cursor ahead.
    assert_eq!(following.identities.snapshot().export_failures, 7);
}

#[tokio::test]
async fn a_page_without_end_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identities");
    let server = Server::start(|_, number| match number {
        0 => Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 1 << 16]),
        _ => Reply::Silent,
    })
    .await;
    let following = Following::start(&server, &TestClock::new(), &path);
    until(|| server.count() == 2).await;
    assert_eq!(following.identities.snapshot().export_failures, 1);
    following.stop(&path).await;
}

#[tokio::test]
async fn an_export_needs_a_disk_and_a_web_address() {
    let server = Server::start(|_, _| status(404)).await;
    let memory = options(&server).start().unwrap();
    let error = ExportFollower::new(&memory, &server.url()).unwrap_err();
    assert_eq!(error, ExportError::NoDisk);
    let folder = tempfile::tempdir().unwrap();
    let disk = FileCache::open(folder.path().join("identities"), 8192).unwrap();
    let identities = options(&server).disk(disk).start().unwrap();
    for url in ["ftp://plc.test", "plc.test", "https://plc.test?a=b"] {
        let error = ExportFollower::new(&identities, url).unwrap_err();
        assert_eq!(
            error,
            ExportError::Directory {
                url: url.to_owned()
            }
        );
    }
}
