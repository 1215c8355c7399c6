use axum::http::header::{
    CONNECTION, HeaderMap, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderName, HeaderValue};
use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, PAD, STANDARD};
use sha1::{Digest, Sha1};

/// Returns the headers of the answer that turns a request into a websocket.
///
/// # Errors
///
/// When the request does not ask for a websocket, or not as the standard says.
pub(crate) fn accept(request: &HeaderMap) -> Result<[(HeaderName, HeaderValue); 3], Refusal> {
    let is_upgrade = has_token(request, &CONNECTION, "upgrade")
        && has_token(request, &UPGRADE, "websocket")
        && has_token(request, &SEC_WEBSOCKET_VERSION, "13");
    let key = request
        .get(SEC_WEBSOCKET_KEY)
        .filter(|key| is_key(key.as_bytes()));
    let (true, Some(key)) = (is_upgrade, key) else {
        return Err(Refusal);
    };
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(PROTOCOL_ID);
    let answer = STANDARD.encode(hash.finalize());
    let answer = HeaderValue::from_str(&answer).map_err(|_| Refusal)?;
    Ok([
        (CONNECTION, HeaderValue::from_static("Upgrade")),
        (UPGRADE, HeaderValue::from_static("websocket")),
        (SEC_WEBSOCKET_ACCEPT, answer),
    ])
}

/// The offer of a subprotocol that a client makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// It names none.
    Absent,
    /// It names this one, perhaps among others.
    Made,
    /// It names others alone.
    Other,
}

/// Returns whether a client offers a subprotocol. Case matters in such names.
pub(crate) fn offer_of(request: &HeaderMap, protocol: &str) -> Offer {
    let mut names = request
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .peekable();
    if names.peek().is_none() {
        Offer::Absent
    } else if names.any(|name| name == protocol) {
        Offer::Made
    } else {
        Offer::Other
    }
}

/// The request is not a websocket handshake of version 13.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal;

/// Whether a comma-separated header has the token, in any case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(token))
}

/// Sixteen bytes in base64. Of its last character only two bits count; whatever the others are, the
/// key is one: section 4.1 of the standard itself prints `AQIDBAUGBwgJCgsMDQ4PEC==`.
fn is_key(key: &[u8]) -> bool {
    LENIENT.decode(key).is_ok_and(|key| key.len() == 16)
}

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    PAD.with_decode_allow_trailing_bits(true),
);

/// RFC 6455, section 1.3.
const PROTOCOL_ID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests {
    use super::*;

    fn request(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.clone(), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn the_key_of_the_standard_gets_the_answer_of_the_standard() {
        let headers = request(&[
            (CONNECTION, "keep-alive, Upgrade"),
            (UPGRADE, "WebSocket"),
            (SEC_WEBSOCKET_VERSION, "13"),
            (SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
        ]);
        let [_, _, (_, answer)] = accept(&headers).unwrap();
        assert_eq!(answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_subprotocol_is_offered_by_its_very_name() {
        let offer = |values: &[&'static str]| {
            let pairs = values.iter().map(|value| (SEC_WEBSOCKET_PROTOCOL, *value));
            offer_of(&request(&pairs.collect::<Vec<_>>()), "xrpc.v1.json")
        };
        assert_eq!(offer(&[]), Offer::Absent);
        assert_eq!(offer(&[" ,"]), Offer::Absent);
        assert_eq!(offer(&["xrpc.v1.json"]), Offer::Made);
        assert_eq!(offer(&["chat, xrpc.v1.json"]), Offer::Made);
        assert_eq!(offer(&["XRPC.v1.json"]), Offer::Other);
        assert_eq!(offer(&["xrpc.v1.json2,chat"]), Offer::Other);
    }

    #[test]
    fn keys_with_stray_bits_are_keys() {
        // The one that the standard prints in section 4.1, and the same sixteen bytes without.
        for key in ["AQIDBAUGBwgJCgsMDQ4PEC==", "AQIDBAUGBwgJCgsMDQ4PEA=="] {
            assert!(is_key(key.as_bytes()), "{key}");
        }
        for key in [
            "",
            "AQIDBAUGBwgJCgsMDQ4PEC",
            "AQIDBAUGBwgJCgsMDQ4PEC=",
            "AQIDBAUGBwgJCgsMDQ4PECA=",
        ] {
            assert!(!is_key(key.as_bytes()), "{key}");
        }
    }

    #[test]
    fn each_missing_part_is_a_refusal() {
        let all = [
            (CONNECTION, "Upgrade"),
            (UPGRADE, "websocket"),
            (SEC_WEBSOCKET_VERSION, "13"),
            (SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        assert!(accept(&request(&all)).is_ok());
        for missing in 0..all.len() {
            let mut some = all.to_vec();
            some.remove(missing);
            assert!(
                accept(&request(&some)).is_err(),
                "without {}",
                all[missing].0
            );
        }
        let mut short = all.to_vec();
        short[3].1 = "c2hvcnQ=";
        assert!(accept(&request(&short)).is_err());
    }
}
