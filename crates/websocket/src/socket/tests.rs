use tokio::io::AsyncWriteExt;

use super::*;

/// The messages that a socket reads from these bytes, until it ends.
async fn read_with(
    set: impl FnOnce(Socket) -> Socket,
    bytes: &[u8],
) -> (Vec<Incoming>, SocketError) {
    let (mut server, client) = tokio::io::duplex(64);
    let bytes = bytes.to_vec();
    let writing = tokio::spawn(async move {
        let _ = server.write_all(&bytes).await;
    });
    let mut socket = set(Socket::new(Box::new(client), BytesMut::new(), 10));
    let mut seen = Vec::new();
    loop {
        match socket.next().await {
            Ok(incoming) => seen.push(incoming),
            Err(error) => {
                drop(socket);
                writing.await.unwrap();
                return (seen, error);
            }
        }
    }
}

async fn read(bytes: &[u8]) -> (Vec<Incoming>, SocketError) {
    read_with(|socket| socket, bytes).await
}

fn binary(text: &str) -> Incoming {
    Incoming::Binary(BytesMut::from(text))
}

#[tokio::test]
async fn messages_in_one_part_and_in_several_are_read() {
    let bytes = b"\x82\x02ab\x01\x02cd\x89\x01p\x00\x00\x80\x02ef\x82\x00\x02\x01g\x80\x01h";
    let (seen, error) = read(bytes).await;
    let text = Incoming::Text(BytesMut::from("cdef"));
    let expected = [binary("ab"), Incoming::Sign, text, binary(""), binary("gh")];
    assert_eq!(seen, expected);
    assert!(matches!(error, SocketError::Closed(None)), "{error}");
}

#[tokio::test]
async fn what_is_too_large_is_skipped_and_the_next_is_read() {
    let mut bytes = b"\x82\x7e\x01\x00".to_vec();
    bytes.extend([7; 256]);
    bytes.extend(b"\x82\x01a");
    let (seen, _) = read(&bytes).await;
    let large = Incoming::Skipped(Skipped::TooLarge, 256);
    assert_eq!(seen, [large, binary("a")]);

    let parts = b"\x02\x08abcdefgh\x89\x00\x00\x03ijk\x80\x01l\x82\x01b";
    let (seen, _) = read(parts).await;
    let large = Incoming::Skipped(Skipped::TooLarge, 12);
    assert_eq!(seen, [Incoming::Sign, large, binary("b")]);
}

#[tokio::test]
async fn text_is_skipped_if_it_is_not_taken_and_the_next_is_read() {
    let bytes = b"\x81\x02\xff\xfe\x82\x01a\x01\x02cd\x89\x00\x80\x0cabcdefghijkl\x82\x01b";
    let (seen, _) = read_with(Socket::without_text, bytes).await;
    let text = |bytes| Incoming::Skipped(Skipped::Text, bytes);
    let expected = [text(2), binary("a"), Incoming::Sign, text(14), binary("b")];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_connection() {
    for bytes in [
        &b"\xc2\x01a"[..],
        b"\x83\x01a",
        b"\x8b\x01a",
        b"\x80\x01a",
        b"\x02\x01a\x82\x01b",
        b"\x82\x81\x00\x00\x00\x00a",
        b"\x09\x00",
        b"\x89\x7e\x00\x7e",
    ] {
        let (_, error) = read(bytes).await;
        assert!(matches!(error, SocketError::Protocol(_)), "{error}");
    }
    let mut parts = b"\x02\x01a".to_vec();
    parts.extend([0; 2].repeat(MAX_PARTS as usize));
    let (_, error) = read(&parts).await;
    assert!(matches!(error, SocketError::Protocol(_)), "{error}");
    let (_, error) = read(b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff").await;
    assert!(matches!(error, SocketError::TooLong(_)), "{error}");
    let (_, error) = read(b"\x82\x05ab").await;
    assert!(matches!(error, SocketError::CutShort), "{error}");
    let (_, error) = read(b"\x88\x04\x03\xf5by").await;
    assert_eq!(
        error.to_string(),
        "the host closed it with the code 1013 by"
    );
}

#[tokio::test]
async fn a_message_that_is_too_long_to_be_skipped_ends_the_connection() {
    let (seen, error) = read_with(|socket| socket.max_skipped(100), b"\x82\x65").await;
    assert_eq!(seen, []);
    assert!(matches!(error, SocketError::TooLong(101)), "{error}");
    // Parts of it count together.
    let parts = b"\x02\x0babcdefghijk\x80\x5a";
    let (_, error) = read_with(|socket| socket.max_skipped(100), parts).await;
    assert!(matches!(error, SocketError::TooLong(101)), "{error}");
}

#[tokio::test]
async fn a_ping_is_answered_with_its_payload_and_a_ping_sent() {
    let (mut server, client) = tokio::io::duplex(64);
    let mut socket = Socket::new(Box::new(client), BytesMut::new(), 10);
    socket.ping();
    server.write_all(b"\x89\x02hi\x82\x01a").await.unwrap();
    assert_eq!(socket.next().await.unwrap(), Incoming::Sign);
    assert_eq!(socket.next().await.unwrap(), binary("a"));
    let waiting = tokio::spawn(async move { socket.next().await });
    let mut sent = [0; 12];
    server.read_exact(&mut sent).await.unwrap();
    assert_eq!(sent[..2], [0x89, 0x80]);
    assert_eq!(sent[6..8], [0x8a, 0x82]);
    let mut text = [0; 2];
    server.read_exact(&mut text).await.unwrap();
    assert_eq!(&[text[0] ^ sent[8], text[1] ^ sent[9]], b"hi");
    drop(server);
    waiting.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_host_that_reads_nothing_is_owed_few_answers_and_no_text() {
    let (mut server, client) = tokio::io::duplex(64);
    let mut socket = Socket::new(Box::new(client), BytesMut::new(), 10);
    for _ in 0..100_000 {
        socket.ping();
    }
    let before = socket.unsent.len();
    assert!(before < 8 << 10, "{before} bytes of pings");
    socket.send_text(&"x".repeat(2 << 20)).unwrap();
    let error = socket.send_text("hello").unwrap_err();
    assert!(
        matches!(error, SocketError::Clogged(bytes) if bytes > 2 << 20),
        "{error}"
    );
    // What it sends is read all the same.
    server.write_all(b"\x82\x01a").await.unwrap();
    assert_eq!(socket.next().await.unwrap(), binary("a"));
}

#[tokio::test]
async fn a_goodbye_has_the_code_that_is_told() {
    for (code, length) in [(None, 0), (Some(1000), 2)] {
        let (mut server, client) = tokio::io::duplex(64);
        let mut socket = Socket::new(Box::new(client), BytesMut::new(), 10);
        socket.close(code).await.unwrap();
        let mut sent = Vec::new();
        server.read_to_end(&mut sent).await.unwrap();
        assert_eq!(sent[..2], [0x88, 0x80 | length]);
        let code: Vec<u8> = sent[6..]
            .iter()
            .zip(&sent[2..6])
            .map(|(a, b)| a ^ b)
            .collect();
        assert_eq!(code, &1000_u16.to_be_bytes()[..usize::from(length)]);
    }
}

#[tokio::test]
async fn more_is_read_at_once_while_more_comes_and_less_when_it_ends() {
    let (mut server, client) = tokio::io::duplex(1 << 20);
    let socket = Socket::new(Box::new(client), BytesMut::new(), 1 << 20);
    let mut socket = socket.read_sizes(1 << 10..=8 << 10);
    let message = [b"\x82\x64".to_vec(), vec![7; 100]].concat();
    server.write_all(&message.repeat(1000)).await.unwrap();
    let mut largest = 0;
    for _ in 0..1000 {
        socket.next().await.unwrap();
        largest = largest.max(socket.read_size);
    }
    assert_eq!(largest, 8 << 10);
    for _ in 0..10 {
        server.write_all(&message).await.unwrap();
        socket.next().await.unwrap();
    }
    assert_eq!(socket.read_size, 1 << 10);
    assert_eq!((socket.messages(), socket.received()), (1010, 1010 * 102));
    assert!(!socket.has_begun());
}

#[tokio::test]
async fn a_payload_is_where_it_was_read_to() {
    let (mut server, client) = tokio::io::duplex(1 << 10);
    let mut socket = Socket::new(Box::new(client), BytesMut::new(), 1 << 10);
    server.write_all(b"\x82\x02ab\x82\x02cd").await.unwrap();
    socket.fill().await.unwrap();
    let start = socket.read.as_ptr() as usize;
    for offset in [2, 6] {
        let Some(Incoming::Binary(payload)) = socket.parse().unwrap() else {
            panic!("a message");
        };
        assert_eq!(payload.freeze().as_ptr() as usize, start + offset);
    }
}
