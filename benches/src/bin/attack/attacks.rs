use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::socket::{Subscriber, connect, is_open, text_frame};

/// An attack by strangers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Attack {
    /// Connections that say nothing
    Idle,
    /// Requests without an end
    Half,
    /// Subscribers that each have a filter of 10,000 accounts
    Filters,
    /// Subscribers that each begin a message of ten megabytes and do not end it
    Unfinished,
    /// Subscribers that send a filter of 10,000 accounts 90 times a second
    Flood,
    /// Subscribers that ask for all there is and take none of it
    Unread,
    /// Subscribers that each have everything compressed as one stream
    Streams,
}

/// Who is attacked, with how many connections, and until when.
pub(crate) struct Target<'a> {
    pub(crate) server: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) is_over: &'a AtomicBool,
}

impl Attack {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Self::value_variants().iter().copied()
    }

    /// How many connections it makes unless told otherwise.
    pub(crate) const fn connections(self) -> usize {
        match self {
            Self::Idle => 1100,
            Self::Half => 300,
            Self::Filters | Self::Unfinished => 100,
            Self::Flood => 4,
            Self::Unread => 1000,
            Self::Streams => 16,
        }
    }

    /// A request of an honest newcomer during the attack.
    pub(crate) const fn newcomer(self) -> &'static str {
        match self {
            Self::Streams => "compress=stream",
            _ => "",
        }
    }

    /// Attacks until it is over. Gives how many connections the server has left open.
    pub(crate) fn run(self, target: &Target<'_>) -> usize {
        match self {
            Self::Idle => target.hold(|| connect(target.server, None, None).ok()),
            Self::Half => target.hold(|| {
                let mut stream = connect(target.server, None, None).ok()?;
                let begun = b"GET /subscribe HTTP/1.1\r\nHost: ";
                stream.write_all(begun).ok().map(|()| stream)
            }),
            Self::Filters => target.hold(|| {
                let mut stream = target.subscribe("", None)?;
                let sent = stream.write_all(&update());
                sent.ok().map(|()| stream)
            }),
            Self::Unfinished => target.hold(|| {
                let mut stream = target.subscribe("", None)?;
                let mut frame = text_frame(&vec![b' '; 9_999_999]);
                frame.truncate(frame.len() - 1);
                let sent = stream.write_all(&frame);
                sent.ok().map(|()| stream)
            }),
            Self::Flood => target.flood(),
            Self::Unread => target.hold(|| target.subscribe("cursor=0", Some(4096))),
            Self::Streams => target.hold(|| target.subscribe("compress=stream", None)),
        }
    }
}

impl Target<'_> {
    fn subscribe(&self, query: &str, receive_buffer: Option<usize>) -> Option<TcpStream> {
        let subscriber = Subscriber::connect(self.server, None, query, receive_buffer);
        Some(subscriber.ok()?.stream)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Makes connections one after the other, and holds those that the server lets it have.
    fn hold(&self, make: impl Fn() -> Option<TcpStream>) -> usize {
        let mut held = Vec::new();
        for _ in 0..self.connections {
            if self.is_over() {
                break;
            }
            held.extend(make());
        }
        while !self.is_over() {
            thread::sleep(Duration::from_millis(20));
        }
        held.iter_mut()
            .filter_map(|stream| is_open(stream).then_some(()))
            .count()
    }

    /// Every connection sends its filter again and again.
    fn flood(&self) -> usize {
        let update = update();
        thread::scope(|scope| {
            let send = || {
                let Some(mut stream) = self.subscribe("", None) else {
                    return false;
                };
                let mut due = Instant::now();
                while !self.is_over() {
                    if !send_until(&mut stream, &update, self.is_over) {
                        return false;
                    }
                    due += Duration::from_secs(1) / 90;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                }
                is_open(&mut stream)
            };
            let senders: Vec<_> = (0..self.connections).map(|_| scope.spawn(send)).collect();
            let open = senders
                .into_iter()
                .map(|sender| sender.join().unwrap_or(false));
            open.filter(|is_open| *is_open).count()
        })
    }
}

/// Sends bytes, or as many as the server takes until it is over. Says whether it still takes some.
fn send_until(stream: &mut TcpStream, mut bytes: &[u8], is_over: &AtomicBool) -> bool {
    use std::io::ErrorKind;

    while !bytes.is_empty() && !is_over.load(Ordering::Relaxed) {
        let short = Duration::from_millis(100);
        if stream.set_write_timeout(Some(short)).is_err() {
            return false;
        }
        match stream.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return false,
        }
    }
    true
}

/// A filter of 10,000 accounts that nobody has.
fn update() -> Vec<u8> {
    let letter = |number: u32| char::from(b'a' + (number % 26) as u8);
    let dids = (0..10_000_u32).map(|n| {
        let end: String = [n, n / 26, n / 676, n / 17_576]
            .map(letter)
            .iter()
            .collect();
        format!(r#""did:plc:{end:q>24}""#)
    });
    let dids = dids.collect::<Vec<_>>().join(",");
    let text = format!(r#"{{"type":"options_update","payload":{{"wantedDids":[{dids}]}}}}"#);
    text_frame(text.as_bytes())
}
