use super::*;

fn only(collection: &str) -> Filter {
    Filter::new().collections([collection]).unwrap()
}

#[tokio::test]
async fn a_jetstream_is_told_another_filter() {
    let host = Host::start().await;
    let builder = Jetstream::builder().jetstream(host.url());
    let run = Run::start(
        builder
            .jetstream_options(options(Protocol::V1))
            .ingest_filter(only("app.example.like")),
    );
    let mut connection = host.accept().await;
    let uri = &connection.uri;
    assert!(uri.contains("wantedCollections=app.example.like"), "{uri}");
    run.jetstream
        .set_ingest_filter(only("app.example.post"))
        .await
        .unwrap();
    let update: Value = serde_json::from_str(&connection.text().await).unwrap();
    let payload = json!({ "wantedCollections": ["app.example.post"], "wantedDids": [] });
    assert_eq!(
        update,
        json!({ "type": "options_update", "payload": payload })
    );
    run.stop().await;
}
