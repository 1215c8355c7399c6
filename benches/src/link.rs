use std::io::{self, Read};
use std::net::SocketAddr;
use std::time::Duration;

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Socket, Type};

use crate::websocket::subscribe_at;

/// A subscriber's connection that one thread reads together with many others.
#[derive(Debug)]
pub struct Link {
    socket: TcpStream,
    /// The start of a message whose end has not come yet.
    begun: Vec<u8>,
}

impl Link {
    /// Connects to `server`, and asks for a path and query.
    ///
    /// With `receive_buffer`, the kernel takes in no more than about that for a subscriber that
    /// does not read.
    ///
    /// # Errors
    ///
    /// When the connection fails, or the server refuses: then with its answer as the message.
    pub fn connect(
        server: SocketAddr,
        target: &str,
        receive_buffer: Option<usize>,
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.connect(&server.into())?;
        let mut socket = std::net::TcpStream::from(socket);
        socket.set_read_timeout(Some(PATIENCE))?;
        let begun = subscribe_at(&mut socket, server, target)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: TcpStream::from_std(socket),
            begun,
        })
    }

    /// Has a poll report it under a number when there is something to read.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn register(&mut self, registry: &Registry, number: usize) -> io::Result<()> {
        let readable = Interest::READABLE;
        self.socket.register(registry, Token(number), readable)
    }

    /// Undoes [`register`](Self::register).
    ///
    /// # Errors
    ///
    /// When it was not registered.
    pub fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.socket.deregister(registry)
    }

    /// Reads up to `most` bytes behind those that were kept, and returns how many there are then
    /// and how many of them are new; 0 at the end.
    ///
    /// # Errors
    ///
    /// As the socket; `WouldBlock` when there is nothing to read.
    pub fn read(&mut self, buffer: &mut Vec<u8>, most: usize) -> io::Result<(usize, usize)> {
        let begun = self.begun.len();
        if buffer.len() < begun + most {
            buffer.resize(begun + most, 0);
        }
        buffer[..begun].copy_from_slice(&self.begun);
        loop {
            match self.socket.read(&mut buffer[begun..begun + most]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map(|count| (begun + count, count)),
            }
        }
    }

    /// Keeps the start of a message for the next read.
    pub fn keep(&mut self, rest: &[u8]) {
        self.begun.clear();
        self.begun.extend_from_slice(rest);
    }

    /// The bytes that are kept; at first those that came with the answer to the handshake.
    #[must_use]
    pub fn kept(&self) -> &[u8] {
        &self.begun
    }

    /// Writes all of a short message, or fails.
    ///
    /// # Errors
    ///
    /// As the socket, also when it has no room.
    pub fn write(&mut self, message: &[u8]) -> io::Result<()> {
        io::Write::write_all(&mut self.socket, message)
    }
}

/// How long the answer to a handshake may take.
const PATIENCE: Duration = Duration::from_secs(20);
