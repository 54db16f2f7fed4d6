//! The cipher that an envelope's content is encrypted with.
//!
//! Given an `AlgorithmIdentifier` it gives a [`ContentCipher`], which says how long blocks and keys
//! are and whether it can be opened.
//!
//! **Invariant:** a cipher that is not in the table is still a cipher, about which nothing is known.

use std::fmt;

use openssl::cipher::{Cipher, CipherRef};

use super::ber::{BerError, OCTET_STRING, Reader};

/// What is known of a cipher.
#[derive(Debug)]
struct Known {
    oid: &'static str,
    name: &'static str,
    /// How long the pieces are that it encrypts; 1 where a text keeps its length.
    block_bytes: usize,
    /// What opens it, where that is done here; its key has one length, its IV that of a block.
    open: Option<fn() -> &'static CipherRef>,
}

const fn known(
    oid: &'static str,
    name: &'static str,
    block_bytes: usize,
    open: Option<fn() -> &'static CipherRef>,
) -> Known {
    Known { oid, name, block_bytes, open }
}

/// The ciphers that recordings have been seen with, and those that other tools offer.
const KNOWN: [Known; 21] = [
    known("2.16.840.1.101.3.4.1.2", "AES-128-CBC", 16, Some(Cipher::aes_128_cbc)),
    known("2.16.840.1.101.3.4.1.22", "AES-192-CBC", 16, Some(Cipher::aes_192_cbc)),
    known("2.16.840.1.101.3.4.1.42", "AES-256-CBC", 16, Some(Cipher::aes_256_cbc)),
    known("1.2.840.113549.3.7", "DES-EDE3-CBC", 8, Some(Cipher::des_ede3_cbc)),
    known("1.3.14.3.2.7", "DES-CBC", 8, None),
    known("1.2.840.113549.3.2", "RC2-CBC", 8, None),
    known("1.2.840.113549.3.4", "RC4", 1, None),
    known("1.2.840.113533.7.66.10", "CAST5-CBC", 8, None),
    known("1.2.392.200011.61.1.1.1.2", "CAMELLIA-128-CBC", 16, None),
    known("1.2.392.200011.61.1.1.1.3", "CAMELLIA-192-CBC", 16, None),
    known("1.2.392.200011.61.1.1.1.4", "CAMELLIA-256-CBC", 16, None),
    known("1.2.410.200004.1.4", "SEED-CBC", 16, None),
    known("2.16.840.1.101.3.4.1.3", "AES-128-OFB", 1, None),
    known("2.16.840.1.101.3.4.1.23", "AES-192-OFB", 1, None),
    known("2.16.840.1.101.3.4.1.43", "AES-256-OFB", 1, None),
    known("2.16.840.1.101.3.4.1.4", "AES-128-CFB", 1, None),
    known("2.16.840.1.101.3.4.1.24", "AES-192-CFB", 1, None),
    known("2.16.840.1.101.3.4.1.44", "AES-256-CFB", 1, None),
    known("2.16.840.1.101.3.4.1.6", "AES-128-GCM", 1, None),
    known("2.16.840.1.101.3.4.1.26", "AES-192-GCM", 1, None),
    known("2.16.840.1.101.3.4.1.46", "AES-256-GCM", 1, None),
];

/// The cipher of a content, and its initialisation vector.
///
/// It displays as its name, `AES-256-CBC`, or as its object identifier.
#[derive(Debug, Clone)]
pub struct ContentCipher {
    oid: String,
    known: Option<&'static Known>,
    /// Empty where it cannot be opened.
    iv: Vec<u8>,
}

impl ContentCipher {
    /// Reads an `AlgorithmIdentifier`.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<ContentCipher, BerError> {
        let (oid, parameters) = reader.algorithm("its cipher")?;
        let known = KNOWN.iter().find(|known| known.oid == oid);
        let Some(&Known { block_bytes, open: Some(_), .. }) = known else {
            return Ok(ContentCipher { oid, known, iv: Vec::new() });
        };
        const NO_IV: &str = "its initialisation vector";
        let parameters = parameters.ok_or(BerError::Wrong(NO_IV))?;
        let iv = parameters.reader().string(OCTET_STRING, NO_IV)?;
        if iv.len() != block_bytes {
            return Err(BerError::Wrong(NO_IV));
        }
        Ok(ContentCipher { oid, known, iv })
    }

    /// Tells how long the blocks are that a content consists of: 1 if any length fits, none if
    /// that is not known.
    pub fn block_bytes(&self) -> Option<usize> {
        Some(self.known?.block_bytes)
    }

    /// Tells whether contents can be opened here.
    pub fn can_open(&self) -> bool {
        self.open().is_some()
    }

    /// Tells how long a key must be, none if that is not known.
    pub(super) fn key_bytes(&self) -> Option<usize> {
        Some(self.open()?.key_length())
    }

    /// Gives what opens contents.
    pub(super) fn open(&self) -> Option<&'static CipherRef> {
        Some(self.known?.open?())
    }

    /// Gives the initialisation vector.
    pub(super) fn iv(&self) -> &[u8] {
        &self.iv
    }
}

impl fmt::Display for ContentCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.known.map_or(&self.oid, |known| known.name))
    }
}
