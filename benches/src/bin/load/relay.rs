use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio_tungstenite::tungstenite;

use crate::frames::Frames;

/// A relay on loopback that sends prepared frames at the pace it is told.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    pace: Arc<Pace>,
}

#[derive(Default)]
struct Pace {
    /// Frames that are sent as fast as they are taken.
    burst: AtomicU64,
    /// Frames a second after that, in thousandths.
    rate: AtomicU64,
}

impl Relay {
    pub(crate) fn start(frames: Arc<Frames>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let pace = Arc::new(Pace::default());
        let paced = Arc::clone(&pace);
        thread::Builder::new()
            .name("relay".to_owned())
            .spawn(move || {
                let Ok((socket, _)) = listener.accept() else {
                    return;
                };
                // It ends when the server does.
                let _ = send(socket, &frames, &paced);
            })?;
        Ok(Self { address, pace })
    }

    /// Sends `frames` at once.
    pub(crate) fn burst(&self, frames: u64) {
        self.pace.burst.fetch_add(frames, Ordering::Relaxed);
    }

    /// Sets the rate, in frames a second.
    pub(crate) fn set_rate(&self, rate: f64) {
        self.pace
            .rate
            .store((rate * 1000.0) as u64, Ordering::Relaxed);
    }
}

fn send(socket: TcpStream, frames: &Frames, pace: &Pace) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut socket =
        tungstenite::accept(socket).map_err(|error| io::Error::other(error.to_string()))?;
    let socket = socket.get_mut();
    let (mut sent, mut owed, mut last) = (0, 0.0, Instant::now());
    let mut out = Vec::new();
    loop {
        let now = Instant::now();
        let rate = pace.rate.load(Ordering::Relaxed) as f64 / 1000.0;
        owed += (now - last).as_secs_f64() * rate;
        last = now;
        let burst = pace.burst.load(Ordering::Relaxed).min(BURST);
        pace.burst.fetch_sub(burst, Ordering::Relaxed);
        let due = burst + owed as u64;
        owed = owed.fract();
        out.clear();
        for index in sent..sent + due {
            frames.write(index, &mut out);
        }
        sent += due;
        socket.write_all(&out)?;
        if burst == 0 {
            thread::sleep(TICK);
        }
    }
}

const BURST: u64 = 64;
const TICK: Duration = Duration::from_millis(1);
