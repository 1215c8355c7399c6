use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::http::open::TooMany;

/// An answer that is written by hand, because the connection gets no further: a status, a header or
/// nothing, and a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal(&'static str, &'static str, &'static str);

impl Refusal {
    /// The head or the body of a request did not arrive in time.
    pub(crate) const LATE: Self = Self(
        "408 Request Timeout",
        "",
        "the request has not come to its end in time",
    );

    pub(crate) const fn too_many(why: TooMany) -> Self {
        const LATER: &str = "Retry-After: 10\r\n";
        match why {
            TooMany::Together => Self("503 Service Unavailable", LATER, "too many connections"),
            TooMany::FromAddress => Self(
                "429 Too Many Requests",
                LATER,
                "too many connections from this address",
            ),
        }
    }

    /// Sends the answer, and gives up after a second: the client may not read it at all.
    pub(crate) async fn send(self, stream: &mut TcpStream) {
        let _ = timeout(PATIENCE, self.write(stream)).await;
    }

    async fn write(self, stream: &mut TcpStream) -> io::Result<()> {
        let Self(status, more, body) = self;
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Length: \
             {length}\r\n{more}Connection: close\r\n\r\n{body}"
        );
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // A socket that is closed with unread bytes sends a reset, which would discard the answer.
        let mut rest = MOST_HEAD;
        let mut buffer = [0; 1024];
        while rest > 0 {
            match stream.read(&mut buffer).await? {
                0 => break,
                count => rest = rest.saturating_sub(count),
            }
        }
        Ok(())
    }
}

/// Counts a connection that is closed because a limit is reached.
pub(crate) fn count_refused(reason: &'static str) {
    ::metrics::counter!("jetwash_connections_refused_total", "reason" => reason).increment(1);
}

/// The largest head of a request, whose first line may have 64 KB.
pub(crate) const MOST_HEAD: usize = 128 << 10;
const PATIENCE: Duration = Duration::from_secs(1);
