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
    /// A key proves little: newer versions of OpenSSL answer a wrong private key with random
    /// bytes, which may have the right length by chance.
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
        KeyPadding::Pkcs1 => context.set_rsa_padding(Padding::PKCS1)?,
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
    Ok(Some(decrypted))
}
