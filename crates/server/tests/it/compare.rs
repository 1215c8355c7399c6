//! `compare`: a server with itself over a restart, and through a proxy that does harm.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::{accept_hdr_async, connect_async};

use crate::{Program, SERVER, command, get, prepare};

/// A comparison that runs until it is interrupted.
struct Comparison {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStderr>>,
}

impl Comparison {
    fn start(a: &str, b: &str) -> Self {
        let mut command = Command::new(SERVER);
        prepare(&mut command)
            .args(["compare", a, b, "--for=1h", "--warm-up=0s", "--json"])
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads what it says up to a line with `text`.
    fn until(&mut self, text: &str) {
        let found = self.lines.by_ref().map(Result::unwrap);
        let mut seen = Vec::new();
        for line in found {
            if line.contains(text) {
                return;
            }
            seen.push(line);
        }
        panic!("no line with {text:?}: {seen:#?}");
    }

    /// Interrupts it, and returns its exit code and its report.
    fn end(self) -> (Option<i32>, Value) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", "INT", &pid]).status();
        assert!(sent.unwrap().success());
        let output = self.child.wait_with_output().unwrap();
        let report = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), report)
    }
}

#[test]
fn a_server_equals_itself_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = format!("--data-dir={}", folder.path().display());
    let mut program = Program::start(&[&data, "--sim-rate=200"]);
    let url = program.url();
    let listen = url
        .trim_start_matches("ws://")
        .trim_end_matches("/subscribe");
    let mut comparison = Comparison::start(&url, listen);
    comparison.until("judging begins");
    assert!(program.stop().0);
    let mut program = Program::start(&[&data, "--sim-rate=200", &format!("--listen={listen}")]);
    assert_eq!(program.url(), url);
    for _ in 0..2 {
        comparison.until("connected again");
    }
    let (code, report) = comparison.end();
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["result"], "equal", "{report}");
    assert!(report["equal"].as_u64() > Some(0), "{report}");
    for side in ["a", "b"] {
        assert_eq!(report[side]["connections"], 2, "{report}");
    }
}

#[test]
fn a_server_sends_the_same_events_in_both_versions() {
    let mut program = Program::start(&["--sim-rate=200"]);
    let first = program.url();
    let base = first.strip_suffix("/subscribe").unwrap();
    let second = format!("{base}/xrpc/network.bsky.jetstream.subscribeEvents");
    let mut comparison = Comparison::start(&first, &second);
    comparison.until("judging begins");
    let status: Value =
        serde_json::from_str(&get(&program.metrics(), "/page/status.json")).unwrap();
    let listed = status["status"]["subscribers"]["listed"]
        .as_array()
        .unwrap();
    let mut wires: Vec<_> = listed
        .iter()
        .map(|it| it["format"].as_str().unwrap())
        .collect();
    wires.sort_unstable();
    assert_eq!(wires, ["v1", "v2"], "{status}");
    let (code, report) = comparison.end();
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["result"], "equal", "{report}");
    assert!(report["equal"].as_u64() > Some(0), "{report}");
}

/// The harm that a proxy does to one event.
#[derive(Clone, Copy)]
enum Harm {
    Drop,
    Change,
}

/// A Jetstream that hands on what another sends, but for a post that comes after it is `armed`: that
/// is dropped or changed. Returns its address; the line as it was is sent when others have followed.
async fn proxy(
    upstream: String,
    harm: Harm,
    armed: Arc<AtomicBool>,
) -> (String, tokio::sync::oneshot::Receiver<String>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, harmed) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut query = String::new();
        #[allow(clippy::result_large_err, reason = "the signature is the library's")]
        let look = |request: &Request, response: Response| {
            query = request.uri().query().unwrap_or_default().to_owned();
            Ok(response)
        };
        let mut down = accept_hdr_async(stream, look).await.unwrap();
        let url = format!("{upstream}?{query}");
        let (mut up, _) = connect_async(url).await.unwrap();
        let (mut count, mut sender, mut line) = (0, Some(sender), None);
        while let Some(Ok(mut message)) = up.next().await {
            let Message::Text(text) = &message else {
                continue;
            };
            count += usize::from(line.is_some());
            if count == FOLLOWING
                && let Some(sender) = sender.take()
            {
                sender.send(line.clone().unwrap()).unwrap();
            }
            let is_post =
                text.contains(r#""operation":"create","collection":"app.bsky.feed.post""#);
            if line.is_none() && is_post && armed.load(Ordering::Relaxed) {
                line = Some(text.to_string());
                match harm {
                    Harm::Drop => continue,
                    Harm::Change => {
                        let changed = text.replacen(r#""text":""#, r#""text":"not "#, 1);
                        assert_ne!(changed, text.as_str());
                        message = Message::text(changed);
                    }
                }
            }
            if down.send(message).await.is_err() {
                return;
            }
        }
    });
    (address, harmed)
}

/// Whether a report names the event in a line.
fn names(found: &Value, line: &str) -> bool {
    let line: Value = serde_json::from_str(line).unwrap();
    let commit = &line["commit"];
    ["rkey", "rev", "collection", "operation"]
        .iter()
        .all(|field| found[field] == commit[field])
        && found["did"] == line["did"]
}

async fn find(harm: Harm) -> (Option<i32>, Value, String) {
    let mut program = Program::start(&["--sim-rate=200"]);
    let url = program.url();
    let armed = Arc::new(AtomicBool::new(false));
    let (address, harmed) = proxy(url.clone(), harm, Arc::clone(&armed)).await;
    let compared = tokio::task::spawn_blocking(move || {
        let mut comparison = Comparison::start(&url, &address);
        comparison.until("judging begins");
        comparison
    });
    let comparison = compared.await.unwrap();
    armed.store(true, Ordering::Relaxed);
    let line = harmed.await.unwrap();
    let ended = tokio::task::spawn_blocking(move || comparison.end());
    let (code, report) = ended.await.unwrap();
    drop(program);
    (code, report, line)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_one_side_drops_is_found_and_named() {
    let (code, report, line) = find(Harm::Drop).await;
    assert_eq!(code, Some(3), "{report}");
    assert_eq!(report["missing"]["count"], 1, "{report}");
    assert_eq!(report["extra"]["count"], 0, "{report}");
    assert_eq!(report["different"]["count"], 0, "{report}");
    assert!(
        names(&report["missing"]["listed"][0], &line),
        "{line}: {report}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_one_side_changes_is_found_and_named() {
    let (code, report, line) = find(Harm::Change).await;
    assert_eq!(code, Some(3), "{report}");
    assert_eq!(report["different"]["count"], 1, "{report}");
    assert_eq!(report["missing"]["count"], 0, "{report}");
    assert_eq!(report["extra"]["count"], 0, "{report}");
    let found = &report["different"]["listed"][0];
    assert_eq!(found["parts"], serde_json::json!(["record"]), "{report}");
    assert!(names(found, &line), "{line}: {report}");
}

#[test]
fn streams_that_cannot_be_compared_say_which_and_why() {
    // A port that nobody listens on.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = listener.local_addr().unwrap().to_string();
    drop(listener);
    let mut program = Program::start(&[]);
    let output = command(&["compare", &program.url(), &nobody, "--wait=1s"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("B could not be connected to ("), "{said}");

    let output = command(&["compare", "not a host", &nobody]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("not a host: "), "{said}");
}

/// By the time that as many events have followed, the other side has the one as well.
const FOLLOWING: usize = 100;
