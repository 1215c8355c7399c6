//! Messages that cannot be right, or do not fit, change nothing; and messages have the bytes that
//! `docs/wire.md` says.

use bytes::Bytes;
use jetwash_store::{
    Appender, Gap, GapCause, LogId, LogMessage, LogMessageError, Micros, MirrorError, Seq, Store,
    UpstreamGap,
};

use crate::mirror::{append_compressed, follow, met};
use crate::support::{Place, START, append, compress, dictionary, event, on_both, push, tiny};

on_both!(
    what_does_not_fit_is_refused_and_changes_nothing,
    damaged_blocks_are_gaps_of_the_mirror,
);

/// A ring with events of its own, to be sent, whatever their times, lines and compressed bytes.
struct Liar(Appender, Store);

impl Liar {
    fn new() -> Self {
        let (appender, store) = Place::memory().open(tiny().block_events(100));
        Self(appender, store)
    }

    fn push(&mut self, time_us: u64, json: &[u8], compressed: Option<&[u8]>) {
        let mut made = event(self.0.next_seq().get(), time_us);
        made.json = json.to_vec();
        push(&mut self.0, &made, compressed);
    }

    fn messages(&mut self, from: u64) -> Vec<LogMessage> {
        self.0.commit().unwrap();
        let mut stream = self.1.log_stream(Seq::new(from));
        let mut messages = Vec::new();
        while let Some(bytes) = stream.next().unwrap() {
            messages.push(LogMessage::decode(bytes).unwrap());
        }
        messages
    }

    /// The last message, which has all events from a position on.
    fn events(&mut self, from: u64) -> LogMessage {
        self.messages(from).pop().unwrap()
    }
}

fn what_does_not_fit_is_refused_and_changes_nothing(place: &Place) {
    let (mut appender, origin) = Place::memory().open(tiny());
    append(&mut appender, 10, 5);
    append_compressed(&mut appender, 10, &dictionary(7));
    let (mut mirror, store) = place.open(tiny());
    mirror.become_mirror(origin.log_id()).unwrap();
    follow(&origin, &mut mirror);
    let before = met(&store, Seq::FIRST);

    let out_of_place = out_of_place(origin.log_id());
    for (message, told) in out_of_place
        .into_iter()
        .chain(wrong_events())
        .chain(wrong_dictionaries())
    {
        let refused = mirror.apply(&message).unwrap_err();
        assert!(refused.to_string().contains(told), "{told}: {refused}");
        assert_eq!(mirror.next_seq(), Seq::new(21), "{told}");
    }
    mirror.commit().unwrap();
    assert_eq!(met(&store, Seq::FIRST), before);
    assert_eq!(store.dictionaries(), [dictionary(7)]);

    // What is there already is no mistake, and what fits is still taken.
    let mut events = liar(0, b"{}");
    let applied = mirror.apply(&events.events(15)).unwrap();
    assert_eq!((applied.events, applied.bytes), (10, 20));
    assert_eq!(mirror.apply(&events.events(15)).unwrap().events, 0);
    mirror.commit().unwrap();
    assert_eq!(store.bounds().next_seq, Seq::new(31));
}

type Lie = (LogMessage, &'static str);

/// A liar of 30 events: those of the origin and ten more, at other times.
fn liar(shift: u64, json: &[u8]) -> Liar {
    let mut liar = Liar::new();
    (1..=30).for_each(|seq| liar.push(START + seq * 1_000 + shift, json, None));
    liar
}

/// Messages that do not follow the 20 events of the log `own`, with a part of the refusal.
fn out_of_place(own: LogId) -> Vec<Lie> {
    let hello = |version, log, next_seq| LogMessage::Hello {
        version,
        log,
        oldest_seq: Seq::FIRST,
        next_seq: Seq::new(next_seq),
        last_time_us: Micros::EPOCH,
    };
    let gap =
        |first, next, cause| LogMessage::Gap(Gap::new(Seq::new(first), Seq::new(next), cause));
    let far = "not one that a log gives out";
    vec![
        (hello(2, own, 21), "version 2"),
        (hello(1, LogId::from_number(5), 21), "0000000000000005"),
        (hello(1, own, 20), "ends at position 20"),
        (
            LogMessage::tip(Seq::FIRST, Seq::new(20)),
            "ends at position 20",
        ),
        (liar(0, b"{}").events(22), "begins at position 22"),
        (gap(22, 30, GapCause::Damaged), "begins at position 22"),
        (gap(22, 22, GapCause::UpstreamJump), "begins at position 22"),
        (gap(21, u64::MAX, GapCause::Trimmed), far),
        (gap(21, 30, GapCause::CursorAhead), "a reader's own"),
        (liar(1, b"{}").events(15), "the logs have parted"),
    ]
}

fn wrong_events() -> Vec<Lie> {
    let (mut stuck, mut endless) = (Liar::new(), Liar::new());
    (1..=21).for_each(|seq| stuck.push(START + seq, b"{}", None));
    (1..21).for_each(|seq| endless.push(START + seq * 1_000, b"{}", None));
    endless.push(u64::MAX - 9, b"{}", None);
    let mut packed = Liar::new();
    packed.0.set_dictionary(&dictionary(7)).unwrap();
    for seq in 1..=25 {
        let json = format!("{{\"seq\":{seq}}}").into_bytes();
        let other = compress(&dictionary(7), &[&json[..], b" "].concat());
        let own = compress(&dictionary(7), &json);
        let compressed = if seq == 24 { other } else { own };
        packed.push(START + seq * 1_000, &json, Some(&compressed));
    }
    vec![
        (stuck.events(21), "not above"),
        (endless.events(21), "not one that a log gives out"),
        (liar(0, b"{\xff}").events(15), "event 21: it is not UTF-8"),
        (packed.events(21), "event 24: it does not decompress"),
    ]
}

fn wrong_dictionaries() -> Vec<Lie> {
    let mut unknown = Liar::new();
    unknown.0.set_dictionary(&dictionary(8)).unwrap();
    let compressed = compress(&dictionary(8), b"{}");
    (1..=25).for_each(|seq| unknown.push(START + seq * 1_000, b"{}", Some(&compressed)));
    let sent = |id, bytes: &[u8]| LogMessage::Dictionary {
        id,
        bytes: Bytes::copy_from_slice(bytes),
    };
    let other = dictionary(8);
    vec![
        (unknown.events(21), "dictionary 8, which was not sent"),
        (sent(7, other.bytes()), "another dictionary of the number 7"),
        (sent(9, b"no dictionary"), "cannot be used"),
        (sent(9, other.bytes()), "another dictionary of the number 9"),
    ]
}

#[test]
fn an_event_as_large_as_there_can_be_is_sent_and_taken() {
    let (mut appender, origin) = Place::memory().open(tiny());
    let (mut mirror, store) = Place::memory().open(tiny());
    mirror.become_mirror(origin.log_id()).unwrap();
    let dictionary = dictionary(7);
    appender.set_dictionary(&dictionary).unwrap();
    let large = vec![b'a'; 16 << 20];
    for (at, json) in [&b"{}"[..], &large, b"{}"].into_iter().enumerate() {
        let mut made = event(at as u64 + 1, START + at as u64);
        made.json = json.to_vec();
        let compressed = (at < 2).then(|| compress(&dictionary, json));
        push(&mut appender, &made, compressed.as_deref());
    }
    let mut random = crate::random::Random(1);
    let mut made = event(4, START + 4);
    made.json = (0..16 << 20)
        .map(|_| b'0' + random.below(75) as u8)
        .collect();
    push(&mut appender, &made, None);
    appender.commit().unwrap();
    follow(&origin, &mut mirror);
    assert!(met(&store, Seq::FIRST) == met(&origin, Seq::FIRST));
}

#[test]
fn a_large_block_goes_in_several_messages() {
    let options = || tiny().block_events(16_384).block_bytes(64 << 20);
    let (mut appender, origin) = Place::memory().open(options());
    let (mut mirror, store) = Place::memory().open(options());
    mirror.become_mirror(origin.log_id()).unwrap();
    append(&mut appender, 10_000, 10_000);
    let messages = follow(&origin, &mut mirror);
    let events = messages.iter().filter_map(|message| match message {
        LogMessage::Events(events) => Some(events.len()),
        _ => None,
    });
    assert_eq!(Vec::from_iter(events), [4_096, 4_096, 1_808]);
    assert!(met(&store, Seq::FIRST) == met(&origin, Seq::FIRST));
}

/// One block lacks its index, and the engine finds the events of another changed.
fn damaged_blocks_are_gaps_of_the_mirror(place: &Place) {
    if !place.is_disk() {
        return;
    }
    let (mut appender, store) = place.open(tiny());
    let expected = append(&mut appender, 200, 8);
    drop((appender, store));
    let mut ranges = Vec::new();
    {
        let database = fjall::Database::builder(place.path()).open().unwrap();
        let bucket = database
            .keyspace("bucket-00000000000000000001", Default::default)
            .unwrap();
        let keys: Vec<_> = bucket.iter().map(|guard| guard.key().unwrap()).collect();
        for (block, part) in [(1, 0), (3, 1)] {
            let mut keys = keys.iter().filter(|key| key.last() == Some(&part));
            let key = keys.nth(block).unwrap();
            let first = u64::from_be_bytes(key[..8].try_into().unwrap());
            let value = bucket.get(key).unwrap().unwrap();
            let mut value = value.to_vec();
            *value.last_mut().unwrap() ^= 1;
            bucket.insert(key.to_vec(), value).unwrap();
            ranges.push(first..first + 8);
        }
    }
    let (_appender, origin) = place.open(tiny());
    let (mut mirror, store) = Place::memory().open(tiny());
    mirror.become_mirror(origin.log_id()).unwrap();
    follow(&origin, &mut mirror);
    let (mut next, mut gaps) = (1, Vec::new());
    for met in met(&store, Seq::FIRST) {
        match met {
            crate::mirror::Met::Event(event, _) => {
                assert_eq!(event, expected[event.seq as usize - 1]);
                assert_eq!(event.seq, next);
                next += 1;
            }
            crate::mirror::Met::Gap(gap) => {
                assert_eq!((gap.cause, gap.events), (GapCause::Damaged, Some(8)));
                gaps.push(gap.first_seq.get()..gap.next_seq.get());
                next = gap.next_seq.get();
            }
        }
    }
    assert_eq!((next, gaps), (201, ranges));
    assert_eq!(store.bounds().lost, 16);
}

fn bytes(parts: &[&[u8]]) -> Bytes {
    parts.concat().into()
}

#[test]
fn messages_have_the_bytes_that_are_written_down() {
    let number = |number: u64| number.to_le_bytes();
    let hello = LogMessage::Hello {
        version: 1,
        log: LogId::from_number(0x00c0_ffee_1234_5678),
        oldest_seq: Seq::new(5),
        next_seq: Seq::new(0x0102),
        last_time_us: Micros::new(7),
    };
    let hello_bytes = bytes(&[
        &[1, 1, 0, 0, 0],
        &[0x78, 0x56, 0x34, 0x12, 0xee, 0xff, 0xc0, 0],
        &[5, 0, 0, 0, 0, 0, 0, 0],
        &[2, 1, 0, 0, 0, 0, 0, 0],
        &[7, 0, 0, 0, 0, 0, 0, 0],
    ]);
    let dictionary = LogMessage::Dictionary {
        id: 0x0304,
        bytes: Bytes::from_static(b"abc"),
    };
    let tip = LogMessage::tip(Seq::new(1), Seq::new(9));
    let gap = LogMessage::Gap(Gap::new(Seq::new(4), Seq::new(9), GapCause::Damaged).events(5));
    let mut noted = Gap::new(Seq::new(9), Seq::new(9), GapCause::UpstreamJump);
    noted.upstream = Some(UpstreamGap::new("ab", Some(3), None).did("c"));
    let none = [0; 9];
    let gap_bytes = bytes(&[
        &[4],
        &number(9),
        &number(4),
        &[3, 1],
        &number(5),
        &none,
        &none,
        &[0; 10],
    ]);
    let noted_bytes = bytes(&[
        &[4],
        &number(9),
        &number(9),
        &[6],
        &none,
        &[1],
        &number(3),
        &none,
        &[1, 2, 0, 0, 0, b'a', b'b', 1, 1, 0, 0, 0, b'c'],
    ]);
    for (message, bytes) in [
        (hello, hello_bytes),
        (dictionary, bytes(&[&[2, 4, 3, 0, 0], b"abc"])),
        (gap, gap_bytes),
        (LogMessage::Gap(noted), noted_bytes),
        (tip, bytes(&[&[5], &number(1), &number(9)])),
    ] {
        assert_eq!(message.encode(), bytes);
        assert_eq!(LogMessage::decode(bytes.clone()).as_ref(), Ok(&message));
        for length in 0..bytes.len() {
            // A dictionary has no length of its own.
            let decoded = LogMessage::decode(bytes.slice(..length));
            let is_dictionary = matches!(message, LogMessage::Dictionary { .. });
            assert!(
                decoded.is_err() || is_dictionary && length >= 5,
                "{message:?}"
            );
        }
    }
}

#[test]
fn bytes_that_are_no_message_are_refused() {
    let refused = |bytes: Vec<u8>| LogMessage::decode(bytes.into()).unwrap_err();
    assert_eq!(refused(vec![0]), LogMessageError::Type { byte: 0 });
    assert_eq!(refused(vec![6, 1]), LogMessageError::Type { byte: 6 });
    let too_long = |error| matches!(error, LogMessageError::TooLong { .. });
    assert!(too_long(refused(vec![2; LogMessage::MAX_LENGTH + 1])));
    assert!(too_long(refused(vec![2; (2 << 20) + 6])));
    assert!(too_long(refused(vec![4; 9_000])));
    let gap = |first, next, cause| {
        let gap = Gap::new(Seq::new(first), Seq::new(next), cause);
        LogMessage::decode(LogMessage::Gap(gap).encode())
    };
    for (first, next, cause) in [
        (1, 5, GapCause::OtherLog),
        (5, 5, GapCause::CursorAhead),
        (5, 5, GapCause::Trimmed),
        (6, 5, GapCause::Skipped),
        (5, 6, GapCause::UpstreamJump),
    ] {
        let error = gap(first, next, cause).unwrap_err();
        assert!(matches!(error, LogMessageError::Gap { .. }), "{cause:?}");
    }
    // A later version may append to its hello, whose version is then refused by the mirror.
    let mut hello = vec![1, 2, 0, 0, 0];
    hello.extend([0; 40]);
    let hello = LogMessage::decode(hello.into()).unwrap();
    assert!(matches!(hello, LogMessage::Hello { version: 2, .. }));
    let (mut mirror, _store) = Place::memory().open(tiny());
    mirror.become_mirror(LogId::from_number(0)).unwrap();
    let refused = mirror.apply(&hello);
    assert!(matches!(
        refused,
        Err(MirrorError::Version { found: 2, .. })
    ));
}

#[test]
fn changed_events_are_noticed() {
    let mut liar = Liar::new();
    liar.push(START, b"{\"a\":1}", None);
    liar.push(START + 1, b"{}", None);
    let whole = liar.events(1).encode();
    for at in 1..whole.len() {
        let mut changed = whole.to_vec();
        changed[at] ^= 4;
        let error = LogMessage::decode(changed.into()).unwrap_err();
        assert!(matches!(error, LogMessageError::Events { .. }), "at {at}");
    }
}
