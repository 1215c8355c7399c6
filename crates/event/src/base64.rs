//! Base64 as AT Protocol's JSON has it: not padded.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Appends `bytes` in base64.
pub(crate) fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    // Four digits for three bytes, the last group cut to what it needs.
    out.resize(start + (bytes.len() * 4).div_ceil(3), 0);
    let written = BASE64.encode_slice(bytes, &mut out[start..]);
    debug_assert!(
        written.is_ok(),
        "no room for {} bytes in base64",
        bytes.len()
    );
    out.truncate(start + written.unwrap_or(0));
}

/// Reads base64, or returns `None` if it is not valid.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    // Go's decoder passes over line ends.
    if text.contains(['\r', '\n']) {
        BASE64.decode(text.replace(['\r', '\n'], "")).ok()
    } else {
        BASE64.decode(text).ok()
    }
}

pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);
