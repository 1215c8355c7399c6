//! Dictionaries: loading, naming, training.

use jetwash_corpus::corpus;
use jetwash_dict::{Dictionary, DictionaryError, TrainError, compressed_dictionary_id};

use crate::{event, trained};

#[test]
fn the_official_dictionaries_are_known_by_number_and_hash() {
    let Some(corpus) = corpus("the official dictionaries") else {
        return;
    };
    let v1 = Dictionary::from_bytes(corpus.bytes("dictionaries/legacy_subscribe.zdict")).unwrap();
    assert_eq!(v1.id(), 1_612_007_021);
    assert_eq!(v1.id(), Dictionary::OFFICIAL_V1_ID);
    assert_eq!(v1.bytes().len(), 112_640);
    assert!(v1.is_official_v1());

    let name = "dictionaries/subscribe_events_20260811.zdict";
    let v2 = Dictionary::from_bytes(corpus.bytes(name)).unwrap();
    assert_eq!(v2.id(), 20_260_811);
    assert_eq!(v2.sha256()[..4], [0xf6, 0x31, 0xa6, 0x89]);
    assert!(!v2.is_official_v1());
    assert_ne!(v1, v2);
}

#[test]
fn bytes_that_are_no_dictionary_are_refused() {
    let load = |bytes: &[u8]| Dictionary::from_bytes(bytes).unwrap_err();
    assert_eq!(load(b""), DictionaryError::Magic);
    assert_eq!(load(&[0x37, 0xa4, 0x30, 0xec]), DictionaryError::Magic);
    assert_eq!(load(&[0; 1000]), DictionaryError::Magic);
    let mut bytes = trained(7).bytes().to_vec();
    bytes[4..8].fill(0);
    assert_eq!(load(&bytes), DictionaryError::Id);
    let mut bytes = trained(7).bytes().to_vec();
    bytes[8..40].fill(0xff);
    assert_eq!(load(&bytes), DictionaryError::Tables);
    assert_eq!(load(&trained(7).bytes()[..20]), DictionaryError::Tables);
}

#[test]
fn a_trained_dictionary_has_the_number_it_was_given() {
    let dictionary = trained(20_261_122);
    assert_eq!(dictionary.id(), 20_261_122);
    assert_eq!(dictionary.bytes()[4..8], 20_261_122_u32.to_le_bytes());
    assert!(dictionary.bytes().len() <= 4096);
    let mut frame = Vec::new();
    dictionary
        .compressor()
        .compress(event(5).as_bytes(), &mut frame)
        .unwrap();
    assert_eq!(compressed_dictionary_id(&frame), Some(20_261_122));
    assert_eq!(trained(20_261_122), dictionary, "training is repeatable");
}

#[test]
fn a_trained_dictionary_compresses_better_than_none() {
    let dictionary = trained(7);
    let unseen = event(1_000_000);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    dictionary
        .compressor()
        .compress(unseen.as_bytes(), &mut with)
        .unwrap();
    jetwash_dict::Compressor::without_dictionary(1)
        .compress(unseen.as_bytes(), &mut without)
        .unwrap();
    assert!(
        with.len() * 2 < without.len(),
        "{} {}",
        with.len(),
        without.len()
    );
}

#[test]
fn training_without_enough_to_learn_from_says_so() {
    let error = Dictionary::train(["a", "b"], 4096, 7).unwrap_err();
    assert!(matches!(
        error,
        TrainError::Samples {
            count: 2,
            bytes: 2,
            ..
        }
    ));
    assert!(
        error.to_string().starts_with("2 samples, 2 bytes in all"),
        "{error}"
    );
    let nothing: [&str; 0] = [];
    assert!(Dictionary::train(nothing, 4096, 7).is_err());
    assert!(Dictionary::train((0..2_000).map(event), 0, 7).is_err());
    assert_eq!(
        Dictionary::train((0..2_000).map(event), 4096, 0).unwrap_err(),
        TrainError::Dictionary(DictionaryError::Id),
    );
}

#[test]
fn a_dictionary_trained_on_real_events_halves_others() {
    let Some(corpus) = corpus("a dictionary trained on real events") else {
        return;
    };
    let lines = corpus.lines("events/events_v1_from_repos.jsonl.zst");
    let samples = lines.iter().step_by(2);
    let dictionary = Dictionary::train(samples, 1 << 16, 20_261_122).unwrap();
    let (mut compressor, mut frames) = (dictionary.compressor(), Vec::new());
    let mut total = 0;
    for line in lines.iter().skip(1).step_by(2) {
        compressor.compress(line.as_bytes(), &mut frames).unwrap();
        total += line.len();
    }
    assert!(frames.len() * 2 < total, "{} of {total}", frames.len());
}

#[cfg(feature = "builtin")]
#[test]
fn the_one_that_comes_along_halves_the_lines_of_production() {
    let dictionary = Dictionary::builtin().unwrap();
    assert_eq!(dictionary.id(), 40_001);
    let Some(corpus) = corpus("production's lines") else {
        return;
    };
    let lines = corpus.lines("firehose-2026-07-04/expected_v1.jsonl");
    let mut frames = Vec::new();
    for line in &lines {
        dictionary
            .compressor()
            .compress(line.as_bytes(), &mut frames)
            .unwrap();
    }
    let ratio = frames.len() as f64 / lines.iter().map(String::len).sum::<usize>() as f64;
    assert!(ratio < 0.4, "{ratio}");
}
