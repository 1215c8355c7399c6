//! The labeler on loopback: cursors, signatures, and its end.

use futures_util::StreamExt;
use ipld_core::ipld::Ipld;
use jetwash_frame::LabelFrame;
use jetwash_sim::{SimLabel, SimLabeler, did};
use k256::ecdsa::signature::Verifier;
use k256::ecdsa::{Signature, VerifyingKey};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

struct Reader(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Reader {
    async fn connect(labeler: &SimLabeler, query: &str) -> Self {
        let url = format!("{}{query}", labeler.url());
        Self(connect_async(url).await.unwrap().0)
    }

    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Binary(frame))) => return Some(frame.to_vec()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The number, and the values with whether they are taken back, of the next frame.
    async fn labels(&mut self) -> (u64, Vec<(String, bool)>) {
        let frame = self.next().await.unwrap();
        let Ok(LabelFrame::Labels(message)) = LabelFrame::decode(&frame) else {
            panic!("other frame")
        };
        let labels = message.labels().iter();
        (
            message.seq,
            labels
                .map(|label| (label.val.to_owned(), label.neg))
                .collect(),
        )
    }
}

#[tokio::test]
async fn a_cursor_gives_the_labels_behind_it_and_then_those_to_come() {
    let mut labeler = SimLabeler::start(did(0)).await.unwrap();
    assert_eq!(labeler.label(did(1), "spam"), 1);
    assert_eq!(labeler.negate(did(1), "spam"), 2);
    let mut all = Reader::connect(&labeler, "?cursor=0").await;
    let mut second = Reader::connect(&labeler, "?cursor=1").await;
    let spam = |neg| vec![("spam".to_owned(), neg)];
    assert_eq!(all.labels().await, (1, spam(false)));
    assert_eq!(all.labels().await, (2, spam(true)));
    assert_eq!(second.labels().await, (2, spam(true)));
    let labels = ["a", "b"].map(|val| SimLabel::new(did(0), did(2), val));
    labeler.publish(labels);
    let both = vec![("a".to_owned(), false), ("b".to_owned(), false)];
    assert_eq!(all.labels().await, (3, both.clone()));
    assert_eq!(second.labels().await, (3, both));
}

#[tokio::test]
async fn a_cursor_in_the_future_is_an_error() {
    let labeler = SimLabeler::start(did(0)).await.unwrap();
    let mut reader = Reader::connect(&labeler, "?cursor=1").await;
    let frame = reader.next().await.unwrap();
    let Ok(LabelFrame::Error(error)) = LabelFrame::decode(&frame) else {
        panic!("other frame")
    };
    assert_eq!(error.error, "FutureCursor");
    assert_eq!(reader.next().await, None);
}

#[tokio::test]
async fn the_end_of_a_labeler_is_the_end_of_its_connections() {
    let labeler = SimLabeler::start(did(0)).await.unwrap();
    let mut reader = Reader::connect(&labeler, "").await;
    drop(labeler);
    assert_eq!(reader.next().await, None);
}

/// Read, written again without `sig` and verified by other libraries than those that made it.
#[tokio::test]
async fn a_label_is_signed_over_all_its_other_fields() {
    let mut labeler = SimLabeler::start(did(0)).await.unwrap();
    let label = SimLabel::new(did(0), did(1), "spam")
        .on_version("bafy")
        .until("2027-01-01T00:00:00Z");
    labeler.publish([label.negated()]);
    let frame = Reader::connect(&labeler, "?cursor=0")
        .await
        .next()
        .await
        .unwrap();
    let (_, payload) = crate::oracle::decode(&frame);
    let Ipld::List(labels) = &payload["labels"] else {
        panic!()
    };
    let Ipld::Map(mut fields) = labels[0].clone() else {
        panic!()
    };
    let names: Vec<&str> = fields.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "cid", "cts", "exp", "neg", "sig", "src", "uri", "val", "ver"
        ]
    );
    let Some(Ipld::Bytes(signature)) = fields.remove("sig") else {
        panic!()
    };
    let signed = serde_ipld_dagcbor::to_vec(&Ipld::Map(fields)).unwrap();
    let multikey = labeler.multikey();
    let key = bs58::decode(&multikey[1..]).into_vec().unwrap();
    let key = VerifyingKey::from_sec1_bytes(&key[2..]).unwrap();
    let signature = Signature::from_slice(&signature).unwrap();
    key.verify(&signed, &signature).unwrap();
}
