use jetwash_store::{Remaining, Seq};

use crate::support::{Place, append, on_both, tiny};

on_both!(what_remains_is_counted_without_reading_it);

fn what_remains_is_counted_without_reading_it(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    assert_eq!(store.remaining(Seq::FIRST), Remaining::default());
    let events = append(&mut appender, 203, 3);
    let bounds = store.bounds();
    assert_eq!(store.remaining(Seq::new(0)).events, 203);
    assert_eq!(store.remaining(Seq::FIRST).bytes, bounds.bytes);
    assert_eq!(store.remaining(bounds.next_seq), Remaining::default());
    assert_eq!(store.remaining(Seq::MAX), Remaining::default());
    let mut bytes = u64::MAX;
    for event in &events {
        let remaining = store.remaining(Seq::new(event.seq));
        assert_eq!(remaining.events, bounds.next_seq.get() - event.seq);
        // Within a block as well, each event has its share.
        assert!(remaining.bytes < bytes);
        bytes = remaining.bytes;
        // A block has little more than 8 events.
        let first = remaining.first_time_us.unwrap();
        let block_first = events[(event.seq as usize - 1).saturating_sub(12)].time_us;
        assert!((block_first..=event.time_us).contains(&first.get()));
    }
    assert!(bytes < bounds.bytes / 20);
}
