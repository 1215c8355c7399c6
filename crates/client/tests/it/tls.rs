use std::sync::Arc;

use futures_util::SinkExt;
use jetwash_client::{Client, ClientItem, Protocol};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;

use crate::server::{DAY, item, line, numbers};

// Shared with the tests of the connections to relays.
const CERTIFICATE: &[u8] = include_bytes!("../../../jetwash/tests/it/tls/relay.pem");
const KEY: &[u8] = include_bytes!("../../../jetwash/tests/it/tls/relay.key");
const AUTHORITY: &[u8] = include_bytes!("../../../jetwash/tests/it/tls/ca.pem");

/// A server of version 1 that sends one event to each client.
async fn server() -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = CertificateDer::pem_slice_iter(CERTIFICATE)
        .map(Result::unwrap)
        .collect();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://{}/subscribe", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            socket.send(Message::text(line(7, DAY))).await.unwrap();
            std::mem::forget(socket);
        }
    });
    url
}

#[tokio::test]
async fn a_host_with_a_certificate_that_is_trusted_is_followed() {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(AUTHORITY) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let builder = Client::builder([server().await]).tls(Arc::new(config));
    let mut client = builder.build().unwrap();
    assert_eq!(numbers(&mut client, 1).await, [7]);
    assert_eq!(client.snapshot().protocol, Some(Protocol::V1));
}

#[tokio::test]
async fn a_host_that_the_machine_does_not_trust_is_not_followed() {
    let mut client = Client::builder([server().await]).build().unwrap();
    let ClientItem::Disconnected(end) = item(&mut client).await else {
        panic!("it is trusted");
    };
    let reasons = ["certificate", "root certificates"];
    assert!(
        reasons.iter().any(|reason| end.reason.contains(reason)),
        "{end:?}"
    );
}
