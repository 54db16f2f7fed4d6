//! The object store over a world: SigV4 is verified by `s3s`, everything that S3 says beyond that is here.
//!
//! In front of `s3s` stand the checks that AWS makes with the head alone: region, clock, session token.
//! **Invariant**: object bytes come from the world; nothing is stored.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures_util::Stream;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use s3s::auth::{S3Auth, SecretKey};
use s3s::dto::{
    Checksum, ChecksumType, CommonPrefix, ETag, ETagCondition, GetBucketLocationInput,
    GetBucketLocationOutput, GetObjectInput, GetObjectOutput, HeadBucketInput, HeadBucketOutput,
    HeadObjectInput, HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output, Range,
    ServerSideEncryption, StreamingBlob, Timestamp,
};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

use crate::fault::s3_error_xml;
use crate::log::lock;
use crate::server::{Body, BoxError, Shared, full};
use crate::sim::read;
use crate::world::Media;
use crate::world::object::Object;

/// The access key of the one S3 user.
pub const ACCESS_KEY: &str = "AKIAFICTIONALBOX0001";
/// The secret that belongs to it.
pub const SECRET_KEY: &str = "fictional/secret+of/the/cloud+in/a/box01";

/// The algorithm of a checksum header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// `x-amz-checksum-crc32`.
    Crc32,
    /// `x-amz-checksum-crc32c`.
    Crc32c,
    /// `x-amz-checksum-crc64nvme`.
    Crc64Nvme,
    /// `x-amz-checksum-sha1`.
    Sha1,
    /// `x-amz-checksum-sha256`.
    Sha256,
}

/// What a request signed for another region than the bucket's gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrongRegion {
    /// 400 AuthorizationHeaderMalformed, which names the region.
    Malformed,
    /// 301 PermanentRedirect, which names the region.
    Redirect,
    /// The region does not matter, as with most stores that are not AWS.
    Ignored,
}

/// What the ETag of an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ETagKind {
    /// The MD5 of the object, up to this size; above, as [`Multipart`](Self::Multipart).
    Md5UpTo(u64),
    /// As after an upload in parts: `…-N`, not an MD5 of the object.
    Multipart,
    /// 32 hex digits that are no MD5, with the header of SSE-KMS.
    Kms,
}

/// The habits of the store; change them while it runs.
#[derive(Clone, Debug)]
pub struct S3Behaviour {
    /// The access key that is known.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
    /// The session token that must come with it.
    pub session_token: Option<String>,
    /// True: every request gets ExpiredToken.
    pub expired: bool,
    /// The answer to a wrong region.
    pub wrong_region: WrongRegion,
    /// What ETags are.
    pub etag: ETagKind,
    /// The checksum that is sent to those who ask for one.
    pub checksum: Option<Algorithm>,
    /// Objects whose `bucket/key` contains one of these get AccessDenied.
    pub denied: Vec<String>,
    /// True: the store answers a listing with AccessDenied.
    pub listing_denied: bool,
}

impl Default for S3Behaviour {
    fn default() -> Self {
        Self {
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
            session_token: None,
            expired: false,
            wrong_region: WrongRegion::Malformed,
            etag: ETagKind::Md5UpTo(16 * 1024 * 1024),
            checksum: None,
            denied: Vec::new(),
            listing_denied: false,
        }
    }
}

/// Digests that were computed once, by content and algorithm (`None`: MD5).
pub(crate) type Digests = Mutex<HashMap<(u64, u64, Option<Algorithm>), String>>;

/// What an Authorization header says it was signed with.
pub(crate) struct Scope {
    pub(crate) access_key: String,
    region: String,
}

/// Makes the service.
pub(crate) fn service(shared: &Arc<Shared>) -> S3Service {
    let mut builder = S3ServiceBuilder::new(Store(Arc::clone(shared)));
    builder.set_auth(Keys(Arc::clone(shared)));
    let mut config = s3s::config::S3Config::default();
    // The clock is judged in front, against the simulator's own.
    config.presigned_url_max_skew_time_secs = u32::MAX;
    builder.set_config(Arc::new(s3s::config::StaticConfigProvider::new(Arc::new(config))));
    builder.build()
}

/// Answers a request.
pub(crate) async fn answer(
    shared: &Arc<Shared>,
    s3: &S3Service,
    request: Request<Incoming>,
) -> Response<Body> {
    if let Some(refused) = refuse(shared, &request) {
        return refused;
    }
    match s3.call(request.map(s3s::Body::from)).await {
        Ok(response) if response.status() == StatusCode::NOT_MODIFIED => response.map(|_| full("")),
        Ok(response) => response.map(|body| body.map_err(|error| error as BoxError).boxed_unsync()),
        Err(error) => refusal(500, "InternalError", &format!("{error:?}"), ""),
    }
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
fn refuse(shared: &Shared, request: &Request<Incoming>) -> Option<Response<Body>> {
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

fn refusal(status: u16, code: &str, message: &str, more: &str) -> Response<Body> {
    let mut response = Response::new(full(s3_error_xml(code, message, more)));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

struct Keys(Arc<Shared>);

#[async_trait::async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let behaviour = read(&self.0.s3);
        if access_key == behaviour.access_key {
            return Ok(SecretKey::from(behaviour.secret_key.as_str()));
        }
        Err(s3_error!(
            InvalidAccessKeyId,
            "The AWS Access Key Id you provided does not exist in our records."
        ))
    }
}

struct Store(Arc<Shared>);

/// An object that was found, and what is said about it.
struct Found {
    object: Object,
    etag: String,
    checksum: Checksum,
    last_modified: Timestamp,
    encryption: Option<ServerSideEncryption>,
}

impl Store {
    fn find(&self, bucket: &str, key: &str, checksum_mode: bool) -> S3Result<Found> {
        let behaviour = read(&self.0.s3).clone();
        let media = {
            let world = read(&self.0.world);
            world
                .bucket(bucket)
                .ok_or_else(|| s3_error!(NoSuchBucket, "The specified bucket does not exist"))?;
            world.media_at(bucket, key)
        };
        let place = format!("{bucket}/{key}");
        if behaviour.denied.iter().any(|denied| place.contains(denied.as_str())) {
            return Err(s3_error!(AccessDenied, "Access Denied"));
        }
        let missing = || s3_error!(NoSuchKey, "The specified key does not exist.");
        let media = media.ok_or_else(missing)?;
        let object = media.object().ok_or_else(missing)?;
        let mut checksum = Checksum::default();
        if let Some(algorithm) = behaviour.checksum.filter(|_| checksum_mode) {
            let value = self.digest(&media, &object, Some(algorithm));
            *field(&mut checksum, algorithm) = Some(value);
            checksum.checksum_type = Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT));
        }
        Ok(Found {
            etag: self.etag(behaviour.etag, &media, &object),
            object,
            checksum,
            last_modified: timestamp(media.stop_ms),
            encryption: (behaviour.etag == ETagKind::Kms)
                .then(|| ServerSideEncryption::from_static(ServerSideEncryption::AWS_KMS)),
        })
    }

    fn etag(&self, kind: ETagKind, media: &Media, object: &Object) -> String {
        let made_up = crate::world::calls::mix(content_of(media), 0xE7A6);
        match kind {
            ETagKind::Kms => format!("{made_up:016x}{:016x}", !made_up),
            ETagKind::Md5UpTo(most) if object.len() <= most => self.digest(media, object, None),
            ETagKind::Md5UpTo(_) | ETagKind::Multipart => {
                format!(
                    "{made_up:016x}{:016x}-{}",
                    !made_up,
                    object.len().div_ceil(8 * 1024 * 1024).max(1)
                )
            }
        }
    }

    /// Gives a digest, hex for MD5 and base64 for checksums, computed once for each content.
    fn digest(&self, media: &Media, object: &Object, algorithm: Option<Algorithm>) -> String {
        let id = (content_of(media), object.len(), algorithm);
        if let Some(known) = lock(&self.0.digests).get(&id) {
            return known.clone();
        }
        let value = match algorithm {
            None => md5_hex(object),
            Some(algorithm) => checksum(object, algorithm),
        };
        let mut digests = lock(&self.0.digests);
        if digests.len() > 200_000 {
            digests.clear();
        }
        digests.insert(id, value.clone());
        value
    }
}

#[async_trait::async_trait]
impl S3 for Store {
    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let found = self.find(
            &input.bucket,
            &input.key,
            input.range.is_none() && input.checksum_mode.is_some(),
        )?;
        check_conditions(&found.etag, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let (range, content_range) = part(&found.object, input.range)?;
        let sum = found.checksum;
        Ok(S3Response::new(GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some((range.end - range.start) as i64),
            content_range,
            content_type: Some("application/octet-stream".to_owned()),
            body: Some(StreamingBlob::wrap(chunks(found.object, range))),
            e_tag: Some(ETag::Strong(found.etag)),
            last_modified: Some(found.last_modified),
            server_side_encryption: found.encryption,
            checksum_crc32: sum.checksum_crc32,
            checksum_crc32c: sum.checksum_crc32c,
            checksum_crc64nvme: sum.checksum_crc64nvme,
            checksum_sha1: sum.checksum_sha1,
            checksum_sha256: sum.checksum_sha256,
            checksum_type: sum.checksum_type,
            parts_count: input.part_number,
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        let found = self.find(&input.bucket, &input.key, input.checksum_mode.is_some())?;
        check_conditions(&found.etag, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let sum = found.checksum;
        Ok(S3Response::new(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(found.object.len() as i64),
            content_type: Some("application/octet-stream".to_owned()),
            e_tag: Some(ETag::Strong(found.etag)),
            last_modified: Some(found.last_modified),
            server_side_encryption: found.encryption,
            checksum_crc32: sum.checksum_crc32,
            checksum_crc32c: sum.checksum_crc32c,
            checksum_crc64nvme: sum.checksum_crc64nvme,
            checksum_sha1: sum.checksum_sha1,
            checksum_sha256: sum.checksum_sha256,
            checksum_type: sum.checksum_type,
            ..HeadObjectOutput::default()
        }))
    }

    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        let region = self.region(&request.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput {
            bucket_region: Some(region),
            ..HeadBucketOutput::default()
        }))
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        let region = self.region(&request.input.bucket)?;
        // The oldest region has no name here.
        let location_constraint = (region != "us-east-1").then(|| region.into());
        Ok(S3Response::new(GetBucketLocationOutput { location_constraint }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        self.region(&input.bucket)?;
        if read(&self.0.s3).listing_denied {
            return Err(s3_error!(AccessDenied, "Access Denied"));
        }
        let world = read(&self.0.world).clone();
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = input
            .continuation_token
            .clone()
            .or_else(|| input.start_after.clone())
            .unwrap_or_default();
        let max_keys = input.max_keys.unwrap_or(1_000).clamp(0, 1_000);
        let matches =
            |media: &Media| media.bucket == input.bucket && media.key.starts_with(&prefix);
        let mut listed: Vec<Media> = world.all_objects().filter(matches).collect();
        listed.sort_by(|a, b| a.key.cmp(&b.key));
        let (mut contents, mut common) = (Vec::new(), Vec::<String>::new());
        let (mut is_truncated, mut last) = (false, None);
        for media in listed {
            let folder = input.delimiter.as_ref().and_then(|delimiter| {
                let end = media.key[prefix.len()..].find(delimiter.as_str())?;
                Some(media.key[..prefix.len() + end + delimiter.len()].to_owned())
            });
            let place = folder.clone().unwrap_or_else(|| media.key.clone());
            if place <= after || common.last() == folder.as_ref() && folder.is_some() {
                continue;
            }
            if (contents.len() + common.len()) as i32 >= max_keys {
                is_truncated = true;
                break;
            }
            last = Some(place);
            match folder {
                Some(folder) => common.push(folder),
                None => contents.push(s3s::dto::Object {
                    key: Some(media.key.clone()),
                    size: media.object().map(|object| object.len() as i64),
                    last_modified: Some(timestamp(media.stop_ms)),
                    ..s3s::dto::Object::default()
                }),
            }
        }
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(prefix),
            delimiter: input.delimiter,
            max_keys: Some(max_keys),
            key_count: Some((contents.len() + common.len()) as i32),
            is_truncated: Some(is_truncated),
            next_continuation_token: last.filter(|_| is_truncated),
            continuation_token: input.continuation_token,
            contents: Some(contents),
            common_prefixes: Some(
                common.into_iter().map(|prefix| CommonPrefix { prefix: Some(prefix) }).collect(),
            ),
            ..ListObjectsV2Output::default()
        }))
    }
}

impl Store {
    fn region(&self, bucket: &str) -> S3Result<String> {
        let world = read(&self.0.world);
        let bucket = world
            .bucket(bucket)
            .ok_or_else(|| s3_error!(NoSuchBucket, "The specified bucket does not exist"))?;
        Ok(bucket.region.clone())
    }
}

fn check_conditions(
    etag: &str,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result {
    let is_this = |condition: &ETagCondition| match condition.as_etag() {
        Some(other) => other.value() == etag,
        None => true,
    };
    if if_match.is_some_and(|condition| !is_this(condition)) {
        return Err(s3_error!(
            PreconditionFailed,
            "At least one of the pre-conditions you specified did not hold"
        ));
    }
    if if_none_match.is_some_and(is_this) {
        return Err(s3_error!(NotModified));
    }
    Ok(())
}

fn part(object: &Object, range: Option<Range>) -> S3Result<(std::ops::Range<u64>, Option<String>)> {
    let Some(range) = range else { return Ok((0..object.len(), None)) };
    let range = range.check(object.len())?;
    let text = format!("bytes {}-{}/{}", range.start, range.end - 1, object.len());
    Ok((range, Some(text)))
}

fn chunks(
    object: Object,
    range: std::ops::Range<u64>,
) -> impl Stream<Item = Result<bytes::Bytes, std::io::Error>> {
    const CHUNK: u64 = 256 * 1024;
    let starts = range.clone().step_by(CHUNK as usize);
    futures_util::stream::iter(
        starts.map(move |at| Ok(object.read(at..range.end.min(at + CHUNK)).into())),
    )
}

/// Gives a number that stands for the content of a media file's object.
fn content_of(media: &Media) -> u64 {
    let form = format!("{:?}{:?}{}", media.form, media.mime, media.plain_bytes);
    xxhash_rust::xxh3::xxh3_64_with_seed(form.as_bytes(), media.seed)
}

/// Gives the MD5 of an object in hex.
pub fn md5_hex(object: &Object) -> String {
    use std::fmt::Write as _;

    let mut hasher = openssl::hash::Hasher::new(openssl::hash::MessageDigest::md5())
        .expect("this openssl knows MD5");
    object.for_each(|part| hasher.update(part).expect("hashing memory does not fail"));
    let digest = hasher.finish().expect("hashing memory does not fail");
    digest.iter().fold(String::with_capacity(32), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn checksum(object: &Object, algorithm: Algorithm) -> String {
    use s3s::crypto::Checksum as _;

    let mut hasher = s3s::checksum::ChecksumHasher::default();
    match algorithm {
        Algorithm::Crc32 => hasher.crc32 = Some(s3s::crypto::Crc32::new()),
        Algorithm::Crc32c => hasher.crc32c = Some(s3s::crypto::Crc32c::new()),
        Algorithm::Crc64Nvme => hasher.crc64nvme = Some(s3s::crypto::Crc64Nvme::new()),
        Algorithm::Sha1 => hasher.sha1 = Some(s3s::crypto::Sha1::new()),
        Algorithm::Sha256 => hasher.sha256 = Some(s3s::crypto::Sha256::new()),
    }
    object.for_each(|part| hasher.update(part));
    field(&mut hasher.finalize(), algorithm).take().unwrap_or_default()
}

fn field(checksum: &mut Checksum, algorithm: Algorithm) -> &mut Option<String> {
    match algorithm {
        Algorithm::Crc32 => &mut checksum.checksum_crc32,
        Algorithm::Crc32c => &mut checksum.checksum_crc32c,
        Algorithm::Crc64Nvme => &mut checksum.checksum_crc64nvme,
        Algorithm::Sha1 => &mut checksum.checksum_sha1,
        Algorithm::Sha256 => &mut checksum.checksum_sha256,
    }
}

fn timestamp(at_ms: i64) -> Timestamp {
    let since = std::time::Duration::from_millis(at_ms.max(0) as u64);
    Timestamp::from(std::time::SystemTime::UNIX_EPOCH + since)
}
