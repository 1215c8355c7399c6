use std::time::Duration;

use jetwash_store::{Cursor, Seq};

use crate::consumer::Lag;

/// The state of a consumer, as plain values.
///
/// # Examples
///
/// ```
/// use jetwash::Jetstream;
///
/// let (jetstream, _ingest) = Jetstream::builder().build()?;
/// let status = jetstream.consumer("feed").handle().status();
/// assert!(!status.running);
/// println!("{} handled, {} put aside", status.handled, status.dead_lettered);
/// # Ok::<(), jetwash::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConsumerStatus {
    /// Its name.
    pub name: String,
    /// Whether it runs.
    pub running: bool,
    /// Up to here everything is done; `None` before it has started.
    pub cursor: Option<Cursor>,
    /// The stored cursor; `None` if nothing is stored yet.
    pub stored: Option<Cursor>,
    /// How many events were handled with success.
    pub handled: u64,
    /// How many attempts failed, panics included.
    pub failed: u64,
    /// How many attempts panicked.
    pub panicked: u64,
    /// How many events were passed over because their handler said so.
    pub skipped: u64,
    /// How many events were put aside.
    pub dead_lettered: u64,
    /// How many events could not be read, because they were no longer kept or damaged, or because
    /// an upstream did not give them, as far as that is known.
    pub lost: u64,
    /// How many gaps it has come to.
    pub gaps: u64,
    /// How many events are at hand: waiting, being handled, or waiting to be tried again.
    pub at_hand: usize,
    /// How many bytes of memory they hold.
    pub at_hand_bytes: usize,
    /// How many events are being handled now.
    pub in_progress: usize,
    /// Whether the window is full, so that nothing is read until the event that holds it is done.
    pub window_full: bool,
    /// The event that the cursor waits for.
    pub held_by: Option<HeldBy>,
    /// The handlers that have not returned in time, the longest first.
    pub stuck: Vec<StuckHandler>,
    /// How far behind it is.
    pub lag: Lag,
}

/// The event that keeps a consumer's cursor from moving on.
///
/// # Examples
///
/// ```
/// use jetwash::Jetstream;
///
/// let (jetstream, _ingest) = Jetstream::builder().build()?;
/// let status = jetstream.consumer("feed").handle().status();
/// if let Some(held) = status.held_by {
///     println!("the cursor waits for {} of {}", held.seq, held.did);
/// }
/// # Ok::<(), jetwash::BuildError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldBy {
    /// The event.
    pub seq: Seq,
    /// Its account.
    pub did: String,
}

/// A handler that has not returned in time.
///
/// # Examples
///
/// ```
/// use jetwash::Jetstream;
///
/// let (jetstream, _ingest) = Jetstream::builder().build()?;
/// let status = jetstream.consumer("feed").handle().status();
/// for stuck in &status.stuck {
///     println!("{} is handled for {:?}, attempt {}", stuck.seq, stuck.since, stuck.attempt);
/// }
/// # Ok::<(), jetwash::BuildError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StuckHandler {
    /// The event that it was given.
    pub seq: Seq,
    /// The event's account.
    pub did: String,
    /// How long ago that was.
    pub since: Duration,
    /// Which attempt it is, counted from 1.
    pub attempt: u32,
}
