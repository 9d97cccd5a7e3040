//! One connection, from the first byte to the last.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::framing::HEAD_BYTES_MAX;
use super::link::{Link, Patience, Seen};
use super::socket::{Socket, Tcp};
use crate::front::RefusedHead;
use crate::state::App;
use crate::tls::Tls;

/// How long a client may take to agree on TLS.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The first byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;
/// What a client is told that speaks HTTP where TLS is spoken.
const NOT_TLS: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: 143\r\n\
connection: close\r\n\r\n{\"error\":{\"message\":\"this port speaks HTTPS: use https:// in the address\",\
\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"https_required\"}}";
/// When the server drains, a connection that has asked nothing yet may do so for this long.
const FIRST_WORDS: Duration = Duration::from_millis(250);
/// How long, and for how many bytes, a client may go on sending what nobody reads.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 64 << 20;

/// Serves a connection to its end.
pub(super) async fn serve(stream: TcpStream, router: Router, app: Arc<App>) {
    // Tokens are small and must not wait for each other.
    let _ = stream.set_nodelay(true);
    let tcp = Tcp(Arc::new(stream));
    let socket = match app.front.tls() {
        None => Socket::Plain(tcp),
        Some(tls) => match timeout(HANDSHAKE_TIMEOUT, shake_hands(tcp, &tls)).await {
            Ok(Ok(socket)) => socket,
            // Neither a scanner nor a client without trust in the certificate is news.
            Ok(Err(error)) => return tracing::debug!(%error, "no TLS was agreed on"),
            Err(_) => return,
        },
    };
    let config = &app.config;
    let patience = Patience {
        head: config.head_timeout,
        idle: config.idle_timeout,
        body: config.body_timeout,
        write: config.write_timeout,
    };
    let link = Link::new(socket, patience);
    answer(&link, router, &app).await;
    link.linger(LINGER, LINGER_BYTES_MAX).await;
}

/// Agrees on TLS.
async fn shake_hands(tcp: Tcp, tls: &Tls) -> io::Result<Socket> {
    let mut first = [0];
    if tcp.0.peek(&mut first).await? == 1 && first[0] != TLS_HANDSHAKE && first[0].is_ascii_alphabetic() {
        let mut tcp = tcp;
        tcp.write_all(NOT_TLS).await?;
        Link::after_a_word(Socket::Plain(tcp)).linger(LINGER, LINGER_BYTES_MAX).await;
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the client speaks plain HTTP"));
    }
    let stream = TlsAcceptor::from(Arc::clone(&tls.0)).accept(tcp).await?;
    Ok(Socket::Tls(Box::new(stream)))
}

/// Answers the requests of a connection, one after another.
async fn answer(link: &Link, router: Router, app: &App) {
    let service = Service { router: TowerToHyperService::new(router), link: link.clone() };
    let mut connection = pin!(
        http1::Builder::new()
            // The end of what a client sends is not its end: the link looks after that.
            .half_close(true)
            // Heads come whole and within their own limit.
            .max_buf_size(2 * HEAD_BYTES_MAX)
            .serve_connection(link.clone(), service)
    );
    let mut draining = pin!(app.front.drains());
    let mut drains = false;
    loop {
        let idle = link.is_idle();
        tokio::select! {
            biased;
            step = poll_fn(|cx| drive(connection.as_mut(), link, idle, cx)) => match step {
                Step::Ended => return,
                Step::Turned => {}
            },
            () = draining.as_mut(), if !drains => drains = true,
            () = sleep(FIRST_WORDS), if drains && idle && link.served() == 0 => return,
            () = std::future::ready(()), if drains && idle && link.served() > 0 => return,
            () = app.front.shed.asked(), if idle => return,
        }
    }
}

/// What a turn of a connection came to.
enum Step {
    /// There is nothing more to do.
    Ended,
    /// It has become idle, or has ceased to be.
    Turned,
}

/// Gives the parser and then the watch their turn.
fn drive<C>(mut connection: Pin<&mut C>, link: &Link, idle: bool, cx: &mut Context<'_>) -> Poll<Step>
where
    C: Future<Output = hyper::Result<()>>,
{
    loop {
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Step::Ended);
        }
        match link.watch(cx) {
            Seen::Gone => return Poll::Ready(Step::Ended),
            Seen::Ask => {}
            Seen::Nothing if link.is_idle() != idle => return Poll::Ready(Step::Turned),
            Seen::Nothing => return Poll::Pending,
        }
    }
}

/// The routes, with the connection that a request came by.
struct Service {
    router: TowerToHyperService<Router>,
    link: Link,
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <TowerToHyperService<Router> as hyper::service::Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if let Some(error) = self.link.begin() {
            request.extensions_mut().insert(RefusedHead(error));
        }
        request.extensions_mut().insert(self.link.clone());
        self.router.call(request)
    }
}
