//! The checks that AWS makes with a request's head alone: region, clock, session token.
//!
//! **Invariant**: what passes here still has to pass the check of its signature.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::WrongRegion;
use crate::fault::s3_error_xml;
use crate::server::{Body, Shared, full};
use crate::sim::read;

/// What an Authorization header says it was signed with.
pub(crate) struct Scope {
    pub(crate) access_key: String,
    region: String,
}

/// Reads what an Authorization header says it was signed with.
pub(crate) fn scope(headers: &HeaderMap) -> Option<Scope> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let credential = value.split("Credential=").nth(1)?.split(',').next()?;
    let mut parts = credential.split('/');
    let access_key = parts.next()?.to_owned();
    Some(Scope { access_key, region: parts.nth(1)?.to_owned() })
}

/// Decodes percent-encoding.
pub(crate) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (byte, hex) {
            (b'%', Some(value)) => {
                bytes.push(value);
                rest = &after[2..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Makes the checks that AWS makes with the head alone, in its order.
pub(super) fn refuse(shared: &Shared, request: &Request<Incoming>) -> Option<Response<Body>> {
    let behaviour = read(&shared.s3).clone();
    let scope = scope(request.headers())?;
    if scope.access_key != behaviour.access_key {
        return None;
    }
    let header =
        |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let token = header("x-amz-security-token");
    if behaviour.expired {
        return Some(refusal(400, "ExpiredToken", "The provided token has expired.", ""));
    }
    match (&behaviour.session_token, token) {
        (Some(_), None) => {
            return Some(refusal(
                403,
                "InvalidAccessKeyId",
                "The key needs its session token.",
                "",
            ));
        }
        (Some(expected), Some(token)) if expected != token => {
            return Some(refusal(
                400,
                "InvalidToken",
                "The provided token is malformed or otherwise invalid.",
                "",
            ));
        }
        _ => {}
    }
    let signed_at = header("x-amz-date")
        .and_then(|text| chrono::NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%SZ").ok());
    let skew_ms =
        signed_at.map_or(0, |at| (at.and_utc().timestamp_millis() - shared.now_ms()).abs());
    if skew_ms > 15 * 60_000 {
        let message = "The difference between the request time and the current time is too large.";
        return Some(refusal(403, "RequestTimeTooSkewed", message, ""));
    }
    let bucket =
        decode(request.uri().path().trim_start_matches('/').split('/').next().unwrap_or_default());
    let region = read(&shared.world).bucket(&bucket)?.region.clone();
    let asks_where = request.method() == Method::GET
        && request.uri().query().is_some_and(|query| query.starts_with("location"));
    if region == scope.region || asks_where || behaviour.wrong_region == WrongRegion::Ignored {
        return None;
    }
    let (status, code, message, more) = if behaviour.wrong_region == WrongRegion::Malformed {
        let message = format!(
            "The authorization header is malformed; the region '{}' is wrong; expecting '{region}'",
            scope.region
        );
        (400, "AuthorizationHeaderMalformed", message, format!("<Region>{region}</Region>"))
    } else {
        let message = "The bucket you are attempting to access must be addressed using the specified endpoint.".to_owned();
        (
            301,
            "PermanentRedirect",
            message,
            format!(
                "<Bucket>{bucket}</Bucket><Region>{region}</Region><Endpoint>s3.{region}.example.com</Endpoint>"
            ),
        )
    };
    let mut response = refusal(status, code, &message, &more);
    if let Ok(region) = HeaderValue::try_from(region) {
        response.headers_mut().insert("x-amz-bucket-region", region);
    }
    Some(response)
}

/// Gives the region that a HEAD of a bucket tells everybody, with a signature or without.
pub(super) fn whereabouts(shared: &Shared, request: &Request<Incoming>) -> Option<HeaderValue> {
    let bucket = request.uri().path().trim_matches('/');
    if request.method() != Method::HEAD || bucket.contains('/') {
        return None;
    }
    HeaderValue::try_from(&read(&shared.world).bucket(bucket)?.region).ok()
}

/// Makes the answer of an error.
pub(super) fn refusal(status: u16, code: &str, message: &str, more: &str) -> Response<Body> {
    let mut response = Response::new(full(s3_error_xml(code, message, more)));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}
