use jetwash_client::Malformed;
use jetwash_event::{IdentifierError, RecordError, ToCborError};
use jetwash_frame::{FrameError, LabelFrameError};
use jetwash_mst::{CommitError, OpFault};
use jetwash_store::StoreError;
use jetwash_verify::Reason;
use thiserror::Error;

use crate::ingest::malformed::malformed_reason;
use crate::labels::LabelFault;

/// The reason why a frame, or one of its operations, was dropped.
#[derive(Clone, Debug, Error, PartialEq)]
pub(super) enum Fault {
    #[error(transparent)]
    Commit(CommitError),
    #[error("the event could not be compressed")]
    Compress,
    #[error("account: {0}")]
    Did(IdentifierError),
    #[error(transparent)]
    Frame(FrameError),
    #[error("it is not what its account signed, or not a commit at all: {}", .0.name())]
    Invalid(Reason),
    #[error("a label: {0}")]
    Label(LabelFault),
    #[error(transparent)]
    LabelFrame(LabelFrameError),
    #[error("it is of a source that is not a labeler, in a log of labels")]
    NotLabeler,
    #[error(transparent)]
    Op(OpFault),
    #[error("the event is malformed: {0}")]
    Malformed(Malformed),
    #[error("the frame's events have too much JSON")]
    OutputTooLong,
    #[error(transparent)]
    Record(RecordError),
    #[error("the record is another than its CID names")]
    RecordCid,
    #[error("the record is not one of the data model: {0}")]
    RecordJson(ToCborError),
    #[error(
        "`rebase` is set: the history before the commit was rewritten, which is no longer done"
    )]
    Rebase,
    #[error("revision: {0}")]
    Rev(IdentifierError),
    #[error("time: {0}")]
    Time(IdentifierError),
    #[error("`tooBig` is set and there are no operations, so they were left out")]
    TooBig,
    #[error("the event is longer than the log takes")]
    TooLong,
    #[error("nobody has signed it, and only what is verified is wanted")]
    Unsigned,
}

impl Fault {
    /// A short name of the reason, for a counter's label: one of a fixed few.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Commit(error) => error.reason(),
            Self::Compress => "event_not_compressed",
            Self::Did(_) => "did_invalid",
            Self::Frame(error) => error.reason(),
            Self::Invalid(reason) => reason.name(),
            Self::Label(fault) => fault.reason(),
            Self::LabelFrame(error) => error.reason(),
            Self::NotLabeler => "not_labeler",
            Self::Op(fault) => fault.reason(),
            Self::Malformed(malformed) => malformed_reason(*malformed),
            Self::OutputTooLong => "output_too_long",
            Self::Record(error) => error.reason(),
            Self::RecordCid => "record_cid_mismatch",
            Self::RecordJson(_) => "record_json",
            Self::Rebase => "rebase",
            Self::Rev(_) => "rev_invalid",
            Self::Time(_) => "time_invalid",
            Self::TooBig => "too_big",
            Self::TooLong => "event_too_long",
            Self::Unsigned => "unsigned",
        }
    }
}

/// Why work on a frame ended early.
pub(super) enum Stop {
    Fault(Fault),
    Store(StoreError),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
