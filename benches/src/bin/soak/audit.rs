use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use jetwash_benches::{split_message, subscribe_at};

use crate::check::{Check, Fault};
use crate::filter::Filter;
use crate::seen::Seen;
use crate::shared::Shared;
use crate::truth::lock;

/// Reads the whole log from its start, on the plain wire of a version, and compares it with the
/// relay's truth. Returns how many events there were.
pub(crate) fn audit(server: SocketAddr, shared: &Shared, is_v2: bool) -> io::Result<usize> {
    let target = match is_v2 {
        true => "/xrpc/network.bsky.jetstream.subscribeEvents?cursor=0",
        false => "/subscribe?cursor=0&cursor=seq",
    };
    let mut check = Check::at(Filter::everything(is_v2), 0);
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut bytes = subscribe_at(&mut stream, server, target)?;
    let mut buffer = vec![0; 256 << 10];
    let mut count = 0;
    let mut truth = lock(&shared.truth);
    loop {
        let mut rest = &bytes[..];
        while let Some((opcode, payload, after)) = split_message(rest) {
            rest = after;
            if opcode > 0x2 {
                continue;
            }
            count += 1;
            let seen = if is_v2 {
                Seen::message(payload)
            } else {
                Seen::line(payload)
            };
            let fault = match seen.map(|seen| check.take(&mut truth, &seen, usize::from(is_v2))) {
                Some(Ok(_)) => continue,
                Some(Err(fault)) => fault,
                None => Fault::Wrong("not an event".to_owned()),
            };
            let kind = match fault {
                Fault::Missing(_) => "missing",
                Fault::Extra(_) => "extra",
                Fault::Order(_) => "out of order",
                Fault::Wrong(_) => "wrong",
            };
            let text: String = String::from_utf8_lossy(payload).chars().take(200).collect();
            shared.fault(kind, format!("in the whole log: {fault:?}: {text}"));
        }
        bytes = rest.to_vec();
        if check.is_complete(&truth) {
            break;
        }
        match stream.read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
            Err(error) => {
                let left = check.outstanding(&truth).count();
                shared.fault(
                    "missing",
                    format!("{left} at the end of the whole log: {error}"),
                );
                break;
            }
        }
    }
    Ok(count)
}

const PATIENCE: Duration = Duration::from_secs(30);
