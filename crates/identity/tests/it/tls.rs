//! TLS, with certificates that are trusted and others.

use std::net::SocketAddr;
use std::sync::Arc;

use jetwash_identity::{FetchError, IdentityOptions, ResolveError};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::server::response;
use crate::web::Everywhere;
use crate::{document_at, key_of, plc};

// Made for the tests of the relay connection; the certificate is for 127.0.0.1.
const CERTIFICATE: &[u8] = include_bytes!("../../../jetwash/tests/it/tls/relay.pem");
const KEY: &[u8] = include_bytes!("../../../jetwash/tests/it/tls/relay.key");
const AUTHORITY: &[u8] = include_bytes!("../../../jetwash/tests/it/tls/ca.pem");

/// A directory that answers one request on each connection with TLS.
async fn directory() -> SocketAddr {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth();
    let config = config.with_single_cert(vec![certificate], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let text = String::from_utf8(head).unwrap();
            let path = text.split(' ').nth(1).unwrap();
            let answer = response(200, "", &document_at(path, "a"));
            stream.write_all(&answer).await.unwrap();
        }
    });
    address
}

fn trusting(authorities: &[&[u8]]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        let authority = CertificateDer::from_pem_slice(authority).unwrap();
        roots.add(authority).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

#[tokio::test]
async fn a_directory_with_a_certificate_that_is_trusted_answers() {
    let url = format!("https://{}", directory().await);
    let options = IdentityOptions::new().directories([url]);
    let identities = options.tls(trusting(&[AUTHORITY])).start().unwrap();
    let document = identities.resolve(&plc(1)).await.unwrap();
    assert_eq!(key_of(&document), "a");
}

#[tokio::test]
async fn a_directory_with_another_certificate_or_name_is_refused() {
    let port = directory().await.port();
    for (host, config) in [
        ("127.0.0.1", trusting(&[])),
        ("other.test", trusting(&[AUTHORITY])),
    ] {
        let options = IdentityOptions::new().directories([format!("https://{host}:{port}")]);
        let options = options.address_lookup(Everywhere::new(&["127.0.0.1"]));
        let identities = options.tls(config).allow_private(true).start().unwrap();
        let error = identities.resolve(&plc(1)).await.unwrap_err();
        let tls = FetchError::Tls;
        assert!(matches!(error, ResolveError::Host { error, .. } if error == tls));
    }
}
