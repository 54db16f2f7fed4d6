//! The head of an envelope: who may open it, with which cipher, and where its content begins.
//!
//! Given the first bytes of an envelope it gives a [`Head`], or says that it takes more of them.
//! The structure is `EnvelopedData` of RFC 5652, or `AuthEnvelopedData` of RFC 5083, which begins
//! the same way.
//!
//! **Invariant:** unknown ciphers and recipients are no error here, because saving an envelope must
//! not depend on being able to open it.

use super::ber::{self, BerError, CONSTRUCTED, END, Frame, Reader, SEQUENCE, SET};
use super::cipher::ContentCipher;
use super::form;
use super::recipient::Recipient;
use super::strict;

/// How long a head may be; a recipient takes some hundred bytes.
pub const LONGEST_HEAD: usize = 1 << 20;

/// How many recipients are read, so that many tiny ones cannot take much memory.
const MOST_RECIPIENTS: usize = 10_000;

/// Tag of what the originator says of itself, and of the content around `EnvelopedData`.
const TAGGED_0: u8 = 0xA0;
/// Tag of a string that is told by its place.
const STRING_0: u8 = 0x80;

/// All that stands before the content of an envelope.
#[derive(Debug, Clone)]
pub struct Head {
    /// Who may open it, in their order.
    pub recipients: Vec<Recipient>,
    /// What the content is encrypted with.
    pub cipher: ContentCipher,
    /// How the content follows.
    pub content: Content,
    /// Whether a code over the content follows it, which only `openssl cms -decrypt` checks.
    pub authenticated: bool,
    /// How many bytes the head has; the content begins here, or would begin.
    pub bytes: usize,
    /// What is still open here.
    pub(super) frames: Frames,
}

/// How an envelope holds its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Not at all: it is kept apart.
    Absent,
    /// In one piece.
    Whole {
        /// How long it is, encrypted.
        bytes: u64,
    },
    /// In pieces, each with a length of its own.
    Pieces {
        /// Where they end, counted from the beginning of the envelope, if that is said beforehand.
        end: Option<u64>,
    },
}

/// The elements that a head leaves open, from the outermost to the innermost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frames {
    pub(super) content_info: Frame,
    pub(super) explicit: Frame,
    pub(super) enveloped: Frame,
    pub(super) encrypted_content_info: Frame,
}

impl Frames {
    /// Tells where the innermost one ends of which that is known.
    pub(super) fn end(&self) -> Option<u64> {
        let inner = self.encrypted_content_info.end.or(self.enveloped.end);
        inner.or(self.explicit.end).or(self.content_info.end)
    }
}

/// Why a head cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// It goes on behind the bytes that are there; never said of [`LONGEST_HEAD`] bytes.
    #[error("it ends within the head of its envelope")]
    Incomplete,
    /// It is something else, or damaged.
    #[error("it is no envelope that can be read: {0}")]
    NotAnEnvelope(&'static str),
}

impl From<BerError> for HeadError {
    fn from(error: BerError) -> HeadError {
        match error {
            BerError::Incomplete => HeadError::Incomplete,
            BerError::Wrong(what) => HeadError::NotAnEnvelope(what),
        }
    }
}

impl Head {
    /// Gives the serial number of the first certificate that it names, in hexadecimal digits.
    pub fn first_serial(&self) -> Option<String> {
        self.recipients.iter().find_map(|recipient| recipient.id.serial())
    }

    /// Reads the head of the envelope that begins here; what follows the head may be there too.
    ///
    /// # Errors
    ///
    /// [`HeadError::Incomplete`] asks for more bytes, up to [`LONGEST_HEAD`].
    pub fn read(beginning: &[u8]) -> Result<Head, HeadError> {
        let all_that_counts = &beginning[..beginning.len().min(LONGEST_HEAD)];
        match read(all_that_counts) {
            Err(BerError::Incomplete) if all_that_counts.len() == LONGEST_HEAD => {
                Err(HeadError::NotAnEnvelope("its head is too long"))
            }
            result => Ok(result?),
        }
    }
}

impl Head {
    /// Tells whether nothing of the envelope follows its content, as far as it is in one piece.
    pub(super) fn ends_with_content(&self) -> bool {
        let Content::Whole { bytes } = self.content else { return false };
        let end = Some(self.bytes as u64 + bytes);
        let Frames { content_info, explicit, enveloped, encrypted_content_info } = self.frames;
        [content_info, explicit, enveloped, encrypted_content_info]
            .iter()
            .all(|frame| frame.end == end)
    }
}

fn read(input: &[u8]) -> Result<Head, BerError> {
    let mut reader = Reader::beginning(input);
    let content_info = reader.enter(SEQUENCE, "it does not begin as one")?;
    let of_type = reader.element()?;
    let authenticated = match of_type.reader().oid("it has no type")?.as_str() {
        form::ENVELOPED => false,
        form::AUTH_ENVELOPED => true,
        _ => return Err(BerError::Wrong("it is of another type")),
    };
    let explicit = reader.enter(TAGGED_0, "it is empty")?;
    let enveloped = reader.enter(SEQUENCE, "it holds something else")?;
    if reader.integer("its version")?.len() > 4 {
        return Err(BerError::Wrong("its version"));
    }
    if reader.peek()? == Some(TAGGED_0) {
        reader.element()?;
    }
    let recipients = recipients(reader.value(SET, "it has no recipients")?)?;
    let encrypted_content_info = reader.enter(SEQUENCE, "it says nothing of its content")?;
    reader.oid("the type of its content")?;
    let cipher = ContentCipher::read(&mut reader)?;
    let before = &input[enveloped.value_at..encrypted_content_info.at];
    let info = &input[encrypted_content_info.value_at..reader.at()];
    if !strict::reads_head(of_type.whole, before, info, authenticated) {
        return Err(BerError::Wrong("it has a part that OpenSSL cannot read"));
    }
    let mut head = Head {
        recipients,
        cipher,
        content: Content::Absent,
        authenticated,
        bytes: reader.at(),
        frames: Frames { content_info, explicit, enveloped, encrypted_content_info },
    };
    if !matches!(reader.peek()?, None | Some(END)) {
        head.content = content(&mut reader)?;
        head.bytes = reader.at();
    }
    Ok(head)
}

fn recipients(set: &[u8]) -> Result<Vec<Recipient>, BerError> {
    let mut reader = Reader::whole(set);
    let mut recipients = Vec::new();
    while !reader.is_at_end() {
        if recipients.len() == MOST_RECIPIENTS {
            return Err(BerError::Wrong("it has too many recipients"));
        }
        recipients.push(Recipient::read(reader.element()?)?);
    }
    Ok(recipients)
}

fn content(reader: &mut Reader<'_>) -> Result<Content, BerError> {
    const PIECES: u8 = STRING_0 | CONSTRUCTED;
    let ber::Header { tag, length, .. } = reader.header()?;
    match (tag, length) {
        (STRING_0, Some(bytes)) => Ok(Content::Whole { bytes }),
        (PIECES, length) => {
            Ok(Content::Pieces { end: length.map(|length| reader.at() as u64 + length) })
        }
        _ => Err(BerError::Wrong("its content is no string")),
    }
}
