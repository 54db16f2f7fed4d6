//! What can be done about a proxy that does not pass a request on.
//!
//! **Invariant:** pure, by matches without a wildcard; names properties and variables, never values.

use crate::http::{ProxyFault, Service, Trouble};

/// What the operator can do.
pub(super) fn hint(fault: &ProxyFault) -> &'static str {
    let of = |gws, s3| match fault.service {
        Service::Gws => gws,
        Service::S3 => s3,
    };
    match fault.trouble {
        Trouble::NoName | Trouble::Unreachable | Trouble::Silent => of(
            "check gwsProxyHost and gwsProxyPort, and that the proxy runs",
            "check awsProxyHost and awsProxyPort, and that the proxy runs",
        ),
        Trouble::NoProxy => of(
            "check gwsProxyHost and gwsProxyPort: an HTTP proxy must listen there, and speak TLS \
             itself only if gwsProxyHost begins with `https://`",
            "check awsProxyPort: an HTTP proxy must listen there, without TLS of its own",
        ),
        Trouble::OwnCertificate => {
            "name the proxy's certificate, or the one that signed it, with caBundle"
        }
        Trouble::LoginWanted(_) => of(
            "set gwsProxyUsername and the variable GWS_PROXY_PASSWORD or GWS_PROXY_PASSWORD_FILE",
            "set awsProxyUsername and the variable AWS_PROXY_PASSWORD or AWS_PROXY_PASSWORD_FILE",
        ),
        Trouble::LoginRefused(_) => of(
            "check gwsProxyUsername and GWS_PROXY_PASSWORD",
            "check awsProxyUsername and AWS_PROXY_PASSWORD",
        ),
        Trouble::Forbidden(_) => {
            "ask who runs the proxy to let this host pass to the service, or name the service in \
             proxyBypass"
        }
        Trouble::NoServiceName(_) => of(
            "check the host in gwsUriPrefix, and that the proxy can resolve it",
            "check awsEndpointUrl and awsRegion, and that the proxy can resolve the host",
        ),
        Trouble::NoService(_) | Trouble::ServiceSilent(_) => of(
            "check gwsUriPrefix, and ask who runs the proxy whether it can reach the service",
            "check awsEndpointUrl, and ask who runs the proxy whether it can reach the service",
        ),
        Trouble::Certificate => {
            "if the proxy opens TLS, name its certificate authority with caBundle; else the \
             service's"
        }
        Trouble::Tls => "check that the service speaks TLS, and whether the proxy interferes",
        Trouble::Broken => "run again later; if it stays, ask who runs the proxy",
    }
}
