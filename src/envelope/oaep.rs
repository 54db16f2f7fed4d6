//! The parameters of RSAES-OAEP (RFC 8017, A.2.1).
//!
//! Given `RSAES-OAEP-params` it gives [`Oaep`].
//!
//! **Invariant:** what is not understood to the end is not understood at all.

use openssl::md::{Md, MdRef};

use super::ber::{Element, OCTET_STRING, Reader, SEQUENCE};

const MGF1: &str = "1.2.840.113549.1.1.8";
const LABEL_AS_IT_STANDS: &str = "1.2.840.113549.1.1.9";

/// How long a label may be.
///
/// OpenSSL 3 does not free the copy that it is handed through the crate's interface, so a hostile
/// one must be small.
const LONGEST_LABEL: usize = 256;

/// How RSAES-OAEP is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oaep {
    /// The hash of the label.
    pub hash: Hash,
    /// The hash that makes the mask.
    pub mask_hash: Hash,
    /// The label, mostly empty.
    pub label: Vec<u8>,
}

/// A hash that OAEP is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are called so")]
pub enum Hash {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    fn from_oid(oid: &str) -> Option<Hash> {
        match oid {
            "1.3.14.3.2.26" => Some(Hash::Sha1),
            "2.16.840.1.101.3.4.2.4" => Some(Hash::Sha224),
            "2.16.840.1.101.3.4.2.1" => Some(Hash::Sha256),
            "2.16.840.1.101.3.4.2.2" => Some(Hash::Sha384),
            "2.16.840.1.101.3.4.2.3" => Some(Hash::Sha512),
            _ => None,
        }
    }

    /// Gives what OpenSSL computes it with.
    pub(super) fn md(self) -> &'static MdRef {
        match self {
            Hash::Sha1 => Md::sha1(),
            Hash::Sha224 => Md::sha224(),
            Hash::Sha256 => Md::sha256(),
            Hash::Sha384 => Md::sha384(),
            Hash::Sha512 => Md::sha512(),
        }
    }
}

impl Oaep {
    /// Reads the parameters, none if they are not understood.
    pub(super) fn read(parameters: Element<'_>) -> Option<Oaep> {
        if parameters.tag != SEQUENCE {
            return None;
        }
        let mut oaep = Oaep { hash: Hash::Sha1, mask_hash: Hash::Sha1, label: Vec::new() };
        let mut reader = Reader::whole(parameters.value);
        if let Some(mut hash) = tagged(&mut reader, 0xA0)? {
            oaep.hash = read_hash(&mut hash)?;
        }
        if let Some(mut mask) = tagged(&mut reader, 0xA1)? {
            let (oid, parameters) = mask.algorithm("").ok()?;
            oaep.mask_hash = read_hash(&mut parameters.filter(|_| oid == MGF1)?.reader())?;
        }
        if let Some(mut source) = tagged(&mut reader, 0xA2)? {
            let (oid, parameters) = source.algorithm("").ok()?;
            let mut label = parameters.filter(|_| oid == LABEL_AS_IT_STANDS)?.reader();
            oaep.label = label.string(OCTET_STRING, "").ok()?;
        }
        let is_understood = reader.is_at_end() && oaep.label.len() <= LONGEST_LABEL;
        is_understood.then_some(oaep)
    }
}

/// Reads the one element that stands in an explicit tag; gives nothing inside if another tag, or
/// none, comes next.
fn tagged<'a>(reader: &mut Reader<'a>, tag: u8) -> Option<Option<Reader<'a>>> {
    if reader.peek().ok()? != Some(tag) {
        return Some(None);
    }
    let inner = Reader::whole(reader.element().ok()?.value);
    let mut ahead = inner;
    ahead.element().ok()?;
    ahead.is_at_end().then_some(Some(inner))
}

fn read_hash(reader: &mut Reader<'_>) -> Option<Hash> {
    let (oid, parameters) = reader.algorithm("").ok()?;
    Hash::from_oid(&oid).filter(|_| parameters.is_none_or(|element| element.is_null()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::ber::OID;
    use crate::envelope::write::definite;

    #[test]
    fn parameters_are_understood_to_the_end_or_not_at_all() {
        let algorithm = |oid: &[u8], parameters: &[u8]| {
            definite(SEQUENCE, &[definite(OID, oid), parameters.to_vec()].concat())
        };
        let sha_256 = algorithm(&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1], &[]);
        let md_5 = algorithm(&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 2, 5], &[5, 0]);
        let rsa = |last: u8, parameters: &[u8]| {
            algorithm(&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, last], parameters)
        };
        let label = |bytes| definite(0xA2, &rsa(9, &definite(OCTET_STRING, &vec![7; bytes])));
        let oaep = |hash, mask_hash, bytes| Oaep { hash, mask_hash, label: vec![7; bytes] };
        let (sha1, sha256) = (Hash::Sha1, Hash::Sha256);
        let cases = [
            (vec![], Some(oaep(sha1, sha1, 0))),
            (definite(0xA0, &sha_256), Some(oaep(sha256, sha1, 0))),
            (definite(0xA1, &rsa(8, &sha_256)), Some(oaep(sha1, sha256, 0))),
            (label(LONGEST_LABEL), Some(oaep(sha1, sha1, LONGEST_LABEL))),
            (label(LONGEST_LABEL + 1), None),
            (definite(0xA0, &md_5), None),
            (definite(0xA0, &sha_256.repeat(2)), None),
            (definite(0xA1, &rsa(7, &sha_256)), None),
            (definite(0xA2, &rsa(8, &[4, 0])), None),
            (definite(0xA3, &[]), None),
            ([label(1), definite(0xA0, &sha_256)].concat(), None),
        ];
        for (parameters, understood) in cases {
            let sequence = definite(SEQUENCE, &parameters);
            let element = Reader::whole(&sequence).element().unwrap();
            assert_eq!(Oaep::read(element), understood, "{parameters:02x?}");
        }
    }
}
