//! The sockets, and the path of one request: log, fault plan, service, and faults of the body again.
//!
//! **Invariant**: a service sees a request only if no fault answered it, and knows nothing of faults.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderName, IF_MATCH, RANGE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::bomb;
use crate::fault::{Action, Plan};
use crate::gws::{self, GwsBehaviour};
use crate::log::{self, Log, Route};
use crate::peers::Peers;
use crate::s3::{self, S3Behaviour};
use crate::spoil::{Spoiled, spoil_head};
use crate::world::{Row, World};

/// Any error.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// The body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) world: RwLock<World>,
    pub(crate) gws: RwLock<GwsBehaviour>,
    pub(crate) s3: RwLock<S3Behaviour>,
    pub(crate) plan: Plan,
    pub(crate) log: Arc<Log>,
    pub(crate) peers: Arc<Peers>,
    /// How far the services' clock is from the real one, in milliseconds.
    pub(crate) clock_offset_ms: AtomicI64,
    /// How many listing requests there were.
    pub(crate) listings: AtomicU64,
    /// The rows of the last listing's answer.
    pub(crate) last_page: Mutex<Vec<Row>>,
    /// Recordings that a fault has kept from a listing.
    pub(crate) hidden: Mutex<BTreeSet<String>>,
    pub(crate) digests: s3::Digests,
    pub(crate) index: s3::Index,
}

impl Shared {
    /// Gives the services' time in epoch milliseconds.
    pub(crate) fn now_ms(&self) -> i64 {
        chrono::Utc::now().timestamp_millis() + self.clock_offset_ms.load(Ordering::Relaxed)
    }
}

/// Which of the two services a socket is for.
#[derive(Clone)]
pub(crate) enum Service {
    Gws,
    S3(s3s::service::S3Service),
}

/// Accepts connections for ever.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    service: Service,
) {
    loop {
        let Ok((tcp, client)) = listener.accept().await else {
            // Out of descriptors, most likely; the connections that end will free some.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let Ok(server) = tcp.local_addr() else { continue };
        let present = shared.peers.enter((server, client));
        let _ = tcp.set_nodelay(true);
        let reset = Arc::new(AtomicBool::new(false));
        let socket = Socket { tcp, reset: Arc::clone(&reset) };
        let (tls, shared, service) = (tls.clone(), Arc::clone(&shared), service.clone());
        tokio::spawn(async move {
            let _present = present;
            match tls {
                None => connection(socket, shared, service, reset).await,
                Some(tls) => {
                    if let Ok(socket) = tls.accept(socket).await {
                        connection(socket, shared, service, reset).await;
                    }
                }
            }
        });
    }
}

/// Gives a whole body.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

async fn connection<S>(socket: S, shared: Arc<Shared>, service: Service, reset: Arc<AtomicBool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answer = hyper::service::service_fn(move |request| {
        answer(Arc::clone(&shared), service.clone(), Arc::clone(&reset), request)
    });
    // How a connection ends is the client's to judge.
    let _ = hyper::server::conn::http1::Builder::new()
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(socket), answer)
        .await;
}

async fn answer(
    shared: Arc<Shared>,
    service: Service,
    reset: Arc<AtomicBool>,
    request: Request<Incoming>,
) -> Result<Response<Body>, BoxError> {
    let entry = describe(&service, &shared, &request);
    let route = entry.route;
    let text =
        format!("{} {} {}", entry.method, entry.target, entry.key.as_deref().unwrap_or_default());
    let ticket = shared.log.enter(entry);
    let actions = shared.plan.strike(route, &text);
    let mut answered = None;
    for action in &actions {
        ticket.fault(format!("{action:?}"));
        match action {
            Action::Delay(time) => tokio::time::sleep(*time).await,
            Action::Reset => {
                reset.store(true, Ordering::Relaxed);
                return Err("planned reset".into());
            }
            Action::Close => return Err("planned close".into()),
            Action::Answer { status, headers, body } => {
                answered = Some(planned(*status, headers, body)?)
            }
            Action::Expired => {
                if let Action::Answer { status, headers, body } = Action::expired(route) {
                    answered = Some(planned(status, &headers, &body)?);
                }
            }
            Action::GzipBomb(mib) => answered = Some(bomb::response(*mib)),
            _ => {}
        }
    }
    let mut response = match (answered, service) {
        (Some(response), _) => response,
        (None, Service::Gws) => gws::answer(&shared, route, &request, &actions),
        (None, Service::S3(s3)) => s3::answer(&shared, &s3, request, &actions).await,
    };
    let date = chrono::DateTime::from_timestamp_millis(shared.now_ms()).unwrap_or_default();
    let date = date.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    response.headers_mut().insert(http::header::DATE, HeaderValue::from_str(&date)?);
    // The length stands in the head, where a fault can change it, and never in the body's hint, which would contradict.
    if let Some(length) = response.body().size_hint().exact()
        && !response.headers().contains_key(CONTENT_LENGTH)
        && response.status() != StatusCode::NOT_MODIFIED
    {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    ticket.status(response.status().as_u16());
    spoil_head(response.headers_mut(), &actions)?;
    Ok(response.map(|body| Spoiled::new(body, ticket, &actions, reset).boxed_unsync()))
}

fn describe(service: &Service, shared: &Shared, request: &Request<Incoming>) -> log::Request {
    let path = request.uri().path();
    let target = request.uri().path_and_query().map_or(path, |target| target.as_str());
    let header = |name: HeaderName| {
        request.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
    };
    let (route, key) = match service {
        Service::Gws => gws::route(path, &crate::sim::read(&shared.gws)),
        Service::S3(_) => (Route::S3, Some(s3::decode(path.trim_start_matches('/')))),
    };
    log::Request {
        number: 0,
        route,
        method: request.method().to_string(),
        target: target.to_owned(),
        key,
        range: header(RANGE),
        if_match: header(IF_MATCH),
        payload_hash: header(HeaderName::from_static("x-amz-content-sha256")),
        user: user(request.headers()),
        status: 0,
        bytes_sent: 0,
        faults: Vec::new(),
    }
}

/// Gives the name that a request claims, without what proves it.
fn user(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    if let Some(basic) = value.strip_prefix("Basic ") {
        let pair = base64::engine::general_purpose::STANDARD.decode(basic).ok()?;
        let pair = String::from_utf8_lossy(&pair).into_owned();
        return pair.split_once(':').map(|(user, _)| user.to_owned());
    }
    s3::scope(headers).map(|scope| scope.access_key)
}

fn planned(
    status: u16,
    headers: &[(String, String)],
    body: &str,
) -> Result<Response<Body>, BoxError> {
    let mut response = Response::new(full(body.to_owned()));
    *response.status_mut() = StatusCode::from_u16(status)?;
    for (name, value) in headers {
        response.headers_mut().insert(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
    }
    Ok(response)
}

/// A connection that ends with a TCP reset if it was told to.
struct Socket {
    tcp: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            let _ = self.tcp.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(context, into)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
}
