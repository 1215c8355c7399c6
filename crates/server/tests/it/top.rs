//! `top`: one picture, and a stream over a restart of the server.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{Program, SERVER, command, prepare, tail};

#[test]
fn one_picture_shows_the_log_and_the_collections() {
    let mut program = Program::start(&["--sim-rate=500"]);
    let metrics = program.metrics();
    assert!(
        tail(&[&program.url(), "--count=100", "--quiet"])
            .status
            .success()
    );
    let output = command(&["top", "--once", "--address", &metrics]);
    let picture = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{picture}");
    assert!(picture.starts_with("jetwash "), "{picture}");
    assert!(
        picture.lines().next().unwrap().ends_with("  ready"),
        "{picture}"
    );
    assert!(picture.contains("\nlog "), "{picture}");
    assert!(picture.contains("\ncollections  "), "{picture}");
    assert!(!picture.contains('\u{1b}'), "{picture}");

    drop(program);
    let output = command(&["top", "--once", "--address", &metrics]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains(&format!("http://{metrics}/page/status.json")),
        "{said}"
    );
}

#[test]
fn it_continues_when_the_server_is_started_anew() {
    let mut program = Program::start(&[]);
    let metrics = program.metrics();
    let mut top = Command::new(SERVER);
    prepare(&mut top).args(["top", "--json", "--address", &metrics]);
    let mut top = top.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(top.stdout.take().unwrap()).lines();
    let mut status = || -> Value {
        let line = lines.next().unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    };
    let log = status()["log"]["id"].clone();
    assert!(!log.is_null());
    assert!(program.stop().0);
    let listen = format!("--metrics-listen={metrics}");
    let program = Program::start(&[&listen]);
    // Its log is in memory, so it is another.
    while status()["log"]["id"] == log {}
    drop(program);
    top.kill().unwrap();
    top.wait().unwrap();
}
