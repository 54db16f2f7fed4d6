//! The proxy that the requests to one service go through, and what is wrong where they do not.
//!
//! Given an address, tells whether the proxy is asked for it; given a request that failed, or an
//! answer, tells whether that was the proxy's doing.
//!
//! **Invariant:** no text here holds the login to a proxy, nor anything else that a proxy wrote.

use std::fmt;
use std::time::Duration;

use http::HeaderMap;
use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Advice, Bypass};
use crate::secret::Login;

/// How long an answer may be.
const LONGEST_HEAD: usize = 16 * 1024;

/// Who has a proxy of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The metadata API, and media on plain HTTP(S).
    Gws,
    /// The storage of media.
    S3,
}

/// A proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Whose requests go through it.
    pub service: Service,
    /// Where it is: scheme, host and port.
    pub address: Url,
    /// What it is told where it wants a login.
    pub login: Option<Login>,
    /// The hosts that are asked without it.
    pub bypass: Bypass,
}

/// A proxy that did not pass a request on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyFault {
    /// Whose requests go through it.
    pub service: Service,
    /// Its host and port.
    pub place: String,
    /// What is wrong.
    pub trouble: Trouble,
}

/// What is wrong with a proxy; the numbers are the statuses of its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Its name has no address.
    NoName,
    /// Nobody listens there.
    Unreachable,
    /// It does not answer in time.
    Silent,
    /// What answers there does not speak as proxies do.
    NoProxy,
    /// Its own certificate proves nothing.
    OwnCertificate,
    /// It wants a login, and was given none.
    LoginWanted(u16),
    /// It does not know this login.
    LoginRefused(u16),
    /// It does not pass on to this host or port; some tell no status.
    Forbidden(Option<u16>),
    /// It cannot resolve the service's name.
    NoServiceName(u16),
    /// It cannot reach the service.
    NoService(u16),
    /// It waited for the service in vain.
    ServiceSilent(Option<u16>),
    /// A certificate that proves nothing came through it, maybe its own.
    Certificate,
    /// TLS with what lies behind it failed in another way.
    Tls,
    /// The connection through it broke.
    Broken,
}

/// How far a request through a proxy has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hop {
    /// To the proxy.
    Proxy,
    /// The proxy has agreed to pass on.
    Passed,
    /// TLS with the service.
    Tls,
    /// The answer of the service.
    Service,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Service::Gws => "GWS",
            Service::S3 => "S3",
        })
    }
}

impl Proxy {
    /// Tells whether it is asked for this address.
    pub fn takes(&self, url: &Url) -> bool {
        !self.bypass.takes(url)
    }

    /// Its host and port.
    pub fn place(&self) -> String {
        let host = self.address.host_str().unwrap_or_default();
        format!("{host}:{}", self.address.port_or_known_default().unwrap_or_default())
    }

    pub(super) fn fault(&self, trouble: Trouble) -> ProxyFault {
        ProxyFault { service: self.service, place: self.place(), trouble }
    }

    /// Tells what is wrong if an answer to a request without TLS was written by a proxy.
    pub(super) fn wrote(&self, status: u16, headers: &HeaderMap) -> Option<Trouble> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let server = text("server").unwrap_or_default();
        let is_proxy = text("x-squid-error").is_some()
            || text("proxy-authenticate").is_some()
            || text("proxy-status").is_some_and(|status| status.contains("error="))
            || ["squid", "tinyproxy"].iter().any(|name| server.starts_with(name));
        // Nobody but a proxy may answer so.
        (status == 407 || (is_proxy && status >= 400)).then(|| self.says(status, headers))
    }

    /// What it means that the proxy answers with this status, which is none of success.
    fn says(&self, status: u16, headers: &HeaderMap) -> Trouble {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let names = |header: &str, error: &str| text(header).is_some_and(|it| it.contains(error));
        match status {
            // Some proxies take the one for the other.
            401 | 407 if self.login.is_some() => Trouble::LoginRefused(status),
            401 | 407 => Trouble::LoginWanted(status),
            504 => Trouble::ServiceSilent(Some(status)),
            500..
                if names("x-squid-error", "ERR_DNS_FAIL")
                    || names("proxy-status", "error=dns_error") =>
            {
                Trouble::NoServiceName(status)
            }
            500.. => Trouble::NoService(status),
            _ => Trouble::Forbidden(Some(status)),
        }
    }

    /// Asks for the same tunnel again, to hear the answer, which the HTTP library keeps to itself.
    pub(super) async fn ask_again(&self, url: &Url, patience: Duration) -> Trouble {
        if self.address.scheme() == "https" {
            return Trouble::Forbidden(None);
        }
        let host = self.address.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = self.address.port_or_known_default().unwrap_or_default();
        let connecting = timeout(patience, TcpStream::connect((host, port)));
        let mut stream = match connecting.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(_)) => return Trouble::Unreachable,
            Err(_) => return Trouble::Silent,
        };
        match timeout(patience, head(&mut stream, &self.request(url))).await {
            Ok(Ok(head)) => match parse(&head) {
                // It has thought better of it.
                Some((200..300, _)) => Trouble::Broken,
                Some((status, headers)) => self.says(status, &headers),
                None => Trouble::NoProxy,
            },
            Ok(Err(_)) => Trouble::Broken,
            Err(_) => Trouble::ServiceSilent(None),
        }
    }

    fn request(&self, url: &Url) -> String {
        use base64::Engine as _;
        let host = url.host_str().unwrap_or_default();
        let to = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
        let login = self.login.as_ref().map(|Login { username, password }| {
            let pair = format!("{}:{}", username.expose(), password.expose());
            let pair = base64::engine::general_purpose::STANDARD.encode(pair);
            format!("Proxy-Authorization: Basic {pair}\r\n")
        });
        format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{}\r\n", login.unwrap_or_default())
    }
}

/// Asks, and gives the head of the answer.
async fn head(stream: &mut TcpStream, request: &str) -> std::io::Result<Vec<u8>> {
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < LONGEST_HEAD {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    if head.is_empty() { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(head) }
}

/// Reads the status and the headers of an answer.
fn parse(head: &[u8]) -> Option<(u16, HeaderMap)> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    let headers = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        let name = http::HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some((name, http::HeaderValue::from_str(value.trim()).ok()?))
    });
    Some((status, headers.collect()))
}

impl ProxyFault {
    /// Whether another try may help.
    pub fn advice(&self) -> Advice {
        match self.trouble {
            Trouble::NoName
            | Trouble::Unreachable
            | Trouble::Silent
            | Trouble::NoServiceName(_)
            | Trouble::NoService(_)
            | Trouble::ServiceSilent(_)
            | Trouble::Broken => Advice::Again,
            Trouble::NoProxy
            | Trouble::OwnCertificate
            | Trouble::LoginWanted(_)
            | Trouble::LoginRefused(_)
            | Trouble::Forbidden(_)
            | Trouble::Certificate
            | Trouble::Tls => Advice::GiveUp,
        }
    }

    /// Whether a login is what is wrong.
    pub fn is_login(&self) -> bool {
        matches!(self.trouble, Trouble::LoginWanted(_) | Trouble::LoginRefused(_))
    }

    /// The hop that failed.
    pub fn hop(&self) -> Hop {
        match self.trouble {
            Trouble::NoName
            | Trouble::Unreachable
            | Trouble::Silent
            | Trouble::NoProxy
            | Trouble::OwnCertificate => Hop::Proxy,
            Trouble::LoginWanted(_)
            | Trouble::LoginRefused(_)
            | Trouble::Forbidden(_)
            | Trouble::NoServiceName(_)
            | Trouble::NoService(_)
            | Trouble::ServiceSilent(_)
            | Trouble::Broken => Hop::Passed,
            Trouble::Certificate | Trouble::Tls => Hop::Tls,
        }
    }
}

impl fmt::Display for ProxyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ProxyFault { service, place, trouble } = self;
        let proxy = format!("the proxy {place} for {service}");
        match trouble {
            Trouble::NoName => write!(f, "the name of {proxy} cannot be resolved"),
            Trouble::Unreachable => write!(f, "nothing answers at {proxy}"),
            Trouble::Silent => write!(f, "{proxy} does not answer in time"),
            Trouble::NoProxy => write!(f, "what answers as {proxy} is no HTTP proxy"),
            Trouble::OwnCertificate => write!(f, "the TLS certificate of {proxy} is not trusted"),
            Trouble::LoginWanted(status) => write!(f, "{proxy} wants a login (HTTP {status})"),
            Trouble::LoginRefused(status) => write!(f, "{proxy} refuses the login (HTTP {status})"),
            Trouble::Forbidden(None) => write!(f, "{proxy} refuses to pass the request on"),
            Trouble::Forbidden(Some(status)) => {
                write!(f, "{proxy} refuses to pass the request on (HTTP {status})")
            }
            Trouble::NoServiceName(status) => {
                write!(f, "{proxy} cannot resolve the service's name (HTTP {status})")
            }
            Trouble::NoService(status) => {
                write!(f, "{proxy} cannot reach the service (HTTP {status})")
            }
            Trouble::ServiceSilent(None) => write!(f, "{proxy} hears nothing from the service"),
            Trouble::ServiceSilent(Some(status)) => {
                write!(f, "{proxy} hears nothing from the service (HTTP {status})")
            }
            Trouble::Certificate => {
                write!(f, "the TLS certificate that comes through {proxy} is not trusted")
            }
            Trouble::Tls => write!(f, "the TLS handshake through {proxy} failed"),
            Trouble::Broken => write!(f, "the connection through {proxy} broke off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn proxy(login: bool) -> Proxy {
        let [username, password] = ["user", "swordfish"].map(Secret::new);
        Proxy {
            service: Service::S3,
            address: Url::parse("http://[::1]:3128").unwrap(),
            login: login.then_some(Login { username, password }),
            bypass: Bypass::default(),
        }
    }

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let all = all.iter().map(|(name, value)| {
            let name = http::HeaderName::from_static(name);
            (name, http::HeaderValue::from_static(value))
        });
        all.collect()
    }

    #[test]
    fn an_answer_is_the_proxys_own_where_it_says_so_and_else_the_services() {
        let squid = |code| headers(&[("server", "squid/5.7"), ("x-squid-error", code)]);
        let tinyproxy = || headers(&[("server", "tinyproxy/1.11.1")]);
        for (status, headers, with, without) in [
            (407, headers(&[]), Some(Trouble::LoginRefused(407)), Trouble::LoginWanted(407)),
            (401, tinyproxy(), Some(Trouble::LoginRefused(401)), Trouble::LoginWanted(401)),
            (
                403,
                squid("ERR_ACCESS_DENIED 0"),
                Some(Trouble::Forbidden(Some(403))),
                Trouble::Forbidden(Some(403)),
            ),
            (
                503,
                squid("ERR_DNS_FAIL 0"),
                Some(Trouble::NoServiceName(503)),
                Trouble::NoServiceName(503),
            ),
            (
                502,
                headers(&[("proxy-status", "x; error=dns_error")]),
                Some(Trouble::NoServiceName(502)),
                Trouble::NoServiceName(502),
            ),
            (
                503,
                squid("ERR_CONNECT_FAIL 111"),
                Some(Trouble::NoService(503)),
                Trouble::NoService(503),
            ),
            (500, tinyproxy(), Some(Trouble::NoService(500)), Trouble::NoService(500)),
            (
                504,
                squid("ERR_READ_TIMEOUT 0"),
                Some(Trouble::ServiceSilent(Some(504))),
                Trouble::ServiceSilent(Some(504)),
            ),
            // What the service wrote comes through proxies that write their names beside it.
            (503, headers(&[("server", "AmazonS3"), ("via", "1.1 squid")]), None, Trouble::Tls),
            (403, headers(&[("proxy-status", "x; received-status=403")]), None, Trouble::Tls),
            (200, squid("ERR_NONE"), None, Trouble::Tls),
        ] {
            let expected = with.map(|_| without);
            assert_eq!(proxy(true).wrote(status, &headers), with, "{status} {headers:?}");
            assert_eq!(proxy(false).wrote(status, &headers), expected, "{status} {headers:?}");
        }
    }

    #[test]
    fn a_status_line_is_read_and_anything_else_is_no_proxy() {
        let head = b"HTTP/1.0 407 Unauthorized\r\nX-Squid-Error: ERR_CACHE_ACCESS_DENIED 0\r\n\r\n";
        let (status, headers) = parse(head).unwrap();
        assert_eq!((status, headers.len()), (407, 1));
        for other in ["", "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 abc\r\n\r\n"] {
            assert!(parse(other.as_bytes()).is_none(), "{other}");
        }
    }

    #[test]
    fn a_proxy_is_named_by_host_and_port_and_never_by_its_login() {
        let proxy = proxy(true);
        let all = [
            Trouble::NoName,
            Trouble::NoProxy,
            Trouble::LoginRefused(407),
            Trouble::Forbidden(None),
            Trouble::Certificate,
        ];
        for trouble in all {
            let text = format!("{0} {0:?} {proxy:?}", proxy.fault(trouble));
            assert!(text.contains("the proxy [::1]:3128 for S3"), "{text}");
            assert!(!text.contains("swordfish") && !text.contains("c3dvcmRmaXNo"), "{text}");
        }
    }
}
