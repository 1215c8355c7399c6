use std::fmt;

use crate::dictionary::Dictionary;

/// How small a dictionary makes some events, each compressed by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evaluation {
    /// How many events there are.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their bytes when compressed.
    pub compressed: u64,
}

impl Evaluation {
    /// Compresses some events and measures the result.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_dict::{Dictionary, Evaluation};
    ///
    /// let event = |n| format!(r#"{{"did":"did:web:{n}.example","kind":"commit","operation":"create"}}"#);
    /// let events: Vec<_> = (0..1000).map(event).collect();
    /// let dictionary = Dictionary::train(&events, 1024, 70_000)?;
    /// let found = Evaluation::of(&dictionary, events.iter().map(String::as_bytes));
    /// assert_eq!(found.events, 1000);
    /// assert!(found.ratio() < 1.0);
    /// # Ok::<(), jetwash_dict::TrainError>(())
    /// ```
    pub fn of<'a>(dictionary: &Dictionary, events: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let (mut compressor, mut compressed) = (dictionary.compressor(), Vec::new());
        let mut sum = Self::default();
        for event in events {
            compressed.clear();
            // An event fails to compress only for lack of memory; it counts as it is.
            let length = compressor
                .compress(event, &mut compressed)
                .map_or(event.len(), |()| compressed.len());
            sum.events += 1;
            sum.bytes += event.len() as u64;
            sum.compressed += length as u64;
        }
        sum
    }

    /// Returns the compressed bytes divided by the others: below 1 is good; 1 if there are no
    /// events.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        if self.bytes == 0 {
            return 1.0;
        }
        self.compressed as f64 / self.bytes as f64
    }
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.3} ({} events, {} → {} bytes)",
            self.ratio(),
            self.events,
            self.bytes,
            self.compressed
        )
    }
}
