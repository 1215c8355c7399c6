use jetwash::{Micros, Seq};
use std::path::Path;
use std::time::Duration;

use jetwash::store::{self, Location, Retention};
use jetwash_spool::SpoolReader;

use crate::{NOW_US, append, builder, lines, options, posts, spool_all};

/// Lets a log forget all that is older than a time.
pub(crate) fn trim(folder: &Path, now_us: u64) -> u64 {
    let retention = Retention {
        max_age: Some(Duration::from_secs(1)),
        max_bytes: None,
    };
    let location = Location::Disk(folder.to_owned());
    let (mut appender, store) = store::open(location, options().retention(retention)).unwrap();
    appender
        .trim_after(Micros::new(now_us), Duration::MAX)
        .unwrap();
    store.bounds().oldest_seq.get()
}

#[tokio::test]
async fn what_the_log_no_longer_has_is_entered_as_a_gap_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (log, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log, 1..=200, NOW_US);
    spool_all(&log, builder(&spool)).await;
    append(&log, 201..=1000, NOW_US + 1_000_000);
    append(&log, 1001..=1500, NOW_US + 10_000_000);
    let oldest = trim(&log, NOW_US + 10_900_000);
    assert!(oldest > 300, "{oldest}");

    let status = spool_all(&log, builder(&spool)).await;
    assert_eq!((status.gaps, status.gap_events), (1, oldest - 201));
    let reader = SpoolReader::open(&spool).unwrap();
    let gap = &reader.gaps().unwrap()[0];
    assert_eq!(
        (gap.first, gap.last, &*gap.reason),
        (Seq::new(201), Seq::new(oldest - 1), "lost")
    );
    let expected = [posts(1..=200), posts(oldest..=1500)].concat();
    assert_eq!(lines(&spool), expected);

    // It is told of once, and remembered.
    let status = spool_all(&log, builder(&spool)).await;
    assert_eq!((status.gaps, status.gap_events), (1, oldest - 201));
}

/// Changes one bit of the index (part 0) or the events (part 1) of the block that begins at a
/// position.
pub(crate) fn damage(log: &Path, bucket: &str, first: u64, part: u8) {
    let database = fjall::Database::builder(log).open().unwrap();
    let bucket = database.keyspace(bucket, Default::default).unwrap();
    let mut keys = bucket
        .prefix(first.to_be_bytes())
        .map(|guard| guard.key().unwrap());
    let key = keys.find(|key| key.last() == Some(&part)).unwrap();
    let mut bytes = bucket.get(&key).unwrap().unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bucket.insert(key, bytes).unwrap();
}

#[tokio::test]
async fn a_damaged_block_is_entered_as_a_gap_and_what_is_behind_it_is_written() {
    for part in [0, 1] {
        let folder = tempfile::tempdir().unwrap();
        let (log, spool) = (folder.path().join("log"), folder.path().join("spool"));
        append(&log, 1..=300, NOW_US);
        damage(&log, "bucket-00000000000000000101", 101, part);
        let status = spool_all(&log, builder(&spool)).await;
        assert_eq!((status.gaps, status.gap_events), (1, 50));
        let gap = &SpoolReader::open(&spool).unwrap().gaps().unwrap()[0];
        assert_eq!(
            (gap.first, gap.last, &*gap.reason),
            (Seq::new(101), Seq::new(150), "damaged")
        );
        assert_eq!(lines(&spool), posts((1..=100).chain(151..=300)));
    }
}

#[tokio::test]
async fn a_log_that_begins_anew_is_read_from_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let (log, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log, 1..=1000, NOW_US);
    spool_all(&log, builder(&spool)).await;
    let another = folder.path().join("another");
    append(&another, 2001..=2100, NOW_US + 1_000_000);
    let status = spool_all(&another, builder(&spool)).await;
    assert_eq!(
        lines(&spool),
        [posts(1..=1000), posts(2001..=2100)].concat()
    );
    assert_eq!((status.cursor.get(), status.gaps), (100, 0));
}

#[tokio::test]
async fn a_log_that_lost_its_end_and_grew_again_is_read_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let (log, spool) = (folder.path().join("log"), folder.path().join("spool"));
    let shorter = folder.path().join("shorter");
    append(&log, 1..=600, NOW_US);
    append(&shorter, 1..=500, NOW_US);
    spool_all(&log, builder(&spool)).await;
    append(&shorter, 3001..=3300, NOW_US + 1_000_000);
    let status = spool_all(&shorter, builder(&spool)).await;
    assert_eq!(lines(&spool), [posts(1..=600), posts(3001..=3300)].concat());
    assert_eq!(status.cursor.get(), 800);
}

#[tokio::test]
async fn a_log_with_earlier_times_where_the_spool_would_go_on_is_read_from_its_oldest_event() {
    let folder = tempfile::tempdir().unwrap();
    let (log, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log, 1..=100, NOW_US + 5_000_000);
    spool_all(&log, builder(&spool)).await;
    let another = folder.path().join("another");
    append(&another, 2001..=2300, NOW_US);
    append(&another, 3001..=3100, NOW_US + 10_000_000);
    let status = spool_all(&another, builder(&spool)).await;
    let expected = [posts(1..=100), posts(2001..=2300), posts(3001..=3100)].concat();
    assert_eq!(lines(&spool), expected);
    assert_eq!((status.cursor.get(), status.gaps), (400, 0));
}

#[tokio::test]
async fn a_block_that_was_damaged_after_it_had_been_read_leaves_nothing_out() {
    let folder = tempfile::tempdir().unwrap();
    let (log, spool) = (folder.path().join("log"), folder.path().join("spool"));
    append(&log, 1..=200, NOW_US);
    spool_all(&log, builder(&spool)).await;
    append(&log, 201..=300, NOW_US + 1_000_000);
    damage(&log, "bucket-00000000000000000101", 151, 0);
    let status = spool_all(&log, builder(&spool)).await;
    assert_eq!(lines(&spool), posts(1..=300));
    assert_eq!((status.cursor.get(), status.gaps), (300, 0));
}
