//! The proxies, each with its host, port and login, and the hosts that go past them.
//!
//! Given the layers, gives a proxy for each service that has one; what is only half there is noted.
//!
//! **Invariant:** a password is read from the environment only, and enters no message.

use reqwest::Url;

use super::layers::Reader;
use super::problem::{Bad, Problem, bad};
use super::{credentials, value};
use crate::http::{Bypass, Proxy, Service};
use crate::secret::{Login, Secret};

/// What the proxy of one service is made of.
struct Names {
    service: Service,
    host: &'static str,
    such_host: &'static str,
    port: &'static str,
    username: &'static str,
    username_variable: &'static str,
    password_variable: &'static str,
    parse: fn(&str) -> Result<String, Bad>,
}

const S3: Names = Names {
    service: Service::S3,
    host: "awsProxyHost",
    such_host: "10.0.1.31",
    port: "awsProxyPort",
    username: "awsProxyUsername",
    username_variable: "AWS_PROXY_USERNAME",
    password_variable: "AWS_PROXY_PASSWORD",
    parse: value::bare_host,
};

const GWS: Names = Names {
    service: Service::Gws,
    host: "gwsProxyHost",
    such_host: "http://10.0.1.31",
    port: "gwsProxyPort",
    username: "gwsProxyUsername",
    username_variable: "GWS_PROXY_USERNAME",
    password_variable: "GWS_PROXY_PASSWORD",
    parse: value::host_with_scheme,
};

/// The proxies of both services.
pub(super) struct Proxies {
    pub(super) aws: Option<Proxy>,
    pub(super) gws: Option<Proxy>,
}

/// Reads both proxies; `None` where something about them is bad, which has been noted then.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Proxies> {
    let aws = proxy(reader, &S3);
    let gws = proxy(reader, &GWS);
    let bypass = reader.optional("proxyBypass", |text| {
        Bypass::parse(text).map_err(|error| bad("not hosts that could go past a proxy", error.hint))
    });
    let (mut aws, mut gws) = (aws?, gws?);
    if reader.is_set("proxyBypass") && aws.is_none() && gws.is_none() {
        let hint = "set awsProxyHost or gwsProxyHost, or leave it out".to_owned();
        reader.warn("proxyBypass", "there is no proxy to go past", hint);
    }
    let bypass = bypass?.unwrap_or_default();
    for proxy in aws.iter_mut().chain(&mut gws) {
        proxy.bypass = bypass.clone();
    }
    Some(Proxies { aws, gws })
}

/// Reads a proxy, which has a host and a port, or is not there at all.
fn proxy(reader: &mut Reader<'_>, names: &Names) -> Option<Option<Proxy>> {
    let Names { service, host: host_name, port: port_name, .. } = *names;
    let host = reader.optional(host_name, names.parse);
    let port = reader.optional(port_name, |text| value::number(text, 1..=u16::MAX, 8080));
    let username = reader.optional(names.username, username);
    let (name, other, such) = match (reader.is_set(host_name), reader.is_set(port_name)) {
        (false, false) if reader.is_set(names.username) => {
            (names.username, host_name, names.such_host)
        }
        (false, false) => return Some(None),
        (true, false) => (host_name, port_name, "8080"),
        (false, true) => (port_name, host_name, names.such_host),
        (true, true) => {
            let login = login(reader, username, names);
            let (host, port) = (host??, port??);
            let scheme = if host.contains("://") { "" } else { "http://" };
            let address = Url::parse(&format!("{scheme}{host}:{port}"));
            let address = address.expect("the host has been read as part of an address");
            return Some(Some(Proxy {
                service,
                address,
                login: login?,
                bypass: Bypass::default(),
            }));
        }
    };
    let hint = format!("write both or neither: add such as `{other}={such}`");
    reader.contradiction(name, &format!("set, but `{other}` is not"), hint);
    None
}

/// Reads a user name, which a colon would end.
fn username(text: &str) -> Result<Secret, Bad> {
    match text.contains(':') {
        true => Err(bad(
            "a user name with a colon in it, which HTTP Basic cannot carry",
            "write the name alone; the password has a variable of its own",
        )),
        false => Ok(Secret::new(text)),
    }
}

/// Reads what a proxy is told: a user name and a password, or neither.
fn login(
    reader: &mut Reader<'_>,
    username: Option<Option<Secret>>,
    names: &Names,
) -> Option<Option<Login>> {
    let Names { username_variable, password_variable, .. } = *names;
    let password = credentials::variable(reader, password_variable);
    // What is set more plainly counts, as with the region.
    let username = match username? {
        Some(username) => Some(username),
        None => credentials::variable(reader, username_variable)?,
    };
    let (place, what, hint) = match (username, password?) {
        (None, None) => return Some(None),
        (Some(username), _) if username.expose().contains(':') => (
            username_variable,
            "has a colon in it, which HTTP Basic cannot carry",
            "write the name alone; the password has a variable of its own".to_owned(),
        ),
        (Some(username), Some(password)) => return Some(Some(Login { username, password })),
        (Some(_), None) => (
            password_variable,
            "not set, but the proxy's user name is",
            format!(
                "set this variable, or `{password_variable}_FILE` to the path of a file that \
                 holds the value"
            ),
        ),
        (None, Some(_)) => (
            password_variable,
            "set, but the proxy's user name is not",
            format!("set `{}`, or the variable `{username_variable}`", names.username),
        ),
    };
    let (place, message) = (place.to_owned(), what.to_owned());
    reader.problems.push(Problem { place, message, hint: Some(hint) });
    None
}
