use std::fmt;
use std::time::Duration;

use jetwash_client::ClientBuildError;
use jetwash_store::{LogId, OpenError, StoreError};
use thiserror::Error;

use crate::source::{EndpointError, MirrorAddressError, RelayOptionError};

/// Everything that kept a [`Jetstream`](crate::Jetstream) from being built.
///
/// # Examples
///
/// ```
/// use jetwash::Jetstream;
///
/// let error = Jetstream::builder().relay("ftp://a.example").retain_bytes(10).build().unwrap_err();
/// assert_eq!(error.mistakes().len(), 2);
/// // One line for each.
/// println!("{error}");
/// ```
#[derive(Debug)]
pub struct BuildError {
    pub(crate) mistakes: Vec<Mistake>,
}

impl BuildError {
    /// The mistakes, at least one.
    #[must_use]
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for BuildError {}

/// One thing that is wrong with the settings of a [`JetstreamBuilder`](crate::JetstreamBuilder).
///
/// # Examples
///
/// ```
/// use jetwash::{Jetstream, Mistake};
///
/// let error = Jetstream::builder().intake_bytes(1).build().unwrap_err();
/// for mistake in error.mistakes() {
///     match mistake {
///         Mistake::Intake { bytes } => assert_eq!(*bytes, 1),
///         other => println!("{other}"),
///     }
/// }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Mistake {
    /// An event would wait too long.
    #[error("commit delay {delay:?}: at most 10 s is allowed")]
    CommitDelay {
        /// The setting.
        delay: Duration,
    },
    /// A cursor is given for a relay, or a host of a Jetstream, that is not used.
    #[error("a cursor is given for {0}, which is not among the relays and Jetstreams")]
    CursorWithoutRelay(String),
    /// The dictionary could not be put into the log.
    #[error("dictionary: {0}")]
    Dictionary(StoreError),
    /// The log would hold next to nothing.
    #[error("retention of {bytes} bytes: at least 1 MiB (1048576) is needed")]
    FewBytes {
        /// The setting.
        bytes: u64,
    },
    /// Next to no frames would be kept.
    #[error("frames of {bytes} bytes: at least 1 MiB (1048576) is needed to keep any")]
    FewFrameBytes {
        /// The setting.
        bytes: u64,
    },
    /// No frame could wait for a key, or too many.
    #[error(
        "{bytes} bytes of frames that wait for keys: it must be between 64 KiB (65536) and 1 GiB \
         (1073741824)"
    )]
    HoldBytes {
        /// The setting.
        bytes: usize,
    },
    /// The intake would hold no frame, or have no bound worth the name.
    #[error("intake of {bytes} bytes: it must be between 64 KiB (65536) and 1 GiB (1073741824)")]
    Intake {
        /// The setting.
        bytes: usize,
    },
    /// A host of a Jetstream, or a setting of how it is connected to.
    #[error("Jetstream: {0}")]
    Jetstream(ClientBuildError),
    /// The address of a labeler is not a valid host or URL, or its DID is not one.
    #[error("labeler {labeler:?}: {reason}")]
    Labeler {
        /// The address.
        labeler: String,
        /// The mistake.
        reason: String,
    },
    /// A setting of other sources is beside [labelers](crate::JetstreamBuilder::labeler).
    #[error(
        "labelers have a log of their own, so `{setting}` cannot be beside `labeler`; `labels_from` only \
         fills the index of labels, and can be beside any source"
    )]
    LabelerSetting {
        /// The method of the builder.
        setting: &'static str,
    },
    /// The log has labels, and the settings are for other events.
    #[error("the log {log} is one of labels: give the labelers, or another folder")]
    LabelsFolder {
        /// The log.
        log: LogId,
    },
    /// The log has other events, and the settings are for labels.
    #[error("the log {log} has other events than labels: labelers need a folder of their own")]
    NotLabelsFolder {
        /// The log.
        log: LogId,
    },
    /// The relay address is not a valid host or URL.
    #[error(transparent)]
    Relay(EndpointError),
    /// A setting of how relays are connected to.
    #[error(transparent)]
    RelayOption(RelayOptionError),
    /// The log cannot work in so little memory, or would never use so much.
    #[error("memory of {bytes} bytes: it must be between 2 MiB (2097152) and 16 GiB (17179869184)")]
    MemoryBudget {
        /// The setting.
        bytes: usize,
    },
    /// The address of a host to mirror is not valid.
    #[error(transparent)]
    Mirror(MirrorAddressError),
    /// The folder has the log of another jetwash, in which there is no place for own events.
    #[error(
        "the folder is a mirror of the log {log}: open it with `mirror`, or use another folder; a \
         mirror cannot become a log of its own"
    )]
    MirrorFolder {
        /// The log that it mirrors.
        log: LogId,
    },
    /// A mirror takes over a log as it is.
    #[error(
        "{setting}: a mirror has the events of its origin, as they are there, so leave it out with \
         `mirror`"
    )]
    MirrorSetting {
        /// The method of the builder.
        setting: &'static str,
    },
    /// A mirror is to be made of a log that has events of its own.
    #[error(
        "the folder has the log {log} with events of its own, which would have the positions of \
         others: give a mirror a new folder"
    )]
    OwnFolder {
        /// The log in the folder.
        log: LogId,
    },
    /// Two sources have one name, and so would share a cursor.
    #[error("the source {0} is given twice")]
    RepeatedSource(String),
    /// The log cannot be opened.
    #[error(transparent)]
    Store(OpenError),
    /// Strict verification would drop all that a Jetstream sends.
    #[error(
        "strict verification: nothing that a Jetstream sends is signed, so none of it would be kept"
    )]
    UnverifiableSource,
    /// No thread would verify, or too many.
    #[error("{count} threads that verify: it must be between 1 and 64")]
    VerifyWorkers {
        /// The setting.
        count: usize,
    },
    /// Nothing would be kept.
    #[error("retention of no time at all: give more than 0 s")]
    ZeroAge,
}
