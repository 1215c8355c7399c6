use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use jetwash::store::{self, Location, Options};
use jetwash::testing::{ManualNetwork, SimChange, did};
use jetwash::{Jetstream, Micros, NetworkConfig, Pipeline};
use jetwash_spool::{FileSpool, SpoolReader};
use rusqlite::Connection;
use serde_json::json;

use crate::loader;

/// Some files of a simulated network.
#[tokio::main]
async fn spool(folder: &Path) {
    let network = NetworkConfig {
        accounts: 20,
        records: 100,
        ..NetworkConfig::default()
    };
    let (jetstream, ingest) = Jetstream::builder()
        .simulator(network, None)
        .build()
        .unwrap();
    let spool = FileSpool::builder(folder.join("spool"))
        .roll_bytes(20_000)
        .build()
        .unwrap();
    let mut status = spool.status();
    let enough = async move { drop(status.wait_for(|status| status.files >= 3).await) };
    let running = tokio::spawn(ingest.run(std::future::pending()));
    spool.run(&jetstream, enough).await.unwrap();
    running.abort();
}

/// Runs a loader until it says that it waits, does something, and expects it to come to its end.
fn wait_and_mend(mut command: Command, expected: &str, mend: impl FnOnce()) {
    let mut child = command
        .arg("--once")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(child.stderr.as_mut().unwrap())
        .read_line(&mut said)
        .unwrap();
    assert!(
        said.contains(expected) && said.contains("again in"),
        "{said}"
    );
    mend();
    assert!(child.wait().unwrap().success());
}

fn loaded(database: &Path) -> u64 {
    let database = Connection::open(database).unwrap();
    let count = "SELECT coalesce(sum(events), 0) FROM files";
    database.query_row(count, [], |row| row.get(0)).unwrap()
}

#[test]
fn files_wait_while_the_database_is_locked() {
    let folder = tempfile::tempdir().unwrap();
    spool(folder.path());
    let database = folder.path().join("posts.sqlite");
    let other = Connection::open(&database).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let reader = SpoolReader::open(folder.path().join("spool")).unwrap();
    let files = reader.files_after(0).unwrap();
    let events: u64 = files.iter().map(|file| file.events()).sum();
    wait_and_mend(
        loader(folder.path(), &database),
        "database is locked",
        || {
            assert_eq!(reader.files_after(0).unwrap(), files);
            other.execute_batch("COMMIT").unwrap();
        },
    );
    assert_eq!(loaded(&database), events);
    // They are no longer needed.
    assert_eq!(reader.files_after(0).unwrap().len(), 0);
}

#[test]
fn files_wait_while_the_database_is_away() {
    let folder = tempfile::tempdir().unwrap();
    spool(folder.path());
    let away = folder.path().join("mounted later");
    let database = away.join("posts.sqlite");
    wait_and_mend(loader(folder.path(), &database), "unable to open", || {
        std::fs::create_dir(&away).unwrap();
    });
    assert!(loaded(&database) > 0);
}

#[test]
fn a_database_that_went_back_is_not_loaded_past_a_hole() {
    let folder = tempfile::tempdir().unwrap();
    spool(folder.path());
    let database = folder.path().join("posts.sqlite");
    assert!(
        loader(folder.path(), &database)
            .arg("--once")
            .status()
            .unwrap()
            .success()
    );
    Connection::open(&database)
        .unwrap()
        .execute("DELETE FROM files WHERE number > 1", [])
        .unwrap();
    let output = loader(folder.path(), &database)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("the files after number 1 are asked for"),
        "{error}"
    );
}

/// Puts frames into the log, what is new in it into the files, and those into the database.
#[tokio::main]
async fn load_frames(folder: &Path, source: &str, frames: &[Vec<u8>]) {
    let location = Location::Disk(folder.join("log"));
    let (appender, _) = store::open(location, Options::default()).unwrap();
    let mut pipeline = Pipeline::new(appender);
    for frame in frames {
        pipeline.frame(source, frame, NOW).unwrap();
    }
    pipeline.commit().unwrap();
    assert!(pipeline.snapshot().dropped.is_empty());
    drop(pipeline);
    let (jetstream, ingest) = Jetstream::builder()
        .folder(folder.join("log"))
        .retain_for(Duration::from_secs(1 << 30))
        .build()
        .unwrap();
    let spool = FileSpool::builder(folder.join("spool")).build().unwrap();
    // The log ends at once for those who read it.
    ingest.run(async {}).await.unwrap();
    spool.run(&jetstream, std::future::pending()).await.unwrap();
    let mut loader = loader(folder, &folder.join("posts.sqlite"));
    assert!(loader.arg("--once").status().unwrap().success());
}

/// The keys of the rows, by account and record key, and of those that are shown.
fn rows(folder: &Path) -> (String, String) {
    let database = Connection::open(folder.join("posts.sqlite")).unwrap();
    let keys = |table| {
        let alice = did(0);
        let query = format!(
            "SELECT coalesce(group_concat(key, ' '), '') FROM (
                SELECT iif(did = '{alice}', 'a', 'b') || substr(path, 20) AS key
                FROM {table} ORDER BY key)"
        );
        database.query_row(&query, [], |row| row.get(0)).unwrap()
    };
    (keys("posts"), keys("shown"))
}

#[test]
fn posts_of_a_deleted_account_go_and_those_of_one_taken_down_are_hidden() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (alice, bob) = (did(0), did(1));
    let post = json!({"$type": "app.bsky.feed.post", "text": "Hej"});
    let create = |did: &str, key| SimChange::create(did, "app.bsky.feed.post", key, post.clone());
    let status = |active, status| SimChange::account(&alice, active, status);
    let stages = [
        (
            vec![create(&alice, "1"), create(&alice, "2"), create(&bob, "1")],
            ("a1 a2 b1", "a1 a2 b1"),
        ),
        (vec![status(false, Some("takendown"))], ("a1 a2 b1", "b1")),
        (vec![status(true, None)], ("a1 a2 b1", "a1 a2 b1")),
        // A deleted post leaves its key.
        (
            vec![SimChange::delete(&alice, "app.bsky.feed.post", "1")],
            ("a1 a2 b1", "a2 b1"),
        ),
        (vec![status(true, Some("throttled"))], ("a1 a2 b1", "a2 b1")),
        (vec![status(false, None)], ("a1 a2 b1", "b1")),
        (vec![status(false, Some("deleted"))], ("b1", "b1")),
        // Should it come back, then with what it writes from then on.
        (
            vec![status(true, None), create(&alice, "3")],
            ("a3 b1", "a3 b1"),
        ),
    ];
    let mut network = ManualNetwork::new();
    let mut all = Vec::new();
    for (changes, (posts, shown)) in stages {
        let frames = network.apply_all(&changes).unwrap();
        let frames: Vec<_> = frames.into_iter().map(|frame| frame.bytes).collect();
        load_frames(folder, "relay", &frames);
        let expected = (posts.to_owned(), shown.to_owned());
        assert_eq!(rows(folder), expected, "{changes:?}");
        all.extend(frames);
    }
    // Everything again, from an earlier position on.
    for skipped in [0, 2, all.len() - 3] {
        load_frames(folder, &format!("again {skipped}"), &all[skipped..]);
        assert_eq!(rows(folder), ("a3 b1".to_owned(), "a3 b1".to_owned()));
    }
}

const NOW: Micros = Micros::new(1_783_175_888_000_000);
