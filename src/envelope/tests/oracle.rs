//! Opens an envelope here and with OpenSSL's own CMS, and holds the two against each other.
//!
//! The fuzz target includes this file too.

use openssl::cms::CmsContentInfo;
use openssl::pkey::{PKey, Private};

use crate::envelope::{ContentKey, Head, OpenError, Opener};

/// Opens what is there, given in pieces of this length, with the first recipient that it works for.
pub(super) fn open(envelope: &[u8], key: &PKey<Private>, piece: usize) -> Result<Vec<u8>, String> {
    let head = Head::read(envelope).map_err(|error| error.to_string())?;
    let mut failure = "no recipient has this key".to_owned();
    for recipient in &head.recipients {
        let Some(content_key) = recipient.unwrap_key(key, &head.cipher) else { continue };
        match open_with(&head, &content_key, &envelope[head.bytes..], piece) {
            Ok(plain) => return Ok(plain),
            Err(error) => failure = error.to_string(),
        }
    }
    Err(failure)
}

/// Opens what stands behind a head, given in pieces of this length.
pub(super) fn open_with(
    head: &Head,
    key: &ContentKey,
    behind: &[u8],
    piece: usize,
) -> Result<Vec<u8>, OpenError> {
    let mut opener = Opener::new(head, key)?;
    let mut plain = Vec::new();
    for piece in behind.chunks(piece) {
        opener.update(piece, &mut plain)?;
    }
    opener.finish(&mut plain)?;
    Ok(plain)
}

/// Opens it with OpenSSL's own CMS.
pub(super) fn openssl(envelope: &[u8], key: &PKey<Private>) -> Option<Vec<u8>> {
    CmsContentInfo::from_der(envelope).ok()?.decrypt_without_cert_check(key).ok()
}

/// Gives what both open it to, or nothing if we do not; panics if OpenSSL disagrees.
pub(super) fn judge(envelope: &[u8], key: &PKey<Private>) -> Option<Vec<u8>> {
    let plain = open(envelope, key, usize::MAX).ok()?;
    let theirs = openssl(envelope, key);
    let hex: String = envelope.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(theirs.as_ref() == Some(&plain), "{plain:02x?}, not {theirs:02x?}, is in {hex}");
    Some(plain)
}
