//! Media behind plain HTTP(S) addresses: `webDAV` storage, and records with only a `mediaUri`.
//!
//! **Invariant:** GWS's login goes to GWS's origin alone; other origins are asked only if the
//! operator listed them, also when a redirect leads there.

use std::time::Duration;

use reqwest::Url;
use reqwest::header::LOCATION;

use super::{Body, Object, OpenError, OpenErrorKind};
use crate::checksum::Expected;
use crate::http::{Client, InTime, Pace, in_time};
use crate::secret::Login;

/// How many redirects of a media address are followed.
const REDIRECTS: usize = 3;

/// A reader of media over HTTP(S).
pub struct Web {
    /// The client; it follows no redirect by itself.
    pub http: Client,
    /// GWS's address; media on its origin are asked for with its login.
    pub gws: Url,
    /// GWS's login.
    pub login: Login,
    /// Origins that may be asked without a login.
    pub origins: Vec<Url>,
    /// How long a server may be silent.
    pub silence: Duration,
}

impl Web {
    /// Opens what stands at an address, which may be relative to GWS's.
    pub async fn open(&self, uri: &str) -> Result<Object, OpenError> {
        let unusable = || {
            let reason = "the record's media address cannot be read".to_owned();
            OpenError::new("media file".to_owned(), OpenErrorKind::Unusable(reason))
        };
        let mut url = self.gws.join(uri).map_err(|_| unusable())?;
        // A redirect may send back what was sent.
        let mask = self.login.mask().and(self.http.mask());
        let name = |url: &Url| mask.clean(&name(url));
        for _ in 0..=REDIRECTS {
            let name = name(&url);
            let sent = self.http.send(self.request(&url, &name)?);
            let answer = in_time(self.silence, sent).await;
            let late = |error| OpenError::from_fault(name.clone(), Box::new(error));
            let response = answer
                .map_err(late)?
                .map_err(|failure| OpenError::from_fault(name.clone(), Box::new(failure)))?;
            let status = response.status();
            if status.is_redirection() {
                let place = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
                url = place.and_then(|to| url.join(to).ok()).ok_or_else(unusable)?;
                continue;
            }
            let kind = match status.as_u16() {
                200 => return Ok(object(name, InTime::of(response, self.silence))),
                // Of this one address; what GWS thinks of the login, the listing shows.
                401 | 403 => OpenErrorKind::AccessDenied,
                404 | 410 => OpenErrorKind::NoSuchKey,
                other => OpenErrorKind::Status(other, String::new()),
            };
            return Err(OpenError::new(name, kind));
        }
        let reason = format!("more than {REDIRECTS} redirects");
        Err(OpenError::new(name(&url), OpenErrorKind::Unusable(reason)))
    }

    fn request(&self, url: &Url, name: &str) -> Result<reqwest::RequestBuilder, OpenError> {
        if url.origin() == self.gws.origin() {
            let mut url = url.clone();
            // A login in the address would be sent beside ours.
            let _ = url.set_username("").and_then(|()| url.set_password(None));
            let request = self.http.get(url);
            let Login { username, password } = &self.login;
            return Ok(request.basic_auth(username.expose(), Some(password.expose())));
        }
        if self.origins.iter().any(|listed| listed.origin() == url.origin()) {
            return Ok(self.http.get(url.clone()));
        }
        Err(OpenError::new(name.to_owned(), OpenErrorKind::ForeignOrigin))
    }
}

/// The address without user info and query, which may hold secrets.
fn name(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

fn object(name: String, response: reqwest::Response) -> Object {
    let md5 = response.headers().get("content-md5").and_then(|sum| sum.to_str().ok());
    Object {
        name,
        length: response.content_length(),
        etag: None,
        expected: md5
            .and_then(|sum| Expected::from_header(crate::checksum::Algorithm::Md5, sum))
            .into_iter()
            .collect(),
        body: Body::Web(response),
        pace: Pace::default(),
        limiter: None,
    }
}
