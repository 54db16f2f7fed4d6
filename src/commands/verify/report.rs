//! What `--verify s3` says: lines as the original's, or one JSON document.
//!
//! **Invariant:** both say the same; a hop is called reached only if all before it were.

use serde::Serialize;

use super::super::{World, document, print};
use crate::config::Config;
use crate::error::{Error, Exit, open_hint};
use crate::http::{Fault, Hop, Proxy, Service, chain};
use crate::monitor::Event;
use crate::source::gws::GwsError;
use crate::source::{OpenError, OpenErrorKind};

/// What was checked so far.
pub(super) struct Report<'w> {
    is_json: bool,
    world: &'w World<'w>,
    document: Verified,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Verified {
    gws: Option<Checked>,
    s3: Vec<Bucket>,
    /// Why S3 was not checked at all.
    s3_not_checked: Option<String>,
    warnings: Vec<String>,
    exit_code: u8,
}

/// A service, or a bucket of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    is_verified: bool,
    way: Way,
    error: Option<String>,
    hint: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bucket {
    bucket: String,
    prefix: String,
    /// Whether anything is stored there; none where that could not be asked.
    has_objects: Option<bool>,
    #[serde(flatten)]
    checked: Checked,
}

/// How a service was asked.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Way {
    /// Host and port of the proxy that was asked.
    proxy: Option<String>,
    /// Whether a proxy is configured, and the service was asked past it.
    is_past_proxy: bool,
    /// The hops through the proxy, up to the first that failed.
    hops: Vec<Step>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    hop: &'static str,
    is_reached: bool,
}

impl<'w> Report<'w> {
    pub(super) fn new(is_json: bool, world: &'w World<'w>) -> Report<'w> {
        Report { is_json, world, document: Verified::default() }
    }

    fn line(&self, line: &str) -> Result<(), Error> {
        if self.is_json { Ok(()) } else { print(line) }
    }

    pub(super) fn warn(&mut self, text: String) {
        self.world.monitor.on(&Event::Warning { text: text.clone() });
        self.document.warnings.push(text);
    }

    pub(super) fn gws_begins(&self, config: &Config) -> Result<(), Error> {
        self.line(&format!("Checking GWS: {}", config.gws_uri_prefix))
    }

    /// Tells what became of GWS; where that is an error, the document ends here.
    pub(super) fn gws_ends(
        &mut self,
        config: &Config,
        proxy: Option<&Proxy>,
        checked: Result<(), &Error>,
    ) -> Result<(), Error> {
        let fault = match checked {
            Err(Error::Gws(GwsError::Fault(fault, _))) => Some(fault),
            _ => None,
        };
        let is_tls = config.gws_uri_prefix.scheme() == "https";
        let way = way(config.gws_proxy.is_some(), proxy, is_tls, fault);
        self.tell_way(&way, Service::Gws)?;
        let (error, hint) = match checked {
            Ok(()) => (None, None),
            Err(error) => {
                error.lines().into_iter().next().map(|(a, b)| (Some(a), b)).unwrap_or_default()
            }
        };
        let is_verified = checked.is_ok();
        self.document.gws = Some(Checked { is_verified, way, error, hint });
        match checked {
            Ok(()) => {
                self.line(&format!("Successfully Verified Connection to {}", config.gws_uri_prefix))
            }
            Err(error) => self.end(error.exit()),
        }
    }

    pub(super) fn parameters(&self, config: &Config) -> Result<(), Error> {
        self.line(&format!(
            "Using the following S3 parameters: S3ConnectionTimeout {} S3SocketTimeout {} \
             S3MaxErrorRetry {}",
            config.s3_connection_timeout.as_millis(),
            config.s3_socket_timeout.as_millis(),
            config.s3_max_error_retry
        ))?;
        self.line(&match &config.aws_proxy {
            Some(Proxy { address, .. }) => format!(
                "Proxy is enabled for Amazon S3 host: {} port: {}",
                address.host_str().unwrap_or_default(),
                address.port_or_known_default().unwrap_or_default()
            ),
            None => "Proxy is not enabled for Amazon S3".to_owned(),
        })
    }

    pub(super) fn not_checked(&mut self, why: &str) -> Result<(), Error> {
        self.document.s3_not_checked = Some(why.to_owned());
        self.line(&format!("{why}: S3 is not checked"))
    }

    pub(super) fn bucket_begins(&self, bucket: &str, key: &str) -> Result<(), Error> {
        self.line(&format!("Checking for Key: {key} Bucket: {bucket}"))
    }

    pub(super) fn bucket_ends(
        &mut self,
        config: &Config,
        proxy: Option<&Proxy>,
        bucket: &str,
        key: &str,
        found: &Result<bool, OpenError>,
    ) -> Result<(), Error> {
        let fault = match found {
            Err(OpenError { kind: OpenErrorKind::Fault(fault), .. }) => Some(fault),
            _ => None,
        };
        let is_tls = config.aws_endpoint_url.as_ref().is_none_or(|url| url.scheme() == "https");
        let way = way(config.aws_proxy.is_some(), proxy, is_tls, fault);
        self.tell_way(&way, Service::S3)?;
        let mut checked = Checked { is_verified: found.is_ok(), way, error: None, hint: None };
        match found {
            Ok(has_objects) => {
                self.line(&format!("Successfully Verified Connection to {bucket}/{key}"))?;
                if !has_objects {
                    self.warn(format!("nothing is stored below {bucket}/{key} yet"));
                }
            }
            Err(error) => {
                let (text, hint) = (chain(error), open_hint(&error.kind));
                self.line(&format!("Failed to Verify Connection to {text}"))?;
                if let Some(hint) = hint {
                    self.line(&format!("hint: {hint}"))?;
                }
                (checked.error, checked.hint) = (Some(text), hint.map(str::to_owned));
            }
        }
        self.document.s3.push(Bucket {
            bucket: bucket.to_owned(),
            prefix: key.to_owned(),
            has_objects: found.as_ref().ok().copied(),
            checked,
        });
        Ok(())
    }

    pub(super) fn end(&mut self, exit: Exit) -> Result<(), Error> {
        self.document.exit_code = exit as u8;
        if self.is_json { document::tell(self.world, "verify", &self.document) } else { Ok(()) }
    }

    fn tell_way(&self, way: &Way, service: Service) -> Result<(), Error> {
        let Way { proxy, is_past_proxy, hops } = way;
        if *is_past_proxy {
            return self.line(&format!("Way to {service}: past the proxy, by proxyBypass"));
        }
        let Some(proxy) = proxy else { return Ok(()) };
        let hops = hops.iter().map(|Step { hop, is_reached }| {
            let hop = match *hop {
                "proxy" => format!("proxy {proxy} reached"),
                "agreed" => "proxy agreed".to_owned(),
                "tls" => format!("TLS to {service}"),
                _ => format!("{service} answered"),
            };
            if *is_reached { hop } else { format!("{hop}: FAILED") }
        });
        self.line(&format!("Way to {service}: {}", hops.collect::<Vec<_>>().join(", ")))
    }
}

/// The hops on the way to a service, up to the one that failed.
fn way(has_proxy: bool, proxy: Option<&Proxy>, is_tls: bool, fault: Option<&Fault>) -> Way {
    let Some(proxy) = proxy else {
        return Way { proxy: None, is_past_proxy: has_proxy, hops: Vec::new() };
    };
    let failed = fault.map(|fault| match fault {
        Fault::Proxy(fault) => fault.hop(),
        Fault::ProxyRefused => Hop::Passed,
        Fault::UntrustedCertificate
        | Fault::CertificateDate
        | Fault::CertificateHost
        | Fault::Tls => Hop::Tls,
        Fault::Dns | Fault::Unreachable | Fault::Timeout | Fault::Broken => Hop::Service,
    });
    let all = [
        (Hop::Proxy, "proxy"),
        (Hop::Passed, "agreed"),
        (Hop::Tls, "tls"),
        (Hop::Service, "answered"),
    ];
    let on_the_way = all.into_iter().filter(|(hop, _)| is_tls || *hop != Hop::Tls);
    let mut hops = Vec::new();
    for (hop, name) in on_the_way {
        let is_reached = failed.is_none_or(|failed| hop < failed);
        hops.push(Step { hop: name, is_reached });
        if !is_reached {
            break;
        }
    }
    Way { proxy: Some(proxy.place()), is_past_proxy: false, hops }
}
