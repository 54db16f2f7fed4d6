//! What is read of envelopes, and what they open to.

use super::oracle::{judge, open};
use super::samples::{Sample, samples};
use crate::envelope::{Content, Form, HEAD_BYTES, Head, HeadError, RecipientKind, form};

#[test]
fn every_envelope_opens_as_openssl_opens_it() {
    for Sample { name, envelope, plain, cipher } in &samples().all {
        let head = Head::read(envelope).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(head.cipher.to_string(), *cipher, "{name}");
        assert_eq!(open(envelope, &samples().key, usize::MAX).as_ref(), Ok(plain), "{name}");
        assert_eq!(judge(envelope, &samples().key).as_ref(), Some(plain), "{name}");
    }
}
