use std::io::Read;

use jetwash_dict::{StreamCompressor, StreamDecompressor, StreamError};
use proptest::prelude::*;

use crate::{event, trained};

#[test]
fn each_piece_can_be_read_when_it_comes() {
    for dictionary in [None, Some(&trained(7))] {
        let mut compressor = StreamCompressor::new(dictionary).unwrap();
        let mut decompressor = StreamDecompressor::new(dictionary).unwrap();
        for event in (5000..5500).map(event) {
            let (mut piece, mut decompressed) = (Vec::new(), Vec::new());
            compressor.compress(event.as_bytes(), &mut piece).unwrap();
            decompressor
                .decompress(&piece, event.len(), &mut decompressed)
                .unwrap();
            assert_eq!(decompressed, event.as_bytes());
        }
    }
}

/// The pieces are what any zstd reads as one frame.
#[test]
fn the_pieces_are_one_frame_for_the_reference_decoder() {
    let mut compressor = StreamCompressor::new(None).unwrap();
    let (mut stream, mut expected) = (Vec::new(), Vec::new());
    for event in (0..100).map(event) {
        compressor.compress(event.as_bytes(), &mut stream).unwrap();
        expected.extend_from_slice(event.as_bytes());
    }
    let mut read = vec![0; expected.len()];
    let mut decompressor = zstd::stream::read::Decoder::new(stream.as_slice()).unwrap();
    decompressor.read_exact(&mut read).unwrap();
    assert_eq!(read, expected);
}

#[test]
fn a_stream_is_smaller_than_frames_of_its_events() {
    let dictionary = trained(7);
    let mut stream = StreamCompressor::new(Some(&dictionary)).unwrap();
    let mut single = dictionary.compressor();
    let (mut streamed, mut singles) = (Vec::new(), Vec::new());
    for event in (5000..6000).map(event) {
        stream.compress(event.as_bytes(), &mut streamed).unwrap();
        single.compress(event.as_bytes(), &mut singles).unwrap();
    }
    assert!(streamed.len() < singles.len());
}

#[test]
fn a_piece_beyond_the_limit_is_refused_without_the_memory() {
    let mut compressor = StreamCompressor::new(None).unwrap();
    let mut bomb = Vec::new();
    compressor.compress(&vec![0; 64 << 20], &mut bomb).unwrap();
    let mut decompressor = StreamDecompressor::new(None).unwrap();
    let mut out = Vec::new();
    let error = decompressor.decompress(&bomb, 1000, &mut out).unwrap_err();
    assert_eq!(error, StreamError::TooLarge { limit: 1000 });
    assert!(out.capacity() < 64 << 10);
}

#[test]
fn a_larger_window_than_ours_is_refused() {
    let mut compressor = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    compressor.window_log(27).unwrap();
    std::io::Write::write_all(&mut compressor, &vec![1; 1 << 20]).unwrap();
    let frame = compressor.finish().unwrap();
    let mut decompressor = StreamDecompressor::new(None).unwrap();
    let error = decompressor
        .decompress(&frame, 2 << 20, &mut Vec::new())
        .unwrap_err();
    assert!(error.to_string().contains("memory"), "{error}");
}

#[test]
fn a_missing_piece_is_noticed() {
    let dictionary = trained(7);
    let mut compressor = StreamCompressor::new(Some(&dictionary)).unwrap();
    let mut decompressor = StreamDecompressor::new(Some(&dictionary)).unwrap();
    let mut pieces = (0..3).map(event).map(|event| {
        let mut piece = Vec::new();
        compressor.compress(event.as_bytes(), &mut piece).unwrap();
        piece
    });
    let _lost = pieces.next();
    let piece = pieces.next().unwrap();
    assert!(
        decompressor
            .decompress(&piece, 1 << 20, &mut Vec::new())
            .is_err()
    );
}

proptest! {
    #[test]
    fn anything_comes_back(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..20)) {
        let mut compressor = StreamCompressor::new(None).unwrap();
        let mut decompressor = StreamDecompressor::new(None).unwrap();
        for input in pieces {
            let (mut piece, mut decompressed) = (Vec::new(), Vec::new());
            compressor.compress(&input, &mut piece).unwrap();
            decompressor.decompress(&piece, input.len(), &mut decompressed).unwrap();
            prop_assert_eq!(decompressed, input);
        }
    }

    #[test]
    fn anything_may_come_without_harm(input in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut decompressor = StreamDecompressor::new(None).unwrap();
        let mut out = Vec::new();
        let _ = decompressor.decompress(&input, 1000, &mut out);
        prop_assert!(out.len() <= 1000);
    }
}
