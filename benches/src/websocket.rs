//! A subscriber's side of the protocol by hand: it must cost next to nothing.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{SystemTime, UNIX_EPOCH};

/// Asks `server` for a subscription over a connection to it, and gives what came with the answer.
///
/// # Errors
///
/// When the connection fails, or the server refuses: then with its answer as the message.
pub fn subscribe(stream: &mut TcpStream, server: SocketAddr, query: &str) -> io::Result<Vec<u8>> {
    subscribe_at(stream, server, &format!("/subscribe?{query}"))
}

/// Works as [`subscribe`], for any path and query.
///
/// # Errors
///
/// As [`subscribe`].
pub fn subscribe_at(
    stream: &mut TcpStream,
    server: SocketAddr,
    target: &str,
) -> io::Result<Vec<u8>> {
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut buffer = [0; 512];
    let end = loop {
        let count = stream.read(&mut buffer)?;
        answer.extend_from_slice(&buffer[..count]);
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
        match end {
            Some(end) => break end + 4,
            None if count == 0 => return Err(ErrorKind::UnexpectedEof.into()),
            None => {}
        }
    };
    if !answer.starts_with(b"HTTP/1.1 101 ") {
        let answer = String::from_utf8_lossy(&answer).into_owned();
        return Err(io::Error::other(answer));
    }
    Ok(answer.split_off(end))
}

/// Begins a server's binary message of this length, in one part.
pub fn add_header(length: usize, out: &mut Vec<u8>) {
    out.push(0x82);
    match u16::try_from(length) {
        Ok(length) if length < 126 => out.push(length as u8),
        Ok(length) => {
            out.push(126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        Err(_) => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// The first message of a server: its opcode, its payload, and what follows; `None` until all of
/// it is there.
#[must_use]
pub fn split_message(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [first, second, rest @ ..] = bytes else {
        return None;
    };
    let (length, rest) = match second & 0x7f {
        126 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk::<8>()?;
            (u64::from_be_bytes(*length) as usize, rest)
        }
        length => (usize::from(length), rest),
    };
    let (payload, rest) = rest.split_at_checked(length)?;
    Some((first & 0x0f, payload, rest))
}

/// The `time_us` of an event, found without parsing it.
#[must_use]
pub fn time_of(json: &[u8]) -> Option<u64> {
    let name = b"\"time_us\":";
    let start = &json[..json.len().min(2200)];
    let at = start
        .windows(name.len())
        .position(|window| window == name)?;
    let digits = json[at + name.len()..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |time, digit| time * 10 + u64::from(digit - b'0')))
}

/// Microseconds since 1970.
#[must_use]
pub fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_micros() as u64
}

/// A client's answer to a ping, with a mask of zeros.
pub const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];
