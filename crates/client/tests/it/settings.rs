use std::time::Duration;

use jetwash_client::{Client, ClientBuildError};

#[tokio::test]
async fn settings_that_are_not_usable_are_named() {
    let header = |name: &str, value: &str| {
        let built = Client::builder(["a.example"]).header(name, value).build();
        matches!(built, Err(ClientBuildError::Header { .. }))
    };
    assert!(header("Bad Name", "x") && header("X-A", "a\r\nb") && header("Host", "x"));
    assert!(header("Sec-WebSocket-Key", "x") && header("", "x") && header("X-A", ""));
    let zero = Client::builder(["a.example"])
        .silence(Duration::ZERO)
        .build();
    assert_eq!(
        zero.unwrap_err().to_string(),
        "silence must be longer than 0"
    );
    let none = Client::builder(["a.example"]).max_message_bytes(0).build();
    assert_eq!(
        none.unwrap_err().to_string(),
        "max_message_bytes must be from 1 to 1 GiB"
    );
    let url = Client::builder(["a.example"])
        .dictionary_url("ftp://a.example")
        .build();
    assert!(matches!(url, Err(ClientBuildError::Host(_))));
}

#[test]
fn a_client_needs_a_runtime() {
    let built = Client::builder(["a.example"]).build();
    assert!(matches!(built, Err(ClientBuildError::NoRuntime)));
}
