use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jetwash_client::{Client, ClientGapCause, ClientItem, Protocol, UpstreamCursor};
use jetwash_event::Micros;

use crate::server::{Answer, Connection, DAY, Server, event, frame, line, notice, number, numbers};

const EVENTS: u64 = 3000;
/// Time between two events, in microseconds.
const STEP: u64 = 10_000;

/// Serves a log from the cursor on, a little faster than it grows, and ends the connection at a
/// random place.
async fn serve(mut server: Server, protocol: Protocol, seed: u64) {
    let mut random = seed | 1;
    let mut next = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    // How much of the log there is grows with each connection.
    let mut grown = 0;
    loop {
        let mut connection = server.accept().await;
        let cursor = connection.asked.cursor();
        let first = match (protocol, cursor) {
            (_, None) => 0,
            (Protocol::V1, Some(cursor)) => cursor.saturating_sub(DAY).div_ceil(STEP),
            (_, Some(seq)) => seq - 1,
        };
        grown = (grown + next(200)).min(EVENTS);
        for n in first..grown {
            let text = match protocol {
                Protocol::V1 => line(n, DAY + n * STEP),
                _ => frame(n, n + 1, DAY + n * STEP),
            };
            if !connection.try_text(text).await || next(300) == 0 {
                break;
            }
        }
        end(connection, next(3)).await;
    }
}

async fn end(mut connection: Connection, how: u64) {
    match how {
        0 => connection.kill(),
        1 => drop(connection.socket.close(None).await),
        _ => {
            // Within a message.
            use tokio::io::AsyncWriteExt;
            let _ = connection
                .socket
                .get_mut()
                .write_all(b"\x81\x7e\x01\x00{")
                .await;
        }
    }
}

async fn sees_each_event_once(protocol: Protocol, seed: u64) {
    let server = match protocol {
        Protocol::V1 => Server::v1().await,
        _ => Server::v2().await,
    };
    let builder = Client::builder([server.url()])
        .compress(false)
        .protocol(protocol);
    let mut client = builder.build().unwrap();
    let serving = tokio::spawn(serve(server, protocol, seed));
    for expected in 0..EVENTS {
        assert_eq!(number(&event(&mut client).await), expected);
    }
    let snapshot = client.snapshot();
    assert!(snapshot.connections > 10, "{snapshot:?}");
    assert!(snapshot.repeats > 0, "{snapshot:?}");
    assert_eq!(snapshot.gaps, 0);
    serving.abort();
}

#[tokio::test]
async fn version_1_is_resumed_exactly_over_killed_sockets() {
    tokio::join!(
        sees_each_event_once(Protocol::V1, 7),
        sees_each_event_once(Protocol::V1, 77)
    );
}

#[tokio::test]
async fn version_2_is_resumed_exactly_over_killed_sockets() {
    tokio::join!(
        sees_each_event_once(Protocol::V2, 7),
        sees_each_event_once(Protocol::V2, 77)
    );
}

#[tokio::test]
async fn a_stored_cursor_continues_after_its_event() {
    let mut server = Server::v1().await;
    let cursor: UpstreamCursor = format!("time={DAY};host={}", server.url()).parse().unwrap();
    let builder = || {
        Client::builder([server.url()])
            .compress(false)
            .protocol(Protocol::V1)
    };
    let mut client = builder().cursor(cursor).build().unwrap();
    let mut connection = server.accept().await;
    assert_eq!(connection.asked.cursor(), Some(DAY));
    for n in 0..3 {
        connection.text(line(n, DAY + n)).await;
    }
    assert_eq!(numbers(&mut client, 2).await, [1, 2]);
    assert_eq!(client.snapshot().before_cursor, 1);

    let mut server = Server::v2().await;
    let cursor = format!("time={DAY};seq=11;host={}", server.url())
        .parse()
        .unwrap();
    let builder = Client::builder([server.url()])
        .compress(false)
        .cursor(cursor);
    let mut client = builder.build().unwrap();
    let mut connection = server.accept().await;
    assert_eq!(connection.asked.cursor(), Some(11));
    connection.text(frame(1, 11, DAY)).await;
    connection.text(frame(2, 12, DAY)).await;
    assert_eq!(numbers(&mut client, 1).await, [2]);
}

#[tokio::test]
async fn a_number_of_another_host_is_not_used() {
    let mut server = Server::v2().await;
    let cursor = format!("time={DAY};seq=11;host=ws://other.example")
        .parse()
        .unwrap();
    let builder = Client::builder([server.url()])
        .compress(false)
        .cursor(cursor);
    let mut client = builder.build().unwrap();
    let mut connection = server.accept().await;
    assert_eq!(connection.asked.cursor(), Some(DAY));
    // Version 2 may start up to an hour before the time that it was asked for.
    connection.text(frame(1, 5, DAY - 1)).await;
    connection.text(frame(2, 6, DAY)).await;
    connection.text(frame(3, 7, DAY + 1)).await;
    // Once past the cursor, a time that an operator has set back does not matter.
    connection.text(frame(4, 8, DAY - 9)).await;
    assert_eq!(numbers(&mut client, 2).await, [3, 4]);
    assert_eq!(client.snapshot().before_cursor, 2);
}

#[tokio::test]
async fn a_time_long_ago_is_no_number_of_version_2() {
    let least = 1_000_000_000_000_000;
    for (protocol, time, asked) in [
        (Protocol::V1, 7, 7),
        (Protocol::V2, 7, least),
        (Protocol::V2, least - 1, least),
        (Protocol::V2, least + 1, least + 1),
    ] {
        let mut server = match protocol {
            Protocol::V1 => Server::v1().await,
            _ => Server::v2().await,
        };
        let cursor = UpstreamCursor::at_time(Micros::new(time));
        let builder = Client::builder([server.url()])
            .compress(false)
            .protocol(protocol)
            .cursor(cursor);
        let _client = builder.build().unwrap();
        let connection = server.accept().await;
        assert_eq!(connection.asked.cursor(), Some(asked), "{protocol:?}");
    }
}

#[tokio::test]
async fn where_a_number_is_too_old_the_time_is_asked_for_and_nothing_comes_twice() {
    let mut server = Server::with(|asked| {
        let is_number = asked.cursor().is_some_and(|cursor| cursor < 1 << 32);
        let too_old = r#"{"error":"CursorTooOld","message":"floor 500"}"#;
        is_number.then(|| Answer::new(400, too_old))
    })
    .await;
    let builder = Client::builder([server.url()]).compress(false);
    let mut client = builder.build().unwrap();
    let mut connection = server.accept().await;
    connection.text(frame(1, 11, DAY)).await;
    connection.text(frame(2, 12, DAY + 5)).await;
    assert_eq!(numbers(&mut client, 2).await, [1, 2]);
    connection.kill();
    let mut connection = server.accept().await;
    assert_eq!(connection.asked.cursor(), Some(DAY + 5));
    for (n, seq, time) in [(1, 11, DAY), (2, 12, DAY + 5), (3, 13, DAY + 6)] {
        connection.text(frame(n, seq, time)).await;
    }
    let ClientItem::Gap(gap) = notice(&mut client).await else {
        panic!()
    };
    assert_eq!(gap.cause, ClientGapCause::CursorTooOld);
    assert_eq!(
        (gap.after.unwrap().get(), gap.before.unwrap().get()),
        (DAY + 5, DAY + 6)
    );
    assert_eq!(numbers(&mut client, 1).await, [3]);
    assert_eq!(client.snapshot().repeats, 2);
}

#[tokio::test]
async fn version_1_that_has_forgotten_the_last_event_leaves_a_gap() {
    let mut server = Server::v1().await;
    let builder = Client::builder([server.url()]).compress(false);
    let mut client = builder.protocol(Protocol::V1).build().unwrap();
    let mut connection = server.accept().await;
    connection.text(line(1, DAY)).await;
    connection.text(line(2, DAY + 5)).await;
    assert_eq!(numbers(&mut client, 2).await, [1, 2]);
    connection.kill();
    let mut connection = server.accept().await;
    assert_eq!(
        connection.asked.cursor(),
        Some(DAY),
        "not from before the first event"
    );
    connection.text(line(9, DAY + 90)).await;
    let ClientItem::Gap(gap) = notice(&mut client).await else {
        panic!()
    };
    assert_eq!(gap.cause, ClientGapCause::Forgotten);
    assert_eq!(
        (gap.after.unwrap().get(), gap.before.unwrap().get()),
        (DAY + 5, DAY + 90)
    );
    assert_eq!(numbers(&mut client, 1).await, [9]);
}

#[tokio::test]
async fn what_came_late_at_version_1_is_delivered_late_and_once() {
    let mut server = Server::v1().await;
    let builder = Client::builder([server.url()]).compress(false);
    let mut client = builder.protocol(Protocol::V1).build().unwrap();
    let mut connection = server.accept().await;
    // Where playback meets the live end, version 1 sends out of order, and twice.
    for n in [0, 2, 3, 1, 2, 4] {
        connection.text(line(n, DAY + n)).await;
    }
    assert_eq!(numbers(&mut client, 5).await, [0, 2, 3, 1, 4]);
    connection.kill();
    let mut connection = server.accept().await;
    for n in [0, 1, 2, 3, 4, 5] {
        connection.text(line(n, DAY + n)).await;
    }
    assert_eq!(numbers(&mut client, 1).await, [5]);
    assert_eq!(client.snapshot().gaps, 0);
}

#[tokio::test]
async fn a_host_that_counts_anew_is_joined_by_time() {
    let mut server = Server::v2().await;
    let mut client = Client::builder([server.url()])
        .compress(false)
        .build()
        .unwrap();
    let mut connection = server.accept().await;
    connection.text(frame(1, 1001, DAY)).await;
    connection.text(frame(2, 1002, DAY + 1)).await;
    assert_eq!(numbers(&mut client, 2).await, [1, 2]);
    connection.kill();
    // Its log was made anew, so that the cursor is ahead of it and it starts at its end.
    let mut connection = server.accept().await;
    assert_eq!(connection.asked.cursor(), Some(1002));
    connection.text(frame(4, 4, DAY + 3)).await;
    let mut connection = server.accept().await;
    assert_eq!(connection.asked.cursor(), Some(DAY + 1));
    for n in 1..5 {
        connection.text(frame(n, n, DAY + n - 1)).await;
    }
    assert_eq!(numbers(&mut client, 2).await, [3, 4]);
    let snapshot = client.snapshot();
    assert_eq!((snapshot.repeats, snapshot.gaps), (2, 0));
}

#[tokio::test]
async fn a_connection_without_events_is_not_forgotten() {
    let mut server = Server::v2().await;
    let client = Client::builder([server.url()])
        .compress(false)
        .build()
        .unwrap();
    let connection = server.accept().await;
    assert_eq!(connection.asked.cursor(), None);
    // The client must have seen the connection before it ends.
    let seen = Arc::new(AtomicU64::new(0));
    while client.snapshot().connections == 0 {
        tokio::task::yield_now().await;
    }
    seen.store(1, Ordering::Relaxed);
    connection.kill();
    let cursor = server
        .accept()
        .await
        .asked
        .cursor()
        .expect("it starts where it was connected");
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let age = now.as_micros() as u64 - cursor;
    assert!(age < 20_000_000, "{age}");
}
