use std::sync::Arc;

use super::address::MirrorAddress;
use crate::source::options::Prepared;

/// The hosts that have the log to mirror, in the order in which they are tried.
#[derive(Clone)]
pub(crate) struct MirrorSource {
    pub(super) addresses: Vec<MirrorAddress>,
    pub(super) options: Arc<Prepared>,
}

impl MirrorSource {
    pub(crate) fn new(addresses: Vec<MirrorAddress>, options: Prepared) -> Self {
        Self {
            addresses,
            options: Arc::new(options),
        }
    }

    /// The name of the source: that of its first host.
    pub(crate) fn name(&self) -> Arc<str> {
        let first = self.addresses.first();
        first.map_or_else(|| "".into(), |address| Arc::clone(address.name()))
    }
}
