use jetwash_store::{Appender, FrameReader, FrameStart, Frames, KeptFrame, Micros, Options, Store};

use crate::support::{Place, append, on_both, read_all, tiny};

on_both!(
    frames_come_back_from_any_sequence_number,
    frames_are_followed_as_they_come,
    frames_are_invisible_until_they_are_committed,
    sources_have_frames_of_their_own,
    old_frames_go_and_who_is_behind_is_told,
    a_source_that_counts_anew_begins_anew,
    a_gap_begins_a_source_anew,
    nothing_is_kept_unless_asked,
    events_and_frames_do_not_mind_each_other,
);

const RELAY: &str = "wss://relay.example/";

fn keeping(bytes: u64) -> Options {
    tiny().keep_frames(bytes)
}

/// The frame of a sequence number: of another length for each, and now and then a large one.
fn frame(seq: u64) -> Vec<u8> {
    let length = if seq.is_multiple_of(25) {
        300_000
    } else {
        200 + seq as usize % 700
    };
    (0..length).map(|at| (at as u64 * 31 + seq) as u8).collect()
}

/// Keeps the frames of some sequence numbers, of which every third is left out, as relays do.
fn keep(appender: &mut Appender, source: &str, seqs: std::ops::Range<u64>) {
    for seq in seqs.filter(|seq| seq % 3 != 2) {
        appender.keep_frame(source, seq, &frame(seq));
        appender.set_cursor(source, seq);
        if seq % 5 == 0 {
            appender.commit().unwrap();
        }
    }
    appender.commit().unwrap();
}

fn reader(store: &Store, source: &str, start: FrameStart) -> FrameReader {
    store.frames(source, start).unwrap()
}

/// The sequence numbers from where a reader is to the tip, after a look at each frame.
fn drain(reader: &mut FrameReader) -> Vec<u64> {
    let mut seqs = Vec::new();
    loop {
        match reader.read().unwrap() {
            Frames::Next(frames) => {
                assert!(!frames.is_empty());
                for KeptFrame { seq, bytes, .. } in frames {
                    assert!(bytes == frame(seq), "the frame {seq} is another");
                    seqs.push(seq);
                }
            }
            Frames::AtTip => return seqs,
            other => panic!("{other:?} after {seqs:?}"),
        }
    }
}

fn all_of(seqs: std::ops::Range<u64>) -> Vec<u64> {
    seqs.filter(|seq| seq % 3 != 2).collect()
}

fn frames_come_back_from_any_sequence_number(place: &Place) {
    let (mut appender, store) = place.open(keeping(1 << 26));
    keep(&mut appender, RELAY, 100..900);
    for start in [100, 101, 102, 300, 301, 499, 500, 501, 897, 898] {
        let mut reader = reader(&store, RELAY, FrameStart::Seq(start));
        assert_eq!(drain(&mut reader), all_of(start..900), "from {start}");
    }
    assert_eq!(
        drain(&mut reader(&store, RELAY, FrameStart::Oldest)),
        all_of(100..900)
    );
    assert_eq!(
        drain(&mut reader(&store, RELAY, FrameStart::Live)),
        all_of(0..0)
    );
    let bounds = store.frame_bounds(RELAY).unwrap();
    assert_eq!((bounds.oldest_seq, bounds.next_seq), (100, 899));
    let mut early = reader(&store, RELAY, FrameStart::Seq(99));
    let lost = Frames::Lost {
        from: 99,
        oldest: 100,
    };
    assert_eq!(early.read().unwrap(), lost);
    assert_eq!(drain(&mut early), all_of(100..900));
}

fn frames_are_followed_as_they_come(place: &Place) {
    let (mut appender, store) = place.open(keeping(1 << 26));
    let mut early = reader(&store, RELAY, FrameStart::Live);
    keep(&mut appender, RELAY, 10..100);
    let mut live = reader(&store, RELAY, FrameStart::Live);
    let mut tip = live.tip();
    tip.mark_unchanged();
    for start in [100, 160, 240] {
        keep(&mut appender, RELAY, start..start + 60);
        assert!(tip.has_changed().unwrap());
        tip.mark_unchanged();
        // The newest are read without the disk.
        let mut twin = reader(&store, RELAY, FrameStart::Seq(start + 55));
        assert!(matches!(twin.read_hot(), Some(Frames::Next(_))));
        assert_eq!(drain(&mut live), all_of(start..start + 60));
    }
    assert_eq!(early.read_hot(), None, "too old to be in memory");
    assert_eq!(
        drain(&mut early),
        all_of(10..300)
            .into_iter()
            .filter(|seq| !(220..240).contains(seq))
            .collect::<Vec<_>>()
    );
    drop(appender);
    assert!(tip.has_changed().is_err());
}

fn frames_are_invisible_until_they_are_committed(place: &Place) {
    let (mut appender, store) = place.open(keeping(1 << 26));
    appender.keep_frame(RELAY, 7, &frame(7));
    assert_eq!(store.frame_bounds(RELAY), None);
    assert_eq!(appender.pending_frame_bytes(), frame(7).len());
    appender.commit().unwrap();
    assert_eq!(appender.pending_frame_bytes(), 0);
    assert_eq!(drain(&mut reader(&store, RELAY, FrameStart::Oldest)), [7]);
}

fn sources_have_frames_of_their_own(place: &Place) {
    let (mut appender, store) = place.open(keeping(1 << 26));
    for start in [10, 40, 70] {
        keep(&mut appender, "a", start..start + 30);
        keep(&mut appender, "b", start + 1_000..start + 1_030);
    }
    assert_eq!(
        drain(&mut reader(&store, "a", FrameStart::Oldest)),
        all_of(10..100)
    );
    assert_eq!(
        drain(&mut reader(&store, "b", FrameStart::Seq(1_040))),
        all_of(1_040..1_100)
    );
    assert_eq!(
        drain(&mut reader(&store, "c", FrameStart::Oldest)),
        all_of(0..0)
    );
}

fn old_frames_go_and_who_is_behind_is_told(place: &Place) {
    let max_bytes = 2_000_000;
    let (mut appender, store) = place.open(keeping(max_bytes));
    let mut slow = reader(&store, RELAY, FrameStart::Seq(0));
    keep(&mut appender, "quiet", 1..3);
    for start in (0..1_500).step_by(30) {
        keep(&mut appender, RELAY, start..start + 30);
        assert!(store.frame_bytes() <= max_bytes || appender.is_trim_due());
        appender.trim(Micros::EPOCH).unwrap();
        assert!(
            store.frame_bytes() <= max_bytes + 700_000,
            "{}",
            store.frame_bytes()
        );
    }
    assert!(
        store.frame_bytes() > max_bytes / 2,
        "far too much is dropped"
    );
    let oldest = store.frame_bounds(RELAY).unwrap().oldest_seq;
    assert!(oldest > 500);
    assert_eq!(slow.read_hot(), Some(Frames::Lost { from: 0, oldest }));
    assert_eq!(drain(&mut slow), all_of(oldest..1_500));
    let mut quiet = reader(&store, "quiet", FrameStart::Seq(1));
    assert!(matches!(
        quiet.read().unwrap(),
        Frames::Lost { from: 1, oldest: 2 }
    ));
    assert_eq!(quiet.read().unwrap(), Frames::AtTip);
}

fn a_source_that_counts_anew_begins_anew(place: &Place) {
    let (mut appender, store) = place.open(keeping(1 << 26));
    keep(&mut appender, RELAY, 1_000..1_100);
    let mut reader = reader(&store, RELAY, FrameStart::Seq(1_050));
    assert_eq!(drain(&mut reader), all_of(1_050..1_100));
    keep(&mut appender, RELAY, 3..40);
    let lost = Frames::Lost {
        from: 1_100,
        oldest: 3,
    };
    assert_eq!(reader.read().unwrap(), lost);
    assert_eq!(drain(&mut reader), all_of(3..40));
}

fn a_gap_begins_a_source_anew(place: &Place) {
    let (mut appender, store) = place.open(keeping(1 << 26));
    // The source was read up to 99 before frames were kept, and then up to 500.
    appender.set_cursor(RELAY, 99);
    keep(&mut appender, RELAY, 100..150);
    if place.is_disk() {
        appender.set_cursor(RELAY, 500);
        appender.commit().unwrap();
        drop((appender, store));
        let (mut appender, store) = place.open(keeping(1 << 26));
        keep(&mut appender, RELAY, 501..520);
        let mut reader = reader(&store, RELAY, FrameStart::Seq(120));
        let lost = Frames::Lost {
            from: 120,
            oldest: 501,
        };
        assert_eq!(reader.read().unwrap(), lost);
        assert_eq!(drain(&mut reader), all_of(501..520));
    }
}

fn nothing_is_kept_unless_asked(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    assert!(!appender.keeps_frames());
    appender.keep_frame(RELAY, 1, &frame(1));
    appender.commit().unwrap();
    assert!(store.frames(RELAY, FrameStart::Oldest).is_none());
    assert_eq!((store.frame_bounds(RELAY), store.frame_bytes()), (None, 0));
}

fn events_and_frames_do_not_mind_each_other(place: &Place) {
    let (mut appender, store) = place.open(keeping(1 << 26));
    let mut events = Vec::new();
    for start in (0..300).step_by(20) {
        keep(&mut appender, RELAY, start..start + 20);
        events.extend(append(&mut appender, 7, 3));
    }
    assert_eq!(read_all(&store, 1), events);
    assert_eq!(
        drain(&mut reader(&store, RELAY, FrameStart::Oldest)),
        all_of(0..300)
    );
}

#[test]
fn frames_that_come_again_after_a_crash_are_kept_once() {
    let place = Place::disk();
    let (mut appender, store) = place.open(keeping(1 << 26));
    keep(&mut appender, RELAY, 10..100);
    // The events of a frame were still to come, so the stored cursor is before it.
    appender.set_cursor(RELAY, 40);
    appender.commit().unwrap();
    drop((appender, store));
    let (mut appender, store) = place.open(keeping(1 << 26));
    keep(&mut appender, RELAY, 41..70);
    // A crash in the middle, which leaves no more than the first one did.
    drop((appender, store));
    let (mut appender, store) = place.open(keeping(1 << 26));
    assert_eq!(appender.cursor(RELAY), Some(69));
    keep(&mut appender, RELAY, 70..130);
    assert_eq!(
        drain(&mut reader(&store, RELAY, FrameStart::Oldest)),
        all_of(10..130)
    );
    // Within a process, a number that is not greater is one of a source that counts anew.
    keep(&mut appender, RELAY, 50..60);
    assert_eq!(
        drain(&mut reader(&store, RELAY, FrameStart::Oldest)),
        all_of(50..60)
    );
}

#[test]
fn frames_stay_when_the_ring_is_opened_again() {
    let place = Place::disk();
    let mut expected = Vec::new();
    for start in [10, 200, 260] {
        let (mut appender, store) = place.open(keeping(1 << 26));
        assert_eq!(
            drain(&mut reader(&store, RELAY, FrameStart::Oldest)),
            expected
        );
        keep(&mut appender, RELAY, start..start + 60);
        expected.extend(all_of(start..start + 60));
        assert_eq!(
            drain(&mut reader(&store, RELAY, FrameStart::Oldest)),
            expected
        );
    }
    // Without the setting they are forgotten, and the files with them.
    let (appender, store) = place.open(tiny());
    assert_eq!(appender.cursor(RELAY), Some(319));
    drop((appender, store));
    let (_appender, store) = place.open(keeping(1 << 26));
    assert_eq!(store.frame_bounds(RELAY), None);
    assert_eq!(store.frame_bytes(), 0);
}
