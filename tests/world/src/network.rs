//! The network and the relays that follow it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jetwash_sim::{Network, NetworkConfig};

use crate::relay::Relay;
use crate::trace::Trace;
use crate::truth::TruthFrame;

/// All that happens, and who sends it on.
#[derive(Clone)]
pub(crate) struct Source {
    inner: Arc<Mutex<Inner>>,
    pub(crate) relays: [Relay; 2],
    trace: Trace,
}

struct Inner {
    network: Network,
    frames: Vec<TruthFrame>,
}

impl Source {
    pub(crate) fn new(seed: u64, trace: &Trace) -> Self {
        let config = NetworkConfig {
            accounts: 14,
            records: 60,
            seed,
            rare_per_million: 60_000,
            ..NetworkConfig::default()
        };
        let inner = Inner {
            network: Network::new(config).unwrap(),
            frames: Vec::new(),
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            relays: [
                Relay::new("a", seed, 40_001, trace.clone()),
                Relay::new("b", seed, 70_001, trace.clone()),
            ],
            trace: trace.clone(),
        }
    }

    /// Has some more happen.
    pub(crate) fn publish(&self, count: u64) {
        for _ in 0..count {
            let mut inner = self.inner();
            let frame = TruthFrame::of(inner.network.next().unwrap());
            let place = inner.frames.len();
            inner.frames.push(frame.clone());
            drop(inner);
            self.trace.mix(frame.did.as_bytes());
            self.relays
                .iter()
                .for_each(|relay| relay.publish(place, &frame));
        }
    }

    pub(crate) fn frames(&self) -> Vec<TruthFrame> {
        self.inner().frames.clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.inner().frames.len()
    }

    pub(crate) fn dids(&self) -> Vec<String> {
        self.inner().network.dids().map(str::to_owned).collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
