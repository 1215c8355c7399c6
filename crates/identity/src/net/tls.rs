use std::sync::{Arc, OnceLock};

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

/// How TLS is spoken: with the certificates of the machine, or as the program says.
pub(super) struct Tls {
    given: Option<Arc<ClientConfig>>,
    /// Set up when it is first needed. `None` if the machine has no certificates.
    system: OnceLock<Option<Arc<ClientConfig>>>,
}

impl Tls {
    pub(super) const fn new(given: Option<Arc<ClientConfig>>) -> Self {
        Self {
            given,
            system: OnceLock::new(),
        }
    }

    pub(super) fn config(&self) -> Option<Arc<ClientConfig>> {
        let system = || self.system.get_or_init(system).clone();
        self.given.clone().or_else(system)
    }
}

fn system() -> Option<Arc<ClientConfig>> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        return None;
    }
    // The provider is named, so that no default of the process is needed or changed.
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().ok()?;
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    Some(Arc::new(config))
}
