//! The little of SOCKS 5 (RFC 1928) that a client needs to be connected to a host, and its way to
//! sign in with user and password (RFC 1929).

use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use url::Host;

use super::error::RelayError;

/// A user and a password, each of 1 to 255 bytes.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    user: Vec<u8>,
    password: Vec<u8>,
}

impl Credentials {
    /// `None` if SOCKS cannot send them.
    pub(super) fn new(user: Vec<u8>, password: Vec<u8>) -> Option<Self> {
        let is_sendable = |text: &[u8]| (1..=255).contains(&text.len());
        (is_sendable(&user) && is_sendable(&password)).then_some(Self { user, password })
    }
}

impl std::fmt::Debug for Credentials {
    /// They are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

/// Why a proxy makes no connection.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It says so, or does not speak SOCKS 5.
    Said(String),
    /// It is gone.
    Broken(RelayError),
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error.into())
    }
}

/// Asks a proxy for a connection to a host. What the host sends comes after that.
pub(super) async fn connect<S>(
    stream: &mut S,
    host: &Host<&str>,
    port: u16,
    credentials: Option<&Credentials>,
) -> Result<(), Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    sign_in(stream, credentials).await?;
    let request = request_for(host, port)?;
    send(stream, &request).await?;
    let [version, reply, _, kind] = receive(stream).await?;
    if version != VERSION {
        return refused("does not speak SOCKS 5");
    }
    if reply != 0 {
        let reason = REPLIES.get(usize::from(reply)).copied();
        let reason = reason.unwrap_or("gives a reason that is not known");
        return Err(Refusal::Said(format!("does not connect: {reason}")));
    }
    // The address that it connects from says nothing here, but has to be read.
    let length = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => receive::<1, _>(stream).await?[0].into(),
        _ => return refused("does not speak SOCKS 5"),
    };
    let mut rest = vec![0; length + 2];
    stream.read_exact(&mut rest).await?;
    Ok(())
}

/// Agrees with the proxy on how to sign in, and does so.
async fn sign_in<S>(stream: &mut S, credentials: Option<&Credentials>) -> Result<(), Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let offered: &[u8] = match credentials {
        Some(_) => &[VERSION, 2, NO_SIGN_IN, PASSWORD],
        None => &[VERSION, 1, NO_SIGN_IN],
    };
    send(stream, offered).await?;
    // A proxy may choose not to ask for the password that was offered.
    let [version, method] = receive(stream).await?;
    match (method, credentials) {
        _ if version != VERSION => return refused("does not speak SOCKS 5"),
        (NO_SIGN_IN, _) => {}
        (PASSWORD, Some(Credentials { user, password })) => {
            let mut request = vec![1, user.len() as u8];
            request.extend_from_slice(user);
            request.push(password.len() as u8);
            request.extend_from_slice(password);
            send(stream, &request).await?;
            let [_, status] = receive(stream).await?;
            if status != 0 {
                return refused("does not take the user and the password");
            }
        }
        (_, Some(_)) => return refused("takes no user and password"),
        (_, None) => return refused("wants a user and a password, or another way to sign in"),
    }
    Ok(())
}

fn request_for(host: &Host<&str>, port: u16) -> Result<Vec<u8>, Refusal> {
    let mut request = vec![VERSION, CONNECT, 0];
    match host {
        Host::Ipv4(address) => {
            request.push(IPV4);
            request.extend(address.octets());
        }
        Host::Ipv6(address) => {
            request.push(IPV6);
            request.extend(address.octets());
        }
        Host::Domain(name) => {
            let Ok(length) = u8::try_from(name.len()) else {
                return refused("cannot be told a host's name of more than 255 bytes");
            };
            request.extend([NAME, length]);
            request.extend_from_slice(name.as_bytes());
        }
    }
    request.extend(port.to_be_bytes());
    Ok(request)
}

fn refused<T>(reason: &str) -> Result<T, Refusal> {
    Err(Refusal::Said(reason.to_owned()))
}

/// The host as SOCKS is told it, when its name has been looked up here.
pub(super) const fn looked_up(address: IpAddr) -> Host<&'static str> {
    match address {
        IpAddr::V4(address) => Host::Ipv4(address),
        IpAddr::V6(address) => Host::Ipv6(address),
    }
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

async fn receive<const N: usize, S>(stream: &mut S) -> std::io::Result<[u8; N]>
where
    S: AsyncRead + Unpin,
{
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

const VERSION: u8 = 5;
const NO_SIGN_IN: u8 = 0;
const PASSWORD: u8 = 2;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;
/// By the number in the reply.
const REPLIES: [&str; 9] = [
    "",
    "it failed",
    "its rules forbid it",
    "the network cannot be reached",
    "the host cannot be reached",
    "the host refuses",
    "it took too long",
    "it cannot do that",
    "it cannot reach such an address",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The outcome with a proxy that answers so, and the bytes sent to it.
    async fn asked(
        host: Host<&str>,
        credentials: Option<Credentials>,
        answer: &[u8],
    ) -> (Result<(), String>, Vec<u8>) {
        let (mut server, mut client) = tokio::io::duplex(1024);
        server.write_all(answer).await.unwrap();
        let outcome = connect(&mut client, &host, 443, credentials.as_ref()).await;
        drop(client);
        let mut sent = Vec::new();
        server.shutdown().await.ok();
        server.read_to_end(&mut sent).await.unwrap();
        let outcome = outcome.map_err(|refusal| match refusal {
            Refusal::Said(reason) => reason,
            Refusal::Broken(error) => error.to_string(),
        });
        (outcome, sent)
    }

    const OK: &[u8] = b"\x05\0\x05\0\0\x01\0\0\0\0\0\0";

    #[tokio::test]
    async fn hosts_are_told_as_they_are() {
        let (outcome, sent) = asked(Host::Domain("relay.example"), None, OK).await;
        assert_eq!(outcome, Ok(()));
        assert_eq!(sent, b"\x05\x01\0\x05\x01\0\x03\x0drelay.example\x01\xbb");
        let (_, sent) = asked(looked_up([1, 2, 3, 4].into()), None, OK).await;
        assert_eq!(sent[3..], *b"\x05\x01\0\x01\x01\x02\x03\x04\x01\xbb");
        let named = b"\x05\0\x05\0\0\x03\x02ab\0\0";
        let (outcome, sent) = asked(looked_up(IpAddr::V6(1.into())), None, named).await;
        assert_eq!(outcome, Ok(()));
        let expected = b"\x05\x01\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x01\xbb";
        assert_eq!(sent[3..], *expected);
        let long = "a".repeat(256);
        asked(Host::Domain(&long), None, OK).await.0.unwrap_err();
    }

    #[tokio::test]
    async fn a_user_and_a_password_are_sent_if_the_proxy_asks() {
        let credentials = || Credentials::new(b"user".to_vec(), b"pass".to_vec());
        let host = || Host::Domain("a");
        let answer = [b"\x05\x02\x01\0", &OK[2..]].concat();
        let (outcome, sent) = asked(host(), credentials(), &answer).await;
        assert_eq!(outcome, Ok(()));
        assert_eq!(sent[..15], *b"\x05\x02\0\x02\x01\x04user\x04pass");
        let (outcome, sent) = asked(host(), credentials(), OK).await;
        assert_eq!(outcome, Ok(()));
        assert_eq!(sent[4..], *b"\x05\x01\0\x03\x01a\x01\xbb");
        assert_eq!(Credentials::new(Vec::new(), vec![1]), None);
        assert_eq!(Credentials::new(vec![1; 256], vec![1]), None);
    }

    #[tokio::test]
    async fn a_proxy_that_refuses_or_speaks_something_else_is_told_of() {
        let credentials = || Credentials::new(b"user".to_vec(), b"pass".to_vec());
        for (credentials, answer, expected) in [
            (None, &b"\x05\x02"[..], "wants a user and a password"),
            (None, b"\x05\xff", "wants a user and a password"),
            (credentials(), b"\x05\xff", "takes no user and password"),
            (credentials(), b"\x05\x02\x01\x01", "does not take the user"),
            (None, b"HTTP/1.1 400", "does not speak SOCKS 5"),
            (
                None,
                b"\x05\0\x05\x05\0\x01",
                "does not connect: the host refuses",
            ),
            (None, b"\x05\0\x05\x63\0\x01", "not known"),
            (None, b"\x05\0\x05\0\0\x09", "does not speak SOCKS 5"),
        ] {
            let (outcome, _) = asked(Host::Domain("a"), credentials, answer).await;
            let reason = outcome.unwrap_err();
            assert!(reason.contains(expected), "{reason}");
        }
    }
}
