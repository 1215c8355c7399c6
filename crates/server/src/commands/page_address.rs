use clap::Args;

use crate::listen::ListenAddress;

/// The running server that a command asks.
#[derive(Debug, Args)]
pub(super) struct PageAddress {
    /// Where the server has its page and metrics; its --metrics-listen
    ///
    /// Of an address that stands for all interfaces, the one of loopback is asked.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "JETSTREAM_METRICS_LISTEN_ADDR",
        default_value = "127.0.0.1:6009"
    )]
    address: ListenAddress,
}

impl PageAddress {
    /// The URL of the server, without a path.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address.reachable())
    }
}
