//! How DID documents are read.

use jetwash_identity::{DidDocument, DocumentError, KeyType};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::did;

const DID: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const KEY: &str = "zQ3shrc8v5X6ZiANcZxA6JerfT2T4SskeCGxpmtDfMuHF9KRj";
/// Another digit at the end: another key, which the tests can tell apart.
const OTHER_KEY: &str = "zQ3shrc8v5X6ZiANcZxA6JerfT2T4SskeCGxpmtDfMuHF9KRk";

fn method(id: &str, kind: &str, controller: &str, key: &str) -> Value {
    json!({ "id": id, "type": kind, "controller": controller, "publicKeyMultibase": key })
}

fn service(id: &str, kind: &str, endpoint: &str) -> Value {
    json!({ "id": id, "type": kind, "serviceEndpoint": endpoint })
}

fn document(methods: &[Value], services: &[Value], aliases: &[&str]) -> Value {
    json!({
        "id": DID, "alsoKnownAs": aliases, "verificationMethod": methods, "service": services,
    })
}

fn parse(json: &Value) -> Result<DidDocument, DocumentError> {
    DidDocument::parse(json.to_string().as_bytes(), &did(DID))
}

fn key_of(methods: &[Value]) -> Option<String> {
    let parsed = parse(&document(methods, &[], &[])).unwrap();
    Some(parsed.signing_key()?.multibase().to_owned())
}

fn pds_of(services: &[Value]) -> Option<String> {
    let parsed = parse(&document(&[], services, &[])).unwrap();
    Some(parsed.pds()?.as_str().to_owned())
}

fn handle_of(aliases: &[&str]) -> Option<String> {
    let parsed = parse(&document(&[], &[], aliases)).unwrap();
    Some(parsed.claimed_handle()?.as_ref().to_owned())
}

#[test]
fn the_key_is_that_of_the_first_valid_method_under_the_right_name() {
    let full = format!("{DID}#atproto");
    for id in ["#atproto", &full] {
        assert_eq!(key_of(&[method(id, "Multikey", DID, KEY)]).unwrap(), KEY);
    }
    let other = method("#atproto", "Multikey", DID, OTHER_KEY);
    for wrong in [
        method("#atproto_label", "Multikey", DID, KEY),
        method("did:plc:other#atproto", "Multikey", DID, KEY),
        method("atproto", "Multikey", DID, KEY),
        method("#atproto", "Multikey", "did:web:other.test", KEY),
        method("#atproto", "JsonWebKey2020", DID, KEY),
        method("#atproto", "Multikey", DID, "Q3shrc8v5X6ZiANc"),
        method("#atproto", "Multikey", DID, "z0"),
        method("#atproto", "Multikey", DID, "z"),
        method(
            "#atproto",
            "Multikey",
            DID,
            &format!("z{}", "1".repeat(128)),
        ),
        json!({ "id": "#atproto", "type": "Multikey", "controller": DID }),
        json!("#atproto"),
        json!(null),
    ] {
        assert_eq!(key_of(std::slice::from_ref(&wrong)), None, "{wrong}");
        assert_eq!(key_of(&[wrong, other.clone()]).unwrap(), OTHER_KEY);
    }
}

#[test]
fn a_key_of_a_legacy_type_keeps_its_type() {
    for (name, expected) in [
        (
            "EcdsaSecp256r1VerificationKey2019",
            KeyType::EcdsaSecp256r1VerificationKey2019,
        ),
        (
            "EcdsaSecp256k1VerificationKey2019",
            KeyType::EcdsaSecp256k1VerificationKey2019,
        ),
    ] {
        let methods = [method("#atproto", name, DID, KEY)];
        let parsed = parse(&document(&methods, &[], &[])).unwrap();
        assert_eq!(parsed.signing_key().unwrap().key_type(), expected);
    }
}

#[test]
fn the_pds_is_the_first_service_that_is_an_http_origin() {
    let kind = "AtprotoPersonalDataServer";
    for (endpoint, expected) in [
        ("https://pds.test", Some("https://pds.test")),
        ("https://PDS.test:443/", Some("https://pds.test")),
        ("http://pds.test:2583", Some("http://pds.test:2583")),
        ("https://[::1]:8443", Some("https://[::1]:8443")),
        ("https://pds.test/path", None),
        ("https://pds.test?query", None),
        ("https://pds.test#fragment", None),
        ("https://user@pds.test", None),
        ("https://:password@pds.test", None),
        ("https://bücher.test", Some("https://xn--bcher-kva.test")),
        ("https:/pds.test", None),
        ("https:pds.test", None),
        ("https://pds!.test", None),
        ("https://-pds.test", None),
        ("https://pds..test", None),
        (
            &format!("https://{}.test", "a".repeat(63)),
            Some(&format!("https://{}.test", "a".repeat(63))),
        ),
        (&format!("https://{}.test", "a".repeat(64)), None),
        (&format!("https://{}test", "a.".repeat(125)), None),
        ("ftp://pds.test", None),
        ("file:///etc/passwd", None),
        ("javascript:alert(1)", None),
        ("pds.test", None),
        ("", None),
    ] {
        let found = pds_of(&[service("#atproto_pds", kind, endpoint)]);
        assert_eq!(found.as_deref(), expected, "{endpoint}");
    }
    let second = service(&format!("{DID}#atproto_pds"), kind, "https://second.test");
    for wrong in [
        service("#atproto_labeler", kind, "https://pds.test"),
        service("#atproto_pds", "AtprotoLabeler", "https://pds.test"),
        json!({ "id": "#atproto_pds", "type": kind, "serviceEndpoint": ["https://pds.test"] }),
        json!(7),
    ] {
        assert_eq!(
            pds_of(&[wrong, second.clone()]).unwrap(),
            "https://second.test"
        );
    }
}

#[test]
fn the_handle_is_the_first_alias_that_is_one() {
    assert_eq!(handle_of(&["at://Alice.Test"]).unwrap(), "alice.test");
    let aliases = [
        "https://a.test",
        "at://a.test/path",
        "at://did:web:a.test",
        "at://b.test",
    ];
    assert_eq!(handle_of(&aliases).unwrap(), "b.test");
    assert_eq!(handle_of(&["at://", "at://localhost"]), None);
}

#[test]
fn a_document_about_another_did_is_refused() {
    for id in [json!("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"), json!(7)] {
        let error = parse(&json!({ "id": id })).unwrap_err();
        assert!(matches!(error, DocumentError::Id { .. }), "{error}");
    }
    let long = "é".repeat(5000);
    let error = parse(&json!({ "id": long })).unwrap_err();
    let found = "é".repeat(100);
    assert_eq!(error, DocumentError::Id { found });
}

#[test]
fn fields_of_the_wrong_type_are_absent_and_the_rest_counts() {
    let parsed = parse(&json!({
        "id": DID, "alsoKnownAs": "at://a.test", "verificationMethod": { "id": "#atproto" },
        "service": [service("#atproto_pds", "AtprotoPersonalDataServer", "https://pds.test")],
    }))
    .unwrap();
    assert_eq!(parsed.claimed_handle(), None);
    assert_eq!(parsed.signing_key(), None);
    assert_eq!(parsed.pds().unwrap().as_str(), "https://pds.test");
}

#[test]
fn text_that_is_not_one_object_is_refused() {
    for text in [
        "",
        "[]",
        "null",
        "\"x\"",
        "{",
        "{} {}",
        "[\"did:web:a.test\"]",
    ] {
        let error = DidDocument::parse(text.as_bytes(), &did(DID)).unwrap_err();
        assert!(matches!(error, DocumentError::Json { .. }), "{text}");
    }
    let twice = format!(r#"{{"id":"{DID}","id":"{DID}"}}"#);
    let error = DidDocument::parse(twice.as_bytes(), &did(DID)).unwrap_err();
    assert!(matches!(error, DocumentError::Json { .. }));
}

#[test]
fn text_that_is_not_utf8_is_refused_in_fields_that_are_not_read_too() {
    let before = format!("{{\"id\":\"{DID}\",\n\"other\":\"");
    let json = [before.as_bytes(), b"\xe1\"}"].concat();
    let error = DidDocument::parse(&json, &did(DID)).unwrap_err();
    assert_eq!(
        error,
        DocumentError::Json {
            line: 2,
            column: 10
        }
    );
    let json = [before.as_bytes(), b"\xc3\xa1\"}"].concat();
    assert!(DidDocument::parse(&json, &did(DID)).is_ok());
}

#[test]
fn nesting_is_bounded_and_brackets_in_text_do_not_nest() {
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        let text = format!(r#"{{"id":"{DID}","x":{open}{close}}}"#);
        DidDocument::parse(text.as_bytes(), &did(DID))
    };
    // The object is a level too.
    nested(DidDocument::MAX_DEPTH - 1).unwrap();
    assert_eq!(nested(DidDocument::MAX_DEPTH), Err(DocumentError::TooDeep));
    assert_eq!(nested(30_000), Err(DocumentError::TooDeep));
    let text = json!({ "id": DID, "x": "\"\\[[{".repeat(100) });
    parse(&text).unwrap();
}

#[test]
fn a_document_of_more_than_64_kib_is_refused() {
    let sized = |length: usize| {
        let mut text = format!(r#"{{"id":"{DID}"}}"#);
        text.extend(std::iter::repeat_n(' ', length - text.len()));
        DidDocument::parse(text.as_bytes(), &did(DID))
    };
    sized(65_536).unwrap();
    assert_eq!(
        sized(65_537),
        Err(DocumentError::TooLong { length: 65_537 })
    );
}

/// JSON of any shape, with the names and texts of DID documents in any place.
fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just(DID.to_owned()),
        Just(KEY.to_owned()),
        Just("#atproto".to_owned()),
        Just("#atproto_pds".to_owned()),
        Just("Multikey".to_owned()),
        Just("AtprotoPersonalDataServer".to_owned()),
        Just("https://pds.test".to_owned()),
        "at://[a-zA-Z.-]{0,12}",
        ".{0,12}",
    ];
    let names = [
        "id",
        "alsoKnownAs",
        "verificationMethod",
        "service",
        "type",
        "controller",
        "publicKeyMultibase",
        "serviceEndpoint",
    ];
    let leaf = prop_oneof![
        text.prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, move |inner| {
        let name = proptest::sample::select(names.to_vec()).prop_map(str::to_owned);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            proptest::collection::btree_map(name, inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let _ = DidDocument::parse(&bytes, &did(DID));
    }

    #[test]
    fn what_a_document_says_is_in_its_json(mut json in any_json()) {
        if let Value::Object(fields) = &mut json {
            fields.insert("id".to_owned(), DID.into());
        }
        let text = json.to_string();
        match DidDocument::parse(text.as_bytes(), &did(DID)) {
            Ok(parsed) => {
                prop_assert!(json.is_object());
                if let Some(key) = parsed.signing_key() {
                    prop_assert!(text.contains(key.multibase()));
                    prop_assert!(text.contains(key.key_type().as_str()));
                }
                if let Some(handle) = parsed.claimed_handle() {
                    let lower = text.to_lowercase();
                    let alias = format!("\"at://{handle}\"");
                    prop_assert!(lower.contains(&alias));
                }
            }
            Err(_) => prop_assert!(!json.is_object()),
        }
    }

    #[test]
    fn changed_bytes_never_make_a_key_that_is_not_there(at in 0_usize..400, byte: u8) {
        let methods = [method("#atproto", "Multikey", DID, KEY)];
        let mut text = document(&methods, &[], &["at://a.test"]).to_string().into_bytes();
        let at = at % text.len();
        text[at] = byte;
        if let Ok(parsed) = DidDocument::parse(&text, &did(DID)) {
            let text = String::from_utf8_lossy(&text);
            let found = parsed.signing_key();
            prop_assert!(found.is_none_or(|key| text.contains(key.multibase())));
        }
    }
}
