//! What is done with an object: contract, section 6, "forms of object".
//!
//! Given an object's first bytes, its length and what its record says, tells how it comes into a
//! file. Where the two do not belong together, it is kept as it came, but not held, if it cannot
//! be plaintext.
//!
//! **Invariant:** pure; what may be plaintext gets no way to the disk but through a seal.

use super::plain::{is_media, is_text};
use crate::envelope::{
    self, Account, AccountError, Detached, DetachedError, Form, HEAD_BYTES, HeadError,
};
use crate::http::Advice;
use crate::recording::MediaFile;

/// How an object comes into a file.
#[derive(Debug)]
pub(super) enum Handling {
    /// Not at all, as it has no bytes.
    Empty,
    /// Byte for byte.
    Keep {
        /// What its envelope says of itself.
        account: Box<Account>,
        /// Why no more than that could be read.
        unread: Option<HeadError>,
    },
    /// Between these bytes, which make its ciphertext an envelope.
    Join {
        /// What stands before it.
        head: Vec<u8>,
        /// What stands behind it.
        tail: Vec<u8>,
    },
    /// Encrypted on its way.
    Seal {
        /// Its length.
        plain_bytes: u64,
    },
    /// Byte for byte, but beside what is held.
    Raw(Flaw),
}

/// Why an object and its envelope do not belong together.
#[derive(Debug, thiserror::Error)]
pub(super) enum Flaw {
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error("the envelope in its record cannot be read")]
    Detached(#[from] DetachedError),
    #[error("its {received} bytes cannot be {cipher} ciphertext of {}", plaintext(*.size_bytes))]
    Length { received: u64, size_bytes: Option<u64>, cipher: String },
    #[error("the envelope in its record is for another length than its {received} bytes")]
    Promised { received: u64 },
    #[error("its record says that it is encrypted, but there is no envelope")]
    NoEnvelope,
    #[error("it is a page of text")]
    Text,
}

impl Flaw {
    /// Whether another try may help: an answer may have been cut off, or may not be the object.
    pub(super) fn advice(&self) -> Advice {
        match self {
            Flaw::Account(_) | Flaw::Text => Advice::Again,
            Flaw::Detached(_) | Flaw::Length { .. } | Flaw::Promised { .. } | Flaw::NoEnvelope => {
                Advice::GiveUp
            }
        }
    }
}

/// Why an object is not written at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the server does not say how long it is, as it must for an envelope around it")]
    NoLength,
    #[error("{0}; not written")]
    Neither(Flaw),
}

/// Tells what is done with an object; an empty one is kept as it is.
pub(super) fn handling(
    head: &[u8],
    bytes: Option<u64>,
    media: &MediaFile,
) -> Result<Handling, Refusal> {
    match envelope::form(&head[..head.len().min(HEAD_BYTES)]) {
        Form::Bare => bare(head, bytes.ok_or(Refusal::NoLength)?, media),
        Form::Empty => Ok(Handling::Empty),
        form @ (Form::Attached { .. } | Form::AttachedIndefinite) => {
            let (account, unread) = Account::read(form, head);
            Ok(Handling::Keep { account: Box::new(account), unread })
        }
    }
}

fn bare(head: &[u8], bytes: u64, media: &MediaFile) -> Result<Handling, Refusal> {
    if is_text(head) && !is_text_wanted(media) {
        return match media.says_encrypted {
            true => Ok(Handling::Raw(Flaw::Text)),
            false => Err(Refusal::Neither(Flaw::Text)),
        };
    }
    if !media.says_encrypted || media.size_bytes == Some(bytes) || is_media(head) {
        return Ok(Handling::Seal { plain_bytes: bytes });
    }
    Ok(joined(bytes, media).unwrap_or_else(Handling::Raw))
}

fn joined(bytes: u64, media: &MediaFile) -> Result<Handling, Flaw> {
    let envelope = Detached::parse(media.pkcs7.as_deref().ok_or(Flaw::NoEnvelope)?)?;
    if !is_ciphertext(bytes, media.size_bytes, envelope.cipher.block_bytes()) {
        let (size_bytes, cipher) = (media.size_bytes, envelope.cipher.to_string());
        return Err(Flaw::Length { received: bytes, size_bytes, cipher });
    }
    match envelope.around(bytes) {
        Some((head, tail)) => Ok(Handling::Join { head, tail }),
        None => Err(Flaw::Promised { received: bytes }),
    }
}

/// Whether ciphertext of so many bytes can come from so much plaintext.
fn is_ciphertext(bytes: u64, size_bytes: Option<u64>, block_bytes: Option<usize>) -> bool {
    match (size_bytes, block_bytes.map(|bytes| bytes as u64)) {
        // Padding fills the last block, and is a whole one where the plaintext ends with a block.
        (Some(size), Some(block)) if block > 1 => bytes == (size / block + 1) * block,
        (None, Some(block)) => bytes > 0 && bytes.is_multiple_of(block),
        (Some(size), _) => bytes >= size,
        (None, None) => bytes > 0,
    }
}

/// Whether text may be what the operator asked for.
fn is_text_wanted(media: &MediaFile) -> bool {
    let media_type = media.media_type.as_deref().unwrap_or_default().to_ascii_lowercase();
    ["text/", "application/"].iter().any(|start| media_type.starts_with(start))
}

fn plaintext(size_bytes: Option<u64>) -> String {
    match size_bytes {
        Some(bytes) => format!("the {bytes} bytes that its record says"),
        None => "any length".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rcbs_sim::Media;

    use super::*;
    use crate::recording::Location;

    const RANDOM: [u8; 64] = *b"\x9a\x01\xfe\x77\x10\x80\xd3\x02\x9a\x01\xfe\x77\x10\x80\xd3\x02\
        \x9a\x01\xfe\x77\x10\x80\xd3\x02\x9a\x01\xfe\x77\x10\x80\xd3\x02\
        \x9a\x01\xfe\x77\x10\x80\xd3\x02\x9a\x01\xfe\x77\x10\x80\xd3\x02\
        \x9a\x01\xfe\x77\x10\x80\xd3\x02\x9a\x01\xfe\x77\x10\x80\xd3\x02";
    const MP3: &[u8] = b"ID3\x04\0\0\0\0\0\0 and what follows it for a while";
    const PAGE: &[u8] = b"<html><body><h1>503 Service Unavailable</h1></body></html>";

    fn pkcs7() -> String {
        let media = Media { form: rcbs_sim::Form::Detached, ..Media::voice("m", "b", 1_000) };
        media.pkcs7_text().unwrap()
    }

    fn media(size_bytes: Option<u64>, pkcs7: Option<&str>, says_encrypted: bool) -> MediaFile {
        MediaFile {
            id: "m".to_owned(),
            media_type: Some("audio/mp3".to_owned()),
            size_bytes,
            location: Location::Http { uri: "/m".to_owned() },
            says_encrypted,
            pkcs7: pkcs7.map(str::to_owned),
        }
    }

    fn told(head: &[u8], bytes: Option<u64>, media: &MediaFile) -> String {
        match handling(head, bytes, media) {
            Ok(Handling::Empty) => "empty".to_owned(),
            Ok(Handling::Keep { unread, .. }) => format!("keep, {unread:?}"),
            Ok(Handling::Join { .. }) => "join".to_owned(),
            Ok(Handling::Seal { plain_bytes }) => format!("seal {plain_bytes}"),
            Ok(Handling::Raw(flaw)) => format!("raw: {flaw}"),
            Err(refusal) => format!("refused: {refusal}"),
        }
    }

    #[test]
    fn form_length_and_record_together_tell_what_is_done() {
        let pkcs7 = pkcs7();
        let envelope =
            [&[0x30, 0x20, 0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 3], &RANDOM[..21]]
                .concat();
        let detached = |size| media(size, Some(&pkcs7), true);
        let plain = |size| media(size, None, false);
        let alias_only = |size| media(size, None, true);
        let cases = [
            (&envelope[..], Some(34), plain(None), "keep, Some(NotAnEnvelope(\"it is empty\"))"),
            (&envelope, None, plain(Some(34)), "keep, Some(NotAnEnvelope(\"it is empty\"))"),
            (b"", Some(0), detached(Some(5)), "empty"),
            // Ciphertext: always longer than its plaintext, up to a whole block.
            (&RANDOM, Some(1_008), detached(Some(1_000)), "join"),
            (&RANDOM, Some(1_008), detached(Some(1_007)), "join"),
            (&RANDOM, Some(1_024), detached(Some(1_008)), "join"),
            (&RANDOM, Some(1_008), detached(None), "join"),
            (
                &RANDOM,
                Some(1_009),
                detached(None),
                "raw: its 1009 bytes cannot be AES-128-CBC ciphertext of any length",
            ),
            (
                &RANDOM,
                Some(1_024),
                detached(Some(1_000)),
                "raw: its 1024 bytes cannot be AES-128-CBC ciphertext of the 1000 bytes that its record says",
            ),
            // Plaintext, whatever else the record has.
            (&RANDOM, Some(1_008), detached(Some(1_008)), "seal 1008"),
            (MP3, Some(1_008), detached(None), "seal 1008"),
            (MP3, Some(1_008), detached(Some(1_000)), "seal 1008"),
            (MP3, Some(1_000), alias_only(Some(1_000)), "seal 1000"),
            (MP3, Some(1_000), plain(None), "seal 1000"),
            (&RANDOM, Some(1_000), plain(Some(900)), "seal 1000"),
            (
                MP3,
                None,
                plain(Some(1_000)),
                "refused: the server does not say how long it is, as it must for an envelope around it",
            ),
            // Neither.
            (
                &RANDOM,
                Some(1_008),
                alias_only(None),
                "raw: its record says that it is encrypted, but there is no envelope",
            ),
            (PAGE, Some(1_008), detached(None), "raw: it is a page of text"),
            (PAGE, Some(1_008), detached(Some(1_000)), "raw: it is a page of text"),
            (PAGE, Some(58), plain(Some(58)), "refused: it is a page of text; not written"),
            (
                &RANDOM,
                Some(1_008),
                media(Some(1_000), Some("MIIx"), true),
                "raw: the envelope in its record cannot be read",
            ),
        ];
        for (head, bytes, media, expected) in cases {
            assert_eq!(told(head, bytes, &media), expected, "{bytes:?} {media:?}");
        }
        let text = MediaFile { media_type: Some("Text/HTML".to_owned()), ..plain(None) };
        assert_eq!(told(PAGE, Some(58), &text), "seal 58");
    }

    #[test]
    fn ciphertext_fills_its_blocks() {
        for (bytes, size_bytes, block_bytes, expected) in [
            (16, Some(0), Some(16), true),
            (0, Some(0), Some(16), false),
            (16, Some(16), Some(16), false),
            (8, Some(7), Some(8), true),
            (0, None, Some(16), false),
            (1_000, Some(999), None, true),
            (998, Some(999), None, false),
            (0, None, None, false),
        ] {
            let case = (bytes, size_bytes, block_bytes);
            assert_eq!(is_ciphertext(bytes, size_bytes, block_bytes), expected, "{case:?}");
        }
    }
}
