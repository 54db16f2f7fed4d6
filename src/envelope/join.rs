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
    use base64::engine::general_purpose::STANDARD;
    use rcbs_sim::envelope::{Shape, by_openssl, detach, open as opened};
    use rcbs_sim::{Form, Media};

    use super::super::ber::SET;
    use super::super::write::{ENVELOPED_DATA, value};
    use super::*;

    fn media(plain_bytes: u64) -> Media {
        Media { form: Form::Detached, ..Media::voice("m", "b", plain_bytes) }
    }

    fn bytes(object: Option<rcbs_sim::world::object::Object>) -> Vec<u8> {
        let object = object.unwrap();
        object.read(0..object.len())
    }

    fn joined(text: &str, content: &[u8]) -> Vec<u8> {
        let detached = Detached::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let (head, tail) = detached.around(content.len() as u64).unwrap();
        [&head, content, &tail].concat()
    }

    #[test]
    fn every_shape_joined_with_its_ciphertext_is_the_attached_envelope() {
        for plain_bytes in [0, 1, 50, 70, 127, 40_000, 70_000] {
            let media = media(plain_bytes);
            let attached = bytes(media.file());
            for shape in Shape::ALL {
                let text =
                    Media { pkcs7: rcbs_sim::world::Pkcs7::IfDetached(shape), ..media.clone() };
                let text = text.pkcs7_text().unwrap();
                assert!(joined(&text, &bytes(media.object())) == attached, "{shape:?}");
            }
        }
    }

    #[test]
    fn text_is_read_with_and_without_the_lines_around_it() {
        let pem = media(100).pkcs7_text().unwrap();
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let expected = joined(&pem, &[1; 112]);
        for text in [
            base64.clone(),
            base64.trim_end_matches('=').to_owned(),
            format!(" {base64}\n\n"),
            format!("-----BEGIN CMS-----{base64}-----END CMS-----"),
            pem.replace('\n', "\r\n"),
        ] {
            assert!(joined(&text, &[1; 112]) == expected, "{text}");
        }
    }

    #[test]
    fn recipients_of_any_kind_and_any_cipher_come_through() {
        let plain = [5; 1_000];
        let key = ["-secretkey", "000102030405060708090A0B0C0D0E0F", "-secretkeyid", "C0"];
        for (recipients, options) in [
            (vec![0, 1, 2], vec!["-keyid"]),
            (vec![1], vec!["-keyopt", "rsa_padding_mode:oaep", "-camellia256"]),
            (vec![], key.to_vec()),
            (vec![0], vec!["-pwri_password", "fictional"]),
        ] {
            let attached = by_openssl(&plain, &recipients, &options);
            let (text, content) = detach(&attached);
            assert!(joined(&text, &content) == attached, "{options:?}");
            // Its beginning does as well.
            let head = STANDARD.encode(&attached[..Head::read(&attached).unwrap().bytes]);
            assert!(joined(&head, &content) == attached, "{options:?}");
            let detached = Detached::parse(&head).unwrap();
            assert!(detached.around(content.len() as u64 + 16).is_none(), "{options:?}");
        }
    }

    #[test]
    fn indefinite_lengths_become_definite_and_what_stands_behind_the_content_stays_there() {
        let der = by_openssl(b"a call", &[0], &[]);
        let head = Head::read(&der).unwrap();
        let content = &der[head.bytes..];
        let mut members = Reader::whole(sole(&der).unwrap());
        members.element().unwrap();
        let enveloped = Reader::whole(sole(members.element().unwrap().value).unwrap());
        let mut parts = enveloped;
        let (version, set) = (parts.element().unwrap(), parts.element().unwrap());
        assert_eq!(set.tag, SET);
        let info = &parts.element().unwrap().value;
        let info = &info[..info.len() - content.len() - 2];
        let attributes = value(
            0xA1,
            &[&value(
                0x30,
                &[
                    // pkcs-9 1.2.840.113549.1.9.3 with a value of data.
                    &[0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 3],
                    &value(SET, &[&[0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 1]]),
                ],
            )],
        );
        let open = |tag: u8, parts: &[&[u8]]| [&[tag, 0x80], &parts.concat()[..], &[0, 0]].concat();
        let info = open(0x30, &[info, &open(0xA0, &[])]);
        // A version 2 has attributes behind.
        let enveloped = open(0x30, &[&[2, 1, 2], &open(SET, &[set.value]), &info, &attributes]);
        let indefinite = open(0x30, &[&ENVELOPED_DATA, &open(0xA0, &[&enveloped])]);
        assert_eq!(version.value, [0]);

        let joined = joined(&STANDARD.encode(indefinite), content);
        assert!(joined.ends_with(&attributes));
        assert_eq!(
            super::super::form(&joined[..32]),
            super::super::Form::Attached { bytes: joined.len() as u64 }
        );
        assert_eq!(opened(&joined).unwrap(), b"a call");
    }

    #[test]
    fn what_is_no_envelope_without_content_is_refused_with_its_reason() {
        let attached = bytes(media(100).file());
        let whole = STANDARD.encode(&attached);
        let signed = STANDARD.encode([0x30, 11, 6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 2]);
        for (text, reason) in [
            ("", "it ends within the head of its envelope"),
            ("MII!", "neither PEM nor base64"),
            ("-----BEGIN PKCS7-----", "it ends within the head of its envelope"),
            (&whole, "it has a content of its own"),
            (&signed, "it is no envelope that can be read: it is of another type"),
            (&whole[..400], "it ends within the head of its envelope"),
        ] {
            assert_eq!(Detached::parse(text).unwrap_err().to_string(), reason, "{text}");
        }
    }
}
