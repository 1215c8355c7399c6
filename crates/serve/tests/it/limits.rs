//! How large a message from a subscriber may be.

use jetwash_serve::ServeOptions;
use tokio_tungstenite::tungstenite::Message;

use crate::client::Raw;
use crate::log::{World, lines};

#[tokio::test]
async fn a_message_of_ten_million_bytes_is_taken_and_a_larger_one_closes_with_1009() {
    let world = World::with(0).await;
    let mut client = world.subscribe("").await;
    let mut text = r#"{"type":"options_update","payload":{}}"#.to_owned();
    text.extend(std::iter::repeat_n(' ', 10_000_000 - text.len()));
    client.send(Message::text(text.clone())).await;
    client.settle().await;
    world.push(3).await;
    let expected = lines(&world.log());
    assert_eq!(client.texts(expected.len()).await, expected);
    text.push(' ');
    client.send(Message::text(text)).await;
    let goodbye = (1009, "message larger than 10000000 bytes".to_owned());
    assert_eq!(client.closed().await, goodbye);
}

#[tokio::test]
async fn a_message_that_is_announced_too_large_is_refused_before_it_comes() {
    let world = World::start(ServeOptions::default().max_message_bytes(1000), None).await;
    // Whole, in pieces, and binary: only the heads are sent of what is too much.
    for (whole, head) in [(None, 0x81), (Some(0x01), 0x80), (None, 0x82)] {
        let mut client = Raw::subscribe(world.address, "").await;
        let mut announced = 1001_u64;
        if let Some(first) = whole {
            client.send(first, &[b' '; 1000]).await;
            announced = 1;
        }
        let mut bytes = vec![head, 0xff];
        bytes.extend(announced.to_be_bytes());
        tokio::io::AsyncWriteExt::write_all(&mut client.stream, &bytes)
            .await
            .unwrap();
        let (first, payload) = client.frame().await.unwrap();
        assert_eq!(first, 0x88);
        assert_eq!(payload[..2], 1009_u16.to_be_bytes());
        assert_eq!(&payload[2..], b"message larger than 1000 bytes");
    }
}
