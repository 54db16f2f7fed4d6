//! The CMS envelope around a media file: its form, its head, and its content as a stream.
//!
//! [`form()`] tells by an object's first bytes how it is wrapped, [`Head`] is all that stands before
//! the content, [`Recipient::unwrap_key`] gives the content key to the holder of a private key, and
//! [`Opener`] turns what follows the head into what was sealed.
//!
//! **Invariant:** names, types and metadata never decide anything here; only bytes do.

mod ber;
mod cipher;
mod form;
mod head;
mod oaep;
mod recipient;

pub use cipher::ContentCipher;
pub use form::{Form, HEAD_BYTES, form};
pub use head::{Content, Head, HeadError, LONGEST_HEAD};
pub use oaep::{Hash, Oaep};
pub use recipient::{KeyPadding, Recipient, RecipientId, RecipientKind};
