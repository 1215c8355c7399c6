use crate::seq::Seq;

use bytes::Bytes;

use super::bucket::BlockKey;

/// Changes that are made together.
#[derive(Clone, Default)]
pub(crate) struct Batch {
    /// Keys of the state with their new values; `None` removes one.
    pub(crate) state: Vec<(Vec<u8>, Option<Bytes>)>,
    /// Keys of dead letters with their new values; `None` removes one.
    pub(crate) letters: Vec<(Vec<u8>, Option<Bytes>)>,
    pub(crate) blocks: Vec<BlockRow>,
    pub(crate) frames: Vec<FrameRow>,
    pub(crate) accounts: Vec<AccountRow>,
}

/// A new block, and where it goes to.
#[derive(Clone)]
pub(crate) struct BlockRow {
    /// The first position of its bucket.
    pub(crate) bucket: Seq,
    pub(crate) key: BlockKey,
    pub(crate) index: Bytes,
    pub(crate) payload: Bytes,
    /// How far the upstreams had been read when the block had no event that was read later: see
    /// [`encode_cursors`](super::state::encode_cursors).
    pub(crate) cursors: Option<Bytes>,
}

/// A new frame, and where it goes to.
#[derive(Clone)]
pub(crate) struct FrameRow {
    pub(crate) bucket: u64,
    pub(crate) log: u32,
    pub(crate) seq: u64,
    pub(crate) bytes: Bytes,
}

/// The new state of an account, and where it goes to.
#[derive(Clone)]
pub(crate) struct AccountRow {
    /// The time at which its bucket was begun.
    pub(crate) bucket: u64,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Bytes,
}

impl Batch {
    pub(crate) fn set(&mut self, key: Vec<u8>, value: impl Into<Bytes>) {
        self.state.push((key, Some(value.into())));
    }

    /// The bytes of the events in it.
    pub(crate) fn event_bytes(&self) -> u64 {
        let state = self.state.iter().filter_map(|(_, value)| value.as_ref());
        let state: usize = state.map(Bytes::len).sum();
        let blocks = self.blocks.iter().map(|row| row.key.bytes);
        state as u64 + blocks.map(u64::from).sum::<u64>()
    }

    pub(crate) fn remove(&mut self, key: Vec<u8>) {
        self.state.push((key, None));
    }
}
