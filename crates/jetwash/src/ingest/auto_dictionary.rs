use jetwash_dict::Trainer;

/// Dictionaries that a [`Jetstream`](crate::Jetstream) trains by itself, on the events in its log:
/// see [`JetstreamBuilder::auto_dictionary`](crate::JetstreamBuilder::auto_dictionary).
///
/// The first is trained when there are enough events. From then on the compression of new events is
/// measured from time to time; if it has become worse by a share, another is trained. A dictionary
/// goes into use only if it is better than the one before it, judged by events of accounts that it
/// was not trained on.
///
/// Training takes a few seconds on a separate thread, which on Linux yields to all others. It never
/// delays the way in.
///
/// # Examples
///
/// ```
/// use jetwash::{AutoDictionary, Jetstream};
///
/// let auto = AutoDictionary::new().first_after(50_000).look_every(200_000);
/// let (jetstream, _ingest) = Jetstream::builder().auto_dictionary(auto).build()?;
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
    /// Returns the default settings: the first dictionary after 100,000 events, a look every
    /// 100,000, another when events have become 5 % larger, and up to eight in the log at a time.
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

    /// Sets how many events the log must hold before the first dictionary is trained. Defaults to
    /// 100,000.
    #[must_use]
    pub const fn first_after(mut self, events: u64) -> Self {
        self.first_after = events;
        self
    }

    /// Sets after how many events the ratio is measured again. Defaults to 100,000.
    #[must_use]
    pub const fn look_every(mut self, events: u64) -> Self {
        self.look_every = events;
        self
    }

    /// Sets how much larger compressed events must get, relative to their JSON, before another
    /// dictionary is trained. Defaults to 0.05, which is 5 %.
    #[must_use]
    pub const fn worse_by(mut self, share: f64) -> Self {
        self.worse_by = share;
        self
    }

    /// Sets how many dictionaries the log may have. At the limit no other is trained until events
    /// that need the oldest have expired. Defaults to 8.
    #[must_use]
    pub const fn max_kept(mut self, dictionaries: usize) -> Self {
        self.max_kept = dictionaries;
        self
    }

    /// Sets the sizes to try, in bytes. Defaults to [`Trainer::SIZES`].
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
