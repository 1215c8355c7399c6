//! A Jetstream on a file system that is full for a while.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use futures_util::StreamExt;
use jetwash::{Filter, Jetstream, NotReady, RunError, StartFrom};
use jetwash_sim::{Network, NetworkConfig, SimFrame};
use jetwash_store::testing::SimulatedDisk;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::lines;
use crate::simulated::{describe, expected_of};

const FOLDER: &str = "JETWASH_FULL_FOLDER";

#[tokio::test(start_paused = true)]
async fn a_stop_still_writes_what_the_disk_takes_again() {
    let disk = SimulatedDisk::default();
    let builder = Jetstream::builder().simulated_disk(disk.clone());
    let (jetstream, ingest) = builder.build().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(ingest.run(async { drop(stopped.await) }));
    disk.set_full(true);
    let network = Network::new(NetworkConfig::default()).unwrap();
    let pusher = jetstream.pusher("test");
    for frame in network.take(3) {
        pusher.push(frame.bytes).await.unwrap();
    }
    // By then seconds pass between two attempts.
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert!(jetstream.snapshot().stalled.is_some());
    disk.set_full(false);
    drop(stop);
    running.await.unwrap().unwrap();
    assert!(jetstream.bounds().events() >= 3);
}

#[test]
fn a_full_disk_holds_the_sources_up_and_freeing_space_lets_them_go_on() {
    let folder = tempfile::tempdir().unwrap();
    // A file system of its own, which nobody but the child sees, and which ends with it.
    let mount = r#"mount -t tmpfs -o size=24m tmpfs "$0" && exec "$@""#;
    let small = |program: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", mount]).arg(folder.path());
        command.args(program).env(FOLDER, folder.path()).status()
    };
    if !small(&["true"]).is_ok_and(|status| status.success()) {
        println!(
            "NOT RUN: no file system may be mounted here; the log's own tests inject the error"
        );
        return;
    }
    let program = env::current_exe().unwrap();
    let name = "full::child_on_a_small_disk";
    let status = small(&[
        program.to_str().unwrap(),
        name,
        "--exact",
        "--ignored",
        "--nocapture",
    ]);
    assert!(status.unwrap().success());
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn child_on_a_small_disk() {
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(fill_and_free(PathBuf::from(env::var_os(FOLDER).unwrap())));
}

async fn fill_and_free(folder: PathBuf) {
    let config = NetworkConfig {
        accounts: 20,
        records: 50,
        ..NetworkConfig::default()
    };
    let frames: Vec<SimFrame> = Network::new(config).unwrap().take(3_000).collect();
    let expected: Vec<String> = frames.iter().flat_map(expected_of).collect();
    let (jetstream, stop, task) = start(&folder);
    let live = tokio::spawn(follow(jetstream.clone(), expected.len()));

    push(&jetstream, &frames[..1_000]).await;
    until(|| jetstream.source_cursor("sim") == Some(frames[999].seq)).await;
    let ballast = Ballast::fill(&folder);
    push(&jetstream, &frames[1_000..2_000]).await;
    until(|| jetstream.snapshot().stalled.is_some()).await;
    let reason = jetstream.snapshot().stalled.unwrap();
    assert!(reason.contains("No space left"), "{reason}");
    let stalled = NotReady::LogStalled(reason);
    assert_eq!(jetstream.readiness(), Err(stalled));
    // Readers continue with what there is.
    let stored = lines(jetstream.store());
    assert!(
        stored
            .iter()
            .map(|line| describe(line))
            .eq(expected[..stored.len()].iter().cloned())
    );

    drop(ballast);
    until(|| jetstream.source_cursor("sim") == Some(frames[1_999].seq)).await;
    assert_eq!(jetstream.snapshot().stalled, None);
    assert_eq!(jetstream.readiness(), Ok(()));

    // Once more, and this time the process is ended before there is space.
    let ballast = Ballast::fill(&folder);
    push(&jetstream, &frames[2_000..]).await;
    until(|| jetstream.snapshot().stalled.is_some()).await;
    drop(stop);
    let outcome = task.await.unwrap();
    assert!(matches!(outcome, Err(RunError::Store(_))), "{outcome:?}");
    live.abort();
    let _ = live.await;
    drop((jetstream, ballast));

    let (jetstream, _stop, _task) = start(&folder);
    let live = tokio::spawn(follow(jetstream.clone(), expected.len()));
    push(&jetstream, &frames).await;
    assert_eq!(live.await.unwrap(), expected);
    assert_eq!(jetstream.bounds().events(), expected.len() as u64);
    assert_eq!(jetstream.bounds().lost, 0);
}

fn start(
    folder: &Path,
) -> (
    Jetstream,
    oneshot::Sender<()>,
    JoinHandle<Result<(), RunError>>,
) {
    let (jetstream, ingest) = Jetstream::builder()
        .folder(folder.join("ring"))
        .build()
        .unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let run = ingest.run(async { drop(stopped.await) });
    (jetstream, stop, tokio::spawn(run))
}

async fn push(jetstream: &Jetstream, frames: &[SimFrame]) {
    let pusher = jetstream.pusher("sim");
    for frame in frames {
        pusher.push(frame.bytes.clone()).await.unwrap();
    }
}

async fn follow(jetstream: Jetstream, count: usize) -> Vec<String> {
    let events = jetstream
        .subscribe(StartFrom::Oldest, Filter::new())
        .await
        .unwrap();
    let events = events
        .take(count)
        .map(|event| describe(event.unwrap().json()));
    events.collect().await
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::task::yield_now().await;
    }
}

/// Takes up all the space until it is dropped.
struct Ballast(PathBuf);

impl Ballast {
    fn fill(folder: &Path) -> Self {
        let path = folder.join("ballast");
        let mut file = File::create(&path).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
        Self(path)
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}
