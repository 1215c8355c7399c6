//! Signed commits on trees of the tests' own, each part of which can be changed before the frame is
//! written. The trees are those of another crate, so nothing here is made by the code under test.

use std::collections::BTreeMap;

use jetwash_cbor::{CborWriter, Cid, Codec};
use jetwash_frame::Action;
use jetwash_mst::{NodeBlock, Tree};
use jetwash_verify::{PublicKey, RepoState};
use k256::ecdsa::signature::Signer;

use crate::parts::{Op, car};

/// A commit before it is a frame.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) repo: &'static str,
    pub(crate) rev: String,
    pub(crate) since: Option<String>,
    pub(crate) ops: Vec<Op>,
    /// The nodes that are new, and those that prove the operations.
    pub(crate) nodes: BTreeMap<Cid, Vec<u8>>,
    pub(crate) records: BTreeMap<Cid, Vec<u8>>,
    /// The tree after the commit.
    pub(crate) tree: Tree,
    pub(crate) data: Cid,
    pub(crate) prev_data: Option<Cid>,
    /// Fields of the commit object that stand for others.
    pub(crate) signed_rev: Option<String>,
    pub(crate) signed_did: Option<&'static str>,
    pub(crate) too_big: bool,
    /// The kind of content that the commit object is said to be.
    pub(crate) codec: Codec,
}

impl Scene {
    /// A tree of some keys, and a commit that changes some of them: one choice for each key, which
    /// is to leave it out, create, update or delete it, or leave it as it is.
    pub(crate) fn new(choices: &[u8]) -> Self {
        let (mut before, mut after) = (Tree::new(), Tree::new());
        let mut ops = Vec::new();
        let mut records = BTreeMap::new();
        for (number, choice) in choices.iter().enumerate() {
            let path = format!("com.example.note/{}", number * 7919);
            let [old, new] = ["old", "new"].map(|age| record(&format!("{age} {number}")));
            let [prev, cid] = [&old, &new].map(|record| Cid::of(Codec::DagCbor, record));
            let (action, prev, cid) = match choice {
                0 => (Action::Create, None, Some(cid)),
                1 => (Action::Update, Some(prev), Some(cid)),
                2 => (Action::Delete, Some(prev), None),
                3 => continue,
                _ => {
                    before.insert(path.as_bytes(), prev).unwrap();
                    after.insert(path.as_bytes(), prev).unwrap();
                    continue;
                }
            };
            if let Some(prev) = prev {
                before.insert(path.as_bytes(), prev).unwrap();
            }
            if let Some(cid) = cid {
                after.insert(path.as_bytes(), cid).unwrap();
                records.insert(cid, new);
            }
            ops.push(Op {
                action,
                path,
                cid,
                prev,
            });
        }
        let proof = after.covering_proof(ops.iter().map(|op| op.path.as_bytes()));
        let nodes = after.new_nodes(&before).into_iter().chain(proof);
        Self {
            repo: DID,
            rev: REV.to_owned(),
            since: Some(SINCE.to_owned()),
            ops,
            nodes: nodes
                .map(|NodeBlock { cid, bytes, .. }| (cid, bytes.to_vec()))
                .collect(),
            records,
            data: after.root(),
            tree: after,
            prev_data: Some(before.root()),
            signed_rev: None,
            signed_did: None,
            too_big: false,
            codec: Codec::DagCbor,
        }
    }

    /// The state of the repository before the commit.
    pub(crate) fn state(&self) -> RepoState {
        RepoState::new(SINCE.parse().unwrap(), self.prev_data.unwrap())
    }

    /// The frame, signed.
    pub(crate) fn frame(&self) -> Vec<u8> {
        self.frame_with(&self.object(&sign(&self.object(&[]))))
    }

    /// The frame with that commit object.
    pub(crate) fn frame_with(&self, object: &[u8]) -> Vec<u8> {
        let own = Cid::of(self.codec, object);
        let nodes = self.nodes.iter().chain(&self.records);
        let mut blocks: Vec<_> = nodes.map(|(cid, bytes)| (*cid, bytes.clone())).collect();
        blocks.push((own, object.to_vec()));
        let mut frame = CborWriter::new();
        frame
            .map(2)
            .text("t")
            .text("#commit")
            .text("op")
            .unsigned(1);
        frame.map(10 + usize::from(self.prev_data.is_some()));
        frame.text("ops").array(self.ops.len());
        for op in &self.ops {
            write_op(&mut frame, op);
        }
        frame.text("rev").text(&self.rev).text("seq").unsigned(7);
        frame.text("repo").text(self.repo);
        frame
            .text("time")
            .text("2026-07-04T14:38:07Z")
            .text("since");
        match &self.since {
            Some(since) => frame.text(since),
            None => frame.null(),
        };
        frame.text("blocks").bytes(&car(&own, &blocks));
        frame.text("commit").link(&own);
        frame.text("rebase").boolean(false);
        frame.text("tooBig").boolean(self.too_big);
        if let Some(before) = &self.prev_data {
            frame.text("prevData").link(before);
        }
        frame.into_bytes()
    }

    /// The commit object with a signature, or without one if it is empty.
    pub(crate) fn object(&self, signature: &[u8]) -> Vec<u8> {
        let is_signed = !signature.is_empty();
        let mut object = CborWriter::new();
        object.map(5 + usize::from(is_signed));
        object
            .text("did")
            .text(self.signed_did.unwrap_or(self.repo));
        let rev = self.signed_rev.as_ref().unwrap_or(&self.rev);
        object.text("rev").text(rev);
        if is_signed {
            object.text("sig").bytes(signature);
        }
        object.text("data").link(&self.data);
        object.text("prev").null().text("version").unsigned(3);
        object.into_bytes()
    }

    /// A `#sync` of the state that the commit leads to.
    pub(crate) fn sync(&self) -> Vec<u8> {
        let object = self.object(&sign(&self.object(&[])));
        let own = Cid::of(self.codec, &object);
        let mut frame = CborWriter::new();
        frame.map(2).text("t").text("#sync").text("op").unsigned(1);
        frame
            .map(5)
            .text("did")
            .text(self.repo)
            .text("rev")
            .text(&self.rev);
        frame.text("seq").unsigned(7);
        frame.text("time").text("2026-07-04T14:38:07Z");
        frame.text("blocks").bytes(&car(&own, &[(own, object)]));
        frame.into_bytes()
    }
}

fn write_op(frame: &mut CborWriter, op: &Op) {
    frame.map(3 + usize::from(op.prev.is_some())).text("cid");
    match &op.cid {
        Some(cid) => frame.link(cid),
        None => frame.null(),
    };
    frame.text("path").text(&op.path);
    if let Some(prev) = &op.prev {
        frame.text("prev").link(prev);
    }
    frame.text("action").text(match op.action {
        Action::Create => "create",
        Action::Delete => "delete",
        Action::Update => "update",
        Action::Other(other) => other,
    });
}

pub(crate) fn record(text: &str) -> Vec<u8> {
    let mut writer = CborWriter::new();
    writer.text(text);
    writer.into_bytes()
}

pub(crate) fn secret() -> k256::ecdsa::SigningKey {
    k256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap()
}

pub(crate) fn key() -> PublicKey {
    public(&secret())
}

/// The key of somebody else.
pub(crate) fn other_key() -> PublicKey {
    public(&k256::ecdsa::SigningKey::from_slice(&[8; 32]).unwrap())
}

fn public(secret: &k256::ecdsa::SigningKey) -> PublicKey {
    let point = secret.verifying_key().to_sec1_point(true);
    PublicKey::from_bytes(&[&[1], point.as_bytes()].concat()).unwrap()
}

pub(crate) fn sign(message: &[u8]) -> [u8; 64] {
    let signature: k256::ecdsa::Signature = secret().sign(message);
    signature.normalize_s().to_bytes().into()
}

pub(crate) const DID: &str = "did:web:a.example";
pub(crate) const REV: &str = "3mptbypluud2a";
pub(crate) const SINCE: &str = "3mptbwv4pn32u";
