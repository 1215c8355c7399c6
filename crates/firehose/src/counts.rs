use std::sync::atomic::{AtomicU64, Ordering};

use metrics::counter;

use crate::end::End;
use crate::refusal::Refusal;

/// The sums of a [`Firehose`](crate::Firehose) since it was made.
///
/// # Examples
///
/// ```
/// use jetwash::Jetstream;
/// use jetwash_firehose::{Firehose, FirehoseOptions, JetstreamFrames};
///
/// let (jetstream, _ingest) = Jetstream::builder().keep_frames(1 << 20).build()?;
/// let frames = JetstreamFrames::new(jetstream, "upstream")?;
/// let counts = Firehose::new(frames, FirehoseOptions::default()).counts();
/// assert_eq!((counts.readers, counts.frames_sent, counts.refused), (0, 0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FirehoseCounts {
    /// Readers that are connected now.
    pub readers: u64,
    /// Frames written to readers.
    pub frames_sent: u64,
    /// The bytes of these frames.
    pub bytes_sent: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Readers whose cursor was older than what is kept.
    pub outdated_cursors: u64,
    /// Readers whose cursor was above the newest frame.
    pub future_cursors: u64,
    /// Readers that were closed as too slow.
    pub too_slow: u64,
    /// Readers that were closed because they did not answer pings.
    pub silent: u64,
    /// Readers that were closed for the messages that they sent.
    pub misbehaved: u64,
    /// Readers that were closed because frames could not be read.
    pub failed: u64,
}

/// The counters behind [`FirehoseCounts`], which go to the `metrics` facade too.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    frames_sent: AtomicU64,
    bytes_sent: AtomicU64,
    refused: AtomicU64,
    outdated_cursors: AtomicU64,
    future_cursors: AtomicU64,
    too_slow: AtomicU64,
    silent: AtomicU64,
    misbehaved: AtomicU64,
    failed: AtomicU64,
}

impl Counters {
    pub(crate) fn sent(&self, frames: u64, bytes: u64) {
        self.frames_sent.fetch_add(frames, Ordering::Relaxed);
        self.bytes_sent.fetch_add(bytes, Ordering::Relaxed);
        counter!("jetwash_firehose_frames_sent_total").increment(frames);
        counter!("jetwash_firehose_bytes_sent_total").increment(bytes);
    }

    pub(crate) fn refused(&self, why: Refusal) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        counter!("jetwash_firehose_refused_total", "reason" => why.reason()).increment(1);
    }

    /// Counts a reader by the kind of its cursor.
    pub(crate) fn cursor(&self, kind: &'static str) {
        match kind {
            OUTDATED => self.outdated_cursors.fetch_add(1, Ordering::Relaxed),
            FUTURE => self.future_cursors.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
        counter!("jetwash_firehose_cursors_total", "cursor" => kind).increment(1);
    }

    pub(crate) fn ended(&self, end: &End) {
        let sum = match end {
            End::TooSlow(_) => Some(&self.too_slow),
            End::Silent => Some(&self.silent),
            End::TooLarge | End::Flooding => Some(&self.misbehaved),
            End::Failed => Some(&self.failed),
            End::Gone | End::FutureCursor(_) | End::Stopping => None,
        };
        if let Some(sum) = sum {
            sum.fetch_add(1, Ordering::Relaxed);
        }
        counter!("jetwash_firehose_ended_total", "reason" => end.reason()).increment(1);
    }

    pub(crate) fn counts(&self, readers: usize) -> FirehoseCounts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        FirehoseCounts {
            readers: readers as u64,
            frames_sent: get(&self.frames_sent),
            bytes_sent: get(&self.bytes_sent),
            refused: get(&self.refused),
            outdated_cursors: get(&self.outdated_cursors),
            future_cursors: get(&self.future_cursors),
            too_slow: get(&self.too_slow),
            silent: get(&self.silent),
            misbehaved: get(&self.misbehaved),
            failed: get(&self.failed),
        }
    }
}

/// The label of a cursor that is older than what is kept.
pub(crate) const OUTDATED: &str = "outdated";
/// The label of a cursor above the newest frame.
pub(crate) const FUTURE: &str = "future";
