//! A subscriber that the server holds back is still heard.

use jetwash_serve::ServeOptions;

use crate::client::Raw;
use crate::log::{Entry, World};

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// Frames until one that is no event: the events, and that frame.
async fn until_control(client: &mut Raw) -> (Vec<Entry>, u8, Vec<u8>) {
    let mut events = Vec::new();
    loop {
        match client.frame().await.expect("the stream ends") {
            (TEXT, payload) => events.push(Entry::parse(String::from_utf8(payload).unwrap())),
            (first, payload) => return (events, first, payload),
        }
    }
}

fn update(did: &str) -> String {
    format!(r#"{{"type":"options_update","payload":{{"wantedDids":["{did}"]}}}}"#)
}

/// With one event a second for its address, so that nearly all of the time it may have none.
async fn paced() -> (World, Raw) {
    let options = ServeOptions::default().max_events_per_address(1);
    let world = World::start(options, None).await;
    world.push(100).await;
    let mut client = Raw::subscribe(world.address, "cursor=0").await;
    assert_eq!(client.frame().await.unwrap().0, TEXT);
    (world, client)
}

/// With so little room in its socket that the server waits for it to read.
async fn blocked() -> (World, Raw) {
    let world = World::start_narrow(ServeOptions::default()).await;
    world.push(500).await;
    let mut client = Raw::subscribe(world.address, "cursor=0").await;
    assert_eq!(client.frame().await.unwrap().0, TEXT);
    (world, client)
}

#[tokio::test]
async fn a_subscriber_above_its_rate_has_its_pings_answered() {
    let (_world, mut client) = paced().await;
    client.send(PING, b"there").await;
    let (events, first, payload) = until_control(&mut client).await;
    assert_eq!((first, &*payload), (PONG, &b"there"[..]));
    assert!(events.len() < 5, "{} events came first", events.len());
}

#[tokio::test]
async fn a_subscriber_above_its_rate_can_close() {
    let (world, mut client) = paced().await;
    client.send(CLOSE, &1000_u16.to_be_bytes()).await;
    let (events, first, _) = until_control(&mut client).await;
    assert_eq!(first, CLOSE);
    assert!(events.len() < 5, "{} events came first", events.len());
    assert_eq!(client.frame().await, None);
    assert!(world.log().len() > 50);
}

#[tokio::test]
async fn a_subscriber_above_its_rate_can_change_what_it_wants() {
    let (world, mut client) = paced().await;
    let log = world.log();
    let wanted = &log.last().unwrap().did;
    client.send(TEXT, update(wanted).as_bytes()).await;
    client.send(PING, b"").await;
    let (events, first, _) = until_control(&mut client).await;
    assert_eq!(first, PONG);
    assert!(events.len() < 5, "{} events came first", events.len());
    // From the ping's answer on nothing else comes.
    let last = events.last().unwrap_or(&log[0]);
    let mut rest = log.iter().filter(|entry| entry.time_us > last.time_us);
    let next = rest.find(|entry| entry.did == *wanted).unwrap();
    assert_eq!(client.frame().await.unwrap().1, next.json.as_bytes());
}

#[tokio::test]
async fn a_subscriber_without_room_in_its_socket_is_heard_before_it_has_read_everything() {
    let (world, mut client) = blocked().await;
    let log = world.log();
    let wanted = &log.last().unwrap().did;
    client.send(TEXT, update(wanted).as_bytes()).await;
    // Of pings that cannot be answered yet, the newest is.
    for _ in 0..1000 {
        client.send(PING, b"old").await;
    }
    client.send(PING, b"new").await;
    let mut events = Vec::new();
    let pongs = loop {
        let (more, first, payload) = until_control(&mut client).await;
        assert_eq!(first, PONG);
        events.extend(more);
        if payload == b"new" {
            break events.len();
        }
    };
    assert!(
        pongs < log.len() / 2,
        "{pongs} of {} events came first",
        log.len()
    );
    let rest = log[1..].iter().skip_while(|entry| {
        events
            .last()
            .is_some_and(|last: &Entry| entry.time_us <= last.time_us)
    });
    for entry in rest.filter(|entry| entry.did == *wanted) {
        assert_eq!(client.frame().await.unwrap().1, entry.json.as_bytes());
    }
}

#[tokio::test]
async fn a_subscriber_without_room_in_its_socket_can_close() {
    let (world, mut client) = blocked().await;
    client.send(CLOSE, &1000_u16.to_be_bytes()).await;
    let (events, first, _) = until_control(&mut client).await;
    assert_eq!(first, CLOSE);
    assert!(events.len() < world.log().len() / 2);
    assert_eq!(client.frame().await, None);
}
