//! Where a cursor leads.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::middleware::map_response;
use axum::response::Response;
use jetwash::{Jetstream, ManualClock};
use jetwash_serve::{HttpLimits, ServeOptions, serve_http};
use tokio::net::TcpListener;

use crate::client::Client;
use crate::log::{Entry, World, lines};

#[tokio::test]
async fn a_cursor_leads_to_the_first_event_of_its_time_or_later() {
    let world = World::with(100).await;
    let log = world.log();
    let middle = log[log.len() / 2].time_us;
    let newest = log.last().unwrap().time_us;
    let oldest = log[0].time_us;
    let rows = [
        // Inclusive, to the microsecond.
        (middle.to_string(), middle),
        ((middle + 1).to_string(), middle + 1),
        ((middle - 1).to_string(), middle - 1),
        (newest.to_string(), newest),
        ((newest + 1).to_string(), newest + 1),
        (format!("%2B{middle}"), middle),
        (format!("{middle}&cursor=0"), middle),
        // Too old, or no time at all.
        ((oldest - 86_400_000_000).to_string(), 0),
        ("0".to_owned(), 0),
        ("-1".to_owned(), 0),
        ("-9223372036854775808".to_owned(), 0),
        ("2".to_owned(), 0),
        ("999".to_owned(), 0),
        // In seconds and in milliseconds.
        (
            (middle / 1_000_000).to_string(),
            middle / 1_000_000 * 1_000_000,
        ),
        ((middle / 1_000).to_string(), middle / 1_000 * 1_000),
    ];
    for (cursor, since) in rows {
        let expected = lines(log.iter().filter(|entry| entry.time_us >= since));
        let query = format!("cursor={cursor}&caughtUp=true");
        let found = world.connect(&query).await.playback().await;
        assert_eq!(found, expected, "{cursor}");
    }
}

/// The tenth of a second is for the clock of a slow machine, which may be at a later millisecond
/// when the server looks at it.
#[tokio::test]
async fn without_a_cursor_or_with_one_from_the_future_the_stream_is_live() {
    let world = World::with(50).await;
    let hour = SystemTime::now() + Duration::from_secs(3600);
    let future = hour.duration_since(UNIX_EPOCH).unwrap();
    let mut clients = Vec::new();
    for query in [
        String::new(),
        "cursor=".to_owned(),
        format!("cursor={}", future.as_micros()),
        format!("cursor={}", future.as_millis()),
        format!("cursor={}", future.as_secs()),
        "cursor=9223372036854775807".to_owned(),
    ] {
        clients.push((world.subscribe(&query).await, query));
    }
    let before = world.log().len();
    world.push(20).await;
    let expected = lines(&world.log()[before..]);
    for (mut client, query) in clients {
        assert_eq!(client.texts(expected.len()).await, expected, "{query}");
    }
}

#[tokio::test]
async fn a_playback_goes_over_into_the_live_stream() {
    let world = World::with(200).await;
    let first = &world.log()[0];
    let mut client = world.connect(&format!("cursor={}", first.time_us)).await;
    let mut found = client.texts(100).await;
    world.push(200).await;
    let expected = world.log();
    found.extend(client.texts(expected.len() - 100).await);
    assert_eq!(found, lines(&expected));
}

#[tokio::test]
async fn any_cursor_will_do_while_the_log_is_empty() {
    let world = World::start(ServeOptions::default(), None).await;
    let mut clients = Vec::new();
    for cursor in ["0", "-5", "1", "1700000000000000"] {
        clients.push(world.subscribe(&format!("cursor={cursor}")).await);
    }
    world.push(5).await;
    let expected = lines(&world.log());
    for client in &mut clients {
        assert_eq!(client.texts(expected.len()).await, expected);
    }
}

/// Events that come in together get times that run ahead of the clock by a microsecond each. A
/// subscriber that comes back at once has a cursor that is in the future by that much.
#[tokio::test]
async fn the_time_of_the_newest_event_is_not_the_future_even_if_the_clock_says_so() {
    let world = World::start(ServeOptions::default(), None).await;
    for _ in 0..20 {
        world.push(250).await;
        let newest: Entry = world.log().pop().unwrap();
        let query = format!("cursor={}&caughtUp=true", newest.time_us);
        let found = world.connect(&query).await.playback().await;
        assert_eq!(found, [newest.json]);
    }
}

/// A server before which each answer waits until twenty frames have come.
async fn late(world: &Arc<World>) -> SocketAddr {
    let pushing = Arc::clone(world);
    let router = world.server.router();
    let router = router.layer(map_response(move |response: Response| {
        let world = Arc::clone(&pushing);
        async move {
            world.push(20).await;
            response
        }
    }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = HttpLimits::default();
    tokio::spawn(serve_http(listener, router, limits, std::future::pending()));
    address
}

/// The clock of the log is behind by years, so that its next events have times before the cursor.
#[tokio::test]
async fn a_time_behind_the_newest_event_is_live_from_the_request_on() {
    let clock = ManualClock::new(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    let builder = Jetstream::builder().clock(&clock);
    let world = World::start_with(builder, ServeOptions::default()).await;
    world.push(20).await;
    let world = Arc::new(world);
    let address = late(&world).await;
    let before = world.log().len();
    let cursor = world.log()[before - 1].time_us + 60_000_000;
    let mut client = Client::connect(address, &format!("cursor={cursor}"), &[]).await;
    world.push(1).await;
    let log = world.log();
    assert!(log.len() > before + 10 && log.last().unwrap().time_us < cursor);
    let expected = lines(&log[before..]);
    assert_eq!(client.texts(expected.len()).await, expected);
}

/// A client that has the answer counts on what comes from then on, however late the server is.
#[tokio::test]
async fn a_live_subscriber_gets_what_comes_before_the_answer_to_its_request_has_gone() {
    let world = Arc::new(World::with(5).await);
    let address = late(&world).await;

    for query in ["", "cursor=99999999999999999", "maxMessageSizeBytes=0"] {
        let before = world.log().len();
        let mut client = Client::connect(address, query, &[]).await;
        world.push(1).await;
        let expected = lines(&world.log()[before..]);
        assert!(expected.len() > 10);
        assert_eq!(client.texts(expected.len()).await, expected, "{query}");
    }

    // What comes before the settings is not asked for yet.
    let mut client = Client::connect(address, "requireHello=true", &[]).await;
    client.update("{}").await;
    client.settle().await;
    let before = world.log().len();
    world.push(5).await;
    let expected = lines(&world.log()[before..]);
    assert_eq!(client.texts(expected.len()).await, expected);
}
