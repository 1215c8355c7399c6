use jetwash_client::{Client, ClientGapCause, ClientItem, Protocol};

use crate::server::{DAY, Server, frame, line, notice, numbers};

#[tokio::test]
async fn another_host_is_joined_by_the_content_of_events() {
    let mut first = Server::v2().await;
    let mut second = Server::v2().await;
    let hosts = [first.url(), second.url()];
    let mut client = Client::builder(hosts).compress(false).build().unwrap();
    let mut connection = first.accept().await;
    for n in 0..30 {
        connection
            .text(frame(n, 100 + n, DAY + n * 1_000_000))
            .await;
    }
    assert_eq!(numbers(&mut client, 30).await, (0..30).collect::<Vec<_>>());
    connection.kill();
    drop(first);
    let mut connection = second.accept().await;
    assert_eq!(
        connection.asked.cursor(),
        Some(DAY + 19_000_000),
        "10 s before the last event"
    );
    // Its clock is 300 ms behind, its numbers are others, and it starts too early.
    for n in 0..34 {
        connection
            .text(frame(n, 7000 + n, DAY + n * 1_000_000 - 300_000))
            .await;
    }
    assert_eq!(numbers(&mut client, 4).await, [30, 31, 32, 33]);
    let snapshot = client.snapshot();
    assert_eq!((snapshot.repeats, snapshot.gaps), (30, 0));
    assert_eq!(snapshot.host.as_deref(), Some(&*second.url()));
    // There it continues with the numbers of that host.
    connection.kill();
    let mut connection = second.accept().await;
    assert_eq!(connection.asked.cursor(), Some(7033));
    connection.text(frame(33, 7033, DAY + 32_700_000)).await;
    connection.text(frame(34, 7034, DAY + 33_700_000)).await;
    assert_eq!(numbers(&mut client, 1).await, [34]);
}

#[tokio::test]
async fn a_host_whose_clock_is_ahead_sends_nothing_from_before_the_stream() {
    const SECOND: u64 = 1_000_000;
    let mut first = Server::v2().await;
    let mut second = Server::v2().await;
    let hosts = [first.url(), second.url()];
    let mut client = Client::builder(hosts).compress(false).build().unwrap();
    let mut connection = first.accept().await;
    // Less than the ten seconds of the overlap.
    for n in 10..20 {
        let time = DAY + n * SECOND;
        connection.text(frame(n, 100 + n, time)).await;
    }
    assert_eq!(numbers(&mut client, 10).await, (10..20).collect::<Vec<_>>());
    connection.kill();
    drop(first);
    let mut connection = second.accept().await;
    let cursor = connection.asked.cursor().unwrap();
    for n in 0..23 {
        let time = DAY + (n + 2) * SECOND;
        if time >= cursor {
            connection.text(frame(n, 7000 + n, time)).await;
        }
    }
    assert_eq!(numbers(&mut client, 3).await, [20, 21, 22]);
    assert_eq!(client.snapshot().gaps, 0);
}

#[tokio::test]
async fn hosts_of_different_versions_are_joined() {
    let mut old = Server::v1().await;
    let mut new = Server::v2().await;
    let hosts = [old.url(), new.url()];
    let mut client = Client::builder(hosts).compress(false).build().unwrap();
    let mut connection = old.accept().await;
    for n in 0..5 {
        connection.text(line(n, DAY + n)).await;
    }
    assert_eq!(numbers(&mut client, 5).await, [0, 1, 2, 3, 4]);
    connection.kill();
    drop(old);
    let mut connection = new.accept().await;
    for n in 0..8 {
        connection.text(frame(n, n + 1, DAY + n + 50)).await;
    }
    assert_eq!(numbers(&mut client, 3).await, [5, 6, 7]);
    assert_eq!(client.snapshot().protocol, Some(Protocol::V2));
    assert_eq!(client.cursor().unwrap().seq(), Some(8));
}

#[tokio::test]
async fn another_host_that_has_nothing_in_common_leaves_a_gap() {
    let mut first = Server::v2().await;
    let mut second = Server::v2().await;
    let hosts = [first.url(), second.url()];
    let mut client = Client::builder(hosts).compress(false).build().unwrap();
    let mut connection = first.accept().await;
    connection.text(frame(1, 1, DAY)).await;
    assert_eq!(numbers(&mut client, 1).await, [1]);
    connection.kill();
    drop(first);
    let mut connection = second.accept().await;
    connection.text(frame(5, 5, DAY + 5_000_000)).await;
    let ClientItem::Gap(gap) = notice(&mut client).await else {
        panic!()
    };
    assert_eq!(gap.cause, ClientGapCause::OtherHost);
    assert_eq!(numbers(&mut client, 1).await, [5]);
    connection.text(frame(6, 6, DAY + 5_000_001)).await;
    assert_eq!(numbers(&mut client, 1).await, [6]);
    assert_eq!(client.snapshot().gaps, 1, "it is said once");
}

#[tokio::test]
async fn a_host_that_no_longer_has_the_cursor_gives_way_to_one_that_may() {
    use crate::server::{Answer, V2_PATH};
    let too_old = r#"{"error":"CursorTooOld","message":"floor 500"}"#;
    let first = Server::with(move |asked| {
        let is_seq = asked.cursor().is_some_and(|cursor| cursor < 1 << 32);
        is_seq.then(|| Answer::new(400, too_old))
    })
    .await;
    let mut second =
        Server::with(|asked| (asked.path != V2_PATH).then(|| Answer::new(404, ""))).await;
    let cursor = format!("time={DAY};seq=11;host={}", first.url())
        .parse()
        .unwrap();
    let hosts = [first.url(), second.url()];
    let builder = Client::builder(hosts).compress(false).cursor(cursor);
    let mut client = builder.build().unwrap();
    let mut connection = second.accept().await;
    assert_eq!(connection.asked.cursor(), Some(DAY));
    connection.text(frame(1, 900, DAY)).await;
    connection.text(frame(2, 901, DAY + 1)).await;
    assert_eq!(numbers(&mut client, 1).await, [2]);
}
