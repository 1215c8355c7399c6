use std::fs;
use std::path::PathBuf;

use jetwash::identity::{ExportFollower, FileCache, Identities, IdentityOptions};
use jetwash::{NetworkConfig, Policy, Verify, simulator_identities};

use crate::commands::serve::verification::options::VerifyOptions;

/// Where keys come from, and where they are kept.
#[derive(Debug)]
pub(crate) struct Keys<'a> {
    pub(crate) options: &'a VerifyOptions,
    pub(crate) policy: Policy,
    /// The network in this process, if frames come from that.
    pub(crate) network: Option<&'a NetworkConfig>,
    /// The data folder, if it lasts.
    pub(crate) folder: Option<PathBuf>,
}

impl Keys<'_> {
    /// The file of identities, if there is to be one.
    fn file(&self) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?;
        (self.options.identity_disk > 0).then(|| folder.join("identities"))
    }

    /// The network in this process, if keys come from it.
    fn network(&self) -> Option<&NetworkConfig> {
        let is_told = self.options.plc_urls().next().is_some();
        self.network.filter(|_| !is_told)
    }

    fn directories(&self) -> Vec<&str> {
        let named: Vec<_> = self.options.plc_urls().collect();
        if named.is_empty() {
            vec![DEFAULT_DIRECTORY]
        } else {
            named
        }
    }
}

/// Makes the verification that was asked for. The errors name the option.
pub(crate) fn verify(keys: &Keys<'_>) -> Result<Verify, String> {
    match keys.policy {
        Policy::Off => Ok(Verify::off()),
        Policy::Structure => Ok(Verify::structure()),
        Policy::Lenient => Ok(Verify::lenient(identities(keys)?)),
        Policy::Strict => Ok(Verify::strict(identities(keys)?)),
    }
}

fn identities(keys: &Keys<'_>) -> Result<Identities, String> {
    let options = match keys.network() {
        Some(network) => {
            simulator_identities(network).map_err(|error| format!("--sim-accounts: {error}"))?
        }
        None => IdentityOptions::new().directories(keys.directories()),
    };
    let mut options = options
        .memory_bytes(keys.options.identity_memory)
        .allow_private(keys.options.allow_private_hosts)
        .user_agent(concat!("jetwash-server/", env!("CARGO_PKG_VERSION")));
    if let (Some(file), Some(folder)) = (keys.file(), &keys.folder) {
        fs::create_dir_all(folder).map_err(|error| format!("--data-dir: {error}"))?;
        let opened = FileCache::open(&file, keys.options.identity_disk);
        options = options.disk(opened.map_err(|error| format!("--identity-disk: {error}"))?);
    }
    options
        .start()
        .map_err(|error| format!("--plc-url: {error}"))
}

/// Returns what follows the export of the first directory, if that was asked for.
pub(crate) fn follower(
    keys: &Keys<'_>,
    identities: Option<&Identities>,
) -> Result<Option<ExportFollower>, String> {
    if !keys.options.plc_export {
        return Ok(None);
    }
    let error = |reason: String| format!("--plc-export: {reason}");
    let Some(identities) = identities else {
        let policy = keys.policy;
        return Err(error(format!(
            "no keys are looked up with --verify {policy}"
        )));
    };
    if keys.network().is_some() {
        return Err(error("keys come from the simulated network".to_owned()));
    }
    let first = keys.directories().first().copied().unwrap_or_default();
    let follower = ExportFollower::new(identities, first);
    follower
        .map(Some)
        .map_err(|reason| error(format!("{reason} (--data-dir, --identity-disk)")))
}

/// Says in a line what is verified, and with which keys.
pub(crate) fn policy_line(keys: &Keys<'_>) -> String {
    let policy = keys.policy;
    let what = match policy {
        Policy::Off => return "commits are not verified (--verify off)".to_owned(),
        Policy::Structure => {
            return "commits are verified without signatures: what is invalid is dropped \
                    (--verify structure)"
                .to_owned();
        }
        Policy::Lenient => "what is invalid is dropped",
        Policy::Strict => "only what is verified is kept",
    };
    let whose = match keys.network() {
        Some(_) => "the simulated network".to_owned(),
        None => keys.directories().join(" and "),
    };
    let place = match keys.file() {
        Some(file) => format!("in {}", file.display()),
        None => "in memory".to_owned(),
    };
    format!(
        "commits are verified: {what} (--verify {policy}); keys come from {whose}, and are kept {place}"
    )
}

const DEFAULT_DIRECTORY: &str = "https://plc.directory";
