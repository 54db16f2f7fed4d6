//! A client of a few lines, so that the tests depend on no HTTP stack but the server's.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use openssl::hash::{MessageDigest, hash};
use openssl::pkey::PKey;
use openssl::sign::Signer;

use crate::Sim;
use crate::gws::{PASSWORD, USER};
use crate::s3::{ACCESS_KEY, SECRET_KEY};

/// An answer, read until the connection ended.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Whether all that was promised has come.
    pub(super) whole: bool,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
}

/// Asks, and reads whatever comes; an answer with status 0 is none.
pub(super) fn ask(origin: &str, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
    let host = origin.split("//").last().unwrap();
    let mut tcp = TcpStream::connect(host).unwrap();
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    tcp.write_all((head + "\r\n").as_bytes()).unwrap();
    if method == "CONNECT" {
        tcp.shutdown(std::net::Shutdown::Write).unwrap();
    }
    let mut bytes = Vec::new();
    let ended_well = tcp.read_to_end(&mut bytes).is_ok();
    parse(&bytes, ended_well, method == "HEAD")
}

/// Asks the metadata API with its login.
pub(super) fn gws(sim: &Sim, path: &str) -> Answer {
    let prefix = sim.gws_uri_prefix();
    let (origin, base) = prefix.split_at(prefix.find("/api").unwrap());
    ask(origin, "GET", &format!("{base}{path}"), &[("Authorization", &basic(USER, PASSWORD))])
}

/// Asks the metadata API for a listing and gives the ids.
pub(super) fn ids(sim: &Sim, query: &str) -> Vec<String> {
    let json = gws(sim, &format!("/recordings/download/?{query}")).json();
    json["recordings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["id"].as_str().unwrap().to_owned())
        .collect()
}

pub(super) fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;

    format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"))
    )
}

/// A signed request to S3.
#[derive(Clone)]
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) headers: Vec<(&'a str, &'a str)>,
    pub(super) access_key: &'a str,
    pub(super) secret_key: &'a str,
    pub(super) region: &'a str,
    pub(super) minutes_off: i64,
}

impl<'a> Signed<'a> {
    pub(super) fn get(path: &'a str) -> Self {
        Self {
            method: "GET",
            path,
            query: "",
            headers: Vec::new(),
            access_key: ACCESS_KEY,
            secret_key: SECRET_KEY,
            region: "us-west-2",
            minutes_off: 0,
        }
    }

    pub(super) fn with(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn send(&self, sim: &Sim) -> Answer {
        let origin = sim.s3_endpoint();
        let at = chrono::Utc::now() + chrono::TimeDelta::minutes(self.minutes_off);
        let (time, day) =
            (at.format("%Y%m%dT%H%M%SZ").to_string(), at.format("%Y%m%d").to_string());
        let empty = hex(&hash(MessageDigest::sha256(), b"").unwrap());
        let path = encode(self.path);
        let host = origin.split("//").last().unwrap();
        let mut signed =
            vec![("host", host), ("x-amz-content-sha256", &empty), ("x-amz-date", &time)];
        signed.extend(self.headers.iter().copied().filter(|(name, _)| name.starts_with("x-amz")));
        signed.sort_unstable();
        let lines: String =
            signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let canonical =
            format!("{}\n{path}\n{}\n{lines}\n{names}\n{empty}", self.method, self.query);
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let digest = hex(&hash(MessageDigest::sha256(), canonical.as_bytes()).unwrap());
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{digest}");
        let mut key = format!("AWS4{}", self.secret_key).into_bytes();
        for part in scope.split('/') {
            key = hmac(&key, part.as_bytes());
        }
        let signature = hex(&hmac(&key, to_sign.as_bytes()));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.access_key
        );
        let mut headers = vec![
            ("Authorization", authorization.as_str()),
            ("x-amz-date", &time),
            ("x-amz-content-sha256", &empty),
        ];
        headers.extend(&self.headers);
        let target = if self.query.is_empty() { path } else { format!("{path}?{}", self.query) };
        ask(&origin, self.method, &target, &headers)
    }
}

fn encode(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    path.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let key = PKey::hmac(key).unwrap();
    Signer::new(MessageDigest::sha256(), &key).unwrap().sign_oneshot_to_vec(text).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse(bytes: &[u8], ended_well: bool, is_head: bool) -> Answer {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Answer::default();
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let split =
        |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    let headers = lines.filter_map(split).collect();
    let mut answer = Answer { status, headers, body: bytes[end + 4..].to_vec(), whole: ended_well };
    if answer.header("transfer-encoding").is_some() {
        (answer.body, answer.whole) = unchunk(&answer.body);
    } else if let Some(length) =
        answer.header("content-length").and_then(|text| text.parse::<usize>().ok())
    {
        answer.whole &= is_head || answer.body.len() == length;
    }
    answer
}

fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        let Some(chunk) = rest.get(end + 2..end + 2 + length) else { break };
        body.extend_from_slice(chunk);
        if length == 0 {
            return (body, true);
        }
        rest = &rest[end + 4 + length..];
    }
    (body, false)
}
