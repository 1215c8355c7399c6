//! Events over plain HTTP: lines, and server-sent events.

use std::time::Duration;

use jetwash_serve::ServeOptions;
use serde_json::{Value, json};

use crate::answer::{Answer, SSE, Source, all_lines};
use crate::events::{self, messages};
use crate::gaps;
use crate::log::{World, lines, soon};

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn lines_are_the_log_from_a_cursor_up_to_the_live_end() {
    let world = World::with(200).await;
    let log = world.log();
    assert_eq!(
        all_lines(&world, "/events?cursor=0&until=live").await,
        lines(&log)
    );
    let later = format!("/events?cursor={}&until=live", log[77].time_us);
    assert_eq!(all_lines(&world, &later).await, lines(&log[77..]));
    // Without a cursor it begins where it ends.
    assert!(all_lines(&world, "/events?until=live").await.is_empty());
}

#[tokio::test]
async fn each_shape_is_that_of_the_websocket() {
    let world = World::with(60).await;
    for query in [
        "cursor=0&format=v0",
        "cursor=0&cursor=seq",
        "cursor=0&verdict=true",
    ] {
        let query = format!("{query}&caughtUp=true");
        let expected = world.connect(&query).await.playback().await;
        let found = all_lines(&world, &format!("/events?{query}&until=live")).await;
        assert_eq!(found, expected, "{query}");
    }
    let found = all_lines(&world, "/v2/events?cursor=1&until=live").await;
    let mut client = events::connect(&world, "cursor=1&caughtUp=true").await;
    assert_eq!(found, client.texts(found.len()).await);
    let values = found.iter().map(|line| serde_json::from_str(line).unwrap());
    assert_eq!(values.collect::<Vec<Value>>(), messages(&world.events()));
}

#[tokio::test]
async fn a_limit_ends_the_answer_and_leaves_the_connection_to_the_next_request() {
    let world = World::with(100).await;
    let log = lines(&world.log());
    let target = "/events?cursor=0&limit=7";
    let mut answer = Answer::get(world.address, target, "").await;
    assert_eq!(answer.lines(7).await, log[..7]);
    assert_eq!(answer.rest().await, (String::new(), true));
    let stream = answer.into_stream();
    let target = "/events?cursor=0&limit=1&wantedCollections=app.bsky.feed.like&kinds=commit";
    let mut answer = Answer::ask(stream, "GET", target, "").await;
    let (body, is_whole) = answer.rest().await;
    let first = log
        .iter()
        .find(|line| line.contains(r#""collection":"app.bsky.feed.like""#));
    assert_eq!(body, format!("{}\n", first.unwrap()));
    assert!(is_whole);
    // One at the live end waits for as many as it wants.
    let newest = world.events().last().unwrap().time_us;
    let after = format!("Last-Event-ID: {newest}\r\n");
    let mut answer = Answer::get(world.address, "/events?limit=3", &after).await;
    world.push(10).await;
    let later = lines(&world.log());
    assert_eq!(answer.lines(3).await, later[log.len()..log.len() + 3]);
    assert_eq!(answer.rest().await, (String::new(), true));
}

/// Events that are too large are not counted.
#[tokio::test]
async fn a_limit_is_one_of_events_that_are_sent() {
    let world = World::with(300).await;
    let small: Vec<_> = lines(&world.log())
        .into_iter()
        .filter(|line| line.len() <= 300)
        .collect();
    assert!(small.len() > 20);
    for limit in [1, 5, 20] {
        let target = format!("/events?cursor=0&maxMessageSizeBytes=300&limit={limit}");
        assert_eq!(all_lines(&world, &target).await, small[..limit]);
    }
}

#[tokio::test]
async fn an_answer_ends_before_the_cursor_that_it_is_given() {
    let world = World::with(200).await;
    let (log, events) = (world.log(), world.events());
    for (from, until) in [(0, 50), (20, 21), (20, 20), (100, 40), (0, log.len() - 1)] {
        let (start, end) = (log[from].time_us, log[until].time_us);
        let expected = lines(&log[from..until.max(from)]);
        let target = format!("/events?cursor={start}&until={end}");
        assert_eq!(
            all_lines(&world, &target).await,
            expected,
            "{from} to {until}"
        );
        let (start, end) = (events[from].seq, events[until].seq);
        let target = format!("/v2/events?cursor={start}&until={end}");
        let seqs = all_lines(&world, &target).await.len();
        assert_eq!(seqs, until.max(from) - from, "{from} to {until}");
    }
    // Between two events, and with a limit that is not reached.
    let target = format!("/events?cursor=0&until={}&limit=1000", log[30].time_us + 1);
    assert_eq!(all_lines(&world, &target).await, lines(&log[..31]));
}

#[tokio::test]
async fn an_end_in_the_future_is_waited_for() {
    let world = World::with(20).await;
    let next = world.jetstream.bounds().next_seq.get();
    let target = format!("/v2/events?cursor={next}&until={}", next + 5);
    let mut by_seq = Answer::get(world.address, &target, "").await;
    let newest = world.events().last().unwrap().time_us;
    let target = format!(
        "/events?cursor=seq&cursor={next}&until={}",
        newest + 3_600_000_000
    );
    let mut by_time = Answer::get(world.address, &target, "").await;
    world.push(40).await;
    let (body, is_whole) = by_seq.rest().await;
    assert_eq!((body.lines().count(), is_whole), (5, true));
    // That hour has not come.
    let count = world.log().iter().filter(|entry| entry.seq >= next).count();
    by_time.lines(count).await;
    assert_eq!(world.server.subscribers(), 1);
    drop(by_time);
    // A time that has come is not waited for, however quiet the log is.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = (now.unwrap().as_micros() as u64).max(world.events().last().unwrap().time_us);
    let found = all_lines(&world, &format!("/events?cursor=0&until={now}")).await;
    let log = world.log();
    let before = log.iter().filter(|entry| entry.time_us < now);
    assert_eq!(found, lines(before));
}

#[tokio::test]
async fn playback_turns_into_live_without_a_seam() {
    let world = World::with(300).await;
    let mut plain = Answer::get(world.address, "/events?cursor=0", "").await;
    let mut sse = Answer::get(world.address, "/events?cursor=0", SSE).await;
    let mut second = Answer::get(world.address, "/v2/events?cursor=1", "").await;
    let mut source = Source::default();
    for _ in 0..30 {
        world.push(10).await;
        plain.line().await.unwrap();
        source.feed(sse.block().await.unwrap().as_bytes());
    }
    let log = lines(&world.log());
    assert_eq!(plain.lines(log.len() - 30).await, log[30..]);
    while source.messages().len() < log.len() {
        source.feed(sse.block().await.unwrap().as_bytes());
    }
    assert_eq!(source.messages(), log);
    assert_eq!(source.retry, Some(2000));
    let events = messages(&world.events());
    let found = second.lines(events.len()).await;
    let found = found
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert_eq!(found.collect::<Vec<_>>(), events);
    // At the end of the log they share what is made once, and continue.
    for _ in 0..20 {
        world.push(1).await;
        let more = lines(&world.log());
        let count = more.len() - source.messages().len();
        assert_eq!(plain.lines(count).await, more[more.len() - count..]);
        while source.messages().len() < more.len() {
            source.feed(sse.block().await.unwrap().as_bytes());
        }
        assert_eq!(source.messages(), more);
    }
}

/// A browser loses its connection after each byte, and comes back.
#[tokio::test]
async fn a_source_that_comes_back_after_any_byte_gets_each_event_once() {
    let world = World::with(6).await;
    let v1 = lines(&world.log());
    let v2 = all_lines(&world, "/v2/events?cursor=1&until=live").await;
    let with_seq = all_lines(&world, "/events?cursor=0&cursor=seq&until=live").await;
    let size = "maxMessageSizeBytes=400";
    let small: Vec<_> = v1
        .iter()
        .filter(|line| line.len() <= 400)
        .cloned()
        .collect();
    for (target, expected) in [
        ("/events?cursor=0&until=live".to_owned(), v1),
        ("/v2/events?cursor=1&until=live".to_owned(), v2),
        (
            "/events?cursor=0&cursor=seq&until=live".to_owned(),
            with_seq,
        ),
        (format!("/events?cursor=0&until=live&{size}"), small),
    ] {
        let mut answer = Answer::get(world.address, &target, SSE).await;
        let body = answer.rest().await.0.into_bytes();
        assert!(body.len() > 200, "{}", body.len());
        for cut in 0..=body.len() {
            let mut source = Source::default();
            source.feed(&body[..cut]);
            source.reconnect();
            source.read_all(&world, &target).await;
            assert_eq!(source.messages(), expected, "{target} cut at {cut}");
        }
    }
}

/// The events that it is told of are not those that it has seen: its filter lets few pass.
#[tokio::test]
async fn a_heartbeat_moves_a_source_on_that_gets_nothing() {
    let options = ServeOptions::default().ping_interval(SHORT);
    let world = World::start(options, None).await;
    world.push(20).await;
    for (route, filter) in [
        ("/events?", "wantedDids=did:web:nobody.example"),
        ("/v2/events?", "dids=did:web:nobody.example"),
        ("/events?cursor=seq&", "wantedDids=did:web:nobody.example"),
    ] {
        let newest = world.events().last().unwrap().clone();
        let mut answer = Answer::get(world.address, &format!("{route}{filter}"), SSE).await;
        let mut source = Source::default();
        while source.last_id.is_empty() {
            source.feed(answer.block().await.unwrap().as_bytes());
        }
        let id = if route == "/events?" {
            newest.time_us
        } else {
            newest.seq
        };
        assert_eq!(source.last_id, id.to_string(), "{route}");
        drop(answer);
        source.reconnect();
        world.push(20).await;
        // Nothing that came meanwhile is missing, and nothing else comes.
        let target = format!("{route}until=live");
        source.read_all(&world, &target).await;
        let expected = world
            .events()
            .iter()
            .filter(|entry| entry.seq > newest.seq && (route == "/v2/events?" || !entry.is_sync()))
            .count();
        assert_eq!(source.messages().len(), expected, "{route}");
    }
}

#[tokio::test]
async fn a_source_whose_answer_has_ended_is_told_to_stay_away() {
    let world = World::with(30).await;
    let log = world.log();
    let until = log[10].time_us;
    let mut source = Source::default();
    source
        .read_all(&world, &format!("/events?cursor=0&until={until}"))
        .await;
    assert_eq!(source.messages(), lines(&log[..10]));
    let (kind, end) = source.events.last().unwrap().clone();
    let end: Value = serde_json::from_str(&end).unwrap();
    assert_eq!((&*kind, &end["reason"]), ("end", &json!("complete")));
    let id = log[10].time_us - 1;
    let headers = format!("{SSE}Last-Event-ID: {id}\r\n");
    let target = format!("/events?cursor=0&until={until}");
    let answer = Answer::get(world.address, &target, &headers).await;
    assert_eq!(answer.status(), 204);
}

#[tokio::test]
async fn a_source_is_told_of_gaps_and_lines_only_if_they_ask() {
    for (route, name) in [("/events?", "gap"), ("/v2/events?", "gap")] {
        let (folder, expected) = gaps::damaged(0);
        let world = World::start_with(gaps::builder(folder.path()), ServeOptions::default()).await;
        let target = format!("{route}cursor=0&until=live");
        assert_eq!(all_lines(&world, &target).await.len(), expected.len());
        let with_gaps = all_lines(&world, &format!("{target}&gaps=true")).await;
        assert_eq!(with_gaps.len(), expected.len() + 1);
        let mut source = Source::default();
        source.read_all(&world, &target).await;
        assert_eq!(source.messages().len(), expected.len());
        let gap = source.events.iter().find(|(kind, _)| kind == name).unwrap();
        assert!(with_gaps.contains(&gap.1), "{}", gap.1);
        let mut without = Source::default();
        without
            .read_all(&world, &format!("{target}&gaps=false"))
            .await;
        assert!(without.events.iter().all(|(kind, _)| kind != "gap"));
    }
}

#[tokio::test]
async fn notices_are_lines_of_their_own_or_events_with_a_name() {
    let world = World::with(30).await;
    let mut lines = Answer::get(world.address, "/events?progress=1", "").await;
    let notice: Value = serde_json::from_str(&lines.line().await.unwrap()).unwrap();
    assert_eq!(notice["kind"], "progress");
    let mut answer = Answer::get(world.address, "/events?cursor=0&caughtUp=true", SSE).await;
    let mut source = Source::default();
    // Heartbeats come for as long as it waits.
    soon(async {
        while source
            .events
            .last()
            .is_none_or(|(kind, _)| kind == "message")
        {
            source.feed(answer.block().await.unwrap().as_bytes());
        }
    })
    .await;
    let newest = world.log().last().unwrap().time_us;
    let notice = format!(r#"{{"kind":"caughtUp","time_us":{newest}}}"#);
    assert_eq!(source.events.last(), Some(&("caughtUp".to_owned(), notice)));
    // It has no id of its own.
    assert_eq!(source.last_id, newest.to_string());
}
