//! Frames of others, well-meant and not.

use jetwash_corpus::corpus;
use jetwash_dict::{
    Compressor, DecompressError, Decompressor, Dictionary, compressed_dictionary_id,
};
use proptest::prelude::*;
use zstd::stream::raw::CParameter;

use crate::{event, trained};

const LIMIT: usize = 1 << 20;

fn decompress(
    decompressor: &mut Decompressor,
    frame: &[u8],
    limit: usize,
) -> Result<Vec<u8>, DecompressError> {
    let mut out = b"before".to_vec();
    let result = decompressor.decompress(frame, limit, &mut out);
    let decompressed = out.split_off(6);
    assert_eq!(out, b"before");
    if result.is_err() {
        assert!(decompressed.is_empty(), "something was left behind");
    }
    result.map(|()| decompressed)
}

/// A frame as a streaming compressor makes it: without the size, with a window and a checksum.
fn frame_without_size(dictionary: Option<&Dictionary>, text: &[u8]) -> Vec<u8> {
    let bytes = dictionary.map_or(&[][..], Dictionary::bytes);
    let mut compressor = zstd::bulk::Compressor::with_dictionary(1, bytes).unwrap();
    compressor
        .set_parameter(CParameter::ContentSizeFlag(false))
        .unwrap();
    compressor
        .set_parameter(CParameter::ChecksumFlag(true))
        .unwrap();
    compressor.set_parameter(CParameter::WindowLog(17)).unwrap();
    let frame = compressor.compress(text).unwrap();
    assert_eq!(
        zstd::zstd_safe::get_frame_content_size(&frame).unwrap(),
        None
    );
    frame
}

#[test]
fn what_was_encoded_is_decoded() {
    let dictionary = trained(7);
    let (mut compressor, mut decompressor) = (dictionary.compressor(), dictionary.decompressor());
    for text in [String::new(), event(1), event(2).repeat(500)] {
        let mut frame = Vec::new();
        compressor.compress(text.as_bytes(), &mut frame).unwrap();
        assert_eq!(
            decompress(&mut decompressor, &frame, LIMIT).unwrap(),
            text.as_bytes()
        );
    }
}

#[test]
fn a_frame_need_not_say_how_long_its_content_is() {
    let dictionary = trained(7);
    let mut decompressor = dictionary.decompressor();
    for length in [0, 1, 200, 512, 513, 5_000, 300_000] {
        let text = event(1).repeat(length / 100 + 1).into_bytes();
        let text = &text[..length];
        let frame = frame_without_size(Some(&dictionary), text);
        assert_eq!(decompress(&mut decompressor, &frame, LIMIT).unwrap(), text);
        // The limit is what the content has, not what room it was given.
        assert_eq!(decompress(&mut decompressor, &frame, length).unwrap(), text);
        if let Some(limit) = length.checked_sub(1) {
            let error = decompress(&mut decompressor, &frame, limit).unwrap_err();
            assert_eq!(error, DecompressError::TooLarge { limit });
        }
    }
}

#[test]
fn the_limit_is_exact_for_a_frame_that_says_its_size() {
    let mut frame = Vec::new();
    Compressor::without_dictionary(1)
        .compress(&[7; 1000], &mut frame)
        .unwrap();
    let mut decompressor = Decompressor::without_dictionary();
    assert_eq!(
        decompress(&mut decompressor, &frame, 1000).unwrap(),
        [7; 1000]
    );
    assert_eq!(
        decompress(&mut decompressor, &frame, 999),
        Err(DecompressError::TooLarge { limit: 999 })
    );
}

#[test]
fn a_wrong_dictionary_is_named_with_the_right_one() {
    let mut frame = Vec::new();
    trained(7)
        .compressor()
        .compress(event(1).as_bytes(), &mut frame)
        .unwrap();
    let error = decompress(&mut trained(8).decompressor(), &frame, LIMIT).unwrap_err();
    assert_eq!(
        error,
        DecompressError::WrongDictionary {
            expected: Some(8),
            found: Some(7)
        }
    );
    assert_eq!(
        error.to_string(),
        "the frame was made with dictionary 7, but is read with dictionary 8"
    );
    let error = decompress(&mut Decompressor::without_dictionary(), &frame, LIMIT).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the frame was made with dictionary 7, but is read with no dictionary"
    );
    frame.clear();
    Compressor::without_dictionary(1)
        .compress(b"text", &mut frame)
        .unwrap();
    let error = decompress(&mut trained(8).decompressor(), &frame, LIMIT).unwrap_err();
    assert!(matches!(
        error,
        DecompressError::WrongDictionary { found: None, .. }
    ));
}

#[test]
fn a_frame_that_claims_too_much_costs_no_memory() {
    // One segment, no dictionary, and a size of 8 bytes: 2^62.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xe0];
    frame.extend_from_slice(&(1_u64 << 62).to_le_bytes());
    // The last block, of one byte to be repeated 2^20 times.
    frame.extend_from_slice(&[0x03, 0x00, 0x80, b'x']);
    let mut out = Vec::new();
    let error = Decompressor::without_dictionary().decompress(&frame, LIMIT, &mut out);
    assert_eq!(error, Err(DecompressError::TooLarge { limit: LIMIT }));
    assert_eq!(out.capacity(), 0);
}

#[test]
fn a_bomb_is_stopped_at_the_limit() {
    for frame in [
        frame_without_size(None, &vec![0; 1 << 26]),
        zstd::bulk::compress(&vec![0; 1 << 26], 1).unwrap(),
    ] {
        assert!(frame.len() < 10_000);
        let mut out = Vec::new();
        let error = Decompressor::without_dictionary().decompress(&frame, 10_000, &mut out);
        assert_eq!(error, Err(DecompressError::TooLarge { limit: 10_000 }));
        assert!(out.capacity() <= 20_000, "{}", out.capacity());
    }
}

#[test]
fn a_frame_cut_short_anywhere_is_refused() {
    let dictionary = trained(7);
    let mut decompressor = dictionary.decompressor();
    let mut frame = Vec::new();
    dictionary
        .compressor()
        .compress(event(1).as_bytes(), &mut frame)
        .unwrap();
    for frame in [
        frame,
        frame_without_size(Some(&dictionary), event(1).as_bytes()),
    ] {
        for length in 0..frame.len() {
            let error = decompress(&mut decompressor, &frame[..length], LIMIT).unwrap_err();
            assert_eq!(error, DecompressError::Truncated, "{length} bytes");
        }
    }
}

#[test]
fn what_is_not_one_frame_is_refused() {
    let mut decompressor = Decompressor::without_dictionary();
    assert_eq!(
        decompress(&mut decompressor, b"{\"did\":1}", LIMIT),
        Err(DecompressError::Magic)
    );
    // A frame to be skipped is a frame to zstd, but holds no event.
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, b'x'];
    assert_eq!(
        decompress(&mut decompressor, &skippable, LIMIT),
        Err(DecompressError::Magic)
    );
    let mut frame = Vec::new();
    Compressor::without_dictionary(1)
        .compress(b"text", &mut frame)
        .unwrap();
    let length = frame.len();
    frame.push(0);
    assert_eq!(
        decompress(&mut decompressor, &frame, LIMIT),
        Err(DecompressError::Trailing { length })
    );
    frame.pop();
    frame.extend_from_within(..);
    assert_eq!(
        decompress(&mut decompressor, &frame, LIMIT),
        Err(DecompressError::Trailing { length })
    );
}

#[test]
fn a_damaged_checksum_is_noticed() {
    let mut frame = frame_without_size(None, event(1).as_bytes());
    *frame.last_mut().unwrap() ^= 1;
    let error = decompress(&mut Decompressor::without_dictionary(), &frame, LIMIT).unwrap_err();
    assert!(matches!(error, DecompressError::Corrupt { .. }), "{error}");
}

#[test]
fn a_decoder_is_none_the_worse_for_an_error() {
    let dictionary = trained(7);
    let mut decompressor = dictionary.decompressor();
    let mut frame = Vec::new();
    dictionary
        .compressor()
        .compress(event(1).as_bytes(), &mut frame)
        .unwrap();
    for position in 0..frame.len() {
        let mut damaged = frame.clone();
        damaged[position] ^= 0x55;
        let _ = decompress(&mut decompressor, &damaged, LIMIT);
        assert_eq!(
            decompress(&mut decompressor, &frame, LIMIT).unwrap(),
            event(1).as_bytes()
        );
    }
}

#[test]
fn the_number_of_a_frame_can_be_read_from_its_head() {
    let mut frame = Vec::new();
    trained(1 << 31)
        .compressor()
        .compress(event(1).as_bytes(), &mut frame)
        .unwrap();
    assert_eq!(compressed_dictionary_id(&frame[..16]), Some(1 << 31));
    assert_eq!(compressed_dictionary_id(&frame[..3]), None);
    assert_eq!(compressed_dictionary_id(b"something else"), None);
}

#[test]
fn frames_as_production_makes_them_are_decoded() {
    let Some(corpus) = corpus("frames without a size under the official dictionary") else {
        return;
    };
    let bytes = corpus.bytes("dictionaries/legacy_subscribe.zdict");
    let dictionary = Dictionary::from_bytes(bytes).unwrap();
    let mut decompressor = dictionary.decompressor();
    for line in corpus.lines("firehose-2026-07-04/expected_v1.jsonl") {
        let frame = frame_without_size(Some(&dictionary), line.as_bytes());
        assert_eq!(
            decompress(&mut decompressor, &frame, LIMIT).unwrap(),
            line.as_bytes()
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_round_trip(text in prop::collection::vec(any::<u8>(), 0..5_000)) {
        let mut frame = Vec::new();
        Compressor::without_dictionary(1).compress(&text, &mut frame).unwrap();
        let decompressed = decompress(&mut Decompressor::without_dictionary(), &frame, LIMIT);
        prop_assert_eq!(decompressed, Ok(text));
    }

    #[test]
    fn damage_gives_an_error_or_no_more_than_the_limit(
        text in "[a-d]{0,300}",
        position in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut frame = Vec::new();
        Compressor::without_dictionary(1).compress(text.as_bytes(), &mut frame).unwrap();
        let position = position.index(frame.len());
        frame[position] = byte;
        let mut out = Vec::new();
        if Decompressor::without_dictionary().decompress(&frame, 1_000, &mut out).is_ok() {
            prop_assert!(out.len() <= 1_000);
        }
        prop_assert!(out.capacity() <= 2_000);
    }
}

#[test]
fn several_frames_are_decoded_at_once() {
    let dictionary = trained(7);
    let events: Vec<String> = (0..300).map(event).collect();
    let whole = events.concat();
    let (mut frames, mut compressor) = (Vec::new(), dictionary.compressor());
    for event in &events {
        compressor.compress(event.as_bytes(), &mut frames).unwrap();
    }
    let mut decompressor = dictionary.decompressor();
    let mut out = b"what was there before".to_vec();
    decompressor
        .decompress_all(&frames, whole.len(), &mut out)
        .unwrap();
    assert_eq!(out, whole.as_bytes());

    let mut fails = |frames: &[u8], length| {
        let error = decompressor
            .decompress_all(frames, length, &mut out)
            .unwrap_err();
        assert!(out.is_empty());
        error
    };
    let limit = whole.len() - 1;
    assert_eq!(fails(&frames, limit), DecompressError::TooLarge { limit });
    assert_eq!(fails(&frames, whole.len() + 1), DecompressError::Truncated);
    assert_eq!(
        fails(&frames[..frames.len() - 1], whole.len()),
        DecompressError::Truncated
    );
    assert!(matches!(
        fails(&frames[1..], whole.len()),
        DecompressError::Corrupt { .. }
    ));
}
