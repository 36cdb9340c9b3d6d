//! The shared port: HTTP/2 in plain text or under TLS, whichever a client begins with.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::serve::Listener as _;
use futures_util::stream::{self, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::transport::server::Connected;

use crate::server::{Cut, Line, Lines, Speaks};

/// A connection as the gRPC server wants it.
pub struct Connection(Line, Cut);

/// Every connection that comes in; it never ends.
pub fn connections(listener: TcpListener, tls: TlsAcceptor) -> impl Stream<Item = io::Result<Connection>> {
    let lines = Lines { listener, speaks: Speaks::Either(tls), connections: None };
    stream::unfold(lines, |mut lines| async move {
        let (line, cut) = lines.accept().await;
        Some((Ok(Connection(line, cut)), lines))
    })
}

impl Connected for Connection {
    type ConnectInfo = Cut;

    fn connect_info(&self) -> Cut {
        self.1.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
