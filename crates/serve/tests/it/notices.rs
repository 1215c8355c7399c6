//! Messages of our own, for those who ask.

use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::log::{World, lines};

#[tokio::test]
async fn the_end_of_the_playback_is_announced_once_to_those_who_ask() {
    let world = World::with(50).await;
    let log = world.log();
    let newest = log.last().unwrap().time_us;
    let mut asked = world.connect("cursor=0&caughtUp=true").await;
    let mut others = [
        world.connect("cursor=0").await,
        world.connect("cursor=0&caughtUp=1").await,
    ];
    assert_eq!(asked.texts(log.len()).await, lines(&log));
    let notice = format!(r#"{{"kind":"caughtUp","time_us":{newest}}}"#);
    assert_eq!(asked.text().await, notice);
    world.push(50).await;
    let log = world.log();
    let later = lines(log.iter().filter(|entry| entry.time_us > newest));
    assert_eq!(asked.texts(later.len()).await, later);
    for other in &mut others {
        assert_eq!(other.texts(log.len()).await, lines(&log));
    }
}

/// A client that continues from the time of a notice must neither lose events nor get all of them
/// again.
#[tokio::test]
async fn a_notice_tells_a_time_to_resume_from_even_if_no_event_was_sent() {
    let world = World::with(50).await;
    let newest = world.log().last().unwrap().time_us;
    let after = newest + 1;
    for query in [
        format!("cursor={after}&caughtUp=true"),
        "progress=1".to_owned(),
        format!("progress=1&cursor={newest}&wantedDids=did:web:nobody.example"),
    ] {
        let text = world.connect(&query).await.text().await;
        let notice: Value = serde_json::from_str(&text).unwrap();
        let time_us = notice["time_us"].as_u64().unwrap();
        assert!((newest..=after).contains(&time_us), "{query}: {text}");
    }
}

#[tokio::test]
async fn a_notice_from_an_empty_log_tells_no_later_time_than_the_next_event_has() {
    let world = World::with(0).await;
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut client = world.connect("cursor=0&caughtUp=true").await;
    let notice: Value = serde_json::from_str(&client.text().await).unwrap();
    assert_eq!(notice["kind"], "caughtUp");
    let time_us = notice["time_us"].as_u64().unwrap();
    assert!(time_us == 0 || u128::from(time_us) >= before.as_micros());
    world.push(5).await;
    let log = world.log();
    assert!(time_us <= log[0].time_us);
    assert_eq!(client.texts(log.len()).await, lines(&log));
}

#[tokio::test]
async fn progress_comes_every_so_many_seconds() {
    let world = World::with(10).await;
    let log = world.log();
    let newest = log.last().unwrap().time_us;
    let started = std::time::Instant::now();
    let mut client = world.connect("cursor=0&progress=1").await;
    assert_eq!(client.texts(log.len()).await, lines(&log));
    let notice = format!(r#"{{"kind":"progress","time_us":{newest}}}"#);
    assert_eq!(client.texts(2).await, [notice.clone(), notice]);
    let millis = started.elapsed().as_millis();
    assert!((1_000..10_000).contains(&millis), "{millis} ms");
}

#[tokio::test]
async fn notices_are_compressed_where_events_are() {
    let world = World::with(0).await;
    let mut client = world.connect("cursor=0&caughtUp=true&compress=true").await;
    let frame = client.binary().await;
    let text = zstd::decode_all(&frame[..]).unwrap();
    assert!(text.starts_with(br#"{"kind":"caughtUp","time_us":"#));
}
