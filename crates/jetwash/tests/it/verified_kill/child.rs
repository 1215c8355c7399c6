use std::env;
use std::io;
use std::path::Path;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jetwash::event::Did;
use jetwash::identity::{DocumentAnswer, DocumentSource, IdentityOptions};
use jetwash::store::Options;
use jetwash::{Jetstream, Verify};
use jetwash_sim::SimDirectory;
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::{FRAME_BYTES, SOURCE, network};
use crate::kill::{Random, read_frames};

#[test]
#[ignore = "run by the tests above, in a process of its own"]
fn child_that_verifies() {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.unwrap().block_on(take_in_all());
    println!("\nall frames have been taken in");
}

/// Takes in what the log does not have yet, as from a relay that is asked for what comes after the
/// cursor, and sometimes sends a bit more.
async fn take_in_all() {
    let number = |name| env::var(name).unwrap().parse::<u64>().unwrap();
    let mut random = Random(number("JETWASH_KILL_SEED"));
    let all = number("JETWASH_KILL_EVENTS") + 1;
    let mut builder = Jetstream::builder()
        .folder(env::var("JETWASH_KILL_FOLDER").unwrap())
        .store_options(options())
        .commit_delay(Duration::from_millis(random.below(4)))
        .verify(verify(&mut random));
    if number("JETWASH_KILL_KEEPS") == 1 {
        builder = builder.keep_frames(FRAME_BYTES);
    }
    let (jetstream, ingest) = builder.build().unwrap();
    let mut resyncs = jetstream.resyncs();
    tokio::spawn(async move {
        while let Some(resync) = resyncs.recv().await {
            println!("\nincomplete: {resync:?}");
        }
    });
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(ingest.run(async { drop(stopped.await) }));
    let mut tip = jetstream.store().tip();
    let following = async {
        loop {
            let next = tip.borrow_and_update().get();
            println!("\nnext {next}");
            assert!(next <= all, "an event came twice");
            if next == all {
                return;
            }
            tip.changed().await.unwrap();
        }
    };
    let pusher = jetstream.pusher(SOURCE);
    let cursor = jetstream.source_cursor(SOURCE).unwrap_or(0);
    let overlap = [0, 0, random.below(40)][random.below(3) as usize];
    let pushing = async {
        let path = env::var_os("JETWASH_KILL_FRAMES").unwrap();
        for (seq, frame) in read_frames(Path::new(&path)) {
            if seq > cursor.saturating_sub(overlap) {
                pusher.push(frame).await.unwrap();
            }
        }
    };
    let done = async { tokio::join!(following, pushing) };
    timeout(Duration::from_secs(100), done)
        .await
        .expect("events are missing");
    drop(stop);
    running.await.unwrap().unwrap();
    let snapshot = jetstream.snapshot();
    assert_eq!(
        (snapshot.gaps.len(), snapshot.invalid.len()),
        (0, 0),
        "{snapshot:?}"
    );
}

/// Keys that come late, and are forgotten soon.
fn verify(random: &mut Random) -> Verify {
    let directory = SlowDirectory {
        documents: SimDirectory::new(&network()).unwrap(),
        salt: random.below(1 << 20),
    };
    let identities = IdentityOptions::new()
        .document_source(directory)
        .without_directories()
        .memory_bytes([1 << 20, 10_000][random.below(2) as usize])
        .invalidation_interval(Duration::ZERO)
        .start()
        .unwrap();
    Verify::lenient(identities).workers(1 + random.below(3) as usize)
}

fn options() -> Options {
    Options::default()
        .block_events(32)
        .bucket_events(400)
        .bucket_bytes(60_000)
        .hot_bytes(20_000)
        .cache_bytes(50_000)
        .memtable_bytes(1 << 16)
}

/// Answers at once for some accounts, after some milliseconds for most, and late for a few.
struct SlowDirectory {
    documents: SimDirectory,
    salt: u64,
}

impl DocumentSource for SlowDirectory {
    fn document<'a>(&'a self, did: &'a Did) -> BoxFuture<'a, io::Result<DocumentAnswer>> {
        let sum: u64 = did.as_str().bytes().map(u64::from).sum();
        let mut random = Random(self.salt + sum);
        let delay = match random.below(4) {
            0 => 0,
            1 => random.below(150),
            _ => random.below(6),
        };
        Box::pin(async move {
            sleep(Duration::from_millis(delay)).await;
            let document = self.documents.document(did.as_str());
            let answer = document.map(|json| DocumentAnswer::Document(json.into_bytes()));
            Ok(answer.unwrap_or(DocumentAnswer::NotFound))
        })
    }
}
