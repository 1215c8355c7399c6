//! The messages of version 2, made from the lines of the log.

use std::time::Duration;

use jetwash::Dictionary;
use jetwash::event::{BinaryEncoder, V2Encoder};
use jetwash_benches::Table;
use zstd::zstd_safe::{CCtx, CParameter, Strategy};

use crate::input::Input;

/// Prints what each step of the way costs for one event.
pub(crate) fn measure(input: &Input) {
    let lines = input.v1.copies(COPIES, COPIES);
    let messages = input.v2.copies(COPIES, COPIES);
    let mut v1_compressor = input.v1.dictionary.compressor();
    let stored: Vec<Vec<u8>> = lines
        .iter()
        .map(|line| {
            let mut bytes = Vec::new();
            v1_compressor.compress(line, &mut bytes).unwrap();
            bytes
        })
        .collect();
    let mut decompressor = input.v1.dictionary.decompressor();
    let mut compressor = input.v2.dictionary.compressor();
    let mut encoder = V2Encoder::new();
    let (mut one, mut two, mut three, mut four, mut five) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let _ = Table::new("out, for one event", lines.len())
        .row("copy the line of version 1", || {
            one.clear();
            lines.iter().for_each(|line| one.extend_from_slice(line));
            one.len()
        })
        .row("copy the message of version 2", || {
            two.clear();
            messages.iter().for_each(|it| two.extend_from_slice(it));
            two.len()
        })
        .row("make the message from the line", || {
            three.clear();
            for (seq, line) in lines.iter().enumerate() {
                encoder.encode(line, seq as u64, &mut three).unwrap();
            }
            three.len()
        })
        .row("decompress the line", || {
            four.clear();
            for bytes in &stored {
                decompressor.decompress(bytes, LIMIT, &mut four).unwrap();
            }
            four.len()
        })
        .row("compress the message", || {
            five.clear();
            for message in &messages {
                compressor.compress(message, &mut five).unwrap();
            }
            five.len()
        })
        .run(Duration::from_secs(6));
    other_shapes(&lines, &input.v1.dictionary);
    variants(&messages, input.v2.dictionary.bytes());
}

/// Prints what binary events and batches cost, for one event.
fn other_shapes(lines: &[Vec<u8>], dictionary: &Dictionary) {
    let texts: Vec<&str> = lines.iter().map(|it| str::from_utf8(it).unwrap()).collect();
    let mut encoder = BinaryEncoder::new();
    let binary: Vec<Vec<u8>> = texts
        .iter()
        .map(|line| {
            let mut bytes = Vec::new();
            encoder.encode(line, &mut bytes).unwrap();
            bytes
        })
        .collect();
    let batches: Vec<Vec<u8>> = lines.chunks(BATCH).map(|it| it.join(&b'\n')).collect();
    let binary_batches: Vec<Vec<u8>> = binary.chunks(BATCH).map(<[_]>::concat).collect();
    let mut compressor = dictionary.compressor();
    let mut binary_compressor = Dictionary::builtin_binary().unwrap().compressor();
    let (mut one, mut two, mut three, mut four) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let _ = Table::new("other shapes, for one event", lines.len())
        .row("make the binary event from the line", || {
            one.clear();
            for line in &texts {
                encoder.encode(line, &mut one).unwrap();
            }
            one.len()
        })
        .row("compress the binary event", || {
            two.clear();
            for event in &binary {
                binary_compressor.compress(event, &mut two).unwrap();
            }
            two.len()
        })
        .row("compress lines in batches of 64", || {
            three.clear();
            for batch in &batches {
                compressor.compress(batch, &mut three).unwrap();
            }
            three.len()
        })
        .row("join binary events in batches of 64", || {
            four.clear();
            for batch in &binary_batches {
                four.extend_from_slice(batch);
            }
            four.len()
        })
        .run(Duration::from_secs(6));
}

/// Size and time of other parameters of zstd.
fn variants(messages: &[Vec<u8>], dictionary: &[u8]) {
    let plain: usize = messages.iter().map(Vec::len).sum();
    let contexts: Vec<(&'static str, CCtx<'static>)> = VARIANTS
        .iter()
        .map(|&(name, level, strategy, min_match, hash_log, target)| {
            let mut context = CCtx::create();
            let mut set = |parameter| {
                context.set_parameter(parameter).unwrap();
            };
            set(CParameter::CompressionLevel(level));
            if let Some(strategy) = strategy {
                set(CParameter::Strategy(strategy));
            }
            if min_match > 0 {
                set(CParameter::MinMatch(min_match));
            }
            if hash_log > 0 {
                set(CParameter::HashLog(hash_log));
            }
            if target > 0 {
                set(CParameter::TargetLength(target));
            }
            context.load_dictionary(dictionary).unwrap();
            (name, context)
        })
        .collect();
    let sizes: Vec<std::cell::Cell<usize>> = VARIANTS.iter().map(|_| 0.into()).collect();
    let mut table = Table::new("compress the message, by parameters", messages.len());
    for ((name, mut context), size) in contexts.into_iter().zip(&sizes) {
        let mut out = vec![0; 1 << 20];
        table = table.row(name, move || {
            let written = messages
                .iter()
                .map(|message| context.compress2(&mut out[..], message).unwrap());
            size.set(written.sum());
        });
    }
    let _ = table.run(Duration::from_secs(10));
    for (size, variant) in sizes.iter().zip(VARIANTS) {
        println!("{:<44} {:.4}", variant.0, size.get() as f64 / plain as f64);
    }
}

type Variant = (&'static str, i32, Option<Strategy>, u32, u32, u32);

const FAST: Option<Strategy> = Some(Strategy::ZSTD_fast);
const VARIANTS: [Variant; 12] = [
    ("level 1", 1, None, 0, 0, 0),
    ("fast, match 6, hash 12 (ours)", 1, FAST, 6, 12, 0),
    ("fast, match 6, hash 11", 1, FAST, 6, 11, 0),
    ("fast, match 6, hash 13", 1, FAST, 6, 13, 0),
    ("fast, match 6, hash 14", 1, FAST, 6, 14, 0),
    ("fast, match 7, hash 12", 1, FAST, 7, 12, 0),
    ("fast, match 5, hash 12", 1, FAST, 5, 12, 0),
    ("fast, match 6, hash 12, target 2", 1, FAST, 6, 12, 2),
    ("fast, match 6, hash 12, target 4", 1, FAST, 6, 12, 4),
    ("fast, match 6, hash 12, target 8", 1, FAST, 6, 12, 8),
    ("level -1", -1, None, 0, 0, 0),
    ("level -5", -5, None, 0, 0, 0),
];
const COPIES: usize = 20;
/// Events of a batch.
const BATCH: usize = 64;
const LIMIT: usize = 1 << 20;
