use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::open::network;
use crate::options::ServeOptions;
use crate::subscriber::bucket::Bucket;

/// Shares out, by address, what its subscribers may take together. An address is forgotten with its
/// last connection, so the memory is bounded by the number of connections.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    by_address: Mutex<HashMap<IpAddr, Arc<Address>>>,
}

/// One connection's share in its address. Dropping it gives the share back.
#[derive(Debug)]
pub(crate) struct Share {
    addresses: Arc<Addresses>,
    ip: IpAddr,
    address: Arc<Address>,
    rate: Option<u32>,
}

#[derive(Debug)]
struct Address {
    connections: Mutex<usize>,
    streams: Arc<Semaphore>,
    /// For events.
    bucket: Mutex<Bucket>,
    /// For bytes that come from its subscribers.
    received: Mutex<Bucket>,
}

impl Addresses {
    /// Returns a share for a connection from `ip`, unless its limit is reached.
    pub(crate) fn enter(self: &Arc<Self>, ip: IpAddr, options: &ServeOptions) -> Option<Share> {
        let ip = network(ip);
        let mut by_address = lock(&self.by_address);
        let address = by_address
            .entry(ip)
            .or_insert_with(|| Arc::new(Address::new(options)));
        let mut connections = lock(&address.connections);
        if options
            .max_connections_per_address
            .is_some_and(|most| *connections >= most)
        {
            return None;
        }
        *connections += 1;
        Some(Share {
            addresses: Arc::clone(self),
            ip,
            address: Arc::clone(address),
            rate: options.max_events_per_address,
        })
    }
}

impl Share {
    /// Returns a permit for a stream, unless the limit of the address is reached.
    pub(crate) fn stream(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.address.streams).try_acquire_owned().ok()
    }

    /// Takes tokens for bytes from a subscriber. Returns how long to wait before reading more.
    pub(crate) fn receive(&self, cost: f64, rate: f64, now: Instant) -> Duration {
        lock(&self.address.received).take(cost, rate * ADDRESS_FACTOR, now)
    }

    /// Takes tokens for `events` if there are enough of them. Returns whether there were.
    pub(crate) fn take_now(&self, events: usize, now: Instant) -> bool {
        let mut bucket = lock(&self.address.bucket);
        self.rate
            .is_none_or(|rate| bucket.take_now(events as f64, f64::from(rate), now))
    }

    /// Takes tokens for up to `events`. Returns for how many, and how long to wait before they are
    /// sent. They are few, so that subscribers of one address take turns.
    pub(crate) fn reserve(&self, events: usize, now: Instant) -> (usize, Duration) {
        let Some(rate) = self.rate else {
            return (events, Duration::ZERO);
        };
        let events = events.min((rate / PIECES).max(1) as usize);
        let wait = lock(&self.address.bucket).take(events as f64, f64::from(rate), now);
        (events, wait)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut by_address = lock(&self.addresses.by_address);
        let mut connections = lock(&self.address.connections);
        *connections -= 1;
        if *connections == 0 {
            by_address.remove(&self.ip);
        }
    }
}

impl Address {
    fn new(options: &ServeOptions) -> Self {
        let now = Instant::now();
        // As many as it refills in a second.
        let tokens = options.max_events_per_address.map_or(0.0, f64::from);
        Self {
            connections: Mutex::new(0),
            streams: Arc::new(Semaphore::new(options.streams_per_address())),
            bucket: Mutex::new(Bucket::full(tokens, now)),
            received: Mutex::new(Bucket::full(options.max_message_bytes as f64, now)),
        }
    }
}

/// Returns the address of a client: its socket's, or if a proxy is trusted the last one in the
/// header, which that proxy has added. The client may have made up the ones before it.
pub(crate) fn client_ip(
    peer: Option<SocketAddr>,
    headers: &HeaderMap,
    options: &ServeOptions,
) -> Option<IpAddr> {
    let forwarded = options.trust_forwarded_for.then(|| {
        let value = headers
            .get_all("x-forwarded-for")
            .iter()
            .next_back()?
            .to_str()
            .ok()?;
        value.rsplit(',').next()?.trim().parse().ok()
    });
    let ip = forwarded.flatten().or_else(|| peer.map(|peer| peer.ip()));
    // A socket of both families gives IPv4 addresses as IPv6 ones.
    ip.map(|ip| ip.to_canonical())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half done under these locks, so a poisoned one is as good as any.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How much more all subscribers of an address may send than one of them.
const ADDRESS_FACTOR: f64 = 2.0;
/// A subscriber takes tokens for the events of this part of a second at a time.
const PIECES: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_counted_and_forgotten() {
        let options = ServeOptions::default().max_connections_per_address(2);
        let addresses = Arc::new(Addresses::default());
        let ip = IpAddr::from([127, 0, 0, 1]);
        let shares: Vec<_> = (0..3).map(|_| addresses.enter(ip, &options)).collect();
        assert!(shares[1].is_some() && shares[2].is_none());
        assert!(
            addresses
                .enter(IpAddr::from([127, 0, 0, 2]), &options)
                .is_some()
        );
        drop(shares);
        assert!(lock(&addresses.by_address).is_empty());
    }

    #[test]
    fn only_a_trusted_proxy_says_where_a_client_is() {
        let peer = Some(SocketAddr::from(([10, 0, 0, 1], 1)));
        let mut headers = HeaderMap::new();
        let forwarded = "1.1.1.1, 2.2.2.2".parse().unwrap();
        headers.insert("x-forwarded-for", forwarded);
        let options = ServeOptions::default();
        assert_eq!(
            client_ip(peer, &headers, &options),
            Some([10, 0, 0, 1].into())
        );
        let options = options.trust_forwarded_for(true);
        assert_eq!(
            client_ip(peer, &headers, &options),
            Some([2, 2, 2, 2].into())
        );
        assert_eq!(
            client_ip(peer, &HeaderMap::new(), &options),
            Some([10, 0, 0, 1].into())
        );
    }
}
