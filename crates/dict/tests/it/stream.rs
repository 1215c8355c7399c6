use std::io::Read;

use jetwash_dict::{StreamDecoder, StreamEncoder, StreamError};
use proptest::prelude::*;

use crate::{event, trained};

#[test]
fn each_piece_can_be_read_when_it_comes() {
    for dictionary in [None, Some(&trained(7))] {
        let mut encoder = StreamEncoder::new(dictionary).unwrap();
        let mut decoder = StreamDecoder::new(dictionary).unwrap();
        for event in (5000..5500).map(event) {
            let (mut piece, mut decoded) = (Vec::new(), Vec::new());
            encoder.encode(event.as_bytes(), &mut piece).unwrap();
            decoder.decode(&piece, event.len(), &mut decoded).unwrap();
            assert_eq!(decoded, event.as_bytes());
        }
    }
}

/// The pieces are what any zstd reads as one frame.
#[test]
fn the_pieces_are_one_frame_for_the_reference_decoder() {
    let mut encoder = StreamEncoder::new(None).unwrap();
    let (mut stream, mut expected) = (Vec::new(), Vec::new());
    for event in (0..100).map(event) {
        encoder.encode(event.as_bytes(), &mut stream).unwrap();
        expected.extend_from_slice(event.as_bytes());
    }
    let mut read = vec![0; expected.len()];
    let mut decoder = zstd::stream::read::Decoder::new(stream.as_slice()).unwrap();
    decoder.read_exact(&mut read).unwrap();
    assert_eq!(read, expected);
}

#[test]
fn a_stream_is_smaller_than_frames_of_its_events() {
    let dictionary = trained(7);
    let mut stream = StreamEncoder::new(Some(&dictionary)).unwrap();
    let mut single = dictionary.encoder();
    let (mut streamed, mut singles) = (Vec::new(), Vec::new());
    for event in (5000..6000).map(event) {
        stream.encode(event.as_bytes(), &mut streamed).unwrap();
        single.encode(event.as_bytes(), &mut singles).unwrap();
    }
    assert!(streamed.len() < singles.len());
}

#[test]
fn a_piece_beyond_the_limit_is_refused_without_the_memory() {
    let mut encoder = StreamEncoder::new(None).unwrap();
    let mut bomb = Vec::new();
    encoder.encode(&vec![0; 64 << 20], &mut bomb).unwrap();
    let mut decoder = StreamDecoder::new(None).unwrap();
    let mut out = Vec::new();
    let error = decoder.decode(&bomb, 1000, &mut out).unwrap_err();
    assert_eq!(error, StreamError::TooLarge { limit: 1000 });
    assert!(out.capacity() < 64 << 10);
}

#[test]
fn a_larger_window_than_ours_is_refused() {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    std::io::Write::write_all(&mut encoder, &vec![1; 1 << 20]).unwrap();
    let frame = encoder.finish().unwrap();
    let mut decoder = StreamDecoder::new(None).unwrap();
    let error = decoder
        .decode(&frame, 2 << 20, &mut Vec::new())
        .unwrap_err();
    assert!(error.to_string().contains("memory"), "{error}");
}

#[test]
fn a_missing_piece_is_noticed() {
    let dictionary = trained(7);
    let mut encoder = StreamEncoder::new(Some(&dictionary)).unwrap();
    let mut decoder = StreamDecoder::new(Some(&dictionary)).unwrap();
    let mut pieces = (0..3).map(event).map(|event| {
        let mut piece = Vec::new();
        encoder.encode(event.as_bytes(), &mut piece).unwrap();
        piece
    });
    let _lost = pieces.next();
    let piece = pieces.next().unwrap();
    assert!(decoder.decode(&piece, 1 << 20, &mut Vec::new()).is_err());
}

proptest! {
    #[test]
    fn anything_comes_back(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..20)) {
        let mut encoder = StreamEncoder::new(None).unwrap();
        let mut decoder = StreamDecoder::new(None).unwrap();
        for input in pieces {
            let (mut piece, mut decoded) = (Vec::new(), Vec::new());
            encoder.encode(&input, &mut piece).unwrap();
            decoder.decode(&piece, input.len(), &mut decoded).unwrap();
            prop_assert_eq!(decoded, input);
        }
    }

    #[test]
    fn anything_may_come_without_harm(input in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut decoder = StreamDecoder::new(None).unwrap();
        let mut out = Vec::new();
        let _ = decoder.decode(&input, 1000, &mut out);
        prop_assert!(out.len() <= 1000);
    }
}
