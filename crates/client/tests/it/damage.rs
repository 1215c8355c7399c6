use jetwash_client::{Client, ClientItem, Malformed};

use crate::server::{Connection, DAY, Server, frame, line, notice, number, numbers};

async fn connected(max_message: usize) -> (Server, Client, Connection) {
    let mut server = Server::v1().await;
    let builder = Client::builder([server.url()]).max_message_bytes(max_message);
    let client = builder.build().unwrap();
    let connection = server.accept().await;
    (server, client, connection)
}

async fn malformed(client: &mut Client) -> Malformed {
    match notice(client).await {
        ClientItem::Malformed(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_malformed_message_loses_itself_alone_and_is_counted_by_its_reason() {
    let (_server, mut client, mut connection) = connected(1 << 20).await;
    let good = line(0, DAY);
    let cases = [
        ("{", Malformed::Json),
        ("[]", Malformed::Json),
        (r#"{"kind":"commit"}"#, Malformed::Json),
        (
            r#"{"did":"did:web:a","time_us":-1,"kind":"commit"}"#,
            Malformed::Json,
        ),
    ];
    for (text, _) in cases {
        connection.text(text).await;
    }
    for (from, to) in REPLACED.map(|(from, to, _)| (from, to)) {
        assert!(good.contains(from), "{from}");
        connection.text(good.replacen(from, to, 1)).await;
    }
    connection.binary(b"no zstd frame").await;
    connection.text(&good).await;
    for (_, reason) in cases {
        assert_eq!(malformed(&mut client).await, reason);
    }
    for (_, to, reason) in REPLACED {
        assert_eq!(malformed(&mut client).await, reason, "{to}");
    }
    assert_eq!(malformed(&mut client).await, Malformed::Compression);
    assert_eq!(numbers(&mut client, 1).await, [0]);
    let snapshot = client.snapshot();
    assert_eq!(snapshot.malformed(Malformed::Json), 4);
    assert_eq!(snapshot.malformed(Malformed::Collection), 1);
    assert_eq!(snapshot.malformed_total(), 5 + REPLACED.len() as u64);
    assert_eq!((snapshot.delivered, snapshot.connections), (1, 1));
}

const REPLACED: [(&str, &str, Malformed); 6] = [
    ("did:web:a0.example", "web:a0.example", Malformed::Did),
    ("3l3qo2v", "3l3qo2", Malformed::Revision),
    ("app.bsky.feed.like", "app..like", Malformed::Collection),
    ("3l3qo2vuowo2b", "a/b", Malformed::RecordKey),
    ("bafyreib25", "bafyreib2", Malformed::Cid),
    ("create", "invent", Malformed::Operation),
];

#[tokio::test]
async fn text_that_is_not_utf_8_is_malformed() {
    let (_server, mut client, mut connection) = connected(1 << 20).await;
    // A binary message may hold what a text message may not.
    let mut bytes = Vec::new();
    let mut compressor = jetwash_dict::Compressor::without_dictionary(3);
    compressor
        .compress(b"{\"did\":\"\xff\"}", &mut bytes)
        .unwrap();
    connection.binary(bytes).await;
    assert_eq!(malformed(&mut client).await, Malformed::Utf8);
}

#[tokio::test]
async fn a_message_over_the_limit_is_skipped_and_the_next_is_read() {
    let (_server, mut client, mut connection) = connected(1000).await;
    let long = line(0, DAY).replace(r#""n":0"#, &format!(r#""n":"{}""#, "x".repeat(1000)));
    connection.text(long).await;
    connection.text(line(1, DAY + 1)).await;
    assert_eq!(malformed(&mut client).await, Malformed::TooLarge);
    assert_eq!(numbers(&mut client, 1).await, [1]);
}

#[tokio::test]
async fn a_message_that_decompresses_to_more_than_the_limit_is_skipped() {
    let (_server, mut client, mut connection) = connected(1 << 20).await;
    let mut bomb = Vec::new();
    let mut compressor = jetwash_dict::Compressor::without_dictionary(3);
    compressor
        .compress(&vec![b' '; 64 << 20], &mut bomb)
        .unwrap();
    assert!(bomb.len() < 10_000);
    connection.binary(bomb).await;
    connection.text(line(1, DAY + 1)).await;
    assert_eq!(malformed(&mut client).await, Malformed::TooLarge);
    assert_eq!(numbers(&mut client, 1).await, [1]);
}

#[tokio::test]
async fn messages_of_unknown_kinds_and_unknown_fields_are_passed_over() {
    let (_server, mut client, mut connection) = connected(1 << 20).await;
    connection.text(r#"{"kind":"progress","time_us":7}"#).await;
    connection
        .text(r#"{"did":"did:web:a.example","time_us":7,"kind":"label","label":[1]}"#)
        .await;
    let extended = line(1, DAY).replacen('{', r#"{"new":{"deep":[[[]]]},"#, 1);
    connection.text(extended).await;
    assert_eq!(numbers(&mut client, 1).await, [1]);
    assert_eq!(client.snapshot().unknown, 2);

    let mut server = Server::v2().await;
    let mut client = Client::builder([server.url()]).build().unwrap();
    let mut connection = server.accept().await;
    connection
        .text(r#"{"$type":"hint","payload":7}"#.replace("7", "{\"$type\":\"x\"}"))
        .await;
    connection
        .text(frame(1, 1, DAY).replacen("#commit", "#label", 1))
        .await;
    let info = r#"{"$type":"message","payload":{"$type":"network.bsky.jetstream.subscribeEvents#info","name":"Hello"}}"#;
    connection.text(info).await;
    connection
        .text(frame(2, 2, DAY).replacen("\"seq\"", "\"new\":null,\"seq\"", 1))
        .await;
    assert_eq!(numbers(&mut client, 1).await, [2]);
    assert_eq!(client.snapshot().unknown, 3);
}

#[tokio::test]
async fn a_deeply_nested_record_is_text_like_any_other() {
    let (_server, mut client, mut connection) = connected(1 << 20).await;
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    connection
        .text(line(3, DAY).replace(r#"{"n":3}"#, &deep))
        .await;
    let event = crate::server::event(&mut client).await;
    assert_eq!(number(&event), 3);
    assert_eq!(event.commit().unwrap().record, Some(&*deep));
}
