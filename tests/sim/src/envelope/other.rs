//! What other software makes of envelopes: opens them with the library OpenSSL, makes them with its command.
//!
//! **Invariant**: nothing here uses the frames of this crate, so it can judge them.

use std::fs;
use std::process::Command;

use openssl::cms::CmsContentInfo;
use openssl::error::ErrorStack;

use super::recipients;

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

#[cfg(test)]
mod tests {
    use super::*;

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
