//! Times the checks of a frame one by one: structure, proof, signature on either curve, and all of
//! it, beside the same with `shrike` and the hashing of the blocks, which every way needs. Then the
//! whole way into the log with and without them, and what happens when no key is known.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints its figures, and ends where its input is not what it should be"
)]

mod cold;
mod input;
mod into_log;

use std::collections::HashMap;
use std::time::Duration;

use jetwash::frame::{Car, CommitMessage, Frame};
use jetwash_benches::Table;
use jetwash_cbor::Link;
use jetwash_verify::{Claim, Known, KnownKey, PublicKey, RepoState, Verdict, Verifier};
use p256::ecdsa::signature::hazmat::PrehashSigner;
use sha2::{Digest, Sha256};
use shrike::crypto::VerifyingKey;
use shrike::mst::{BlockStore, MemBlockStore};

use crate::input::{Input, NOW};

fn main() {
    let input = Input::new();
    let Input {
        frames, keys, kind, ..
    } = &input;
    let decoded: Vec<Frame<'_>> = frames
        .iter()
        .map(|frame| Frame::decode(frame).unwrap())
        .collect();
    let commits: Vec<&CommitMessage<'_>> = decoded.iter().filter_map(commit_of).collect();
    let mean = frames.iter().map(Vec::len).sum::<usize>() / frames.len();
    let count = commits.len();
    println!("{count} commits among {kind} of {mean} bytes in the mean");
    let accounts: Vec<Account<'_>> = commits
        .iter()
        .map(|commit| Account::new(commit, keys))
        .collect();
    steps(frames, &commits, &accounts);
    beside(&commits, &accounts);
    threads(&decoded, keys);
    into_log::new_accounts(&input);
    into_log::known_accounts();
    cold::run();
}

/// The steps, each on its own, on one thread.
fn steps(frames: &[Vec<u8>], commits: &[&CommitMessage<'_>], accounts: &[Account<'_>]) {
    let mut verifier = Verifier::new();
    let claims: Vec<Claim> = commits
        .iter()
        .map(|commit| verifier.commit(commit, NOW).unwrap())
        .collect();
    let p256: Vec<_> = (0..commits.len()).map(p256_signature).collect();
    let texts: Vec<String> = accounts
        .iter()
        .map(|account| account.key.to_string())
        .collect();
    let (mut structures, mut whole) = (Verifier::new(), Verifier::new());
    let medians = Table::new("steps, one thread", commits.len())
        .row("SHA-256 of every block, for comparison", || {
            commits.iter().map(|commit| hash(commit)).sum::<usize>()
        })
        .row("structure: fields, blocks, commit object", || {
            let is_good = |commit: &&&CommitMessage<'_>| structures.structure(commit, NOW).is_ok();
            commits.iter().filter(is_good).count()
        })
        .row("structure and proof", || {
            let is_good = |commit: &&&CommitMessage<'_>| verifier.commit(commit, NOW).is_ok();
            commits.iter().filter(is_good).count()
        })
        .row("signature, secp256k1", || {
            let pairs = claims.iter().zip(accounts);
            pairs
                .filter(|(claim, account)| claim.verify_with(account.key).is_ok())
                .count()
        })
        .row("signature, P-256", || {
            p256.iter()
                .filter(|(key, digest, signature)| key.verify_digest(digest, signature).is_ok())
                .count()
        })
        .row("key, from its text", || {
            let keys = texts.iter().map(|text| PublicKey::from_did_key(text));
            keys.filter(Result::is_ok).count()
        })
        .row("all checks, from the bytes on", || {
            let mut verified = 0;
            for bytes in frames {
                let frame = Frame::decode(bytes).unwrap();
                if let Frame::Commit(commit) = &frame {
                    let account = &accounts[verified];
                    assert_eq!(commit.repo, account.did);
                    let outcome = whole.verify(&frame, &account.known(), NOW);
                    assert_eq!(outcome.verdict(), Some(Verdict::Verified));
                    verified += 1;
                }
            }
            verified
        })
        .run(Duration::from_secs(10));
    println!(
        "\nstructure and proof take {:.1} times as long as hashing the blocks; of all checks, the \
         signature is {:.0} %",
        medians[2] / medians[0],
        100.0 * medians[3] / medians[6],
    );
}

/// The dearest two steps beside the same with shrike, on one thread.
fn beside(commits: &[&CommitMessage<'_>], accounts: &[Account<'_>]) {
    let mut verifier = Verifier::new();
    let claims: Vec<Claim> = commits
        .iter()
        .map(|commit| verifier.commit(commit, NOW).unwrap())
        .collect();
    let shrike_keys: Vec<_> = accounts
        .iter()
        .map(|account| shrike::crypto::parse_did_key(&account.key.to_string()).unwrap())
        .collect();
    for (commit, key) in commits.iter().zip(&shrike_keys) {
        assert!(shrike_verifies(commit, &**key) && shrike_root(commit).is_some());
    }
    let medians = Table::new("beside shrike 0.8, one thread", commits.len())
        .row("jetwash: structure and proof", || {
            let is_good = |commit: &&&CommitMessage<'_>| verifier.commit(commit, NOW).is_ok();
            commits.iter().filter(is_good).count()
        })
        .row("jetwash: signature", || {
            let pairs = claims.iter().zip(accounts);
            pairs
                .filter(|(claim, account)| claim.verify_with(account.key).is_ok())
                .count()
        })
        .row("shrike: blocks and proof", || {
            let is_good = |commit: &&&CommitMessage<'_>| {
                let root = commit.prev_data.map(|root| root.as_bytes().to_vec());
                shrike_root(commit).map(|cid| cid.to_bytes().to_vec()) == root
            };
            commits.iter().filter(is_good).count()
        })
        .row("shrike: commit object and signature", || {
            let pairs = commits.iter().zip(&shrike_keys);
            pairs
                .filter(|(commit, key)| shrike_verifies(commit, &***key))
                .count()
        })
        .run(Duration::from_secs(5));
    println!(
        "\nshrike takes {:.1} times as long for blocks and proof, {:.2} times for the signature, \
         {:.2} times for both",
        medians[2] / medians[0],
        medians[3] / medians[1],
        (medians[2] + medians[3]) / (medians[0] + medians[1]),
    );
}

/// All checks on one thread and on two, half the accounts each.
fn threads(frames: &[Frame<'_>], keys: &HashMap<String, PublicKey>) {
    let frames: Vec<&Frame<'_>> = frames
        .iter()
        .filter(|frame| commit_of(frame).is_some())
        .collect();
    let verify = |frames: &[&Frame<'_>]| {
        let mut verifier = Verifier::new();
        for _ in 0..ROUNDS {
            for frame in frames {
                let did = commit_of(frame).map(|commit| commit.repo).unwrap();
                let known = Known {
                    key: KnownKey::Fresh(&keys[did]),
                    ..Known::default()
                };
                let outcome = verifier.verify(frame, &known, NOW);
                assert_eq!(outcome.verdict(), Some(Verdict::Verified));
            }
        }
    };
    let (left, right) = frames.split_at(frames.len() / 2);
    let medians = Table::new("all checks, without history", frames.len() * ROUNDS)
        .row("one thread", || verify(&frames))
        .row("two threads", || {
            std::thread::scope(|scope| {
                scope.spawn(|| verify(left));
                verify(right);
            });
        })
        .run(Duration::from_secs(5));
    println!(
        "\ntwo threads do {:.2} times as much as one",
        medians[0] / medians[1]
    );
}

/// How often a thread goes through its frames, so that starting it does not count.
const ROUNDS: usize = 10;

/// An account as it was before its commit.
struct Account<'a> {
    did: &'a str,
    key: &'a PublicKey,
    state: Option<RepoState>,
}

impl<'a> Account<'a> {
    fn new(commit: &CommitMessage<'a>, keys: &'a HashMap<String, PublicKey>) -> Self {
        let state = commit
            .since
            .zip(commit.prev_data)
            .map(|(since, root)| RepoState::new(since.parse().unwrap(), root.try_into().unwrap()));
        Self {
            did: commit.repo,
            key: &keys[commit.repo],
            state,
        }
    }

    fn known(&self) -> Known<'_> {
        Known {
            state: self.state.as_ref(),
            key: KnownKey::Cached(self.key),
            ..Known::default()
        }
    }
}

fn commit_of<'a, 'f>(frame: &'a Frame<'f>) -> Option<&'a CommitMessage<'f>> {
    match frame {
        Frame::Commit(commit) => Some(commit),
        _ => None,
    }
}

fn hash(commit: &CommitMessage<'_>) -> usize {
    let blocks = Car::parse(commit.blocks).unwrap().blocks();
    blocks
        .filter(|block| Sha256::digest(block.as_ref().unwrap().data)[0] != 0)
        .count()
}

/// The root before a commit, by the steps of shrike's own verifier: read the slice, hash each block,
/// undo the operations on its tree. Its verifier proper needs a runtime and a client for HTTP.
fn shrike_root(commit: &CommitMessage<'_>) -> Option<shrike::cbor::Cid> {
    let store = MemBlockStore::new();
    let (_, blocks) = shrike::car::read_slice(commit.blocks).ok()?;
    for block in blocks {
        if shrike::cbor::Cid::compute(block.cid.codec(), block.data) != block.cid {
            return None;
        }
        store.put_block(block.cid, block.data.to_vec()).ok()?;
    }
    let object = store.get_block(&shrike_cid(commit.commit)).ok()?;
    let object = shrike::repo::Commit::from_cbor(&object).ok()?;
    let mut tree = shrike::mst::Tree::load(Box::new(store), object.data);
    for op in commit.ops().iter().rev() {
        match op.prev {
            None => drop(tree.remove(op.path).ok()?),
            Some(prev) => tree.insert(op.path.to_owned(), shrike_cid(prev)).ok()?,
        }
    }
    tree.root_cid().ok()
}

fn shrike_verifies(commit: &CommitMessage<'_>, key: &dyn VerifyingKey) -> bool {
    let car = Car::parse(commit.blocks).unwrap();
    let block = car.find(commit.commit).unwrap().unwrap();
    let object = shrike::repo::Commit::from_cbor(block.data).unwrap();
    object.verify(key).is_ok()
}

fn shrike_cid(link: Link<'_>) -> shrike::cbor::Cid {
    shrike::cbor::Cid::from_bytes(link.as_bytes()).unwrap()
}

/// A signature of a message of its own for each number.
fn p256_signature(number: usize) -> (PublicKey, [u8; 32], [u8; 64]) {
    let digest: [u8; 32] = Sha256::digest(number.to_be_bytes()).into();
    let secret = p256::ecdsa::SigningKey::from_slice(&digest).unwrap();
    let point = secret.verifying_key().to_sec1_point(true);
    let key = PublicKey::from_bytes(&[&[2], point.as_bytes()].concat()).unwrap();
    let signature: p256::ecdsa::Signature = secret.sign_prehash(&digest).unwrap();
    (key, digest, signature.normalize_s().to_bytes().into())
}
