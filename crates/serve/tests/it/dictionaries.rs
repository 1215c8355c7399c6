//! The dictionary, as clients ask for it.

use jetwash_serve::ServeOptions;

use crate::client::{http, http_bytes};
use crate::frames::trained;
use crate::log::World;

fn request(query: &str, header: &str) -> String {
    let path = "/xrpc/network.bsky.jetstream.getZstdDictionary";
    format!("GET {path}{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n")
}

#[tokio::test]
async fn the_one_in_use_is_served_to_be_asked_for_again_and_a_named_one_for_ever() {
    let dictionary = trained().await;
    let id = dictionary.id();
    let world = World::start(ServeOptions::default(), Some(dictionary.clone())).await;
    let rows = [
        (String::new(), "no-cache"),
        (format!("?id={id}"), "public, max-age=31536000, immutable"),
    ];
    for (query, caching) in rows {
        let (head, body) = http_bytes(world.address, &request(&query, "")).await;
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        for header in [
            format!("cache-control: {caching}\r\n"),
            format!("etag: \"zstd-dict-{id}\"\r\n"),
            format!("x-zstd-dictionary-id: {id}\r\n"),
            "content-type: application/octet-stream\r\n".to_owned(),
            "access-control-allow-origin: *\r\n".to_owned(),
        ] {
            assert!(head.contains(&header), "{header} is not in:\n{head}");
        }
        assert_eq!(body, dictionary.bytes());
    }
}

#[tokio::test]
async fn one_that_the_client_has_is_not_sent_again() {
    let dictionary = trained().await;
    let world = World::start(ServeOptions::default(), Some(dictionary.clone())).await;
    let known = format!("If-None-Match: \"zstd-dict-{}\"\r\n", dictionary.id());
    let (head, body) = http(world.address, &request("", &known)).await;
    assert!(head.starts_with("http/1.1 304 "), "{head}");
    assert_eq!(body, "");
    let other = "If-None-Match: \"zstd-dict-1\"\r\n";
    let (head, _) = http_bytes(world.address, &request("", other)).await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
}

#[tokio::test]
async fn what_is_not_there_is_a_clear_refusal() {
    let dictionary = trained().await;
    let with = World::start(ServeOptions::default(), Some(dictionary.clone())).await;
    let without = World::with(0).await;
    let in_use = format!("the one in use is {}", dictionary.id());
    let rows = [
        (&with, "?id=1", 404, "DictionaryNotFound", in_use.as_str()),
        (&with, "?id=0", 400, "InvalidRequest", "0"),
        (&with, "?id=x", 400, "InvalidRequest", "x"),
        (
            &without,
            "",
            404,
            "DictionaryNotFound",
            "without a dictionary",
        ),
    ];
    for (world, query, status, error, text) in rows {
        let (head, body) = http(world.address, &request(query, "")).await;
        assert!(
            head.starts_with(&format!("http/1.1 {status} ")),
            "{query}: {head}"
        );
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["error"], error);
        assert!(
            body["message"].as_str().unwrap().contains(text),
            "{query}: {body}"
        );
    }
}
