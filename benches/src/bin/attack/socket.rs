use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use jetwash_benches::subscribe;
use socket2::{Domain, Socket, Type};

/// A connection from an address, with a receive buffer of some size, if they matter.
pub(crate) fn connect(
    server: SocketAddr,
    from: Option<IpAddr>,
    receive_buffer: Option<usize>,
) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(ip) = from {
        socket.bind(&SocketAddr::new(ip, 0).into())?;
    }
    socket.connect_timeout(&server.into(), PATIENCE)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// A websocket by hand.
pub(crate) struct Subscriber {
    pub(crate) stream: TcpStream,
    /// The bytes after the answer to the handshake.
    pub(crate) early: Vec<u8>,
}

impl Subscriber {
    pub(crate) fn connect(
        server: SocketAddr,
        from: Option<IpAddr>,
        query: &str,
        receive_buffer: Option<usize>,
    ) -> io::Result<Self> {
        let mut stream = connect(server, from, receive_buffer)?;
        let early = subscribe(&mut stream, server, query)?;
        Ok(Self { stream, early })
    }
}

/// A text message as a client's frame, with a mask of zeros.
pub(crate) fn text_frame(text: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81, 0xff];
    frame.extend((text.len() as u64).to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(text);
    frame
}

/// Whether the server has left a connection open. What it has sent is thrown away.
pub(crate) fn is_open(stream: &mut TcpStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return false;
    }
    let mut buffer = [0; 64 << 10];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(3);
