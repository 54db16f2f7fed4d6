//! A client, and the hop at which a request of it failed.
//!
//! Given a request, gives the answer of the service, or says which hop there was no way beyond.
//!
//! **Invariant:** an answer that a proxy wrote is never taken for the service's, as far as the
//! proxy says that it is its own.

use std::time::Duration;

use reqwest::Url;

use super::{Fault, Proxy, Trouble, chain, fault};
use crate::secret::{Login, Mask};

/// The most that a proxy may take to say why it did not do what it was asked for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client, and the proxy that its requests go through.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    proxy: Option<Proxy>,
    /// How long a proxy may take to say why it did not do what it was asked for.
    patience: Duration,
}

/// A request that got no answer of the service.
#[derive(Debug, thiserror::Error)]
#[error("{fault}")]
pub struct Failure {
    /// What is wrong.
    pub fault: Fault,
    source: Option<reqwest::Error>,
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Failure {
        Failure { fault: fault(&error), source: Some(error.without_url()) }
    }
}

impl Proxy {
    /// Tells reqwest which requests go through the proxy.
    pub(super) fn to_be_used(&self) -> reqwest::Proxy {
        let (address, bypass) = (self.address.clone(), self.bypass.clone());
        let way = move |url: &Url| (!bypass.takes(url)).then(|| address.clone());
        let proxy = reqwest::Proxy::custom(way);
        match &self.login {
            Some(Login { username, password }) => {
                proxy.basic_auth(username.expose(), password.expose())
            }
            None => proxy,
        }
    }

    /// Says at which hop a request failed that went through the proxy.
    async fn blamed(
        &self,
        url: &Url,
        fault: Fault,
        error: &reqwest::Error,
        patience: Duration,
    ) -> Fault {
        // Else the tunnel stands, and TLS with what lies behind it has failed.
        let is_own = url.scheme() == "http" || chain(error).contains("underlying connection");
        let trouble = match fault {
            Fault::Dns => Trouble::NoName,
            Fault::Unreachable => Trouble::Unreachable,
            Fault::ProxyRefused => self.ask_again(url, patience).await,
            Fault::Timeout if error.is_connect() => match self.ask_again(url, patience).await {
                // It would have passed the request on, so that somebody behind it is silent.
                Trouble::Broken => Trouble::ServiceSilent(None),
                trouble => trouble,
            },
            Fault::UntrustedCertificate | Fault::CertificateDate | Fault::CertificateHost
                if is_own =>
            {
                Trouble::OwnCertificate
            }
            Fault::UntrustedCertificate => Trouble::Certificate,
            Fault::Tls if is_own => Trouble::NoProxy,
            Fault::Tls => Trouble::Tls,
            Fault::Broken => Trouble::Broken,
            Fault::Timeout | Fault::CertificateDate | Fault::CertificateHost | Fault::Proxy(_) => {
                return fault;
            }
        };
        Fault::Proxy(self.fault(trouble))
    }
}

impl Client {
    pub(super) fn new(
        http: reqwest::Client,
        proxy: Option<Proxy>,
        connect_timeout: Duration,
    ) -> Client {
        Client { http, proxy, patience: connect_timeout.min(PATIENCE) }
    }

    /// The client as the HTTP library knows it; faults of its requests are told without the proxy.
    pub fn inner(&self) -> &reqwest::Client {
        &self.http
    }

    /// The proxy that this address is asked for through.
    pub fn proxy_for(&self, url: &Url) -> Option<&Proxy> {
        self.proxy.as_ref().filter(|proxy| proxy.takes(url))
    }

    /// What takes the login to the proxy out of a text.
    pub fn mask(&self) -> Mask {
        let login = self.proxy.as_ref().and_then(|proxy| proxy.login.as_ref());
        login.map_or_else(Mask::default, Login::mask)
    }

    /// Begins a request that reads.
    pub fn get(&self, url: impl reqwest::IntoUrl) -> reqwest::RequestBuilder {
        self.http.get(url)
    }

    /// Begins a request that tells something.
    pub fn post(&self, url: impl reqwest::IntoUrl) -> reqwest::RequestBuilder {
        self.http.post(url)
    }

    /// Sends a request that was begun here.
    pub async fn send(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, Failure> {
        self.execute(request.build()?).await
    }

    /// Sends a request.
    pub async fn execute(&self, request: reqwest::Request) -> Result<reqwest::Response, Failure> {
        let Some(proxy) = self.proxy_for(request.url()) else {
            return Ok(self.http.execute(request).await?);
        };
        let url = request.url().clone();
        match self.http.execute(request).await {
            Ok(answer) if url.scheme() == "http" => {
                match proxy.wrote(answer.status().as_u16(), answer.headers()) {
                    Some(trouble) => {
                        Err(Failure { fault: Fault::Proxy(proxy.fault(trouble)), source: None })
                    }
                    None => Ok(answer),
                }
            }
            Ok(answer) => Ok(answer),
            Err(error) => {
                let fault = proxy.blamed(&url, fault(&error), &error, self.patience).await;
                // What is wrong with a proxy is said completely.
                let source = Some(error).filter(|_| !matches!(fault, Fault::Proxy(_)));
                Err(Failure { fault, source: source.map(reqwest::Error::without_url) })
            }
        }
    }
}
