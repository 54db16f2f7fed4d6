//! The operations of the object store, over a world.
//!
//! **Invariant**: object bytes come from the world; nothing is stored.

use std::convert::Infallible;
use std::sync::Arc;

use s3s::dto::{
    Checksum, ChecksumType, CommonPrefix, ETag, ETagCondition, GetBucketLocationInput,
    GetBucketLocationOutput, GetObjectInput, GetObjectOutput, HeadBucketInput, HeadBucketOutput,
    HeadObjectInput, HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output, Range,
    ServerSideEncryption, StreamingBlob, Timestamp,
};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

use super::digest::{digest, etag, field};
use super::{ETagKind, Replaced, S3Behaviour};
use crate::server::Shared;
use crate::sim::read;
use crate::world::object::Object;

/// The object store, as `s3s` calls it.
pub(super) struct Store(pub(super) Arc<Shared>);

/// An object that was found, and what is said about it.
struct Found {
    object: Object,
    etag: String,
    checksum: Checksum,
    last_modified: Timestamp,
    encryption: Option<ServerSideEncryption>,
}

impl Store {
    fn find(
        &self,
        bucket: &str,
        key: &str,
        checksum_mode: bool,
        is_replaced: bool,
    ) -> S3Result<Found> {
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
        let mut media = media.ok_or_else(missing)?;
        if is_replaced {
            media = media.replaced();
        }
        let object = media.object().ok_or_else(missing)?;
        let mut checksum = Checksum::default();
        if let Some(algorithm) = behaviour.checksum.filter(|_| checksum_mode) {
            let value = digest(&self.0.digests, &media, &object, Some(algorithm));
            *field(&mut checksum, algorithm) = Some(value);
            checksum.checksum_type = Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT));
        }
        Ok(Found {
            etag: etag(&self.0.digests, behaviour.etag, &media, &object),
            object,
            checksum,
            last_modified: timestamp(media.stop_ms),
            encryption: (behaviour.etag == ETagKind::Kms)
                .then(|| ServerSideEncryption::from_static(ServerSideEncryption::AWS_KMS)),
        })
    }
}

#[async_trait::async_trait]
impl S3 for Store {
    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let is_replaced = request.extensions.get::<Replaced>().is_some();
        let input = request.input;
        let asks_for_sum = input.range.is_none() && input.checksum_mode.is_some();
        let found = self.find(&input.bucket, &input.key, asks_for_sum, is_replaced)?;
        check_conditions(&found.etag, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let (range, content_range) = part(&found.object, input.range)?;
        let parts = found.object.parts(range.clone()).map(|part| Ok::<_, Infallible>(part.into()));
        let sum = found.checksum;
        Ok(S3Response::new(GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some((range.end - range.start) as i64),
            content_range,
            content_type: Some("application/octet-stream".to_owned()),
            body: Some(StreamingBlob::wrap(futures_util::stream::iter(parts))),
            e_tag: Some(ETag::Strong(found.etag)),
            last_modified: Some(found.last_modified),
            server_side_encryption: found.encryption,
            checksum_crc32: sum.checksum_crc32,
            checksum_crc32c: sum.checksum_crc32c,
            checksum_crc64nvme: sum.checksum_crc64nvme,
            checksum_sha1: sum.checksum_sha1,
            checksum_sha256: sum.checksum_sha256,
            checksum_type: sum.checksum_type,
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let is_replaced = request.extensions.get::<Replaced>().is_some();
        let input = request.input;
        let asks_for_sum = input.checksum_mode.is_some();
        let found = self.find(&input.bucket, &input.key, asks_for_sum, is_replaced)?;
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
        self.list(request.input).map(S3Response::new)
    }
}

impl Store {
    fn list(&self, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
        self.region(&input.bucket)?;
        if read(&self.0.s3).listing_denied {
            return Err(s3_error!(AccessDenied, "Access Denied"));
        }
        let index = self.0.index.of(&read(&self.0.world));
        let behaviour = read(&self.0.s3).clone();
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = input
            .continuation_token
            .clone()
            .or_else(|| input.start_after.clone())
            .unwrap_or_default();
        let max_keys = input.max_keys.unwrap_or(1_000).clamp(0, 1_000);
        let (mut contents, mut common) = (Vec::new(), Vec::<String>::new());
        let (mut is_truncated, mut last) = (false, None);
        let listed = index.from(&input.bucket, &prefix, &after);
        for entry in listed.iter().take_while(|entry| entry.key.starts_with(&prefix)) {
            let folder = input.delimiter.as_ref().and_then(|delimiter| {
                let end = entry.key[prefix.len()..].find(delimiter.as_str())?;
                Some(entry.key[..prefix.len() + end + delimiter.len()].to_owned())
            });
            let place = folder.clone().unwrap_or_else(|| entry.key.clone());
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
                    key: Some(entry.key.clone()),
                    size: Some(entry.bytes as i64),
                    last_modified: Some(timestamp(entry.stop_ms)),
                    e_tag: self.listed_etag(&behaviour, &input.bucket, &entry.key),
                    ..s3s::dto::Object::default()
                }),
            }
        }
        Ok(ListObjectsV2Output {
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
        })
    }

    fn listed_etag(&self, behaviour: &S3Behaviour, bucket: &str, key: &str) -> Option<ETag> {
        let media = read(&self.0.world).media_at(bucket, key)?;
        let object = media.object()?;
        Some(ETag::Strong(etag(&self.0.digests, behaviour.etag, &media, &object)))
    }

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

fn timestamp(at_ms: i64) -> Timestamp {
    let since = std::time::Duration::from_millis(at_ms.max(0) as u64);
    Timestamp::from(std::time::SystemTime::UNIX_EPOCH + since)
}
