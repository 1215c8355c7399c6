/// The two versions of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// `/subscribe`, as in version 1, and `/events`.
    V1,
    /// `network.bsky.jetstream.subscribeEvents`, of version 2, and `/v2/events`.
    V2,
}
