use k256::ecdsa::signature::Signer;
use sha2::{Digest, Sha256};

/// An account's signing key.
#[derive(Debug)]
pub(crate) enum Key {
    K256(k256::ecdsa::SigningKey),
    P256(p256::ecdsa::SigningKey),
}

impl Key {
    /// The key that belongs to these numbers and no others.
    pub(crate) fn derive(curve: Curve, seed: u64, account: u64) -> Self {
        // Not every digest is a scalar of the curve; then its own digest is tried.
        let mut digest = Sha256::new();
        digest.update(b"jetwash-sim signing key");
        digest.update(seed.to_be_bytes());
        digest.update(account.to_be_bytes());
        let mut secret = digest.finalize();
        loop {
            let key = match curve {
                Curve::K256 => k256::ecdsa::SigningKey::from_slice(&secret).map(Self::K256),
                Curve::P256 => p256::ecdsa::SigningKey::from_slice(&secret).map(Self::P256),
            };
            match key {
                Ok(key) => return key,
                Err(_) => secret = Sha256::digest(secret),
            }
        }
    }

    /// Signs the SHA-256 of `message`: `r` and `s`, of which `s` is the lower one of two.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        match self {
            Self::K256(key) => {
                let signature: k256::ecdsa::Signature = key.sign(message);
                signature.normalize_s().to_bytes().into()
            }
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.normalize_s().to_bytes().into()
            }
        }
    }

    /// The public key as DID documents give it: the curve's code and the compressed point.
    pub(crate) fn multikey(&self) -> String {
        let mut bytes = Vec::with_capacity(35);
        match self {
            Self::K256(key) => {
                bytes.extend([0xe7, 0x01]);
                bytes.extend(key.verifying_key().to_sec1_point(true).as_bytes());
            }
            Self::P256(key) => {
                bytes.extend([0x80, 0x24]);
                bytes.extend(key.verifying_key().to_sec1_point(true).as_bytes());
            }
        }
        format!("z{}", bs58::encode(bytes).into_string())
    }
}

/// The two curves of AT Protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    K256,
    P256,
}
