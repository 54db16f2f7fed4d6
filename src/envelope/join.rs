//! Joining: ciphertext that came alone goes into the envelope that its record carries.
//!
//! Given the envelope without content as the record has it, gives the bytes that stand before and
//! behind the ciphertext in one attached envelope of definite lengths. All else stays as it stood,
//! so recipients and ciphers of any kind come through.
//!
//! **Invariant:** nothing here depends on being able to open the envelope.

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::ber::{BerError, Reader, SEQUENCE};
use super::cipher::ContentCipher;
use super::head::{Content, Head, HeadError};
use super::write::frame;

/// Tag of what is optional and counted `[0]`.
const CONTEXT_0: u8 = 0x80;

/// Padding at the end of base64 says nothing that the length does not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An envelope whose content is kept apart from it.
#[derive(Debug)]
pub struct Detached {
    /// What the content is encrypted by.
    pub cipher: ContentCipher,
    parts: Parts,
}

#[derive(Debug)]
enum Parts {
    /// An envelope that is whole without a content.
    Members {
        /// Those before EncryptedContentInfo.
        before: Vec<u8>,
        /// Those of that.
        info: Vec<u8>,
        /// Those behind it.
        behind: Vec<u8>,
    },
    /// The beginning of an envelope, up to where its content belongs.
    Beginning { head: Vec<u8>, content_bytes: u64 },
}

/// Why a text is no envelope without content.
#[derive(Debug, thiserror::Error)]
pub enum DetachedError {
    /// It is not base64, with or without the lines of PEM around it.
    #[error("neither PEM nor base64")]
    Base64(#[from] base64::DecodeError),
    /// Its bytes are no envelope.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// Its parts are not those of an envelope.
    #[error("not an envelope: {0}")]
    Malformed(&'static str),
    /// It has a content of its own.
    #[error("it has a content of its own")]
    HasContent,
}

impl Detached {
    /// Reads the `pkcs7` of a record: PEM, or base64 alone.
    pub fn parse(text: &str) -> Result<Detached, DetachedError> {
        let der = decode(text)?;
        let head = Head::read(&der)?;
        let parts = match head.content {
            Content::Whole { bytes } if bytes > 0 && head.ends_with_content() => {
                if der.len() != head.bytes {
                    return Err(DetachedError::HasContent);
                }
                Parts::Beginning { head: der, content_bytes: bytes }
            }
            _ => members(&der)?,
        };
        Ok(Detached { cipher: head.cipher, parts })
    }

    /// Gives what stands before and what stands behind so many bytes of ciphertext; none if the
    /// envelope was made for another number.
    pub fn around(&self, content_bytes: u64) -> Option<(Vec<u8>, Vec<u8>)> {
        match &self.parts {
            Parts::Members { before, info, behind } => {
                let head = frame(before, info, content_bytes, behind.len() as u64);
                Some((head, behind.clone()))
            }
            Parts::Beginning { head, content_bytes: promised } => {
                (*promised == content_bytes).then(|| (head.clone(), Vec::new()))
            }
        }
    }
}

fn members(der: &[u8]) -> Result<Parts, DetachedError> {
    let mut content_info = Reader::whole(sole(der)?);
    content_info.element()?;
    let explicit = content_info.element()?;
    let members = sole(explicit.value)?;

    let mut enveloped = Reader::whole(members);
    let before = loop {
        let at = enveloped.at();
        match enveloped.peek()? {
            Some(SEQUENCE) => break members[..at].to_owned(),
            // Version, originatorInfo, recipientInfos.
            Some(_) => enveloped.element()?,
            None => return Err(DetachedError::Malformed("no EncryptedContentInfo")),
        };
    };
    let info = without_content(enveloped.element()?.value)?.to_owned();
    Ok(Parts::Members { before, info, behind: enveloped.rest().to_owned() })
}

impl From<BerError> for DetachedError {
    fn from(error: BerError) -> Self {
        DetachedError::Malformed(match error {
            BerError::Incomplete => "it ends too early",
            BerError::Wrong(what) => what,
        })
    }
}

fn decode(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    // -----BEGIN PKCS7----- and -----END PKCS7-----, on lines of their own or not.
    let base64 = text.split("-----").nth(2).unwrap_or(text);
    let base64: String = base64.split_ascii_whitespace().collect();
    BASE64.decode(base64)
}

/// Gives the value of a sequence that must be all there is.
fn sole(input: &[u8]) -> Result<&[u8], DetachedError> {
    let mut reader = Reader::whole(input);
    let value = reader.value(SEQUENCE, "not a sequence")?;
    if reader.is_at_end() { Ok(value) } else { Err(DetachedError::Malformed("something follows")) }
}

/// Gives contentType and contentEncryptionAlgorithm; a content may be there, but empty.
fn without_content(info: &[u8]) -> Result<&[u8], DetachedError> {
    let mut reader = Reader::whole(info);
    reader.element()?;
    reader.element()?;
    let kept = &info[..reader.at()];
    if reader.is_at_end() {
        return Ok(kept);
    }
    let content = reader.string(CONTEXT_0, "no content where it belongs")?;
    match content.is_empty() && reader.is_at_end() {
        true => Ok(kept),
        false => Err(DetachedError::HasContent),
    }
}

#[cfg(test)]
mod tests {
    use openssl::cms::CmsContentInfo;
    use rcbs_sim::{Form, Media};

    use super::*;
}
