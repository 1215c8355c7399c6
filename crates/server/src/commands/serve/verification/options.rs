use clap::Args;
use jetwash::Policy;

use crate::values::parse_bytes;

/// The options that say how much of what relays send is verified.
#[derive(Debug, Args)]
pub(crate) struct VerifyOptions {
    /// How much of what relays send is verified: off, structure, lenient or strict.
    ///
    /// `structure` checks form, blocks, tree and proof; `lenient` signatures and chains too, with
    /// the keys of the accounts. Both drop what is invalid and keep the rest. `strict` keeps only
    /// what is verified. [default: lenient; off with --replay]
    #[arg(long, value_name = "POLICY", env = "JETSTREAM_VERIFY")]
    verify: Option<Policy>,

    /// A directory of did:plc, where keys are looked up; may be given more than once, for mirrors.
    ///
    /// The first that answers is believed. In the environment commas divide them. With --sim keys
    /// come from the simulated network, unless this is given.
    /// [default: `https://plc.directory`]
    #[arg(
        long = "plc-url",
        value_name = "URL",
        env = "JETSTREAM_PLC_URL",
        value_delimiter = ','
    )]
    plc_urls: Vec<String>,

    /// Follow the export of the first directory, so that changes of keys are known at once.
    ///
    /// It starts with the next change. Needs a data folder.
    #[arg(long, env = "JETSTREAM_PLC_EXPORT")]
    pub(super) plc_export: bool,

    /// How large the file of identities in the data folder may become; 0 for no file.
    ///
    /// An account takes 256 bytes, so that the default is enough for 4 million. The file takes up
    /// disk space as it fills. Where the log is in memory, so are identities.
    #[arg(
        long,
        value_name = "SIZE",
        env = "JETSTREAM_IDENTITY_DISK",
        default_value = "1GiB",
        value_parser = parse_bytes
    )]
    pub(super) identity_disk: u64,

    /// How much memory identities may take. An account takes about 500 bytes.
    #[arg(
        long,
        value_name = "SIZE",
        env = "JETSTREAM_IDENTITY_MEMORY",
        default_value = "16MiB",
        value_parser = parse_bytes
    )]
    pub(super) identity_memory: u64,

    /// Look up did:web accounts on private and reserved addresses too: only for a network of your
    /// own, since any account may name such an address
    #[arg(long)]
    pub(super) allow_private_hosts: bool,
}

impl VerifyOptions {
    /// The policy. Recorded frames are not verified unless that is asked for: the keys of today are
    /// not those of then, and nobody has to be online to replay a file.
    pub(crate) fn policy(&self, is_replay: bool) -> Policy {
        self.verify.unwrap_or(if is_replay {
            Policy::Off
        } else {
            Policy::Lenient
        })
    }

    /// The directories of did:plc that were named.
    pub(super) fn plc_urls(&self) -> impl Iterator<Item = &str> {
        let urls = self.plc_urls.iter().map(|url| url.trim());
        urls.filter(|url| !url.is_empty())
    }
}
