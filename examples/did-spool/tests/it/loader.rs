use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use jetwash::{Jetstream, NetworkConfig};
use jetwash_spool::{FileSpool, SpoolReader};
use rusqlite::Connection;

use crate::loader;

/// Some files of a simulated network.
#[tokio::main]
async fn spool(folder: &Path) {
    let network = NetworkConfig {
        accounts: 20,
        records: 100,
        ..NetworkConfig::default()
    };
    let jetstream = Jetstream::builder()
        .simulator(network, None)
        .build()
        .unwrap();
    let spool = FileSpool::builder(folder.join("spool"))
        .roll_bytes(20_000)
        .build()
        .unwrap();
    let mut status = spool.status();
    let enough = async move { drop(status.wait_for(|status| status.files >= 3).await) };
    let running = tokio::spawn(jetstream.clone().run(std::future::pending()));
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
