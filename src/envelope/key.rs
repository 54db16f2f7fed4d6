//! The content key of an envelope, unwrapped with a private key.
//!
//! Given a [`Recipient`] and a private key it gives the [`ContentKey`], or none.
//!
//! **Invariant:** a key that does not fit and a wrapped key that is damaged look alike.

use openssl::error::ErrorStack;
use openssl::pkey::{Id, PKey, Private};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Padding;
use zeroize::Zeroizing;

use super::cipher::ContentCipher;
use super::recipient::{KeyPadding, Recipient, RecipientKind};

/// The key of one content; wiped from memory when it is no longer needed.
pub struct ContentKey(Zeroizing<Vec<u8>>);

impl ContentKey {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Recipient {
    /// Unwraps the content key, if `key` is this recipient's and the result fits the cipher.
    ///
    /// A wrong key passes for the right one by chance once in many millions.
    pub fn unwrap_key(&self, key: &PKey<Private>, cipher: &ContentCipher) -> Option<ContentKey> {
        let RecipientKind::Rsa { padding, encrypted_key } = &self.kind else { return None };
        if key.id() != Id::RSA || key.size() != encrypted_key.len() {
            return None;
        }
        let unwrapped = decrypt(key, padding, encrypted_key).ok()??;
        let fits = cipher.key_bytes().is_none_or(|bytes| unwrapped.len() == bytes);
        fits.then_some(ContentKey(unwrapped))
    }
}

/// Decrypts; gives nothing where the padding is not known.
fn decrypt(
    key: &PKey<Private>,
    padding: &KeyPadding,
    encrypted: &[u8],
) -> Result<Option<Zeroizing<Vec<u8>>>, ErrorStack> {
    let mut context = PkeyCtx::new(key)?;
    context.decrypt_init()?;
    match padding {
        // From 3.2 on OpenSSL answers a wrong key with random bytes instead of an error, unless the
        // padding is left to us.
        KeyPadding::Pkcs1 => context.set_rsa_padding(Padding::NONE)?,
        KeyPadding::Oaep(oaep) => {
            context.set_rsa_padding(Padding::PKCS1_OAEP)?;
            context.set_rsa_oaep_md(oaep.hash.md())?;
            context.set_rsa_mgf1_md(oaep.mask_hash.md())?;
            if !oaep.label.is_empty() {
                context.set_rsa_oaep_label(&oaep.label)?;
            }
        }
        KeyPadding::Unknown(_) => return Ok(None),
    }
    // Of the longest result's length from the start, so that no copy is left behind by growing.
    let mut decrypted = Zeroizing::new(vec![0; key.size()]);
    let length = context.decrypt(encrypted, Some(&mut decrypted))?;
    decrypted.truncate(length);
    Ok(match padding {
        KeyPadding::Pkcs1 => without_padding(&decrypted),
        _ => Some(decrypted),
    })
}

/// Takes off what RSAES-PKCS1-v1_5 puts before a message: 0, 2, at least eight bytes that are not
/// 0, and 0.
fn without_padding(padded: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let rest = padded.strip_prefix(&[0, 2])?;
    let end = rest.iter().position(|byte| *byte == 0).filter(|end| *end >= 8)?;
    Some(Zeroizing::new(rest[end + 1..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_taken_off_where_it_is_right() {
        let padded =
            |beginning: &[u8], filling: &[u8], end: &[u8]| [beginning, filling, end].concat();
        let filling = [7; 8];
        for (padded, key) in [
            (padded(&[0, 2], &filling, &[0, 5, 0, 6]), Some(vec![5, 0, 6])),
            (padded(&[0, 2], &[7; 200], &[0]), Some(vec![])),
            (padded(&[0, 2], &filling[1..], &[0, 5]), None),
            (padded(&[0, 2], &filling, &[]), None),
            (padded(&[0, 1], &filling, &[0, 5]), None),
            (padded(&[1, 2], &filling, &[0, 5]), None),
            (vec![], None),
        ] {
            assert_eq!(without_padding(&padded).map(|key| key.to_vec()), key, "{padded:?}");
        }
    }
}
