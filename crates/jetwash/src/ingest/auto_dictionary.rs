use jetwash_dict::Trainer;

/// Dictionaries that a [`Jetstream`](crate::Jetstream) trains by itself, on the events in its log: see
/// [`JetstreamBuilder::auto_dictionary`](crate::JetstreamBuilder::auto_dictionary).
///
/// The first is trained when there are enough events. From then on it is looked from time to time
/// how small new events get; if they get so much larger than when the dictionary was new, another
/// is trained. A dictionary goes into use only if it is better than the one before it, judged by
/// events of accounts that it was not trained on.
///
/// The work is done on a thread of its own, which on Linux yields to all others, a few seconds
/// of it for each dictionary. It never holds up the way in.
///
/// # Examples
///
/// ```
/// use jetwash::{AutoDictionary, Jetstream};
///
/// let auto = AutoDictionary::new().first_after(50_000).look_every(200_000);
/// let jetstream = Jetstream::builder().auto_dictionary(auto).build()?;
/// // Until there are enough events, none is used, because none was given.
/// assert!(jetstream.dictionary().is_none());
/// # Ok::<(), jetwash::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct AutoDictionary {
    pub(super) first_after: u64,
    pub(super) look_every: u64,
    pub(super) worse_by: f64,
    pub(super) max_kept: usize,
    pub(super) sizes: Vec<usize>,
}

impl AutoDictionary {
    /// The first after 100,000 events, a look at every 100,000, another when events have become
    /// 5 % larger, and eight at most in the log at a time.
    #[must_use]
    pub fn new() -> Self {
        Self {
            first_after: 100_000,
            look_every: 100_000,
            worse_by: 0.05,
            max_kept: 8,
            sizes: Trainer::SIZES.to_vec(),
        }
    }

    /// How many events the log has to hold before the first dictionary is trained.
    #[must_use]
    pub const fn first_after(mut self, events: u64) -> Self {
        self.first_after = events;
        self
    }

    /// After how many events it is looked again how small they get.
    #[must_use]
    pub const fn look_every(mut self, events: u64) -> Self {
        self.look_every = events;
        self
    }

    /// By how much compressed events have to have grown, in relation to their JSON, for another
    /// dictionary to be trained: 0.05 stands for 5 %.
    #[must_use]
    pub const fn worse_by(mut self, share: f64) -> Self {
        self.worse_by = share;
        self
    }

    /// How many dictionaries the log may have: with so many, none is trained until events that
    /// need the oldest have expired.
    #[must_use]
    pub const fn max_kept(mut self, dictionaries: usize) -> Self {
        self.max_kept = dictionaries;
        self
    }

    /// The sizes to try, in bytes, as in [`Trainer::sizes`].
    #[must_use]
    pub fn sizes(mut self, sizes: impl Into<Vec<usize>>) -> Self {
        self.sizes = sizes.into();
        self
    }
}

impl Default for AutoDictionary {
    fn default() -> Self {
        Self::new()
    }
}
