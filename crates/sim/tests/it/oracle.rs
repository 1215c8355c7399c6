//! Reads frames with published crates and none of the project's.

use std::collections::BTreeMap;

use ipld_core::cid::Cid;
use ipld_core::ipld::Ipld;
use k256::ecdsa::signature::Verifier;
use serde_ipld_dagcbor::de::Deserializer;
use sha2::{Digest, Sha256};

pub(crate) type Fields = BTreeMap<String, Ipld>;

/// The type of a frame, and its message.
pub(crate) fn decode(frame: &[u8]) -> (String, Fields) {
    let items: Vec<Ipld> = Deserializer::from_slice(frame)
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let [Ipld::Map(header), Ipld::Map(message)] = &items[..] else {
        panic!("not two maps: {items:?}");
    };
    let mut again = serde_ipld_dagcbor::to_vec(header).unwrap();
    again.extend(serde_ipld_dagcbor::to_vec(message).unwrap());
    assert_eq!(again, frame, "the frame is not in canonical form");
    match header.get("op") {
        Some(Ipld::Integer(1)) => (text(header, "t"), message.clone()),
        Some(Ipld::Integer(-1)) => ("error".to_owned(), message.clone()),
        op => panic!("op: {op:?}"),
    }
}

/// The root and the blocks of a CAR file, in order, each hashed.
pub(crate) fn car(bytes: &[u8]) -> (Cid, Vec<(Cid, Vec<u8>)>) {
    let (header, mut rest) = section(bytes);
    let Ipld::Map(header) = serde_ipld_dagcbor::from_slice(header).unwrap() else {
        panic!("a CAR header that is no map");
    };
    assert_eq!(header["version"], Ipld::Integer(1));
    let Ipld::List(roots) = &header["roots"] else {
        panic!("no roots");
    };
    let [Ipld::Link(root)] = &roots[..] else {
        panic!("not one root");
    };
    let mut blocks = Vec::new();
    while !rest.is_empty() {
        let (block, after) = section(rest);
        let (cid, content) = block.split_at(36);
        assert_eq!(Sha256::digest(content)[..], cid[4..]);
        blocks.push((Cid::try_from(cid).unwrap(), content.to_vec()));
        rest = after;
    }
    (*root, blocks)
}

/// A commit object whose signature was made with the key in the DID document.
pub(crate) fn signed_commit(block: &[u8], document: &str) -> Fields {
    let Ipld::Map(mut commit) = serde_ipld_dagcbor::from_slice(block).unwrap() else {
        panic!("a commit that is no map");
    };
    let signed = commit.clone();
    let Some(Ipld::Bytes(signature)) = commit.remove("sig") else {
        panic!("no signature");
    };
    let message = serde_ipld_dagcbor::to_vec(&commit).unwrap();
    let document: serde_json::Value = serde_json::from_str(document).unwrap();
    let multikey = document["verificationMethod"][0]["publicKeyMultibase"].as_str();
    let key = bs58::decode(&multikey.unwrap()[1..]).into_vec().unwrap();
    match key[..2] {
        [0xe7, 0x01] => {
            let key = k256::ecdsa::VerifyingKey::from_sec1_bytes(&key[2..]).unwrap();
            let signature = k256::ecdsa::Signature::from_slice(&signature).unwrap();
            assert_eq!(signature.normalize_s(), signature, "high s");
            key.verify(&message, &signature).unwrap();
        }
        [0x80, 0x24] => {
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&key[2..]).unwrap();
            let signature = p256::ecdsa::Signature::from_slice(&signature).unwrap();
            assert_eq!(signature.normalize_s(), signature, "high s");
            key.verify(&message, &signature).unwrap();
        }
        _ => panic!("a key of another curve"),
    }
    signed
}

pub(crate) fn text(fields: &Fields, name: &str) -> String {
    match &fields[name] {
        Ipld::String(text) => text.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

pub(crate) fn optional_text(fields: &Fields, name: &str) -> Option<String> {
    match fields.get(name) {
        None | Some(Ipld::Null) => None,
        Some(_) => Some(text(fields, name)),
    }
}

pub(crate) fn bytes<'f>(fields: &'f Fields, name: &str) -> &'f [u8] {
    match &fields[name] {
        Ipld::Bytes(bytes) => bytes,
        other => panic!("{name}: {other:?}"),
    }
}

/// The text form of a link, which is what the two sorts of CID have in common.
pub(crate) fn link(fields: &Fields, name: &str) -> Option<String> {
    match fields.get(name) {
        None | Some(Ipld::Null) => None,
        Some(Ipld::Link(cid)) => Some(cid.to_string()),
        other => panic!("{name}: {other:?}"),
    }
}

fn section(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (mut length, mut shift) = (0, 0);
    for (index, byte) in bytes.iter().enumerate() {
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return bytes[index + 1..].split_at(length);
        }
    }
    panic!("a CAR file that is cut short");
}
