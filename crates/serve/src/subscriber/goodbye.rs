use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::time::{Instant, timeout, timeout_at};

use crate::subscriber::end::End;
use crate::subscriber::inbound::Inbound;
use crate::subscriber::output::Output;
use crate::subscriber::socket::Socket;

/// Says why a subscriber ends, where its socket still allows it, and waits for the client's own close
/// frame.
///
/// One that has been silent for long gets no time for it, and neither does one that takes memory which
/// others need: what its socket has not taken then is discarded.
pub(crate) async fn say_goodbye<R: AsyncRead + Unpin, W: Socket>(
    inbound: &mut Inbound<R>,
    mut output: Output<W>,
    end: &End,
) {
    let Some((code, reason)) = end.close_frame() else {
        return;
    };
    let is_over_budget = matches!(end, End::Memory(_));
    if is_over_budget {
        inbound.forget();
    }
    // Others need the memory that it takes now.
    let is_burden = is_over_budget && output.is_stuck();
    let is_silent = is_burden || matches!(end, End::PongTimeout | End::WriteTimeout);
    let begun = Instant::now();
    let patience = if is_silent { Duration::ZERO } else { GOODBYE };
    if let Ok(Ok(())) = timeout(patience, output.close(code, &reason)).await {
        // The client's own close frame follows, unless it has gone away.
        let _ = timeout_at(begun + GOODBYE, inbound.drain()).await;
    } else if is_silent {
        output.reset_on_drop();
    }
}

/// Sends the rest of an answer where its client still takes it. `is_whole` says whether the answer ends
/// properly if nothing has failed: otherwise its client finds it cut off.
///
/// A client that has been silent for long is reset, and so is one whose memory others need.
pub(crate) async fn end_answer<W: Socket>(mut output: Output<W>, end: &End, is_whole: bool) {
    match end {
        // There is nothing left to be sent, or nobody to take it.
        End::Complete | End::Disconnected | End::Io(_) => return,
        End::Memory(_) | End::WriteTimeout => return output.reset_on_drop(),
        _ => {}
    }
    if !matches!(timeout(GOODBYE, output.finish(is_whole)).await, Ok(Ok(()))) {
        output.reset_on_drop();
    }
}

/// The time for a closing handshake.
const GOODBYE: Duration = Duration::from_secs(2);
