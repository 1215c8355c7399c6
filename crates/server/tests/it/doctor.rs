//! `doctor`: findings about this machine, and about relays over real sockets.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use jetwash_sim::ScriptedRelay;

use crate::{SERVER, command, prepare};

#[test]
fn a_relay_that_is_not_reached_is_a_finding() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("ws://{}", listener.local_addr().unwrap());
    drop(listener);
    let folder = tempfile::tempdir().unwrap();
    let data = format!("--data-dir={}", folder.path().display());
    let output = command(&["doctor", &data, "--relay", &nobody, "--json"]);
    assert_eq!(output.status.code(), Some(3));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["is_fit"], false, "{report}");
    let findings = report["findings"].as_array().unwrap();
    let relay = findings.iter().find(|it| it["check"] == "relay").unwrap();
    assert_eq!(relay["level"], "must_change", "{relay}");
    let found = relay["found"].as_str().unwrap();
    assert!(found.contains(&nobody["ws://".len()..]), "{relay}");
    assert!(relay["change"].is_string(), "{relay}");
    // It has put its file away.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_is_compared_with_that_of_a_relay() {
    let mut relay = ScriptedRelay::start().await.unwrap();
    let url = relay.url();
    let folder = tempfile::tempdir().unwrap();
    let data = format!("--data-dir={}", folder.path().display());
    let asking = tokio::task::spawn_blocking(move || command(&["doctor", &data, "--relay", &url]));
    let answer =
        "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n";
    let request = relay.answer(answer).await.unwrap();
    assert!(request.starts_with("GET /xrpc/_health "), "{request}");
    let output = asking.await.unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{report}");
    assert!(report.contains("answers 200 after"), "{report}");
    let line = report
        .lines()
        .find(|line| line.starts_with("MUST CHANGE   clock"));
    assert!(
        line.unwrap().contains(" s ahead of that of ws://"),
        "{report}"
    );
}

#[test]
fn a_low_limit_of_open_files_must_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    let mut limited = Command::new("sh");
    limited.args([
        "-c",
        "ulimit -n 100; exec \"$0\" \"$@\"",
        SERVER,
        "doctor",
        "--offline",
    ]);
    limited.arg("--data-dir").arg(folder.path());
    let output = prepare(&mut limited)
        .stdout(std::process::Stdio::piped())
        .output()
        .unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{report}");
    assert!(
        report.contains("MUST CHANGE   open files  up to 100"),
        "{report}"
    );
    assert!(report.contains("LimitNOFILE=65536"), "{report}");
}
