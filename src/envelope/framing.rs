//! The lengths of an envelope, held against what is there.
//!
//! Given a [`Head`] and all bytes behind it, in any cuts, it gives the ciphertext among them: a
//! content may consist of pieces, and lengths may be known only at their end. Behind the content,
//! up to the end of the envelope, it holds every length against what came.
//!
//! **Invariant:** memory does not depend on how long an envelope is or says it is; no key is needed.

use super::ber::{self, BerError, CONSTRUCTED, DEEPEST_STRING, END, OCTET_STRING, Reader};
use super::head::{Content, Frames, Head};
use super::strict;

/// Tag of the attributes behind the content.
const ATTRIBUTES: u8 = 0xA1;

/// Tag of a string in pieces.
const PIECES: u8 = OCTET_STRING | CONSTRUCTED;

/// How much may stand behind the content.
const LONGEST_TAIL: usize = 1 << 20;

/// Why the lengths of an envelope cannot be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// It ends before its own lengths say.
    #[error("it is truncated: it ends before its envelope does")]
    Truncated,
    /// Its lengths contradict each other, or something stands where nothing may.
    #[error("its envelope is damaged: {0}")]
    Damaged(&'static str),
    /// It goes on behind its end.
    #[error("something follows the end of its envelope")]
    Trailing,
}

impl From<BerError> for FramingError {
    fn from(error: BerError) -> FramingError {
        match error {
            BerError::Incomplete => FramingError::Truncated,
            BerError::Wrong(what) => FramingError::Damaged(what),
        }
    }
}

/// Where in an envelope its next byte belongs.
#[derive(Debug)]
pub struct Framing {
    frames: Frames,
    /// How far from the beginning of the envelope.
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

impl Framing {
    /// Begins behind `head`; none if its content is kept apart, or followed by a code, which is
    /// not read here.
    pub fn behind(head: &Head) -> Option<Framing> {
        let (string_bytes, around) = match head.content {
            _ if head.authenticated => return None,
            Content::Absent => return None,
            Content::Whole { bytes } => (bytes, Vec::new()),
            Content::Pieces { end } => (0, vec![end]),
        };
        Some(Framing {
            frames: head.frames,
            at: head.bytes as u64,
            string_bytes,
            around,
            header: Vec::new(),
            tail: Vec::new(),
        })
    }

    /// Takes the next bytes, and hands over the ciphertext among them.
    pub fn update<E: From<FramingError>>(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            if self.string_bytes > 0 {
                let length = usize::try_from(self.string_bytes).unwrap_or(usize::MAX);
                let (string, rest) = bytes.split_at(length.min(bytes.len()));
                take(string)?;
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
                    return Err(FramingError::Trailing.into());
                }
                self.tail.extend_from_slice(bytes);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Checks that the envelope ends here.
    pub fn finish(mut self) -> Result<(), FramingError> {
        if self.string_bytes > 0 || self.is_inside_content() {
            return Err(FramingError::Truncated);
        }
        read_tail(&self.tail, self.at, &self.frames)
    }

    /// Leaves the strings in pieces that end here, and tells whether there is one around still.
    fn is_inside_content(&mut self) -> bool {
        while self.header.is_empty() && self.around.pop_if(|end| *end == Some(self.at)).is_some() {}
        !self.around.is_empty()
    }

    /// Acts on the header that has come, if it is whole.
    fn read_header(&mut self) -> Result<(), FramingError> {
        let header = match ber::header(&self.header) {
            Err(BerError::Incomplete) => return Ok(()),
            header => header?,
        };
        self.header.clear();
        // What stands further inside ends earlier, so the innermost end that is known counts.
        let end = self.around.iter().rev().find_map(|end| *end).or(self.frames.end());
        let left = end.unwrap_or(u64::MAX).checked_sub(self.at);
        if left.is_none_or(|left| header.length.is_some_and(|length| length > left)) {
            return Err(FramingError::Damaged("an element reaches beyond the one around it"));
        }
        match (header.tag, header.length) {
            (END, _) if self.around.last() == Some(&None) => {
                self.around.pop();
            }
            (OCTET_STRING, Some(length)) => self.string_bytes = length,
            (PIECES, length) if self.around.len() <= DEEPEST_STRING => {
                self.around.push(length.map(|length| self.at + length));
            }
            _ => return Err(FramingError::Damaged("its content holds something but strings")),
        }
        Ok(())
    }
}

/// Checks that all that the head has left open ends, in its order, at the end of `tail`, which
/// stands `at` so far behind the beginning.
fn read_tail(tail: &[u8], at: u64, frames: &Frames) -> Result<(), FramingError> {
    let mut reader = Reader::beginning(tail);
    close(&mut reader, at, frames.encrypted_content_info.end)?;
    let is_at_end = frames.enveloped.end == Some(at + reader.at() as u64);
    if !is_at_end && reader.peek()? == Some(ATTRIBUTES) {
        let attributes = reader.element()?;
        if attributes.value.is_empty() || !strict::reads_attributes(attributes.whole) {
            return Err(FramingError::Damaged("its attributes cannot be read"));
        }
    }
    close(&mut reader, at, frames.enveloped.end)?;
    close(&mut reader, at, frames.explicit.end)?;
    close(&mut reader, at, frames.content_info.end)?;
    if reader.rest().is_empty() { Ok(()) } else { Err(FramingError::Trailing) }
}

/// Checks that an element ends where the reader stands, and steps out of it.
fn close(reader: &mut Reader<'_>, at: u64, end: Option<u64>) -> Result<(), FramingError> {
    match end {
        Some(end) if end == at + reader.at() as u64 => Ok(()),
        Some(_) if reader.rest().is_empty() => Err(FramingError::Truncated),
        None if reader.header()?.tag == END => Ok(()),
        _ => Err(FramingError::Damaged("something stands where an element should end")),
    }
}
