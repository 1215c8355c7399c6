//! Keys and signatures: the protocol's own vectors, and the forms that are refused.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use jetwash_corpus::corpus;
use jetwash_verify::{Curve, KeyError, PublicKey, SignatureError};
use serde_json::Value;

#[test]
fn every_signature_vector_of_the_protocol_is_judged_as_it_says() {
    let Some(corpus) = corpus("signature vectors") else {
        return;
    };
    let vectors = corpus.json("atproto-interop-tests/crypto/signature-fixtures.json");
    let vectors = vectors.as_array().unwrap();
    assert_eq!(vectors.len(), 6);
    for vector in vectors {
        let text = |name: &str| vector[name].as_str().unwrap();
        let bytes = |name: &str| STANDARD_NO_PAD.decode(text(name)).unwrap();
        let key = PublicKey::from_did_key(text("publicKeyDid")).unwrap();
        let legacy = (text("didDocSuite"), text("publicKeyMultibase"));
        let legacy = PublicKey::from_verification_method(legacy.0, legacy.1).unwrap();
        assert_eq!(key, legacy);
        assert_eq!(key.to_string(), text("publicKeyDid"));
        let verified = key.verify(&bytes("messageBase64"), &bytes("signatureBase64"));
        assert_eq!(
            verified.is_ok(),
            vector["validSignature"] == true,
            "{vector}"
        );
        match vector["tags"][0].as_str() {
            Some("high-s") => assert_eq!(verified, Err(SignatureError::HighS)),
            Some("der-encoded") => {
                assert!(matches!(verified, Err(SignatureError::Length(70 | 71))));
            }
            _ => assert_eq!(verified, Ok(())),
        }
    }
}

#[test]
fn every_did_key_of_the_protocol_is_the_one_of_its_secret() {
    let Some(corpus) = corpus("did:key vectors") else {
        return;
    };
    let file = |name: &str| corpus.json(&format!("atproto-interop-tests/crypto/{name}.json"));
    let k256 = file("w3c_didkey_K256");
    for vector in k256.as_array().unwrap() {
        let secret = hex(vector["privateKeyBytesHex"].as_str().unwrap());
        let secret = k256::ecdsa::SigningKey::from_slice(&secret).unwrap();
        let point = secret.verifying_key().to_sec1_point(true);
        check(vector, Curve::K256, point.as_bytes());
    }
    let p256 = file("w3c_didkey_P256");
    for vector in p256.as_array().unwrap() {
        let secret = vector["privateKeyBytesBase58"].as_str().unwrap();
        let secret = bs58::decode(secret).into_vec().unwrap();
        let secret = p256::ecdsa::SigningKey::from_slice(&secret).unwrap();
        let point = secret.verifying_key().to_sec1_point(true);
        check(vector, Curve::P256, point.as_bytes());
    }
    assert!(k256.as_array().unwrap().len() >= 5 && p256.as_array().unwrap().len() == 1);
}

fn check(vector: &Value, curve: Curve, point: &[u8]) {
    let text = vector["publicDidKey"].as_str().unwrap();
    let key = PublicKey::from_did_key(text).unwrap();
    assert_eq!(key.curve(), curve);
    assert_eq!(&key.to_bytes()[1..], point);
    assert_eq!(key.to_string(), text);
    assert_eq!(PublicKey::from_bytes(&key.to_bytes()), Ok(key));
}

#[test]
fn legacy_documents_hold_points_of_either_length() {
    let compressed = PublicKey::from_multikey(K256).unwrap();
    let point = &compressed.to_bytes()[1..];
    let whole = k256::ecdsa::VerifyingKey::from_sec1_bytes(point).unwrap();
    let whole = whole.to_sec1_point(false);
    assert_eq!(whole.len(), 65);
    let text = |bytes: &[u8]| format!("z{}", bs58::encode(bytes).into_string());
    let kind = "EcdsaSecp256k1VerificationKey2019";
    let read = |bytes: &[u8]| PublicKey::from_verification_method(kind, &text(bytes));
    assert_eq!(read(whole.as_bytes()), Ok(compressed.clone()));
    assert_eq!(read(&compressed.to_bytes()[1..]), Ok(compressed));
    // The same coordinates under the other curve.
    let other = "EcdsaSecp256r1VerificationKey2019";
    let error = PublicKey::from_verification_method(other, &text(whole.as_bytes()));
    assert_eq!(error, Err(KeyError::Point));
    // A hybrid form, which no standard of the protocol names.
    let mut hybrid = whole.as_bytes().to_vec();
    hybrid[0] = 6;
    assert_eq!(read(&hybrid), Err(KeyError::Length(65)));
    // In a multikey, only the compressed point is right.
    let multikey = [&[0xe7, 0x01], whole.as_bytes()].concat();
    assert_eq!(
        PublicKey::from_multikey(&text(&multikey)),
        Err(KeyError::Length(65))
    );
}

#[test]
fn what_is_no_key_is_refused() {
    let text = |bytes: &[u8]| format!("z{}", bs58::encode(bytes).into_string());
    let point = |first: &[u8]| text(&[first, &[2], &[0xff; 32]].concat());
    for (text, error) in [
        (String::new(), KeyError::Prefix),
        (K256[1..].to_owned(), KeyError::Prefix),
        (format!("{K256}0"), KeyError::Base),
        ("z".repeat(1 << 20), KeyError::Base),
        ("z".to_owned(), KeyError::Curve),
        (text(&[0xe7, 0x01]), KeyError::Length(0)),
        // The code of P-256 as a plain integer, not as a variable-length one.
        (point(&[0x12, 0x00]), KeyError::Curve),
        // No coordinate is that large.
        (point(&[0xe7, 0x01]), KeyError::Point),
        (point(&[0x80, 0x24]), KeyError::Point),
    ] {
        assert_eq!(PublicKey::from_multikey(&text), Err(error), "{text:.80}");
    }
    assert_eq!(PublicKey::from_did_key(K256), Err(KeyError::Prefix));
    let unknown = PublicKey::from_verification_method("Ed25519VerificationKey2020", K256);
    assert_eq!(unknown, Err(KeyError::Type));
    assert_eq!(PublicKey::from_bytes(&[]), Err(KeyError::Length(0)));
    assert_eq!(PublicKey::from_bytes(&[3; 34]), Err(KeyError::Curve));
}

#[test]
fn numbers_out_of_range_are_no_signature() {
    let key = PublicKey::from_multikey(K256).unwrap();
    let verify = |r: [u8; 32], s: [u8; 32]| key.verify(b"", &[r, s].concat());
    let one = [&[0; 31][..], &[1]].concat().try_into().unwrap();
    assert_eq!(verify([0; 32], one), Err(SignatureError::Range));
    assert_eq!(verify(one, [0; 32]), Err(SignatureError::Range));
    assert_eq!(verify([0xff; 32], one), Err(SignatureError::Range));
    assert_eq!(verify(one, one), Err(SignatureError::Mismatch));
    for length in [0, 63, 65, 72] {
        let error = key.verify(b"", &vec![1; length]);
        assert_eq!(error, Err(SignatureError::Length(length)));
    }
}

/// The bound of `s` itself, which the vectors leave open.
#[test]
fn half_the_order_is_the_greatest_s() {
    for (key, half) in [
        (
            K256,
            "7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0",
        ),
        (
            P256,
            "7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8",
        ),
    ] {
        let key = PublicKey::from_multikey(key).unwrap();
        let mut signature = [vec![1; 32], hex(half)].concat();
        assert_eq!(key.verify(b"", &signature), Err(SignatureError::Mismatch));
        signature[63] += 1;
        assert_eq!(key.verify(b"", &signature), Err(SignatureError::HighS));
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

const K256: &str = "zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc";
const P256: &str = "zDnaembgSGUhZULN2Caob4HLJPaxBh92N7rtH21TErzqf8HQo";
