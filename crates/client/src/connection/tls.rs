//! Trust in the certificates of hosts.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use super::error::ConnectionError;

/// Returns a configuration that trusts the machine's root certificates. They are read from disk.
pub(super) fn system_roots() -> Result<Arc<ClientConfig>, ConnectionError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        let fault = "this machine has no usable root certificates";
        return Err(ConnectionError::Tls(fault.to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| ConnectionError::Tls(error.to_string()))?;
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    Ok(Arc::new(config))
}
