//! The form in which an object came, told by looking at the bytes.
//!
//! Given an object's first bytes and its length it says in which form the object came.
//!
//! **Invariant:** nothing of an envelope is read but its outermost length and its type.

use super::ber::{Reader, SEQUENCE};

/// How many of an object's first bytes are enough to tell its form.
pub const HEAD_BYTES: usize = 32;

/// The type `id-envelopedData`.
pub(super) const ENVELOPED: &str = "1.2.840.113549.1.7.3";
/// The type `id-ct-authEnvelopedData`.
pub(super) const AUTH_ENVELOPED: &str = "1.2.840.113549.1.9.16.1.23";

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
    let mut reader = Reader::beginning(head);
    let Ok(outermost) = reader.enter(SEQUENCE, "no sequence") else { return Form::Bare };
    match (reader.oid("no type").as_deref(), outermost.end) {
        (Ok(ENVELOPED | AUTH_ENVELOPED), Some(bytes)) => Form::Attached { bytes },
        (Ok(ENVELOPED | AUTH_ENVELOPED), None) => Form::AttachedIndefinite,
        _ => Form::Bare,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENVELOPED_DATA: [u8; 11] = [6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 3];

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
        let authenticated =
            object(&[0x20], &[6, 11, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 16, 1, 23]);
        let cases: [(&[u8], Form); 10] = [
            (&indefinite, Form::AttachedIndefinite),
            (&short, Form::Attached { bytes: 0x22 }),
            (&long, Form::Attached { bytes: 0x1_0005 }),
            (&huge, Form::Attached { bytes: 0x1_0000_000A }),
            (&authenticated, Form::Attached { bytes: 0x22 }),
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
