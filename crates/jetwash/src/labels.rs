//! A label as a labeler sends it, checked as far as who sends it and how it is to be read.

use jetwash_event::{Did, LabelDraft, LabelError};
use jetwash_frame::Label;
use thiserror::Error;

use crate::short::short;

/// Returns a label that `labeler` has sent, unless it is one that it cannot give or that nobody knows
/// how to read. Its fields are not looked at.
pub(crate) fn draft_of<'a>(label: &Label<'a>, labeler: &Did) -> Result<LabelDraft<'a>, LabelFault> {
    // A labeler speaks for itself alone.
    if *label.src != *labeler.as_str() {
        return Err(LabelFault::OfAnother(short(label.src)));
    }
    if let Some(ver) = label.ver.filter(|&ver| ver != 1) {
        return Err(LabelFault::Version(ver));
    }
    Ok(LabelDraft {
        src: label.src,
        uri: label.uri,
        cid: label.cid,
        val: label.val,
        neg: label.neg,
        cts: label.cts,
        exp: label.exp,
    })
}

/// Why nothing is made of a label.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum LabelFault {
    #[error(transparent)]
    Field(#[from] LabelError),
    #[error("it is a label of {0}")]
    OfAnother(String),
    #[error("its version is {0}, and only 1 is known")]
    Version(i64),
}

impl LabelFault {
    /// A short name of the reason, for a counter's label.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::Field(error) => error.reason(),
            Self::OfAnother(_) => "label_of_another",
            Self::Version(_) => "label_version",
        }
    }
}
