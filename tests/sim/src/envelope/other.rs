//! Envelopes of other software: opened by the library OpenSSL, made by its command, taken apart.
//!
//! **Invariant**: nothing here uses the frames of this crate, so it can judge them.

use std::fs;
use std::process::Command;

use openssl::cms::CmsContentInfo;
use openssl::error::ErrorStack;

use super::der::head;
use super::{Text, recipients, text_of};

/// The bit of a tag that says that there are values within.
const CONSTRUCTED: u8 = 0x20;

/// Opens an attached envelope with the key of whichever recipient it is for, or fails with openssl's reason.
pub fn open(der: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let mut opened = open_for(0, der);
    for recipient in 1..recipients().len() {
        opened = opened.or_else(|_| open_for(recipient, der));
    }
    opened
}

/// Opens an attached envelope with the key of one recipient alone, or fails with openssl's reason.
pub fn open_for(recipient: usize, der: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let recipient = &recipients()[recipient];
    CmsContentInfo::from_der(der)?.decrypt(&recipient.key, &recipient.certificate)
}

/// Seals `plain` for several recipients as `openssl cms -encrypt -binary -outform DER` does it, with more options.
///
/// The options stand behind each recipient, so that `-keyopt` counts for all of them. `-stream` gives indefinite lengths.
///
/// # Panics
/// If the command is not there, or refuses.
pub fn by_openssl(plain: &[u8], recipients: &[usize], options: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder for the command can be made");
    fs::write(folder.path().join("plain"), plain).expect("the folder takes files");
    super::write_keys(folder.path()).expect("the folder takes files");
    let mut command = Command::new("openssl");
    command.current_dir(folder.path());
    command.args(["cms", "-encrypt", "-binary", "-in", "plain", "-outform", "DER"]);
    command.args(["-out", "sealed"]);
    if recipients.is_empty() {
        command.args(options);
    }
    for recipient in recipients {
        command.args(["-recip", &format!("tenant-{recipient}.pem")]).args(options);
    }
    let output = command.output().expect("the command `openssl` is installed");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    fs::read(folder.path().join("sealed")).expect("the command has written")
}

/// Takes an attached envelope with definite lengths apart: into the PEM of the envelope without content, and the ciphertext.
///
/// Joined again they must give the very same bytes.
///
/// # Panics
/// If a length is indefinite, or something stands behind the content.
pub fn detach(der: &[u8]) -> (String, Vec<u8>) {
    // Everything around the content ends where the content ends: the heads of these, and what stands before them.
    let mut around = Vec::new();
    let (mut begins, mut at) = (0, 0);
    let content = loop {
        let (value, end) = value_of(der, at);
        if end < der.len() {
            at = end;
        } else if der[at] & CONSTRUCTED == 0 {
            break value;
        } else {
            around.push((&der[begins..at], der[at]));
            (begins, at) = (value, value);
        }
    };
    let mut envelope = der[begins..at].to_vec();
    for (before, tag) in around.into_iter().rev() {
        envelope = [before, &head(tag, envelope.len() as u64), &envelope].concat();
    }
    (text_of(&envelope, Text::Pem), der[content..].to_vec())
}

/// Gives where the value at `at` begins behind its head, and where it ends.
fn value_of(der: &[u8], at: usize) -> (usize, usize) {
    let first = usize::from(der[at + 1]);
    assert_ne!(first, 0x80, "the lengths are definite");
    if first < 0x80 {
        return (at + 2, at + 2 + first);
    }
    let value = at + 2 + (first & 0x7F);
    let length = der[at + 2..value].iter().fold(0, |sum, &digit| sum << 8 | usize::from(digit));
    (value, value + length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Cipher, Content, Shape, attached, detached, envelope_of};

    #[test]
    fn an_envelope_taken_apart_is_what_the_parts_are_made_as() {
        for plain_bytes in [0, 100, 130, 70_000] {
            for recipient in 0..recipients().len() {
                let content = Content {
                    seed: 9,
                    plain_bytes,
                    magic: &[7; 16],
                    cipher: Cipher::Aes256,
                    recipient,
                };
                let [whole, apart] = [attached(&content), detached(&content)]
                    .map(|object| object.read(0..object.len()));
                let expected = (envelope_of(&content, Shape::default()), apart);
                assert!(detach(&whole) == expected, "{content:?}");
            }
        }
        let (envelope, ciphertext) = detach(&by_openssl(b"several", &[0, 1, 2], &["-des3"]));
        assert_eq!(ciphertext.len(), 8);
        assert!(envelope.len() > 3 * 256);
    }

    #[test]
    fn envelopes_by_the_command_open_with_the_keys_of_their_recipients_and_no_other() {
        let plain: Vec<u8> = (0..70_000u32).map(|n| (n >> 3) as u8).collect();
        let cases: [(&[usize], &[&str]); 6] = [
            (&[0], &["-stream"]),
            (&[2], &["-aes256"]),
            (&[0, 2], &["-stream", "-aes-192-cbc"]),
            (&[1], &["-des3", "-keyid"]),
            (&[1, 2], &["-keyopt", "rsa_padding_mode:oaep", "-stream"]),
            (&[], &["-secretkey", "000102030405060708090A0B0C0D0E0F", "-secretkeyid", "C0"]),
        ];
        for (for_whom, options) in cases {
            let sealed = by_openssl(&plain, for_whom, options);
            assert_eq!(sealed[1] == 0x80, options.contains(&"-stream"), "{options:?}");
            for recipient in 0..recipients().len() {
                let opened = open_for(recipient, &sealed).ok();
                let expected = for_whom.contains(&recipient).then_some(&plain);
                assert!(opened.as_ref() == expected, "{for_whom:?} {options:?}: {recipient}");
            }
        }
    }
}
