//! The CMS envelope around a media file, told by looking at the bytes.
//!
//! Given an object's first bytes and its length it says in which form the object came.
//!
//! **Invariant:** names, types and metadata never decide the form; only bytes do.

/// How many of an object's first bytes are enough to tell its form.
pub const HEAD_BYTES: usize = 32;

/// `OBJECT IDENTIFIER 1.2.840.113549.1.7.3`, envelopedData, with tag and length.
const ENVELOPED_DATA: [u8; 11] = [0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x03];

/// How an object is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Envelope and content in one, as DER; the envelope says how long it is.
    Attached {
        /// The whole length by the envelope's own account.
        bytes: u64,
    },
    /// Envelope and content in one, as BER of indefinite length.
    AttachedIndefinite,
    /// Nothing at all.
    Empty,
    /// Anything else: detached ciphertext, or plain media.
    Bare,
}

/// Tells the form from the first [`HEAD_BYTES`] of an object, or from all of a shorter one.
pub fn form(head: &[u8]) -> Form {
    if head.is_empty() {
        return Form::Empty;
    }
    let Some((length, content)) = outer_sequence(head) else { return Form::Bare };
    if !content.starts_with(&ENVELOPED_DATA) {
        return Form::Bare;
    }
    match length {
        Some(length) => {
            let header = head.len() - content.len();
            Form::Attached { bytes: length.saturating_add(header as u64) }
        }
        None => Form::AttachedIndefinite,
    }
}

/// Splits the outermost SEQUENCE into its length, none if indefinite, and what has come of it.
fn outer_sequence(head: &[u8]) -> Option<(Option<u64>, &[u8])> {
    let (&tag, rest) = head.split_first()?;
    let (&first, rest) = rest.split_first()?;
    if tag != 0x30 {
        return None;
    }
    let octets = usize::from(first & 0x7F);
    match first {
        0x80 => Some((None, rest)),
        short if short < 0x80 => Some((Some(u64::from(short)), rest)),
        _ if octets > 8 || rest.len() < octets => None,
        _ => {
            let (length, content) = rest.split_at(octets);
            let length = length.iter().fold(0, |sum, octet| sum << 8 | u64::from(*octet));
            Some((Some(length), content))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(length: &[u8], oid: &[u8]) -> Vec<u8> {
        [&[0x30], length, oid, &[0xA0, 0x80, 0x30]].concat()
    }

    #[test]
    fn the_form_is_told_by_the_bytes() {
        let indefinite = object(&[0x80], &ENVELOPED_DATA);
        let short = object(&[0x20], &ENVELOPED_DATA);
        let long = object(&[0x83, 0x01, 0x00, 0x00], &ENVELOPED_DATA);
        let huge = object(&[0x88, 0, 0, 0, 1, 0, 0, 0, 0], &ENVELOPED_DATA);
        let signed = object(&[0x80], &[0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 2]);
        let cases: [(&[u8], Form); 9] = [
            (&indefinite, Form::AttachedIndefinite),
            (&short, Form::Attached { bytes: 0x22 }),
            (&long, Form::Attached { bytes: 0x1_0005 }),
            (&huge, Form::Attached { bytes: 0x1_0000_000A }),
            (&signed, Form::Bare),
            (b"ID3\x04 an mp3", Form::Bare),
            (b"<html><body>", Form::Bare),
            (&[0x30, 0x89, 1], Form::Bare),
            (&[], Form::Empty),
        ];
        for (head, form_of_it) in cases {
            assert_eq!(form(head), form_of_it, "{head:02x?}");
        }
        for cut in 1..indefinite.len() {
            form(&indefinite[..cut]);
        }
    }
}
