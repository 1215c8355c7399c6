//! Writes the parts of an index that [`input`](super::input) reads.

use jetwash_event::PlcDid;

use super::commit_parts::CommitParts;
use super::input::{PLAIN, PLC};
use super::verdicts::Verdicts;

pub(super) fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn write_commit_parts(out: &mut Vec<u8>, parts: &CommitParts) {
    write_varint(out, parts.runs().len() as u64);
    let mut end = 0;
    for run in parts.runs() {
        for number in [run.first - end, run.count, run.part.index, run.part.len] {
            write_varint(out, number.into());
        }
        end = run.end();
    }
}

/// Writes the verdicts in the shorter of two forms: as a byte for each event behind a 0; or as the
/// number of runs and one more, the verdict that most events have, and the runs of the others. So a
/// block of one verdict takes two bytes, and no column takes more than a byte an event and one.
pub(super) fn write_verdicts(out: &mut Vec<u8>, verdicts: &Verdicts, events: usize) {
    let start = out.len();
    let (usual, runs) = verdicts.runs();
    write_varint(out, runs.len() as u64 + 1);
    out.push(usual);
    let mut end = 0;
    for run in &runs {
        write_varint(out, (run.first - end).into());
        write_varint(out, run.count.into());
        out.push(run.verdict);
        end = run.end();
    }
    if out.len() - start > events + 1 {
        out.truncate(start);
        write_varint(out, 0);
        out.extend((0..events).map(|event| verdicts.get(event)));
    }
}

pub(super) fn write_did(out: &mut Vec<u8>, did: &str) {
    match PlcDid::parse(did) {
        Some(did) => {
            out.push(PLC);
            out.extend_from_slice(&did.to_bytes());
        }
        None => {
            out.push(PLAIN);
            write_text(out, did);
        }
    }
}

pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::block::input::Input;

    /// Columns and their bytes, by hand from docs/store-format.md.
    fn by_hand() -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut few = vec![1; 512];
        few[100..103].fill(4);
        few[400] = 0x41;
        let in_turns = [0, 1, 2].repeat(4);
        vec![
            (vec![1; 512], vec![1, 1]),
            (few, vec![3, 1, 100, 3, 4, 0xa9, 2, 1, 0x41]),
            (in_turns.clone(), [&[0], &in_turns[..]].concat()),
            (vec![0, 0, 0, 0, 0, 1], vec![2, 0, 5, 1, 1]),
        ]
    }

    #[test]
    fn verdicts_are_written_and_read_as_the_format_says() {
        for (each, bytes) in by_hand() {
            let mut out = Vec::new();
            write_verdicts(&mut out, &Verdicts::new(each.clone()), each.len());
            assert_eq!(out, bytes);
            assert_eq!(read(&bytes, each.len()), Some(Verdicts::new(each)));
        }
    }

    #[test]
    fn damaged_verdicts_are_refused() {
        let damaged: [(&str, usize, &[u8]); 9] = [
            ("nothing", 4, &[]),
            ("no usual verdict", 4, &[1]),
            ("too few of them", 4, &[0, 1, 1, 1]),
            ("a run that is missing", 4, &[2, 1]),
            ("a run without its verdict", 4, &[2, 1, 0, 1]),
            ("an empty run", 4, &[2, 1, 0, 0, 4]),
            ("a run past the end", 4, &[2, 1, 1, 4, 4]),
            ("a run behind the end", 4, &[2, 1, 5, 1, 4]),
            (
                "more runs than there can be",
                4,
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1],
            ),
        ];
        for (what, events, bytes) in damaged {
            assert_eq!(read(bytes, events), None, "{what}");
        }
        // The longest run that a number can say, which must not overflow.
        let longest = [
            2, 1, 0xff, 0xff, 0xff, 0xff, 15, 0xff, 0xff, 0xff, 0xff, 15, 4,
        ];
        assert_eq!(read(&longest, 4), None);
    }

    proptest! {
        #[test]
        fn verdicts_take_up_to_a_byte_an_event_and_one(
            runs in prop::collection::vec((any::<u8>(), 1..9_usize), 1..90),
        ) {
            let runs = runs.into_iter().map(|(verdict, count)| vec![verdict % 3; count]);
            let each: Vec<u8> = runs.flatten().collect();
            let (events, verdicts, mut out) = (each.len(), Verdicts::new(each), Vec::new());
            write_verdicts(&mut out, &verdicts, events);
            prop_assert!(out.len() <= events + 1);
            prop_assert_eq!(read(&out, events), Some(verdicts));
        }
    }

    /// Reads a column that is all there is.
    fn read(bytes: &[u8], events: usize) -> Option<Verdicts> {
        let mut input = Input(bytes);
        let verdicts = input.verdicts(events).ok()?;
        input.0.is_empty().then_some(verdicts)
    }
}
