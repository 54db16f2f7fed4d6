//! The CMS envelope around a media file: its form, its head, and its content as a stream.
//!
//! [`form()`] tells by an object's first bytes how it is wrapped, [`Head`] is all that stands before
//! the content, [`Recipient::unwrap_key`] gives the content key to the holder of a private key, and
//! [`Opener`] turns what follows the head into what was sealed.
//!
//! **Invariant:** names, types and metadata never decide anything here; only bytes do.

mod account;
mod ber;
mod cipher;
mod form;
mod framing;
mod head;
mod join;
mod key;
mod oaep;
mod open;
mod recipient;
mod seal;
mod strict;
#[cfg(test)]
mod tests;
mod write;

pub use account::{Account, AccountError};
pub use cipher::ContentCipher;
pub use form::{Form, HEAD_BYTES, form};
pub use framing::{Framing, FramingError};
pub use head::{Content, Head, HeadError, LONGEST_HEAD};
pub use join::{Detached, DetachedError};
pub use key::ContentKey;
pub use oaep::{Hash, Oaep};
pub use open::{OpenError, Opener};
pub use recipient::{KeyPadding, Recipient, RecipientId, RecipientKind};
pub use seal::{SealFormat, Sealer, Sealing, SealingError};
