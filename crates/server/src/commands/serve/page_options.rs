use clap::Args;
use jetwash_serve::StatusPageOptions;

/// The options of the page for people who look.
#[derive(Debug, Args)]
pub(crate) struct PageOptions {
    /// A name under which the page may be asked for, besides localhost and IP addresses; may be given
    /// more than once
    ///
    /// A request for another name is refused, as it may come from a page of somebody else whose name
    /// was made to point here.
    #[arg(long = "page-host", value_name = "NAME")]
    hosts: Vec<String>,

    /// How many viewers the page may have at the same time; 0 for no live page
    #[arg(long = "page-viewers", value_name = "NUMBER", default_value_t = 10)]
    pub(crate) viewers: usize,

    /// Show the addresses of subscribers on the page, unless --hide-addresses is given
    #[arg(long = "page-addresses")]
    addresses: bool,
}

impl PageOptions {
    pub(crate) fn status_page(&self) -> StatusPageOptions {
        let options = StatusPageOptions::default()
            .max_viewers(self.viewers)
            .show_addresses(self.addresses);
        self.hosts.iter().fold(options, StatusPageOptions::host)
    }
}
