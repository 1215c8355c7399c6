use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, Query, Request, State, WebSocketUpgrade};
use axum::http::request::Parts;
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};

use crate::counts::{FUTURE, OUTDATED};
use crate::options::FirehoseOptions;
use crate::reader::{Opened, Reader};
use crate::refusal::Refusal;
use crate::shared::Shared;
use crate::start::Start;

/// Answers a request: it becomes a reader or is refused.
pub(crate) async fn subscribe(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    admit(&shared, &mut parts).await.unwrap_or_else(|why| {
        shared.counters.refused(why);
        why.into_response()
    })
}

/// Makes a reader of a request, unless there is something against it. A limit is used up only by
/// requests that are right.
async fn admit(shared: &Arc<Shared>, parts: &mut Parts) -> Result<Response, Refusal> {
    if parts.method != Method::GET {
        return Err(Refusal::Method);
    }
    if shared.closing.is_cancelled() {
        return Err(Refusal::Stopping);
    }
    let upgrade = WebSocketUpgrade::from_request_parts(parts, &()).await;
    let upgrade = upgrade.map_err(|_| Refusal::Handshake)?;
    let cursor = cursor(&parts.uri)?;
    let address = address(parts, &shared.options);
    let connection = shared.connections.enter(address)?;
    // Where it starts is settled before the reader learns that it is connected.
    let opened = open(shared, cursor)?;
    let reader = Reader {
        connection,
        opened,
        address: address.filter(|_| !shared.options.hide_addresses),
        // From here on, so that `close` waits for those too that are not upgraded yet.
        token: shared.readers.token(),
    };
    let bytes = shared.options.max_message_bytes;
    let shared = Arc::clone(shared);
    let upgrade = upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        // Somewhat more than is allowed, so that one that is too large can be answered.
        .max_message_size(bytes.saturating_mul(2))
        .max_frame_size(bytes.saturating_mul(2));
    Ok(upgrade.on_upgrade(async move |socket| reader.serve(&shared, socket).await))
}

fn open(shared: &Shared, cursor: Option<u64>) -> Result<Opened, Refusal> {
    let start = Start::of(cursor, shared.source.bounds());
    let (kind, opened) = match start {
        Start::At(start) => {
            let kind = match cursor {
                None => "none",
                Some(0) => "zero",
                Some(_) => "kept",
            };
            (kind, Opened::frames(shared.source.frames(start), false))
        }
        Start::Outdated => {
            let frames = shared.source.frames(jetwash::FrameStart::Oldest);
            (OUTDATED, Opened::frames(frames, true))
        }
        Start::Future { newest } => (FUTURE, Opened::Future { newest }),
        Start::Unknown => return Err(Refusal::Empty),
    };
    shared.counters.cursor(kind);
    Ok(opened)
}

/// Reads the cursor of a query. Digits alone count: what a client did not mean as a cursor should
/// not silently become one.
fn cursor(uri: &Uri) -> Result<Option<u64>, Refusal> {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri);
    let Query(pairs) = pairs.map_err(|_| Refusal::Cursor)?;
    let mut cursors = pairs.iter().filter(|(name, _)| name == "cursor");
    let Some((_, cursor)) = cursors.next() else {
        return Ok(None);
    };
    let is_whole = !cursor.is_empty() && cursor.bytes().all(|byte| byte.is_ascii_digit());
    if !is_whole || cursors.next().is_some() {
        return Err(Refusal::Cursor);
    }
    cursor.parse().map(Some).map_err(|_| Refusal::Cursor)
}

/// Returns the address of a client: its socket's, or if a proxy is trusted the last one in the
/// header, which that proxy has added. The client may have made up the ones before it.
fn address(parts: &Parts, options: &FirehoseOptions) -> Option<IpAddr> {
    let forwarded = || {
        let value = parts
            .headers
            .get_all("x-forwarded-for")
            .iter()
            .next_back()?;
        let last = value.to_str().ok()?.rsplit(',').next()?;
        last.trim().parse().ok()
    };
    let forwarded: Option<IpAddr> = options.trust_forwarded_for.then(forwarded).flatten();
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let ip = forwarded.or_else(|| peer.map(|peer| peer.0.ip()));
    ip.map(|ip| ip.to_canonical())
}

/// The subprotocol of these frames, for clients that ask for it. Others get the same.
///
/// Source: proposal 0015 of the AT Protocol, a draft.
const PROTOCOL: &str = "xrpc.v0.cbor";
/// Readers send next to nothing.
const READ_BUFFER: usize = 4 << 10;
/// As much as is written at once. A socket that takes nothing holds one frame more.
const WRITE_BUFFER: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use super::{FirehoseOptions, Refusal, address, cursor};
    use axum::extract::ConnectInfo;
    use axum::http::Request;
    use std::net::{IpAddr, SocketAddr};

    #[test]
    fn a_cursor_is_one_whole_number() {
        let of = |query: &str| cursor(&format!("/x{query}").parse().unwrap());
        assert_eq!(of(""), Ok(None));
        assert_eq!(of("?other=1"), Ok(None));
        assert_eq!(of("?cursor=0"), Ok(Some(0)));
        assert_eq!(of("?a=b&cursor=0017"), Ok(Some(17)));
        assert_eq!(of("?cursor=%31%37"), Ok(Some(17)));
        assert_eq!(of("?cursor=18446744073709551615"), Ok(Some(u64::MAX)));
        for bad in [
            "?cursor",
            "?cursor=",
            "?cursor=-1",
            "?cursor=%2B1",
            "?cursor=+1",
            "?cursor=1.5",
            "?cursor=0x11",
            "?cursor=18446744073709551616",
            "?cursor=1&cursor=2",
            "?cursor=1&cursor=1",
            "?cursor=%D9%A1",
        ] {
            assert_eq!(of(bad), Err(Refusal::Cursor), "{bad}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_says_where_a_reader_is() {
        let request = Request::builder()
            .header("x-forwarded-for", "1.1.1.1")
            .header("x-forwarded-for", "3.3.3.3, 2.2.2.2")
            .extension(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 1))));
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let options = FirehoseOptions::default();
        let is = |bytes: [u8; 4]| Some(IpAddr::from(bytes));
        assert_eq!(address(&parts, &options), is([10, 0, 0, 1]));
        let options = options.trust_forwarded_for(true);
        assert_eq!(address(&parts, &options), is([2, 2, 2, 2]));
        let (parts, ()) = Request::new(()).into_parts();
        assert_eq!(address(&parts, &options), None);
    }
}
