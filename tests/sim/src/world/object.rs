//! The bytes of an object, any range of them, as a function of a seed.
//!
//! An object is a few literal pieces and stretches of an AES-CTR key stream, so any range is had without the rest, as
//! fast in a debug build as in a release build. **Invariant**: no object is ever held in memory as a whole.

use std::ops::Range;

use bytes::Bytes;
use openssl::symm::{Cipher, Crypter, Mode};

use super::calls::mix;

/// A stretch of an object.
#[derive(Clone, Debug)]
pub enum Piece {
    /// Bytes as they stand.
    Literal(Bytes),
    /// `len` bytes of the key stream of `seed`, from `offset` of that stream on.
    Stream {
        /// Decides the key.
        seed: u64,
        /// Where in the key stream the piece begins.
        offset: u64,
        /// How many bytes the piece has.
        len: u64,
    },
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Self::Literal(bytes) => bytes.len() as u64,
            Self::Stream { len, .. } => *len,
        }
    }
}

/// The content of an object.
#[derive(Clone, Debug, Default)]
pub struct Object {
    pieces: Vec<Piece>,
    len: u64,
}

impl Object {
    /// Joins pieces into an object.
    pub fn new(pieces: Vec<Piece>) -> Self {
        let len = pieces.iter().map(Piece::len).sum();
        Self { pieces, len }
    }

    /// Gives the object cut off at `len`, or filled up to it with bytes that mean nothing.
    pub fn resized(mut self, len: u64) -> Self {
        if len > self.len {
            self.pieces.push(Piece::Stream { seed: len, offset: 0, len: len - self.len });
            return Self::new(self.pieces);
        }
        let mut left = len;
        for piece in &mut self.pieces {
            let kept = piece.len().min(left);
            left -= kept;
            match piece {
                Piece::Literal(bytes) => bytes.truncate(kept as usize),
                Piece::Stream { len, .. } => *len = kept,
            }
        }
        Self::new(self.pieces)
    }

    /// Gives the length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Says whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Gives the bytes of a range, as far as they exist.
    pub fn read(&self, range: Range<u64>) -> Vec<u8> {
        let mut out =
            Vec::with_capacity(range.end.min(self.len).saturating_sub(range.start) as usize);
        let mut begins = 0;
        for piece in &self.pieces {
            let from = range.start.max(begins) - begins;
            let to = range.end.saturating_sub(begins).min(piece.len());
            begins += piece.len();
            if from >= to {
                continue;
            }
            match piece {
                Piece::Literal(bytes) => out.extend_from_slice(&bytes[from as usize..to as usize]),
                Piece::Stream { seed, offset, .. } => {
                    key_stream(*seed, offset + from, (to - from) as usize, &mut out)
                }
            }
        }
        out
    }

    /// Gives the bytes of a range, as far as they exist, a part at a time.
    pub fn parts(&self, range: Range<u64>) -> impl Iterator<Item = Vec<u8>> + use<> {
        const PART: u64 = 256 * 1024;
        let object = self.clone();
        let end = range.end.min(self.len);
        (range.start..end).step_by(PART as usize).map(move |at| object.read(at..end.min(at + PART)))
    }

    /// Feeds all bytes to `sink`, a part at a time.
    pub fn for_each(&self, mut sink: impl FnMut(&[u8])) {
        self.parts(0..self.len).for_each(|part| sink(&part));
    }
}

/// Appends `len` bytes of the key stream of `seed`, from `offset` on.
pub fn key_stream(seed: u64, offset: u64, len: usize, out: &mut Vec<u8>) {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    let mut key = [0; 16];
    key[..8].copy_from_slice(&mix(seed, 1).to_be_bytes());
    key[8..].copy_from_slice(&mix(seed, 2).to_be_bytes());
    let counter = u128::from(offset / 16).to_be_bytes();
    let mut stream = Crypter::new(Cipher::aes_128_ctr(), Mode::Encrypt, &key, Some(&counter))
        .expect("the key and the counter have 16 bytes");
    let mut fill = |room: &mut [u8]| {
        for part in room.chunks_mut(ZEROS.len()) {
            stream.update(&ZEROS[..part.len()], part).expect("a stream cipher needs no more room");
        }
    };
    fill(&mut [0; 16][..(offset % 16) as usize]);
    let begins = out.len();
    out.resize(begins + len, 0);
    fill(&mut out[begins..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_range_equals_that_part_of_the_whole() {
        let object = Object::new(vec![
            Piece::Literal(Bytes::from_static(b"header")),
            Piece::Stream { seed: 9, offset: 5, len: 1_000 },
            Piece::Literal(Bytes::from_static(b"end")),
        ]);
        let whole = object.read(0..object.len());
        assert_eq!(whole.len(), 1_009);
        for (from, to) in [
            (0, 1),
            (3, 9),
            (6, 6),
            (7, 100),
            (22, 38),
            (999, 1_009),
            (1_005, 5_000),
            (2_000, 3_000),
        ] {
            let part = &whole[(from as usize).min(1_009)..(to as usize).min(1_009)];
            assert_eq!(object.read(from..to), part, "{from}..{to}");
        }
        let mut joined = Vec::new();
        object.for_each(|part| joined.extend_from_slice(part));
        assert_eq!(joined, whole);
        for len in [0, 3, 6, 500, 1_008, 1_009, 1_020] {
            let resized = object.clone().resized(len);
            assert_eq!(resized.len(), len);
            let common = len.min(1_009) as usize;
            assert_eq!(resized.read(0..len)[..common], whole[..common]);
            assert_eq!(resized.read(0..len).len() as u64, len);
        }
    }
}
