use jetwash_client::{Client, ClientItem, Dictionary, Protocol};
use jetwash_corpus::corpus;

use crate::server::{Answer, Asked, DAY, Server, V2_PATH, frame, item, line, numbers};

/// A dictionary made for the events of these tests.
fn dictionary(id: u32) -> Dictionary {
    let samples = (0..2000).map(|n| frame(n % 500, n, DAY + 977 * n));
    Dictionary::train(samples, 2048, id).unwrap()
}

fn compressed(dictionary: &Dictionary, text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    dictionary
        .compressor()
        .compress(text.as_bytes(), &mut bytes)
        .unwrap();
    bytes
}

const DICTIONARY_PATH: &str = "/xrpc/network.bsky.jetstream.getZstdDictionary";

/// Serves dictionaries by their number; the first is the one in use.
fn serve(dictionaries: &[Dictionary], asked: &Asked) -> Option<Answer> {
    if asked.path != DICTIONARY_PATH {
        return None;
    }
    let id = asked.one("id").map(|id| id.parse::<u32>().unwrap());
    let mut found = dictionaries
        .iter()
        .filter(|it| id.is_none_or(|id| id == it.id()));
    Some(match found.next() {
        Some(dictionary) => Answer::new(200, dictionary.bytes()),
        None => Answer::new(404, r#"{"error":"DictionaryNotFound","message":"no"}"#),
    })
}

async fn server(path: &'static str, dictionaries: Vec<Dictionary>) -> Server {
    Server::with(move |asked| {
        let is_stream = asked.path == path;
        let file = serve(&dictionaries, asked);
        file.or_else(|| (!is_stream).then(|| Answer::new(404, "Not Found")))
    })
    .await
}

#[tokio::test]
async fn version_1_is_compressed_with_a_dictionary_that_the_caller_has() {
    let mut server = Server::v1().await;
    let own = dictionary(7);
    let mut client = Client::builder([server.url()])
        .dictionary(own.clone())
        .build()
        .unwrap();
    let mut connection = server.accept().await;
    assert_eq!(connection.asked.one("compress"), Some("true"));
    let first = line(0, DAY);
    connection.binary(compressed(&own, &first)).await;
    connection.binary(compressed(&own, &line(1, DAY + 1))).await;
    assert_eq!(numbers(&mut client, 2).await, [0, 1]);
    let snapshot = client.snapshot();
    assert_eq!(snapshot.bytes_decompressed, 2 * first.len() as u64);
    assert!(snapshot.bytes_received < first.len() as u64, "{snapshot:?}");
}

#[tokio::test]
async fn version_1_is_compressed_with_the_official_dictionary() {
    let Some(corpus) = corpus("the official dictionary") else {
        return;
    };
    let bytes = corpus.bytes("dictionaries/legacy_subscribe.zdict");
    let official = Dictionary::from_bytes(bytes).unwrap();
    // The caller names only where it is.
    let files = server("/nothing", vec![official.clone()]).await;
    let url = format!(
        "http://{}{DICTIONARY_PATH}?id={}",
        files.address,
        Dictionary::OFFICIAL_V1_ID
    );
    let mut server = Server::v1().await;
    let mut client = Client::builder([server.url()])
        .dictionary_url(url)
        .build()
        .unwrap();
    let mut connection = server.accept().await;
    let lines = corpus.lines("events/golden_v1.jsonl");
    for line in &lines {
        connection.binary(compressed(&official, line)).await;
    }
    for line in &lines {
        let event = crate::server::event(&mut client).await;
        assert_eq!(event.text(), line.as_bytes());
    }
    assert_eq!(client.snapshot().dictionaries_fetched, 1);
}

#[tokio::test]
async fn a_dictionary_is_fetched_from_the_host_by_its_number() {
    let (first, second) = (dictionary(7), dictionary(8));
    let mut server = server("/subscribe", vec![first.clone(), second.clone()]).await;
    let folder = tempfile::tempdir().unwrap();
    let builder = Client::builder([server.url()]).protocol(Protocol::V1);
    let mut client = builder.dictionary_folder(folder.path()).build().unwrap();
    let mut connection = server.accept().await;
    // The dictionary changes in the middle of a connection.
    for n in 0..4 {
        let used = if n < 2 { &first } else { &second };
        connection.binary(compressed(used, &line(n, DAY + n))).await;
    }
    assert_eq!(numbers(&mut client, 4).await, [0, 1, 2, 3]);
    assert_eq!(client.snapshot().connections, 1);
    // The next client has it in its folder.
    let builder = Client::builder([server.url()]).protocol(Protocol::V1);
    let mut other = builder.dictionary_folder(folder.path()).build().unwrap();
    let mut connection = server.accept().await;
    connection.binary(compressed(&second, &line(9, DAY))).await;
    assert_eq!(numbers(&mut other, 1).await, [9]);
    let snapshot = other.snapshot();
    assert_eq!(snapshot.dictionaries_fetched, 0, "{snapshot:?}");
}

#[tokio::test]
async fn a_damaged_file_in_the_folder_is_replaced() {
    let own = dictionary(7);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("7.zdict");
    std::fs::write(&file, b"\x37\xa4\x30\xec damaged").unwrap();
    let mut server = server("/subscribe", vec![own.clone()]).await;
    let builder = Client::builder([server.url()]).dictionary_folder(folder.path());
    let mut client = builder.build().unwrap();
    let mut connection = server.accept().await;
    connection.binary(compressed(&own, &line(1, DAY))).await;
    assert_eq!(numbers(&mut client, 1).await, [1]);
    assert_eq!(std::fs::read(&file).unwrap(), own.bytes());
}

#[tokio::test]
async fn without_its_dictionary_a_stream_goes_on_plain_and_loses_nothing() {
    let own = dictionary(7);
    let mut server = Server::v1().await;
    let mut client = Client::builder([server.url()]).build().unwrap();
    let mut connection = server.accept().await;
    connection.text(line(0, DAY)).await;
    connection.binary(compressed(&own, &line(1, DAY + 1))).await;
    let mut plain = server.accept().await;
    assert_eq!(plain.asked.one("compress"), None);
    assert_eq!(plain.asked.cursor(), Some(DAY));
    plain.text(line(0, DAY)).await;
    plain.text(line(1, DAY + 1)).await;
    assert_eq!(numbers(&mut client, 2).await, [0, 1]);
    let snapshot = client.snapshot();
    assert_eq!((snapshot.repeats, snapshot.dictionaries_failed), (1, 1));
}

#[tokio::test]
async fn a_dictionary_of_another_checksum_or_number_is_refused() {
    let own = dictionary(7);
    let mut pinned = server("/subscribe", vec![own.clone()]).await;
    let client = Client::builder([pinned.url()])
        .dictionary_sha256(7, [0; 32])
        .build()
        .unwrap();
    let mut connection = pinned.accept().await;
    connection.binary(compressed(&own, &line(1, DAY))).await;
    assert_eq!(pinned.accept().await.asked.one("compress"), None);
    drop(client);

    // Whatever number is asked for, this host sends the same.
    let other = dictionary(8);
    let mut liar = Server::with(move |asked| match &*asked.path {
        DICTIONARY_PATH => Some(Answer::new(200, other.bytes())),
        "/subscribe" => None,
        _ => Some(Answer::new(404, "")),
    })
    .await;
    let client = Client::builder([liar.url()]).build().unwrap();
    let mut connection = liar.accept().await;
    connection.binary(compressed(&own, &line(1, DAY))).await;
    assert_eq!(liar.accept().await.asked.one("compress"), None);
    assert_eq!(client.snapshot().dictionaries_failed, 1);
}

#[tokio::test]
async fn a_dictionary_that_never_ends_is_not_read_to_the_end() {
    let own = dictionary(7);
    let huge = vec![7; 3 << 20];
    let mut server = Server::with(move |asked| match &*asked.path {
        DICTIONARY_PATH => Some(Answer::new(200, huge.clone())),
        "/subscribe" => None,
        _ => Some(Answer::new(404, "")),
    })
    .await;
    let client = Client::builder([server.url()]).build().unwrap();
    let mut connection = server.accept().await;
    connection.binary(compressed(&own, &line(1, DAY))).await;
    assert_eq!(server.accept().await.asked.one("compress"), None);
    drop(client);
}

#[tokio::test]
async fn version_2_is_compressed_with_the_dictionary_in_use() {
    let own = dictionary(20_261_126);
    let mut server = server(V2_PATH, vec![own.clone()]).await;
    let mut client = Client::builder([server.url()]).build().unwrap();
    let mut connection = server.accept().await;
    assert_eq!(connection.asked.one("zstdDictionary"), Some("20261126"));
    for n in 0..3 {
        connection
            .binary(compressed(&own, &frame(n, n + 1, DAY + n)))
            .await;
    }
    assert_eq!(numbers(&mut client, 3).await, [0, 1, 2]);
}

#[tokio::test]
async fn version_2_names_another_dictionary_and_gets_asked_for_that() {
    let (old, new) = (dictionary(7), dictionary(8));
    let in_use = new.clone();
    // A cache before the server still has the old one as the one in use.
    let mut server = Server::with(move |asked| {
        let files = [old.clone(), new.clone()];
        let file = serve(&files, asked);
        let is_old = asked.one("zstdDictionary") == Some("7");
        let unknown = r#"{"error":"UnknownZstdDictionary","message":"unknown id 7, current is 8"}"#;
        file.or_else(|| (asked.path != V2_PATH).then(|| Answer::new(404, "")))
            .or_else(|| is_old.then(|| Answer::new(400, unknown)))
    })
    .await;
    let mut client = Client::builder([server.url()]).build().unwrap();
    let mut connection = server.accept().await;
    assert_eq!(connection.asked.one("zstdDictionary"), Some("8"));
    connection
        .binary(compressed(&in_use, &frame(1, 1, DAY)))
        .await;
    assert_eq!(numbers(&mut client, 1).await, [1]);
}

#[tokio::test]
async fn version_2_without_dictionaries_is_followed_plain() {
    let mut server = Server::v2().await;
    let mut client = Client::builder([server.url()]).build().unwrap();
    let mut connection = server.accept().await;
    assert_eq!(connection.asked.one("zstdDictionary"), None);
    connection.text(frame(1, 1, DAY)).await;
    let ClientItem::Connected(connected) = item(&mut client).await else {
        panic!()
    };
    assert!(!connected.is_compressed);
    assert_eq!(numbers(&mut client, 1).await, [1]);
}

#[tokio::test]
async fn zstd_without_a_dictionary_is_read_too() {
    let mut server = Server::v1().await;
    let mut client = Client::builder([server.url()]).build().unwrap();
    let mut connection = server.accept().await;
    let mut bytes = Vec::new();
    let mut compressor = jetwash_dict::Compressor::without_dictionary(3);
    compressor
        .compress(line(5, DAY).as_bytes(), &mut bytes)
        .unwrap();
    connection.binary(bytes).await;
    assert_eq!(numbers(&mut client, 1).await, [5]);
}
