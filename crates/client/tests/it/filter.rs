use jetwash_client::{Client, ClientFilter, ClientKind, Protocol};

use crate::server::{DAY, Server, V2_PATH, frame, line, numbers};

fn accounts(numbers: impl IntoIterator<Item = u64>) -> ClientFilter {
    let dids = numbers.into_iter().map(|n| format!("did:web:a{n}.example"));
    ClientFilter::new().dids(dids).unwrap()
}

#[tokio::test]
async fn what_the_server_sends_too_much_is_filtered_here() {
    let mut server = Server::v1().await;
    let filter = accounts([1, 3]).collections(["app.bsky.feed.*"]).unwrap();
    let filter = filter.kinds([ClientKind::Commit]);
    let builder = Client::builder([server.url()])
        .compress(false)
        .filter(filter);
    let mut client = builder.build().unwrap();
    let mut connection = server.accept().await;
    assert_eq!(
        connection.asked.all("wantedDids"),
        ["did:web:a1.example", "did:web:a3.example"]
    );
    assert_eq!(
        connection.asked.all("wantedCollections"),
        ["app.bsky.feed.*"]
    );
    // Version 1 sends the identities of all collections, and this server everything.
    let identity = r#"{"did":"did:web:a1.example","time_us":1,"kind":"identity","identity":{"did":"did:web:a1.example","seq":1,"time":"2026-07-04T00:00:00Z"}}"#;
    connection.text(identity).await;
    connection
        .text(line(1, DAY).replace("app.bsky.feed.like", "app.bsky.graph.block"))
        .await;
    for n in 0..5 {
        connection.text(line(n, DAY + 1 + n)).await;
    }
    assert_eq!(numbers(&mut client, 2).await, [1, 3]);
    connection.text(line(1, DAY + 9)).await;
    assert_eq!(numbers(&mut client, 1).await, [1]);
    let snapshot = client.snapshot();
    assert_eq!(
        (snapshot.received, snapshot.delivered, snapshot.filtered),
        (8, 3, 5)
    );
}

#[tokio::test]
async fn a_filter_is_changed_over_the_open_socket_of_version_1() {
    let mut server = Server::v1().await;
    let builder = Client::builder([server.url()])
        .compress(false)
        .filter(accounts([1]));
    let mut client = builder.build().unwrap();
    let mut connection = server.accept().await;
    connection.text(line(1, DAY)).await;
    assert_eq!(numbers(&mut client, 1).await, [1]);
    client.handle().set_filter(accounts([2]));
    let update = connection.message().await.unwrap();
    let update: serde_json::Value = serde_json::from_str(&update).unwrap();
    let payload =
        serde_json::json!({"wantedCollections": [], "wantedDids": ["did:web:a2.example"]});
    assert_eq!(
        update,
        serde_json::json!({"type": "options_update", "payload": payload})
    );
    // What was on its way by the old filter is left out.
    connection.text(line(1, DAY + 1)).await;
    connection.text(line(2, DAY + 2)).await;
    assert_eq!(numbers(&mut client, 1).await, [2]);
    assert_eq!(client.snapshot().connections, 1);
    // The next connection begins with it.
    connection.kill();
    assert_eq!(
        server.accept().await.asked.all("wantedDids"),
        ["did:web:a2.example"]
    );
}

#[tokio::test]
async fn an_event_of_the_filter_before_is_not_missed_by_the_next_connection() {
    let mut server = Server::v1().await;
    let builder = Client::builder([server.url()])
        .compress(false)
        .protocol(Protocol::V1)
        .filter(accounts([1]));
    let mut client = builder.build().unwrap();
    let mut connection = server.accept().await;
    connection.text(line(1, DAY)).await;
    assert_eq!(numbers(&mut client, 1).await, [1]);
    client.handle().set_filter(accounts([2]));
    connection.message().await.expect("an update of the filter");
    connection.kill();
    // It is asked from before the last event, which the new filter leaves out.
    let mut connection = server.accept().await;
    assert_eq!(connection.asked.cursor(), Some(DAY));
    connection.text(line(2, DAY + 2)).await;
    assert_eq!(numbers(&mut client, 1).await, [2]);
    assert_eq!(client.snapshot().gaps, 0);
}

#[tokio::test]
async fn a_filter_is_changed_by_another_connection_of_version_2() {
    let mut server = Server::v2().await;
    let builder = Client::builder([server.url()])
        .compress(false)
        .filter(accounts([1]));
    let mut client = builder.build().unwrap();
    let mut connection = server.accept().await;
    assert_eq!(connection.asked.path, V2_PATH);
    connection.text(frame(1, 1, DAY)).await;
    assert_eq!(numbers(&mut client, 1).await, [1]);
    client.handle().set_filter(accounts([2]));
    let mut next = server.accept().await;
    assert_eq!(
        (next.asked.all("dids"), next.asked.cursor()),
        (vec!["did:web:a2.example"], Some(1))
    );
    connection.closed().await;
    next.text(frame(2, 2, DAY + 1)).await;
    assert_eq!(numbers(&mut client, 1).await, [2]);
}

#[tokio::test]
async fn a_filter_too_long_for_a_query_is_the_first_message_of_version_1() {
    let mut server = Server::v1().await;
    let builder = Client::builder([server.url()])
        .compress(false)
        .protocol(Protocol::V1)
        .filter(accounts(0..10_000));
    let mut client = builder.build().unwrap();
    let mut connection = server.accept().await;
    assert_eq!(connection.asked.one("requireHello"), Some("true"));
    let hello: serde_json::Value =
        serde_json::from_str(&connection.message().await.unwrap()).unwrap();
    assert_eq!(
        hello["payload"]["wantedDids"].as_array().unwrap().len(),
        10_000
    );
    // More than that cannot be said, so that the server is asked for all accounts.
    client.handle().set_filter(accounts(0..10_001));
    let update: serde_json::Value =
        serde_json::from_str(&connection.message().await.unwrap()).unwrap();
    assert_eq!(update["payload"]["wantedDids"].as_array().unwrap().len(), 0);
    connection.text(line(10_001, DAY)).await;
    connection.text(line(10_000, DAY + 1)).await;
    assert_eq!(numbers(&mut client, 1).await, [10_000]);
}

#[tokio::test]
async fn a_host_that_takes_no_long_request_is_asked_for_all_accounts() {
    use crate::server::Answer;
    let mut server = Server::with(|asked| {
        let is_long = asked.all("dids").len() > 100;
        is_long.then(|| Answer::new(414, "URI Too Long"))
    })
    .await;
    let builder = Client::builder([server.url()])
        .compress(false)
        .filter(accounts(0..1000));
    let mut client = builder.build().unwrap();
    let mut connection = server.accept().await;
    assert!(connection.asked.all("dids").is_empty());
    connection.text(frame(1000, 1, DAY)).await;
    connection.text(frame(999, 2, DAY)).await;
    assert_eq!(numbers(&mut client, 1).await, [999]);
}

#[tokio::test]
async fn a_set_of_accounts_that_changes_is_applied_here() {
    let set = jetwash_client::DidSet::new();
    let mut server = Server::v2().await;
    let filter = ClientFilter::new().did_set(set.clone());
    let builder = Client::builder([server.url()])
        .compress(false)
        .filter(filter);
    let mut client = builder.build().unwrap();
    let mut connection = server.accept().await;
    assert!(connection.asked.all("dids").is_empty());
    set.add("did:web:a2.example").unwrap();
    connection.text(frame(1, 1, DAY)).await;
    connection.text(frame(2, 2, DAY)).await;
    assert_eq!(numbers(&mut client, 1).await, [2]);
    set.add("did:web:a1.example").unwrap();
    connection.text(frame(1, 3, DAY)).await;
    assert_eq!(numbers(&mut client, 1).await, [1]);
}
