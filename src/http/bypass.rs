//! The hosts that are asked without a proxy.
//!
//! Given a list such as `localhost,.internal,10.0.0.0/8,*:9000`, tells of each address whether it
//! goes past the proxy.
//!
//! **Invariant:** pure; a host is compared as it is written, and no name is resolved for it.

use std::net::IpAddr;

use reqwest::Url;

/// Which hosts go past the proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bypass(Vec<Entry>);

/// One entry of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    hosts: Hosts,
    /// Only at this port; none means at any.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    All,
    /// This one, in lower case.
    Named(String),
    /// All below this one, which begins with a dot, in lower case.
    Below(String),
    /// Addresses that begin with so many bits of this one.
    Net(IpAddr, u32),
}

/// An entry that cannot be understood, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a host that could go past a proxy: `{entry}`")]
pub struct BypassError {
    /// What was written.
    pub entry: String,
    /// What would be right.
    pub hint: &'static str,
}

const SUCH: &str = "write such as `localhost`, `.internal`, `10.0.0.0/8`, `s3.example:9000` or `*`";

impl Bypass {
    /// Reads a list with commas, blanks or `|` between its entries.
    pub fn parse(text: &str) -> Result<Bypass, BypassError> {
        let entries = text.split([',', '|', ' ', '\t']).filter(|entry| !entry.is_empty());
        entries.map(entry).collect::<Result<_, _>>().map(Bypass)
    }

    /// Tells whether an address goes past the proxy.
    pub fn takes(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let host = host.trim_start_matches('[').trim_end_matches([']', '.']).to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        self.0.iter().any(|entry| {
            let is_its_port =
                entry.port.is_none_or(|port| url.port_or_known_default() == Some(port));
            is_its_port && entry.hosts.have(&host, address)
        })
    }

    /// Tells whether no host goes past the proxy.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Hosts {
    fn have(&self, host: &str, address: Option<IpAddr>) -> bool {
        match (self, address) {
            (Hosts::All, _) => true,
            (Hosts::Named(name), _) => host == name,
            (Hosts::Below(suffix), None) => host.len() > suffix.len() && host.ends_with(suffix),
            (Hosts::Net(net, bits), Some(address)) => begins(*net, *bits, address),
            (Hosts::Below(_), Some(_)) | (Hosts::Net(..), None) => false,
        }
    }
}

/// Tells whether an address begins with so many bits of another.
fn begins(net: IpAddr, bits: u32, address: IpAddr) -> bool {
    // A shift by all bits would be an overflow, where it should leave nothing.
    match (net, address) {
        (IpAddr::V4(net), IpAddr::V4(address)) => {
            let differ = net.to_bits() ^ address.to_bits();
            differ.checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(net), IpAddr::V6(address)) => {
            let differ = net.to_bits() ^ address.to_bits();
            differ.checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => false,
    }
}

fn entry(text: &str) -> Result<Entry, BypassError> {
    let wrong = |hint| BypassError { entry: text.to_owned(), hint };
    if text.contains("://") {
        return Err(wrong("write the host without a scheme"));
    }
    if let Some((net, bits)) = text.split_once('/') {
        let net: IpAddr = net.parse().map_err(|_| wrong("write the host without a path"))?;
        let most = if net.is_ipv4() { 32 } else { 128 };
        let bits = bits.parse().ok().filter(|bits| *bits <= most);
        let bits = bits.ok_or_else(|| wrong("write such as `10.0.0.0/8` or `fd00::/8`"))?;
        return Ok(Entry { hosts: Hosts::Net(net, bits), port: None });
    }
    let (host, port) = match text.rsplit_once(':') {
        // The colons of an address of version 6 are its own.
        Some((host, _)) if host.contains(':') && !host.ends_with(']') => (text, None),
        Some((host, port)) => {
            let port = port.parse().ok().filter(|port| *port > 0);
            (host, Some(port.ok_or_else(|| wrong(SUCH))?))
        }
        None => (text, None),
    };
    let host = host.to_ascii_lowercase();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
    if host == "*" {
        return Ok(Entry { hosts: Hosts::All, port });
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        return Ok(Entry { hosts: Hosts::Net(address, bits), port });
    }
    let suffix = host.strip_prefix('*').unwrap_or(host);
    let is_name = |name: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !name.is_empty() && name.split('.').all(|part| !part.is_empty() && part.chars().all(fits))
    };
    match suffix.strip_prefix('.') {
        Some(name) if is_name(name) => Ok(Entry { hosts: Hosts::Below(suffix.to_owned()), port }),
        None if is_name(host) => Ok(Entry { hosts: Hosts::Named(host.to_owned()), port }),
        _ => Err(wrong(SUCH)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_goes_past_the_proxy_exactly_where_an_entry_says_so() {
        for (list, past, through) in [
            ("", &[][..], &["http://a/", "http://127.0.0.1/"][..]),
            ("*", &["http://a/", "https://[::1]:9/", "http://10.0.0.1/"], &[]),
            (
                "S3.example",
                &["https://s3.example/", "http://S3.EXAMPLE:9000/", "https://s3.example./"],
                &["https://a.s3.example/", "https://s3.example.com/", "https://xs3.example/"],
            ),
            (
                ".example.com",
                &["https://a.example.com/", "https://a.b.EXAMPLE.com/"],
                &["https://example.com/", "https://badexample.com/", "https://example.com.evil/"],
            ),
            ("*.example.com", &["https://a.example.com/"], &["https://example.com/"]),
            // Only names have something below them.
            (".1", &[], &["http://127.0.0.1/"]),
            ("10.0.0.0/8", &["http://10.255.1.2:1/"], &["http://11.0.0.1/", "http://10.example/"]),
            ("10.1.2.3", &["http://10.1.2.3/"], &["http://10.1.2.4/"]),
            ("192.168.7.129/25", &["http://192.168.7.200/"], &["http://192.168.7.127/"]),
            ("0.0.0.0/0", &["http://1.2.3.4/"], &["http://[::1]/", "http://a/"]),
            ("fd00::/8", &["http://[fd12::1]:80/"], &["http://[fe80::1]/", "http://10.0.0.1/"]),
            ("::1", &["http://[::1]/", "http://[0:0::1]:9/"], &["http://[::2]/"]),
            ("[::1]:9", &["http://[::1]:9/"], &["http://[::1]:8/"]),
            ("a:443", &["https://a/", "http://a:443/"], &["http://a/", "https://a:8443/"]),
            ("*:9000", &["http://a:9000/", "http://10.0.0.1:9000/"], &["http://a/"]),
            (".a:80", &["http://b.a/"], &["https://b.a/"]),
            ("a, b|c\td", &["http://a/", "http://b/", "http://c/", "http://d/"], &["http://e/"]),
        ] {
            let bypass = Bypass::parse(list).unwrap();
            let takes = |address: &&&str| bypass.takes(&Url::parse(address).unwrap());
            assert_eq!(past.iter().find(|address| !takes(address)), None, "{list}");
            assert_eq!(through.iter().find(takes), None, "{list}");
        }
    }

    #[test]
    fn an_entry_that_means_nothing_is_told_with_what_would_be_right() {
        let path = "write the host without a path";
        let net = "write such as `10.0.0.0/8` or `fd00::/8`";
        for (list, entry, hint) in [
            ("ok, http://a", "http://a", "write the host without a scheme"),
            ("a/b", "a/b", path),
            ("10.0.0.0/33", "10.0.0.0/33", net),
            ("10.0.0.0/", "10.0.0.0/", net),
            ("a:0", "a:0", SUCH),
            ("a:http", "a:http", SUCH),
            ("a.*.b", "a.*.b", SUCH),
            ("*a", "*a", SUCH),
            (".", ".", SUCH),
            ("a..b", "a..b", SUCH),
            ("user@a", "user@a", SUCH),
        ] {
            let error = BypassError { entry: entry.to_owned(), hint };
            assert_eq!(Bypass::parse(list), Err(error), "{list}");
        }
    }
}
