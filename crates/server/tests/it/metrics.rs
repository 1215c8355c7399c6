//! Metrics, and their list in the docs.

use std::collections::BTreeMap;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{Program, ask, get, tail};

/// Names and types as the docs list them.
fn listed() -> BTreeMap<String, String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        (cells[1].trim_matches('`').to_owned(), cells[2].to_owned())
    })
    .collect()
}

#[test]
fn every_metric_has_help_and_is_in_the_docs() {
    let mut program = Program::start(&["--report-every=0s"]);
    let url = program.url();
    assert!(tail(&[&url, "--count=100", "--compress"]).status.success());
    program.line("a subscriber has gone");
    let events = "/xrpc/network.bsky.jetstream.subscribeEvents";
    let second = url.replace("/subscribe", events);
    assert!(tail(&[&second, "--count=100"]).status.success());
    program.line("a subscriber has gone");
    let text = get(&program.metrics(), "/metrics");
    let listed = listed();
    let (mut helped, mut sorts) = (Vec::new(), BTreeMap::new());
    let mut samples = 0;
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(help.ends_with('.') && help.len() > 5, "{line}");
            helped.push(name);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, sort) = rest.split_once(' ').unwrap();
            assert_eq!(sorts.insert(name, sort), None, "{name} is there twice");
        } else {
            samples += 1;
            let name = line.split(['{', ' ']).next().unwrap();
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .filter(|base| sorts.contains_key(base))
                .unwrap_or(name);
            assert!(helped.contains(&base), "{name} has no HELP");
            let listed = listed.get(base).map(String::as_str);
            assert_eq!(
                listed,
                sorts.get(base).copied(),
                "{base} in docs/metrics.md"
            );
        }
    }
    assert!(samples > 50, "{text}");
    for name in [
        "jetstream_subscribe_subscribers{compression=\"none\"} 0",
        "jetwash_build_info{version=",
        "jetwash_log_bytes ",
        "jetwash_log_oldest_timestamp_seconds ",
        "process_start_time_seconds ",
        "jetstream_subscribers_connected 0",
    ] {
        assert!(text.contains(&format!("\n{name}")), "{name}");
    }
    if cfg!(target_os = "linux") {
        for name in [
            "process_cpu_seconds_total",
            "process_max_fds",
            "process_open_fds",
            "process_resident_memory_bytes",
        ] {
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            assert!(value.unwrap().parse::<f64>().unwrap() > 0.0, "{name}");
        }
    }
}

#[test]
fn the_page_is_beside_the_metrics() {
    // In memory the log forgets by its bytes as well.
    let folder = tempfile::tempdir().unwrap();
    let in_folder = format!("--data-dir={}", folder.path().display());
    let mut program = Program::start(&["--page-viewers=0", "--event-ttl=2h", &in_folder]);
    let line = program.line("a page to look at is at http://");
    let metrics = program.metrics();
    assert!(line.ends_with(&format!("http://{metrics}/")), "{line}");
    assert!(get(&metrics, "/").starts_with("<!DOCTYPE html>"));
    let is_there = |status: &String| {
        status.contains(r#""hours_left":2.0,"#) || status.contains(r#""hours_left":1.9"#)
    };
    // The first events are under way, and the status may be a second old.
    let mut statuses = std::iter::repeat_with(|| get(&metrics, "/page/status.json"));
    assert!(
        statuses
            .by_ref()
            .take(100_000)
            .any(|status| is_there(&status))
    );
    let (head, _) = ask(&metrics, "/page/live");
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    let text = get(&metrics, "/metrics");
    assert!(
        text.contains("\njetwash_page_viewers_refused_total 1\n"),
        "{text}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn silent_connections_of_one_address_do_not_keep_others_from_asking_for_health() {
    let mut program = Program::start(&[]);
    let address: std::net::SocketAddr = program.metrics().parse().unwrap();
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(std::net::TcpStream::connect(address).unwrap());
    }
    // All of 127/8 is this machine.
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let answer = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    });
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
    assert!(answer.ends_with("ok\n"), "{answer:?}");
}
