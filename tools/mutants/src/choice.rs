//! Which mutants a run tries.

use clap::Args;

use crate::mutant::Mutant;

/// Which mutants a run tries. Without any of these it tries all of them.
#[derive(Clone, Debug, Args)]
pub(crate) struct Choice {
    /// Tries the mutants of this name only. May be given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Tries mutants of this crate only, such as `store`. May be given several times.
    #[arg(long = "crate", value_name = "CRATE")]
    crates: Vec<String>,
    /// Tries N of them, chosen at random.
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// Chooses the sample: the same text chooses the same mutants.
    #[arg(long, value_name = "TEXT", default_value = "")]
    seed: String,
}

impl Choice {
    /// The mutants to try, those of one crate beside each other.
    pub(crate) fn of(&self, mutants: Vec<Mutant>) -> Result<Vec<Mutant>, String> {
        let unknown = |name: &&String| mutants.iter().all(|mutant| mutant.name != **name);
        if let Some(name) = self.only.iter().find(unknown) {
            return Err(format!("there is no mutant `{name}`"));
        }
        let unknown = |name: &&String| mutants.iter().all(|mutant| mutant.krate() != **name);
        if let Some(name) = self.crates.iter().find(unknown) {
            return Err(format!("there is no mutant of a crate `{name}`"));
        }
        let has = |list: &[String], name: &str| list.is_empty() || list.iter().any(|it| it == name);
        let mut chosen = mutants;
        chosen.retain(|it| has(&self.only, &it.name) && has(&self.crates, it.krate()));
        if let Some(count) = self.sample {
            chosen.sort_by_cached_key(|mutant| hash(&self.seed, &mutant.name));
            chosen.truncate(count);
        }
        chosen.sort_by(|a, b| a.tiers.first().cmp(&b.tiers.first()));
        Ok(chosen)
    }
}

/// FNV-1a and a finisher: the same on every machine and in every version.
fn hash(seed: &str, name: &str) -> u64 {
    let bytes = seed.bytes().chain([0]).chain(name.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ hash >> 29)
        .wrapping_mul(0xbf58_476d_1ce4_e5b9)
        .rotate_left(31)
}
