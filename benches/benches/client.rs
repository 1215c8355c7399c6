//! Times the way of a Jetstream's messages into a program: decoding, on one thread, beside
//! `serde_json::Value`; and a whole client that reads from a socket.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints its figures, and ends where its input is not what it should be"
)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use jetwash_benches::Table;
use jetwash_client::{Client, ClientEvent, ClientItem, Dictionary, Protocol};
use serde_json::Value;

const COPIES: usize = 100;
const LIMIT: usize = 1 << 20;

fn main() {
    let Some(corpus) = jetwash_corpus::corpus("the client") else {
        return;
    };
    for (name, protocol, file, dictionary) in [
        ("version 1", Protocol::V1, "expected_v1", "legacy_subscribe"),
        (
            "version 2",
            Protocol::V2,
            "expected_v2",
            "subscribe_events_20260811",
        ),
    ] {
        let lines = corpus.lines(&format!("firehose-2026-07-04/{file}.jsonl"));
        let dictionary = corpus.bytes(&format!("dictionaries/{dictionary}.zdict"));
        let dictionary = Dictionary::from_bytes(dictionary).unwrap();
        let input = Input::new(protocol, &lines, dictionary);
        let mean =
            |messages: &[Vec<u8>]| messages.iter().map(Vec::len).sum::<usize>() / messages.len();
        let (plain, compressed) = (mean(&input.plain), mean(&input.compressed));
        println!("\n{name}: real events of {plain} bytes in the mean, {compressed} compressed");
        decode(name, &input);
        follow(name, &input);
    }
}

struct Input {
    protocol: Protocol,
    plain: Vec<Vec<u8>>,
    compressed: Vec<Vec<u8>>,
    dictionary: Dictionary,
}

impl Input {
    /// The events many times over, each time under a number and a time of their own.
    fn new(protocol: Protocol, lines: &[String], dictionary: Dictionary) -> Self {
        let mut plain = Vec::new();
        for copy in 0..COPIES {
            for (index, line) in lines.iter().enumerate() {
                let number = copy * lines.len() + index;
                let line = match protocol {
                    Protocol::V1 => replace(line, "\"time_us\":", 1_783_175_887_000_000 + number),
                    _ => replace(line, "\"seq\":", 1 + number),
                };
                plain.push(line.into_bytes());
            }
        }
        let mut compressor = dictionary.compressor();
        let compress = |line: &Vec<u8>| {
            let mut bytes = Vec::new();
            compressor.compress(line, &mut bytes).unwrap();
            bytes
        };
        Self {
            protocol,
            compressed: plain.iter().map(compress).collect(),
            plain,
            dictionary,
        }
    }
}

/// Replaces the last number that follows a name: the server's own, as version 2 has another
/// before it in some events.
fn replace(line: &str, name: &str, number: usize) -> String {
    let start = line.rfind(name).unwrap() + name.len();
    let digits = line[start..].bytes().take_while(u8::is_ascii_digit).count();
    format!("{}{number}{}", &line[..start], &line[start + digits..])
}

/// One thread, no socket.
fn decode(name: &str, input: &Input) {
    let mut decompressors = [0; 3].map(|_| input.dictionary.decompressor());
    let [first, second, third] = &mut decompressors;
    let (mut one, mut two, mut three) = (Vec::new(), Vec::new(), Vec::new());
    let parse = |text: &[u8]| ClientEvent::parse(input.protocol, text.to_vec()).unwrap();
    let medians = Table::new(format!("{name}, decoding"), input.plain.len())
        .row("event, from plain text", || {
            let events = input.plain.iter().map(|text| parse(text));
            events.map(|event| event.did().len()).sum::<usize>()
        })
        .row("Value, from plain text", || {
            let values = input
                .plain
                .iter()
                .map(|text| serde_json::from_slice::<Value>(text));
            values.filter(|value| value.is_ok()).count()
        })
        .row("decompression alone", || {
            for bytes in &input.compressed {
                one.clear();
                first.decompress(bytes, LIMIT, &mut one).unwrap();
            }
        })
        .row("event, from a compressed message", || {
            let mut length = 0;
            for bytes in &input.compressed {
                two.clear();
                second.decompress(bytes, LIMIT, &mut two).unwrap();
                length += parse(&two).did().len();
            }
            length
        })
        .row("Value, from a compressed message", || {
            for bytes in &input.compressed {
                three.clear();
                third.decompress(bytes, LIMIT, &mut three).unwrap();
                let value: Value = serde_json::from_slice(&three).unwrap();
                drop(value);
            }
        })
        .run(Duration::from_secs(8));
    println!(
        "an event takes {:.2} of the time of a Value, compressed {:.2}",
        medians[0] / medians[1],
        medians[3] / medians[4],
    );
}

/// A whole client on one thread, and a server on another that sends bytes it has made before.
fn follow(name: &str, input: &Input) {
    let plain = websocket_frames(0x81, &input.plain);
    let compressed = websocket_frames(0x82, &input.compressed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let follow = |frames: &[u8], compress: bool| {
        let used = cpu_time();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = format!("ws://{}", listener.local_addr().unwrap());
        let count = input.plain.len();
        std::thread::scope(|scope| {
            scope.spawn(|| serve(&listener, frames, &input.dictionary));
            runtime.block_on(async {
                let mut client = Client::builder([host])
                    .protocol(input.protocol)
                    .compress(compress)
                    .dictionary(input.dictionary.clone())
                    .build()
                    .unwrap();
                let mut seen = 0;
                while seen < count {
                    let item = client.next().await.unwrap().unwrap();
                    seen += usize::from(matches!(item, ClientItem::Event(_)));
                }
            });
        });
        cpu_time() - used
    };
    for (form, frames, compress) in [("plain", &plain, false), ("compressed", &compressed, true)] {
        let mut rounds: Vec<Duration> = (0..31).map(|_| follow(frames, compress)).collect();
        rounds.sort_unstable();
        let each = rounds[15].as_nanos() as f64 / input.plain.len() as f64;
        let a_second = 1e9 / each;
        println!(
            "{name}, {form}, a client on a socket: {each:.0} ns each of its thread, {a_second:.0} a second a core"
        );
    }
}

/// The time that this thread has used.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Messages as a server sends them.
fn websocket_frames(first: u8, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        bytes.push(first);
        if message.len() < 126 {
            bytes.push(message.len() as u8);
        } else {
            bytes.push(126);
            bytes.extend((message.len() as u16).to_be_bytes());
        }
        bytes.extend_from_slice(message);
    }
    bytes
}

/// Serves the dictionary, and then one websocket.
fn serve(listener: &TcpListener, frames: &[u8], dictionary: &Dictionary) {
    loop {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let key = head
            .lines()
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
        let Some(key) = key else {
            let length = dictionary.bytes().len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
            stream.write_all(dictionary.bytes()).unwrap();
            continue;
        };
        let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).unwrap();
        stream.write_all(frames).unwrap();
        // The client closes when it has seen all.
        let _ = stream.read(&mut [0; 64]);
        return;
    }
}
