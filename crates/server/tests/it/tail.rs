//! The reader.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use crate::{Program, tail};

#[test]
fn a_refusal_is_shown_with_what_the_server_says() {
    let mut program = Program::start(&[]);
    let url = program.url();
    let output = tail(&[&url, "--collection=not an nsid"]);
    assert!(!output.status.success());
    let output = tail(&[&url, "--did=nobody"]);
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("refused with 400 Bad Request: "), "{said}");
    assert!(said.contains("nobody"), "{said}");
    assert!(!said.contains("Is a server running?"), "{said}");
}

#[test]
fn a_refusal_cannot_write_on_the_terminal_as_it_likes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(&stream).lines();
        while !lines.next().unwrap().unwrap().is_empty() {}
        let body = "no \u{1b}[2Jroom\u{9b}m";
        let head = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: ";
        let answer = format!("{head}{}\r\n\r\n{body}", body.len());
        (&stream).write_all(answer.as_bytes()).unwrap();
    });
    let said = String::from_utf8(tail(&[&url]).stderr).unwrap();
    server.join().unwrap();
    assert!(
        said.contains("503 Service Unavailable: no  [2Jroom m"),
        "{said}"
    );
}
