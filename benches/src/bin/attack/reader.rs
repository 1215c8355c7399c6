use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jetwash_benches::{PONG, now_us, split_message, time_of};

use crate::socket::Subscriber;

/// An honest reader: it takes all events, answers pings, and comes back when it is closed.
pub(crate) struct Reader {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// In microseconds.
    delays: Mutex<Vec<u64>>,
    /// How often the connection was lost, or could not be made.
    lost: AtomicU64,
    is_over: AtomicBool,
}

impl Reader {
    pub(crate) fn start(server: SocketAddr, from: Option<IpAddr>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let reading = Arc::clone(&shared);
        let first = Subscriber::connect(server, from, "", None)?;
        let thread = thread::Builder::new()
            .name("honest reader".to_owned())
            .spawn(move || {
                let mut subscriber = Ok(first);
                while !reading.is_over.load(Ordering::Relaxed) {
                    let end = subscriber.and_then(|subscriber| read(subscriber, &reading));
                    if end.is_err() {
                        reading.lost.fetch_add(1, Ordering::Relaxed);
                        thread::sleep(Duration::from_millis(100));
                    }
                    subscriber = Subscriber::connect(server, from, "", None);
                }
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// The delays since this was last asked.
    pub(crate) fn take(&self) -> Vec<u64> {
        let delays = self.shared.delays.lock();
        std::mem::take(&mut *delays.unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing to say that was not counted.
            let _ = thread.join();
        }
    }
}

/// Reads until the measurement is over, or the connection.
fn read(subscriber: Subscriber, shared: &Shared) -> io::Result<()> {
    let Subscriber { mut stream, early } = subscriber;
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    let mut bytes = early;
    let mut buffer = vec![0; 256 << 10];
    while !shared.is_over.load(Ordering::Relaxed) {
        match stream.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
        let now = now_us();
        let mut rest = &bytes[..];
        let mut delays = Vec::new();
        while let Some((opcode, payload, after)) = split_message(rest) {
            rest = after;
            match opcode {
                0x1 => delays.extend(time_of(payload).map(|time| now.saturating_sub(time))),
                0x8 => return Err(ErrorKind::ConnectionAborted.into()),
                0x9 => stream.write_all(&PONG)?,
                _ => {}
            }
        }
        let left = rest.len();
        bytes.drain(..bytes.len() - left);
        let all = shared.delays.lock();
        all.unwrap_or_else(PoisonError::into_inner).extend(delays);
    }
    Ok(())
}
