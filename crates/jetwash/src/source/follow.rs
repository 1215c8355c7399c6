use std::error::Error;
use std::sync::Arc;

use tracing::info;

use crate::source::{Endpoint, Prepared, Relay, Source, SourceHandle};

/// The relays, and how they are connected to; `None` without any.
pub(crate) type Relays = (Vec<Endpoint>, Option<Prepared>);

/// A relay as a source.
pub(crate) struct RelaySource {
    endpoint: Endpoint,
    name: String,
    options: Arc<Prepared>,
}

impl RelaySource {
    pub(crate) fn new(endpoint: Endpoint, options: Arc<Prepared>) -> Self {
        let name = endpoint.to_string();
        Self {
            endpoint,
            name,
            options,
        }
    }
}

impl Source for RelaySource {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_upstream(&self) -> bool {
        true
    }

    /// Follows the relay, and gives up a connection that is of no use.
    async fn run(&mut self, handle: SourceHandle) -> Result<(), Box<dyn Error + Send + Sync>> {
        let parts = handle.parts();
        loop {
            let relay = Relay::new(
                self.endpoint.clone(),
                parts.intake.clone(),
                Arc::clone(&parts.stats),
                Arc::clone(handle.watch()),
                parts.clock.clone(),
                Arc::clone(&self.options),
            );
            let resume = |source: &str| parts.cursors.known(source)?.resume;
            tokio::select! {
                () = relay.run(resume) => return Ok(()),
                () = parts.cursors.given_up(&self.name) => {
                    info!(relay = %self.name, "the connection is given up for another");
                }
            }
        }
    }
}
