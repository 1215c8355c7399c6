//! The way to a relay, over real sockets: what stands in it, and how it is gone around.

use std::convert::Infallible;
use std::env;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use jetwash::{Jetstream, JetstreamBuilder, NotReady, RelayOptions, Upstream, UpstreamState};
use jetwash_sim::{ScriptedConnection, ScriptedRelay};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;

use crate::lines;

/// An `#account` frame of this number, by hand.
fn frame(seq: u16) -> Vec<u8> {
    let mut frame = b"\xa2\x61t\x68#account\x62op\x01\xa4\x63did".to_vec();
    let did = format!("did:web:n{seq:05}.example");
    frame.push(0x60 + did.len() as u8);
    frame.extend(did.bytes());
    frame.extend(b"\x63seq");
    // The shortest form is the only one that is legal.
    match (seq, seq.to_be_bytes()) {
        (0..24, [_, low]) => frame.push(low),
        (24..256, [_, low]) => frame.extend([0x18, low]),
        (_, [high, low]) => frame.extend([0x19, high, low]),
    }
    frame.extend(b"\x64time\x742026-07-04T14:38:07Z\x66active\xf5");
    frame
}

fn frames(seqs: impl Iterator<Item = u16>) -> impl Iterator<Item = Vec<u8>> {
    seqs.map(frame)
}

/// A Jetstream that runs, without a proxy.
fn run(builder: JetstreamBuilder, options: RelayOptions) -> Jetstream {
    let (jetstream, ingest) = builder.relay_options(options.no_proxy()).build().unwrap();
    tokio::spawn(ingest.run(std::future::pending()));
    jetstream
}

fn following(relay: &ScriptedRelay) -> Jetstream {
    run(Jetstream::builder().relay(relay.url()), RelayOptions::new())
}

pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    let waited = timeout(Duration::from_secs(40), waiting).await;
    assert!(waited.is_ok(), "it never happened: {what}");
}

async fn until_at(jetstream: &Jetstream, relay: &ScriptedRelay, seq: u64) {
    let name = relay.url();
    let is_there = || jetstream.source_cursor(&name) == Some(seq);
    until(&format!("the cursor {seq}"), is_there).await;
}

fn upstream(jetstream: &Jetstream) -> Upstream {
    jetstream.upstreams().remove(0)
}

/// Writes a binary message of `bytes` bytes, piece by piece.
async fn send_large(connection: &mut ScriptedConnection, bytes: usize) {
    let mut header = vec![0x82, 127];
    header.extend((bytes as u64).to_be_bytes());
    connection.send_raw(&header).await.unwrap();
    let piece = vec![7; 100_000];
    for _ in 0..bytes / piece.len() {
        connection.send_raw(&piece).await.unwrap();
    }
}

#[tokio::test]
async fn messages_too_large_or_of_text_are_skipped_and_the_connection_goes_on() {
    let mut relay = ScriptedRelay::start().await.unwrap();
    let jetstream = following(&relay);
    let mut connection = relay.accept().await.unwrap();
    connection.send([frame(1)]).await.unwrap();
    send_large(&mut connection, 5_200_000).await;
    connection.send([frame(3)]).await.unwrap();
    send_large(&mut connection, 50_000_000).await;
    connection.send([frame(5)]).await.unwrap();
    connection.send_text("hello").await.unwrap();
    // Text that is not UTF-8.
    connection.send_raw(b"\x81\x02\xff\xfe").await.unwrap();
    connection.send([frame(6)]).await.unwrap();
    until_at(&jetstream, &relay, 6).await;
    let snapshot = jetstream.snapshot();
    assert_eq!(snapshot.dropped["message_too_large"], 2);
    assert_eq!(snapshot.dropped["message_is_text"], 2);
    assert!(snapshot.reconnects.is_empty(), "{:?}", snapshot.reconnects);
    assert_eq!(lines(jetstream.store()).len(), 4);
}

/// Serves frames of 1 to 40, of which 21 breaks the connection, until all others are taken.
async fn is_stepped_over(poison: &'static [u8], is_inclusive: bool) -> Jetstream {
    let mut relay = ScriptedRelay::start().await.unwrap();
    let jetstream = following(&relay);
    let done = jetstream.clone();
    let name = relay.url();
    tokio::spawn(async move {
        loop {
            let mut connection = relay.accept().await.unwrap();
            let first = match connection.cursor() {
                Some(cursor) => cursor as u16 + u16::from(!is_inclusive),
                None => 1,
            };
            let before = frames((1..21).filter(|&seq| seq >= first));
            connection.send(before).await.unwrap();
            if first <= 21 {
                connection.send_raw(poison).await.unwrap();
            }
            // Whether or not it is there to hear of the rest.
            let after = frames((22..=40).filter(|&seq| seq >= first));
            let _ = connection.send(after).await;
            connection.until_closed().await;
        }
    });
    let is_there = || done.source_cursor(&name) == Some(40);
    until("the last frame", is_there).await;
    jetstream
}

#[tokio::test]
async fn a_message_that_breaks_the_protocol_is_stepped_over() {
    let stepped = [
        is_stepped_over(b"\xf2\x01a", false),
        is_stepped_over(b"\xf2\x01a", true),
        is_stepped_over(b"\x83\x01a", false),
        is_stepped_over(b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", true),
    ];
    for jetstream in futures_util::future::join_all(stepped).await {
        assert_eq!(lines(jetstream.store()).len(), 39, "one is lost, no other");
        let state = upstream(&jetstream).state;
        assert_eq!(state, UpstreamState::Connected);
    }
}

#[tokio::test]
async fn a_relay_that_only_closes_is_asked_for_the_same_again_and_loses_nothing() {
    let mut relay = ScriptedRelay::start().await.unwrap();
    let builder = Jetstream::builder().relay(relay.url());
    let builder = builder.relay_cursor(relay.url(), 7);
    let _jetstream = run(builder, RelayOptions::new());
    for _ in 0..4 {
        relay.accept_at(Some(7)).await.unwrap().disconnect();
    }
}

#[tokio::test]
async fn a_relay_that_ends_each_connection_after_a_few_frames_is_followed() {
    let mut relay = ScriptedRelay::start().await.unwrap();
    let jetstream = following(&relay);
    let name = relay.url();
    let all = async {
        for turn in 0..20 {
            let mut connection = relay.accept().await.unwrap();
            assert_eq!(connection.cursor().unwrap_or_default(), turn * 20);
            let first = (turn * 20) as u16 + 1;
            connection.send(frames(first..first + 20)).await.unwrap();
            let last = Some((turn + 1) * 20);
            until("the frames are in the log", || {
                jetstream.source_cursor(&name) == last
            })
            .await;
            connection.disconnect();
        }
    };
    // With waits that grow it takes minutes.
    timeout(Duration::from_secs(30), all).await.unwrap();
    assert_eq!(upstream(&jetstream).name, name.into());
}

fn redirect(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

#[tokio::test]
async fn redirects_are_followed_and_keep_the_cursor() {
    let mut first = ScriptedRelay::start().await.unwrap();
    let mut second = ScriptedRelay::start().await.unwrap();
    let builder = Jetstream::builder().relay(first.url());
    let builder = builder.relay_cursor(first.url(), 7);
    let options = RelayOptions::new().header("Authorization", "secret");
    let jetstream = run(builder, options);
    for (status, place) in [(301, "/a"), (302, "/b?c=d"), (307, "/e?cursor=1")] {
        let request = first.answer(&redirect(status, place)).await.unwrap();
        assert!(request.contains("cursor=7"), "{request}");
        assert!(request.contains("Authorization: secret"), "{request}");
    }
    let other = second.url().replace("ws://", "http://");
    first.answer(&redirect(308, &other)).await.unwrap();
    // To another host, what may be a secret does not go along.
    let request = second.answer(&redirect(302, "/x")).await.unwrap();
    assert!(!request.contains("secret"), "{request}");
    let mut connection = second.accept_at(Some(7)).await.unwrap();
    connection.send([frame(8)]).await.unwrap();
    // The cursor is that of the relay that was named.
    until_at(&jetstream, &first, 8).await;
    assert!(jetstream.snapshot().reconnects.is_empty());
}

#[tokio::test]
async fn the_sixth_redirect_is_not_followed() {
    let mut relay = ScriptedRelay::start().await.unwrap();
    let jetstream = following(&relay);
    for _ in 0..6 {
        relay.answer(&redirect(302, "/on")).await.unwrap();
    }
    let is_told = || jetstream.snapshot().reconnects.contains_key("redirect");
    until("the redirect is refused", is_told).await;
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let mut relay = ScriptedRelay::start().await.unwrap();
    let jetstream = following(&relay);
    let busy = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n";
    relay.answer(busy).await.unwrap();
    let asked = Instant::now();
    relay.accept().await.unwrap();
    // Without it, the next attempt comes within half a second.
    assert!(asked.elapsed() >= Duration::from_millis(1_900));
    assert_eq!(jetstream.snapshot().reconnects["refused"], 1);
}

#[tokio::test]
async fn the_user_agent_and_the_headers_given_are_sent() {
    let refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    let mut relay = ScriptedRelay::start().await.unwrap();
    let _usual = following(&relay);
    let request = relay.answer(refusal).await.unwrap();
    let agent = concat!("User-Agent: jetwash/", env!("CARGO_PKG_VERSION"), "\r\n");
    assert!(request.contains(agent), "{request}");

    let mut relay = ScriptedRelay::start().await.unwrap();
    let options = RelayOptions::new()
        .user_agent("feed/1")
        .header("X-Team", "a");
    let _own = run(Jetstream::builder().relay(relay.url()), options);
    let request = relay.answer(refusal).await.unwrap();
    assert!(request.contains("User-Agent: feed/1\r\n"), "{request}");
    assert!(request.contains("X-Team: a\r\n"), "{request}");
}

/// A proxy that makes one connection for its client, and returns the request's head.
async fn proxy() -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let target = head.split(' ').nth(1).unwrap();
        let mut relay = TcpStream::connect(target).await.unwrap();
        client
            .write_all(b"HTTP/1.1 200 Connected\r\n\r\n")
            .await
            .unwrap();
        tokio::spawn(async move { copy_bidirectional(&mut client, &mut relay).await });
        head
    });
    (address.to_string(), task)
}

#[tokio::test]
async fn a_proxy_is_asked_to_connect_with_its_user_and_password() {
    let mut relay = ScriptedRelay::start().await.unwrap();
    let (address, head) = proxy().await;
    let options = RelayOptions::new().proxy(format!("http://user:pass@{address}"));
    let builder = Jetstream::builder()
        .relay(relay.url())
        .relay_options(options);
    let (jetstream, ingest) = builder.build().unwrap();
    tokio::spawn(ingest.run(std::future::pending()));
    let mut connection = relay.accept().await.unwrap();
    let head = head.await.unwrap();
    assert!(head.starts_with("CONNECT 127.0.0.1:"), "{head}");
    // By hand: base64 of `user:pass`.
    assert!(
        head.contains("Proxy-Authorization: Basic dXNlcjpwYXNz\r\n"),
        "{head}"
    );
    connection.send([frame(1)]).await.unwrap();
    until_at(&jetstream, &relay, 1).await;
}

#[tokio::test]
async fn proxies_are_taken_from_the_environment() {
    for variable in ["ALL_PROXY", "HTTP_PROXY"] {
        let mut relay = ScriptedRelay::start().await.unwrap();
        let (address, head) = proxy().await;
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["upstream::child_with_a_proxy", "--exact", "--ignored"]);
        for name in [
            "all_proxy",
            "http_proxy",
            "no_proxy",
            "NO_PROXY",
            "ALL_PROXY",
        ] {
            child.env_remove(name);
        }
        child.env(variable, &address).env(RELAY, relay.url());
        let mut child = child.spawn().unwrap();
        let mut connection = relay.accept().await.unwrap();
        connection.send([frame(1)]).await.unwrap();
        assert!(head.await.unwrap().starts_with("CONNECT 127.0.0.1:"));
        let waited = tokio::task::spawn_blocking(move || child.wait().unwrap());
        assert!(waited.await.unwrap().success());
    }
}

/// A SOCKS proxy that wants `user` and `pass`, makes one connection, and gives what it was asked to
/// connect to.
async fn socks_proxy() -> (String, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut greeting = [0; 4];
        client.read_exact(&mut greeting).await.unwrap();
        assert_eq!(greeting, *b"\x05\x02\0\x02");
        client.write_all(b"\x05\x02").await.unwrap();
        let mut sign_in = [0; 11];
        client.read_exact(&mut sign_in).await.unwrap();
        assert_eq!(sign_in, *b"\x01\x04user\x04pass");
        client.write_all(b"\x01\0").await.unwrap();
        let mut request = vec![0; 4];
        client.read_exact(&mut request).await.unwrap();
        let length = match request[3] {
            1 => 4,
            4 => 16,
            _ => {
                request.push(client.read_u8().await.unwrap());
                usize::from(request[4])
            }
        };
        let mut host = vec![0; length];
        client.read_exact(&mut host).await.unwrap();
        let port = client.read_u16().await.unwrap();
        // Whatever the name is, the relay is here.
        let mut relay = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let reply = b"\x05\0\0\x01\0\0\0\0\0\0";
        client.write_all(reply).await.unwrap();
        tokio::spawn(async move { copy_bidirectional(&mut client, &mut relay).await });
        request.extend(host);
        request
    });
    (address.to_string(), task)
}

#[tokio::test]
async fn a_socks_proxy_is_asked_with_a_name_or_with_an_address() {
    for (scheme, host, expected) in [
        (
            "socks5h",
            "relay.example",
            &b"\x05\x01\0\x03\x0drelay.example"[..],
        ),
        ("socks5", "127.0.0.1", b"\x05\x01\0\x01\x7f\0\0\x01"),
    ] {
        let mut relay = ScriptedRelay::start().await.unwrap();
        let (address, asked) = socks_proxy().await;
        let options = RelayOptions::new().proxy(format!("{scheme}://user:pass@{address}"));
        let url = relay.url().replace("127.0.0.1", host);
        let builder = Jetstream::builder().relay(url).relay_options(options);
        let (jetstream, ingest) = builder.build().unwrap();
        tokio::spawn(ingest.run(std::future::pending()));
        let mut connection = relay.accept().await.unwrap();
        assert_eq!(asked.await.unwrap(), expected);
        connection.send([frame(1)]).await.unwrap();
        until("the frame", || jetstream.bounds().events() == 1).await;
    }
}

#[tokio::test]
async fn a_socks_proxy_is_taken_from_the_environment() {
    let mut relay = ScriptedRelay::start().await.unwrap();
    let (address, asked) = socks_proxy().await;
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["upstream::child_with_a_proxy", "--exact", "--ignored"]);
    for name in ["http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"] {
        child.env_remove(name);
    }
    child.env("all_proxy", format!("socks5h://user:pass@{address}"));
    let mut child = child.env(RELAY, relay.url()).spawn().unwrap();
    let mut connection = relay.accept().await.unwrap();
    connection.send([frame(1)]).await.unwrap();
    // An address in the URL stays one.
    assert_eq!(asked.await.unwrap(), b"\x05\x01\0\x01\x7f\0\0\x01");
    let waited = tokio::task::spawn_blocking(move || child.wait().unwrap());
    assert!(waited.await.unwrap().success());
}

#[tokio::test]
#[ignore = "run by the tests above, in a process of its own"]
async fn child_with_a_proxy() {
    let url = env::var(RELAY).unwrap();
    let (jetstream, ingest) = Jetstream::builder().relay(&url).build().unwrap();
    tokio::spawn(ingest.run(std::future::pending()));
    until("the frame", || jetstream.source_cursor(&url) == Some(1)).await;
}

const RELAY: &str = "JETWASH_TEST_RELAY";

#[tokio::test]
async fn an_ipv6_address_is_connected_to() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        println!("NOT RUN: there is no IPv6 here");
        return;
    };
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let jetstream = run(Jetstream::builder().relay(url), RelayOptions::new());
    let (stream, _) = listener.accept().await.unwrap();
    let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
    socket.send(Message::binary(frame(1))).await.unwrap();
    until("the frame", || jetstream.bounds().events() == 1).await;
}

/// A relay behind TLS with a certificate that no machine trusts by itself.
async fn tls_relay() -> (String, JoinHandle<()>) {
    let chain = CertificateDer::from_pem_slice(include_bytes!("tls/relay.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/relay.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth();
    let acceptor = config.with_single_cert(vec![chain], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(acceptor));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            socket.send(Message::binary(frame(1))).await.unwrap();
            while let Some(Ok(_)) = socket.next().await {}
        }
    });
    (url, task)
}

#[tokio::test]
async fn own_roots_are_trusted_and_others_are_not() {
    let (url, _relay) = tls_relay().await;
    let ca = include_bytes!("tls/ca.pem");
    let options = RelayOptions::new().root_certificates_pem(*ca);
    let jetstream = run(Jetstream::builder().relay(&url), options);
    until("the frame", || jetstream.bounds().events() == 1).await;

    let (url, _relay) = tls_relay().await;
    let der = CertificateDer::from_pem_slice(include_bytes!("tls/relay.pem")).unwrap();
    let options = RelayOptions::new().root_certificate_der(der.to_vec());
    let jetstream = run(Jetstream::builder().relay(&url), options);
    until("an end", || !jetstream.snapshot().reconnects.is_empty()).await;
    assert_eq!(jetstream.bounds().events(), 0);
    let end = upstream(&jetstream).last_end.unwrap();
    assert!(end.contains("certificate"), "{end}");
}

#[tokio::test]
async fn a_whole_tls_configuration_is_used() {
    let (url, _relay) = tls_relay().await;
    let mut roots = rustls::RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(include_bytes!("tls/ca.pem")).unwrap();
    roots.add(ca).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let options = RelayOptions::new().tls(Arc::new(config));
    let jetstream = run(Jetstream::builder().relay(&url), options);
    until("the frame", || jetstream.bounds().events() == 1).await;
}

#[test]
fn mistakes_in_relay_options_are_reported_at_once() {
    let options = RelayOptions::new()
        .user_agent("new\nline")
        .header("Host", "a")
        .header("a b", "c")
        .header("X-Team", "\r\nX: y")
        .root_certificates_pem("no certificate")
        .proxy("socks4://user:hidden@127.0.0.1:1080")
        .connect_timeout(Duration::ZERO);
    let builder = Jetstream::builder().relay("relay.example");
    let error = builder.relay_options(options).build().unwrap_err();
    assert_eq!(error.mistakes().len(), 7, "{error}");
    let text = error.to_string();
    assert!(text.contains("SOCKS 4 is not supported"), "{text}");
    assert!(!text.contains("hidden"), "{text}");
}

#[tokio::test]
async fn a_relay_that_falls_silent_is_suspected_and_then_connected_to_anew() {
    let mut relay = ScriptedRelay::start().await.unwrap();
    let options = RelayOptions::new()
        .silent_after(Duration::from_millis(200))
        .reconnect_after(Duration::from_secs(3));
    let jetstream = run(Jetstream::builder().relay(relay.url()), options);
    let mut connection = relay.accept().await.unwrap();
    connection.send(frames(1..=50)).await.unwrap();
    until_at(&jetstream, &relay, 50).await;
    until("it is suspected", || {
        upstream(&jetstream).state == UpstreamState::Silent
    })
    .await;
    assert!(upstream(&jetstream).last_event.unwrap() >= Duration::from_millis(200));
    assert_eq!(jetstream.readiness(), Ok(()), "it is heard all the same");
    connection.send([frame(51)]).await.unwrap();
    until("it is trusted", || {
        upstream(&jetstream).state == UpstreamState::Connected
    })
    .await;
    let _held = connection;
    relay.accept_at(Some(51)).await.unwrap();
    assert_eq!(jetstream.snapshot().reconnects["no_events"], 1);
}

#[tokio::test]
async fn a_quiet_host_is_not_suspected() {
    let mut relay = ScriptedRelay::start().await.unwrap();
    let options = RelayOptions::new()
        .silent_after(Duration::from_millis(20))
        .reconnect_after(Duration::from_millis(50));
    let jetstream = run(Jetstream::builder().relay(relay.url()), options);
    let mut connection = relay.accept().await.unwrap();
    connection.send([frame(1)]).await.unwrap();
    until_at(&jetstream, &relay, 1).await;
    connection
        .stay_silent(Duration::from_millis(500))
        .await
        .unwrap();
    assert_eq!(upstream(&jetstream).state, UpstreamState::Connected);
    assert_eq!(jetstream.readiness(), Ok(()));
}

#[tokio::test]
async fn state_and_readiness_follow_the_connection() {
    let mut relay = ScriptedRelay::start().await.unwrap();
    let builder = Jetstream::builder().relay(relay.url());
    let jetstream = builder.relay_options(RelayOptions::new().no_proxy());
    let (jetstream, ingest) = jetstream.build().unwrap();
    assert_eq!(jetstream.readiness(), Err(NotReady::NotRunning));
    let (stop, stopped) = tokio::sync::oneshot::channel::<Infallible>();
    let running = ingest.run(async { drop(stopped.await) });
    let running = tokio::spawn(running);
    relay.refuse().await.unwrap();
    until("the failure is known", || {
        upstream(&jetstream).last_end.is_some()
    })
    .await;
    let Err(NotReady::NoUpstream(why)) = jetstream.readiness() else {
        panic!("{:?}", jetstream.readiness());
    };
    assert!(why.contains(&relay.url()), "{why}");
    let state = upstream(&jetstream).state;
    assert_eq!(state, UpstreamState::Connecting { attempt: 1 });

    let mut connection = relay.accept().await.unwrap();
    until("it is connected", || jetstream.readiness().is_ok()).await;
    let seen = upstream(&jetstream);
    assert_eq!(seen.state, UpstreamState::Connected);
    assert!(seen.connected_for.is_some() && seen.last_message.is_some());
    assert_eq!(seen.last_event, None);
    connection.send([frame(1)]).await.unwrap();
    until("an event", || upstream(&jetstream).last_event.is_some()).await;

    connection.close(1012, "restarting").await.unwrap();
    until("the end is known", || jetstream.readiness().is_err()).await;
    let end = upstream(&jetstream).last_end.unwrap();
    assert!(end.contains("1012 restarting"), "{end}");
    drop(stop);
    running.await.unwrap().unwrap();
    assert_eq!(jetstream.readiness(), Err(NotReady::NotRunning));
}

#[tokio::test]
async fn a_relay_that_is_behind_the_cursor_is_followed_from_what_it_has() {
    let mut relay = ScriptedRelay::start().await.unwrap();
    let builder = Jetstream::builder().relay(relay.url());
    let builder = builder.relay_cursor(relay.url(), 50_004);
    let jetstream = run(builder, RelayOptions::new());
    let mut connection = relay.accept_at(Some(50_004)).await.unwrap();
    connection
        .fail("FutureCursor", "Cursor in the future.")
        .await
        .unwrap();
    connection.until_closed().await;
    // It is asked for all that it has; what the log has of that is recognised.
    let mut connection = relay.accept_at(Some(0)).await.unwrap();
    connection.send(frames(1..=3)).await.unwrap();
    until_at(&jetstream, &relay, 3).await;
    assert_eq!(lines(jetstream.store()).len(), 3);
    connection.disconnect();
    relay.accept_at(Some(3)).await.unwrap();
}

#[tokio::test]
async fn one_number_far_ahead_does_not_hide_that_a_message_was_skipped() {
    let mut relay = ScriptedRelay::start().await.unwrap();
    let jetstream = following(&relay);
    let mut connection = relay.accept().await.unwrap();
    let stray = crate::order::numbered(&frame(7), 1 << 52);
    connection.send([frame(1), stray, frame(3)]).await.unwrap();
    connection.send_text("hello").await.unwrap();
    connection.send([frame(5)]).await.unwrap();
    until_at(&jetstream, &relay, 5).await;
    let gaps = jetstream.snapshot().gaps;
    assert_eq!(gaps.get("upstream_stepped_over"), Some(&1), "{gaps:?}");
}
