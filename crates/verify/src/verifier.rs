use jetwash_cbor::{CborReader, Cid, Codec, Link, write_head};
use jetwash_event::Micros;
use jetwash_frame::{Car, CommitMessage, Frame, RepoOp, SyncMessage};
use jetwash_mst::{CommitError, CommitObject, sync_object};
use sha2::{Digest, Sha256};

use crate::claim::{Claim, ClaimKind, Proof};
use crate::outcome::{Known, Outcome, Skip};
use crate::proof::{Inversion, Inverter};
use crate::reason::Reason;
use crate::shape::{Revs, order_ops};
use crate::signature::check_form;

/// Verifies frames, one after another. It keeps nothing of them but the room that they took.
///
/// All checks at once are [`verify`](Self::verify). Step by step they are [`Skip::of`],
/// [`commit`](Self::commit) or [`sync`](Self::sync), [`Claim::check_signature`] and
/// [`Claim::judge`], of which only the last needs the frames of an account in order.
///
/// # Examples
///
/// ```
/// use jetwash_frame::Frame;
/// use jetwash_sim::{ManualNetwork, SimChange, did};
/// use jetwash_verify::{Known, Need, Outcome, Verdict, Verifier};
/// # use jetwash_verify::{PublicKey, KnownKey};
/// # fn key_of(network: &ManualNetwork, did: &str) -> PublicKey {
/// #     let document = network.did_document(did).unwrap();
/// #     let text = document.split(r#""publicKeyMultibase":""#).nth(1).unwrap();
/// #     PublicKey::from_multikey(text.split('"').next().unwrap()).unwrap()
/// # }
///
/// let mut network = ManualNetwork::new();
/// let post = serde_json::json!({"$type": "app.example.post", "text": "Hej"});
/// let sent = network.apply(&SimChange::create(did(0), "app.example.post", "1", post))?;
/// let frame = Frame::decode(&sent.bytes)?;
/// let now = network.time();
///
/// let mut verifier = Verifier::new();
/// let outcome = verifier.verify(&frame, &Known::default(), now);
/// assert_eq!(outcome, Outcome::Needs(Need::Key));
///
/// let key = key_of(&network, &did(0));
/// let known = Known { key: KnownKey::Fresh(&key), ..Known::default() };
/// let outcome = verifier.verify(&frame, &known, now);
/// assert_eq!(outcome.verdict(), Some(Verdict::Verified));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Verifier {
    inverter: Inverter,
    /// The operations of the commit at hand, in the order of their paths.
    order: Vec<u16>,
}

impl Verifier {
    /// Makes a verifier.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Verifies a frame: all checks, in the order in which they fail cheapest.
    ///
    /// A frame that [needs](Outcome::Needs) a key is verified again once it is there; to keep the
    /// work done until then, go step by step.
    ///
    /// Source: the sync specification.
    #[must_use]
    pub fn verify(&mut self, frame: &Frame<'_>, known: &Known<'_>, now: Micros) -> Outcome {
        match self.claim(frame, known, now) {
            Ok(claim) => claim.judge(claim.check_signature(known.key), known.state),
            Err(Stop::Invalid(reason)) => Outcome::invalid(reason),
            Err(Stop::Skip(skip)) => Outcome::Skipped(skip),
        }
    }

    /// Checks all of a commit that needs neither key nor history: the steps of
    /// [`structure`](Self::structure), then [`Structure::invert`].
    ///
    /// # Errors
    ///
    /// When the commit is invalid.
    pub fn commit(&mut self, commit: &CommitMessage<'_>, now: Micros) -> Result<Claim, Reason> {
        self.structure(commit, now)?.invert()
    }

    /// Checks the fields and operations of a commit, that its revision is not of the future, its
    /// blocks and the commit object.
    ///
    /// # Errors
    ///
    /// When the commit is invalid.
    pub fn structure<'v, 'f>(
        &'v mut self,
        commit: &'v CommitMessage<'f>,
        now: Micros,
    ) -> Result<Structure<'v, 'f>, Reason> {
        let revs = Revs::of_commit(commit, &mut self.order)?;
        self.structure_of(commit, revs, now)
    }

    /// Checks all of a `#sync` that needs neither key nor history.
    ///
    /// # Errors
    ///
    /// When the frame is invalid.
    pub fn sync(&mut self, sync: &SyncMessage<'_>, now: Micros) -> Result<Claim, Reason> {
        sync_of(sync, Revs::of_sync(sync)?, now)
    }

    /// Undoes operations on the tree below `data`, as far as a CAR slice holds it, and compares the
    /// root with `before`; with `None`, it checks only that nothing contradicts the operations.
    ///
    /// Neither the number nor the order of the operations matters, nor whether their paths are
    /// those of records. The work is bounded by the length of the slice.
    ///
    /// Source: the repository specification, and proposal 0006, "MST operation inversion".
    ///
    /// # Errors
    ///
    /// When the slice is not a CAR file, a block does not match its CID, the tree breaks a rule, or
    /// the operations are not the ones that lead to it.
    pub fn invert(
        &mut self,
        slice: &[u8],
        data: &Cid,
        ops: &[RepoOp<'_>],
        before: Option<&Cid>,
    ) -> Result<Proof, Reason> {
        order_ops(ops, &mut self.order)?;
        let car = Car::parse(slice).map_err(|_| Reason::CarMalformed)?;
        self.inverter.read(slice, &car, ops)?;
        let inversion = self.inverter.invert(slice, data, ops, &self.order)?;
        match before {
            Some(before) => compare(inversion, before),
            None => Ok(Proof::Legacy),
        }
    }

    fn claim(&mut self, frame: &Frame<'_>, known: &Known<'_>, now: Micros) -> Result<Claim, Stop> {
        let skip = |revs: &Revs| Skip::of_rev(revs.rev, known.hosting, known.state);
        match frame {
            Frame::Commit(commit) => {
                let revs = Revs::of_commit(commit, &mut self.order)?;
                skip(&revs).map_or(Ok(()), |skip| Err(Stop::Skip(skip)))?;
                Ok(self.structure_of(commit, revs, now)?.invert()?)
            }
            Frame::Sync(sync) => {
                let revs = Revs::of_sync(sync)?;
                skip(&revs).map_or(Ok(()), |skip| Err(Stop::Skip(skip)))?;
                Ok(sync_of(sync, revs, now)?)
            }
            _ => Err(Stop::Skip(Skip::NoRepository)),
        }
    }

    fn structure_of<'v, 'f>(
        &'v mut self,
        commit: &'v CommitMessage<'f>,
        revs: Revs,
        now: Micros,
    ) -> Result<Structure<'v, 'f>, Reason> {
        revs.check_time(now)?;
        let car = Car::parse(commit.blocks).map_err(|_| Reason::CarMalformed)?;
        if car.root() != commit.commit {
            return Err(Reason::CarRoot);
        }
        check_kind(commit.commit)?;
        self.inverter.read(commit.blocks, &car, commit.ops())?;
        let own = self.inverter.block(commit.blocks, commit.commit);
        let own = own.ok_or(Reason::CommitMissing)?;
        let object =
            CommitObject::decode(own).map_err(|error| Reason::from(&CommitError::from(error)))?;
        if object.did != commit.repo {
            return Err(Reason::CommitDid);
        }
        if object.rev != commit.rev {
            return Err(Reason::CommitRev);
        }
        Ok(Structure {
            verifier: self,
            commit,
            revs,
            object,
            own,
        })
    }
}

/// A commit whose form, blocks and commit object are right, and whose operations are not proven.
///
/// # Examples
///
/// ```
/// use jetwash_event::Micros;
/// use jetwash_frame::CommitMessage;
/// use jetwash_verify::{Claim, Reason, Verifier};
///
/// fn step_by_step(
///     verifier: &mut Verifier,
///     commit: &CommitMessage<'_>,
///     now: Micros,
/// ) -> Result<Claim, Reason> {
///     verifier.structure(commit, now)?.invert()
/// }
/// ```
#[derive(Debug)]
pub struct Structure<'v, 'f> {
    verifier: &'v mut Verifier,
    commit: &'v CommitMessage<'f>,
    revs: Revs,
    object: CommitObject<'f>,
    /// The block of the commit object.
    own: &'f [u8],
}

impl Structure<'_, '_> {
    /// Undoes the operations on the tree, and compares the root with `prevData`. Then checks the
    /// form of the signature, so that nobody is asked for a key in vain.
    ///
    /// # Errors
    ///
    /// When the tree breaks a rule, the operations are not the ones that lead to it, or the
    /// signature has a form that no key makes valid. Blocks that are missing are no error.
    pub fn invert(self) -> Result<Claim, Reason> {
        let Self {
            verifier,
            commit,
            revs,
            object,
            own,
        } = self;
        let (slice, ops) = (commit.blocks, commit.ops());
        let inverter = &mut verifier.inverter;
        let inversion = inverter.invert(slice, &object.data, ops, &verifier.order)?;
        let (proof, before) = prove(commit, inversion)?;
        let is_missing = |op: &&RepoOp<'_>| {
            let is_there = |cid: Link<'_>| {
                let is_record = Cid::try_from(cid).is_ok_and(|cid| cid.codec() == Codec::DagCbor);
                is_record && inverter.block(slice, cid).is_some()
            };
            op.cid.is_some_and(|cid| !is_there(cid))
        };
        let missing_records = ops.iter().filter(is_missing).count() as u16;
        Ok(Claim {
            kind: ClaimKind::Commit(proof),
            rev: revs.rev,
            since: revs.since,
            data: object.data,
            before,
            digest: unsigned_digest(own)?,
            signature: *check_form(object.sig, None).map_err(|_| Reason::SignatureForm)?,
            missing_records,
        })
    }
}

/// Why a frame gets no claim.
enum Stop {
    Invalid(Reason),
    Skip(Skip),
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Invalid(reason)
    }
}

fn sync_of(sync: &SyncMessage<'_>, revs: Revs, now: Micros) -> Result<Claim, Reason> {
    revs.check_time(now)?;
    let object = sync_object(sync).map_err(|error| Reason::from(&error))?;
    let car = Car::parse(sync.blocks).map_err(|_| Reason::CarMalformed)?;
    check_kind(car.root())?;
    let own = car.find(car.root()).map_err(|_| Reason::CarMalformed)?;
    let own = own.ok_or(Reason::CommitMissing)?;
    Ok(Claim {
        kind: ClaimKind::Sync,
        rev: revs.rev,
        since: None,
        data: object.data,
        before: None,
        digest: unsigned_digest(own.data)?,
        signature: *check_form(object.sig, None).map_err(|_| Reason::SignatureForm)?,
        missing_records: 0,
    })
}

/// Checks that a link is one to DAG-CBOR, as a commit object is.
fn check_kind(commit: Link<'_>) -> Result<(), Reason> {
    match Cid::try_from(commit).map(|cid| cid.codec()) {
        Ok(Codec::DagCbor) => Ok(()),
        _ => Err(Reason::CommitMalformed),
    }
}

/// The proof of a commit, and the root before it.
fn prove(commit: &CommitMessage<'_>, inversion: Inversion) -> Result<(Proof, Option<Cid>), Reason> {
    let root = match inversion {
        Inversion::Root(root) => Some(root),
        _ => None,
    };
    let proof = match commit.prev_data {
        Some(before) => {
            // A link of another kind is the root of no tree.
            let before = Cid::try_from(before).map_err(|_| Reason::RootMismatch)?;
            let proof = match compare(inversion, &before)? {
                // The flag says that something was left out, as hosts once did.
                Proof::Complete if commit.too_big => Proof::Legacy,
                proof => proof,
            };
            return Ok((proof, Some(before)));
        }
        // The first commit of a repository starts from nothing, and need not say so.
        None if commit.since.is_none() && root == Some(empty_root()) => Proof::Complete,
        None => Proof::Legacy,
    };
    Ok((proof, root))
}

fn compare(inversion: Inversion, before: &Cid) -> Result<Proof, Reason> {
    match inversion {
        Inversion::Root(root) | Inversion::Doubtful(root) if root == *before => Ok(Proof::Complete),
        Inversion::Root(_) => Err(Reason::RootMismatch),
        Inversion::Doubtful(_) | Inversion::Insufficient => Ok(Proof::Insufficient),
        Inversion::Legacy => Ok(Proof::Legacy),
    }
}

/// The SHA-256 of a commit object without its signature, which is what was signed.
///
/// The rest of the block is hashed as it is: fields that are not known are signed too.
fn unsigned_digest(block: &[u8]) -> Result<[u8; 32], Reason> {
    unsigned(block).ok_or(Reason::CommitMalformed)
}

fn unsigned(block: &[u8]) -> Option<[u8; 32]> {
    let mut reader = CborReader::new(block);
    let jetwash_cbor::Item::Map(pairs) = reader.item().ok()? else {
        return None;
    };
    let first = reader.position();
    for _ in 0..pairs {
        let start = reader.position();
        let is_signature = reader.text().ok()? == "sig";
        reader.pass_over().ok()?;
        if is_signature {
            let mut head = Vec::new();
            write_head(&mut head, MAP, pairs as u64 - 1);
            let mut hasher = Sha256::new();
            hasher.update(&head);
            hasher.update(block.get(first..start)?);
            hasher.update(block.get(reader.position()..)?);
            return Some(hasher.finalize().into());
        }
    }
    None
}

/// The root of a tree without keys.
fn empty_root() -> Cid {
    Cid::of(Codec::DagCbor, b"\xa2\x61e\x80\x61l\xf6")
}

const MAP: u8 = 5;
