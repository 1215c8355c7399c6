//! The programs as they are run: arguments, environment, signals, and what they say.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[cfg(unix)]
mod bench;
#[cfg(unix)]
mod commands;
#[cfg(unix)]
mod compare;
#[cfg(unix)]
mod config;
#[cfg(unix)]
mod dead_letters;
#[cfg(unix)]
mod dict;
#[cfg(unix)]
mod doctor;
#[cfg(unix)]
mod hops;
#[cfg(unix)]
mod inspect;
#[cfg(unix)]
mod labels;
#[cfg(unix)]
mod lines;
#[cfg(unix)]
mod metrics;
#[cfg(unix)]
mod notify;
#[cfg(unix)]
mod ready;
#[cfg(unix)]
mod reload;
#[cfg(unix)]
mod repair;
#[cfg(unix)]
mod settings;
#[cfg(unix)]
mod tail;
#[cfg(unix)]
mod top;
#[cfg(unix)]
mod verify;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A `jetwash-server` that runs on a small simulated network; it is killed when this is dropped.
struct Program {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        Self::start_in(arguments, &[])
    }

    /// Starts it with these variables in its environment, and none of the official ones besides.
    fn start_in(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(SERVER);
        command.args(SIMULATED).args(arguments);
        Self::run(command, variables)
    }

    /// Starts what is, or becomes, the server.
    fn run(mut command: Command, variables: &[(&str, &str)]) -> Self {
        prepare(&mut command).envs(variables.iter().copied());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // A test may end before the program does.
                let _ = sender.send(line);
            }
        });
        Self {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// The first line of what it says, from the start on, that has `text` in it.
    fn line(&mut self, text: &str) -> String {
        if let Some(line) = self.seen.iter().find(|line| line.contains(text)) {
            return line.clone();
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no line with {text:?}: {:#?}", self.seen);
            };
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Where subscribers connect.
    fn url(&mut self) -> String {
        let line = self.line("subscribe at ");
        line.split_once("subscribe at ").unwrap().1.to_owned()
    }

    /// Where the metrics are.
    fn metrics(&mut self) -> String {
        let line = self.line("metrics at http://");
        let (_, url) = line.split_once("metrics at http://").unwrap();
        url.trim_end_matches("/metrics").to_owned()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Asks it to stop, and says whether it ended well, and with which lines.
    fn stop(mut self) -> (bool, Vec<String>) {
        self.signal("TERM");
        let ended = self.child.wait().unwrap().success();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.seen.push(line);
        }
        (ended, std::mem::take(&mut self.seen))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The message of a server that does not start.
fn refused(arguments: &[&str]) -> String {
    let mut command = Command::new(SERVER);
    command.args(SIMULATED).args(arguments);
    let output = prepare(&mut command).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

fn prepare(command: &mut Command) -> &mut Command {
    for name in ["JETSTREAM_LISTEN_ADDR", "JETSTREAM_METRICS_LISTEN_ADDR"] {
        command.env(name, "127.0.0.1:0");
    }
    command
        .env("NO_COLOR", "1")
        .env_remove("JETWASH_CONFIG")
        .env_remove("NOTIFY_SOCKET")
        .env_remove("RUST_LOG")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
}

/// Runs a command to its end.
fn command(arguments: &[&str]) -> Output {
    let mut command = Command::new(SERVER);
    prepare(&mut command).args(arguments);
    command.stdout(Stdio::piped()).output().unwrap()
}

fn tail(arguments: &[&str]) -> Output {
    Command::new(SERVER)
        .arg("tail")
        .args(arguments)
        .output()
        .unwrap()
}

/// The body of an answer.
fn get(address: &str, path: &str) -> String {
    let (head, body) = ask(address, path);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body
}

/// The head and the body of an answer.
fn ask(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

const SERVER: &str = env!("CARGO_BIN_EXE_jetwash-server");
const SIMULATED: [&str; 3] = ["--sim", "--sim-accounts=10", "--sim-records=100"];
const PATIENCE: Duration = Duration::from_secs(60);
