//! Why GWS gave no usable answer, and whether another try may help.

use std::time::Duration;

use reqwest::header::LOCATION;

use crate::http::{Advice, Failure, Fault};
use crate::json::page::PageError;
use crate::secret::Mask;

/// Why GWS gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum GwsError {
    /// The login is refused, or may not list recordings.
    #[error("GWS refuses the login (HTTP {http}, statusCode {code})")]
    Denied {
        /// The status of the answer.
        http: u16,
        /// The code in it, if it had one.
        code: i64,
    },
    /// GWS answered that something is wrong.
    #[error("GWS answered HTTP {http}, statusCode {code}: {message}")]
    Refused {
        /// The status of the answer.
        http: u16,
        /// The code in it.
        code: i64,
        /// What GWS says about it.
        message: String,
        /// How long it wants to be left alone.
        wait: Option<Duration>,
    },
    /// An answer with a status, and nothing readable in it.
    #[error("GWS answered HTTP {http}")]
    Status {
        /// The status of the answer.
        http: u16,
        /// How long it wants to be left alone.
        wait: Option<Duration>,
    },
    /// A JSON answer that is not a page of recordings.
    #[error("GWS answered without statusCode 0 and a list `recordings`; it has: {keys}")]
    NotAPage {
        /// The names it had.
        keys: String,
    },
    /// The page could not be read.
    #[error("the page of recordings cannot be read")]
    Page(#[source] PageError),
    /// The answer leads to another place.
    #[error("GWS redirects to another origin, `{0}`")]
    Redirected(String),
    /// No answer.
    #[error("GWS: {0}")]
    Fault(Fault, #[source] Failure),
}

impl GwsError {
    /// Whether fewer requests at the same time would have helped.
    pub(super) fn asks_for_fewer(&self) -> bool {
        match self {
            GwsError::Refused { http, .. } | GwsError::Status { http, .. } => {
                matches!(http, 429 | 503)
            }
            GwsError::Fault(fault, _) => *fault == Fault::Timeout,
            _ => false,
        }
    }

    pub(super) fn advice(&self) -> Advice {
        match self {
            GwsError::Refused { wait: Some(wait), .. }
            | GwsError::Status { wait: Some(wait), .. } => Advice::After(*wait),
            GwsError::Refused { http, code, .. } if matches!(code, 4 | 7) || transient(*http) => {
                Advice::Again
            }
            GwsError::Status { http, .. } if transient(*http) => Advice::Again,
            GwsError::Page(PageError::Truncated { .. } | PageError::Read { .. }) => Advice::Again,
            GwsError::Fault(fault, _) => fault.advice(),
            _ => Advice::GiveUp,
        }
    }

    /// Takes a login out of what the server wrote, which may send back what it was sent.
    pub(super) fn without(self, login: &Mask) -> GwsError {
        match self {
            GwsError::Refused { http, code, message, wait } => {
                GwsError::Refused { http, code, message: login.clean(&message), wait }
            }
            GwsError::NotAPage { keys } => {
                let keys = login.clean(&keys);
                // Each was cut for itself.
                let keys: Vec<_> = keys.split(", ").map(|key| login.clean(key)).collect();
                GwsError::NotAPage { keys: keys.join(", ") }
            }
            GwsError::Redirected(origin) => GwsError::Redirected(login.clean(&origin)),
            GwsError::Page(PageError::NotJson { opening }) => {
                GwsError::Page(PageError::NotJson { opening: login.clean(&opening) })
            }
            GwsError::Page(PageError::NotAnObject { opening }) => {
                GwsError::Page(PageError::NotAnObject { opening: login.clean(&opening) })
            }
            error @ (GwsError::Denied { .. }
            | GwsError::Status { .. }
            | GwsError::Page(_)
            | GwsError::Fault(..)) => error,
        }
    }

    pub(super) fn from_fault(failure: impl Into<Failure>) -> GwsError {
        let failure = failure.into();
        GwsError::Fault(failure.fault.clone(), failure)
    }
}

pub(super) fn transient(http: u16) -> bool {
    http >= 500 || matches!(http, 408 | 429)
}

pub(super) fn check_redirect(response: &reqwest::Response) -> Result<(), GwsError> {
    if !response.status().is_redirection() {
        return Ok(());
    }
    let place = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("");
    let origin = response.url().join(place).map(|to| to.origin().ascii_serialization());
    Err(GwsError::Redirected(origin.unwrap_or_default()))
}
