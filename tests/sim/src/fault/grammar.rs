//! The text form of a fault plan.
//!
//! Given text, gives the plan, and given a plan, its text:
//!
//! ```text
//! s3 nth=3 reset
//! listing from=2 status=503 retry-after=1; s3 containing=voice first=2 truncate=100
//! any every=7 optional set-header="x-amz-checksum-crc32: AAAAAA=="   # a lie
//! ```
//!
//! A fault is a route, then in any order: what the request contains, which of those requests (all, if nothing is said),
//! `optional`, and one action. Values with blanks, `;`, `#` or quotation marks stand in quotation marks, with JSON's escapes.
//!
//! **Invariant**: the text of every plan is read as the same plan; a word that is not understood is an error that names it.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use std::time::Duration;

use super::{Action, Fault, FaultPlan, Hits, s3_error_xml};
use crate::log::Route;

const ROUTES: [(&str, Option<Route>); 6] = [
    ("any", None),
    ("listing", Some(Route::Listing)),
    ("settings", Some(Route::Settings)),
    ("media", Some(Route::Media)),
    ("other", Some(Route::OtherGws)),
    ("s3", Some(Route::S3)),
];

/// A text that is no fault plan: what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoPlan(String);

impl Display for NoPlan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoPlan {}

fn wrong<T>(why: impl Into<String>) -> Result<T, NoPlan> {
    Err(NoPlan(why.into()))
}

impl FromStr for FaultPlan {
    type Err = NoPlan;

    fn from_str(text: &str) -> Result<Self, NoPlan> {
        let faults: Result<_, _> = split(text)?.iter().map(|words| fault(words)).collect();
        Ok(Self { faults: faults? })
    }
}

impl FromStr for Fault {
    type Err = NoPlan;

    fn from_str(text: &str) -> Result<Self, NoPlan> {
        match <[Fault; 1]>::try_from(text.parse::<FaultPlan>()?.faults) {
            Ok([fault]) => Ok(fault),
            Err(faults) => wrong(format!("`{text}` has {} faults, not one", faults.len())),
        }
    }
}

/// A word, `name` or `name=value`.
type Word = (String, Option<String>);

/// Splits a text into faults and those into words.
fn split(text: &str) -> Result<Vec<Vec<Word>>, NoPlan> {
    let mut faults = Vec::new();
    let mut words: Vec<Word> = Vec::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        match next {
            ';' | '\n' => {
                faults.push(std::mem::take(&mut words));
                rest = &rest[1..];
            }
            '#' => rest = &rest[rest.find('\n').unwrap_or(rest.len())..],
            _ if next.is_whitespace() => rest = &rest[next.len_utf8()..],
            _ => {
                let (word, behind) = word(rest)?;
                words.push(word);
                rest = behind;
            }
        }
    }
    faults.push(words);
    faults.retain(|words| !words.is_empty());
    Ok(faults)
}

/// Reads the word that a text begins with; gives what comes behind it, too.
fn word(text: &str) -> Result<(Word, &str), NoPlan> {
    let is_end = |c: char| c.is_whitespace() || ";#\"".contains(c);
    let end = text.find(is_end).unwrap_or(text.len());
    let (bare, behind) = text.split_at(end);
    if !behind.starts_with('"') {
        let (name, value) = bare.split_once('=').map_or((bare, None), |(n, v)| (n, Some(v)));
        return Ok(((name.to_owned(), value.map(str::to_owned)), behind));
    }
    let Some(name) = bare.strip_suffix('=') else {
        return wrong(format!("`{bare}` has a quotation mark in its middle"));
    };
    let mut quoted = serde_json::Deserializer::from_str(behind).into_iter::<String>();
    match quoted.next() {
        Some(Ok(value)) => {
            let behind = &behind[quoted.byte_offset()..];
            Ok(((name.to_owned(), Some(value)), behind))
        }
        _ => wrong(format!("what `{name}` is, does not end, or is no JSON string")),
    }
}

fn fault(words: &[Word]) -> Result<Fault, NoPlan> {
    let Some(((route, value), words)) = words.split_first() else { return wrong("no words") };
    let Some((_, route)) = ROUTES.iter().find(|(name, _)| name == route && value.is_none()) else {
        let names = ROUTES.map(|(name, _)| name).join(", ");
        return wrong(format!("`{route}` is none of {names}"));
    };
    let (mut contains, mut hits, mut optional) = (None, None, false);
    let mut action = None;
    let mut answer = Answer::default();
    let twice = |name: &str| NoPlan(format!("`{name}` is one too many"));
    for (name, value) in words {
        let value = Value { name, value: value.as_deref() };
        match name.as_str() {
            "containing" => {
                let before = contains.replace(value.text()?);
                before.map_or(Ok(()), |_| Err(twice(name)))?;
            }
            "nth" | "first" | "from" | "every" => {
                let n: u64 = value.number()?;
                let which = match name.as_str() {
                    "nth" => Hits::Nth(n),
                    "first" => Hits::First(n),
                    "from" => Hits::From(n),
                    _ if n == 0 => return wrong("`every=0` would be none"),
                    _ => Hits::Every(n),
                };
                hits.replace(which).map_or(Ok(()), |_| Err(twice(name)))?;
            }
            "optional" => optional = value.none().map(|()| true)?,
            _ if answer.takes(&value)? => {}
            _ => {
                action.replace(plain_action(&value)?).map_or(Ok(()), |_| Err(twice(name)))?;
            }
        }
    }
    let action = match (action, answer.finish()) {
        (Some(action), None) | (None, Some(action)) => action,
        (None, None) => return wrong("a fault without an action"),
        (Some(_), Some(_)) => return wrong("a fault with two actions"),
    };
    let contains = contains.unwrap_or_default();
    Ok(Fault { route: *route, contains, hits: hits.unwrap_or(Hits::Always), action, optional })
}

fn plain_action(value: &Value<'_>) -> Result<Action, NoPlan> {
    let bare = |action: Action| value.none().map(|()| action);
    Ok(match value.name {
        "delay-ms" => Action::Delay(Duration::from_millis(value.number()?)),
        "reset" => bare(Action::Reset)?,
        "close" => bare(Action::Close)?,
        "truncate" => Action::Truncate(value.number()?),
        "reset-after" => Action::ResetAfter(value.number()?),
        "wrong-length" => Action::WrongLength(value.number()?),
        "wrong-etag" => Action::WrongETag(value.text()?),
        "corrupt" => Action::Corrupt(value.number()?),
        "trickle" => Action::Trickle(value.number()?),
        "empty-page" => bare(Action::EmptyPage)?,
        "repeated-page" => bare(Action::RepeatedPage)?,
        "drop-rows" => Action::DropRows(value.number()?),
        "repeat-rows" => Action::RepeatRows(value.number()?),
        "stale-rows" => Action::StaleRows(value.number()?),
        "reorder" => bare(Action::Reorder)?,
        "reorder-all" => bare(Action::ReorderAll)?,
        "replaced" => bare(Action::Replaced)?,
        "expired" => bare(Action::Expired)?,
        "set-header" => {
            let (name, value) = value.header()?;
            Action::SetHeader { name, value }
        }
        "gzip-bomb" => Action::GzipBomb(value.number()?),
        "endless" => bare(Action::Endless)?,
        name => return wrong(format!("`{name}` is not understood")),
    })
}

/// What a word says.
struct Value<'w> {
    name: &'w str,
    value: Option<&'w str>,
}

impl Value<'_> {
    fn text(&self) -> Result<String, NoPlan> {
        self.value
            .map(str::to_owned)
            .ok_or_else(|| NoPlan(format!("`{}` lacks `=` and a value", self.name)))
    }

    fn number<N: FromStr>(&self) -> Result<N, NoPlan> {
        let text = self.text()?;
        text.parse().map_err(|_| NoPlan(format!("`{}={text}` is no number", self.name)))
    }

    fn none(&self) -> Result<(), NoPlan> {
        self.value.map_or(Ok(()), |_| wrong(format!("`{}` takes no value", self.name)))
    }

    fn header(&self) -> Result<(String, String), NoPlan> {
        let text = self.text()?;
        match text.split_once(": ") {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => wrong(format!("`{}={text}` is no `name: value`", self.name)),
        }
    }
}

/// The words of an answer that comes instead of the service's.
#[derive(Default)]
struct Answer {
    status: Option<u16>,
    headers: Vec<(String, String)>,
    body: Option<String>,
    /// What short words stand for, with their usual status.
    short: Option<Action>,
}

impl Answer {
    fn takes(&mut self, value: &Value<'_>) -> Result<bool, NoPlan> {
        match value.name {
            "status" => self.status = Some(value.number()?),
            "retry-after" => {
                let seconds: u64 = value.number()?;
                self.headers.push(("Retry-After".to_owned(), seconds.to_string()));
            }
            "header" => self.headers.push(value.header()?),
            "body" => self.body = Some(value.text()?),
            "gws-code" => self.short = Some(Action::gws_code(200, value.number()?)),
            "s3-error" => self.short = Some(Action::s3_error(400, &value.text()?)),
            "json" => self.short = Some(Action::json(200, &value.text()?)),
            "html" => self.short = Some(value.none().map(|()| Action::html())?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(self) -> Option<Action> {
        let (usual, mut headers, body) = match self.short {
            Some(Action::Answer { status, headers, body }) => (Some(status), headers, Some(body)),
            _ => (None, Vec::new(), None),
        };
        let is_said = self.status.is_some() || !self.headers.is_empty() || self.body.is_some();
        if usual.is_none() && !is_said {
            return None;
        }
        headers.extend(self.headers);
        Some(Action::Answer {
            status: self.status.or(usual).unwrap_or(200),
            headers,
            body: self.body.or(body).unwrap_or_default(),
        })
    }
}

impl Display for FaultPlan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let faults: Vec<String> = self.faults.iter().map(Fault::to_string).collect();
        f.write_str(&faults.join("; "))
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let route = ROUTES.iter().find(|(_, route)| *route == self.route);
        f.write_str(route.map_or("any", |(name, _)| name))?;
        if !self.contains.is_empty() {
            write!(f, " containing={}", quoted(&self.contains))?;
        }
        match self.hits {
            Hits::Nth(n) => write!(f, " nth={n}")?,
            Hits::First(n) => write!(f, " first={n}")?,
            Hits::From(n) => write!(f, " from={n}")?,
            Hits::Every(n) => write!(f, " every={n}")?,
            Hits::Always => {}
        }
        if self.optional {
            f.write_str(" optional")?;
        }
        write!(f, " {}", self.action)
    }
}

impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Action::Answer { status, headers, body } => {
                f.write_str(&answer_text(self, *status, headers, body))
            }
            Action::Delay(time) => write!(f, "delay-ms={}", time.as_millis()),
            Action::Reset => f.write_str("reset"),
            Action::Close => f.write_str("close"),
            Action::Truncate(bytes) => write!(f, "truncate={bytes}"),
            Action::ResetAfter(bytes) => write!(f, "reset-after={bytes}"),
            Action::WrongLength(more) => write!(f, "wrong-length={more:+}"),
            Action::WrongETag(etag) => write!(f, "wrong-etag={}", quoted(etag)),
            Action::Corrupt(place) => write!(f, "corrupt={place}"),
            Action::Trickle(rate) => write!(f, "trickle={rate}"),
            Action::EmptyPage => f.write_str("empty-page"),
            Action::RepeatedPage => f.write_str("repeated-page"),
            Action::DropRows(rows) => write!(f, "drop-rows={rows}"),
            Action::RepeatRows(rows) => write!(f, "repeat-rows={rows}"),
            Action::StaleRows(rows) => write!(f, "stale-rows={rows}"),
            Action::Reorder => f.write_str("reorder"),
            Action::ReorderAll => f.write_str("reorder-all"),
            Action::Replaced => f.write_str("replaced"),
            Action::Expired => f.write_str("expired"),
            Action::SetHeader { name, value } => {
                write!(f, "set-header={}", quoted(&format!("{name}: {value}")))
            }
            Action::GzipBomb(mib) => write!(f, "gzip-bomb={mib}"),
            Action::Endless => f.write_str("endless"),
        }
    }
}

/// Gives the words of an answer: the short ones, if they stand for it.
fn answer_text(answer: &Action, status: u16, headers: &[(String, String)], body: &str) -> String {
    let code = body.split_once(r#""statusCode":"#).and_then(|(_, rest)| rest.split_once(','));
    if let Some(code) = code.and_then(|(code, _)| code.parse().ok())
        && Action::gws_code(status, code) == *answer
    {
        return format!("gws-code={code} status={status}");
    }
    let code = body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    if let Some((code, _)) = code
        && body == s3_error_xml(code, "planned", "")
        && Action::s3_error(status, code) == *answer
    {
        return format!("s3-error={} status={status}", quoted(code));
    }
    if Action::html() == *answer {
        return "html".to_owned();
    }
    if Action::json(status, body) == *answer {
        return format!("json={} status={status}", quoted(body));
    }
    let mut text = format!("status={status}");
    for (name, value) in headers {
        let seconds: Option<u64> = value.parse().ok().filter(|_| name == "Retry-After");
        text += &match seconds.filter(|seconds| seconds.to_string() == *value) {
            Some(seconds) => format!(" retry-after={seconds}"),
            None => format!(" header={}", quoted(&format!("{name}: {value}"))),
        };
    }
    if !body.is_empty() {
        text += &format!(" body={}", quoted(body));
    }
    text
}

/// Gives a value as it stands behind `=`.
fn quoted(value: &str) -> String {
    let is_bare = |c: char| !c.is_whitespace() && !c.is_control() && !";#\"".contains(c);
    if !value.is_empty() && value.chars().all(is_bare) {
        return value.to_owned();
    }
    serde_json::Value::from(value).to_string()
}

#[cfg(test)]
mod tests;
