//! Opening an envelope: from what follows its head to what was sealed, piece by piece.
//!
//! Given a [`Head`], the content key and all bytes behind the head, in any cuts, it gives the
//! plaintext.
//!
//! **Invariant:** everything that a wrong key could be told by has the same message.

use openssl::cipher_ctx::CipherCtx;

use super::framing::{Framing, FramingError};
use super::head::Head;
use super::key::ContentKey;

/// How much is decrypted in one go: room for the result is cleared first, which costs least where
/// it stays in the nearest cache.
const STRETCH_BYTES: usize = 1 << 14;

/// Why an envelope cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Its cipher is none that is opened here.
    #[error("the cipher `{0}` is not opened by this program; `openssl cms -decrypt` may")]
    UnknownCipher(String),
    /// It is authenticated, which is not checked here.
    #[error("it is an authenticated envelope, which only `openssl cms -decrypt` opens")]
    Authenticated,
    /// Its content is kept apart.
    #[error("the envelope holds no content")]
    NoContent,
    /// Its lengths are wrong.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// The content does not decrypt to anything that was sealed.
    #[error("damaged, or not made for this key")]
    KeyOrContent,
}

/// Opens one envelope.
pub struct Opener {
    cipher: CipherCtx,
    framing: Framing,
}

impl Opener {
    /// Begins to open the envelope behind `head`.
    ///
    /// # Errors
    ///
    /// [`OpenError::UnknownCipher`], [`OpenError::Authenticated`] and [`OpenError::NoContent`] say
    /// that this is not possible; a key of the wrong length is an [`OpenError::KeyOrContent`].
    pub fn new(head: &Head, key: &ContentKey) -> Result<Opener, OpenError> {
        if head.authenticated {
            return Err(OpenError::Authenticated);
        }
        let open = head.cipher.open();
        let open = open.ok_or_else(|| OpenError::UnknownCipher(head.cipher.to_string()))?;
        let framing = Framing::behind(head).ok_or(OpenError::NoContent)?;
        if key.bytes().len() != open.key_length() {
            return Err(OpenError::KeyOrContent);
        }
        let init = || {
            let mut cipher = CipherCtx::new()?;
            cipher.decrypt_init(Some(open), Some(key.bytes()), Some(head.cipher.iv()))?;
            Ok(cipher)
        };
        Ok(Opener { cipher: init().map_err(damaged)?, framing })
    }

    /// Takes the next bytes behind the head, and appends to `plain` what they open to.
    ///
    /// # Errors
    ///
    /// After an error nothing that was given is to be relied upon; neither is it before
    /// [`Opener::finish`].
    pub fn update(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), OpenError> {
        let Opener { cipher, framing } = self;
        framing.update(bytes, |ciphertext| {
            for stretch in ciphertext.chunks(STRETCH_BYTES) {
                cipher.cipher_update_vec(stretch, plain).map_err(damaged)?;
            }
            Ok(())
        })
    }

    /// Checks that the envelope ends here, and appends what is left to `plain`.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the lengths is said before anything about the key.
    pub fn finish(mut self, plain: &mut Vec<u8>) -> Result<(), OpenError> {
        self.framing.finish()?;
        self.cipher.cipher_final_vec(plain).map_err(damaged)?;
        Ok(())
    }
}

/// Says of whatever the cipher dislikes the one thing that may be said.
fn damaged(_: openssl::error::ErrorStack) -> OpenError {
    OpenError::KeyOrContent
}
