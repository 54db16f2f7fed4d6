//! What a source says about an object's bytes, and whether the bytes agree.
//!
//! **Invariant:** pure; bytes go in once and in order.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use openssl::hash::{Hasher, MessageDigest};

/// A way to sum up bytes that a source may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// The ETag of an object that was stored in one piece without a customer's or KMS key.
    Md5,
    /// `x-amz-checksum-sha1`.
    Sha1,
    /// `x-amz-checksum-sha256`.
    Sha256,
    /// `x-amz-checksum-crc32`.
    Crc32,
    /// `x-amz-checksum-crc32c`.
    Crc32c,
    /// `x-amz-checksum-crc64nvme`.
    Crc64Nvme,
}

impl Algorithm {
    /// Its name, as S3 spells it.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Md5 => "md5",
            Algorithm::Sha1 => "sha1",
            Algorithm::Sha256 => "sha256",
            Algorithm::Crc32 => "crc32",
            Algorithm::Crc32c => "crc32c",
            Algorithm::Crc64Nvme => "crc64nvme",
        }
    }
}

/// A sum that the object's bytes must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// How it was made.
    pub algorithm: Algorithm,
    /// The sum, most significant byte first.
    pub sum: Vec<u8>,
}

impl Expected {
    /// Reads an ETag: an MD5 if it is 32 hexadecimal digits, otherwise it says nothing of the bytes.
    pub fn from_etag(etag: &str) -> Option<Expected> {
        let digits = etag.trim_matches('"').as_bytes();
        if digits.len() != 32 {
            return None;
        }
        let sum = digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect::<Option<Vec<u8>>>()?;
        Some(Expected { algorithm: Algorithm::Md5, sum })
    }

    /// Reads a checksum header; that of an object stored in parts (`…-7`) cannot be checked.
    pub fn from_header(algorithm: Algorithm, base64: &str) -> Option<Expected> {
        let sum = BASE64.decode(base64).ok()?;
        Some(Expected { algorithm, sum })
    }
}

/// The bytes do not have the sum that the source promised.
#[derive(Debug, thiserror::Error)]
#[error("the bytes received do not match the {0:?} checksum that the source gave")]
pub struct Mismatch(pub Algorithm);

/// Sums up bytes as they pass, in every way that is expected of them.
pub struct Checker {
    sums: Vec<(Expected, Sum)>,
}

enum Sum {
    Digest(Box<Hasher>),
    Crc(Box<crc_fast::Digest>),
}

impl Checker {
    /// Prepares to check what is expected.
    pub fn new(expected: &[Expected]) -> Checker {
        let sums = expected.iter().map(|one| (one.clone(), Sum::new(one.algorithm))).collect();
        Checker { sums }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        for (_, sum) in &mut self.sums {
            match sum {
                Sum::Digest(hasher) => hasher.update(bytes).expect("digests take any bytes"),
                Sum::Crc(crc) => crc.update(bytes),
            }
        }
    }

    /// Compares; names the first sum that differs.
    pub fn finish(self) -> Result<(), Mismatch> {
        for (expected, sum) in self.sums {
            if sum.finish(expected.sum.len()) != expected.sum {
                return Err(Mismatch(expected.algorithm));
            }
        }
        Ok(())
    }
}

impl Sum {
    fn new(algorithm: Algorithm) -> Sum {
        let digest = |kind| {
            Sum::Digest(Box::new(Hasher::new(kind).expect("OpenSSL has MD5, SHA-1 and SHA-256")))
        };
        let crc = |kind| Sum::Crc(Box::new(crc_fast::Digest::new(kind)));
        match algorithm {
            Algorithm::Md5 => digest(MessageDigest::md5()),
            Algorithm::Sha1 => digest(MessageDigest::sha1()),
            Algorithm::Sha256 => digest(MessageDigest::sha256()),
            Algorithm::Crc32 => crc(crc_fast::CrcAlgorithm::Crc32IsoHdlc),
            Algorithm::Crc32c => crc(crc_fast::CrcAlgorithm::Crc32Iscsi),
            Algorithm::Crc64Nvme => crc(crc_fast::CrcAlgorithm::Crc64Nvme),
        }
    }

    fn finish(self, width: usize) -> Vec<u8> {
        match self {
            Sum::Digest(mut hasher) => {
                hasher.finish().expect("a digest can be finished once").to_vec()
            }
            Sum::Crc(crc) => {
                let bytes = crc.finalize().to_be_bytes();
                bytes[bytes.len().saturating_sub(width)..].to_vec()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published check values of each algorithm over `123456789`.
    const CHECKS: [(Algorithm, &str); 6] = [
        (Algorithm::Md5, "25f9e794323b453885f5181f1b624d0b"),
        (Algorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
        (Algorithm::Sha256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
        (Algorithm::Crc32, "cbf43926"),
        (Algorithm::Crc32c, "e3069283"),
        (Algorithm::Crc64Nvme, "ae8b14860a799888"),
    ];

    fn check(algorithm: Algorithm, sum: Vec<u8>, pieces: &[&[u8]]) -> Result<(), Mismatch> {
        let mut checker = Checker::new(&[Expected { algorithm, sum }]);
        pieces.iter().for_each(|piece| checker.update(piece));
        checker.finish()
    }

    #[test]
    fn every_algorithm_knows_its_published_check_value() {
        for (algorithm, hex) in CHECKS {
            let sum: Vec<u8> = (0..hex.len() / 2)
                .map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap())
                .collect();
            check(algorithm, sum.clone(), &[b"1234", b"", b"56789"]).unwrap();
            assert!(check(algorithm, sum, &[b"123456780"]).is_err(), "{algorithm:?}");
        }
    }

    #[test]
    fn only_an_etag_of_32_hexadecimal_digits_is_an_md5() {
        let md5 = Expected::from_etag("\"25f9e794323b453885f5181f1b624d0b\"").unwrap();
        check(md5.algorithm, md5.sum, &[b"123456789"]).unwrap();
        for etag in ["", "\"\"", "\"25f9e794323b453885f5181f1b624d0b-3\"", "W/\"abc\""] {
            assert_eq!(Expected::from_etag(etag), None, "{etag}");
        }
        assert_eq!(Expected::from_etag(&"é".repeat(16)), None);
    }

    #[test]
    fn the_checksum_of_an_object_in_parts_is_no_promise() {
        assert!(Expected::from_header(Algorithm::Crc32, "y/Q5Jg==").is_some());
        assert_eq!(Expected::from_header(Algorithm::Crc32, "y/Q5Jg==-7"), None);
    }
}
