use std::sync::OnceLock;

use jetwash_dict::{
    BatchDecoder, BatchEncoder, BatchError, DecodeError, Decoder, Dictionary, Encoder,
};
use proptest::prelude::*;

use crate::{event, trained};

fn decoded(decoder: Decoder, frame: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, DecodeError> {
    let mut decoder = BatchDecoder::new(decoder);
    let events = decoder.decode(frame, limit)?;
    Ok(events.map(<[u8]>::to_vec).collect())
}

#[test]
fn events_come_back_in_their_order() {
    let dictionary = trained(7);
    let mut encoder = BatchEncoder::new(dictionary.encoder());
    for count in [1, 2, 16, 64] {
        let events: Vec<_> = (5000..5000 + count).map(event).collect();
        let mut frame = b"before".to_vec();
        let lines = events.iter().map(String::as_bytes);
        encoder.encode(lines, &mut frame).unwrap();
        let found = decoded(dictionary.decoder(), &frame[6..], 1 << 20).unwrap();
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
    let mut encoder = BatchEncoder::new(Encoder::without_dictionary(1));
    encoder.encode([&b"{}"[..], b"[1]"], &mut frame).unwrap();
    assert_eq!(zstd::decode_all(&frame[..]).unwrap(), b"{}\n[1]");
}

#[test]
fn what_is_no_line_is_refused() {
    let mut encoder = BatchEncoder::new(Encoder::without_dictionary(1));
    let mut frame = b"before".to_vec();
    assert_eq!(encoder.encode([], &mut frame), Err(BatchError::Empty));
    for bad in [&b""[..], b"a\nb", b"\n"] {
        assert_eq!(
            encoder.encode([b"{}", bad], &mut frame),
            Err(BatchError::Line)
        );
    }
    assert_eq!(frame, b"before");
}

#[test]
fn a_bomb_is_refused_before_it_is_unpacked() {
    let mut frame = Vec::new();
    let line = vec![b' '; 64 << 20];
    let mut encoder = BatchEncoder::new(Encoder::without_dictionary(1));
    encoder.encode([&line[..]], &mut frame).unwrap();
    assert!(frame.len() < 10_000);
    let error = decoded(Decoder::without_dictionary(), &frame, 1 << 20).unwrap_err();
    assert_eq!(error, DecodeError::TooLarge { limit: 1 << 20 });
}

#[test]
fn the_wrong_dictionary_and_a_cut_are_named() {
    let mut frame = Vec::new();
    let mut encoder = BatchEncoder::new(trained(7).encoder());
    encoder.encode([&b"{}"[..], b"{}"], &mut frame).unwrap();
    let error = decoded(trained(8).decoder(), &frame, 100).unwrap_err();
    assert_eq!(
        error,
        DecodeError::WrongDictionary {
            expected: Some(8),
            found: Some(7)
        }
    );
    let dictionary = trained(7);
    for length in 4..frame.len() {
        let error = decoded(dictionary.decoder(), &frame[..length], 100).unwrap_err();
        assert_eq!(error, DecodeError::Truncated);
    }
}

proptest! {
    #[test]
    fn any_lines_come_back(lines in prop::collection::vec("[^\n]{1,40}", 1..20)) {
        let mut frame = Vec::new();
        let mut encoder = BatchEncoder::new(Encoder::without_dictionary(1));
        encoder.encode(lines.iter().map(String::as_bytes), &mut frame).unwrap();
        let found = decoded(Decoder::without_dictionary(), &frame, 1 << 16).unwrap();
        let expected: Vec<_> = lines.into_iter().map(String::into_bytes).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_frame_does_no_harm(frame in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut framed = vec![0x28, 0xb5, 0x2f, 0xfd];
        framed.extend(frame);
        static DICTIONARY: OnceLock<Dictionary> = OnceLock::new();
        let dictionary = DICTIONARY.get_or_init(|| trained(7));
        for decoder in [Decoder::without_dictionary(), dictionary.decoder()] {
            let found = decoded(decoder, &framed, 1000);
            prop_assert!(found.is_err() || found.unwrap().iter().map(Vec::len).sum::<usize>() <= 1000);
        }
    }
}
