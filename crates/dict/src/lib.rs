//! Zstandard dictionaries for Jetstream events: trained, named, and applied once for all readers.
//!
//! An event is a few hundred bytes, too short for a compressor to learn anything from. A
//! [`Dictionary`] has learnt it before, from many. Both ends need the same one, so each has a
//! number, which stands in every event compressed with it. Readers of version 1 carry one that
//! never changes ([`Dictionary::OFFICIAL_V1_ID`]); others can be trained: a [`Trainer`] samples
//! events, scrubs them of personal data, and picks the size that works best for accounts it has not
//! seen.
//!
//! A dictionary is prepared once, when it is made. [`Compressor`]s and [`Decompressor`]s share what
//! was prepared; keep one per worker. Every event is compressed by itself: nothing carries over
//! from one to the next, so an event compressed once serves all readers. A [`BatchCompressor`]
//! compresses several together, and a [`StreamCompressor`] all that a single reader gets.
//!
//! The crate has no sockets, files or clocks: bytes are passed in.
//!
//! # Examples
//!
//! ```
//! use jetwash_dict::{Dictionary, compressed_dictionary_id};
//!
//! // A real dictionary needs tens of thousands of events.
//! let samples = (0..1000).map(|n| format!(r#"{{"did":"did:web:{n}.example","time_us":{n}}}"#));
//! let dictionary = Dictionary::train(samples, 1024, 20_261_122)?;
//!
//! let event = br#"{"did":"did:web:5000.example","time_us":5000}"#;
//! let mut compressed = Vec::new();
//! dictionary.compressor().compress(event, &mut compressed)?;
//! assert!(compressed.len() < event.len());
//! assert_eq!(compressed_dictionary_id(&compressed), Some(20_261_122));
//!
//! let mut decompressed = Vec::new();
//! dictionary.decompressor().decompress(&compressed, 1 << 20, &mut decompressed)?;
//! assert_eq!(decompressed, event);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod compressor;
mod decompressor;
mod dictionary;
mod evaluation;
mod prepared;
mod random;
mod scrub;
mod stream;
mod trained;
mod trainer;

pub use batch::{BatchCompressor, BatchDecompressor, BatchError};
pub use compressor::{CompressError, Compressor};
pub use decompressor::{DecompressError, Decompressor, compressed_dictionary_id};
pub use dictionary::{Dictionary, DictionaryError, TrainError};
pub use evaluation::Evaluation;
pub use stream::{StreamCompressor, StreamDecompressor, StreamError};
pub use trained::{Candidate, Trained};
pub use trainer::Trainer;
