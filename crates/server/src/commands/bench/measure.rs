use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use jetwash::store::{Location, Options, Read, Store, open};
use jetwash::{Dictionary, Micros, NetworkConfig, Pipeline};
use jetwash_sim::Network;
use serde::Serialize;

use crate::disk_sync;
use crate::progress;

/// Figures of a machine.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figures {
    /// Frames decoded, encoded, compressed and committed.
    pub(super) frames_per_s: f64,
    pub(super) frames: u64,
    /// In the mean.
    pub(super) frame_bytes: u64,
    /// Events read from the log as they are sent to a subscriber that wants them compressed.
    pub(super) stored_events_per_s: f64,
    /// Events read from the log and unpacked.
    pub(super) json_events_per_s: f64,
    pub(super) sync_median_ms: f64,
    pub(super) sync_most_ms: f64,
}

/// Takes the figures, with a log in a folder of its own below `work`.
pub(super) fn measure(work: &Path, duration: Duration) -> Result<Figures, Box<dyn Error>> {
    let at_work = |error| format!("{}: {error}", work.display());
    let folder = tempfile::Builder::new()
        .prefix("jetwash-bench-")
        .tempdir_in(work);
    let folder = folder.map_err(at_work)?;
    let syncs = disk_sync::times(folder.path()).map_err(at_work)?;
    let log = folder.path().join("log");
    let (frames, bytes, took) = write(&log, duration)?;
    // Opened anew, so that events come from the files.
    let (_appender, store) = open(Location::Disk(log), Options::default())?;
    let (stored, stored_took) = read(&store, false)?;
    let (unpacked, unpacked_took) = read(&store, true)?;
    let rate = |count: u64, took: Duration| count as f64 / took.as_secs_f64().max(1e-9);
    let millis = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
    Ok(Figures {
        frames_per_s: rate(frames, took),
        frames,
        frame_bytes: bytes / frames.max(1),
        stored_events_per_s: rate(stored, stored_took),
        json_events_per_s: rate(unpacked, unpacked_took),
        sync_median_ms: millis(syncs.get(syncs.len() / 2)),
        sync_most_ms: millis(syncs.last()),
    })
}

/// Writes frames for a time. Returns how many there were, their bytes, and how long it took without
/// their making.
fn write(log: &Path, duration: Duration) -> Result<(u64, u64, Duration), Box<dyn Error>> {
    let (appender, _store) = open(Location::Disk(log.to_owned()), Options::default())?;
    let mut pipeline = Pipeline::new(appender).dictionary(&Dictionary::builtin()?)?;
    let mut network = Network::new(NetworkConfig::default())?;
    let spinner = progress::spinner();
    let (mut count, mut bytes, mut took) = (0, 0, Duration::ZERO);
    while took < duration {
        let frames: Vec<_> = network.by_ref().take(BATCH).map(|it| it.bytes).collect();
        // Only from here on: a network takes its time to make frames.
        let now = Micros::from(SystemTime::now());
        let start = Instant::now();
        for (index, frame) in frames.iter().enumerate() {
            pipeline.frame(SOURCE, frame, now)?;
            if index % COMMIT == COMMIT - 1 {
                pipeline.commit()?;
            }
        }
        pipeline.commit()?;
        took += start.elapsed();
        count += frames.len() as u64;
        bytes += frames.iter().map(|frame| frame.len() as u64).sum::<u64>();
        if let Some(spinner) = &spinner {
            spinner.set_message(format!("{count} frames"));
            spinner.tick();
        }
    }
    if let Some(spinner) = &spinner {
        spinner.finish_and_clear();
    }
    Ok((count, bytes, took))
}

/// Reads all events, as they are stored or as JSON.
fn read(store: &Store, is_unpacked: bool) -> Result<(u64, Duration), Box<dyn Error>> {
    let start = Instant::now();
    let (mut at, mut count) = (store.bounds().oldest_seq, 0);
    loop {
        match store.read(at)? {
            Read::Events(run) => {
                if is_unpacked || run.block().compressed()?.is_none() {
                    run.block().json()?;
                }
                count += run.next_seq().since(at);
                at = run.next_seq();
            }
            Read::Gap(gap) => at = gap.next_seq,
            Read::AtTip => return Ok((count, start.elapsed())),
        }
    }
}

const SOURCE: &str = "bench";
const BATCH: usize = 2_000;
/// As many frames as come at once on a busy day.
const COMMIT: usize = 64;
