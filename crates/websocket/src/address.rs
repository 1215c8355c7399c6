use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Sorts the first 16 addresses of a host so that the families take turns, beginning with that of the
/// first (RFC 8305, section 4). Each address is there once.
///
/// # Examples
///
/// ```
/// use std::net::SocketAddr;
///
/// use jetwash_websocket::interleave;
///
/// let found = ["[::1]:80", "[::2]:80", "192.0.2.1:80"].map(|text| text.parse().unwrap());
/// let sorted: Vec<SocketAddr> = interleave(found);
/// assert_eq!(sorted, [found[0], found[2], found[1]]);
/// ```
pub fn interleave(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut seen = Vec::new();
    for address in addresses.into_iter().take(MAX_ADDRESSES) {
        if !seen.contains(&address) {
            seen.push(address);
        }
    }
    let starts_with_v6 = seen.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = seen
        .into_iter()
        .partition(|address| address.is_ipv6() == starts_with_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut sorted = Vec::new();
    loop {
        let pair = (first.next(), second.next());
        if pair == (None, None) {
            return sorted;
        }
        sorted.extend(pair.0);
        sorted.extend(pair.1);
    }
}

/// Connects to the first address that answers. Each has `limit`, and the next is tried as well
/// after a head start of 250 ms, or at once when one fails (RFC 8305, section 5). Returns the
/// connection, without delay of small segments (`TCP_NODELAY`), and the address that it is to.
///
/// # Errors
///
/// The last error, with its address, when all have failed; also without an address.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use jetwash_websocket::race;
/// use tokio::net::TcpListener;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let there = listener.local_addr()?;
/// let not_there = "127.0.0.1:1".parse().unwrap();
///
/// let (_stream, address) = race(&[not_there, there], Duration::from_secs(10)).await?;
/// assert_eq!(address, there);
/// # Ok(())
/// # }
/// ```
pub async fn race(
    addresses: &[SocketAddr],
    limit: Duration,
) -> io::Result<(TcpStream, SocketAddr)> {
    let mut waiting = addresses.iter().copied();
    let mut attempts = JoinSet::new();
    let mut failure = io::Error::other("the host has no address");
    loop {
        match waiting.next() {
            Some(address) => {
                attempts.spawn(connect(address, limit));
            }
            None if attempts.is_empty() => return Err(failure),
            None => {}
        }
        let has_more = waiting.len() > 0;
        tokio::select! {
            Some(outcome) = attempts.join_next() => match outcome {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) => failure = error,
                Err(error) => failure = error.into(),
            },
            () = sleep(HEAD_START), if has_more => {}
        }
    }
}

async fn connect(address: SocketAddr, limit: Duration) -> io::Result<(TcpStream, SocketAddr)> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
    let stream = timeout(limit, TcpStream::connect(address))
        .await
        .map_err(|_| io::ErrorKind::TimedOut.into())
        .and_then(|outcome| outcome)
        .map_err(named)?;
    stream.set_nodelay(true).map_err(named)?;
    Ok((stream, address))
}

/// A host with more addresses than that is not tried at all of them.
const MAX_ADDRESSES: usize = 16;
const HEAD_START: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn the_families_take_turns() {
        let addresses = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "[::1]:1"];
        let sorted = interleave(addresses.map(|text| text.parse().unwrap()));
        let sorted: Vec<_> = sorted.iter().map(ToString::to_string).collect();
        assert_eq!(sorted, ["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]);
    }

    #[tokio::test]
    async fn an_address_that_refuses_gives_way_to_the_next_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = [gone.local_addr().unwrap(), listener.local_addr().unwrap()];
        drop(gone);
        let (_, address) = race(&addresses, Duration::from_secs(60)).await.unwrap();
        assert_eq!(address, addresses[1]);
    }

    #[tokio::test]
    async fn an_address_that_does_not_answer_gives_way_after_a_head_start() {
        // A listener whose queue is full: the kernel answers no further attempt.
        let full = tokio::net::TcpSocket::new_v4().unwrap();
        full.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let full = full.listen(1).unwrap();
        let mut held = Vec::new();
        while let Ok(Ok(stream)) = timeout(
            Duration::from_millis(300),
            TcpStream::connect(full.local_addr().unwrap()),
        )
        .await
        {
            held.push(stream);
            assert!(held.len() < 100, "the queue does not fill");
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = [full.local_addr().unwrap(), listener.local_addr().unwrap()];
        let begun = Instant::now();
        let (_, address) = race(&addresses, Duration::from_secs(60)).await.unwrap();
        assert_eq!(address, addresses[1]);
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}
