use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::thread;

use bytes::Bytes;
use futures_util::Stream;
use jetwash::frame::MAX_FRAME_BYTES;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tracing::{error, info};

/// The frames of a file, read on a thread of its own. A file that is damaged ends at the damage,
/// with a line in the log that says where.
pub(crate) fn open(path: &Path) -> io::Result<impl Stream<Item = Bytes> + Send + use<>> {
    let file = BufReader::new(File::open(path)?);
    let is_packed = path.extension().is_some_and(|extension| extension == "zst");
    let mut reader: Box<dyn Read + Send> = if is_packed {
        Box::new(zstd::Decoder::with_buffer(file)?)
    } else {
        Box::new(file)
    };
    let (sender, receiver) = mpsc::channel(64);
    let name = path.display().to_string();
    thread::Builder::new()
        .name("replay".to_owned())
        .spawn(move || {
            let mut count = 0_u64;
            loop {
                let frame = match read_frame(&mut reader) {
                    Ok(Some(frame)) => frame,
                    Ok(None) => {
                        return info!("{count} frames were read from {name}, which was all");
                    }
                    Err(error) => return error!("{name}, after {count} frames: {error}"),
                };
                if sender.blocking_send(frame).is_err() {
                    return;
                }
                count += 1;
            }
        })?;
    Ok(ReceiverStream::new(receiver))
}

/// One frame, or `None` at the end of the file.
fn read_frame(reader: &mut impl Read) -> io::Result<Option<Bytes>> {
    let mut length = [0; 4];
    let mut filled = 0;
    while filled < length.len() {
        match reader.read(&mut length[filled..])? {
            0 if filled == 0 => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_FRAME_BYTES {
        return Err(io::Error::other(format!(
            "a frame of {length} bytes, more than the {MAX_FRAME_BYTES} that there can be: this \
             is no file of frames",
        )));
    }
    let mut frame = vec![0; length];
    reader.read_exact(&mut frame)?;
    Ok(Some(frame.into()))
}
