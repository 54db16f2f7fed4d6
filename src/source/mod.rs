//! Where recordings are listed and their media opened.
//!
//! Given a place, it gives an [`Object`]: what the source says of it and its bytes as they come.
//!
//! **Invariant:** nothing here retries a transfer or writes a file; [`crate::download`] does.

pub mod gws;
pub mod listing;
pub mod s3;
#[cfg(test)]
mod tests;
pub mod web;

use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::bandwidth::Limiter;
use crate::checksum::Expected;
use crate::http::{Advice, Fault, Pace};
use crate::recording::Location;

/// The places that media come from.
pub struct Source {
    /// Objects in S3; none where the run needs no media.
    pub s3: Option<s3::S3>,
    /// Media behind plain HTTP(S) addresses.
    pub web: web::Web,
    /// What all media together wait for; none where nothing limits them.
    pub limiter: Option<Arc<Limiter>>,
}

impl Source {
    /// Opens an object, whole.
    pub async fn open(&self, location: &Location) -> Result<Object, OpenError> {
        self.open_part(location, None).await
    }

    /// Opens a range of an object that must still have this ETag.
    pub async fn open_range(
        &self,
        location: &Location,
        range: Range<u64>,
        etag: &str,
    ) -> Result<Object, OpenError> {
        self.open_part(location, Some((range, etag))).await
    }

    async fn open_part(
        &self,
        location: &Location,
        part: Option<(Range<u64>, &str)>,
    ) -> Result<Object, OpenError> {
        let object = match (location, &self.s3) {
            (Location::S3 { bucket, key }, Some(s3)) => s3.open(bucket, key, part).await?,
            (Location::S3 { .. }, None) => {
                return Err(OpenError::new("S3".to_owned(), OpenErrorKind::NoCredentials));
            }
            // There are no ranges to be had.
            (Location::Http { uri }, _) => self.web.open(uri).await?,
            (Location::Unusable { reason }, _) => {
                let kind = OpenErrorKind::Unusable(reason.clone());
                return Err(OpenError::new("media file".to_owned(), kind));
            }
        };
        Ok(Object { limiter: self.limiter.clone(), ..object })
    }
}

/// An object whose bytes are on their way.
pub struct Object {
    /// Its name in messages.
    pub name: String,
    /// How many bytes it says it has.
    pub length: Option<u64>,
    /// Its version, by which ranges are pinned; none where ranges cannot be had.
    pub etag: Option<String>,
    /// The sums that its bytes must have.
    pub expected: Vec<Expected>,
    body: Body,
    pace: Pace,
    limiter: Option<Arc<Limiter>>,
}

enum Body {
    S3(aws_sdk_s3::primitives::ByteStream),
    Web(reqwest::Response),
}

impl Object {
    /// Gives the next bytes; nothing more at the end.
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>, OpenError> {
        let asked_at = Instant::now();
        let chunk = match &mut self.body {
            Body::S3(stream) => stream.try_next().await.map_err(|error| self.broken(error))?,
            Body::Web(response) => response.chunk().await.map_err(|error| self.broken(error))?,
        };
        let bytes = chunk.as_ref().map_or(0, Bytes::len);
        if chunk.is_some() && !self.pace.is_kept(bytes, asked_at.elapsed()) {
            return Err(OpenError::new(self.name.clone(), OpenErrorKind::Fault(Fault::Timeout)));
        }
        // Behind the watch: this wait is ours.
        if let (Some(limiter), Some(_)) = (&self.limiter, &chunk) {
            limiter.wait_for(bytes).await;
        }
        Ok(chunk)
    }

    fn broken(&self, error: impl Error + Send + Sync + 'static) -> OpenError {
        OpenError::from_fault(self.name.clone(), Box::new(error))
    }
}

/// Why an object could not be had.
#[derive(Debug, thiserror::Error)]
#[error("`{object}`: {kind}")]
pub struct OpenError {
    /// `bucket/key`, or an address without secrets.
    pub object: String,
    /// What went wrong.
    pub kind: OpenErrorKind,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What went wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenErrorKind {
    /// No credentials for S3 were given.
    NoCredentials,
    /// The credentials themselves are refused, with S3's code for it.
    Credentials(String),
    /// This one object is forbidden; S3 says so of missing ones too.
    AccessDenied,
    /// The object does not exist.
    NoSuchKey,
    /// The bucket does not exist.
    NoSuchBucket,
    /// The bucket lies in another region than the one that S3 itself named.
    WrongRegion(String),
    /// This machine's clock and S3's differ too much to sign a request.
    ClockSkew,
    /// The object was replaced while it was read.
    Changed,
    /// An answer with this status and code.
    Status(u16, String),
    /// No usable answer.
    Fault(Fault),
    /// The record does not say where the object is.
    Unusable(String),
    /// The address is neither GWS's own nor among `mediaOrigins`.
    ForeignOrigin,
}

impl OpenErrorKind {
    /// Whether fewer requests at the same time would have helped.
    pub fn asks_for_fewer(&self) -> bool {
        match self {
            OpenErrorKind::Status(status, code) => {
                matches!(status, 429 | 503) || code == "SlowDown"
            }
            OpenErrorKind::Fault(fault) => *fault == Fault::Timeout,
            _ => false,
        }
    }

    /// Whether another try may help.
    pub fn advice(&self) -> Advice {
        match self {
            OpenErrorKind::Changed => Advice::Again,
            OpenErrorKind::Status(status, _) if *status >= 500 || matches!(status, 408 | 429) => {
                Advice::Again
            }
            OpenErrorKind::Fault(fault) => fault.advice(),
            _ => Advice::GiveUp,
        }
    }
}

impl fmt::Display for OpenErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenErrorKind::NoCredentials => f.write_str("no S3 credentials were given"),
            OpenErrorKind::Credentials(code) => write!(f, "S3 refuses the credentials ({code})"),
            OpenErrorKind::AccessDenied => {
                f.write_str("access denied (S3 also says this of objects that do not exist)")
            }
            OpenErrorKind::NoSuchKey => f.write_str("no such object"),
            OpenErrorKind::NoSuchBucket => f.write_str("no such bucket"),
            OpenErrorKind::WrongRegion(region) => {
                write!(f, "the bucket is not in region `{region}`, and S3 does not say where it is")
            }
            OpenErrorKind::ClockSkew => {
                f.write_str("this machine's clock differs too much from S3's")
            }
            OpenErrorKind::Changed => f.write_str("the object was replaced while it was read"),
            OpenErrorKind::Status(status, code) if code.is_empty() => {
                write!(f, "the server answered {status}")
            }
            OpenErrorKind::Status(status, code) => write!(f, "the server answered {status} {code}"),
            OpenErrorKind::Fault(fault) => fault.fmt(f),
            OpenErrorKind::Unusable(reason) => f.write_str(reason),
            OpenErrorKind::ForeignOrigin => {
                f.write_str("the address is not GWS's own and its origin is not in `mediaOrigins`")
            }
        }
    }
}

impl OpenError {
    fn new(object: String, kind: OpenErrorKind) -> OpenError {
        OpenError { object, kind, source: None }
    }

    fn from_fault(object: String, source: Box<dyn Error + Send + Sync>) -> OpenError {
        let fault = crate::http::fault(source.as_ref());
        // What is wrong with a proxy is said completely, and the SDK would say that it said something.
        let source = Some(source).filter(|_| !matches!(fault, Fault::Proxy(_)));
        OpenError { object, kind: OpenErrorKind::Fault(fault), source }
    }
}
