//! The reader.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};

use crate::{Program, SERVER, tail};

#[test]
fn a_value_that_is_wrong_is_named_before_anybody_is_asked() {
    for (option, named) in [
        ("--collection=not an nsid", "not an nsid"),
        ("--did=nobody", "nobody"),
    ] {
        let output = tail(&["ws://127.0.0.1:9/subscribe", option]);
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(named), "{said}");
    }
    let said = String::from_utf8(tail(&["ws://127.0.0.1:9/subscribe?cursor=0"]).stderr).unwrap();
    assert!(said.contains("--cursor"), "{said}");
}

#[test]
fn a_refusal_is_shown_with_what_the_server_says() {
    let body = r#"{"error":"InvalidRequest","message":"no such thing"}"#;
    let (url, server) = refusing("400 Bad Request", body);
    let output = tail(&[&url]);
    server.join().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    let refused = "refused with 400 Bad Request: InvalidRequest: no such thing";
    assert!(said.contains(refused), "{said}");
    assert!(!said.contains("Is a server running?"), "{said}");
}

#[test]
fn a_refusal_cannot_write_on_the_terminal_as_it_likes() {
    let (url, server) = refusing("503 Service Unavailable", "no \u{1b}[2Jroom\u{9b}m");
    let output = tail(&[&url]);
    server.join().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("status 503: no [2Jroomm"), "{said}");
}

#[test]
fn an_address_that_nobody_listens_at_says_how_to_start_a_server() {
    let output = tail(&["127.0.0.1:9"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("ws://127.0.0.1:9: the connection failed: "),
        "{said}"
    );
    assert!(said.contains("`jetwash-server --sim` starts one"), "{said}");
}

#[test]
fn an_address_may_be_a_host_with_a_port_or_a_url() {
    let mut program = Program::start(&[]);
    let line = program.line("print events with: ");
    let (_, address) = line.split_once("jetwash-server tail ").unwrap();
    assert!(program.url().contains(address), "{address}");
    for url in [
        address,
        &format!("ws://{address}"),
        &format!("http://{address}/"),
        &format!("ws://{address}/subscribe"),
    ] {
        let output = tail(&[url, "--count=1"]);
        assert!(output.status.success(), "{url}: {output:?}");
        assert!(output.stdout.starts_with(br#"{"did":"#), "{url}");
    }
    let second = tail(&[address, "--v2", "--compress", "--count=1"]);
    assert!(
        second.stdout.starts_with(br#"{"$type":"message""#),
        "{second:?}"
    );
}

#[test]
fn json_is_whole_lines_and_nothing_else() {
    let mut program = Program::start(&[]);
    let output = tail(&[&program.url(), "--json", "--count=20", "--cursor=0"]);
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(lines.lines().count(), 20);
    assert!(
        lines
            .lines()
            .all(|line| line.starts_with('{') && line.ends_with('}'))
    );
}

#[test]
fn a_stream_continues_where_it_was_when_the_server_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let data = format!("--data-dir={}", folder.path().display());
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap().to_string();
    drop(port);
    let listen = format!("--listen={address}");
    let mut program = Program::start(&[&data, &listen]);
    let _ = program.url();
    let mut reader = Command::new(SERVER)
        .args(["tail", &address, "--cursor=0", "--count=3000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(reader.stdout.take().unwrap()).lines();
    let mut seen: Vec<String> = lines.by_ref().take(1000).map(Result::unwrap).collect();
    // Killed, not asked to stop.
    drop(program);
    let mut program = Program::start(&[&data, &listen]);
    let _ = program.url();
    seen.extend(lines.map(Result::unwrap));
    let output = reader.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("; the next attempt is in "), "{said}");
    assert!(said.contains(": connected again"), "{said}");
    let whole = tail(&[&address, "--cursor=0", "--count=3000"]);
    let whole = String::from_utf8(whole.stdout).unwrap();
    assert!(seen.iter().eq(whole.lines()), "{} lines", seen.len());
}

/// A server that refuses one request.
fn refusing(status: &'static str, body: &'static str) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(&stream).lines();
        while !lines.next().unwrap().unwrap().is_empty() {}
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        (&stream).write_all(answer.as_bytes()).unwrap();
    });
    (url, server)
}
