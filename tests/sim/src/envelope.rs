//! The CMS frames that media are wrapped in, and the key that opens them.
//!
//! Ciphertext is key stream: any range of it is known without the rest. Only two things are computed so that every frame
//! is valid and opens: the initialisation vector, which makes the first block decrypt to the beginning of a media file,
//! and the last block, which carries proper padding. So the plaintext is what decryption gives.
//! **Invariant**: equal inputs give equal bytes, in every process.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::{BigNum, BigNumContext};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::{Padding, Rsa};
use openssl::symm::{Cipher, Crypter, Mode};
use openssl::x509::{X509, X509Name};

use crate::world::object::{Object, Piece, key_stream};

/// Two primes found once; a key made of them is the same in every process, and guards nothing.
const PRIMES: [&str; 2] = [
    "CD1137DF3FD1E5674AD0C47C09FA0CA0CD74386D31C295D820DA7C584EDAFBFF9D402AC622CD8FBC86B4D1A9C3559187BCC8BDAD636B9A5050E81223F6546C2A6E2FFA6FE52B76794E4489C5CCAE4BF822B90AD522FEADEA5216CB36D3ABA0D3C9D3862313FDFB6AD7C3834FA42599A24737D5A6547719D28ABB0581796BEB8D",
    "C60B30DD719C7DB32C91E30641A080EB1FFEABCC1EFE4B7FD4DE9971376969921A4A7B22349D293402BF6979AFA4CF4830CD091D6EF12982CC94CEF27476F7CBEB56ABA783872CB8E0130185BA8896EBCDAB7F5E13A3B62001D799D19A512D26762E12C338829D340516B0B339070EA9D7293FA74F216BC9811C10E3714E3279",
];

const BLOCK: u64 = 16;
/// The length of a chunk of a frame with indefinite lengths.
const BER_CHUNK: u64 = 16 * 1024;
const OID_ENVELOPED_DATA: &[u8] = &[0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 3];
const OID_DATA: &[u8] = &[0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 1];
const OID_AES_128_CBC: &[u8] = &[0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 2];
const RSA_ENCRYPTION: &[u8] =
    &[0x30, 13, 0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 1, 5, 0];
const VERSION_0: &[u8] = &[2, 1, 0];
const END_OF_CONTENTS: &[u8] = &[0, 0];

/// The one recipient of every envelope.
pub struct Recipient {
    /// The private key.
    pub key: PKey<Private>,
    /// Its certificate.
    pub certificate: X509,
    content_key: [u8; 16],
    info: Vec<u8>,
}

/// Gives the recipient that every envelope is made for.
pub fn recipient() -> &'static Recipient {
    static RECIPIENT: OnceLock<Recipient> = OnceLock::new();
    RECIPIENT.get_or_init(|| make_recipient().expect("the primes are fixed and good"))
}

/// Opens an attached envelope, or fails with openssl's reason.
pub fn open(der: &[u8]) -> Result<Vec<u8>, openssl::error::ErrorStack> {
    // openssl's smime_read wants MIME; its d2i is reached through that with a transfer encoding.
    let mut mime = b"MIME-Version: 1.0\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data\nContent-Transfer-Encoding: base64\n\n".to_vec();
    for line in STANDARD.encode(der).as_bytes().chunks(76) {
        mime.extend_from_slice(line);
        mime.push(b'\n');
    }
    let cms = openssl::cms::CmsContentInfo::smime_read_cms(&mime)?;
    cms.decrypt(&recipient().key, &recipient().certificate)
}

/// Wraps `plain_bytes` of content into an attached frame with definite lengths.
pub fn attached(seed: u64, plain_bytes: u64, magic: &[u8; 16]) -> Object {
    let cipher = ciphertext(seed, plain_bytes, magic);
    let info = content_info(&cipher.iv, Some(&head(0x80, cipher.len())));
    let mut pieces = vec![Piece::Literal(frame_head(&info, cipher.len()).into())];
    pieces.extend(cipher.pieces());
    Object::new(pieces)
}

/// Wraps `plain_bytes` of content into an attached frame with indefinite lengths, as a streaming writer makes it.
pub fn attached_ber(seed: u64, plain_bytes: u64, magic: &[u8; 16]) -> Object {
    let cipher = ciphertext(seed, plain_bytes, magic);
    let info = content_info(&cipher.iv, None);
    let header = [
        &[0x30, 0x80],
        OID_ENVELOPED_DATA,
        &[0xA0, 0x80, 0x30, 0x80],
        VERSION_0,
        &tlv(0x31, &recipient().info),
        &[0x30, 0x80],
        &info,
        &[0xA0, 0x80],
    ]
    .concat();
    let mut pieces = vec![Piece::Literal(header.into())];
    let mut at = 0;
    while at < cipher.streamed {
        let len = BER_CHUNK.min(cipher.streamed - at);
        pieces.push(Piece::Literal(head(0x04, len).into()));
        pieces.push(Piece::Stream { seed, offset: at, len });
        at += len;
    }
    pieces.push(Piece::Literal(tlv(0x04, &cipher.last).into()));
    pieces.push(Piece::Literal(END_OF_CONTENTS.repeat(5).into()));
    Object::new(pieces)
}

/// Gives the raw ciphertext alone; [`envelope_of`] gives the envelope that belongs to it.
pub fn detached(seed: u64, plain_bytes: u64, magic: &[u8; 16]) -> Object {
    Object::new(ciphertext(seed, plain_bytes, magic).pieces())
}

/// Gives the envelope without content for a [`detached`] object, as PEM.
pub fn envelope_of(seed: u64, plain_bytes: u64, magic: &[u8; 16]) -> String {
    let info = content_info(&ciphertext(seed, plain_bytes, magic).iv, None);
    let mut pem = "-----BEGIN PKCS7-----\n".to_owned();
    for line in STANDARD.encode(frame_head(&info, 0)).as_bytes().chunks(64) {
        pem.extend(line.iter().map(|&byte| char::from(byte)));
        pem.push('\n');
    }
    pem + "-----END PKCS7-----\n"
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

fn ciphertext(seed: u64, plain_bytes: u64, magic: &[u8; 16]) -> Ciphertext {
    let streamed = plain_bytes / BLOCK * BLOCK;
    let left = (plain_bytes % BLOCK) as usize;
    let mut plain_end = *magic;
    plain_end[left..].fill(BLOCK as u8 - left as u8);
    // In CBC a block decrypts to its own decryption xor the block before, and the vector stands before the first.
    let (iv, before) = if streamed == 0 {
        let iv = stream_block(!seed, 0);
        (iv, iv)
    } else {
        let first = one_block(Mode::Decrypt, &stream_block(seed, 0));
        (xor(&first, magic), stream_block(seed, streamed - BLOCK))
    };
    Ciphertext { seed, iv, streamed, last: one_block(Mode::Encrypt, &xor(&plain_end, &before)) }
}

fn stream_block(seed: u64, offset: u64) -> [u8; 16] {
    let mut out = Vec::with_capacity(16);
    key_stream(seed, offset, 16, &mut out);
    out.try_into().expect("16 bytes were asked for")
}

fn one_block(mode: Mode, block: &[u8; 16]) -> [u8; 16] {
    let mut out = [0; 32];
    let mut ecb = Crypter::new(Cipher::aes_128_ecb(), mode, &recipient().content_key, None)
        .expect("the key has 16 bytes");
    ecb.pad(false);
    let made = ecb.update(block, &mut out).expect("the output has room for two blocks");
    ecb.finalize(&mut out[made..]).expect("a whole block needs no padding");
    out[..16].try_into().expect("16 of 32 bytes")
}

fn xor(a: &[u8; 16], b: &[u8; 16]) -> [u8; 16] {
    std::array::from_fn(|i| a[i] ^ b[i])
}

/// Gives the head of a DER value: its tag and its length.
fn head(tag: u8, len: u64) -> Vec<u8> {
    if len < 0x80 {
        return vec![tag, len as u8];
    }
    let digits: Vec<u8> = len.to_be_bytes().into_iter().skip_while(|&byte| byte == 0).collect();
    [&[tag, 0x80 | digits.len() as u8], digits.as_slice()].concat()
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    [&head(tag, content.len() as u64), content].concat()
}

/// Gives the inside of EncryptedContentInfo, up to where the content begins.
fn content_info(iv: &[u8; 16], content_head: Option<&[u8]>) -> Vec<u8> {
    let algorithm = tlv(0x30, &[OID_AES_128_CBC, &tlv(0x04, iv)].concat());
    [OID_DATA, &algorithm, content_head.unwrap_or_default()].concat()
}

/// Gives everything up to where the content of `content_bytes` begins, with definite lengths.
fn frame_head(info: &[u8], content_bytes: u64) -> Vec<u8> {
    let mut frame = info.to_vec();
    let mut wrap = |tag: u8, before: &[u8]| {
        let inner = [before, &frame].concat();
        frame = [head(tag, inner.len() as u64 + content_bytes), inner].concat();
    };
    wrap(0x30, &[]);
    wrap(0x30, &[VERSION_0, &tlv(0x31, &recipient().info)].concat());
    wrap(0xA0, &[]);
    wrap(0x30, OID_ENVELOPED_DATA);
    frame
}

fn make_recipient() -> Result<Recipient, openssl::error::ErrorStack> {
    let rsa = make_rsa()?;
    let key = PKey::from_rsa(rsa.clone())?;
    let mut name = X509Name::builder()?;
    name.append_entry_by_text("CN", "Fictional Recording Recipient")?;
    let name = name.build();
    let serial = BigNum::from_u32(5)?;
    let mut certificate = X509::builder()?;
    certificate.set_version(2)?;
    certificate.set_serial_number(&*Asn1Integer::from_bn(&serial)?)?;
    certificate.set_subject_name(&name)?;
    certificate.set_issuer_name(&name)?;
    certificate.set_not_before(&*Asn1Time::from_unix(1_577_836_800)?)?;
    certificate.set_not_after(&*Asn1Time::from_unix(4_102_444_800)?)?;
    certificate.set_pubkey(&key)?;
    certificate.sign(&key, MessageDigest::sha256())?;

    let content_key = stream_block_of(b"content key of the box");
    // PKCS#1 v1.5 pads with random bytes; fixed ones keep the envelopes equal in every process.
    let mut padded = vec![0xA5; 256];
    padded[..2].copy_from_slice(&[0, 2]);
    padded[239] = 0;
    padded[240..].copy_from_slice(&content_key);
    let mut encrypted_key = vec![0; 256];
    rsa.public_encrypt(&padded, &mut encrypted_key, Padding::NONE)?;

    let issuer_and_serial = tlv(0x30, &[name.to_der()?, vec![2, 1, 5]].concat());
    let info = tlv(
        0x30,
        &[VERSION_0, &issuer_and_serial, RSA_ENCRYPTION, &tlv(0x04, &encrypted_key)].concat(),
    );
    Ok(Recipient { key, certificate: certificate.build(), content_key, info })
}

fn stream_block_of(text: &[u8]) -> [u8; 16] {
    xxhash_rust::xxh3::xxh3_128(text).to_be_bytes()
}

fn make_rsa() -> Result<Rsa<Private>, openssl::error::ErrorStack> {
    let mut context = BigNumContext::new()?;
    let context = &mut *context;
    let (p, q) = (BigNum::from_hex_str(PRIMES[0])?, BigNum::from_hex_str(PRIMES[1])?);
    let e = BigNum::from_u32(65_537)?;
    let one = BigNum::from_u32(1)?;
    let less_one = |prime: &BigNum| {
        let mut out = BigNum::new()?;
        out.checked_sub(prime, &one)?;
        Ok::<_, openssl::error::ErrorStack>(out)
    };
    let (p1, q1) = (less_one(&p)?, less_one(&q)?);
    let (mut n, mut phi, mut d) = (BigNum::new()?, BigNum::new()?, BigNum::new()?);
    n.checked_mul(&p, &q, context)?;
    phi.checked_mul(&p1, &q1, context)?;
    d.mod_inverse(&e, &phi, context)?;
    let (mut dmp1, mut dmq1, mut iqmp) = (BigNum::new()?, BigNum::new()?, BigNum::new()?);
    dmp1.checked_rem(&d, &p1, context)?;
    dmq1.checked_rem(&d, &q1, context)?;
    iqmp.mod_inverse(&q, &p, context)?;
    Rsa::from_private_components(n, e, d, p, q, dmp1, dmq1, iqmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_opens_and_its_plaintext_has_the_size_and_the_beginning_asked_for() {
        let magic = b"ID3\x04\0\0\0\0\0\x0Aabcdef";
        for plain_bytes in [0, 1, 15, 16, 17, 100, 127, 128, 4_096, 16_384, 70_001] {
            let frames = [
                ("der", attached(3, plain_bytes, magic)),
                ("ber", attached_ber(3, plain_bytes, magic)),
            ];
            for (name, object) in frames {
                let plain = open(&object.read(0..object.len()))
                    .unwrap_or_else(|e| panic!("{name} {plain_bytes}: {e}"));
                assert_eq!(plain.len() as u64, plain_bytes, "{name}");
                assert_eq!(
                    plain.get(..16).unwrap_or(&magic[..plain.len().min(16)]),
                    &magic[..plain.len().min(16)]
                );
            }
        }
    }

    #[test]
    fn detached_ciphertext_is_the_content_of_the_attached_frame() {
        let magic = [7; 16];
        let (apart, whole) = (detached(5, 1_000, &magic), attached(5, 1_000, &magic));
        let (apart, whole) = (apart.read(0..apart.len()), whole.read(0..whole.len()));
        assert!(whole.ends_with(&apart));
        assert_eq!(apart.len(), 1_008);
        assert!(envelope_of(5, 1_000, &magic).starts_with("-----BEGIN PKCS7-----\nMII"));
    }
}
