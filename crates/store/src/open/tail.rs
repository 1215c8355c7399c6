//! The pieces of the tail: what was committed since the last full block.

use std::sync::Arc;

use bytes::Bytes;

use crate::block::{Block, Dictionaries, check_payload, decode_piece};
use crate::ring::View;
use crate::seq::Seq;

/// Adds to the view the pieces that follow the buckets, which end at `end`: see
/// [`end_of_buckets`](super::buckets::end_of_buckets).
///
/// Slots are used again, so pieces of an earlier tail may be among them. They are told by their
/// positions: what lies before the end of the buckets, or before the floor, means nothing.
pub(super) fn read_tail(
    view: &mut View,
    tail: Vec<Bytes>,
    end: Result<Seq, Seq>,
    floor: Seq,
    dictionaries: &Arc<Dictionaries>,
) {
    let (Ok(in_buckets) | Err(in_buckets)) = end;
    let start = in_buckets.max(floor);
    let mut pieces = Vec::new();
    for bytes in tail {
        // What cannot be read is a gap: readers are told of it when they come to it.
        let Ok((index, payload)) = decode_piece(&bytes) else {
            continue;
        };
        if index.first_seq < start {
            continue;
        }
        let payload = bytes.slice(payload..);
        if check_payload(&index, &payload).is_err() {
            // Its positions were given out all the same.
            view.next_seq = view.next_seq.max(index.next_seq());
            continue;
        }
        let is_json = index.compressed_ends.is_empty();
        let (compressed, json) = if is_json {
            (None, Some(payload))
        } else {
            (Some(payload), None)
        };
        let block = Block::in_memory(index, compressed, json, Arc::clone(dictionaries));
        pieces.push(Arc::new(block));
    }
    pieces.sort_by_key(|piece| piece.first_seq());
    for piece in pieces {
        view.next_seq = view.next_seq.max(piece.next_seq());
        view.last_time = view.last_time.max(piece.index().last_time());
        view.push_tail(piece);
    }
    if end.is_err() {
        // The last block of the buckets is damaged, and with it where they end. The damage reaches
        // up to what can be read again.
        let next = view
            .tail()
            .next()
            .map_or(view.next_seq, |piece| piece.first_seq());
        if let Some(last) = view.buckets.back_mut() {
            last.next_seq = next;
        }
    }
}
