//! Opening an envelope: from what follows its head to what was sealed, piece by piece.
//!
//! Given a [`Head`], the content key and all bytes behind the head, in any cuts, it gives the
//! plaintext. It reads the lengths of the pieces that a content may consist of, and behind the
//! content, up to the end of the envelope, it holds every length against what is there.
//!
//! **Invariant:** memory does not depend on how long an envelope is or says it is; and everything
//! that a wrong key could be told by has the same message.

use openssl::cipher_ctx::CipherCtx;

use super::ber::{self, BerError, CONSTRUCTED, DEEPEST_STRING, END, OCTET_STRING, Reader};
use super::head::{Content, Frames, Head};
use super::key::ContentKey;
use super::strict;

/// Tag of the attributes behind the content.
const ATTRIBUTES: u8 = 0xA1;

/// Tag of a string in pieces.
const PIECES: u8 = OCTET_STRING | CONSTRUCTED;

/// How much may stand behind the content.
const LONGEST_TAIL: usize = 1 << 20;

/// How much is decrypted in one go: room for the result is cleared first, which costs least where
/// it stays in the nearest cache.
const STRETCH_BYTES: usize = 1 << 14;

/// Why an envelope cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Its cipher is none that is opened here.
    #[error("the cipher `{0}` is not opened by this program; `openssl cms -decrypt` may")]
    UnknownCipher(String),
    /// It is authenticated, which is not checked here.
    #[error("it is an authenticated envelope, which only `openssl cms -decrypt` opens")]
    Authenticated,
    /// Its content is kept apart.
    #[error("the envelope holds no content")]
    NoContent,
    /// It ends before its own lengths say.
    #[error("it is truncated: it ends before its envelope does")]
    Truncated,
    /// Its lengths contradict each other, or something stands where nothing may.
    #[error("its envelope is damaged: {0}")]
    Framing(&'static str),
    /// It goes on behind its end.
    #[error("something follows the end of its envelope")]
    Trailing,
    /// The content does not decrypt to anything that was sealed.
    #[error("damaged, or not made for this key")]
    KeyOrContent,
}

impl From<BerError> for OpenError {
    fn from(error: BerError) -> OpenError {
        match error {
            BerError::Incomplete => OpenError::Truncated,
            BerError::Wrong(what) => OpenError::Framing(what),
        }
    }
}

/// Opens one envelope.
pub struct Opener {
    cipher: CipherCtx,
    frames: Frames,
    /// Where in the envelope the next byte belongs.
    at: u64,
    /// How much of the string that is being read is to come.
    string_bytes: u64,
    /// The ends of the strings in pieces around it, from the outermost to the innermost, none
    /// where it is not known.
    around: Vec<Option<u64>>,
    /// The beginning of a header that the end of a piece has cut.
    header: Vec<u8>,
    /// What stands behind the content.
    tail: Vec<u8>,
}

impl Opener {
    /// Begins to open the envelope behind `head`.
    ///
    /// # Errors
    ///
    /// [`OpenError::UnknownCipher`], [`OpenError::Authenticated`] and [`OpenError::NoContent`] say
    /// that this is not possible; a key of the wrong length is an [`OpenError::KeyOrContent`].
    pub fn new(head: &Head, key: &ContentKey) -> Result<Opener, OpenError> {
        if head.authenticated {
            return Err(OpenError::Authenticated);
        }
        let open = head.cipher.open();
        let open = open.ok_or_else(|| OpenError::UnknownCipher(head.cipher.to_string()))?;
        let (string_bytes, around) = match head.content {
            Content::Absent => return Err(OpenError::NoContent),
            Content::Whole { bytes } => (bytes, Vec::new()),
            Content::Pieces { end } => (0, vec![end]),
        };
        if key.bytes().len() != open.key_length() {
            return Err(OpenError::KeyOrContent);
        }
        let init = || {
            let mut cipher = CipherCtx::new()?;
            cipher.decrypt_init(Some(open), Some(key.bytes()), Some(head.cipher.iv()))?;
            Ok(cipher)
        };
        Ok(Opener {
            cipher: init().map_err(damaged)?,
            frames: head.frames,
            at: head.bytes as u64,
            string_bytes,
            around,
            header: Vec::new(),
            tail: Vec::new(),
        })
    }

    /// Takes the next bytes behind the head, and appends to `plain` what they open to.
    ///
    /// # Errors
    ///
    /// After an error nothing that was given is to be relied upon; neither is it before
    /// [`Opener::finish`].
    pub fn update(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), OpenError> {
        while !bytes.is_empty() {
            if self.string_bytes > 0 {
                let length = usize::try_from(self.string_bytes).unwrap_or(usize::MAX);
                let (string, rest) = bytes.split_at(length.min(bytes.len()));
                for stretch in string.chunks(STRETCH_BYTES) {
                    self.cipher.cipher_update_vec(stretch, plain).map_err(damaged)?;
                }
                self.string_bytes -= string.len() as u64;
                self.at += string.len() as u64;
                bytes = rest;
            } else if self.is_inside_content() {
                self.header.push(bytes[0]);
                self.at += 1;
                bytes = &bytes[1..];
                self.read_header()?;
            } else {
                if self.tail.len() + bytes.len() > LONGEST_TAIL {
                    return Err(OpenError::Trailing);
                }
                self.tail.extend_from_slice(bytes);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Checks that the envelope ends here, and appends what is left to `plain`.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the lengths is said before anything about the key.
    pub fn finish(mut self, plain: &mut Vec<u8>) -> Result<(), OpenError> {
        if self.string_bytes > 0 || self.is_inside_content() {
            return Err(OpenError::Truncated);
        }
        read_tail(&self.tail, self.at, &self.frames)?;
        self.cipher.cipher_final_vec(plain).map_err(damaged)?;
        Ok(())
    }

    /// Leaves the strings in pieces that end here, and tells whether there is one around still.
    fn is_inside_content(&mut self) -> bool {
        while self.header.is_empty() && self.around.pop_if(|end| *end == Some(self.at)).is_some() {}
        !self.around.is_empty()
    }

    /// Acts on the header that has come, if it is whole.
    fn read_header(&mut self) -> Result<(), OpenError> {
        let header = match ber::header(&self.header) {
            Err(BerError::Incomplete) => return Ok(()),
            header => header?,
        };
        self.header.clear();
        // What stands further inside ends earlier, so the innermost end that is known counts.
        let end = self.around.iter().rev().find_map(|end| *end).or(self.frames.end());
        let left = end.unwrap_or(u64::MAX).checked_sub(self.at);
        if left.is_none_or(|left| header.length.is_some_and(|length| length > left)) {
            return Err(OpenError::Framing("an element reaches beyond the one around it"));
        }
        match (header.tag, header.length) {
            (END, _) if self.around.last() == Some(&None) => {
                self.around.pop();
            }
            (OCTET_STRING, Some(length)) => self.string_bytes = length,
            (PIECES, length) if self.around.len() <= DEEPEST_STRING => {
                self.around.push(length.map(|length| self.at + length));
            }
            _ => return Err(OpenError::Framing("its content holds something but strings")),
        }
        Ok(())
    }
}

/// Says of whatever the cipher dislikes the one thing that may be said.
fn damaged(_: openssl::error::ErrorStack) -> OpenError {
    OpenError::KeyOrContent
}

/// Checks that all that the head has left open ends, in its order, at the end of `tail`, which
/// stands `at` so far behind the beginning.
fn read_tail(tail: &[u8], at: u64, frames: &Frames) -> Result<(), OpenError> {
    let mut reader = Reader::beginning(tail);
    close(&mut reader, at, frames.encrypted_content_info.end)?;
    let is_at_end = frames.enveloped.end == Some(at + reader.at() as u64);
    if !is_at_end && reader.peek()? == Some(ATTRIBUTES) {
        let attributes = reader.element()?;
        if attributes.value.is_empty() || !strict::reads_attributes(attributes.whole) {
            return Err(OpenError::Framing("its attributes cannot be read"));
        }
    }
    close(&mut reader, at, frames.enveloped.end)?;
    close(&mut reader, at, frames.explicit.end)?;
    close(&mut reader, at, frames.content_info.end)?;
    if reader.rest().is_empty() { Ok(()) } else { Err(OpenError::Trailing) }
}

/// Checks that an element ends where the reader stands, and steps out of it.
fn close(reader: &mut Reader<'_>, at: u64, end: Option<u64>) -> Result<(), OpenError> {
    match end {
        Some(end) if end == at + reader.at() as u64 => Ok(()),
        Some(_) if reader.rest().is_empty() => Err(OpenError::Truncated),
        None if reader.header()?.tag == END => Ok(()),
        _ => Err(OpenError::Framing("something stands where an element should end")),
    }
}
