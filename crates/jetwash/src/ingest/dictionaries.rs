use std::sync::Arc;

use jetwash_dict::Dictionary;
use jetwash_store::{Seq, StoreError};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};

/// The dictionary in use, and the way to ask the writer for another.
#[derive(Clone, Debug)]
pub(crate) struct Dictionaries {
    /// Changed by the writer before any event that the new one is used for.
    in_use: Arc<watch::Sender<Option<Dictionary>>>,
    rotations: mpsc::Sender<Rotation>,
}

/// A dictionary to be used from now on, and who waits to hear from which position on that is.
#[derive(Debug)]
pub(crate) struct Rotation {
    pub(crate) dictionary: Dictionary,
    pub(crate) answer: oneshot::Sender<Result<Seq, RotateError>>,
}

impl Dictionaries {
    pub(crate) fn new(in_use: Option<Dictionary>) -> (Self, mpsc::Receiver<Rotation>) {
        let (rotations, to_rotate) = mpsc::channel(1);
        let in_use = Arc::new(watch::Sender::new(in_use));
        (Self { in_use, rotations }, to_rotate)
    }

    pub(crate) fn in_use(&self) -> Option<Dictionary> {
        self.in_use.borrow().clone()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<Option<Dictionary>> {
        self.in_use.subscribe()
    }

    /// Announces that another is in use. The caller has put it into use before.
    pub(crate) fn put_into_use(&self, dictionary: Dictionary) {
        self.in_use.send_replace(Some(dictionary));
    }

    /// Asks the running writer to use another, and returns the position of the first event that
    /// does.
    pub(crate) async fn rotate(&self, dictionary: Dictionary) -> Result<Seq, RotateError> {
        let (answer, answered) = oneshot::channel();
        let rotation = Rotation { dictionary, answer };
        let sent = self.rotations.send(rotation).await;
        sent.map_err(|_| RotateError::Stopped)?;
        answered.await.map_err(|_| RotateError::Stopped)?
    }
}

/// Why a [rotation](crate::Jetstream::rotate_dictionary) did not take place.
///
/// # Examples
///
/// ```
/// use jetwash::{Dictionary, Jetstream, RotateError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (jetstream, ingest) = Jetstream::builder().build()?;
/// # let samples = (0..1000).map(|n| format!(r#"{{"did":"did:web:{n}.example"}}"#));
/// let dictionary = Dictionary::train(samples, 1024, 7)?;
/// ingest.run(std::future::ready(())).await?;
/// match jetstream.rotate_dictionary(dictionary).await {
///     Err(RotateError::Stopped) => println!("too late"),
///     other => panic!("{other:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RotateError {
    /// A mirror has the dictionaries of the log that it mirrors, and no others.
    #[error("a mirror has the dictionaries of its origin: use another there")]
    Mirror,
    /// There will be no more events to compress.
    #[error("this Jetstream has stopped")]
    Stopped,
    /// The log does not take the dictionary.
    #[error(transparent)]
    Store(#[from] StoreError),
}
