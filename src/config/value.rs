//! Reads the values of single properties.
//!
//! Given a text, gives what it means, or what is wrong with it and what to write instead.
//!
//! **Invariant:** pure; what concerns two properties is decided elsewhere.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use regex::{Regex, RegexBuilder};
use reqwest::Url;

use super::problem::{Bad, bad};
use crate::secret::Secret;
use crate::window::{self, Age, Unit};

/// Reads `true` or `false`, in any case, as Java does; but nothing else counts as false.
pub(super) fn boolean(text: &str) -> Result<bool, Bad> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        "yes" | "on" | "1" => Err(bad("not `true` or `false`", "write `true`")),
        "no" | "off" | "0" => Err(bad("not `true` or `false`", "write `false`")),
        _ => Err(bad("not `true` or `false`", "write `true` or `false`")),
    }
}

/// Reads a whole number of a range; `such` is one to show.
pub(super) fn number<T: FromStr + PartialOrd + Display>(
    text: &str,
    range: RangeInclusive<T>,
    such: T,
) -> Result<T, Bad> {
    // `parse` alone would take a sign.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && range.contains(number)).ok_or_else(|| {
        let what = format!("not a whole number from {} to {}", range.start(), range.end());
        bad(what, format!("write such as `{such}`"))
    })
}

/// Reads a time in milliseconds, above 0.
pub(super) fn milliseconds(text: &str) -> Result<Duration, Bad> {
    // More than a day is a slip of the finger.
    number(text, 1..=86_400_000, 50_000)
        .map(Duration::from_millis)
        .map_err(|Bad { hint, .. }| Bad { what: "not milliseconds from 1 to a day".into(), hint })
}

/// Reads an age, and guesses what was meant by a text that is none.
pub(super) fn age(text: &str, unit: Unit) -> Result<Age, Bad> {
    window::parse_age(text, unit).map_err(|error| bad(error.to_string(), age_hint(text, unit)))
}

fn age_hint(text: &str, unit: Unit) -> String {
    let upper = text.to_ascii_uppercase();
    let digits = upper.trim_start_matches('P');
    let word = digits.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = &digits[..digits.len() - word.len()];
    let Ok(count) = number.parse::<u32>() else { return plain_age_hint(unit) };
    let in_unit = |hours: u64| match unit {
        Unit::Days => u64::from(count) * hours / 24,
        Unit::Hours => u64::from(count) * hours,
    };
    match (word.trim().trim_end_matches('S'), upper.starts_with('P')) {
        ("D" | "DAY", false) => format!("write `{}` or `P{count}D`", in_unit(24)),
        ("D" | "", true) if !word.ends_with('S') => format!("write `P{count}D`"),
        ("W" | "WEEK", _) => format!("write `P{}D`", u64::from(count) * 7),
        ("MON" | "MONTH", false) => format!("write `P{count}M`"),
        ("Y" | "YEAR", _) => format!("write `P{count}Y`"),
        ("H" | "HOUR", false) if unit == Unit::Hours => format!("write `{count}` or `PT{count}H`"),
        ("H" | "HOUR", _) => format!("write `PT{count}H`"),
        ("M" | "MIN" | "MINUTE", false) => format!("write `PT{count}M`"),
        ("" | "SEC" | "SECOND", _) if !word.is_empty() => format!("write `PT{count}S`"),
        _ => plain_age_hint(unit),
    }
}

fn plain_age_hint(unit: Unit) -> String {
    match unit {
        Unit::Days => "write whole days, such as `2`, or a duration such as `PT30M` or `P1DT12H`",
        Unit::Hours => "write whole hours, such as `6`, or a duration such as `PT30M` or `P1DT12H`",
    }
    .to_owned()
}

/// Reads the length of a shard: an age above 0 of exact length.
pub(super) fn shard(text: &str) -> Result<chrono::TimeDelta, Bad> {
    let age = age(text, Unit::Days)?;
    if age.months > 0 {
        return Err(bad("years and months have no fixed length", "write days, such as `P30D`"));
    }
    if age.is_zero() {
        return Err(bad("not above 0", "write `1` for shards of a day, or `PT1H` for an hour"));
    }
    Ok(age.exact)
}

/// Reads an absolute edge of the window.
pub(super) fn edge(text: &str) -> Result<chrono::DateTime<chrono::Utc>, Bad> {
    window::parse_edge(text).map_err(|error| {
        let seconds = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit());
        let hint = if seconds {
            format!("these look like seconds: write `{text}000`")
        } else {
            "write such as `2018-01-02` or `1514851200000`".to_owned()
        };
        bad(error.to_string(), hint)
    })
}

/// Reads the base address of a service; a slash at its end is dropped.
pub(super) fn address(text: &str) -> Result<Url, Bad> {
    const EXAMPLE: &str = "write such as `https://host.example/path`";
    let mut url = Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| bad("not an http or https address", EXAMPLE))?;
    if !url.username().is_empty() || url.password().is_some() {
        let hint = "delete all before the `@`; logins come from the environment only";
        return Err(bad("an address with a login in it", hint));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("an address with `?` or `#` in it", EXAMPLE));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// Reads an address that is itself a secret: no message may repeat a part of it.
pub(super) fn secret_address(text: &str) -> Result<Secret, Bad> {
    let url = Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.fragment().is_none()
    });
    match url {
        Some(_) => Ok(Secret::new(text)),
        None => Err(bad(
            "not an http or https address",
            "write it as the service shows it, such as `https://hc-ping.com/…`",
        )),
    }
}

/// Reads a number of bytes, with K, M or G behind it or not.
pub(super) fn bytes(text: &str, least: u64) -> Result<u64, Bad> {
    let hint = "write such as `500K` or `10M`";
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match &text[digits.len()..] {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => return Err(bad("not a number of bytes", hint)),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let bytes = digits.parse().ok().filter(|_| is_number);
    let bytes = bytes.and_then(|number: u64| number.checked_mul(unit));
    match bytes.ok_or_else(|| bad("not a number of bytes", hint))? {
        bytes if bytes < least => Err(bad(format!("less than {least} bytes"), hint)),
        bytes => Ok(bytes),
    }
}

/// Reads a path below the prefix of GWS.
pub(super) fn uri_path(text: &str) -> Result<String, Bad> {
    if text.contains("://") || text.contains(['?', '#', '\\']) || text.contains(char::is_whitespace)
    {
        return Err(bad("not a path below gwsUriPrefix", "write such as `/recordings`"));
    }
    match text.strip_prefix('/') {
        Some(_) => Ok(text.trim_end_matches('/').to_owned()),
        None => Err(bad("does not begin with `/`", "write such as `/recordings`")),
    }
}

/// Reads a proxy's host without a scheme, as it stands for S3.
pub(super) fn bare_host(text: &str) -> Result<String, Bad> {
    refuse_login(text)?;
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let host = host_and_port("http", rest.trim_end_matches('/'))?;
    if scheme.is_empty() { Ok(host) } else { Err(bad("a scheme", format!("write `{host}`"))) }
        .map_err(|Bad { hint, .. }| Bad { what: "not a host without a scheme".to_owned(), hint })
}

/// Reads a proxy's host with its scheme, as it stands for GWS.
pub(super) fn host_with_scheme(text: &str) -> Result<String, Bad> {
    refuse_login(text)?;
    match text.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => {
            let host = host_and_port(scheme, rest.trim_end_matches('/'))?;
            Ok(format!("{scheme}://{host}"))
        }
        Some((_, rest)) => Err(bad("not an http or https proxy", format!("write `http://{rest}`"))),
        None => {
            let host = host_and_port("http", text)?;
            Err(bad("not a host with a scheme", format!("write `http://{host}`")))
        }
    }
}

/// Comes before anything that repeats a part of the text in a hint.
fn refuse_login(text: &str) -> Result<(), Bad> {
    match text.contains('@') {
        true => Err(bad(
            "a proxy with a login in it",
            "write the host alone; the user name has a property of its own, the password a variable",
        )),
        false => Ok(()),
    }
}

fn host_and_port(scheme: &str, text: &str) -> Result<String, Bad> {
    let parsed = Url::parse(&format!("{scheme}://{text}/")).ok();
    // `Url` drops a port that is the scheme's own, so the text is asked too.
    let port = text.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
    match (parsed, port) {
        (Some(_), Some((host, port))) => {
            Err(bad("has a port in it", format!("write `{host}` here and `{port}` as the port")))
        }
        (Some(url), None) if url.path() == "/" && url.query().is_none() => Ok(text.to_owned()),
        _ => Err(bad("not a host", "write a name or an address, such as `10.0.1.31`")),
    }
}

/// Reads a path, made absolute; `/` is the separator on every system.
pub(super) fn path(current_dir: &Path, text: &str) -> Result<PathBuf, Bad> {
    std::path::absolute(current_dir.join(text))
        .map_err(|_| bad("not a path", "write such as `/srv/recordings`"))
}

/// Reads Unix permissions in octal, which must let the owner do what `owner` says.
pub(super) fn permissions(text: &str, owner: u32) -> Result<u32, Bad> {
    let digits = text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= 0o777);
    let hint = format!("write such as `0{:o}`", if owner == 0o700 { 0o750 } else { 0o640 });
    match mode {
        None => Err(bad("not permissions in octal", hint)),
        Some(mode) if mode & owner != owner => Err(bad("the owner itself gets no access", hint)),
        Some(mode) => Ok(mode),
    }
}

/// Reads a list of texts with commas between; nothing between two commas is nothing.
pub(super) fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// Reads a list of `bucket/prefix`; the prefix may be empty.
pub(super) fn buckets(text: &str) -> Result<Vec<(String, String)>, Bad> {
    let split = |item: String| match item.trim_end_matches('/').split_once('/') {
        Some(("", _)) => Err(bad("a bucket without a name", "write such as `my-bucket/my-prefix`")),
        Some((bucket, prefix)) => Ok((bucket.to_owned(), prefix.to_owned())),
        None => Ok((item.trim_end_matches('/').to_owned(), String::new())),
    };
    list(text).into_iter().map(split).collect()
}

/// Reads a list of origins: a scheme, a host, and a port if need be.
pub(super) fn origins(text: &str) -> Result<Vec<Url>, Bad> {
    let origin = |item: String| {
        let url = address(&item)?;
        if url.path() != "/" {
            let hint = format!("write `{}`", url.origin().ascii_serialization());
            return Err(bad("an origin has no path", hint));
        }
        Ok(url)
    };
    list(text).into_iter().map(origin).collect()
}

/// Reads a pattern that a whole media type must match, case ignored.
pub(super) fn media_type_pattern(text: &str) -> Result<Regex, Bad> {
    let compile = |pattern: &str| {
        RegexBuilder::new(pattern).case_insensitive(true).build().map_err(|error| {
            let told = error.to_string();
            let reason = told.lines().last().unwrap_or_default();
            let reason = reason.trim().trim_start_matches("error: ").to_owned();
            let hint = format!("{reason}; write such as `audio/mp3|video/mp4`");
            bad("not a regular expression that can be used", hint)
        })
    };
    // By itself first: `a)|(b` must not become sound by the brackets put around it.
    compile(text)?;
    compile(&format!("\\A(?:{text})\\z"))
}

/// Reads the name of an AWS region.
pub(super) fn region(text: &str) -> Result<String, Bad> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    match text.bytes().all(fits) {
        true => Ok(text.to_owned()),
        false => Err(bad("not the name of a region", "write such as `us-west-1`")),
    }
}

/// Finds a backslash that was meant as a separator, and writes the value as it was meant.
///
/// Java drops a single backslash, or makes a control character of it and the letter behind, so the
/// value is looked at as it stands in the file, too.
pub(super) fn backslash(value: &str, written: &str) -> Option<String> {
    let mut lost = false;
    let mut rest = written;
    while let Some(at) = rest.find('\\') {
        let mut behind = rest[at + 1..].chars();
        // A `\u` that is no escape would not have been read at all.
        lost |= behind.next().is_some_and(|c| c.is_alphanumeric() && c != 'u');
        rest = behind.as_str();
    }
    if !lost && !value.contains('\\') && !value.contains(char::is_control) {
        return None;
    }
    let root = if written.starts_with("\\\\") { "//" } else { "" };
    let parts: Vec<_> = written.split('\\').filter(|part| !part.is_empty()).collect();
    Some(format!("{root}{}", parts.join("/")))
}
