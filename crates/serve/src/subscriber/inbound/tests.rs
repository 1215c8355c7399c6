use std::future::{pending, ready};
use std::task::Context;
use std::time::SystemTime;

use axum::http::HeaderMap;
use tokio::io::{AsyncWriteExt, ReadBuf, duplex, empty};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::memory::Budget;

#[tokio::test]
async fn messages_behind_an_update_that_is_being_parsed_wait_for_it() {
    let (mut client, socket) = duplex(1024);
    let early = [update(&large()), update("{}"), frame(PING, b"behind")].concat();
    let mut inbound = inbound(socket, &early);
    let turn = inbound.updates.take_turn().await;
    assert_eq!(inbound.attend(ready(1)).await.unwrap(), None);
    assert!(inbound.reading.is_some());

    // Meanwhile the work goes on, and nothing more is read.
    client.write_all(&frame(PING, b"later")).await.unwrap();
    assert_eq!(inbound.attend(ready(2)).await.unwrap(), Some(2));
    assert_eq!(inbound.attend(ready(3)).await.unwrap(), Some(3));
    assert!(!inbound.wants_something());

    drop(turn);
    assert_eq!(inbound.attend(pending::<()>()).await.unwrap(), None);
    assert_eq!(inbound.wanted.pong.as_deref(), Some(&b"behind"[..]));
    let settings = inbound.take_update(Seq::MAX).unwrap();
    assert_eq!(settings.bytes, query("", &inbound.options).settings.bytes);

    assert_eq!(inbound.attend(pending::<()>()).await.unwrap(), None);
    assert_eq!(inbound.wanted.pong.as_deref(), Some(&b"later"[..]));
}

#[tokio::test]
async fn a_pong_waits_until_the_settings_before_its_ping_hold() {
    // Of two updates, the place of the first and the settings of the last count.
    let own = r#"{"wantedDids":["did:web:example.com"]}"#;
    let early = [update("{}"), update(own), frame(PING, b"do they?")].concat();
    let mut inbound = inbound(empty(), &early);
    inbound.is_caught_up = true;
    assert_eq!(inbound.attend(ready(())).await.unwrap(), None);
    let from = inbound.jetstream.bounds().next_seq;
    assert_eq!(inbound.update_from(), from);

    assert!(inbound.take_update(from.previous()).is_none());
    inbound.wanted.ping = true;
    let wanted = inbound.take_wanted();
    assert_eq!((wanted.pong, wanted.ping), (None, true));
    assert!(inbound.wants_something());

    let settings = inbound.take_update(from).unwrap();
    let query = query("wantedDids=did:web:example.com", &inbound.options);
    assert_eq!(settings.bytes, query.settings.bytes);
    assert!(inbound.wants_something());
    let pong = inbound.take_wanted().pong;
    assert_eq!(pong.as_deref(), Some(&b"do they?"[..]));
    assert!(!inbound.wants_something());
}

#[tokio::test]
async fn a_pong_is_not_missed_while_nothing_is_read() {
    let (_client, socket) = duplex(1024);
    let mut inbound = inbound(socket, &update(&large()));
    let turn = inbound.updates.take_turn().await;
    assert_eq!(inbound.attend(ready(())).await.unwrap(), None);
    inbound.pinged();
    assert_eq!(inbound.attend(pending::<()>()).await.unwrap(), None);
    assert!(inbound.reading.is_some());

    drop(turn);
    inbound.paused = Some(Instant::now() + Duration::from_secs(3600));
    while inbound.reading.is_some() {
        assert_eq!(inbound.attend(pending::<()>()).await.unwrap(), None);
    }
    assert_eq!(inbound.attend(pending::<()>()).await.unwrap(), None);

    inbound.paused = None;
    let missed = inbound.attend(pending::<()>()).await;
    assert!(matches!(missed, Err(End::PongTimeout)), "{missed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_source_hears_something_every_fifteen_seconds_and_oftener_if_websockets_do() {
    for (framing, interval, expected) in [
        (Framing::Websocket, 30, 30),
        (Framing::Lines, 30, 30),
        (Framing::EventStream, 30, 15),
        (Framing::EventStream, 5, 5),
    ] {
        let options = ServeOptions::default().ping_interval(Duration::from_secs(interval));
        let mut query = query("", &options);
        query.framing = framing;
        let (_client, socket) = duplex(1024);
        let mut inbound = inbound_of(socket, &[], options, &query);
        for _ in 0..2 {
            let begun = Instant::now();
            assert_eq!(inbound.attend(pending::<()>()).await.unwrap(), None);
            assert!(inbound.take_wanted().ping);
            assert_eq!(begun.elapsed().as_secs(), expected, "{framing:?}");
        }
    }
}

#[tokio::test]
async fn whatever_comes_answers_a_ping_and_otherwise_the_first_counts() {
    let (mut client, socket) = duplex(1024);
    let mut inbound = inbound(socket, &[]);
    inbound.pinged();
    let due = inbound.pong_due;
    inbound.pinged();
    assert_eq!(inbound.pong_due, due);
    client.write_all(&frame(PING, b"")).await.unwrap();
    assert_eq!(inbound.attend(pending::<()>()).await.unwrap(), None);
    assert_eq!(inbound.pong_due, None);
}

#[tokio::test]
async fn what_is_due_before_the_next_ping_wakes_the_task() {
    let set: [fn(&mut Inbound<_>, Instant); 4] = [
        |inbound, due| inbound.paused = Some(due),
        |inbound, due| inbound.pong_due = Some(due),
        |inbound, due| inbound.write_due = Some(due),
        |inbound, due| inbound.progress = Some((Duration::from_secs(3600), due)),
    ];
    let mut outcomes = Vec::new();
    for set in set {
        let (_client, socket) = duplex(1024);
        let mut inbound = inbound(socket, &[]);
        set(&mut inbound, Instant::now());
        outcomes.push(inbound.attend(pending::<()>()).await);
        assert!(inbound.paused.is_none());
        let is_ping_due = inbound.wanted.ping || inbound.ping_due <= Instant::now();
        assert!(!is_ping_due);
    }
    assert!(
        matches!(
            outcomes[..],
            [
                Ok(None),
                Err(End::PongTimeout),
                Err(End::WriteTimeout),
                Ok(None)
            ]
        ),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn the_settings_that_hold_count_as_long_as_others_wait() {
    let mut inbound = inbound(empty(), &update("{}"));
    inbound.filter = (1 << 30) + 1;
    let ended = inbound.attend(pending::<()>()).await;
    assert!(matches!(ended, Err(End::Memory(_))), "{ended:?}");
}

#[tokio::test]
async fn messages_without_end_and_work_without_end_take_turns() {
    let mut inbound = inbound(Flood::default(), &[]);
    for turn in 0..100 {
        let done = inbound.attend(ready(turn)).await.unwrap();
        assert_eq!(done, (turn % 2 == 1).then_some(turn));
    }
    assert!(inbound.take_wanted().pong.is_some());
}

#[tokio::test]
async fn messages_without_end_do_not_hide_that_the_server_ends() {
    let mut inbound = inbound(Flood::default(), &[]);
    inbound.account.ending().cancel();
    let ended = inbound.attend(pending::<()>()).await;
    assert!(matches!(ended, Err(End::ShuttingDown)), "{ended:?}");
}

/// A client that sends pings as fast as they are read.
#[derive(Default)]
struct Flood {
    sent: usize,
}

impl AsyncRead for Flood {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let ping = frame(PING, b"");
        for _ in 0..buffer.remaining() {
            buffer.put_slice(&[ping[self.sent % ping.len()]]);
            self.sent += 1;
        }
        Poll::Ready(Ok(()))
    }
}

fn inbound<R: AsyncRead + Unpin>(socket: R, early: &[u8]) -> Inbound<R> {
    let options = ServeOptions::default()
        .max_message_bytes(1 << 30)
        .max_received_bytes(u32::MAX)
        .pong_timeout(Duration::ZERO);
    let query = query("", &options);
    inbound_of(socket, early, options, &query)
}

fn inbound_of<R: AsyncRead + Unpin>(
    socket: R,
    early: &[u8],
    options: ServeOptions,
    query: &Query,
) -> Inbound<R> {
    let options = Arc::new(options);
    let common = Common {
        jetstream: Jetstream::builder().build().unwrap().0,
        options: Arc::clone(&options),
        metrics: Arc::new(Metrics::new()),
        updates: Arc::new(Updates::new(Arc::clone(&options))),
    };
    let account = Arc::new(Budget::new(1 << 30)).account(CancellationToken::new());
    let allowance = Allowance::new(Arc::clone(&options), None);
    Inbound::new(
        socket,
        early,
        Terms::of(query),
        common,
        Arc::new(account),
        allowance,
    )
}

fn query(text: &str, options: &ServeOptions) -> Query {
    let log = Jetstream::builder().build().unwrap().0.bounds().into();
    Query::parse(text, &HeaderMap::new(), options, log, SystemTime::now()).unwrap()
}

/// A payload that is too long to be parsed at once.
fn large() -> String {
    let dids: Vec<_> = (0..1000)
        .map(|number| format!(r#""did:web:a{number}.example""#))
        .collect();
    format!(r#"{{"wantedDids":[{}]}}"#, dids.join(","))
}

fn update(payload: &str) -> Vec<u8> {
    let text = format!(r#"{{"type":"options_update","payload":{payload}}}"#);
    frame(TEXT, text.as_bytes())
}

/// One masked frame of a client's, whose mask changes nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length => {
            bytes.push(0xff);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

const TEXT: u8 = 0x81;
const PING: u8 = 0x89;
