//! A power failure, after which the spool may know more of the log than the log itself.

use std::fs;
use std::path::Path;

use jetwash_store::testing::fail_power;

use crate::gaps::{damage, trim};
use crate::{NOW_US, append, builder, lines, names, open, posts, push, spool_all};

/// Makes a log from which a power failure took events 201 to 250, after a spool had read them.
/// Returns the position of its next event.
async fn lose_the_end(log: &Path, spool: &Path) -> u64 {
    let whole = log.with_extension("whole");
    append(log, 1..=200, NOW_US);
    append(&whole, 1..=250, NOW_US);
    spool_all(&whole, builder(spool)).await;
    let mut appender = open(&whole);
    push(&mut appender, [251], NOW_US);
    fail_power(&whole, appender).unwrap();
    // What was given out is synced at once, unlike the events.
    fs::copy(whole.join("reserved"), log.join("reserved")).unwrap();
    let next = open(log).next_seq().get();
    assert!(next > 251, "{next}");
    next
}

#[tokio::test]
async fn events_that_a_power_failure_took_from_the_log_stay_in_the_spool_and_none_comes_again() {
    for later in [0, 100] {
        let folder = tempfile::tempdir().unwrap();
        let (log, spool) = (folder.path().join("log"), folder.path().join("spool"));
        let next = lose_the_end(&log, &spool).await;
        append(&log, 1001..1001 + later, NOW_US);
        let status = spool_all(&log, builder(&spool)).await;
        let expected = [posts(1..=250), posts(1001..1001 + later)].concat();
        assert_eq!(lines(&spool), expected);
        assert_eq!((status.cursor.get(), status.gaps), (next + later - 1, 0));
    }
}

#[tokio::test]
async fn a_cursor_of_unknown_time_ahead_of_the_log_goes_back_to_its_oldest_event() {
    let folder = tempfile::tempdir().unwrap();
    let (log, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log, 1..=400, NOW_US);
    damage(&log, "bucket-00000000000000000301", 351, 0);
    let status = spool_all(&log, builder(&spool)).await;
    assert_eq!((status.cursor.get(), status.gaps), (400, 1));

    let another = folder.path().join("another");
    append(&another, 2001..=2200, NOW_US);
    append(&another, 2201..=2300, NOW_US + 10_000_000);
    let oldest = trim(&another, NOW_US + 10_500_000);
    assert!((2..=201).contains(&oldest), "{oldest}");
    let status = spool_all(&another, builder(&spool)).await;
    let expected = [posts(1..=350), posts(2000 + oldest..=2300)].concat();
    assert_eq!(lines(&spool), expected);
    // What the log had forgotten before the spool came to it is not missing.
    assert_eq!((status.cursor.get(), status.gaps), (300, 1));
}

#[tokio::test]
async fn a_cursor_of_unknown_time_one_event_ahead_of_the_log_goes_back_too() {
    let folder = tempfile::tempdir().unwrap();
    let (log, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log, 1..=400, NOW_US);
    damage(&log, "bucket-00000000000000000301", 351, 0);
    spool_all(&log, builder(&spool)).await;

    // Its next event is the 400th, which the spool says that it has.
    let another = folder.path().join("another");
    append(&another, 2001..=2399, NOW_US);
    let status = spool_all(&another, builder(&spool)).await;
    let expected = [posts(1..=350), posts(2001..=2399)].concat();
    assert_eq!(lines(&spool), expected);
    assert_eq!((status.cursor.get(), status.gaps), (399, 1));
}

#[tokio::test]
async fn a_cursor_of_unknown_time_at_the_end_of_the_log_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (log, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log, 1..=200, NOW_US);
    damage(&log, "bucket-00000000000000000101", 151, 0);
    spool_all(&log, builder(&spool)).await;
    spool_all(&log, builder(&spool)).await;
    append(&log, 201..=300, NOW_US);
    let status = spool_all(&log, builder(&spool)).await;
    assert_eq!(lines(&spool), posts((1..=150).chain(201..=300)));
    assert_eq!((status.cursor.get(), status.gaps), (300, 1));
}

#[tokio::test]
async fn a_file_whose_line_in_the_manifest_was_cut_short_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let (log, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log, 1..=100, NOW_US);
    spool_all(&log, builder(&spool)).await;
    append(&log, 101..=200, NOW_US);
    spool_all(&log, builder(&spool)).await;
    let manifest = spool.join("manifest.ndjson");
    let text = fs::read_to_string(&manifest).unwrap();
    let (_, last) = text.trim_end().rsplit_once('\n').unwrap();
    assert!(last.contains(r#""number":2"#), "{last}");
    fs::write(&manifest, &text[..text.len() - 2]).unwrap();
    let name = spool.join("00000000000000000002.ndjson");
    fs::rename(&name, name.with_extension("ndjson.part")).unwrap();

    append(&log, 201..=300, NOW_US);
    let status = spool_all(&log, builder(&spool)).await;
    assert_eq!((status.files, status.cursor.get()), (2, 300));
    assert_eq!(lines(&spool), posts(1..=300));
    assert_eq!(names(&spool, ".part"), [""; 0]);
}

#[tokio::test]
async fn a_file_that_was_damaged_before_it_got_its_name_is_written_again_and_no_other() {
    let damages: [fn(&mut Vec<u8>); 2] = [
        |content| content.truncate(content.len() / 2),
        // As long as it was.
        |content| content[77] ^= 1,
    ];
    for damage in damages {
        let folder = tempfile::tempdir().unwrap();
        let (log, spool) = (folder.path().join("log"), folder.path().join("spool"));
        append(&log, 1..=100, NOW_US);
        spool_all(&log, builder(&spool)).await;
        append(&log, 101..=200, NOW_US);
        spool_all(&log, builder(&spool)).await;
        let name = spool.join("00000000000000000002.ndjson");
        let mut content = fs::read(&name).unwrap();
        damage(&mut content);
        fs::remove_file(&name).unwrap();
        fs::write(name.with_extension("ndjson.part"), content).unwrap();
        let status = spool_all(&log, builder(&spool)).await;
        assert_eq!((status.files, status.cursor.get()), (2, 200));
        assert_eq!(lines(&spool), posts(1..=200));
    }
}
