//! Frames of labels, written by hand, at random, and damaged.

use jetwash_cbor::{CborReader, CborWriter};
use jetwash_frame::{
    FrameError, Label, LabelFrame, LabelFrameError, LabelsMessage, MAX_FRAME_BYTES, MAX_LABELS,
    Part, peek,
};
use proptest::prelude::*;

use crate::encoded;

const LABELER: &str = "did:web:l.example";
const POST: &str = "at://did:web:a.example/app.bsky.feed.post/3l3qo2vuowo2b";
const TIME: &str = "2026-07-04T14:38:07.517Z";

fn plain() -> Label<'static> {
    Label {
        ver: None,
        src: LABELER,
        uri: POST,
        cid: None,
        val: "spam",
        neg: false,
        cts: TIME,
        exp: None,
        sig: None,
    }
}

/// A label's fields as DAG-CBOR, without those that are absent.
fn fields(label: &Label<'_>) -> Vec<(&'static str, Vec<u8>)> {
    let text = |text: &str| encoded(|writer| writer.text(text));
    let mut fields = vec![
        ("src", text(label.src)),
        ("uri", text(label.uri)),
        ("val", text(label.val)),
        ("cts", text(label.cts)),
    ];
    fields.extend(label.cid.map(|cid| ("cid", text(cid))));
    fields.extend(label.exp.map(|exp| ("exp", text(exp))));
    fields.extend(
        label
            .sig
            .map(|sig| ("sig", encoded(|writer| writer.bytes(sig)))),
    );
    fields.extend(
        label
            .ver
            .map(|ver| ("ver", encoded(|writer| writer.integer(ver)))),
    );
    fields.extend(
        label
            .neg
            .then(|| ("neg", encoded(|writer| writer.boolean(true)))),
    );
    fields
}

fn map(mut fields: Vec<(&str, Vec<u8>)>) -> Vec<u8> {
    fields.sort_by_key(|(name, _)| (name.len(), *name));
    let mut writer = CborWriter::new();
    writer.map(fields.len());
    for (name, value) in fields {
        writer.text(name).raw(&value);
    }
    writer.into_bytes()
}

fn frame(name: &str, payload: &[u8]) -> Vec<u8> {
    let mut writer = CborWriter::new();
    writer.map(2).text("t").text(name).text("op").unsigned(1);
    writer.raw(payload);
    writer.into_bytes()
}

/// A frame of labels that are given as DAG-CBOR.
fn raw_labels(seq: i64, labels: &[Vec<u8>]) -> Vec<u8> {
    let mut payload = CborWriter::new();
    payload.map(2).text("seq").integer(seq);
    payload.text("labels").array(labels.len());
    for label in labels {
        payload.raw(label);
    }
    frame("#labels", &payload.into_bytes())
}

fn labels_frame(seq: i64, labels: &[Label<'_>]) -> Vec<u8> {
    let labels: Vec<_> = labels.iter().map(|label| map(fields(label))).collect();
    raw_labels(seq, &labels)
}

fn decode_labels(frame: &[u8]) -> LabelsMessage<'_> {
    match LabelFrame::decode(frame) {
        Ok(LabelFrame::Labels(message)) => message,
        other => panic!("{other:?}"),
    }
}

/// The frame is written byte by byte, so that no writer of ours is what it is held against.
#[test]
fn a_label_gives_all_its_fields() {
    let mut bytes =
        b"\xa2\x61t\x67#labels\x62op\x01\xa2\x63seq\x19\x01\x02\x66labels\x81\xa9".to_vec();
    bytes.extend(b"\x63cid\x63b3x\x63cts\x742026-07-04T14:38:07Z\x63exp\x742027-07-04T14:38:07Z");
    bytes.extend(b"\x63neg\xf5\x63sig\x43\x01\x02\x03\x63src\x71did:web:l.example");
    bytes.extend(b"\x63uri\x71did:web:a.example\x63val\x64spam\x63ver\x01");
    let message = decode_labels(&bytes);
    assert_eq!(message.seq, 258);
    let expected = Label {
        ver: Some(1),
        src: LABELER,
        uri: "did:web:a.example",
        cid: Some("b3x"),
        val: "spam",
        neg: true,
        cts: "2026-07-04T14:38:07Z",
        exp: Some("2027-07-04T14:38:07Z"),
        sig: Some(b"\x01\x02\x03"),
    };
    assert_eq!(message.labels(), [expected]);
}

#[test]
fn labels_stay_in_their_order_and_may_be_absent() {
    let vals = ["b", "a", "c"];
    let labels = vals.map(|val| Label { val, ..plain() });
    let bytes = labels_frame(7, &labels);
    assert!(
        decode_labels(&bytes)
            .labels()
            .iter()
            .map(|label| label.val)
            .eq(vals)
    );
    assert_eq!(decode_labels(&labels_frame(8, &[])).labels(), []);
}

#[test]
fn optional_fields_that_are_null_count_as_absent_and_unknown_ones_are_passed_over() {
    let mut all = fields(&plain());
    let null = || encoded(CborWriter::null);
    for name in ["cid", "exp", "neg", "sig", "ver"] {
        all.push((name, null()));
    }
    all.push((
        "$type",
        encoded(|writer| writer.text("com.atproto.label.defs#label")),
    ));
    let bytes = raw_labels(7, &[map(all)]);
    assert_eq!(decode_labels(&bytes).labels(), [plain()]);
}

#[test]
fn each_missing_field_of_a_label_is_named_with_its_place() {
    for field in ["src", "uri", "val", "cts"] {
        let mut some = fields(&plain());
        some.retain(|(name, _)| *name != field);
        let bytes = raw_labels(7, &[map(fields(&plain())), map(some)]);
        let error = LabelFrame::decode(&bytes).unwrap_err();
        assert_eq!(error, LabelFrameError::Missing { index: 1, field });
        assert_eq!(error.reason(), "frame_field_missing");
    }
    for field in ["seq", "labels"] {
        let mut payload = vec![
            ("seq", encoded(|writer| writer.unsigned(7))),
            ("labels", encoded(|writer| writer.array(0))),
        ];
        payload.retain(|(name, _)| *name != field);
        let bytes = frame("#labels", &map(payload));
        let part = Part::Payload;
        let missing = FrameError::Missing { part, field };
        assert_eq!(LabelFrame::decode(&bytes), Err(missing.into()));
    }
}

#[test]
fn each_field_has_a_longest_length_that_is_taken_and_the_next_is_refused() {
    let text = "x".repeat(10_000);
    let set = |field: &str, length: usize| {
        let (text, mut label) = (&text[..length], plain());
        match field {
            "src" => label.src = text,
            "uri" => label.uri = text,
            "cid" => label.cid = Some(text),
            "val" => label.val = text,
            "cts" => label.cts = text,
            "exp" => label.exp = Some(text),
            _ => label.sig = Some(text.as_bytes()),
        }
        labels_frame(7, &[label])
    };
    for (field, limit) in [
        ("src", 2_048),
        ("uri", 8_192),
        ("cid", 128),
        ("val", 128),
        ("cts", 64),
        ("exp", 64),
        ("sig", 64),
    ] {
        assert!(LabelFrame::decode(&set(field, limit)).is_ok(), "{field}");
        let error = LabelFrame::decode(&set(field, limit + 1)).unwrap_err();
        let (index, actual) = (0, limit + 1);
        let expected = LabelFrameError::Limit {
            index,
            field,
            actual,
            limit,
        };
        assert_eq!(error, expected);
        assert_eq!(error.reason(), "frame_over_limit");
    }
    let error = LabelFrame::decode(&set("val", 129)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "label 0: `val` has 129 bytes, more than the 128 allowed"
    );
}

#[test]
fn as_many_labels_as_the_limit_are_taken_and_one_more_is_refused() {
    let labels = vec![plain(); MAX_LABELS + 1];
    let bytes = labels_frame(7, &labels[1..]);
    assert_eq!(decode_labels(&bytes).labels().len(), 1_000);
    let error = LabelFrame::decode(&labels_frame(7, &labels)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`labels` has 1001 labels, more than the 1000 allowed"
    );
    let long = vec![0; MAX_FRAME_BYTES + 1];
    assert_eq!(
        LabelFrame::decode(&long).unwrap_err().reason(),
        "frame_over_limit"
    );
}

/// A cursor is an integer of the data model, so a number beyond it could never be sent back.
#[test]
fn a_number_is_from_zero_up_and_within_64_bits_with_sign() {
    assert_eq!(
        decode_labels(&labels_frame(i64::MAX, &[])).seq,
        (1 << 63) - 1
    );
    assert_eq!(decode_labels(&labels_frame(0, &[])).seq, 0);
    for seq in [
        b"\x1b\x80\0\0\0\0\0\0\0".to_vec(),
        b"\x20".to_vec(),
        b"\x61x".to_vec(),
    ] {
        let payload = map(vec![("seq", seq), ("labels", b"\x80".to_vec())]);
        let error = LabelFrame::decode(&frame("#labels", &payload)).unwrap_err();
        assert_eq!(error.reason(), "frame_malformed");
    }
}

#[test]
fn errors_notices_and_unknown_frames_are_told_apart() {
    let error = b"\xa1\x62op\x20\xa2\x65error\x6cFutureCursor\x67message\x61m";
    let Ok(LabelFrame::Error(error)) = LabelFrame::decode(error) else {
        panic!()
    };
    assert_eq!((error.error, error.message), ("FutureCursor", Some("m")));
    let info = frame("#info", b"\xa1\x64name\x6eOutdatedCursor");
    let Ok(LabelFrame::Info(info)) = LabelFrame::decode(&info) else {
        panic!()
    };
    assert_eq!(info.name, "OutdatedCursor");
    // A commit has no business here, and what comes later is not known yet.
    for name in ["#commit", "#later"] {
        let bytes = frame(name, b"\xa1\x63seq\x09");
        let Ok(LabelFrame::Unknown(unknown)) = LabelFrame::decode(&bytes) else {
            panic!()
        };
        assert_eq!((unknown.name, unknown.seq), (Some(name), Some(9)));
    }
}

#[test]
fn bytes_after_a_frame_are_refused() {
    let mut bytes = labels_frame(7, &[plain()]);
    bytes.push(0);
    assert_eq!(
        LabelFrame::decode(&bytes).unwrap_err().reason(),
        "frame_malformed"
    );
}

/// The list is read to its end although a label in it is at fault.
#[test]
fn malformed_bytes_are_the_fault_that_is_told_first() {
    let over = Label {
        val: &"x".repeat(129),
        ..plain()
    };
    let bytes = raw_labels(7, &[map(fields(&over)), b"\xff".to_vec()]);
    assert_eq!(
        LabelFrame::decode(&bytes).unwrap_err().reason(),
        "frame_malformed"
    );
}

#[derive(Clone, Debug)]
struct OwnedLabel {
    texts: [String; 4],
    cid: Option<String>,
    exp: Option<String>,
    sig: Option<Vec<u8>>,
    ver: Option<i64>,
    neg: bool,
}

impl OwnedLabel {
    fn label(&self) -> Label<'_> {
        let [src, uri, val, cts] = &self.texts;
        Label {
            ver: self.ver,
            src,
            uri,
            cid: self.cid.as_deref(),
            val,
            neg: self.neg,
            cts,
            exp: self.exp.as_deref(),
            sig: self.sig.as_deref(),
        }
    }
}

prop_compose! {
    fn any_label()(
        texts in prop::array::uniform4("[^\0]{0,16}"),
        cid in prop::option::of("[a-z2-7]{0,60}"),
        exp in prop::option::of("[0-9TZ:.-]{0,30}"),
        sig in prop::option::of(prop::collection::vec(any::<u8>(), 0..=64)),
        ver in prop::option::of(any::<i64>()),
        neg: bool,
    ) -> OwnedLabel {
        OwnedLabel { texts, cid, exp, sig, ver, neg }
    }
}

proptest! {
    #[test]
    fn labels_of_any_content_come_back(
        seq in 0..=i64::MAX,
        labels in prop::collection::vec(any_label(), 0..6),
    ) {
        let labels: Vec<Label<'_>> = labels.iter().map(OwnedLabel::label).collect();
        let bytes = labels_frame(seq, &labels);
        let message = decode_labels(&bytes);
        prop_assert_eq!(message.seq, seq as u64);
        prop_assert_eq!(message.labels(), &labels[..]);
    }

    #[test]
    fn a_frame_of_labels_that_is_cut_is_refused(at in any::<prop::sample::Index>()) {
        let bytes = labels_frame(7, &[plain(), plain()]);
        prop_assert!(LabelFrame::decode(&bytes[..at.index(bytes.len())]).is_err());
    }

    /// Bytes that are changed anywhere are refused or read as DAG-CBOR that says so, never a panic.
    #[test]
    fn a_frame_of_labels_that_is_changed_is_refused_or_still_strict(
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
    ) {
        let mut bytes = labels_frame(7, &[Label { neg: true, ..plain() }, plain()]);
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(LabelFrame::Labels(message)) = LabelFrame::decode(&bytes) {
            prop_assert_eq!(peek(&bytes).unwrap().seq, Some(message.seq));
            let mut reader = CborReader::new(&bytes);
            reader.skip().unwrap();
            reader.skip().unwrap();
            prop_assert!(reader.is_at_end());
        }
    }

    #[test]
    fn random_bytes_are_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = LabelFrame::decode(&bytes);
        let _ = LabelFrame::decode(&frame("#labels", &bytes));
    }
}
