use std::error::Error;
use std::path::Path;

use jetwash::Dictionary;

use crate::dictionary;

/// Reads a dictionary from a file, or takes one of those that come along.
pub(super) fn open(name: &Path) -> Result<Dictionary, Box<dyn Error>> {
    Ok(match name.to_str() {
        Some("builtin") => Dictionary::builtin()?,
        Some("builtin-binary") => Dictionary::builtin_binary()?,
        _ => dictionary::read(name)?,
    })
}
