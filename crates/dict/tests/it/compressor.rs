//! Frames as others see them.

use jetwash_corpus::corpus;
use jetwash_dict::{Compressor, Dictionary, compressed_dictionary_id};
use zstd::zstd_safe::get_frame_content_size;

use crate::{event, trained};

#[test]
fn recorded_events_come_out_of_an_independent_decoder_unchanged() {
    let Some(corpus) = corpus("recorded events under the official dictionary") else {
        return;
    };
    let bytes = corpus.bytes("dictionaries/legacy_subscribe.zdict");
    let mut plain = zstd::bulk::Decompressor::with_dictionary(&bytes).unwrap();
    let mut compressor = Dictionary::from_bytes(bytes).unwrap().compressor();
    let (mut total, mut compressed) = (0, 0);
    for line in corpus.lines("firehose-2026-07-04/expected_v1.jsonl") {
        let mut frame = Vec::new();
        compressor.compress(line.as_bytes(), &mut frame).unwrap();
        assert_eq!(plain.decompress(&frame, 1 << 20).unwrap(), line.as_bytes());
        assert_eq!(compressed_dictionary_id(&frame), Some(1_612_007_021));
        total += line.len();
        compressed += frame.len();
    }
    assert!(compressed * 2 < total, "{compressed} of {total}");
}

#[test]
fn a_frame_has_its_size_and_number_and_no_checksum() {
    let dictionary = trained(7);
    for text in [String::new(), event(1), event(2).repeat(10)] {
        let mut frame = Vec::new();
        dictionary
            .compressor()
            .compress(text.as_bytes(), &mut frame)
            .unwrap();
        assert_eq!(
            get_frame_content_size(&frame).unwrap(),
            Some(text.len() as u64)
        );
        assert_eq!(compressed_dictionary_id(&frame), Some(7));
        // The third bit of the byte after the magic number says whether there is one.
        assert_eq!(frame[4] & 0b100, 0);
    }
}

#[test]
fn frames_are_appended_and_stand_alone() {
    let dictionary = trained(7);
    let mut compressor = dictionary.compressor();
    let (mut both, mut second) = (b"before".to_vec(), Vec::new());
    compressor.compress(event(1).as_bytes(), &mut both).unwrap();
    let middle = both.len();
    compressor.compress(event(2).as_bytes(), &mut both).unwrap();
    dictionary
        .compressor()
        .compress(event(2).as_bytes(), &mut second)
        .unwrap();
    assert_eq!(both[..6], *b"before");
    assert_eq!(both[middle..], second);
}

#[test]
fn a_room_large_enough_is_used_again() {
    let mut compressor = trained(7).compressor();
    let mut frame = Vec::with_capacity(4096);
    let address = frame.as_ptr();
    for number in 0..100 {
        frame.clear();
        compressor
            .compress(event(number).as_bytes(), &mut frame)
            .unwrap();
        assert_eq!(frame.as_ptr(), address);
    }
}

#[test]
fn other_levels_and_no_dictionary_work_too() {
    let dictionary = trained(7);
    let text = event(3);
    let mut frame = Vec::new();
    let mut thorough = dictionary.compressor_at_level(19).unwrap();
    thorough.compress(text.as_bytes(), &mut frame).unwrap();
    let mut plain = zstd::bulk::Decompressor::with_dictionary(dictionary.bytes()).unwrap();
    assert_eq!(plain.decompress(&frame, 1 << 20).unwrap(), text.as_bytes());

    frame.clear();
    Compressor::without_dictionary(3)
        .compress(text.as_bytes(), &mut frame)
        .unwrap();
    assert_eq!(compressed_dictionary_id(&frame), None);
    assert_eq!(
        zstd::bulk::decompress(&frame, 1 << 20).unwrap(),
        text.as_bytes()
    );
}
