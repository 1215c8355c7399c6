//! Bytes that nobody meant as a frame: an error at most, never a panic.

use jetwash_frame::{Car, Frame, peek};
use proptest::prelude::*;

use crate::commit_frame;

fn read_all(bytes: &[u8]) {
    let _ = peek(bytes);
    if let Ok(Frame::Commit(commit)) = Frame::decode(bytes)
        && let Ok(car) = Car::parse(commit.blocks)
    {
        for block in car.blocks().flatten() {
            let _ = block.verify();
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read_all(&bytes);
        let _ = Car::parse(&bytes).map(|car| car.blocks().count());
    }

    #[test]
    fn changed_bytes_never_panic(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut frame = commit_frame(|_| {});
        let at = at.index(frame.len());
        frame[at] = to;
        read_all(&frame);
    }

    /// A frame that ends early is always an error, wherever it ends.
    #[test]
    fn a_cut_frame_is_refused(at in any::<prop::sample::Index>()) {
        let frame = commit_frame(|_| {});
        prop_assert!(Frame::decode(&frame[..at.index(frame.len())]).is_err());
    }

    /// What peek says of a frame that decodes is what the decode says.
    #[test]
    fn peek_agrees_with_decode(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut frame = commit_frame(|_| {});
        let at = at.index(frame.len());
        frame[at] = to;
        if let Ok(Frame::Commit(commit)) = Frame::decode(&frame) {
            let peeked = peek(&frame).unwrap();
            prop_assert_eq!((peeked.seq, peeked.did), (Some(commit.seq), Some(commit.repo)));
        }
    }
}

#[test]
fn deep_nesting_is_refused_and_costs_no_stack() {
    let mut frame = b"\xa2\x61t\x67#commit\x62op\x01\xa1\x61x".to_vec();
    frame.extend(std::iter::repeat_n(0x81, 1_000_000));
    frame.push(0);
    assert!(Frame::decode(&frame).is_err());
    assert!(peek(&frame).is_ok());
}
