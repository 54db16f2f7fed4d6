//! A media file of a recording, and the object that holds its content.
//!
//! Given a media file, gives its object's bytes. **Invariant**: an object depends on the media file's own fields alone.

use std::sync::Arc;

use bytes::Bytes;

use super::calls::{Dice, mix};
use super::object::{Object, Piece};
use super::spec::{Keys, WorldSpec};
use crate::envelope::{self, Cipher, Content, Shape};

/// What the object of a media file looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// A CMS EnvelopedData in DER.
    Attached,
    /// A CMS EnvelopedData with indefinite lengths.
    AttachedBer,
    /// Ciphertext; the envelope is in the record.
    Detached,
    /// Ciphertext with so many bytes more, or fewer, than belong to its envelope and to the `size` of the record.
    DetachedOff(i64),
    /// No encryption at all.
    Plain,
    /// No bytes.
    Empty,
    /// Bytes that are no envelope, though the record names a certificate.
    Garbage,
    /// The record points to an object that does not exist.
    Absent,
    /// Just these bytes.
    Literal(Arc<[u8]>),
}

/// What the record of a media file carries as `pkcs7`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pkcs7 {
    /// The envelope, if the object is ciphertext without one.
    IfDetached(Shape),
    /// The envelope, whatever the object is.
    Always(Shape),
    /// Nothing, whatever the object is.
    Never,
    /// Just this text.
    Literal(Arc<str>),
}

/// A media file as the world knows it.
#[derive(Clone, Debug)]
pub struct Media {
    /// The name that the record gives it.
    pub media_id: String,
    /// Its MIME type; `None` leaves the field out of the record.
    pub mime: Option<String>,
    /// The bucket that holds its object.
    pub bucket: String,
    /// The key of its object.
    pub key: String,
    /// The size of its content before encryption, in bytes.
    pub plain_bytes: u64,
    /// Decides its content.
    pub seed: u64,
    /// What its object looks like.
    pub form: Form,
    /// What encrypts its content.
    pub cipher: Cipher,
    /// Whom its envelope is made for, by the place in [`envelope::recipients`].
    pub recipient: usize,
    /// What its record carries as `pkcs7`.
    pub pkcs7: Pkcs7,
    /// The `mediaUri` that its record carries in the place of a pointer to S3.
    pub uri: Option<String>,
    /// When it begins, in epoch milliseconds.
    pub start_ms: i64,
    /// When it ends, in epoch milliseconds.
    pub stop_ms: i64,
    /// True: it is left out of the record until [`World::publish_late`](super::World::publish_late).
    pub late: bool,
}

impl Media {
    /// Makes a voice file by hand: `plain_bytes` of content under a key equal to its name.
    pub fn voice(media_id: &str, bucket: &str, plain_bytes: u64) -> Self {
        Self {
            media_id: media_id.to_owned(),
            mime: Some("audio/mp3".to_owned()),
            bucket: bucket.to_owned(),
            key: format!("by-hand/{media_id}"),
            plain_bytes,
            seed: xxhash_rust::xxh3::xxh3_64(media_id.as_bytes()),
            form: Form::Attached,
            cipher: Cipher::default(),
            recipient: 0,
            pkcs7: Pkcs7::IfDetached(Shape::default()),
            uri: None,
            start_ms: 0,
            stop_ms: 0,
            late: false,
        }
    }

    /// Says whether it is a screen recording.
    pub fn is_screen(&self) -> bool {
        self.mime.as_deref().is_some_and(|mime| mime.starts_with("video/"))
    }

    /// Gives its object, or nothing if the object does not exist.
    pub fn object(&self) -> Option<Object> {
        let (seed, plain_bytes) = (self.seed, self.plain_bytes);
        let pieces = match &self.form {
            Form::Attached => return Some(envelope::attached(&self.content())),
            Form::AttachedBer => return Some(envelope::attached_ber(&self.content())),
            Form::Detached => return Some(envelope::detached(&self.content())),
            Form::DetachedOff(bytes) => {
                let fitting = envelope::detached(&self.content());
                let len = fitting.len().saturating_add_signed(*bytes);
                return Some(fitting.resized(len));
            }
            Form::Plain => {
                let beginning =
                    Bytes::from_static(self.magic()).slice(..plain_bytes.min(16) as usize);
                let rest = Piece::Stream { seed, offset: 16, len: plain_bytes.saturating_sub(16) };
                vec![Piece::Literal(beginning), rest]
            }
            Form::Empty => Vec::new(),
            Form::Garbage => vec![Piece::Stream { seed, offset: 0, len: plain_bytes }],
            Form::Absent => return None,
            Form::Literal(bytes) => vec![Piece::Literal(Bytes::copy_from_slice(bytes))],
        };
        Some(Object::new(pieces))
    }

    /// Gives the media file as it is once its object has been replaced: by another one of the same length.
    #[must_use]
    pub fn replaced(mut self) -> Self {
        self.seed = mix(self.seed, 0x4E57);
        self
    }

    /// Gives the text that its record carries as `pkcs7`, if any.
    pub fn pkcs7_text(&self) -> Option<String> {
        let is_detached = matches!(self.form, Form::Detached | Form::DetachedOff(_));
        match &self.pkcs7 {
            Pkcs7::Always(shape) => Some(envelope::envelope_of(&self.content(), *shape)),
            Pkcs7::IfDetached(shape) => {
                is_detached.then(|| envelope::envelope_of(&self.content(), *shape))
            }
            Pkcs7::Never => None,
            Pkcs7::Literal(text) => Some(text.as_ref().to_owned()),
        }
    }

    /// Gives the file that a backup holds: an envelope as it is, ciphertext joined to its envelope.
    ///
    /// Nothing where that is not known beforehand (plain media are sealed anew) or there is nothing to hold.
    pub fn file(&self) -> Option<Object> {
        match (&self.form, &self.pkcs7) {
            (Form::Detached, Pkcs7::IfDetached(shape) | Pkcs7::Always(shape))
                if Shape::ALL.contains(shape) =>
            {
                Some(envelope::attached(&self.content()))
            }
            (Form::Attached | Form::AttachedBer | Form::Empty, _)
            | (Form::Literal(_), Pkcs7::IfDetached(_) | Pkcs7::Never) => self.object(),
            _ => None,
        }
    }

    /// Gives what the file opens to, as OpenSSL opens it, or the object where it is plain; nothing for what does not open.
    pub fn plaintext(&self) -> Option<Vec<u8>> {
        let bytes = |object: Object| object.read(0..object.len());
        if self.form == Form::Plain {
            return self.object().map(bytes);
        }
        let file = self.file().map(bytes)?;
        if file.is_empty() { Some(file) } else { envelope::open(&file).ok() }
    }

    fn content(&self) -> Content {
        Content {
            seed: self.seed,
            plain_bytes: self.plain_bytes,
            magic: self.magic(),
            cipher: self.cipher,
            recipient: self.recipient,
        }
    }

    fn magic(&self) -> &'static [u8; 16] {
        if self.is_screen() {
            b"\0\0\0\x20ftypisom\0\0\x02\0"
        } else {
            b"ID3\x04\0\0\0\0\0\0\xFF\xFB\x90\x64\0\0"
        }
    }
}

/// Makes the media files of a generated recording.
pub(super) fn media_of(
    spec: &WorldSpec,
    id: &str,
    start_ms: i64,
    duration_ms: i64,
    dice: &mut Dice,
) -> Vec<Media> {
    let bucket = &spec.buckets[dice.below(spec.buckets.len() as u64) as usize].name;
    let transferred = dice.unit() < spec.transfer_share;
    let on_screen = dice.unit() < spec.screen_share;
    let late = dice.unit() < spec.late_share;
    let folder = super::metadata::folder_of(start_ms);
    let mut make =
        |media_id: String, mime: &str, from_ms: i64, to_ms: i64, rate: u64, fixed: Option<u64>| {
            let lasted = (to_ms - from_ms) as u64;
            let by_rate = lasted * rate / 1000 + dice.below(16);
            let plain_bytes = fixed.unwrap_or(by_rate);
            let seed = mix(dice.throw(), 0);
            // Not by the dice, so that the rest of a world stays the same however its objects are wrapped.
            let chosen = |among: usize, salt| (mix(seed, salt) % among as u64) as usize;
            Media {
                key: match spec.keys {
                    Keys::Tenant => format!("{}/{folder}/{media_id}", spec.key_prefix),
                    Keys::Tree => tree_key(start_ms, id, &file_name(&media_id, mime)),
                },
                media_id,
                mime: Some(mime.to_owned()),
                bucket: bucket.clone(),
                plain_bytes,
                seed,
                form: spec.forms[chosen(spec.forms.len(), 10)].clone(),
                cipher: spec.ciphers[chosen(spec.ciphers.len(), 11)],
                recipient: chosen(spec.recipients, 12),
                pkcs7: Pkcs7::IfDetached(Shape::ALL[chosen(Shape::ALL.len(), 13)]),
                uri: None,
                start_ms: from_ms,
                stop_ms: to_ms,
                late: false,
            }
        };
    let mut media = Vec::new();
    let parts = if transferred { 2 } else { 1 };
    for part in 0..parts {
        let from_ms = start_ms + duration_ms * part / parts;
        let to_ms = start_ms + duration_ms * (part + 1) / parts;
        let salt = mix(spec.seed ^ start_ms as u64, part as u64);
        let name = format!(
            "{id}_{}-{:08X}-{:08X}-{:08}.mp3.bin",
            super::metadata::file_time(from_ms),
            salt >> 32,
            salt & 0xFFFF_FFFF,
            part + 1
        );
        media.push(make(
            name,
            "audio/mp3",
            from_ms,
            to_ms,
            spec.voice_bytes_per_second,
            spec.voice_bytes,
        ));
    }
    if on_screen {
        let from_ms = start_ms + 1_000;
        let tokens =
            (mix(spec.seed ^ 0x5C, start_ms as u64), mix(spec.seed ^ 0x5D, start_ms as u64));
        let name = format!(
            "{}_{id}_{:016x}{:016x}_{}",
            screen_token(tokens.0),
            tokens.0,
            tokens.1,
            super::metadata::file_time(from_ms).replace('-', "_")
        );
        media.push(make(
            name,
            "video/mp4",
            from_ms,
            start_ms + duration_ms + 9_000,
            spec.screen_bytes_per_second,
            spec.screen_bytes,
        ));
    }
    if late && let Some(last) = media.last_mut() {
        last.late = true;
    }
    media
}

/// Gives the key of a file of a recording, as a tree by hours has it.
pub(super) fn tree_key(start_ms: i64, id: &str, name: &str) -> String {
    format!("{}/{id}/{name}", super::metadata::hour_folder_of(start_ms))
}

/// Gives the name of a file that every file system takes.
fn file_name(media_id: &str, mime: &str) -> String {
    let extension = match mime {
        _ if media_id.ends_with(".bin") => "",
        "video/mp4" => ".mp4.bin",
        _ => ".bin",
    };
    format!("{}{extension}", media_id.replace('/', "%2F"))
}

/// Gives 22 characters of base64, as screen recordings begin with; `+` and `/` are common in them.
///
/// No slash follows another one, so that an export to files has the same keys.
fn screen_token(seed: u64) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut dice = Dice::new(seed);
    let mut token = String::with_capacity(22);
    while token.len() < 22 {
        let digit = char::from(DIGITS[dice.below(64) as usize]);
        if digit != '/' || !(token.is_empty() || token.ends_with('/')) {
            token.push(digit);
        }
    }
    if !token.contains(['+', '/']) {
        token.replace_range(2..3, if seed.is_multiple_of(2) { "+" } else { "/" });
    }
    token
}
