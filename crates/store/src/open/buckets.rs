//! The buckets that are there, and their contents.

use std::sync::Arc;

use crate::append::AccountBucket;
use crate::backend::{Backend, Batch, Bucket, BucketName};
use crate::block::decode_index;
use crate::crash::crash_point;
use crate::error::BackendError;
use crate::frames::{FrameRing, FrameWriter, StoredFrames};
use crate::options::Options;
use crate::ring::View;
use crate::seq::Seq;

/// Buckets of events, each with its first position.
pub(super) type EventBuckets = Vec<(Seq, Arc<dyn Bucket>)>;

/// Buckets of frames, each with its number.
pub(super) type FrameBuckets = Vec<(u64, Arc<dyn Bucket>)>;

/// Parts buckets of events from those of frames and of accounts.
pub(super) fn by_content(
    buckets: Vec<(BucketName, Arc<dyn Bucket>)>,
) -> (EventBuckets, FrameBuckets, Vec<AccountBucket>) {
    let (mut events, mut frames, mut accounts) = (Vec::new(), Vec::new(), Vec::new());
    for (name, bucket) in buckets {
        match name {
            BucketName::Events(first_seq) => events.push((first_seq, bucket)),
            BucketName::Frames(number) => frames.push((number, bucket)),
            BucketName::Accounts(begun) => accounts.push(AccountBucket { begun, bucket }),
        }
    }
    (events, frames, accounts)
}

/// Drops the buckets of accounts that a trim was about to drop when the process ended: all but the
/// newest.
pub(super) fn drop_accounts(
    accounts: &mut Vec<AccountBucket>,
    backend: &dyn Backend,
) -> Result<(), BackendError> {
    let excess = accounts.len().saturating_sub(AccountBucket::KEPT);
    for AccountBucket { begun, .. } in accounts.drain(..excess) {
        backend.delete_bucket(BucketName::Accounts(begun))?;
        crash_point!("open.accounts_deleted");
    }
    Ok(())
}

/// Lists what the buckets hold. Returns those that hold nothing that is still wanted.
pub(super) fn list_buckets(
    view: &mut View,
    buckets: EventBuckets,
    floor: Seq,
) -> Result<Vec<Seq>, BackendError> {
    let mut useless = Vec::new();
    for (first_seq, bucket) in buckets {
        let keys = bucket.keys()?;
        let wrong = keys.first().is_none_or(|key| key.first_seq != first_seq);
        if wrong || first_seq < floor {
            useless.push(first_seq);
            continue;
        }
        keys.iter()
            .for_each(|key| view.push_stored(&bucket, first_seq, key));
    }
    let firsts: Vec<Seq> = view.buckets.iter().map(|view| view.first_seq).collect();
    for (bucket, next) in view.buckets.iter_mut().zip(firsts.into_iter().skip(1)) {
        bucket.next_seq = next;
    }
    Ok(useless)
}

/// The position after the last event in a bucket, which only the last block knows. `Err` if it is
/// damaged, with a position that is at most that one.
pub(super) fn end_of_buckets(view: &mut View) -> Result<Seq, Seq> {
    let place = view.cold_block(Seq::MAX);
    let Some((place, last)) = place.zip(view.buckets.back_mut()) else {
        return Ok(Seq::FIRST);
    };
    let index = place.bucket.index(&place.key).ok().flatten();
    let Some(index) = index.and_then(|bytes| decode_index(&bytes).ok()) else {
        return Err(place.key.first_seq.next());
    };
    last.next_seq = index.next_seq();
    view.next_seq = view.next_seq.max(index.next_seq());
    view.last_time = view.last_time.max(index.last_time());
    Ok(index.next_seq())
}

/// Opens the ring of frames, or drops the frames that an earlier run has kept.
pub(super) fn open_frames(
    stored: StoredFrames,
    buckets: FrameBuckets,
    backend: &dyn Backend,
    options: &Options,
) -> Result<Option<(FrameWriter, FrameRing)>, BackendError> {
    let all: Vec<u64> = buckets.iter().map(|(number, _)| *number).collect();
    let forgotten = stored.keys();
    let (opened, useless) = match options.frame_bytes {
        Some(max_bytes) => {
            let (writer, ring, useless) = FrameWriter::open(stored, buckets, max_bytes);
            (Some((writer, ring)), useless)
        }
        None => (None, all),
    };
    if opened.is_none() && !forgotten.is_empty() {
        let mut batch = Batch::default();
        forgotten.into_iter().for_each(|key| batch.remove(key));
        backend.write(&batch)?;
    }
    for number in useless {
        backend.delete_bucket(BucketName::Frames(number))?;
    }
    Ok(opened)
}
