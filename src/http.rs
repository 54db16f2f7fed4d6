//! The one HTTP stack: client, faults by kind, retry, and the watch over a crawling body.
//!
//! Given a proxy, roots and time-outs it makes a client; given an error it says what kind of fault
//! lies behind it, however deeply wrapped.
//!
//! **Invariant:** TLS verification cannot be turned off, `HTTP_PROXY` and its friends are not read,
//! and no redirect leaves its origin.

mod bypass;
mod client;
mod proxy;
mod silence;

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use openssl::x509::X509;
use reqwest::redirect;

pub use self::bypass::{Bypass, BypassError};
pub use self::client::{Client, Failure};
pub use self::proxy::{Hop, Proxy, ProxyFault, Service, Trouble};
pub use self::silence::{InTime, in_time};

/// What a client needs to know.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The proxy that requests go through; none means direct connections.
    pub proxy: Option<Proxy>,
    /// Whose certificates are trusted.
    pub trust: Trust,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long an answer may be silent; over objects their readers watch, by [`InTime`].
    pub read_timeout: Duration,
    /// What the client will be used for.
    pub purpose: Purpose,
}

/// What a client will be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// An API: cookies are kept, compressed answers are welcome, redirects followed at home.
    Api,
    /// Objects, which are kept byte for byte: nothing is unpacked, and whoever asks decides where
    /// a redirect may lead.
    Objects,
}

/// Whose certificates are trusted. To read the system's takes longer than all the rest of a start,
/// so it is done once for all clients.
#[derive(Debug, Clone)]
pub struct Trust(native_tls::TlsConnector);

impl Trust {
    /// Trusts the system's roots, and those in a PEM text.
    pub fn roots(ca_bundle: Option<&[u8]>) -> Result<Trust, ClientError> {
        let mut builder = native_tls::TlsConnector::builder();
        if let Some(pem) = ca_bundle {
            let roots = X509::stack_from_pem(pem).map_err(|_| ClientError::Roots)?;
            if roots.is_empty() {
                return Err(ClientError::Roots);
            }
            for root in roots {
                let der = root.to_der().map_err(|_| ClientError::Roots)?;
                builder.add_root_certificate(native_tls::Certificate::from_der(&der)?);
            }
        }
        Ok(Trust(builder.build()?))
    }
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The bundle is not PEM, or holds no certificate.
    #[error("`caBundle`: no certificate in PEM format in it")]
    Roots,
    /// The TLS library refused.
    #[error("TLS could not be set up")]
    Tls(#[from] native_tls::Error),
    /// The HTTP library refused.
    #[error("the HTTP client could not be set up")]
    Setup(#[source] reqwest::Error),
}

/// Makes a client for its purpose.
pub fn client(options: &ClientOptions) -> Result<Client, ClientError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("rcbs/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.connect_timeout)
        .tcp_nodelay(true)
        .referer(false)
        .retry(reqwest::retry::never())
        .redirect(match options.purpose {
            Purpose::Api => redirect::Policy::custom(stay_at_the_origin),
            Purpose::Objects => redirect::Policy::none(),
        })
        .cookie_store(options.purpose == Purpose::Api)
        .gzip(options.purpose == Purpose::Api)
        .no_proxy()
        .tls_backend_preconfigured(options.trust.0.clone());
    if options.purpose == Purpose::Api {
        builder = builder.read_timeout(options.read_timeout);
    }
    if let Some(proxy) = &options.proxy {
        builder = builder.proxy(proxy.to_be_used());
    }
    let http = builder.build().map_err(ClientError::Setup)?;
    Ok(Client::new(http, options.proxy.clone(), options.connect_timeout))
}

/// Credentials and cookies belong to one origin, so a redirect away from it is an answer, not a way.
fn stay_at_the_origin(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let same =
        attempt.previous().first().is_some_and(|first| first.origin() == attempt.url().origin());
    if same && attempt.previous().len() <= 5 { attempt.follow() } else { attempt.stop() }
}

/// Why a request got no usable answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The host name has no address.
    Dns,
    /// Nobody listens there, or nothing leads there.
    Unreachable,
    /// The proxy that was asked did not pass the request on.
    Proxy(ProxyFault),
    /// A proxy that nobody configured would not pass the request on.
    ProxyRefused,
    /// The server's certificate is not trusted.
    UntrustedCertificate,
    /// The server's certificate is no longer, or not yet, valid.
    CertificateDate,
    /// The server's certificate was made for another host.
    CertificateHost,
    /// TLS failed in another way.
    Tls,
    /// No answer in time.
    Timeout,
    /// The connection broke.
    Broken,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Proxy(fault) => return fault.fmt(f),
            Fault::Dns => "the host name cannot be resolved",
            Fault::Unreachable => "nothing answers at this address",
            Fault::ProxyRefused => "the proxy refuses to pass the request on",
            Fault::UntrustedCertificate => "the server's TLS certificate is not trusted",
            Fault::CertificateDate => {
                "the server's TLS certificate has expired or is not yet valid"
            }
            Fault::CertificateHost => "the server's TLS certificate is for another host",
            Fault::Tls => "the TLS handshake failed",
            Fault::Timeout => "no answer in time",
            Fault::Broken => "the connection broke off",
        })
    }
}

impl Fault {
    /// Whether another try may help.
    pub fn advice(&self) -> Advice {
        match self {
            Fault::Dns | Fault::Unreachable | Fault::Timeout | Fault::Broken => Advice::Again,
            Fault::Proxy(fault) => fault.advice(),
            Fault::ProxyRefused
            | Fault::UntrustedCertificate
            | Fault::CertificateDate
            | Fault::CertificateHost
            | Fault::Tls => Advice::GiveUp,
        }
    }

    /// Whether a proxy wants a login, or another one.
    pub fn is_login(&self) -> bool {
        matches!(self, Fault::Proxy(fault) if fault.is_login())
    }
}

/// Says what kind of fault an error of this stack, or one that wraps it, stands for.
pub fn fault(error: &(dyn Error + 'static)) -> Fault {
    let mut connecting = false;
    let mut found = Fault::Broken;
    for cause in causes(error) {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return failure.fault.clone();
        }
        if let Some(http) = cause.downcast_ref::<reqwest::Error>() {
            connecting |= http.is_connect();
            if http.is_timeout() {
                return Fault::Timeout;
            }
        }
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            match io.kind() {
                io::ErrorKind::TimedOut => return Fault::Timeout,
                io::ErrorKind::ConnectionRefused
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::AddrNotAvailable => return Fault::Unreachable,
                _ => {}
            }
        }
        // hyper's and OpenSSL's reasons exist as text only.
        let text = cause.to_string();
        if let Some(refused) = refused_by_windows(&text) {
            return refused;
        }
        let says = |words: &str| text.contains(words);
        if says("dns error") || says("failed to lookup address") {
            return Fault::Dns;
        }
        if says("tunnel error") || says("proxy authorization") {
            found = Fault::ProxyRefused;
        } else if says("certificate has expired") || says("not yet valid") {
            return Fault::CertificateDate;
        } else if says("ostname mismatch") || says("IP address mismatch") {
            return Fault::CertificateHost;
        } else if says("certificate verify failed") {
            found = Fault::UntrustedCertificate;
        } else if found == Fault::Broken && connecting && (says("SSL") || says("TLS")) {
            found = Fault::Tls;
        }
    }
    found
}

/// Reads what the TLS of Windows says of a certificate: its words are in the language of the system,
/// but the number behind them is not.
fn refused_by_windows(text: &str) -> Option<Fault> {
    let (_, number) = text.rsplit_once("(os error ")?;
    let number: i32 = number.strip_suffix(')')?.parse().ok()?;
    match number as u32 {
        // CERT_E_EXPIRED, CERT_E_VALIDITYPERIODNESTING, SEC_E_CERT_EXPIRED
        0x800b_0101 | 0x800b_0102 | 0x8009_0328 => Some(Fault::CertificateDate),
        // CERT_E_CN_NO_MATCH, SEC_E_WRONG_PRINCIPAL
        0x800b_010f | 0x8009_0322 => Some(Fault::CertificateHost),
        // All else that it holds against certificates, and SEC_E_UNTRUSTED_ROOT
        0x800b_0100..=0x800b_01ff | 0x8009_0325 => Some(Fault::UntrustedCertificate),
        // SEC_E_…
        0x8009_0300..=0x8009_03ff => Some(Fault::Tls),
        _ => None,
    }
}

/// Walks an error and all that caused it, through the boxes that `std::io::Error` puts around.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'e (dyn Error + 'static)| {
        let error: &'e (dyn Error + 'static) = *error;
        let boxed = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match boxed {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// Whether another try may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// It may, after a delay of our choice.
    Again,
    /// It may, and the server named the delay.
    After(Duration),
    /// It cannot.
    GiveUp,
}

/// The tries of one request: bounded in number and in time.
#[derive(Debug)]
pub struct Retry {
    retries: u32,
    left: u32,
    waited: Duration,
}

impl Retry {
    /// The longest wait a server may ask for.
    const LONGEST_WAIT: Duration = Duration::from_secs(60);
    /// The longest that all waits of a request may take together.
    const ALL_WAITS: Duration = Duration::from_secs(300);

    /// Allows so many tries after the first.
    pub fn new(retries: u32) -> Retry {
        Retry { retries, left: retries, waited: Duration::ZERO }
    }

    /// Waits until the next try, or gives the error back because there is none.
    pub async fn pause<E: fmt::Display>(&mut self, error: E, advice: Advice) -> Result<(), E> {
        let delay = match advice {
            Advice::GiveUp => return Err(error),
            Advice::After(delay) => delay.min(Self::LONGEST_WAIT),
            Advice::Again => self.backoff(),
        };
        if self.left == 0 || self.waited + delay > Self::ALL_WAITS {
            return Err(error);
        }
        tracing::debug!(%error, ?delay, "trying again");
        self.left -= 1;
        self.waited += delay;
        tokio::time::sleep(delay).await;
        Ok(())
    }

    /// Counts anew, because the last try got on a good way before it failed.
    pub fn got_on(&mut self) {
        self.left = self.retries;
    }

    /// 0.2 s doubled with each try, up to 20 s, and a random half of it left out.
    fn backoff(&self) -> Duration {
        let tries = (self.retries - self.left).min(7);
        let longest = Duration::from_millis(200 << tries).min(Duration::from_secs(20));
        longest.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

/// Reads a `Retry-After` header that gives seconds; a date in it is left to our own backoff.
pub fn retry_after(headers: &reqwest::header::HeaderMap) -> Option<Duration> {
    let value = headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// The watch over a body: below 1 kB/s for a minute it counts as broken.
#[derive(Debug, Default)]
pub struct Pace {
    waited: Duration,
    bytes: u64,
}

impl Pace {
    const WINDOW: Duration = Duration::from_secs(60);
    const LEAST_BYTES: u64 = 60_000;

    /// Counts what has arrived after a wait, and says whether that is fast enough.
    ///
    /// Only waiting for the network counts; a full disk queue is not the sender's fault.
    pub fn is_kept(&mut self, bytes: usize, waited: Duration) -> bool {
        self.bytes += bytes as u64;
        self.waited += waited;
        if self.waited < Self::WINDOW {
            return true;
        }
        let kept = self.bytes >= Self::LEAST_BYTES;
        *self = Pace::default();
        kept
    }
}

/// Joins an error and its causes into one line, each said once.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    for cause in causes(error).skip(1) {
        let text = cause.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_below_a_kilobyte_a_second_counts_as_broken_after_a_minute() {
        let seconds = Duration::from_secs;
        // Bytes of each chunk, how long each was waited for, and which chunk is one too many.
        for (bytes, waited, broken_at) in [
            (999, seconds(1), Some(60)),
            (1_000, seconds(1), None),
            (1, seconds(59), Some(2)),
            (59_999, seconds(60), Some(1)),
            (60_000, seconds(60), None),
            // Only waiting counts.
            (1, Duration::ZERO, None),
        ] {
            let mut pace = Pace::default();
            let broken = (1..=1_000).find(|_| !pace.is_kept(bytes, waited));
            assert_eq!(broken, broken_at, "{bytes} bytes after {waited:?}");
        }
    }

    #[test]
    fn what_windows_holds_against_a_certificate_is_told_by_its_number() {
        for (number, fault) in [
            (-2146762487, Fault::UntrustedCertificate),
            (-2146762486, Fault::UntrustedCertificate),
            (-2146893019, Fault::UntrustedCertificate),
            (-2146762495, Fault::CertificateDate),
            (-2146893016, Fault::CertificateDate),
            (-2146762481, Fault::CertificateHost),
            (-2146893022, Fault::CertificateHost),
            (-2146893048, Fault::Tls),
            (-2146892969, Fault::Tls),
            (104, Fault::Broken),
        ] {
            // The text alone is left of it where another library has put it into its own error.
            let text = format!("Die Zertifikatkette … (os error {number})");
            assert_eq!(super::fault(&io::Error::other(text)), fault, "{number}");
        }
    }

    #[test]
    fn a_body_that_was_fast_and_then_crawls_is_broken_within_two_minutes() {
        let mut pace = Pace::default();
        assert!(pace.is_kept(1 << 30, Duration::from_secs(1)));
        let broken = (1..=1_000).find(|_| !pace.is_kept(100, Duration::from_secs(1)));
        assert_eq!(broken, Some(119));
    }
}
