use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener, ToSocketAddrs};
use std::str::FromStr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListenAddress {
    /// On all interfaces, over IPv4 and IPv6: a port without a host, as Go writes it.
    Any(u16),
    /// On this one.
    At(SocketAddr),
}

impl ListenAddress {
    /// Where a program on this machine reaches it: on loopback, if it is on all interfaces.
    pub(crate) fn reachable(self) -> SocketAddr {
        match self {
            Self::Any(port) => (Ipv4Addr::LOCALHOST, port).into(),
            Self::At(address) => on_loopback(address),
        }
    }

    /// Opens the socket.
    pub(crate) async fn bind(self) -> io::Result<TcpListener> {
        match self {
            Self::At(address) => TcpListener::bind(address).await,
            Self::Any(port) => match dual_stack(port) {
                Ok(listener) => TcpListener::from_std(listener),
                Err(error) if is_final(&error) => Err(error),
                // The machine has no IPv6.
                Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
            },
        }
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(port) = text.strip_prefix(':') {
            let port = port.parse();
            return port
                .map(Self::Any)
                .map_err(|error| format!("the port: {error}"));
        }
        let mut found = text.to_socket_addrs().map_err(|error| {
            format!("{error}; it must be an address and a port, such as 127.0.0.1:6008")
        })?;
        let first = found.next();
        first
            .map(Self::At)
            .ok_or_else(|| "the host has no address".to_owned())
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any(port) => write!(f, ":{port}"),
            Self::At(address) => address.fmt(f),
        }
    }
}

/// The same address, or that of loopback for all interfaces.
pub(crate) fn on_loopback(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        // A socket of both families is reached over either.
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    (ip, address.port()).into()
}

/// A socket for both families, whatever the system's default is for those of IPv6.
fn dual_stack(port: u16) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_only_v6(false)?;
    // As the standard library does, so that a server can be started again at once.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Whether an error would be the same with IPv4 alone, or would leave one family to somebody else.
fn is_final(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
    )
}

/// How many connections may wait to be accepted, as tokio has it.
const BACKLOG: i32 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_leave_out_the_host_as_go_does() {
        assert_eq!(":6008".parse(), Ok(ListenAddress::Any(6008)));
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        assert_eq!("127.0.0.1:1".parse(), Ok(ListenAddress::At(address)));
        for bad in ["127.0.0.1", ":", ":70000", ""] {
            assert!(bad.parse::<ListenAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_of_all_interfaces_is_reached_on_loopback() {
        let reached = |text: &str| text.parse::<ListenAddress>().unwrap().reachable();
        for all in [":6009", "0.0.0.0:6009", "[::]:6009"] {
            assert_eq!(
                reached(all),
                SocketAddr::from(([127, 0, 0, 1], 6009)),
                "{all}"
            );
        }
        assert_eq!(reached("10.0.0.1:1"), SocketAddr::from(([10, 0, 0, 1], 1)));
    }

    #[tokio::test]
    async fn a_port_without_a_host_takes_both_families() {
        let listener = ListenAddress::Any(0).bind().await.unwrap();
        let address = listener.local_addr().unwrap();
        let v4 = (Ipv4Addr::LOCALHOST, address.port());
        tokio::net::TcpStream::connect(v4).await.unwrap();
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.ip().to_canonical(), Ipv4Addr::LOCALHOST);
        if address.is_ipv6() {
            let v6 = (Ipv6Addr::LOCALHOST, address.port());
            match tokio::net::TcpStream::connect(v6).await {
                Ok(_) => assert_eq!(listener.accept().await.unwrap().1.ip(), Ipv6Addr::LOCALHOST),
                Err(error) => println!("skipped: there is no IPv6 on loopback: {error}"),
            }
        } else {
            println!("skipped: there is no IPv6");
        }
    }
}
