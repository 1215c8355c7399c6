use crate::dictionary::Dictionary;
use crate::evaluation::Evaluation;

/// A new dictionary, and how good it is.
///
/// # Examples
///
/// ```
/// use jetwash_dict::Trained;
///
/// fn report(trained: &Trained) {
///     println!("dictionary {}: {}", trained.dictionary().id(), trained.held_out());
///     for candidate in trained.candidates() {
///         println!("{} bytes: {}", candidate.size, candidate.result);
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Trained {
    pub(crate) dictionary: Dictionary,
    pub(crate) held_out: Evaluation,
    pub(crate) compared: Option<Evaluation>,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) groups: Vec<(String, Evaluation)>,
    pub(crate) samples: usize,
}

impl Trained {
    /// The dictionary.
    #[must_use]
    pub const fn dictionary(&self) -> &Dictionary {
        &self.dictionary
    }

    /// How small it makes the events that it was not trained on.
    #[must_use]
    pub const fn held_out(&self) -> Evaluation {
        self.held_out
    }

    /// How small the dictionary of [`Trainer::compare`](crate::Trainer::compare) makes the same
    /// events.
    #[must_use]
    pub const fn compared(&self) -> Option<Evaluation> {
        self.compared
    }

    /// The same by collection and operation, or by kind, in alphabetical order.
    #[must_use]
    pub fn groups(&self) -> &[(String, Evaluation)] {
        &self.groups
    }

    /// All sizes that were tried.
    #[must_use]
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// How many events it was trained on.
    #[must_use]
    pub const fn samples(&self) -> usize {
        self.samples
    }
}

/// A size that was tried.
///
/// # Examples
///
/// ```
/// use jetwash_dict::Trainer;
///
/// let mut trainer = Trainer::new().sizes([1024, 2048]);
/// for n in 0..4000 {
///     trainer.add(&format!(r#"{{"did":"did:web:{}.example","kind":"identity"}}"#, n % 100));
/// }
/// let mut sizes = Vec::new();
/// trainer.train_with(None, |line| Some(line.into()), |candidate| sizes.push(candidate.size))?;
/// assert_eq!(sizes, [1024, 2048]);
/// # Ok::<(), jetwash_dict::TrainError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// How large the dictionary might be, in bytes.
    pub size: usize,
    /// How it did on the held-out events.
    pub result: Evaluation,
}
