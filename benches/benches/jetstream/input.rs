//! Recorded events in both versions, and copies of them that are news.

use jetwash::Dictionary;
use jetwash_client::Protocol;
use jetwash_corpus::Corpus;

/// The recorded events.
pub(crate) struct Input {
    pub(crate) v1: Version,
    pub(crate) v2: Version,
}

/// The recorded events as one version of the wire has them, and its official dictionary.
pub(crate) struct Version {
    pub(crate) name: &'static str,
    pub(crate) protocol: Protocol,
    pub(crate) lines: Vec<String>,
    pub(crate) dictionary: Dictionary,
}

impl Input {
    pub(crate) fn read(corpus: &Corpus) -> Self {
        let version = |name, protocol, file: &str, dictionary: &str| Version {
            name,
            protocol,
            lines: corpus.lines(&format!("firehose-2026-07-04/{file}.jsonl")),
            dictionary: Dictionary::from_bytes(
                corpus.bytes(&format!("dictionaries/{dictionary}.zdict")),
            )
            .unwrap(),
        };
        Self {
            v1: version("version 1", Protocol::V1, "expected_v1", "legacy_subscribe"),
            v2: version(
                "version 2",
                Protocol::V2,
                "expected_v2",
                "subscribe_events_20260811",
            ),
        }
    }
}

impl Version {
    /// The events many times over. Each copy is of other accounts for the first `accounts` copies,
    /// then of the same ones under later revisions, and all have times and positions of their own.
    pub(crate) fn copies(&self, copies: usize, accounts: usize) -> Vec<Vec<u8>> {
        let mut messages = Vec::with_capacity(copies * self.lines.len());
        for copy in 0..copies {
            for (index, line) in self.lines.iter().enumerate() {
                let number = copy * self.lines.len() + index;
                let mut line = match self.protocol {
                    Protocol::V1 => replace(line, "\"time_us\":", 1_783_175_887_000_000 + number),
                    _ => replace(line, "\"seq\":", 1 + number),
                }
                .into_bytes();
                rename(&mut line, copy % accounts);
                renew(&mut line, copy as u64 + 1);
                messages.push(line);
            }
        }
        messages
    }
}

/// Replaces the last number that follows a name: the server's own, as version 2 has another
/// before it in some events.
fn replace(line: &str, name: &str, number: usize) -> String {
    let start = line.rfind(name).unwrap() + name.len();
    let digits = line[start..].bytes().take_while(u8::is_ascii_digit).count();
    format!("{}{number}{}", &line[..start], &line[start + digits..])
}

/// Changes the end of the account's DID.
fn rename(line: &mut [u8], number: usize) {
    let text = str::from_utf8(line).unwrap();
    let Some(at) = text.find("\"did\":\"did:plc:") else {
        return;
    };
    let start = at + "\"did\":\"did:plc:".len() + 20;
    for (place, shift) in line[start..start + 3].iter_mut().zip([10, 5, 0]) {
        *place = DIGITS[number >> shift & 31];
    }
}

/// Makes the revision later.
fn renew(line: &mut [u8], by: u64) {
    let text = str::from_utf8(line).unwrap();
    let Some(at) = text.rfind("\"rev\":\"") else {
        return;
    };
    let start = at + "\"rev\":\"".len();
    let digit = |byte: &u8| DIGITS.iter().position(|digit| digit == byte).unwrap() as u64;
    let number = line[start..start + 13]
        .iter()
        .fold(0, |number, byte| number << 5 | digit(byte));
    // A second later, each time.
    let number = number + by * (1_000_000 << 10);
    for (index, place) in line[start..start + 13].iter_mut().enumerate() {
        *place = DIGITS[(number >> (5 * (12 - index))) as usize & 31];
    }
}

const DIGITS: &[u8; 32] = b"234567abcdefghijklmnopqrstuvwxyz";
