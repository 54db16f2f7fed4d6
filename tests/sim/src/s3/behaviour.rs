//! The habits of the object store. **Invariant**: plain data, changed by tests while the store runs.

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
