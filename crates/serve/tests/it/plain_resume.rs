//! Where a browser continues that has seen an event, or nothing but a heartbeat.

use std::time::{Duration, UNIX_EPOCH};

use jetwash::store::Options;
use jetwash::{Jetstream, ManualClock, Seq};
use jetwash_serve::ServeOptions;
use serde_json::{Value, json};
use tokio::time::interval;

use crate::answer::{Answer, SSE, Source, all_lines, refusal};
use crate::events::messages;
use crate::log::{World, lines, soon};

/// The event at the cursor has not been passed when the first heartbeat comes: its address has to wait
/// for it.
#[tokio::test]
async fn a_heartbeat_before_the_first_event_leaves_nothing_out() {
    let options = ServeOptions::default()
        .ping_interval(Duration::from_millis(20))
        .max_events_per_address(4);
    let world = World::start(options, None).await;
    world.push(40).await;
    let mut others = Answer::get(world.address, "/events?cursor=0", "").await;
    others.lines(4).await;
    let fifth = world.log().swap_remove(5);
    let (time, seq) = (fifth.time_us, fifth.seq);
    for (target, id) in [
        (format!("/events?cursor={time}"), time - 1),
        (format!("/events?cursor=seq&cursor={seq}"), seq - 1),
        (format!("/v2/events?cursor={seq}"), seq - 1),
    ] {
        let mut answer = Answer::get(world.address, &target, SSE).await;
        let mut source = Source::default();
        while source.last_id.is_empty() {
            source.feed(answer.block().await.unwrap().as_bytes());
        }
        assert_eq!(source.messages(), [] as [String; 0], "{target}");
        assert_eq!(source.last_id, id.to_string(), "{target}");
        drop(answer);
        source.reconnect();
        source.read_all(&world, &format!("{target}&limit=1")).await;
        let first: Value = serde_json::from_str(&source.messages()[0]).unwrap();
        let is_it = [
            first["time_us"] == json!(time),
            first["payload"]["seq"] == json!(seq),
        ];
        assert!(is_it.contains(&true), "{target}: {first}");
    }
}

#[tokio::test]
async fn a_source_that_has_seen_the_last_event_before_the_end_stays_away() {
    let world = World::with(30).await;
    let (log, events) = (world.log(), world.events());
    for (route, last, end) in [
        ("/events?", log[9].time_us, log[9].time_us + 1),
        ("/events?cursor=seq&", events[9].seq, events[9].seq + 1),
        ("/v2/events?", events[9].seq, events[9].seq + 1),
    ] {
        for (until, is_over) in [(end - 1, true), (end, true), (end + 1, false)] {
            let target = format!("{route}until={until}");
            let headers = format!("{SSE}Last-Event-ID: {last}\r\n");
            let answer = Answer::get(world.address, &target, &headers).await;
            assert_eq!(answer.status() == 204, is_over, "{target} after {last}");
            // Lines are asked for by programs, which get an answer of none.
            let headers = format!("Last-Event-ID: {last}\r\n");
            let answer = Answer::get(world.address, &target, &headers).await;
            assert_eq!(answer.status(), 200, "{target} after {last}");
        }
    }
}

/// A log that has forgotten its beginning, and no more than that: its clock stands still.
async fn trimmed() -> World {
    let clock = ManualClock::new(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    let builder = Jetstream::builder()
        .clock(&clock)
        .store_options(Options::default().block_events(16).bucket_events(64))
        .retain_for(Duration::from_secs(60));
    let world = World::start_with(builder, ServeOptions::default()).await;
    world.push(200).await;
    clock.advance(Duration::from_secs(120));
    let mut tick = interval(Duration::from_millis(10));
    soon(async {
        while world.jetstream.bounds().oldest_seq <= Seq::FIRST {
            tick.tick().await;
            world.push(1).await;
        }
    })
    .await;
    world
}

#[tokio::test]
async fn a_source_that_comes_back_too_late_is_told_where_its_version_says_so() {
    let world = trimmed().await;
    let (log, lines) = (world.events(), lines(&world.log()));
    assert!(!lines.is_empty());
    let v2 = |id: u64| format!("{SSE}Last-Event-ID: {id}\r\n");
    // A number whose next event is gone.
    let (status, body) = refusal(world.address, "/v2/events?until=live", &v2(1)).await;
    assert_eq!((status, &body["error"]), (400, &json!("CursorTooOld")));
    // By time there is a notice, and then all that is left.
    let old = log[0].time_us - 3_600_000_000;
    let mut answer = Answer::get(world.address, "/v2/events?until=live", &v2(old)).await;
    let mut source = Source::default();
    source.feed(answer.rest().await.0.as_bytes());
    assert_eq!(source.events[0].0, "outdatedCursor");
    let found = source.messages();
    let found = found.iter().map(|text| serde_json::from_str(text).unwrap());
    assert_eq!(found.collect::<Vec<Value>>(), messages(&log));
    // Version 1 begins with the oldest event that there is.
    for id in [0, 1, old] {
        let mut source = Source::default();
        source.feed(format!("id: {id}\n\n").as_bytes());
        source.read_all(&world, "/events?until=live").await;
        assert_eq!(source.messages(), lines, "{id}");
    }
}

#[tokio::test]
async fn the_event_that_was_seen_last_counts_and_not_the_cursor() {
    let world = World::with(100).await;
    let log = world.log();
    let all = all_lines(&world, "/events?cursor=0&until=live").await;
    for (last, next) in [(0, 1), (10, 11), (28, 29)] {
        let headers = format!("Last-Event-ID: {}\r\n", log[last].time_us);
        for cursor in ["cursor=0", &format!("cursor={}", log[20].time_us), ""] {
            let target = format!("/events?{cursor}&until=live");
            let mut answer = Answer::get(world.address, &target, &headers).await;
            let (body, is_whole) = answer.rest().await;
            let found: Vec<_> = body.lines().collect();
            assert!(is_whole);
            assert_eq!(found, all[next..], "{target} after {last}");
        }
    }
}
