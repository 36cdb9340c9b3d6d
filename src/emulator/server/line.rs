//! A TCP connection that can be cut from inside a handler, with or without TLS over it.
//!
//! TLS begins with the first read, in the connection's own task, so that a client that says nothing holds nobody up.
//! Where a port speaks both, the client's first byte decides.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use super::connections::{Connections, Cut};

/// The connection as TCP has it; under TLS it is cut here too, so that not even a goodbye goes out.
pub struct Wire {
    stream: TcpStream,
    cut: Cut,
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.cut.check_read(cx.waker())?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.cut.check_write(cx.waker())?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.cut.check_write(cx.waker())?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The first byte of every TLS connection: a handshake record.
const HANDSHAKE: u8 = 0x16;

/// What a listener speaks.
#[derive(Clone)]
pub enum Speaks {
    Plain,
    Tls(TlsAcceptor),
    /// What the client begins with.
    Either(TlsAcceptor),
}

/// What the HTTP server talks over.
pub enum Line {
    /// The client has said nothing yet.
    Silent(Option<(Wire, TlsAcceptor)>),
    Plain(Wire),
    Handshake(Box<Accept<Wire>>),
    Tls(Box<TlsStream<Wire>>),
}

impl Line {
    /// Finds out whether the client wants TLS, and goes on with the handshake if so; then the line is ready.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Self::Silent(begun) = self {
            let mut first = [0];
            if let Some((wire, _)) = begun {
                ready!(wire.stream.poll_peek(cx, &mut ReadBuf::new(&mut first)))?;
            }
            let (wire, acceptor) = begun.take().ok_or(io::ErrorKind::NotConnected)?;
            *self = match first {
                [HANDSHAKE] => Self::Handshake(Box::new(acceptor.accept(wire))),
                _ => Self::Plain(wire),
            };
        }
        if let Self::Handshake(accept) = self {
            let stream = ready!(Pin::new(accept.as_mut()).poll(cx))?;
            *self = Self::Tls(Box::new(stream));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_ready(cx))?;
        match &mut *self {
            Self::Plain(wire) => Pin::new(wire).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
            Self::Silent(_) | Self::Handshake(_) => Poll::Pending,
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_ready(cx))?;
        match &mut *self {
            Self::Plain(wire) => Pin::new(wire).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
            Self::Silent(_) | Self::Handshake(_) => Poll::Pending,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(wire) => Pin::new(wire).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
            Self::Silent(_) | Self::Handshake(_) => Poll::Ready(Ok(())), // nothing was written yet
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(wire) => Pin::new(wire).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            Self::Silent(_) | Self::Handshake(_) => Poll::Ready(Ok(())),
        }
    }
}

pub struct Lines {
    pub listener: TcpListener,
    pub speaks: Speaks,
    /// Those of the org that listens here; the login host and the Pub/Sub API have none.
    pub connections: Option<Arc<Connections>>,
}

impl Listener for Lines {
    type Io = Line;
    type Addr = Cut;

    async fn accept(&mut self) -> (Line, Cut) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let _ = stream.set_nodelay(true); // only a matter of speed
                    let Some(cut) = self.connections.as_ref().map_or_else(|| Some(Cut::default()), |all| all.admit())
                    else {
                        continue; // it ends here
                    };
                    let wire = Wire { stream, cut: cut.clone() };
                    let line = match &self.speaks {
                        Speaks::Plain => Line::Plain(wire),
                        Speaks::Tls(acceptor) => Line::Handshake(Box::new(acceptor.accept(wire))),
                        Speaks::Either(acceptor) => Line::Silent(Some((wire, acceptor.clone()))),
                    };
                    return (line, cut);
                }
                // Out of file handles, most likely: they come back.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<Cut> {
        self.listener.local_addr().map(|_: SocketAddr| Cut::default())
    }
}

impl Connected<IncomingStream<'_, Lines>> for Cut {
    fn connect_info(stream: IncomingStream<'_, Lines>) -> Self {
        stream.remote_addr().clone()
    }
}
