use std::fs;
use std::time::Duration;

use jetwash_spool::{Compression, SpoolBuildError, SpoolReader, SpoolState};

use crate::{NOW_US, append, builder, file_of, lines, log, names, posts, spool_all, until};

#[tokio::test]
async fn every_match_is_in_the_files_once_in_the_order_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let (log, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log, 1..=1000, NOW_US);
    let status = spool_all(&log, builder(&spool).roll_bytes(10_000)).await;
    assert_eq!(lines(&spool), posts(1..=1000));
    assert_eq!((status.cursor.get(), status.events), (1000, 667));
    assert!(status.files > 10);
    assert_eq!(status.state, SpoolState::Stopped);
}

#[tokio::test]
async fn compressed_files_are_zstd_and_read_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (log, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log, 1..=1000, NOW_US);
    let status = spool_all(&log, builder(&spool).compression(Compression::Zstd(3))).await;
    assert_eq!(lines(&spool), posts(1..=1000));
    let expected = file_of(1..=1000);
    let file = fs::read(spool.join(&names(&spool, ".ndjson.zst")[0])).unwrap();
    assert_eq!(zstd::decode_all(&*file).unwrap(), expected.as_bytes());
    assert_eq!(status.bytes, file.len() as u64);
    assert!(file.len() < expected.len() / 5);
}

#[tokio::test]
async fn plain_files_are_the_lines_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (log, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log, 1..=100, NOW_US);
    spool_all(&log, builder(&spool)).await;
    let expected = file_of(1..=100);
    assert_eq!(names(&spool, ".ndjson")[0], "00000000000000000001.ndjson");
    let file = fs::read_to_string(spool.join("00000000000000000001.ndjson")).unwrap();
    assert_eq!(file, expected);
}

#[tokio::test]
async fn the_manifest_covers_every_position_once() {
    let folder = tempfile::tempdir().unwrap();
    let (log, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log, 1..=500, NOW_US);
    spool_all(&log, builder(&spool).roll_bytes(5_000)).await;
    append(&log, 501..=1000, NOW_US);
    spool_all(&log, builder(&spool).roll_bytes(7_000)).await;
    let mut next = 1;
    for file in SpoolReader::open(&spool).unwrap().files_after(0).unwrap() {
        let (first, last) = (file.seqs().start().get(), file.seqs().end().get());
        assert_eq!(first, next);
        assert_eq!(file.events(), posts(first..=last).len() as u64);
        next = last + 1;
    }
    assert_eq!(
        SpoolReader::open(&spool).unwrap().cursor().unwrap().get(),
        1000
    );
}

#[tokio::test]
async fn a_file_is_completed_when_it_is_old_enough() {
    let folder = tempfile::tempdir().unwrap();
    let (log_folder, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log_folder, 1..=10, NOW_US);
    let (jetstream, _ingest) = log(&log_folder).build().unwrap();
    let spooling = builder(&spool)
        .roll_after(Duration::from_millis(20))
        .build()
        .unwrap();
    let mut status = spooling.status();
    let done = async move {
        until(&mut status, |status| status.files == 1).await;
    };
    spooling.run(&jetstream, done).await.unwrap();
    assert_eq!(lines(&spool), posts(1..=10));
}

#[tokio::test]
async fn where_nothing_matches_the_cursor_moves_and_no_file_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let (log, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log, [3, 6, 9, 12], NOW_US);
    let status = spool_all(&log, builder(&spool)).await;
    assert_eq!((status.cursor.get(), status.files), (4, 0));
    // A run that finds nothing new continues from there, and says the same.
    let status = spool_all(&log, builder(&spool)).await;
    assert_eq!((status.cursor.get(), status.files, status.gaps), (4, 0, 0));
}

#[tokio::test]
async fn a_spool_that_starts_live_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (log, spool) = (folder.path().join("log"), folder.path().join("spool"));
    let builder = || builder(&spool).start(jetwash::StartFrom::Live);
    append(&log, 1..=100, NOW_US);
    assert_eq!(spool_all(&log, builder()).await.events, 0);
    append(&log, 101..=200, NOW_US);
    spool_all(&log, builder()).await;
    assert_eq!(lines(&spool), posts(101..=200));
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let builder = || builder(&folder.path().join("spool"));
    let error = builder().roll_bytes(0).build().unwrap_err();
    assert!(matches!(error, SpoolBuildError::ZeroBytes));
    let error = builder().roll_after(Duration::ZERO).build().unwrap_err();
    assert!(matches!(error, SpoolBuildError::ZeroAge));
    let level = Compression::Zstd(20);
    let error = builder().compression(level).build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "zstd level 20: it must be between 1 and 19"
    );
    let error = builder()
        .retry(Duration::from_secs(2), Duration::from_secs(1))
        .build()
        .unwrap_err();
    assert!(matches!(error, SpoolBuildError::Retry { .. }));
    assert!(!folder.path().join("spool").exists());
}
