//! Amazon S3, and stores that speak like it.
//!
//! Given a bucket and a key it opens the object, having found out in which region the bucket lies.
//!
//! **Invariant:** requests are signed reads; there is no call here that could change a bucket.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_runtime::auth::PayloadSigningOverride;
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, ResponseChecksumValidation, StalledStreamProtectionConfig,
};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::types::ServerSideEncryption;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use reqwest::Url;

use super::{Body, Object, OpenError, OpenErrorKind};
use crate::checksum::{Algorithm, Expected};
use crate::http::{Client, Fault, InTime, Pace, Proxy, in_time};
use crate::secret::AwsKeys;

/// What is needed to read from S3.
pub struct S3Options {
    /// What signs.
    pub keys: AwsKeys,
    /// The region tried first; S3 says where a bucket really is.
    pub region: Option<String>,
    /// Another address than Amazon's.
    pub endpoint: Option<String>,
    /// Whether the bucket is part of the path instead of the host name.
    pub force_path_style: bool,
    /// Whether the payload's hash is signed as well.
    pub sign_payload: bool,
    /// How long S3 may be silent.
    pub silence: Duration,
}

/// A reader of S3 objects.
pub struct S3 {
    options: S3Options,
    http: Client,
    clients: Mutex<HashMap<String, aws_sdk_s3::Client>>,
    regions: Mutex<HashMap<String, String>>,
}

impl S3 {
    /// Prepares to read; nothing is asked yet.
    pub fn new(options: S3Options, http: Client) -> S3 {
        S3 { options, http, clients: Mutex::default(), regions: Mutex::default() }
    }

    /// Opens an object, or a range of it under the condition that it still has this ETag.
    pub async fn open(
        &self,
        bucket: &str,
        key: &str,
        part: Option<(Range<u64>, &str)>,
    ) -> Result<Object, OpenError> {
        let name = format!("{bucket}/{key}");
        let part = part.as_ref().map(|(range, etag)| (range, *etag));
        let mut region = self.region_of(bucket);
        loop {
            match self.get(bucket, key, part, &region).await {
                Ok(output) => return Ok(object(name, output, part.is_none())),
                Err(refusal) => region = self.other_region(bucket, &region, refusal)?,
            }
        }
    }

    /// Says whether anything is stored below a prefix.
    pub async fn anything_below(&self, bucket: &str, prefix: &str) -> Result<bool, OpenError> {
        let mut region = self.region_of(bucket);
        loop {
            let list = self.client(&region).list_objects_v2().bucket(bucket).prefix(prefix);
            match list.max_keys(1).send().await {
                Ok(listed) => return Ok(listed.key_count().unwrap_or(0) > 0),
                Err(error) => {
                    let refusal = self.refusal(format!("{bucket}/{prefix}"), &region, error);
                    region = self.other_region(bucket, &region, refusal)?;
                }
            }
        }
    }

    /// The region that requests for this bucket are signed for.
    pub fn region_of(&self, bucket: &str) -> String {
        let known = lock(&self.regions).get(bucket).cloned();
        known.or_else(|| self.options.region.clone()).unwrap_or_else(|| "us-east-1".to_owned())
    }

    /// The proxy that a bucket is asked for through.
    pub fn proxy_for(&self, bucket: &str) -> Option<&Proxy> {
        let amazon = || format!("https://s3.{}.amazonaws.com", self.region_of(bucket));
        let mut url = Url::parse(&self.options.endpoint.clone().unwrap_or_else(amazon)).ok()?;
        if !self.options.force_path_style && url.domain().is_some() {
            let host = format!("{bucket}.{}", url.domain().unwrap_or_default());
            url.set_host(Some(&host)).ok()?;
        }
        self.http.proxy_for(&url)
    }

    /// Remembers the region that a refusal names, to ask there; gives the error if that was done.
    fn other_region(
        &self,
        bucket: &str,
        asked: &str,
        refusal: Refusal,
    ) -> Result<String, OpenError> {
        let mut regions = lock(&self.regions);
        let was_sent_there = regions.get(bucket).is_some_and(|known| known == asked);
        match refusal.region.filter(|named| named != asked && !was_sent_there) {
            Some(named) => {
                regions.insert(bucket.to_owned(), named.clone());
                Ok(named)
            }
            None => Err(refusal.error),
        }
    }

    async fn get(
        &self,
        bucket: &str,
        key: &str,
        part: Option<(&Range<u64>, &str)>,
        region: &str,
    ) -> Result<GetObjectOutput, Refusal> {
        let mut request = self.client(region).get_object().bucket(bucket).key(key);
        if let Some((range, etag)) = part {
            request = request.range(format!("bytes={}-{}", range.start, range.end - 1));
            request = request.if_match(etag);
        }
        let sent = request.send().await;
        sent.map_err(|error| self.refusal(format!("{bucket}/{key}"), region, error))
    }

    /// Says what an answer that is no object means.
    fn refusal<E>(&self, name: String, asked: &str, error: SdkError<E, HttpResponse>) -> Refusal
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let mut refusal = refusal(name, asked, error);
        // What the server wrote, now or before; it may send back what it was sent.
        if let OpenErrorKind::Status(_, text) | OpenErrorKind::WrongRegion(text) =
            &mut refusal.error.kind
        {
            let mask = self.options.keys.mask().and(self.http.mask());
            *text = mask.clean(&text.chars().take(100).collect::<String>());
        }
        refusal
    }

    fn client(&self, region: &str) -> aws_sdk_s3::Client {
        let mut clients = lock(&self.clients);
        if let Some(client) = clients.get(region) {
            return client.clone();
        }
        let client = aws_sdk_s3::Client::from_conf(self.config(region));
        clients.insert(region.to_owned(), client.clone());
        client
    }

    fn config(&self, region: &str) -> aws_sdk_s3::Config {
        let keys = &self.options.keys;
        let credentials = Credentials::new(
            keys.access_key_id.expose(),
            keys.secret_access_key.expose(),
            keys.session_token.as_ref().map(|token| token.expose().to_owned()),
            None,
            "environment",
        );
        let http = SharedHttpConnector::new(OverReqwest {
            client: self.http.clone(),
            silence: self.options.silence,
        });
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .credentials_provider(credentials)
            .http_client(http_client_fn(move |_, _| http.clone()))
            .force_path_style(self.options.force_path_style)
            .interceptor(BeforeSigning { sign_payload: self.options.sign_payload })
            // Retries, time-outs, slow bodies and checksums have one rule for all sources.
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        if let Some(endpoint) = &self.options.endpoint {
            config = config.endpoint_url(endpoint);
        }
        config.build()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A map is whole between any two of its operations, whatever panicked meanwhile.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn object(name: String, output: GetObjectOutput, whole: bool) -> Object {
    let expected = if whole { expected(&output) } else { Vec::new() };
    Object {
        name,
        length: output.content_length().and_then(|length| u64::try_from(length).ok()),
        etag: output.e_tag().map(str::to_owned),
        expected,
        body: Body::S3(output.body),
        pace: Pace::default(),
        limiter: None,
    }
}

/// The sums that S3 promises for a whole object.
fn expected(output: &GetObjectOutput) -> Vec<Expected> {
    let with_foreign_key = output.sse_customer_algorithm().is_some()
        || matches!(
            output.server_side_encryption(),
            Some(ServerSideEncryption::AwsKms | ServerSideEncryption::AwsKmsDsse)
        );
    let etag = output.e_tag().filter(|_| !with_foreign_key).and_then(Expected::from_etag);
    let headers = [
        (Algorithm::Crc32, output.checksum_crc32()),
        (Algorithm::Crc32c, output.checksum_crc32_c()),
        (Algorithm::Crc64Nvme, output.checksum_crc64_nvme()),
        (Algorithm::Sha1, output.checksum_sha1()),
        (Algorithm::Sha256, output.checksum_sha256()),
    ];
    let sums = headers
        .into_iter()
        .filter_map(|(algorithm, value)| Expected::from_header(algorithm, value?));
    let sums: Vec<_> = sums.collect();
    // MD5 takes longer than all the rest of a transfer: it is for answers that have nothing else.
    if sums.is_empty() { etag.into_iter().collect() } else { sums }
}

/// A request that S3 did not grant, and the region it named for the bucket.
struct Refusal {
    error: OpenError,
    region: Option<String>,
}

fn refusal<E>(name: String, asked: &str, error: SdkError<E, HttpResponse>) -> Refusal
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let Some(answer) = error.raw_response() else {
        return Refusal { error: OpenError::from_fault(name, Box::new(error)), region: None };
    };
    let status = answer.status().as_u16();
    let region = answer.headers().get("x-amz-bucket-region").map(str::to_owned).or_else(|| {
        let body = std::str::from_utf8(answer.body().bytes()?).ok()?;
        Some(body.split_once("<Region>")?.1.split_once("</Region>")?.0.to_owned())
    });
    // It becomes part of a host name, and of messages.
    let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let region = region.filter(|named| named.len() < 40 && named.bytes().all(fits));
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default();
    let kind = match (status, code) {
        (
            _,
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "ExpiredToken"
            | "InvalidToken"
            | "TokenRefreshRequired"
            | "InvalidClientTokenId"
            | "AccountProblem",
        ) => OpenErrorKind::Credentials(code.to_owned()),
        (_, "RequestTimeTooSkewed" | "RequestExpired") => OpenErrorKind::ClockSkew,
        (_, "NoSuchBucket") => OpenErrorKind::NoSuchBucket,
        (_, "NoSuchKey") => OpenErrorKind::NoSuchKey,
        (_, "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraint")
        | (301 | 307, _) => OpenErrorKind::WrongRegion(asked.to_owned()),
        (407, _) => OpenErrorKind::Fault(Fault::ProxyRefused),
        (412, _) => OpenErrorKind::Changed,
        (404, "" | "NotFound") => OpenErrorKind::NoSuchKey,
        (403, "AccessDenied" | "") => OpenErrorKind::AccessDenied,
        _ => OpenErrorKind::Status(status, code.to_owned()),
    };
    Refusal { error: OpenError::new(name, kind), region }
}

/// What a request gets before it is signed.
#[derive(Debug)]
struct BeforeSigning {
    sign_payload: bool,
}

impl Intercept for BeforeSigning {
    fn name(&self) -> &'static str {
        "BeforeSigning"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        state: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // As a bare header, so that the sums are only sent; checking them is download's part.
        context.request_mut().headers_mut().insert("x-amz-checksum-mode", "ENABLED");
        if !self.sign_payload {
            state.interceptor_state().store_put(PayloadSigningOverride::UnsignedPayload);
        }
        Ok(())
    }
}

/// The SDK's way out to the network, through the client that everything else uses too.
#[derive(Debug)]
struct OverReqwest {
    client: Client,
    silence: Duration,
}

impl HttpConnector for OverReqwest {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (client, silence) = (self.client.clone(), self.silence);
        HttpConnectorFuture::new(async move {
            let unusable =
                |error: Box<dyn std::error::Error + Send + Sync>| ConnectorError::user(error);
            let request = request.try_into_http1x().map_err(|error| unusable(error.into()))?;
            // Reads have no body worth streaming.
            let request = request.map(|body| body.bytes().unwrap_or_default().to_vec());
            let request =
                reqwest::Request::try_from(request).map_err(|error| unusable(error.into()))?;
            let answer = in_time(silence, client.execute(request)).await;
            let answer = answer.map_err(|error| ConnectorError::timeout(error.into()))?;
            let response = answer.map_err(|failure| match failure.fault {
                Fault::Timeout => ConnectorError::timeout(failure.into()),
                _ => ConnectorError::io(failure.into()),
            })?;
            let response = http::Response::<reqwest::Body>::from(response);
            let in_time = |body| SdkBody::from_body_1_x(InTime::new(body, silence));
            HttpResponse::try_from(response.map(in_time)).map_err(|error| unusable(error.into()))
        })
    }
}
