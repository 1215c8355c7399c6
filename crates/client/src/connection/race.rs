//! Chooses among the addresses that a host's name has.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Sorts addresses so that the families take turns, beginning with that of the first (RFC 8305,
/// section 4).
pub(super) fn interleave(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut seen: Vec<SocketAddr> = Vec::new();
    for address in addresses.into_iter().take(MAX_ADDRESSES) {
        if !seen.contains(&address) {
            seen.push(address);
        }
    }
    let first_is_v6 = seen.first().is_some_and(SocketAddr::is_ipv6);
    let of_family = |is_first: bool| {
        let is_wanted = move |address: &SocketAddr| (address.is_ipv6() == first_is_v6) == is_first;
        seen.iter().copied().filter(is_wanted).enumerate()
    };
    let mut ranked: Vec<(usize, SocketAddr)> = of_family(true)
        .map(|(rank, address)| (2 * rank, address))
        .chain(of_family(false).map(|(rank, address)| (2 * rank + 1, address)))
        .collect();
    ranked.sort_by_key(|&(rank, _)| rank);
    ranked.into_iter().map(|(_, address)| address).collect()
}

/// Connects to the first address that answers. Each has `limit`, and the next is tried as well
/// after a head start, or at once when one fails (RFC 8305, section 5).
pub(super) async fn race(
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
    let stream = timeout(limit, TcpStream::connect(address)).await;
    let stream = stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let stream = stream.map_err(named)?;
    stream.set_nodelay(true).map_err(named)?;
    Ok((stream, address))
}

/// A host with more addresses than that is not tried at all of them.
const MAX_ADDRESSES: usize = 16;
const HEAD_START: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

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
}
