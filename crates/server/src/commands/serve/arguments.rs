use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use jetwash::{Dictionary, Ingest, Jetstream, JetstreamBuilder, JetstreamOptions, NetworkConfig};
use jetwash_serve::{ServeOptions, StatusPageOptions};

use crate::commands::serve::labels::LabelOptions;
use crate::commands::serve::page_options::PageOptions;
use crate::commands::serve::program_options::ProgramOptions;
use crate::commands::serve::subscriber_options::SubscriberOptions;
use crate::commands::serve::verification::{Keys, VerifyOptions};
use crate::configuration::{InUse, RELAY_VARIABLE};
use crate::exit::UsageError;
use crate::listen::ListenAddress;
use crate::values::{parse_bytes, parse_collection, parse_duration};

/// Reads the settings again, as they are by now.
pub(crate) type ReadAgain = fn() -> Result<(Arguments, Vec<InUse>), UsageError>;

/// The options of a server.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) program: ProgramOptions,

    /// Where frames come from: a host, or a websocket URL; may be given more than once.
    ///
    /// A bare host gets TLS and the path of subscribeRepos.
    /// [env: JETSTREAM_WS_URL] [default: wss://relay1.us-east.bsky.network]
    #[arg(long = "relay", value_name = "URL", conflicts_with_all = ["sim", "replay"])]
    relays: Vec<String>,

    /// Take events from another Jetstream, of version 1 or 2, instead of a relay: a host, or a URL;
    /// of several, the next is used when one fails
    ///
    /// With `--relay` both are followed, and events that come from both are kept once.
    #[arg(long = "jetstream", value_name = "URL", conflicts_with_all = ["sim", "replay"])]
    pub(crate) jetstreams: Vec<String>,

    /// Follow all of the Jetstreams at once: what one leaves out or brings later, the others bring
    #[arg(long, requires = "jetstreams")]
    pub(crate) union: bool,

    /// Compare each record of a Jetstream with its CID, and drop those that differ
    #[arg(long, requires = "jetstreams")]
    check_cids: bool,
    /// Mirror the log of another jetwash, which serves it with --serve-mirrors: a host, or a URL; of
    /// several, the next is used when one fails
    ///
    /// The log has the same positions, times and bytes, so that subscribers move between the two with
    /// the cursor they have. The data folder must be new, or a mirror of the same log.
    #[arg(
        long = "mirror",
        value_name = "URL",
        conflicts_with_all = ["relays", "jetstreams", "sim", "replay", "verify", "dictionary", "override_relay_cursor"]
    )]
    pub(crate) mirrors: Vec<String>,

    /// Let others mirror the log, at /mirror: they get all of it, with the addresses of the upstreams
    #[arg(long)]
    serve_mirrors: bool,

    /// Take frames from a network in this process: no connection is made to anywhere
    #[arg(long, conflicts_with = "replay")]
    pub(crate) sim: bool,

    /// Frames a second of the network in this process; `max` for as many as possible
    #[arg(long, value_name = "RATE", default_value = "500", value_parser = parse_rate, requires = "sim")]
    sim_rate: Rate,

    /// Accounts of the network in this process
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, requires = "sim")]
    sim_accounts: usize,

    /// Records of a typical account of the network in this process.
    ///
    /// At the default frames are as large as the real ones; with 500 it takes less time and memory
    /// to begin.
    #[arg(long, value_name = "NUMBER", default_value_t = NetworkConfig::full_size().records, requires = "sim")]
    sim_records: u64,

    /// Take frames from a file: each a little-endian 32-bit length and as many bytes, and the
    /// whole packed with zstd if the name ends in .zst
    #[arg(long, value_name = "FILE")]
    pub(crate) replay: Option<PathBuf>,

    /// Take in only events of the accounts in a file: a DID a line, comments after a #
    ///
    /// The file may be compressed with gzip or zstd. It is read again when SIGHUP comes.
    #[arg(long, value_name = "FILE", conflicts_with = "mirrors")]
    pub(crate) accounts: Option<PathBuf>,

    /// Take in only events of these collections, with commas between them: each a whole one, or the
    /// start of some, such as app.bsky.graph.*; may be given more than once
    ///
    /// Identities and accounts have no collection and are taken in. The collections are read again when
    /// SIGHUP comes.
    #[arg(
        long,
        value_name = "NSID",
        value_delimiter = ',',
        value_parser = parse_collection,
        conflicts_with = "mirrors"
    )]
    pub(crate) collections: Vec<String>,

    #[command(flatten)]
    labels: LabelOptions,

    #[command(flatten)]
    verify: VerifyOptions,

    /// Where subscribers connect; without a host, as in :6008, over IPv4 and IPv6 on all interfaces
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "JETSTREAM_LISTEN_ADDR",
        default_value = "127.0.0.1:6008"
    )]
    pub(crate) listen: ListenAddress,

    /// Where the page, /metrics, /healthz and /readyz are served
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "JETSTREAM_METRICS_LISTEN_ADDR",
        default_value = "127.0.0.1:6009"
    )]
    pub(crate) metrics_listen: ListenAddress,

    #[command(flatten)]
    page: PageOptions,

    /// The folder of the event log.
    ///
    /// With --sim and --replay the log is in memory unless this is given.
    /// [default: ./data]
    #[arg(long, value_name = "FOLDER", env = "JETSTREAM_DATA_DIR")]
    data_dir: Option<PathBuf>,

    /// Repair the event log before it is opened: keep what can be read, put damaged files aside in
    /// its folder, and say what is lost. A log that is sound is left as it is, and read as a whole.
    #[arg(long)]
    pub(crate) repair: bool,

    /// How long events are kept, such as 24h or 7days
    #[arg(
        long,
        value_name = "TIME",
        env = "JETSTREAM_EVENT_TTL",
        default_value = "24h",
        value_parser = parse_duration
    )]
    pub(crate) event_ttl: Duration,

    /// How many bytes of events are kept at most, such as 50GB or 10GiB; any number if not given
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub(crate) max_bytes: Option<u64>,

    /// How much memory the event log may take.
    ///
    /// It is for the newest events, for what is read from disk, and for write buffers; more makes
    /// sense where many subscribers read events of long ago, or far more than 500 come in a second.
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "6MiB",
        value_parser = parse_bytes
    )]
    pub(crate) memory_budget: u64,

    /// The zstd dictionary that compressed events are made with: a file, `v1` for the official
    /// one, which is downloaded once and kept in the data folder, or `auto` for those that the
    /// server trains on its own events.
    ///
    /// Without one the server uses its own, which clients can ask it for. With `auto` it begins with
    /// that, and trains another when it has events enough, and again whenever events have become
    /// so different that they compress by 5 % worse.
    #[arg(long, value_name = "FILE", env = "JETSTREAM_ZSTD_DICTIONARY_PATH")]
    pub(crate) dictionary: Option<PathBuf>,

    /// A zstd dictionary for version 2 alone, such as the official one of number 20260811.
    ///
    /// Without it, events of version 2 are compressed with the same dictionary as those of version 1.
    #[arg(long, value_name = "FILE")]
    pub(crate) v2_dictionary: Option<PathBuf>,

    /// After how many events `--dictionary auto` trains its first dictionary, and how often it looks
    /// whether another is needed
    #[arg(long, value_name = "EVENTS", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    pub(crate) dictionary_events: u64,

    /// Start from this sequence number of the relay instead of where the last run ended; -1 does
    /// nothing
    #[arg(
        long,
        value_name = "SEQ",
        env = "JETSTREAM_OVERRIDE_RELAY_CURSOR",
        default_value_t = -1,
        allow_negative_numbers = true
    )]
    pub(crate) override_relay_cursor: i64,

    #[command(flatten)]
    subscribers: SubscriberOptions,

    /// How often a line in the log says how many events come, how old they are, and how many
    /// subscribers there are; 0s for never
    #[arg(
        long,
        value_name = "TIME",
        default_value = "1min",
        value_parser = parse_duration
    )]
    pub(crate) report_every: Duration,
}

impl Arguments {
    /// The variables of the official Jetstream, of any version, that are set and mean nothing here.
    pub(crate) fn unused_variables() -> Vec<String> {
        let command = Self::augment_args(clap::Command::new("serve"));
        let known: Vec<_> = command
            .get_arguments()
            .filter_map(clap::Arg::get_env)
            .collect();
        let set = env::vars_os().filter(|(name, value)| {
            !value.is_empty() && name != RELAY_VARIABLE && !known.contains(&name.as_os_str())
        });
        let names = set.filter_map(|(name, _)| name.into_string().ok());
        let mut unused: Vec<String> = names.filter(|name| is_official(name)).collect();
        unused.sort_unstable();
        unused
    }

    /// Whether the log is that of another jetwash.
    pub(crate) const fn is_mirror(&self) -> bool {
        !self.mirrors.is_empty()
    }

    /// The relays to connect to; none with `--sim`, `--replay` or `--mirror`, and only those of the command line
    /// with `--jetstream`.
    pub(crate) fn relays(&self) -> Vec<String> {
        if self.sim || self.replay.is_some() || self.is_mirror() {
            return Vec::new();
        }
        if !self.relays.is_empty() || !self.jetstreams.is_empty() {
            return self.relays.clone();
        }
        let from_environment = env::var(RELAY_VARIABLE).ok().filter(|url| !url.is_empty());
        vec![from_environment.unwrap_or_else(|| DEFAULT_RELAY.to_owned())]
    }

    /// How Jetstreams are connected to. Dictionaries that are fetched for them are kept beside that of
    /// the server, which may be the one that they have.
    pub(crate) fn jetstream_options(&self, dictionary: &Dictionary) -> JetstreamOptions {
        JetstreamOptions::new()
            .dictionary(dictionary.clone())
            .dictionary_folder(self.dictionary_folder())
            .check_cids(self.check_cids)
    }

    /// The dictionary that is to be loaded, unless the server has its own.
    pub(crate) fn dictionary_file(&self) -> Option<&Path> {
        let named = self.dictionary.as_deref();
        named.filter(|_| !self.trains_dictionaries())
    }

    /// Whether the server trains its dictionaries.
    pub(crate) fn trains_dictionaries(&self) -> bool {
        self.dictionary.as_deref() == Some(Path::new("auto"))
    }

    /// The folder of the log; `None` for a log in memory.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        self.lasting_folder().map(|folder| folder.join("log"))
    }

    /// The log of labels, without its folder, if there is one.
    pub(crate) fn labels_builder(&self) -> Option<JetstreamBuilder> {
        self.labels.builder(self.event_ttl)
    }

    /// Opens the log of labels, if there is one.
    pub(crate) fn open_labels(&self) -> Result<Option<(Jetstream, Ingest)>, Box<dyn Error>> {
        let folder = self.lasting_folder();
        self.labels
            .open(self.event_ttl, folder.map(|folder| folder.join("labels")))
    }

    /// Whose keys commits are verified with. `network` is the one in this process.
    pub(crate) fn keys<'a>(&'a self, network: Option<&'a NetworkConfig>) -> Keys<'a> {
        Keys {
            options: &self.verify,
            policy: self
                .verify
                .policy(self.replay.is_some() || self.is_mirror()),
            network,
            folder: self.lasting_folder(),
        }
    }

    /// The network in this process, as it is before it starts.
    pub(crate) fn network(&self) -> Option<NetworkConfig> {
        self.sim.then(|| NetworkConfig {
            accounts: self.sim_accounts,
            records: self.sim_records,
            ..NetworkConfig::default()
        })
    }

    /// Where the official dictionary is kept once it has been downloaded.
    pub(crate) fn dictionary_folder(&self) -> PathBuf {
        self.data_folder().join("dictionaries")
    }

    pub(crate) fn serve_options(&self) -> ServeOptions {
        let options = self.subscribers.serve_options();
        options.serve_mirrors(self.serve_mirrors)
    }

    pub(crate) fn page_options(&self) -> StatusPageOptions {
        self.page.status_page()
    }

    /// The data folder, unless everything is in memory.
    fn lasting_folder(&self) -> Option<PathBuf> {
        let is_lasting = self.data_dir.is_some() || (!self.sim && self.replay.is_none());
        is_lasting.then(|| self.data_folder())
    }

    fn data_folder(&self) -> PathBuf {
        self.data_dir
            .clone()
            .unwrap_or_else(|| PathBuf::from("./data"))
    }

    /// Frames a second of the simulator; `None` for as many as possible.
    pub(crate) const fn sim_rate(&self) -> Option<u32> {
        match self.sim_rate {
            Rate::Max => None,
            Rate::PerSecond(rate) => Some(rate),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Rate {
    Max,
    PerSecond(u32),
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    match text.parse() {
        _ if text == "max" => Ok(Rate::Max),
        Ok(rate @ 1..) => Ok(Rate::PerSecond(rate)),
        _ => Err("it must be a number from 1 up, or max".to_owned()),
    }
}

/// Whether a variable is one of the official Jetstream's. Some others have names that begin so:
/// Kubernetes makes them of services, and the official simulator reads some.
fn is_official(name: &str) -> bool {
    name.starts_with("JETSTREAM_")
        && ![
            "JETSTREAM_APP_",
            "JETSTREAM_SIM_",
            "JETSTREAM_SERVICE_",
            "JETSTREAM_PORT",
        ]
        .iter()
        .any(|other| name.starts_with(other))
}

const DEFAULT_RELAY: &str = "wss://relay1.us-east.bsky.network";

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        let command = Arguments::augment_args(clap::Command::new("serve"));
        let matches = command.try_get_matches_from(line.split(' '))?;
        Arguments::from_arg_matches(&matches)
    }

    #[test]
    fn the_simulator_keeps_its_events_in_memory_unless_told_otherwise() {
        let parse = |line: &str| parse(line).unwrap();
        assert_eq!(parse("server --sim").folder(), None);
        assert_eq!(
            parse("server --sim --data-dir x").folder(),
            Some("x/log".into())
        );
        assert_eq!(
            parse("server --relay a.example").folder(),
            Some("./data/log".into())
        );
        assert!(parse("server --sim").relays().is_empty());
        assert!(parse("server --jetstream a.example").relays().is_empty());
        assert!(parse("server --mirror a.example").relays().is_empty());
        let two = parse("server --mirror a.example --mirror b.example --serve-mirrors");
        assert_eq!(two.mirrors, ["a.example", "b.example"]);
        let both = parse("server --jetstream a.example --relay b.example");
        assert_eq!(both.relays(), ["b.example"]);
    }

    #[test]
    fn sources_exclude_each_other() {
        for line in [
            "server --sim --relay a.example",
            "server --sim --jetstream a.example",
            "server --sim --replay file",
            "server --union",
            "server --check-cids --relay a.example",
            "server --mirror a.example --relay b.example",
            "server --mirror a.example --jetstream b.example",
            "server --mirror a.example --sim",
            "server --mirror a.example --replay file",
            "server --mirror a.example --collections a.b.c",
            "server --mirror a.example --verify lenient",
            "server --mirror a.example --dictionary auto",
            "server --mirror a.example --override-relay-cursor 7",
            "server --labeler a.example",
            "server --labeler =did:web:a.example",
            "server --labeler a.example=a.example",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
