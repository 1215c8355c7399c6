//! The whole system: a relay, the program, its control API, the loader and a database.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod control;
mod exactly_once;
mod loader;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// A `did-spool` that runs; it is killed when this is dropped.
struct Program {
    child: Child,
    address: SocketAddr,
}

impl Program {
    /// Starts it on a folder with a DID file, and waits until it listens.
    fn start(folder: &Path, relay: &str) -> Self {
        Self::start_with(folder, relay, &[])
    }

    fn start_with(folder: &Path, relay: &str, arguments: &[&str]) -> Self {
        let mut child = command(folder, relay)
            .arg("--listen=127.0.0.1:0")
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut seen = String::new();
        let address = loop {
            let Some(line) = lines.next() else {
                panic!("it ended: {seen}");
            };
            let line = line.unwrap();
            if let Some((_, rest)) = line.split_once("changed at http://") {
                break rest.trim_end_matches("/dids").parse().unwrap();
            }
            seen += &(line + "\n");
        };
        // So that it never waits for somebody to read what it says.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, and says whether it ended well.
    fn stop(mut self) -> bool {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        self.child.wait().unwrap().success()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(folder: &Path, relay: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_did-spool"));
    command
        .arg("--folder")
        .arg(folder)
        .arg("--dids")
        .arg(folder.join("dids.txt"))
        .args(["--relay", relay, "--roll-after=0.5"])
        .env("NO_COLOR", "1")
        .env_remove("DID_SPOOL_TOKEN")
        .env_remove("RUST_LOG")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn loader(folder: &Path, database: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_did-spool-load"));
    command
        .arg("--spool")
        .arg(folder.join("spool"))
        .arg("--database")
        .arg(database)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// A call of the control API: status and JSON of the answer.
fn call(address: SocketAddr, method: &str, path: &str, body: &str) -> io::Result<(u16, Value)> {
    call_with(address, method, path, body, "")
}

fn call_with(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
    headers: &str,
) -> io::Result<(u16, Value)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    let (Some(status), Some((_, body))) = (status, answer.split_once("\r\n\r\n")) else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    Ok((status, serde_json::from_str(body).unwrap_or_default()))
}

/// A relay that nobody listens at.
const NO_RELAY: &str = "ws://127.0.0.1:9";

/// A `did:plc` of a number.
fn filler(number: usize) -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let digit = |place: usize| DIGITS[(number >> (5 * place)) % 32] as char;
    let low: String = (0..6).map(digit).collect();
    format!("did:plc:{low}{}", "f".repeat(18))
}
