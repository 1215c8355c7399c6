use std::fmt::Write as _;

use jetwash::Dictionary;
use jetwash::dict::Trainer;
use serde_json::json;

use super::arguments::InspectArguments;
use super::named::open;
use crate::exit::{Ended, Outcome};
use crate::output::{self, Table};

pub(super) fn run(arguments: &InspectArguments) -> Ended {
    let dictionary = open(&arguments.dictionary)?;
    let bytes = dictionary.bytes();
    let (id, hash) = (dictionary.id(), hash_of(&dictionary));
    let is_private = Trainer::IDS.contains(&id);
    let dids = occurrences(bytes, b"did:plc:", 24);
    let cids = occurrences(bytes, b"bafyrei", 52);
    let end = bytes
        .get(bytes.len().saturating_sub(END)..)
        .unwrap_or(bytes);
    let end = end.escape_ascii().to_string();
    if arguments.format.json {
        output::print_json(&json!({
            "id": id,
            "is_private": is_private,
            "bytes": bytes.len(),
            "sha256": hash,
            "is_official_v1": dictionary.is_official_v1(),
            "dids": dids,
            "cids": cids,
            "end": end,
        }))?;
        return Ok(Outcome::Well);
    }
    let mut table = Table::new(["number", &id.to_string()]);
    let range = match is_private {
        true => "private: anybody may use it",
        false => "reserved by RFC 8878",
    };
    table.row(["", range]);
    table.row(["bytes", &bytes.len().to_string()]);
    table.row(["sha256", &hash]);
    if dictionary.is_official_v1() {
        table.row(["", "the official one of Jetstream version 1"]);
    }
    table.row(["DIDs", &dids.to_string()]);
    table.row(["CIDs", &cids.to_string()]);
    table.row(["", "(in full; made-up ones too, where it was scrubbed)"]);
    table.print()?;
    output::print_line("the end, where what is used most should be:")?;
    output::print_line(&end)?;
    Ok(Outcome::Well)
}

fn hash_of(dictionary: &Dictionary) -> String {
    let mut hash = String::new();
    for byte in dictionary.sha256() {
        // Writing to a string does not fail.
        let _ = write!(hash, "{byte:02x}");
    }
    hash
}

/// Counts the places with this form: a start, and a number of letters and digits.
fn occurrences(bytes: &[u8], start: &[u8], length: usize) -> usize {
    let windows = bytes.windows(start.len() + length);
    let is_one = |window: &&[u8]| {
        let rest = window.strip_prefix(start);
        rest.is_some_and(|rest| rest.iter().all(u8::is_ascii_alphanumeric))
    };
    windows.filter(is_one).count()
}

/// How many bytes of the end are shown.
const END: usize = 800;

#[cfg(test)]
mod tests {
    use super::occurrences;

    #[test]
    fn only_identifiers_in_full_are_counted() {
        let text = b"did:plc:abc\"did:plc:xyz1\"did:plc:pqr";
        assert_eq!(occurrences(text, b"did:plc:", 3), 3);
        assert_eq!(occurrences(text, b"did:plc:", 4), 1);
    }
}
