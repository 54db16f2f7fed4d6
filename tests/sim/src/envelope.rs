//! The CMS frames that media are wrapped in, and the keys that open them.
//!
//! Ciphertext is key stream: any range of it is known without the rest. Only two things are computed so that every frame
//! is valid and opens: the initialisation vector, which makes the first block decrypt to the beginning of a media file,
//! and the last block, which carries proper padding. So the plaintext is what decryption gives.
//! **Invariant**: equal inputs give equal bytes, in every process.

mod der;
mod other;
mod recipient;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use openssl::symm::{self, Crypter, Mode};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::world::object::{Object, Piece, key_stream};
use der::{VERSION_0, head, tlv};
pub use other::{by_openssl, detach, open, open_for};
pub use recipient::{Recipient, recipient, recipients, write_keys};

const BLOCK: u64 = 16;
/// The length of a chunk of a frame with indefinite lengths.
const BER_CHUNK: u64 = 16 * 1024;
const OID_ENVELOPED_DATA: &[u8] = &[0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 3];
const OID_DATA: &[u8] = &[0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 1];
const OID_AES_128_CBC: &[u8] = &[0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 2];
const OID_AES_256_CBC: &[u8] = &[0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 42];
const END_OF_CONTENTS: &[u8] = &[0, 0];

/// Content, and how it is sealed: all that decides the bytes of an envelope.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    /// Decides the ciphertext and the key that it is encrypted with.
    pub seed: u64,
    /// The length of the plaintext.
    pub plain_bytes: u64,
    /// How the plaintext begins.
    pub magic: &'static [u8; 16],
    /// What encrypts it.
    pub cipher: Cipher,
    /// Whom it is for, by the place in [`recipients`].
    pub recipient: usize,
}

/// What encrypts content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cipher {
    /// AES-128 in CBC.
    #[default]
    Aes128,
    /// AES-256 in CBC.
    Aes256,
}

/// How a record writes down the envelope of an object that is ciphertext.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// As which text.
    pub text: Text,
    /// What stands in the place of the content.
    pub place: Place,
}

/// The text that an envelope becomes in a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Text {
    /// `-----BEGIN PKCS7-----`, with `\n` behind each line.
    #[default]
    Pem,
    /// The same with `\r\n`.
    PemCrLf,
    /// Base64 in one line, and nothing around it.
    Base64,
}

/// What stands in an envelope where the content would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// No such field.
    #[default]
    Absent,
    /// The field, empty.
    Empty,
    /// The head of the field, which promises so many bytes; the envelope ends there.
    Promised(u64),
}

impl Shape {
    /// The shapes that occur.
    pub const ALL: [Shape; 6] = {
        use {Place::*, Text::*};
        [
            Shape { text: Pem, place: Absent },
            Shape { text: Pem, place: Empty },
            Shape { text: PemCrLf, place: Absent },
            Shape { text: PemCrLf, place: Empty },
            Shape { text: Base64, place: Absent },
            Shape { text: Base64, place: Empty },
        ]
    };
}

/// Wraps content into an attached frame with definite lengths.
pub fn attached(content: &Content) -> Object {
    let cipher = ciphertext(content);
    let header = frame_head(content, &cipher.iv, &head(0x80, cipher.len()), cipher.len());
    let mut pieces = vec![Piece::Literal(header.into())];
    pieces.extend(cipher.pieces());
    Object::new(pieces)
}

/// Wraps content into an attached frame with indefinite lengths, as a streaming writer makes it.
pub fn attached_ber(content: &Content) -> Object {
    let cipher = ciphertext(content);
    let header = [
        &[0x30, 0x80],
        OID_ENVELOPED_DATA,
        &[0xA0, 0x80, 0x30, 0x80],
        &recipient_infos(content),
        &[0x30, 0x80],
        &algorithm(content, &cipher.iv),
        &[0xA0, 0x80],
    ]
    .concat();
    let mut pieces = vec![Piece::Literal(header.into())];
    let mut at = 0;
    while at < cipher.streamed {
        let len = BER_CHUNK.min(cipher.streamed - at);
        pieces.push(Piece::Literal(head(0x04, len).into()));
        pieces.push(Piece::Stream { seed: content.seed, offset: at, len });
        at += len;
    }
    pieces.push(Piece::Literal(tlv(0x04, &cipher.last).into()));
    pieces.push(Piece::Literal(END_OF_CONTENTS.repeat(5).into()));
    Object::new(pieces)
}

/// Gives the raw ciphertext alone; [`envelope_of`] gives the envelope that belongs to it.
pub fn detached(content: &Content) -> Object {
    Object::new(ciphertext(content).pieces())
}

/// Gives the envelope for a [`detached`] object as a record writes it down.
pub fn envelope_of(content: &Content, shape: Shape) -> String {
    let (place, promised) = match shape.place {
        Place::Absent => (Vec::new(), 0),
        Place::Empty => (head(0x80, 0), 0),
        Place::Promised(bytes) => (head(0x80, bytes), bytes),
    };
    text_of(&frame_head(content, &ciphertext(content).iv, &place, promised), shape.text)
}

/// Gives the text that an envelope becomes in a record.
fn text_of(envelope: &[u8], text: Text) -> String {
    let base64 = STANDARD.encode(envelope);
    let line_end = match text {
        Text::Pem => "\n",
        Text::PemCrLf => "\r\n",
        Text::Base64 => return base64,
    };
    let mut pem = format!("-----BEGIN PKCS7-----{line_end}");
    for line in base64.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|&byte| char::from(byte)));
        pem.push_str(line_end);
    }
    pem + "-----END PKCS7-----" + line_end
}

struct Ciphertext {
    seed: u64,
    iv: [u8; 16],
    /// How many bytes are key stream, all but the last block.
    streamed: u64,
    last: [u8; 16],
}

impl Ciphertext {
    fn len(&self) -> u64 {
        self.streamed + BLOCK
    }

    fn pieces(&self) -> Vec<Piece> {
        vec![
            Piece::Stream { seed: self.seed, offset: 0, len: self.streamed },
            Piece::Literal(Bytes::copy_from_slice(&self.last)),
        ]
    }
}

fn ciphertext(content: &Content) -> Ciphertext {
    let Content { seed, plain_bytes, magic, .. } = *content;
    let streamed = plain_bytes / BLOCK * BLOCK;
    let left = (plain_bytes % BLOCK) as usize;
    let mut plain_end = *magic;
    plain_end[left..].fill(BLOCK as u8 - left as u8);
    // In CBC a block decrypts to its own decryption xor the block before, and the vector stands before the first.
    let (iv, before) = if streamed == 0 {
        let iv = stream_block(!seed, 0);
        (iv, iv)
    } else {
        let first = one_block(content, Mode::Decrypt, &stream_block(seed, 0));
        (xor(&first, magic), stream_block(seed, streamed - BLOCK))
    };
    let last = one_block(content, Mode::Encrypt, &xor(&plain_end, &before));
    Ciphertext { seed, iv, streamed, last }
}

fn stream_block(seed: u64, offset: u64) -> [u8; 16] {
    let mut out = Vec::with_capacity(16);
    key_stream(seed, offset, 16, &mut out);
    out.try_into().expect("16 bytes were asked for")
}

fn one_block(content: &Content, mode: Mode, block: &[u8; 16]) -> [u8; 16] {
    let mut out = [0; 32];
    let cipher = match content.cipher {
        Cipher::Aes128 => symm::Cipher::aes_128_ecb(),
        Cipher::Aes256 => symm::Cipher::aes_256_ecb(),
    };
    let mut ecb = Crypter::new(cipher, mode, &content_key(content), None)
        .expect("the key is as long as the cipher wants it");
    ecb.pad(false);
    let made = ecb.update(block, &mut out).expect("the output has room for two blocks");
    ecb.finalize(&mut out[made..]).expect("a whole block needs no padding");
    out[..16].try_into().expect("16 of 32 bytes")
}

/// Gives the key of this content alone: no two media files share one.
fn content_key(content: &Content) -> Vec<u8> {
    let half = |n: u8| xxh3_128_with_seed(&[n], content.seed).to_be_bytes();
    match content.cipher {
        Cipher::Aes128 => half(0).to_vec(),
        Cipher::Aes256 => [half(1), half(2)].concat(),
    }
}

fn xor(a: &[u8; 16], b: &[u8; 16]) -> [u8; 16] {
    std::array::from_fn(|i| a[i] ^ b[i])
}

/// Gives the type and the algorithm of the content, with which EncryptedContentInfo begins.
fn algorithm(content: &Content, iv: &[u8; 16]) -> Vec<u8> {
    let oid = match content.cipher {
        Cipher::Aes128 => OID_AES_128_CBC,
        Cipher::Aes256 => OID_AES_256_CBC,
    };
    [OID_DATA, &tlv(0x30, &[oid, &tlv(0x04, iv)].concat())].concat()
}

/// Gives the version and the recipients, with which EnvelopedData begins.
fn recipient_infos(content: &Content) -> Vec<u8> {
    let info = recipients()[content.recipient].info(&content_key(content));
    [VERSION_0, &tlv(0x31, &info)].concat()
}

/// Gives everything up to where content of `content_bytes` begins, `place` being its head, with definite lengths.
fn frame_head(content: &Content, iv: &[u8; 16], place: &[u8], content_bytes: u64) -> Vec<u8> {
    let mut frame = place.to_vec();
    let mut wrap = |tag: u8, before: &[u8]| {
        let inner = [before, &frame].concat();
        frame = [head(tag, inner.len() as u64 + content_bytes), inner].concat();
    };
    wrap(0x30, &algorithm(content, iv));
    wrap(0x30, &recipient_infos(content));
    wrap(0xA0, &[]);
    wrap(0x30, OID_ENVELOPED_DATA);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAGIC: &[u8; 16] = b"ID3\x04\0\0\0\0\0\x0Aabcdef";

    fn content(plain_bytes: u64) -> Content {
        Content { seed: 3, plain_bytes, magic: MAGIC, cipher: Cipher::Aes128, recipient: 0 }
    }

    fn bytes(object: &Object) -> Vec<u8> {
        object.read(0..object.len())
    }

    fn der_of(text: &str) -> Vec<u8> {
        let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        STANDARD.decode(base64).unwrap()
    }

    #[test]
    fn every_frame_opens_and_its_plaintext_has_the_size_and_the_beginning_asked_for() {
        for cipher in [Cipher::Aes128, Cipher::Aes256] {
            for plain_bytes in [0, 1, 15, 16, 17, 100, 127, 128, 4_096, 16_384, 70_001] {
                let content = Content { cipher, ..content(plain_bytes) };
                let frames = [attached(&content), attached_ber(&content)].map(|frame| {
                    open(&bytes(&frame)).unwrap_or_else(|e| panic!("{content:?}: {e}"))
                });
                assert_eq!(frames[0].len() as u64, plain_bytes);
                let beginning = frames[0].len().min(16);
                assert_eq!(frames[0][..beginning], MAGIC[..beginning]);
                assert!(frames[0] == frames[1]);
            }
        }
    }

    #[test]
    fn a_frame_opens_for_its_recipient_and_for_no_other() {
        for recipient in 0..recipients().len() {
            let content = Content { recipient, ..content(1_000) };
            for frame in [attached(&content), attached_ber(&content)].map(|frame| bytes(&frame)) {
                let opens: Vec<_> = (0..3).filter(|&one| open_for(one, &frame).is_ok()).collect();
                assert_eq!(opens, [recipient]);
                assert_eq!(open(&frame).unwrap().len(), 1_000);
            }
        }
    }

    #[test]
    fn keys_of_content_differ_from_one_seed_to_the_next() {
        let seeds = [1, 2].map(|seed| content_key(&Content { seed, ..content(10) }));
        assert_ne!(seeds[0], seeds[1]);
        let long = content_key(&Content { cipher: Cipher::Aes256, ..content(10) });
        assert_ne!(long[..16], long[16..]);
    }

    #[test]
    fn detached_ciphertext_joined_to_its_envelope_is_the_attached_frame() {
        let content = content(1_000);
        let (apart, whole) = (bytes(&detached(&content)), bytes(&attached(&content)));
        assert_eq!(apart.len(), 1_008);
        assert!(whole.ends_with(&apart));
        let fits = Shape { text: Text::Base64, place: Place::Promised(1_008) };
        assert!([der_of(&envelope_of(&content, fits)), apart].concat() == whole);
    }

    #[test]
    fn every_shape_of_an_envelope_says_the_same() {
        let content = content(1_000);
        let pem = envelope_of(&content, Shape::default());
        assert!(pem.starts_with("-----BEGIN PKCS7-----\nMII"));
        assert!(pem.ends_with("\n-----END PKCS7-----\n"));
        let mut texts: Vec<_> =
            Shape::ALL.iter().map(|&shape| envelope_of(&content, shape)).collect();
        for (shape, text) in Shape::ALL.iter().zip(&texts) {
            assert_eq!(text.contains("\r\n"), shape.text == Text::PemCrLf, "{shape:?}");
            assert_eq!(text.contains('-'), shape.text != Text::Base64, "{shape:?}");
            let der = der_of(text);
            assert_eq!(der.ends_with(&[0x80, 0]), shape.place == Place::Empty, "{shape:?}");
            openssl::cms::CmsContentInfo::from_der(&der).unwrap();
        }
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), 6);
    }
}
