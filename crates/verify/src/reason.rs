use jetwash_frame::FrameError;
use jetwash_mst::CommitError;

/// The fault of a frame that is invalid, from a fixed list.
///
/// [`name`](Self::name) is for a counter's label; where the crates below count the same fault, it
/// is the same name. The order is that of the checks.
///
/// # Examples
///
/// ```
/// use jetwash_frame::Frame;
/// use jetwash_verify::Reason;
///
/// let error = Frame::decode(b"\xa1\x62op\x20\xa0").unwrap_err();
/// assert_eq!(Reason::from(&error), Reason::FrameFieldMissing);
/// assert_eq!(Reason::FrameFieldMissing.name(), "frame_field_missing");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// The frame is not strict DAG-CBOR.
    FrameMalformed = 1,
    /// A field of the frame is missing.
    FrameFieldMissing = 2,
    /// More bytes or operations than the protocol allows.
    FrameOverLimit = 3,
    /// The account is not a DID.
    DidSyntax = 4,
    /// The revision is not a TID.
    RevSyntax = 5,
    /// The revision before is not a TID.
    SinceSyntax = 6,
    /// The time is not a timestamp.
    TimeSyntax = 7,
    /// `rebase` is set: the history before the commit was rewritten, which is no longer done.
    Rebase = 8,
    /// `tooBig` is set and there are no operations, so they were left out.
    TooBig = 9,
    /// An operation has an unknown action.
    OpAction = 10,
    /// An operation lacks a CID that it needs, or has one that it must not have.
    OpCid = 11,
    /// The path of an operation is not a collection and a record key.
    OpPath = 12,
    /// Two operations have the same path.
    OpPathRepeated = 13,
    /// An operation has a record before it that does not fit its action.
    OpPrev = 14,
    /// The revision lies more than five minutes in the future.
    RevFuture = 15,
    /// The blocks are not a CAR file.
    CarMalformed = 16,
    /// The first root of the CAR file is not the commit that the frame names.
    CarRoot = 17,
    /// A block does not hash to its CID.
    CarHash = 18,
    /// The blocks lack the commit object.
    CommitMissing = 19,
    /// The commit object lacks a field, or has one of another type.
    CommitMalformed = 20,
    /// The commit object is of another version than 3.
    CommitVersion = 21,
    /// The commit object is of another account.
    CommitDid = 22,
    /// The commit object is of another revision.
    CommitRev = 23,
    /// The tree breaks a rule that every correct writer keeps.
    Tree = 24,
    /// The tree after the commit is not one that an operation leads to.
    OpMismatch = 25,
    /// With the operations undone, the root of the tree is not `prevData`.
    RootMismatch = 26,
    /// The signature has a form that no key makes valid.
    SignatureForm = 27,
    /// The commit is not signed with the account's key.
    SignatureMismatch = 28,
    /// The account's DID document has no key that can be used.
    KeyUnusable = 29,
}

impl Reason {
    /// All of them, in the order of the checks.
    pub const ALL: [Self; 29] = [
        Self::FrameMalformed,
        Self::FrameFieldMissing,
        Self::FrameOverLimit,
        Self::DidSyntax,
        Self::RevSyntax,
        Self::SinceSyntax,
        Self::TimeSyntax,
        Self::Rebase,
        Self::TooBig,
        Self::OpAction,
        Self::OpCid,
        Self::OpPath,
        Self::OpPathRepeated,
        Self::OpPrev,
        Self::RevFuture,
        Self::CarMalformed,
        Self::CarRoot,
        Self::CarHash,
        Self::CommitMissing,
        Self::CommitMalformed,
        Self::CommitVersion,
        Self::CommitDid,
        Self::CommitRev,
        Self::Tree,
        Self::OpMismatch,
        Self::RootMismatch,
        Self::SignatureForm,
        Self::SignatureMismatch,
        Self::KeyUnusable,
    ];

    /// A short name, for a counter's label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FrameMalformed => "frame_malformed",
            Self::FrameFieldMissing => "frame_field_missing",
            Self::FrameOverLimit => "frame_over_limit",
            Self::DidSyntax => "did_invalid",
            Self::RevSyntax => "rev_invalid",
            Self::SinceSyntax => "since_invalid",
            Self::TimeSyntax => "time_invalid",
            Self::Rebase => "rebase",
            Self::TooBig => "too_big",
            Self::OpAction => "op_action_unknown",
            Self::OpCid => "op_cid_invalid",
            Self::OpPath => "op_path_invalid",
            Self::OpPathRepeated => "op_path_repeated",
            Self::OpPrev => "op_prev_invalid",
            Self::RevFuture => "rev_future",
            Self::CarMalformed => "car_invalid",
            Self::CarRoot => "car_root_mismatch",
            Self::CarHash => "car_hash_mismatch",
            Self::CommitMissing => "car_without_commit",
            Self::CommitMalformed => "commit_malformed",
            Self::CommitVersion => "commit_version",
            Self::CommitDid => "commit_did_mismatch",
            Self::CommitRev => "commit_rev_mismatch",
            Self::Tree => "tree_invalid",
            Self::OpMismatch => "proof_op_mismatch",
            Self::RootMismatch => "proof_root_mismatch",
            Self::SignatureForm => "signature_malformed",
            Self::SignatureMismatch => "signature_mismatch",
            Self::KeyUnusable => "key_unusable",
        }
    }

    /// The reason of that number.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        let index = usize::from(code).checked_sub(1)?;
        Self::ALL.get(index).copied()
    }
}

impl From<&FrameError> for Reason {
    fn from(error: &FrameError) -> Self {
        match error {
            FrameError::Missing { .. } => Self::FrameFieldMissing,
            FrameError::Limit { .. } => Self::FrameOverLimit,
            _ => Self::FrameMalformed,
        }
    }
}

impl From<&CommitError> for Reason {
    fn from(error: &CommitError) -> Self {
        use jetwash_frame::CarError;
        use jetwash_mst::CommitObjectError;
        match error {
            CommitError::Car(CarError::Hash { .. }) => Self::CarHash,
            CommitError::CommitBlock => Self::CommitMissing,
            CommitError::Did => Self::CommitDid,
            CommitError::Object(CommitObjectError::Version(_)) => Self::CommitVersion,
            CommitError::Object(_) => Self::CommitMalformed,
            CommitError::Rev => Self::CommitRev,
            CommitError::Root => Self::CarRoot,
            _ => Self::CarMalformed,
        }
    }
}
