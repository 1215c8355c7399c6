//! Times a log on its way into files, and what a spool that stands still costs the others.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints its figures, and ends where its input is not what it should be"
)]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use jetwash::store::{Location, Options, open};
use jetwash::{Filter, Jetstream, Micros, Pipeline, StartFrom};
use jetwash_benches::{Table, simulated_frames};
use jetwash_spool::{Compression, FileSpool};
use tokio::runtime::Runtime;

fn main() {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let events = fill(&folder.path().join("log"), &simulated_frames(20_000));
    let (jetstream, ingest) = Jetstream::builder()
        .folder(folder.path().join("log"))
        .retain_for(Duration::from_secs(1 << 30))
        .build()
        .unwrap();
    runtime.block_on(ingest.run(async {})).unwrap();

    let number = std::cell::Cell::new(0);
    let fresh = || {
        number.set(number.get() + 1);
        folder.path().join(number.get().to_string())
    };
    let spool = |compression| {
        let folder = fresh();
        let spool = FileSpool::builder(&folder)
            .compression(compression)
            .build()
            .unwrap();
        runtime
            .block_on(spool.run(&jetstream, std::future::pending()))
            .unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    };
    let _ = Table::new("a log into files, from the disk, synced", events)
        .row("plain", || spool(Compression::None))
        .row("zstd, level 3", || spool(Compression::Zstd(3)))
        .row("a subscription, a buffered writer, no promises", || {
            runtime.block_on(subscribe_into(&jetstream, &fresh()));
        })
        .run(Duration::from_secs(10));

    let frames = simulated_frames(5_000);
    let take_in = |spool: Option<FileSpool>| runtime.block_on(take_in(&frames, spool));
    let build = || FileSpool::builder(fresh());
    let _ = Table::new("frames into a log, in memory", frames.len())
        .row("no spool", || take_in(None))
        .row("a spool that writes", || take_in(build().build().ok()))
        .row("a spool that stands still", || {
            take_in(build().roll_bytes(1).max_bytes(1).build().ok());
        })
        .run(Duration::from_secs(10));
}

/// Fills a log with the events of frames; tells how many.
fn fill(folder: &Path, frames: &[Vec<u8>]) -> usize {
    let location = Location::Disk(folder.to_owned());
    let (appender, store) = open(location, Options::default()).unwrap();
    let mut pipeline = Pipeline::new(appender);
    for (frame, now_us) in frames.iter().zip(START_US..) {
        pipeline.frame("bench", frame, Micros::new(now_us)).unwrap();
        if pipeline.pending() > 200 {
            pipeline.commit().unwrap();
        }
    }
    pipeline.commit().unwrap();
    usize::try_from(store.bounds().events()).unwrap()
}

async fn subscribe_into(jetstream: &Jetstream, path: &Path) {
    let start = StartFrom::Oldest;
    let mut events = jetstream.subscribe(start, Filter::new()).await.unwrap();
    let mut file = BufWriter::new(File::create(path).unwrap());
    while let Some(event) = events.next().await {
        file.write_all(event.unwrap().json().as_bytes()).unwrap();
        file.write_all(b"\n").unwrap();
    }
    file.into_inner().unwrap().sync_all().unwrap();
    std::fs::remove_file(path).unwrap();
}

/// Has frames taken in, as fast as that goes, until all are in the log.
async fn take_in(frames: &[Vec<u8>], spool: Option<FileSpool>) {
    let (jetstream, ingest) = Jetstream::builder().build().unwrap();
    let running = tokio::spawn(ingest.run(std::future::pending()));
    let spooling = spool.map(|spool| {
        let jetstream = jetstream.clone();
        tokio::spawn(async move { spool.run(&jetstream, std::future::pending()).await })
    });
    let pusher = jetstream.pusher("bench");
    for frame in frames {
        pusher.push(frame.clone()).await.unwrap();
    }
    while jetstream.source_cursor("bench") != Some(frames.len() as u64) {
        tokio::task::yield_now().await;
    }
    running.abort();
    if let Some(spooling) = spooling {
        spooling.abort();
    }
}

const START_US: u64 = 1_783_175_888_085_434;
