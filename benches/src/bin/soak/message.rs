/// A message of the relay.
pub(crate) enum Message {
    Frame(Vec<u8>),
    /// The protocol has none.
    Text,
}
