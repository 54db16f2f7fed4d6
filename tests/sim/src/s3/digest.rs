//! ETags and checksums of objects, computed once for each content.
//!
//! **Invariant**: a digest depends on the object's bytes alone; the cache is bounded.

use std::collections::HashMap;
use std::sync::Mutex;

use s3s::dto::Checksum;

use super::{Algorithm, ETagKind};
use crate::log::lock;
use crate::world::object::Object;
use crate::world::{Form, Media};

/// Digests that were computed once, by content and algorithm (`None`: MD5).
pub(crate) type Digests = Mutex<HashMap<(u64, u64, Option<Algorithm>), String>>;

/// How many digests are remembered.
pub(super) const MOST: usize = 400_000;

/// Gives the ETag of an object, without quotation marks.
pub(super) fn etag(known: &Digests, kind: ETagKind, media: &Media, object: &Object) -> String {
    let made_up = crate::world::calls::mix(content_of(media), 0xE7A6);
    match kind {
        ETagKind::Kms => format!("{made_up:016x}{:016x}", !made_up),
        ETagKind::Md5UpTo(most) if object.len() <= most => digest(known, media, object, None),
        ETagKind::Md5UpTo(_) | ETagKind::Multipart => {
            let parts = object.len().div_ceil(8 * 1024 * 1024).max(1);
            format!("{made_up:016x}{:016x}-{parts}", !made_up)
        }
    }
}

/// Gives a digest: hex for MD5, base64 for checksums.
pub(super) fn digest(
    known: &Digests,
    media: &Media,
    object: &Object,
    algorithm: Option<Algorithm>,
) -> String {
    let id = (content_of(media), object.len(), algorithm);
    if let Some(known) = lock(known).get(&id) {
        return known.clone();
    }
    let value = algorithm.map_or_else(|| md5_hex(object), |algorithm| checksum(object, algorithm));
    let mut known = lock(known);
    if known.len() > MOST {
        known.clear();
    }
    known.insert(id, value.clone());
    value
}

/// Gives a number that stands for the content of a media file's object.
fn content_of(media: &Media) -> u64 {
    if let Form::Literal(bytes) = &media.form {
        return xxhash_rust::xxh3::xxh3_64_with_seed(bytes, media.seed);
    }
    let form = format!(
        "{:?}{:?}{}{:?}{}",
        media.form, media.mime, media.plain_bytes, media.cipher, media.recipient
    );
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

pub(super) fn field(checksum: &mut Checksum, algorithm: Algorithm) -> &mut Option<String> {
    match algorithm {
        Algorithm::Crc32 => &mut checksum.checksum_crc32,
        Algorithm::Crc32c => &mut checksum.checksum_crc32c,
        Algorithm::Crc64Nvme => &mut checksum.checksum_crc64nvme,
        Algorithm::Sha1 => &mut checksum.checksum_sha1,
        Algorithm::Sha256 => &mut checksum.checksum_sha256,
    }
}
