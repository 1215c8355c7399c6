use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use jetwash::Seq;
use jetwash_spool::{
    FileSpool, FolderError, SpoolBuildError, SpoolReader, SpoolRunError, SpoolState, SpoolStatus,
    WaitReason,
};

use crate::{NOW_US, append, builder, lines, log, names, posts, until};

fn waits_for(status: &SpoolStatus, wanted: WaitReason) -> bool {
    matches!(status.state, SpoolState::Waiting { reason, .. } if reason == wanted)
}

#[test]
fn a_second_spool_on_a_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = builder(folder.path()).build().unwrap();
    let error = builder(folder.path()).build().unwrap_err();
    assert!(matches!(
        error,
        SpoolBuildError::Folder(FolderError::Locked { .. })
    ));
    let expected = format!(
        "{}: another spool is writing there",
        folder.path().display()
    );
    assert_eq!(error.to_string(), expected);
    drop(first);
    builder(folder.path()).build().unwrap();
}

#[test]
fn a_spool_that_must_exist_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    let error = builder(&spool).must_exist().build().unwrap_err();
    assert!(matches!(
        error,
        SpoolBuildError::Folder(FolderError::Gone { .. })
    ));
    assert!(!spool.exists());
    drop(builder(&spool).build().unwrap());
    builder(&spool).must_exist().build().unwrap();
}

#[tokio::test]
async fn a_folder_that_vanishes_is_waited_for_and_not_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let (log_folder, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log_folder, 1..=1000, NOW_US);
    let (jetstream, _ingest) = log(&log_folder).build().unwrap();
    let spooling = builder(&spool).roll_bytes(10_000).build().unwrap();
    let mut status = spooling.status();
    let (folder_path, away) = (spool.clone(), folder.path().join("away"));
    fs::rename(&folder_path, &away).unwrap();
    let done = async move {
        let waiting = until(&mut status, |status| {
            waits_for(status, WaitReason::FolderGone)
        })
        .await;
        let SpoolState::Waiting { message, .. } = waiting.state else {
            panic!("{waiting:?}");
        };
        assert!(
            message.contains(&folder_path.display().to_string()),
            "{message}"
        );
        assert!(!folder_path.exists());
        // A folder that only has the same name is not it either: an empty mount point, perhaps.
        fs::create_dir(&folder_path).unwrap();
        status.mark_unchanged();
        for _ in 0..3 {
            status.changed().await.unwrap();
            assert!(waits_for(&status.borrow(), WaitReason::FolderGone));
        }
        assert_eq!(names(&folder_path, ""), [""; 0]);
        fs::remove_dir(&folder_path).unwrap();
        fs::rename(&away, &folder_path).unwrap();
        until(&mut status, |status| status.files >= 10).await;
    };
    spooling.run(&jetstream, done).await.unwrap();
    let written = lines(&spool);
    assert!(posts(1..=1000).starts_with(&written) && !written.is_empty());
}

#[tokio::test]
async fn a_spool_that_is_full_stands_still_until_files_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (log_folder, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log_folder, 1..=1000, NOW_US);
    let (jetstream, _ingest) = log(&log_folder).build().unwrap();
    let builder = builder(&spool).roll_bytes(10_000).max_bytes(30_000);
    let spooling = builder.build().unwrap();
    let mut status = spooling.status();
    let folder_path = spool.clone();
    let done = async move {
        let mut loaded = Vec::new();
        while loaded.len() < posts(1..=700).len() {
            until(&mut status, |status| {
                waits_for(status, WaitReason::SpoolFull)
            })
            .await;
            loaded.extend(lines(&folder_path));
            let mut reader = SpoolReader::open(&folder_path).unwrap();
            let last = reader
                .files_after(0)
                .unwrap()
                .last()
                .map_or(0, |file| file.number());
            assert!(reader.remove_through(last).unwrap() <= 3);
            until(&mut status, |status| {
                !waits_for(status, WaitReason::SpoolFull)
            })
            .await;
        }
        assert!(posts(1..=1000).starts_with(&loaded));
    };
    spooling.run(&jetstream, done).await.unwrap();
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let (log_folder, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log_folder, 1..=1000, NOW_US);
    let (jetstream, _ingest) = log(&log_folder).build().unwrap();
    let spooling = builder(&spool).roll_bytes(10_000).build().unwrap();
    let mut status = spooling.status();
    let obstacle = spool.join("00000000000000000003.ndjson.part");
    fs::create_dir(&obstacle).unwrap();
    let done = async move {
        let waiting = until(&mut status, |status| waits_for(status, WaitReason::Io)).await;
        assert_eq!(waiting.files, 2);
        fs::remove_dir(&obstacle).unwrap();
        until(&mut status, |status| status.files >= 10).await;
    };
    spooling.run(&jetstream, done).await.unwrap();
    let written = lines(&spool);
    assert!(posts(1..=1000).starts_with(&written));
}

#[tokio::test]
async fn a_spool_that_cannot_complete_its_file_says_so_when_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (log_folder, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log_folder, 1..=1000, NOW_US);
    let (jetstream, ingest) = log(&log_folder).build().unwrap();
    let spooling = builder(&spool).build().unwrap();
    fs::create_dir(spool.join("00000000000000000001.ndjson.part")).unwrap();
    ingest.run(async {}).await.unwrap();
    let error = spooling
        .run(&jetstream, std::future::pending())
        .await
        .unwrap_err();
    assert!(
        matches!(error, SpoolRunError::Unfinished { cursor: 0, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_disk_that_is_full_is_waited_for_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (log_folder, disk) = (folder.path().join("log"), folder.path().join("disk"));
    fs::create_dir(&disk).unwrap();
    let Some(_mounted) = Mounted::small(&disk) else {
        println!("skipped: this user may not mount a small disk");
        return;
    };
    append(&log_folder, 1..=4000, NOW_US);
    let (jetstream, _ingest) = log(&log_folder).build().unwrap();
    let spool = disk.join("spool");
    let ballast = disk.join("ballast");
    let spooling: FileSpool = builder(&spool).roll_bytes(60_000).build().unwrap();
    fs::write(&ballast, vec![0; 700 << 10]).unwrap();
    let mut status = spooling.status();
    let folder_path = spool.clone();
    let done = async move {
        let full = until(&mut status, |status| {
            waits_for(status, WaitReason::DiskFull)
        })
        .await;
        assert!(full.cursor.get() < 4000);
        assert_eq!(lines(&folder_path).len() as u64, full.events);
        fs::remove_file(&ballast).unwrap();
        until(&mut status, |status| status.cursor.get() > 3500).await;
    };
    spooling.run(&jetstream, done).await.unwrap();
    let written = lines(&spool);
    assert!(posts(1..=4000).starts_with(&written));
    assert!(written.len() > posts(1..=3500).len());
}

/// A disk of 1 MiB, as long as this is there.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn small(path: &'a Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(path);
        mount
            .status()
            .is_ok_and(|status| status.success())
            .then_some(Self(path))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0).status());
    }
}

#[tokio::test]
async fn a_disk_that_stands_still_does_not_stand_in_the_way_of_reading() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    let network = jetwash::NetworkConfig {
        accounts: 20,
        records: 100,
        ..Default::default()
    };
    let (jetstream, ingest) = jetwash::Jetstream::builder()
        .simulator(network, None)
        .build()
        .unwrap();
    let spooling = builder(&spool).max_bytes(1).roll_bytes(1).build().unwrap();
    let mut status = spooling.status();
    let reading = jetstream.clone();
    let done = async move {
        let full = until(&mut status, |status| {
            waits_for(status, WaitReason::SpoolFull)
        })
        .await;
        let mut tip = reading.store().tip();
        let far = tip.wait_for(|&next| next > Seq::new(full.cursor.get() + 2000));
        tokio::time::timeout(Duration::from_secs(60), far)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(status.borrow().cursor, full.cursor);
    };
    let running = tokio::spawn(ingest.run(std::future::pending()));
    spooling.run(&jetstream, done).await.unwrap();
    running.abort();
}
