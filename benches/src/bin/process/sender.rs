use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jetwash_benches::split_message;
use tokio_tungstenite::tungstenite;

/// Listens on loopback, and sends all messages over the first connection.
pub(crate) fn start(
    messages: Arc<[u8]>,
    rate: Option<f64>,
) -> io::Result<(SocketAddr, JoinHandle<io::Result<()>>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let sending = thread::spawn(move || {
        let (socket, _) = listener.accept()?;
        socket.set_nodelay(true)?;
        let mut socket =
            tungstenite::accept(socket).map_err(|error| io::Error::other(error.to_string()))?;
        let stream = socket.get_mut();
        match rate {
            None => stream.write_all(&messages)?,
            Some(rate) => paced(&messages, rate, |bytes| stream.write_all(bytes))?,
        }
        // The other end closes the connection when it has all of them.
        let _ = socket.read();
        Ok(())
    });
    Ok((address, sending))
}

/// Writes what is due, a few times in each millisecond at most.
fn paced(
    messages: &[u8],
    rate: f64,
    mut write: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let (start, mut sent, mut rest) = (Instant::now(), 0_u64, messages);
    while !rest.is_empty() {
        let due = (start.elapsed().as_secs_f64() * rate) as u64;
        while sent < due {
            let Some((.., after)) = split_message(rest) else {
                return Ok(());
            };
            write(&rest[..rest.len() - after.len()])?;
            (rest, sent) = (after, sent + 1);
        }
        thread::sleep(Duration::from_micros(250));
    }
    Ok(())
}
