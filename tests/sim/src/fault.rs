//! What shall go wrong, as data: which request, and what happens to it.
//!
//! Given a request's route and text, gives the actions that strike it, and counts them; a plan has a text form, which
//! [`grammar`] reads and writes. **Invariant**: a plan never depends on time or chance.

pub mod grammar;

use std::sync::Mutex;
use std::time::Duration;

use crate::log::{Route, lock};

/// What is done to a request that a fault strikes.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Answers this instead of asking the service.
    Answer {
        /// The HTTP status.
        status: u16,
        /// Header names and values.
        headers: Vec<(String, String)>,
        /// The body.
        body: String,
    },
    /// Waits before anything else happens.
    Delay(Duration),
    /// Breaks the connection off with a TCP reset, without an answer.
    Reset,
    /// Closes the connection without an answer.
    Close,
    /// Closes the connection after so many bytes of the body, though more were promised.
    Truncate(u64),
    /// Breaks the connection off with a TCP reset after so many bytes of the body.
    ResetAfter(u64),
    /// Promises so many bytes more (or fewer) than the body has: more ends in a closed connection, fewer cuts the body.
    WrongLength(i64),
    /// Answers with another ETag.
    WrongETag(String),
    /// Flips the bits of the byte at this place of the body.
    Corrupt(u64),
    /// Sends the body at so many bytes per second.
    Trickle(u64),
    /// The listing is answered with no records.
    EmptyPage,
    /// The listing is answered with the records of the answer before.
    RepeatedPage,
    /// So many records from the middle of the page are left out.
    DropRows(u64),
    /// The first so many records of the page stand once more at its end.
    RepeatRows(u64),
    /// The last so many records of the answer before stand at the beginning of the page.
    StaleRows(u64),
    /// The records of the page come in no order.
    Reorder,
    /// What is listed is in no order before it is cut into pages, so that the page has other records.
    ReorderAll,
    /// The object has been replaced: other bytes of the same length, and their ETag.
    Replaced,
    /// The login has expired: S3 says ExpiredToken, the metadata API 401 and code 20.
    Expired,
    /// Sets a header of the answer, whatever it was.
    SetHeader {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// Answers with a listing that is compressed, and so many MiB of blanks once it is unpacked.
    GzipBomb(u64),
    /// The body has no length, and blanks behind its end for ever.
    Endless,
}

impl Action {
    /// Answers with a status and nothing else.
    pub fn status(status: u16) -> Self {
        Self::Answer { status, headers: Vec::new(), body: String::new() }
    }

    /// Answers with a status and a `Retry-After` in seconds.
    pub fn retry_after(status: u16, seconds: u64) -> Self {
        Self::Answer {
            status,
            headers: vec![("Retry-After".to_owned(), seconds.to_string())],
            body: String::new(),
        }
    }

    /// Answers as the metadata API does when it fails: with a status code in JSON.
    pub fn gws_code(http_status: u16, code: i64) -> Self {
        Self::json(http_status, &format!(r#"{{"statusCode":{code},"statusMessage":"planned"}}"#))
    }

    /// Answers with this JSON.
    pub fn json(status: u16, body: &str) -> Self {
        Self::answer(status, "application/json", body)
    }

    /// Answers as S3 does when it fails, with an error code such as `SlowDown`, `AccessDenied` or `ExpiredToken`.
    pub fn s3_error(status: u16, code: &str) -> Self {
        Self::answer(status, "application/xml", &s3_error_xml(code, "planned", ""))
    }

    /// Answers 200 with an HTML page, as portals and broken proxies do.
    pub fn html() -> Self {
        Self::answer(200, "text/html", "<!DOCTYPE html><html><body><h1>Sign in</h1></body></html>")
    }

    /// Answers as the service does when the login has expired.
    pub(crate) fn expired(route: Route) -> Self {
        match route {
            Route::S3 => Self::s3_error(400, "ExpiredToken"),
            _ => Self::gws_code(401, 20),
        }
    }

    fn answer(status: u16, content_type: &str, body: &str) -> Self {
        let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        Self::Answer { status, headers, body: body.to_owned() }
    }
}

/// Which of the requests that match are struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hits {
    /// The one with this number, from 1.
    Nth(u64),
    /// So many from the first on.
    First(u64),
    /// All from this number on.
    From(u64),
    /// Each whose number can be divided by this one.
    Every(u64),
    /// All.
    Always,
}

/// A planned fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// The route that it strikes; `None`: any.
    pub route: Option<Route>,
    /// What method, path, query and decoded key (`GET /path?query bucket/key`) must contain.
    pub contains: String,
    /// Which of those requests.
    pub hits: Hits,
    /// What happens.
    pub action: Action,
    /// True: the test does not fail if it never strikes.
    pub optional: bool,
}

impl Fault {
    /// Plans that every request of a route is struck.
    pub fn on(route: Route, action: Action) -> Self {
        Self {
            route: Some(route),
            contains: String::new(),
            hits: Hits::Always,
            action,
            optional: false,
        }
    }

    /// Limits it to requests that contain this text.
    #[must_use]
    pub fn containing(mut self, text: &str) -> Self {
        text.clone_into(&mut self.contains);
        self
    }

    /// Limits it to some of the requests that match.
    #[must_use]
    pub fn hits(mut self, hits: Hits) -> Self {
        self.hits = hits;
        self
    }

    /// Allows that it never strikes.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }
}

/// All that shall go wrong, in order.
///
/// Its text has one fault on a line, or several with `;` between, as [`grammar`] says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaultPlan {
    /// The faults; a request can be struck by several.
    pub faults: Vec<Fault>,
}

/// The faults that are planned, and how often each has struck.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    faults: Mutex<Vec<Planned>>,
}

#[derive(Debug)]
struct Planned {
    fault: Fault,
    matched: u64,
    struck: u64,
}

impl Plan {
    pub(crate) fn add(&self, fault: Fault) {
        lock(&self.faults).push(Planned { fault, matched: 0, struck: 0 });
    }

    pub(crate) fn clear(&self) {
        lock(&self.faults).clear();
    }

    /// Gives the actions that strike this request, in the order of the plan.
    pub(crate) fn strike(&self, route: Route, text: &str) -> Vec<Action> {
        let mut struck = Vec::new();
        for planned in lock(&self.faults).iter_mut() {
            let fault = &planned.fault;
            if fault.route.is_some_and(|r| r != route) || !text.contains(&fault.contains) {
                continue;
            }
            planned.matched += 1;
            let hit = match fault.hits {
                Hits::Nth(n) => planned.matched == n,
                Hits::First(n) => planned.matched <= n,
                Hits::From(n) => planned.matched >= n,
                Hits::Every(n) => planned.matched.is_multiple_of(n),
                Hits::Always => true,
            };
            if hit {
                planned.struck += 1;
                struck.push(fault.action.clone());
            }
        }
        struck
    }

    /// Gives each fault and how often it has struck.
    pub(crate) fn counts(&self) -> Vec<(Fault, u64)> {
        lock(&self.faults).iter().map(|planned| (planned.fault.clone(), planned.struck)).collect()
    }

    /// Names the faults that should have struck and have not.
    pub(crate) fn missed(&self) -> Vec<String> {
        let missed = |planned: &&Planned| planned.struck == 0 && !planned.fault.optional;
        lock(&self.faults).iter().filter(missed).map(|planned| planned.fault.to_string()).collect()
    }
}

/// Gives the body of an S3 error; `more` is XML that stands behind the message.
pub(crate) fn s3_error_xml(code: &str, message: &str, more: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>{more}<RequestId>0</RequestId></Error>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_strike_the_requests_they_name_and_no_others() {
        let cases: [(Hits, [u64; 4]); 5] = [
            (Hits::Nth(2), [0, 1, 0, 0]),
            (Hits::First(2), [1, 1, 0, 0]),
            (Hits::From(3), [0, 0, 1, 1]),
            (Hits::Every(2), [0, 1, 0, 1]),
            (Hits::Always, [1, 1, 1, 1]),
        ];
        for (hits, expected) in cases {
            let plan = Plan::default();
            plan.add(Fault::on(Route::S3, Action::Reset).containing("b/k").hits(hits));
            assert!(plan.strike(Route::Listing, "GET b/k").is_empty());
            assert!(plan.strike(Route::S3, "GET b/other").is_empty());
            let struck = expected.map(|_| plan.strike(Route::S3, "GET b/k").len() as u64);
            assert_eq!(struck, expected, "{hits:?}");
            assert!(plan.missed().is_empty());
        }
    }

    #[test]
    fn a_fault_that_never_struck_is_named_unless_it_may_miss() {
        let plan = Plan::default();
        plan.add(Fault::on(Route::Settings, Action::status(503)));
        plan.add(Fault::on(Route::S3, Action::Close).optional());
        assert_eq!(plan.missed().len(), 1);
        assert!(plan.missed()[0].contains("503"));
    }
}
