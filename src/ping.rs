//! Tells a service that watches scheduled jobs what becomes of a backup, as healthchecks.io has it.
//!
//! Is given the address of the job, a moment of the run, and the text that goes with it.
//!
//! **Invariant:** the address, which whoever knows it can use, enters no message; and nobody waits
//! for the service longer than some seconds.

use std::fmt;
use std::time::Duration;

use reqwest::{StatusCode, Url};

use crate::http::{Advice, Client, Failure, Fault, Retry};
use crate::secret::Secret;

/// How long a connection may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a try may take.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// How many tries there are after the first.
const RETRIES: u32 = 1;

/// The job as the service knows it.
#[derive(Clone)]
pub struct Ping {
    http: Client,
    address: Url,
}

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The run has begun.
    Start,
    /// Everything in its window is held.
    Success,
    /// It is not; this was the exit code.
    Failure(u8),
}

/// Why the service was not told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PingError {
    /// It answered something else than 2xx.
    #[error("HTTP {}", .0.as_u16())]
    Status(StatusCode),
    /// It gave no answer.
    #[error("{0}")]
    Fault(Fault),
}

impl Ping {
    /// Knows the job by its address; none where that is no address.
    pub fn at(http: Client, address: &Secret) -> Option<Ping> {
        let address = Url::parse(address.expose()).ok().filter(|url| !url.cannot_be_a_base())?;
        Some(Ping { http, address })
    }

    /// Tells the service, with some lines for whoever looks into it there.
    pub async fn tell(&self, moment: Moment, lines: &str) -> Result<(), PingError> {
        tracing::debug!(?moment, "pinging");
        let mut retry = Retry::new(RETRIES);
        loop {
            let (error, advice) = match self.tell_once(moment, lines).await {
                Ok(status) if status.is_success() => return Ok(()),
                Ok(status) if status.is_server_error() || status.as_u16() == 429 => {
                    (PingError::Status(status), Advice::Again)
                }
                Ok(status) => (PingError::Status(status), Advice::GiveUp),
                Err(failure) => (PingError::Fault(failure.fault), Advice::Again),
            };
            retry.pause(error, advice).await?;
        }
    }

    async fn tell_once(&self, moment: Moment, lines: &str) -> Result<StatusCode, Failure> {
        let post = self.http.post(moment.address(&self.address)).timeout(TIMEOUT);
        let post = post.header("Content-Type", "text/plain; charset=utf-8");
        Ok(self.http.send(post.body(lines.to_owned())).await?.status())
    }
}

impl fmt::Debug for Ping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ping([redacted])")
    }
}

impl Moment {
    fn address(self, job: &Url) -> Url {
        let mut address = job.clone();
        let path = job.path().trim_end_matches('/');
        match self {
            Moment::Start => address.set_path(&format!("{path}/start")),
            Moment::Success => {}
            Moment::Failure(code) => address.set_path(&format!("{path}/{code}")),
        }
        address
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{ClientOptions, Purpose, Trust, client};

    #[test]
    fn each_moment_has_its_address_and_what_is_asked_for_stays() {
        let told = |job: &str| {
            let job = Url::parse(job).unwrap();
            let moments = [Moment::Start, Moment::Success, Moment::Failure(143)];
            moments.map(|moment| moment.address(&job).to_string())
        };
        assert_eq!(
            told("https://hc-ping.com/0d8b"),
            [
                "https://hc-ping.com/0d8b/start",
                "https://hc-ping.com/0d8b",
                "https://hc-ping.com/0d8b/143"
            ]
        );
        assert_eq!(
            told("http://hc.example:8000/ping/key/rcbs/?create=1"),
            [
                "http://hc.example:8000/ping/key/rcbs/start?create=1",
                "http://hc.example:8000/ping/key/rcbs/?create=1",
                "http://hc.example:8000/ping/key/rcbs/143?create=1"
            ]
        );
    }

    #[test]
    fn the_address_is_not_in_its_debug_form() {
        let address = Secret::new("https://hc-ping.com/0d8b");
        let http = client(&ClientOptions {
            proxy: None,
            trust: Trust::roots(None).unwrap(),
            connect_timeout: CONNECT_TIMEOUT,
            read_timeout: TIMEOUT,
            purpose: Purpose::Api,
        });
        let ping = Ping::at(http.unwrap(), &address).unwrap();
        assert!(!format!("{ping:?}").contains("0d8b"));
    }
}
