use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use jetwash_client::{Client, ClientError, ClientGapCause, ClientItem, UpstreamCursor};
use tokio::time::{Instant, timeout};

use crate::server::{
    Answer, DAY, PATIENCE, Server, V2_PATH, event, frame, item, line, notice, number, numbers,
};

/// The error that the stream ends with.
async fn end(client: &mut Client) -> ClientError {
    loop {
        match timeout(PATIENCE, client.next())
            .await
            .expect("it does not end")
            .unwrap()
        {
            Ok(ClientItem::Disconnected(_)) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                assert!(client.next().await.is_none());
                return error;
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_that_would_be_repeated_ends_the_stream_with_its_text() {
    let body = r#"{"error":"InvalidRequest","message":"no such thing"}"#;
    let server = Server::with(move |_| Some(Answer::new(400, body))).await;
    let mut client = Client::builder([server.url()])
        .compress(false)
        .build()
        .unwrap();
    let ClientError::Refused {
        host,
        status,
        name,
        message,
    } = end(&mut client).await
    else {
        panic!()
    };
    assert_eq!((host, status), (server.url(), 400));
    assert_eq!((&*name, &*message), ("InvalidRequest", "no such thing"));
    assert_eq!(server.refused().len(), 1, "it is not asked again");
    // A host that is no Jetstream at all.
    let server = Server::with(|_| Some(Answer::new(404, "Not Found"))).await;
    let mut client = Client::builder([server.url()])
        .compress(false)
        .build()
        .unwrap();
    assert!(matches!(
        end(&mut client).await,
        ClientError::Refused { status: 404, .. }
    ));
    assert_eq!(server.refused().len(), 2);
}

#[tokio::test]
async fn a_host_that_refuses_gives_way_to_one_that_does_not() {
    let bad = Server::with(|_| Some(Answer::new(400, "invalid cursor: x"))).await;
    let mut good = Server::v2().await;
    let hosts = [bad.url(), good.url()];
    let mut client = Client::builder(hosts).compress(false).build().unwrap();
    good.accept().await.text(frame(1, 1, DAY)).await;
    assert_eq!(numbers(&mut client, 1).await, [1]);
}

#[tokio::test]
async fn a_host_that_is_not_ready_is_asked_again_when_it_says() {
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let mut server = Server::with(move |_| {
        let is_first = count.fetch_add(1, Ordering::Relaxed) == 0;
        is_first.then(|| Answer {
            headers: "Retry-After: 1\r\n",
            ..Answer::new(503, r#"{"error":"ServiceUnavailable"}"#)
        })
    })
    .await;
    let begun = Instant::now();
    let mut client = Client::builder([server.url()])
        .compress(false)
        .build()
        .unwrap();
    let ClientItem::Disconnected(end) = item(&mut client).await else {
        panic!()
    };
    assert!(
        end.reason.contains("503: ServiceUnavailable") || end.reason.contains("503"),
        "{end:?}"
    );
    assert!(end.wait > Duration::from_millis(900), "{end:?}");
    server.accept().await;
    assert!(begun.elapsed() > Duration::from_millis(900));
}

#[tokio::test]
async fn a_host_that_cannot_be_reached_is_tried_again_with_growing_waits() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", gone.local_addr().unwrap());
    drop(gone);
    let mut client = Client::builder([url]).build().unwrap();
    let mut longest = Duration::ZERO;
    for _ in 0..4 {
        let ClientItem::Disconnected(end) = item(&mut client).await else {
            panic!()
        };
        assert!(end.wait > longest, "{end:?}");
        longest = longest.max(end.wait / 2);
    }
    assert!(longest < Duration::from_secs(2));
}

#[tokio::test]
async fn an_error_of_the_stream_leads_to_another_connection_at_the_same_place() {
    let mut server = Server::v2().await;
    let mut client = Client::builder([server.url()])
        .compress(false)
        .build()
        .unwrap();
    let mut connection = server.accept().await;
    connection.text(frame(1, 11, DAY)).await;
    connection
        .text(r#"{"$type":"error","error":"ConsumerTooSlow","message":"use 11"}"#)
        .await;
    let mut connection = server.accept().await;
    assert_eq!(connection.asked.cursor(), Some(11));
    connection.text(frame(1, 11, DAY)).await;
    connection.text(frame(2, 12, DAY + 1)).await;
    assert_eq!(numbers(&mut client, 2).await, [1, 2]);
    let end = client.snapshot().last_end.unwrap();
    assert!(end.contains("ConsumerTooSlow: use 11"), "{end}");
}

#[tokio::test]
async fn a_number_that_the_host_has_no_more_is_a_gap_and_the_stream_goes_on() {
    let is_old = Arc::new(AtomicBool::new(false));
    let old = Arc::clone(&is_old);
    let mut server = Server::with(move |asked| {
        let is_seq = asked
            .cursor()
            .is_some_and(|cursor| cursor < 1_000_000_000_000_000);
        let too_old = r#"{"error":"CursorTooOld","message":"11 is below the floor 500"}"#;
        if asked.path != V2_PATH {
            return Some(Answer::new(404, ""));
        }
        (old.load(Ordering::Relaxed) && is_seq).then(|| Answer::new(400, too_old))
    })
    .await;
    let mut client = Client::builder([server.url()]).build().unwrap();
    let mut connection = server.accept().await;
    connection.text(frame(1, 11, DAY)).await;
    assert_eq!(numbers(&mut client, 1).await, [1]);
    is_old.store(true, Ordering::Relaxed);
    connection.kill();
    let mut connection = server.accept().await;
    assert_eq!(connection.asked.cursor(), Some(DAY), "asked by time");
    connection.text(INFO).await;
    connection.text(frame(2, 500, DAY + 90)).await;
    let ClientItem::Gap(gap) = notice(&mut client).await else {
        panic!()
    };
    assert_eq!(gap.cause, ClientGapCause::CursorTooOld);
    assert_eq!(
        (gap.after.unwrap().get(), gap.before.unwrap().get()),
        (DAY, DAY + 90)
    );
    assert_eq!(gap.message.as_deref(), Some("11 is below the floor 500"));
    assert_eq!(numbers(&mut client, 1).await, [2]);
    assert_eq!(client.snapshot().gaps, 1);
}

const INFO: &str = r#"{"$type":"message","payload":{"$type":"network.bsky.jetstream.subscribeEvents#info","message":"resumed at 500","name":"OutdatedCursor"}}"#;

#[tokio::test]
async fn a_time_that_the_host_has_no_more_is_a_gap_before_the_first_event() {
    let mut server = Server::v2().await;
    let cursor = UpstreamCursor::at_time(jetwash_client::Micros::new(DAY));
    let builder = Client::builder([server.url()]).compress(false);
    let mut client = builder.cursor(cursor).build().unwrap();
    let mut connection = server.accept().await;
    assert_eq!(connection.asked.cursor(), Some(DAY));
    connection.text(INFO).await;
    connection.text(frame(2, 500, DAY + 90)).await;
    let ClientItem::Gap(gap) = notice(&mut client).await else {
        panic!()
    };
    assert_eq!(gap.cause, ClientGapCause::OutdatedCursor);
    assert_eq!(gap.after.unwrap().get(), DAY);
    assert_eq!(gap.message.as_deref(), Some("resumed at 500"));
    assert_eq!(number(&event(&mut client).await), 2);
}

#[tokio::test]
async fn a_gap_that_a_server_of_ours_reports_is_passed_on() {
    let mut server = Server::v1().await;
    let mut client = Client::builder([server.url()])
        .compress(false)
        .build()
        .unwrap();
    let mut connection = server.accept().await;
    assert_eq!(connection.asked.one("gaps"), Some("true"));
    connection.text(line(1, DAY)).await;
    let gap = r#"{"kind":"gap","time_us":7,"gap":{"cause":"damaged","from":3,"to":9,"events":6}}"#;
    connection.text(gap).await;
    connection.text(line(2, DAY + 1)).await;
    assert_eq!(numbers(&mut client, 1).await, [1]);
    let ClientItem::Gap(gap) = notice(&mut client).await else {
        panic!()
    };
    assert_eq!(gap.cause, ClientGapCause::Server);
    assert_eq!(
        (gap.after.unwrap().get(), gap.message.as_deref()),
        (7, Some("damaged"))
    );
    assert_eq!(numbers(&mut client, 1).await, [2]);
}

#[tokio::test]
async fn a_cursor_of_a_number_alone_is_refused_where_it_means_nothing() {
    let server = Server::v1().await;
    let builder = Client::builder([server.url()]).compress(false);
    let mut client = builder.cursor(UpstreamCursor::at_seq(7)).build().unwrap();
    let error = end(&mut client).await;
    assert_eq!(error, ClientError::SeqOfAnotherHost { host: server.url() });
}
