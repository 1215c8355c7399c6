use std::sync::{Arc, OnceLock};

use jetwash_cbor::Cid;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::car::CarWriter;
use crate::keys::{Curve, Key};
use crate::random::{Purpose, Random};
use crate::repo::{Committed, Repo, Write};
use crate::text;

/// One account: who it is, whether it is there, and its repository.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) number: u64,
    pub(crate) did: Arc<str>,
    pub(crate) handle: String,
    pub(crate) active: bool,
    pub(crate) status: Option<&'static str>,
    /// Which initial population it has; `None` if it came later and started with nothing.
    pub(crate) population: Option<usize>,
    /// `None` until it is first needed.
    pub(crate) repo: Option<Repo>,
    curve: Curve,
    key: OnceLock<Key>,
}

impl Account {
    pub(crate) fn new(seed: u64, number: u64, population: Option<usize>) -> Self {
        let mut random = Random::of(seed, Purpose::Account, number);
        let curve = if random.percent(5) {
            Curve::P256
        } else {
            Curve::K256
        };
        Self {
            number,
            did: did(seed, number).into(),
            handle: handle(&mut random, number),
            active: true,
            status: None,
            population,
            repo: None,
            curve,
            key: OnceLock::new(),
        }
    }

    pub(crate) fn key(&self, seed: u64) -> &Key {
        self.key
            .get_or_init(|| Key::derive(self.curve, seed, self.number))
    }

    /// How many of its records were written since the start.
    pub(crate) fn written(&self) -> u64 {
        self.repo.as_ref().map_or(0, Repo::written)
    }

    /// Makes a commit, as [`Repo::write`] does.
    pub(crate) fn write(
        &mut self,
        seed: u64,
        writes: Vec<Write>,
        rev: String,
        blocks_behind: usize,
    ) -> Committed {
        let mut repo = self.take_repo();
        let committed = repo.write(writes, rev, self.key(seed), blocks_behind);
        self.repo = Some(repo);
        committed
    }

    /// Returns the content of a `#sync`: the revision, the commit object's CID, and a CAR slice
    /// with that object.
    pub(crate) fn sync(&mut self, seed: u64) -> (String, Cid, Vec<u8>) {
        let mut repo = self.take_repo();
        let commit = repo.commit(self.key(seed)).clone();
        let rev = repo.rev().to_owned();
        self.repo = Some(repo);
        let mut car = CarWriter::new(&commit.cid);
        car.block(&commit.cid, &commit.bytes);
        (rev, commit.cid, car.into_bytes())
    }

    /// The repository, to be put back; an empty one if there has been none.
    pub(crate) fn take_repo(&mut self) -> Repo {
        let empty = || Repo::new(Arc::clone(&self.did));
        self.repo.take().unwrap_or_else(empty)
    }

    /// The document that a PLC directory gives for it.
    pub(crate) fn document(&self, seed: u64, pds: &str) -> String {
        let did = &*self.did;
        let document = json!({
            "@context": [
                "https://www.w3.org/ns/did/v1",
                "https://w3id.org/security/multikey/v1",
            ],
            "id": did,
            "alsoKnownAs": [format!("at://{}", self.handle)],
            "verificationMethod": [{
                "id": format!("{did}#atproto"),
                "type": "Multikey",
                "controller": did,
                "publicKeyMultibase": self.key(seed).multikey(),
            }],
            "service": [{
                "id": "#atproto_pds",
                "type": "AtprotoPersonalDataServer",
                "serviceEndpoint": pds,
            }],
        });
        document.to_string()
    }
}

/// A handle that no two accounts share, as the number is part of it.
pub(crate) fn handle(random: &mut Random, number: u64) -> String {
    let (first, second) = (text::name(random), text::name(random));
    format!("{first}-{second}-{number}.sim.test")
}

/// `did:plc:` and 24 digits of base 32.
pub(crate) fn did(seed: u64, number: u64) -> String {
    let digits = digits(seed, number);
    let digits: String = digits.into_iter().map(char::from).collect();
    format!("{PLC}{digits}")
}

/// The end of the DID of an account.
pub(crate) fn digits(seed: u64, number: u64) -> [u8; 24] {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut digest = Sha256::new();
    digest.update(b"jetwash-sim account");
    digest.update(seed.to_be_bytes());
    digest.update(number.to_be_bytes());
    let digest = digest.finalize();
    std::array::from_fn(|place| ALPHABET[usize::from(digest[place] & 31)])
}

pub(crate) const PLC: &str = "did:plc:";
