//! One page of recordings, parsed while it arrives.
//!
//! **Invariant:** a page is never held in memory, only the record that is being read.

use std::io;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::error::{GwsError, check_redirect};
use crate::http::{Client, Pace, retry_after};
use crate::json::page::{PageEnd, PageError, PageLimits, PageReader};
use crate::secret::Mask;

/// How large one record, and one page, may be.
const LIMITS: PageLimits = PageLimits { record_bytes: 16 << 20, page_bytes: 4 << 30 };

/// A page that is arriving.
pub(super) struct Page {
    /// The records, a few at a time, as soon as they are whole.
    pub(super) records: mpsc::Receiver<Vec<Box<RawValue>>>,
    task: JoinHandle<Result<PageEnd, GwsError>>,
    /// What takes the logins out that were sent.
    login: Mask,
}

impl Page {
    /// Sends the request.
    pub(super) fn begin(http: Client, request: reqwest::RequestBuilder, login: Mask) -> Page {
        let (sender, records) = mpsc::channel(1);
        Page { records, task: tokio::spawn(fetch(http, request, sender)), login }
    }

    /// Gives what stood around the records, once they are all taken.
    pub(super) async fn end(&mut self) -> Result<PageEnd, GwsError> {
        let end = (&mut self.task).await;
        let end = end.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        end.map_err(|error| error.without(&self.login))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn fetch(
    http: Client,
    request: reqwest::RequestBuilder,
    records: mpsc::Sender<Vec<Box<RawValue>>>,
) -> Result<PageEnd, GwsError> {
    let mut response = http.send(request).await.map_err(GwsError::from_fault)?;
    check_redirect(&response)?;
    let http = response.status();
    let wait = retry_after(response.headers());
    let page = read(&mut response, &records).await;
    judge(http, wait, page)
}

async fn read(
    response: &mut reqwest::Response,
    records: &mpsc::Sender<Vec<Box<RawValue>>>,
) -> Result<PageEnd, PageError> {
    let mut reader = PageReader::new(LIMITS);
    let mut pace = Pace::default();
    loop {
        let asked_at = Instant::now();
        let chunk = match response.chunk().await {
            Ok(Some(chunk)) if pace.is_kept(chunk.len(), asked_at.elapsed()) => chunk,
            Ok(Some(_)) => return Err(reader.broken(io::ErrorKind::TimedOut.into())),
            Ok(None) => return reader.finish(),
            Err(error) => return Err(reader.broken(io::Error::other(error.without_url()))),
        };
        let mut complete = Vec::new();
        let ended = reader.read(&chunk, &mut complete);
        if !complete.is_empty() {
            // If nobody waits for them any more, the task ends with its page.
            let _ = records.send(complete).await;
        }
        ended?;
    }
}

/// Decides whether an answer is a page, and what it says if it is not.
fn judge(
    http: StatusCode,
    wait: Option<Duration>,
    page: Result<PageEnd, PageError>,
) -> Result<PageEnd, GwsError> {
    let http = http.as_u16();
    let end = match page {
        Ok(end) => end,
        Err(_) if http == 401 => return Err(GwsError::Denied { http, code: 20 }),
        Err(_) if http != 200 => return Err(GwsError::Status { http, wait }),
        Err(error) => return Err(GwsError::Page(error)),
    };
    match end.status_code {
        Some(0) if http == 200 && end.has_recordings => Ok(end),
        Some(20) => Err(GwsError::Denied { http, code: 20 }),
        code if http == 401 => Err(GwsError::Denied { http, code: code.unwrap_or(20) }),
        Some(code) if code != 0 => {
            let message = end.status_message.unwrap_or_default();
            Err(GwsError::Refused { http, code, message, wait })
        }
        _ if http != 200 => Err(GwsError::Status { http, wait }),
        _ => Err(GwsError::NotAPage { keys: end.keys.join(", ") }),
    }
}
