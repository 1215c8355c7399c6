use std::fs;
use std::path::Path;

use crate::{NOW_US, append, builder, lines, log, names, posts, spool_all, until};

/// The folder as a crash would leave it.
fn copy(from: &Path, to: &Path) {
    let state = || {
        (
            names(from, ""),
            fs::read(from.join("manifest.ndjson")).unwrap(),
        )
    };
    loop {
        let before = state();
        fs::create_dir(to).unwrap();
        for name in &before.0 {
            // It may have got its final name meanwhile.
            if let Ok(content) = fs::read(from.join(name)) {
                fs::write(to.join(name), content).unwrap();
            }
        }
        if state() == before {
            return;
        }
        // No crash would have left some of it as it was before, and some as it was after.
        fs::remove_dir_all(to).unwrap();
    }
}

#[tokio::test]
async fn a_crash_leaves_no_gap_and_no_repeat() {
    let folder = tempfile::tempdir().unwrap();
    let (log_folder, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log_folder, 1..=2000, NOW_US);
    let (jetstream, ingest) = log(&log_folder).build().unwrap();
    let spooling = builder(&spool).roll_bytes(30_000).build().unwrap();
    let mut status = spooling.status();
    let (from, to) = (spool.clone(), folder.path().join("crashed"));
    let crash = async move {
        until(&mut status, |status| {
            status.files >= 3 && status.cursor.get() < 2000
        })
        .await;
        while names(&from, ".ndjson.part").is_empty() {
            tokio::task::yield_now().await;
        }
        copy(&from, &to);
    };
    spooling.run(&jetstream, crash).await.unwrap();
    drop((jetstream, ingest));

    let crashed = folder.path().join("crashed");
    let whole = lines(&crashed);
    assert!(posts(1..=2000).starts_with(&whole));
    spool_all(&log_folder, builder(&crashed)).await;
    assert_eq!(lines(&crashed), posts(1..=2000));
    assert_eq!(names(&crashed, ".part"), [""; 0]);
}

#[tokio::test]
async fn a_file_that_is_in_the_manifest_gets_its_name_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let (log, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log, 1..=100, NOW_US);
    spool_all(&log, builder(&spool)).await;
    let name = spool.join("00000000000000000001.ndjson");
    let part = spool.join("00000000000000000001.ndjson.part");
    fs::rename(&name, &part).unwrap();
    assert_eq!(lines(&spool), [0; 0]);
    drop(builder(&spool).build().unwrap());
    assert!(name.exists() && !part.exists());
    assert_eq!(lines(&spool), posts(1..=100));
}

#[tokio::test]
async fn a_file_that_never_was_visible_and_is_damaged_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let (log, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log, 1..=100, NOW_US);
    spool_all(&log, builder(&spool)).await;
    let name = spool.join("00000000000000000001.ndjson");
    fs::remove_file(&name).unwrap();
    fs::write(name.with_extension("ndjson.part"), "half of it").unwrap();
    let status = spool_all(&log, builder(&spool)).await;
    assert_eq!((status.files, status.cursor.get()), (1, 100));
    assert_eq!(lines(&spool), posts(1..=100));
}

#[tokio::test]
async fn a_line_of_the_manifest_that_was_cut_short_is_as_if_it_had_not_been() {
    let folder = tempfile::tempdir().unwrap();
    let (log, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log, 1..=100, NOW_US);
    spool_all(&log, builder(&spool)).await;
    let manifest = spool.join("manifest.ndjson");
    let mut text = fs::read(&manifest).unwrap();
    text.extend(b"{\"entry\":\"file\",\"number\":2,\"na");
    fs::write(&manifest, &text).unwrap();
    append(&log, 101..=200, NOW_US);
    spool_all(&log, builder(&spool)).await;
    assert_eq!(lines(&spool), posts(1..=200));
}

#[tokio::test]
async fn a_manifest_that_is_damaged_is_refused_with_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let (log, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log, 1..=100, NOW_US);
    spool_all(&log, builder(&spool).roll_bytes(5000)).await;
    let manifest = spool.join("manifest.ndjson");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replacen("\"number\":2", "\"number\":7", 1)).unwrap();
    let error = builder(&spool).build().unwrap_err();
    let expected = format!("{}, line 4: its checksum is wrong", manifest.display());
    assert_eq!(error.to_string(), expected);
}
