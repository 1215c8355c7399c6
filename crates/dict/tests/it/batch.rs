use std::sync::OnceLock;

use jetwash_dict::{
    BatchCompressor, BatchDecompressor, BatchError, Compressor, DecompressError, Decompressor,
    Dictionary,
};
use proptest::prelude::*;

use crate::{event, trained};

fn decompressed(
    decompressor: Decompressor,
    frame: &[u8],
    limit: usize,
) -> Result<Vec<Vec<u8>>, DecompressError> {
    let mut decompressor = BatchDecompressor::new(decompressor);
    let events = decompressor.decompress(frame, limit)?;
    Ok(events.map(<[u8]>::to_vec).collect())
}

#[test]
fn events_come_back_in_their_order() {
    let dictionary = trained(7);
    let mut compressor = BatchCompressor::new(dictionary.compressor());
    for count in [1, 2, 16, 64] {
        let events: Vec<_> = (5000..5000 + count).map(event).collect();
        let mut frame = b"before".to_vec();
        let lines = events.iter().map(String::as_bytes);
        compressor.compress(lines, &mut frame).unwrap();
        let found = decompressed(dictionary.decompressor(), &frame[6..], 1 << 20).unwrap();
        assert_eq!(
            found,
            events
                .iter()
                .map(|event| event.as_bytes().to_vec())
                .collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_batch_is_lines_for_the_reference_decoder() {
    let mut frame = Vec::new();
    let mut compressor = BatchCompressor::new(Compressor::without_dictionary(1));
    compressor
        .compress([&b"{}"[..], b"[1]"], &mut frame)
        .unwrap();
    assert_eq!(zstd::decode_all(&frame[..]).unwrap(), b"{}\n[1]");
}

#[test]
fn what_is_no_line_is_refused() {
    let mut compressor = BatchCompressor::new(Compressor::without_dictionary(1));
    let mut frame = b"before".to_vec();
    assert_eq!(compressor.compress([], &mut frame), Err(BatchError::Empty));
    for bad in [&b""[..], b"a\nb", b"\n"] {
        assert_eq!(
            compressor.compress([b"{}", bad], &mut frame),
            Err(BatchError::Line)
        );
    }
    assert_eq!(frame, b"before");
}

#[test]
fn a_bomb_is_refused_before_it_is_unpacked() {
    let mut frame = Vec::new();
    let line = vec![b' '; 64 << 20];
    let mut compressor = BatchCompressor::new(Compressor::without_dictionary(1));
    compressor.compress([&line[..]], &mut frame).unwrap();
    assert!(frame.len() < 10_000);
    let error = decompressed(Decompressor::without_dictionary(), &frame, 1 << 20).unwrap_err();
    assert_eq!(error, DecompressError::TooLarge { limit: 1 << 20 });
}

#[test]
fn the_wrong_dictionary_and_a_cut_are_named() {
    let mut frame = Vec::new();
    let mut compressor = BatchCompressor::new(trained(7).compressor());
    compressor
        .compress([&b"{}"[..], b"{}"], &mut frame)
        .unwrap();
    let error = decompressed(trained(8).decompressor(), &frame, 100).unwrap_err();
    assert_eq!(
        error,
        DecompressError::WrongDictionary {
            expected: Some(8),
            found: Some(7)
        }
    );
    let dictionary = trained(7);
    for length in 4..frame.len() {
        let error = decompressed(dictionary.decompressor(), &frame[..length], 100).unwrap_err();
        assert_eq!(error, DecompressError::Truncated);
    }
}

proptest! {
    #[test]
    fn any_lines_come_back(lines in prop::collection::vec("[^\n]{1,40}", 1..20)) {
        let mut frame = Vec::new();
        let mut compressor = BatchCompressor::new(Compressor::without_dictionary(1));
        compressor.compress(lines.iter().map(String::as_bytes), &mut frame).unwrap();
        let found = decompressed(Decompressor::without_dictionary(), &frame, 1 << 16).unwrap();
        let expected: Vec<_> = lines.into_iter().map(String::into_bytes).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_frame_does_no_harm(frame in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut framed = vec![0x28, 0xb5, 0x2f, 0xfd];
        framed.extend(frame);
        static DICTIONARY: OnceLock<Dictionary> = OnceLock::new();
        let dictionary = DICTIONARY.get_or_init(|| trained(7));
        for decompressor in [Decompressor::without_dictionary(), dictionary.decompressor()] {
            let found = decompressed(decompressor, &framed, 1000);
            prop_assert!(found.is_err() || found.unwrap().iter().map(Vec::len).sum::<usize>() <= 1000);
        }
    }
}
