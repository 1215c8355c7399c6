//! Zstandard dictionaries for Jetstream events: trained, named, and applied once for all readers.
//!
//! An event is a few hundred bytes, too short for a compressor to learn anything from. A
//! [`Dictionary`] has learnt it before, from many. Both ends need the same one, so each has a
//! number, which stands in every frame made with it. Readers of version 1 carry one that never
//! changes ([`Dictionary::OFFICIAL_V1_ID`]); others can be trained: a [`Trainer`] samples events,
//! scrubs them of what is personal, and picks the size by what it does for accounts it has not seen.
//!
//! A dictionary is prepared once, when it is made. [`Compressor`]s and [`Decompressor`]s share what was
//! prepared; keep one per worker. Every event is a frame of its own: nothing carries over from
//! one to the next, so a frame made once serves all readers. A [`BatchCompressor`] makes one of
//! several, and a [`StreamCompressor`] one of all that a single reader gets.
//!
//! Nothing here knows of sockets, files or clocks: bytes are passed in.
//!
//! # Examples
//!
//! ```
//! use jetwash_dict::{Dictionary, compressed_dictionary_id};
//!
//! // In earnest, train with thousands of events.
//! let samples = (0..1000).map(|n| format!(r#"{{"did":"did:web:{n}.example","time_us":{n}}}"#));
//! let dictionary = Dictionary::train(samples, 1024, 20_261_122)?;
//!
//! let event = br#"{"did":"did:web:5000.example","time_us":5000}"#;
//! let mut frame = Vec::new();
//! dictionary.compressor().compress(event, &mut frame)?;
//! assert!(frame.len() < event.len());
//! assert_eq!(compressed_dictionary_id(&frame), Some(20_261_122));
//!
//! let mut decompressed = Vec::new();
//! dictionary.decompressor().decompress(&frame, 1 << 20, &mut decompressed)?;
//! assert_eq!(decompressed, event);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod compressor;
mod decompressor;
mod dictionary;
mod prepared;
mod random;
mod scrub;
mod stream;
mod trainer;

pub use batch::{BatchCompressor, BatchDecompressor, BatchError};
pub use compressor::{CompressError, Compressor};
pub use decompressor::{DecompressError, Decompressor, compressed_dictionary_id};
pub use dictionary::{Dictionary, DictionaryError, TrainError};
pub use stream::{StreamCompressor, StreamDecompressor, StreamError};
pub use trainer::{Candidate, Evaluation, Trained, Trainer};
