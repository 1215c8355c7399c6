use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jetwash_verify::{Reason, Verdict};
use tracing::error;

use crate::panic::Panic;

/// Counts since the start, for the process to read and, through the `metrics` facade, for whichever
/// recorder the program has installed.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    frames: AtomicU64,
    frame_bytes: AtomicU64,
    events: AtomicU64,
    json_bytes: AtomicU64,
    compressed_bytes: AtomicU64,
    rejected: AtomicU64,
    ignored: AtomicU64,
    /// How long the last frame waited for the pipeline, in microseconds.
    wait_us: AtomicU64,
    /// How old the last commit was when the pipeline had it, in microseconds.
    age_us: AtomicU64,
    repeated: AtomicU64,
    late: AtomicU64,
    dropped: Mutex<BTreeMap<&'static str, u64>>,
    gaps: Mutex<BTreeMap<&'static str, u64>>,
    reconnects: Mutex<BTreeMap<&'static str, u64>>,
    stalled: Mutex<Option<String>>,
    panics: Mutex<BTreeMap<&'static str, u64>>,
    clock_jumps: AtomicU64,
    verdicts: Mutex<BTreeMap<&'static str, u64>>,
    invalid: Mutex<BTreeMap<&'static str, u64>>,
    /// Frames that wait for a key.
    held: AtomicU64,
}

impl Stats {
    pub(crate) fn frame(&self, bytes: usize) {
        add(&self.frames, 1);
        add(&self.frame_bytes, bytes as u64);
    }

    pub(crate) fn event(&self, json: usize, compressed: usize) {
        add(&self.events, 1);
        add(&self.json_bytes, json as u64);
        add(&self.compressed_bytes, compressed as u64);
    }

    /// Counts a message of a mirrored log.
    pub(crate) fn mirrored(&self, bytes: usize, events: u64, json: u64) {
        self.frame(bytes);
        add(&self.events, events);
        add(&self.json_bytes, json);
    }

    pub(crate) fn rejected(&self) {
        add(&self.rejected, 1);
    }

    /// Counts a frame of a type that is not known, or no longer in use.
    pub(crate) fn ignored(&self) {
        ::metrics::counter!("jetwash_ignored_total").increment(1);
        add(&self.ignored, 1);
    }

    /// Counts a frame that had something in it that is in the log.
    pub(crate) fn repeated(&self) {
        ::metrics::counter!("jetwash_repeated_total").increment(1);
        add(&self.repeated, 1);
    }

    /// Counts a gap by the name of its cause.
    pub(crate) fn gap(&self, cause: &'static str) {
        ::metrics::counter!("jetwash_upstream_gaps_total", "cause" => cause).increment(1);
        count(&self.gaps, cause);
    }

    /// Counts a frame, operation or record that was lost. `reason` is one of a fixed few, never
    /// text from outside.
    pub(crate) fn dropped(&self, reason: &'static str) {
        ::metrics::counter!("jetwash_dropped_total", "reason" => reason).increment(1);
        count(&self.dropped, reason);
    }

    /// Counts a commit or a `#sync` that was verified.
    pub(crate) fn verdict(&self, verdict: Verdict) {
        let (name, reason) = (verdict.name(), verdict.reason().map(Reason::name));
        let label = reason.unwrap_or_default();
        ::metrics::counter!("jetwash_verdicts_total", "verdict" => name, "reason" => label)
            .increment(1);
        count(&self.verdicts, name);
        if let Some(reason) = reason {
            count(&self.invalid, reason);
        }
    }

    /// Counts a record that could not be compared with its CID.
    pub(crate) fn unchecked(&self) {
        ::metrics::counter!("jetwash_verdicts_total", "verdict" => "unchecked", "reason" => "")
            .increment(1);
        count(&self.verdicts, "unchecked");
    }

    /// Counts an event that one Jetstream had left out and another brought.
    pub(crate) fn late(&self) {
        ::metrics::counter!("jetwash_late_total").increment(1);
        add(&self.late, 1);
    }

    /// Notes how many frames wait for a key.
    pub(crate) fn held(&self, frames: usize) {
        ::metrics::gauge!("jetwash_held_frames").set(frames as f64);
        self.held.store(frames as u64, Ordering::Relaxed);
    }

    pub(crate) fn reconnect(&self, reason: &'static str) {
        ::metrics::counter!("jetwash_reconnects_total", "reason" => reason).increment(1);
        count(&self.reconnects, reason);
    }

    /// Counts a panic, by where it was, and tells of it: of the first, and then each time that
    /// there are twice as many. `place` is one of a fixed few.
    pub(crate) fn panicked(&self, place: &'static str, panic: &Panic) {
        ::metrics::counter!("jetwash_panics_total", "task" => place).increment(1);
        let times = count(&self.panics, place);
        if times.is_power_of_two() {
            error!(task = place, times, %panic, "a panic was caught; the rest goes on");
        }
    }

    /// Counts a jump of the clock.
    pub(crate) fn clock_jump(&self) {
        ::metrics::counter!("jetwash_clock_jumps_total").increment(1);
        add(&self.clock_jumps, 1);
    }

    /// Notes why the log cannot be written, or that it can again.
    pub(crate) fn stall(&self, reason: Option<String>) {
        let is_stalled = f64::from(u8::from(reason.is_some()));
        ::metrics::gauge!("jetwash_log_stalled").set(is_stalled);
        *self.stalled.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// Why the log cannot be written at the moment, if it cannot.
    pub(crate) fn stalled(&self) -> Option<String> {
        let stalled = self.stalled.lock();
        stalled.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn waited(&self, wait: Duration) {
        let wait = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        self.wait_us.store(wait, Ordering::Relaxed);
    }

    pub(crate) fn age(&self, age: Duration) {
        let age = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
        self.age_us.store(age, Ordering::Relaxed);
    }

    /// How long the last commit was on its way to this process, and how long it then waited for
    /// the pipeline.
    pub(crate) fn delays(&self) -> (Duration, Duration) {
        let wait = self.wait_us.load(Ordering::Relaxed);
        let upstream = self.age_us.load(Ordering::Relaxed).saturating_sub(wait);
        (Duration::from_micros(upstream), Duration::from_micros(wait))
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let copy = |map: &Mutex<BTreeMap<_, _>>| {
            map.lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        Snapshot {
            frames: read(&self.frames),
            frame_bytes: read(&self.frame_bytes),
            events: read(&self.events),
            json_bytes: read(&self.json_bytes),
            compressed_bytes: read(&self.compressed_bytes),
            rejected: read(&self.rejected),
            ignored: read(&self.ignored),
            repeated: read(&self.repeated),
            late: read(&self.late),
            dropped: copy(&self.dropped),
            gaps: copy(&self.gaps),
            reconnects: copy(&self.reconnects),
            stalled: self.stalled(),
            panics: copy(&self.panics),
            clock_jumps: read(&self.clock_jumps),
            verdicts: copy(&self.verdicts),
            invalid: copy(&self.invalid),
            held: read(&self.held),
        }
    }
}

/// The counts of a [`Jetstream`](crate::Jetstream) since it was built.
///
/// # Examples
///
/// ```
/// use jetwash::Jetstream;
///
/// let (jetstream, _ingest) = Jetstream::builder().build()?;
/// let snapshot = jetstream.snapshot();
/// assert_eq!(snapshot.events, 0);
/// for (reason, count) in &snapshot.dropped {
///     println!("{count} lost: {reason}");
/// }
/// # Ok::<(), jetwash::BuildError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Frames that arrived, events of Jetstreams, and messages of a mirrored log.
    pub frames: u64,
    /// Their bytes.
    pub frame_bytes: u64,
    /// Events that went into the log.
    pub events: u64,
    /// The bytes of their JSON.
    pub json_bytes: u64,
    /// The bytes of the compressed events; 0 without a dictionary.
    pub compressed_bytes: u64,
    /// Frames and operations that the ingest filter turned away.
    pub rejected: u64,
    /// Frames of types that are not known, or no longer in use: the protocol says to pass them
    /// over, so nothing is lost with them.
    pub ignored: u64,
    /// Frames that had something in them that is in the log, be it from another source or because
    /// the source repeats itself. Nothing is lost by that.
    pub repeated: u64,
    /// Events that one of several Jetstreams had left out and another brought, behind newer ones of
    /// their account: see
    /// [`jetstream_union`](crate::JetstreamBuilder::jetstream_union).
    pub late: u64,
    /// Frames and operations that were lost, counted by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Gaps: events are missing, or may be, although nothing was dropped here. By the name of the
    /// [cause](jetwash_store::GapCause::name).
    pub gaps: BTreeMap<&'static str, u64>,
    /// Connections to relays and to the hosts of a mirrored log that ended, counted by reason, and
    /// as `jetstream` those to Jetstreams.
    pub reconnects: BTreeMap<&'static str, u64>,
    /// Why the log cannot be written at the moment: the disk is full, for example. Sources wait
    /// meanwhile and readers continue; nothing is lost that the sources still have afterwards. `None`
    /// while all is well.
    pub stalled: Option<String>,
    /// Panics that were caught, counted by where they were: `source`, a stream that the caller
    /// brought; `ingest_filter_with` and `filter`, closures; `handler`, that of a consumer;
    /// `relay`, `jetstream`, `mirror`, `trainer` and `writer`, tasks of this crate; and what
    /// [`Jetstream::report_panic`](crate::Jetstream::report_panic) was told. What could continue did.
    pub panics: BTreeMap<&'static str, u64>,
    /// Jumps of the clock that the log's time did not follow, or not at once: see
    /// [`Clock`](crate::Clock).
    pub clock_jumps: u64,
    /// Commits and `#sync` frames that were verified, by the name of their
    /// [verdict](jetwash_verify::Verdict::name). Empty without verification. With
    /// [`check_cids`](crate::JetstreamOptions::check_cids) also records of Jetstreams that match
    /// their CIDs, and as `unchecked` those that could not be compared.
    pub verdicts: BTreeMap<&'static str, u64>,
    /// Those that are invalid, by the name of the [reason](jetwash_verify::Reason::name). They are
    /// counted under [`dropped`](Self::dropped) as well.
    pub invalid: BTreeMap<&'static str, u64>,
    /// Frames that wait for the key of their account.
    pub held: u64,
}

/// Adds to a counter that nobody but the pipeline writes: that takes no locked instruction, of
/// which three would be a fifth of what a frame costs that is turned away.
fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
}

fn count(map: &Mutex<BTreeMap<&'static str, u64>>, reason: &'static str) -> u64 {
    // A poisoned lock means that a thread died while counting: the numbers are still good.
    let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
    let count = map.entry(reason).or_default();
    *count += 1;
    *count
}
