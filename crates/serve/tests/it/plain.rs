//! Events over plain HTTP: lines, and server-sent events.

use std::time::Duration;

use jetwash::Jetstream;
use jetwash_serve::{HttpLimits, ServeOptions, Server};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket};

use crate::answer::{Answer, SSE, Source, all_lines, refusal};
use crate::client::{Client, http};
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
    tokio::time::sleep(SHORT / 10).await;
    let found = all_lines(&world, &format!("/events?cursor=0&until={now}")).await;
    assert!(found.len() + 1 >= world.log().len());
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

/// The event at the cursor has not been passed when the first heartbeat comes.
#[tokio::test]
async fn a_heartbeat_before_the_first_event_leaves_nothing_out() {
    let world = World::with(20).await;
    let log = world.log();
    let mut source = Source::default();
    let target = format!("/events?cursor={}&limit=1", log[5].time_us);
    source.read_all(&world, &target).await;
    assert_eq!(source.messages(), lines(&log[5..6]));
    source.reconnect();
    source.read_all(&world, "/events?until=live").await;
    assert_eq!(source.messages(), lines(&log[5..]));
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
async fn mistakes_get_the_texts_of_the_websocket_as_json() {
    let world = World::with(10).await;
    for query in [
        "cursor=x",
        "cursor=1e3",
        "wantedCollections=x",
        "wantedCollections=app..bsky.*",
        "wantedDids=x",
        "format=v7",
        "progress=0",
        "verdict=true&format=v0",
        "cursor=seq&format=v0",
    ] {
        let websocket = Client::try_connect(world.address, query, &[]).await;
        let expected = websocket.err().unwrap();
        let (status, body) = refusal(world.address, &format!("/events?{query}"), "").await;
        assert_eq!(status, expected.status, "{query}");
        let expected = json!({"error": "InvalidRequest", "message": expected.body});
        assert_eq!(body, expected, "{query}");
    }
    for query in [
        "cursor=x",
        "kinds=x",
        "dids=x",
        "collections=x",
        "collections=app.bsky.feed.post&kinds=account",
        "wantedDids=did:web:a.b",
        "compress=true",
        "maxMessageSizeBytes=x",
        "%zz=1",
    ] {
        let (status, error, message) = events::refusal(&world, query).await;
        let found = refusal(world.address, &format!("/v2/events?{query}"), SSE).await;
        assert_eq!(
            found,
            (status, json!({"error": error, "message": message})),
            "{query}"
        );
    }
}

#[tokio::test]
async fn what_only_plain_http_has_or_has_not_is_checked_too() {
    let world = World::with(10).await;
    for (target, headers, message) in [
        (
            "/events?limit=0",
            "",
            "invalid limit: 0 (it is a number of events from 1 on)",
        ),
        (
            "/events?limit=%2B1",
            "",
            "invalid limit: +1 (it is a number of events from 1 on)",
        ),
        (
            "/events?until=now",
            "",
            "invalid until: now (it is a cursor or live)",
        ),
        (
            "/v2/events?until=-1",
            "",
            "invalid until: -1 (it is a cursor or live)",
        ),
        (
            "/events?requireHello=true",
            "",
            "invalid requireHello: true (clients send no messages over HTTP)",
        ),
        (
            "/events?compress=true",
            "",
            "invalid compress: events are not compressed over HTTP",
        ),
        (
            "/events?compress=stream",
            "",
            "invalid compress: events are not compressed over HTTP",
        ),
        (
            "/v2/events?zstdDictionary=3",
            "",
            "invalid zstdDictionary: events are not compressed over HTTP",
        ),
        (
            "/events?format=binary",
            "",
            "invalid format: binary (events are text over HTTP)",
        ),
        (
            "/events?kinds=x",
            "",
            "unknown kind: \"x\" (it is commit, identity, account or sync)",
        ),
        (
            "/events?kinds=sync",
            "",
            "invalid kinds: sync (version 1 has none, /v2/events does)",
        ),
        (
            "/events?kinds=account&wantedCollections=a.b.c",
            "",
            "invalid kinds: wantedCollections apply to commits, which kinds leaves out",
        ),
        (
            "/events",
            "Last-Event-ID: x\r\n",
            "invalid Last-Event-ID: x (it is an event's id)",
        ),
        (
            "/v2/events",
            "Last-Event-ID: 99999999999999999999\r\n",
            "invalid Last-Event-ID: 99999999999999999999 (it is an event's id)",
        ),
    ] {
        let (status, body) = refusal(world.address, target, headers).await;
        let expected = json!({"error": "InvalidRequest", "message": message});
        assert_eq!((status, body), (400, expected), "{target} {headers}");
    }
    // Those that only one kind passes.
    let accounts = all_lines(
        &world,
        "/events?cursor=0&until=live&kinds=account&kinds=identity",
    )
    .await;
    let expected = lines(world.log().iter().filter(|entry| !entry.is_commit()));
    assert_eq!(accounts, expected);
}

#[tokio::test]
async fn other_methods_are_refused_and_pages_of_any_origin_may_read() {
    let world = World::with(10).await;
    for route in ["/events", "/v2/events"] {
        for method in ["HEAD", "POST", "PUT", "DELETE"] {
            let request =
                format!("{method} {route} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            let (head, _) = http(world.address, &request).await;
            assert!(head.starts_with("http/1.1 405 "), "{method}: {head}");
            assert!(
                head.contains("\r\nallow: options, get\r\n"),
                "{method}: {head}"
            );
        }
        let request = format!(
            "OPTIONS {route} HTTP/1.1\r\nHost: x\r\nOrigin: https://a.example\r\n\
             Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: last-event-id\r\n\
             Connection: close\r\n\r\n"
        );
        let (head, _) = http(world.address, &request).await;
        assert!(head.starts_with("http/1.1 204 "), "{head}");
        assert!(
            head.contains("access-control-allow-origin: *\r\n"),
            "{head}"
        );
        assert!(
            head.contains("access-control-allow-headers: *\r\n"),
            "{head}"
        );
        let headers = format!("{SSE}Origin: https://a.example\r\n");
        let answer = Answer::get(world.address, route, &headers).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-accel-buffering"), Some("no"));
        assert_eq!(answer.header("vary"), Some("accept"));
    }
    // The header of browsers, of fetch with more to it, and those of curl and of pages.
    for (accept, kind) in [
        ("text/event-stream", "text/event-stream"),
        (
            "application/json, TEXT/Event-Stream;q=0.9",
            "text/event-stream",
        ),
        ("*/*", "application/x-ndjson"),
        (
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "application/x-ndjson",
        ),
    ] {
        let answer = Answer::get(world.address, "/events", &format!("Accept: {accept}\r\n")).await;
        assert_eq!(answer.header("content-type"), Some(kind), "{accept}");
    }
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
    while source
        .events
        .last()
        .is_none_or(|(kind, _)| kind == "message")
    {
        source.feed(answer.block().await.unwrap().as_bytes());
    }
    let newest = world.log().last().unwrap().time_us;
    let notice = format!(r#"{{"kind":"caughtUp","time_us":{newest}}}"#);
    assert_eq!(source.events.last(), Some(&("caughtUp".to_owned(), notice)));
    // It has no id of its own.
    assert_eq!(source.last_id, newest.to_string());
}

#[tokio::test]
async fn an_answer_takes_longer_than_other_requests_may() {
    let limits = HttpLimits::default()
        .request_timeout(SHORT)
        .idle_timeout(Duration::from_secs(5));
    let world = World::start(ServeOptions::default().http(limits), None).await;
    let mut answer = Answer::get(world.address, "/events?limit=2", "").await;
    tokio::time::sleep(3 * SHORT).await;
    world.push(1).await;
    answer.line().await.unwrap();
    tokio::time::sleep(3 * SHORT).await;
    world.push(3).await;
    answer.line().await.unwrap();
    assert_eq!(answer.rest().await, (String::new(), true));
}

#[tokio::test]
async fn a_client_that_stops_reading_disturbs_nobody_and_loses_nothing() {
    let world = World::start_narrow(ServeOptions::default()).await;
    let mut slow = Vec::new();
    for headers in ["", SSE] {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        slow.push(Answer::get_on(socket, world.address, "/events?cursor=0", headers).await);
    }
    let mut other = Answer::get(world.address, "/events?cursor=0", "").await;
    for _ in 0..20 {
        world.push(100).await;
    }
    let log = lines(&world.log());
    assert!(log.concat().len() > 500_000);
    assert_eq!(other.lines(log.len()).await, log);
    assert_eq!(world.server.subscribers(), 3);
    assert_eq!(slow[0].lines(log.len()).await, log);
    let mut source = Source::default();
    while source.messages().len() < log.len() {
        for _ in 0..100.min(log.len() - source.messages().len()) {
            source.feed(slow[1].block().await.unwrap().as_bytes());
        }
    }
    assert_eq!(source.messages(), log);
}

#[tokio::test]
async fn a_client_that_takes_nothing_for_too_long_is_reset() {
    let options = ServeOptions::default().write_timeout(3 * SHORT);
    let world = World::start_narrow(options).await;
    world.push(2000).await;
    for target in [
        "/events?cursor=0",
        "/events?cursor=0&until=live",
        "/v2/events?cursor=1",
    ] {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        let mut slow = Answer::get_on(socket, world.address, target, "").await;
        let gone = async {
            while world.server.subscribers() > 0 {
                tokio::time::sleep(SHORT / 10).await;
            }
        };
        soon(gone).await;
        let (body, is_whole) = slow.rest().await;
        assert!(!is_whole, "{target}");
        assert!(body.len() < 200_000, "{}", body.len());
    }
}

#[tokio::test]
async fn a_client_that_goes_away_is_gone() {
    let world = World::with(10).await;
    for headers in ["", SSE] {
        let mut answer = Answer::get(world.address, "/events?cursor=0", headers).await;
        answer.line().await.unwrap();
        assert_eq!(world.server.subscribers(), 1);
        drop(answer);
        let gone = async {
            while world.server.subscribers() > 0 {
                tokio::time::sleep(SHORT / 10).await;
            }
        };
        soon(gone).await;
    }
}

#[tokio::test]
async fn answers_count_among_the_subscribers_of_an_address() {
    let options = ServeOptions::default().max_connections_per_address(2);
    let world = World::start(options, None).await;
    let first = Answer::get(world.address, "/events", "").await;
    let _second = world.subscribe("").await;
    for route in ["/events", "/v2/events"] {
        let message = "too many connections from this address";
        let expected = json!({"error": "RateLimitExceeded", "message": message});
        assert_eq!(refusal(world.address, route, SSE).await, (429, expected));
    }
    assert!(Client::try_connect(world.address, "", &[]).await.is_err());
    drop(first);
    let again = async {
        while Answer::get(world.address, "/events?limit=1", "")
            .await
            .status()
            != 200
        {
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    soon(again).await;
}

/// What is not whole can be told from what is.
#[tokio::test]
async fn the_end_of_the_server_ends_answers_and_cuts_off_those_that_promised_more() {
    let mut world = World::with(10).await;
    let count = world.log().len();
    let mut open = Answer::get(world.address, "/events?cursor=0", "").await;
    let mut bounded = Answer::get(world.address, "/events?cursor=0&limit=1000", "").await;
    let mut sse = Answer::get(world.address, "/events?cursor=0&limit=1000", SSE).await;
    for answer in [&mut open, &mut bounded] {
        answer.lines(count).await;
    }
    let mut source = Source::default();
    while source.messages().len() < count {
        source.feed(sse.block().await.unwrap().as_bytes());
    }
    world.stop();
    assert_eq!(open.rest().await, (String::new(), true));
    assert_eq!(bounded.rest().await, (String::new(), false));
    let (body, is_whole) = sse.rest().await;
    source.feed(body.as_bytes());
    let (kind, end) = source.events.last().unwrap();
    let expected =
        json!({"kind": "end", "reason": "shutting_down", "message": "server shutting down"});
    assert_eq!(
        (&**kind, serde_json::from_str::<Value>(end).unwrap()),
        ("end", expected)
    );
    assert!(is_whole);
    world.ended().await;
}

/// Proxies speak the older HTTP, and others mount the router.
#[tokio::test]
async fn other_applications_and_older_clients_get_the_same() {
    let (jetstream, ingest) = Jetstream::builder().build().unwrap();
    tokio::spawn(ingest.run(std::future::pending()));
    let server = Server::new(jetstream.clone(), ServeOptions::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = server.router();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut answer = Answer::get(address, "/events?cursor=0&limit=20", "").await;
    for frame in crate::log::network().take(40) {
        jetstream.pusher("test").push(frame.bytes).await.unwrap();
    }
    let found = answer.lines(20).await;
    assert_eq!(answer.rest().await, (String::new(), true));
    let (head, body) = http(address, "GET /events?cursor=0&limit=20 HTTP/1.0\r\n\r\n").await;
    assert!(head.starts_with("http/1.0 200 "), "{head}");
    assert_eq!(body.lines().collect::<Vec<_>>(), found);
}

#[tokio::test]
async fn bytes_that_a_client_sends_meanwhile_are_left_alone() {
    let world = World::with(50).await;
    let log = lines(&world.log());
    let mut stream = tokio::net::TcpStream::connect(world.address).await.unwrap();
    let two = "GET /events?cursor=0&limit=5 HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2);
    stream
        .write_all(&two.as_bytes()[..two.len() / 2])
        .await
        .unwrap();
    stream
        .write_all(&two.as_bytes()[two.len() / 2..])
        .await
        .unwrap();
    let mut text = Vec::new();
    let both = async {
        loop {
            tokio::io::AsyncReadExt::read_buf(&mut stream, &mut text)
                .await
                .unwrap();
            if String::from_utf8_lossy(&text)
                .matches("\r\n0\r\n\r\n")
                .count()
                == 2
            {
                return;
            }
        }
    };
    soon(both).await;
    let text = String::from_utf8(text).unwrap();
    for line in &log[..5] {
        assert_eq!(text.matches(line.as_str()).count(), 2);
    }
}
