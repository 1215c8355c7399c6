//! Zstandard dictionaries for Jetstream events: trained, named, and applied once for all readers.
