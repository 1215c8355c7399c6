use std::fs;
use std::time::Duration;

use jetwash_spool::{SpoolReadError, SpoolReader};

use crate::{NOW_US, append, builder, lines, names, posts, spool_all};

#[tokio::test]
async fn a_loader_goes_on_after_the_file_it_loaded_last() {
    let folder = tempfile::tempdir().unwrap();
    let (log, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log, 1..=500, NOW_US);
    spool_all(&log, builder(&spool).roll_bytes(20_000)).await;
    let reader = SpoolReader::open(&spool).unwrap();
    let numbers = |after| {
        let files = reader.files_after(after).unwrap();
        files.iter().map(|file| file.number()).collect::<Vec<_>>()
    };
    let all = numbers(0);
    assert_eq!(all, (1..=all.len() as u64).collect::<Vec<_>>());
    assert_eq!(numbers(2), all[2..]);
    assert_eq!(numbers(all.len() as u64), [0; 0]);
}

#[tokio::test]
async fn removed_files_are_gone_for_good_and_their_numbers_are_not_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let (log, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log, 1..=500, NOW_US);
    let status = spool_all(&log, builder(&spool).roll_bytes(20_000)).await;
    let mut reader = SpoolReader::open(&spool).unwrap();
    let count = usize::try_from(status.files).unwrap();
    assert_eq!(reader.remove_through(status.files).unwrap(), count);
    assert_eq!(names(&spool, ".ndjson"), ["manifest.ndjson"]);

    append(&log, 501..=600, NOW_US);
    let after = spool_all(&log, builder(&spool)).await;
    assert_eq!((after.files, after.events), (status.files + 1, 400));
    assert_eq!(lines(&spool), posts(501..=600));
    // What was removed is not told of for ever.
    assert_eq!(
        fs::read_to_string(spool.join("manifest.ndjson"))
            .unwrap()
            .lines()
            .count(),
        2
    );

    // A loader that is behind, with its database from a backup for example, is told.
    let error = reader.files_after(1).unwrap_err();
    assert!(
        matches!(error, SpoolReadError::Removed { number: 1, removed } if removed == status.files)
    );
}

#[tokio::test]
async fn loaded_files_can_be_kept_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let (log, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log, 1..=100, NOW_US);
    spool_all(&log, builder(&spool)).await;
    let mut reader = SpoolReader::open(&spool)
        .unwrap()
        .keep_loaded(Duration::from_secs(3600));
    assert_eq!(reader.remove_through(1).unwrap(), 0);
    assert_eq!(lines(&spool), posts(1..=100));
    let mut reader = reader.keep_loaded(Duration::ZERO);
    assert_eq!(reader.remove_through(1).unwrap(), 1);
}

#[tokio::test]
async fn a_file_that_was_changed_is_refused_before_its_first_line() {
    let folder = tempfile::tempdir().unwrap();
    let (log, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log, 1..=100, NOW_US);
    spool_all(&log, builder(&spool)).await;
    let file = SpoolReader::open(&spool)
        .unwrap()
        .files_after(0)
        .unwrap()
        .remove(0);
    let text = fs::read_to_string(file.path()).unwrap();

    fs::write(
        file.path(),
        text.replacen("\"number\":2,", "\"number\":3,", 1),
    )
    .unwrap();
    let error = file.lines().unwrap_err();
    let path = file.path().display();
    let expected = format!("{path}: its checksum is not what the manifest says");
    assert_eq!(error.to_string(), expected);

    fs::write(file.path(), &text[..text.len() / 2]).unwrap();
    let error = file.lines().unwrap_err();
    let expected = format!("{path}: its length is not what the manifest says");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_folder_without_a_spool_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = SpoolReader::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("there is no spool"), "{error}");
    assert!(
        error
            .to_string()
            .contains(&folder.path().display().to_string())
    );
}
