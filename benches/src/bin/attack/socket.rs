use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

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
    /// What came with the answer to the handshake.
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
        let request = format!(
            "GET /subscribe?{query} HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        let mut buffer = [0; 512];
        let end = loop {
            let count = stream.read(&mut buffer)?;
            answer.extend_from_slice(&buffer[..count]);
            let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
            match end {
                Some(end) => break end + 4,
                None if count == 0 => return Err(ErrorKind::UnexpectedEof.into()),
                None => {}
            }
        };
        if !answer.starts_with(b"HTTP/1.1 101 ") {
            let answer = String::from_utf8_lossy(&answer).into_owned();
            return Err(io::Error::other(answer));
        }
        Ok(Self {
            stream,
            early: answer.split_off(end),
        })
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
