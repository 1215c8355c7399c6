//! Documents as the directory sends them.

use std::collections::BTreeMap;

use jetwash_corpus::corpus;
use jetwash_identity::{DidDocument, KeyType};

use crate::did;

#[test]
fn every_recorded_document_has_a_k256_multikey_a_pds_and_a_handle() {
    let Some(corpus) = corpus("recorded DID documents") else {
        return;
    };
    let documents = corpus.json("firehose-2026-07-04/did_docs.json");
    let mut hosts = BTreeMap::new();
    for (id, json) in documents.as_object().unwrap() {
        let parsed = DidDocument::parse(json.to_string().as_bytes(), &did(id)).unwrap();
        let key = parsed.signing_key().unwrap();
        assert_eq!(key.key_type(), KeyType::Multikey);
        // The multicodec of k256 keys makes every one of them start so.
        assert!(key.multibase().starts_with("zQ3s"), "{id}");
        assert_eq!(
            key.multibase(),
            json["verificationMethod"][0]["publicKeyMultibase"]
        );
        let pds = parsed.pds().unwrap().as_str();
        assert_eq!(pds, json["service"][0]["serviceEndpoint"], "{id}");
        let handle = parsed.claimed_handle().unwrap().as_ref();
        assert_eq!(format!("at://{handle}"), json["alsoKnownAs"][0], "{id}");
        *hosts.entry(pds.to_owned()).or_insert(0) += 1;
    }
    assert_eq!(documents.as_object().unwrap().len(), 100);
    assert!(hosts.len() > 10, "{hosts:?}");
}
