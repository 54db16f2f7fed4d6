//! Private keys and certificates, many at once, and which of them opens an envelope.
//!
//! Is given the bytes of PEM files; gives, for the head of an envelope, the key to its content.
//!
//! A certificate that a recipient names decides: its key alone is tried. Where no certificate is
//! at hand, the keys are tried one after another, first the one that the record's `certAlias`
//! points to, then the one that opened the last envelope of the same recipient.
//!
//! **Invariant**: no message tells a damaged content key from one that another key has wrapped,
//! and no private key is ever shown.

mod certificate;
mod pair;
mod pem;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use openssl::pkey::{PKey, Private};
use openssl::sha::sha1;

pub use certificate::{Certificate, asked, expiry_warning};
pub use pair::{Pair, PairError, PairOptions, new_pair};
pub use pem::KeyError;

use crate::envelope::{ContentKey, Head, KeyPadding, Recipient, RecipientId, RecipientKind};
use crate::secret::Secret;
use pem::Block;

/// How many recipients are remembered with the key that opened for them.
const REMEMBERED: usize = 64;

/// Keys and certificates.
#[derive(Default)]
pub struct Keyring {
    keys: Vec<Key>,
    certificates: Vec<Certificate>,
    /// Which key is known to have opened an envelope for a recipient that no certificate names.
    opened: Mutex<Vec<(RecipientId, usize)>>,
}

/// A private key, and the file that it stands in.
pub struct Key {
    /// The file.
    pub file: String,
    /// The length of its modulus.
    pub bits: u32,
    private: PKey<Private>,
    public: Vec<u8>,
    id: RecipientId,
}

/// What a file had in it, those counted that were there before as well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Added {
    /// RSA private keys.
    pub keys: usize,
    /// Certificates.
    pub certificates: usize,
}

/// A key that gives a content key for an envelope.
pub struct Candidate<'a> {
    /// The key to the content.
    pub content_key: ContentKey,
    /// For which of the envelope's recipients.
    pub recipient: &'a RecipientId,
    /// The private key.
    pub key: &'a Key,
}

/// Why no key opens an envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    /// None of the keys is for one of its recipients.
    #[error("no key for {}", listed(asked))]
    Missing {
        /// The recipients that it was made for.
        asked: Vec<RecipientId>,
    },
    /// The key of the recipient's certificate is there.
    #[error(
        "the key for {} does not open it: damaged, or not made for this key",
        certificate::asked(asked)
    )]
    DoesNotOpen {
        /// The recipient.
        asked: RecipientId,
    },
    /// It was made in a way that no RSA key helps with.
    #[error("{0}")]
    Unsupported(String),
}

/// One operation with a private key that may open an envelope.
struct Attempt<'a> {
    recipient: &'a Recipient,
    key: usize,
    /// Whether a certificate says so.
    is_named: bool,
}

impl Keyring {
    /// Adds what a PEM file holds: keys and certificates in any number and order. A file that
    /// holds neither is no error.
    pub fn add(
        &mut self,
        file: &str,
        pem: &[u8],
        passphrase: Option<&Secret>,
    ) -> Result<Added, KeyError> {
        let mut added = Added::default();
        for block in pem::read(file, pem, passphrase)? {
            match block {
                Block::Key(private) => {
                    let key = Key::read(file, private).map_err(broken(file, "private key"))?;
                    added.keys += 1;
                    if self.keys.iter().all(|other| other.public != key.public) {
                        self.keys.push(key);
                    }
                }
                Block::Certificate(x509) => {
                    let certificate =
                        Certificate::read(file, x509).map_err(broken(file, "certificate"))?;
                    added.certificates += 1;
                    let is_same =
                        |other: &Certificate| other.fingerprint == certificate.fingerprint;
                    if !self.certificates.iter().any(is_same) {
                        self.certificates.push(certificate);
                    }
                }
            }
        }
        Ok(added)
    }

    /// Gives all certificates, in the order in which they were added.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// Gives all keys, in the order in which they were added.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Gives the private key of a certificate.
    pub fn key_of(&self, certificate: &Certificate) -> Option<&Key> {
        self.keys.iter().find(|key| key.public == certificate.public_key)
    }

    /// Gives the keys that no certificate here belongs to.
    pub fn keys_without_certificate(&self) -> impl Iterator<Item = &Key> {
        let has_none = |key: &&Key| self.certificates.iter().all(|it| it.public_key != key.public);
        self.keys.iter().filter(has_none)
    }

    /// Gives the certificate that names a recipient.
    pub fn certificate_of(&self, id: &RecipientId) -> Option<&Certificate> {
        self.certificates.iter().find(|certificate| certificate.is_of(id))
    }

    /// Gives the content keys that an envelope may have, the likeliest first; each costs an
    /// operation with a private key, when it is asked for, and keys that cannot be it cost one too.
    ///
    /// More than one comes out of it where several recipients have their keys here, or where, by
    /// chance, a wrong key gives something that looks like a content key. Then the padding at the
    /// end of the content tells which it is: who opens the envelope goes on to the next.
    pub fn candidates<'a>(
        &'a self,
        head: &'a Head,
        cert_alias: &[String],
    ) -> impl Iterator<Item = Candidate<'a>> {
        self.attempts(head, cert_alias).into_iter().filter_map(|attempt| {
            let Attempt { recipient, key, is_named } = attempt;
            let content_key = recipient.unwrap_key(&self.keys[key].private, &head.cipher)?;
            if !is_named && self.last(&recipient.id) != Some(key) {
                self.remember(&recipient.id, key);
            }
            Some(Candidate { content_key, recipient: &recipient.id, key: &self.keys[key] })
        })
    }

    /// Says why an envelope had no [candidate](Self::candidates), or none that was right.
    pub fn reason(&self, head: &Head) -> NoKey {
        if let Some(why) = unsupported(head) {
            return NoKey::Unsupported(why);
        }
        let named = self.attempts(head, &[]).into_iter().find(|attempt| attempt.is_named);
        match named {
            Some(attempt) => NoKey::DoesNotOpen { asked: attempt.recipient.id.clone() },
            None => {
                NoKey::Missing { asked: rsa_recipients(head).map(|it| it.id.clone()).collect() }
            }
        }
    }

    /// Lists what can be tried, the likeliest first.
    fn attempts<'a>(&self, head: &'a Head, cert_alias: &[String]) -> Vec<Attempt<'a>> {
        let mut named = Vec::new();
        let mut tried = Vec::new();
        // How long its key is to be is not known, so that anything would look like one.
        if !head.cipher.can_open() {
            return named;
        }
        for recipient in rsa_recipients(head) {
            match self.named(&recipient.id) {
                Some(keys) => {
                    let attempt = |key| Attempt { recipient, key, is_named: true };
                    named.extend(keys.into_iter().map(attempt));
                }
                None => {
                    let last = self.last(&recipient.id);
                    tried.extend((0..self.keys.len()).map(|key| {
                        let is_aliased = cert_alias.iter().any(|alias| self.is_aliased(key, alias));
                        let order = (!is_aliased, last != Some(key));
                        (order, Attempt { recipient, key, is_named: false })
                    }));
                }
            }
        }
        tried.sort_by_key(|(order, _)| *order);
        named.extend(tried.into_iter().map(|(_, attempt)| attempt));
        named
    }

    /// Gives the keys of the certificates that name a recipient, which may be none; nothing if no
    /// certificate does.
    ///
    /// Several may, for who makes them by hand may well give each the serial number 1.
    fn named(&self, id: &RecipientId) -> Option<Vec<usize>> {
        let of_certificate = self.certificates.iter().filter(|certificate| certificate.is_of(id));
        let publics: Vec<_> = of_certificate.map(|certificate| &certificate.public_key).collect();
        let is_of = |key: &Key| publics.contains(&&key.public) || key.id == *id;
        let keys: Vec<_> = (0..self.keys.len()).filter(|&at| is_of(&self.keys[at])).collect();
        (!publics.is_empty() || !keys.is_empty()).then_some(keys)
    }

    /// Tells whether an alias names the key's certificate, or its file.
    fn is_aliased(&self, key: usize, alias: &str) -> bool {
        let key = &self.keys[key];
        let of_key = self.certificates.iter().filter(|it| it.public_key == key.public);
        Path::new(&key.file).file_stem().is_some_and(|stem| stem == alias)
            || of_key.into_iter().any(|certificate| certificate.is_named_by(alias))
    }

    fn last(&self, id: &RecipientId) -> Option<usize> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.iter().find(|(other, _)| other == id).map(|(_, key)| *key)
    }

    fn remember(&self, id: &RecipientId, key: usize) {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.retain(|(other, _)| other != id);
        if opened.len() == REMEMBERED {
            opened.remove(0);
        }
        opened.push((id.clone(), key));
    }
}

impl Key {
    fn read(file: &str, private: PKey<Private>) -> Result<Self, openssl::error::ErrorStack> {
        let public = private.public_key_to_der()?;
        // How software makes the identifier of a key, if nobody tells it otherwise.
        let id = sha1(&private.rsa()?.public_key_to_der_pkcs1()?).to_vec();
        let id = RecipientId::KeyIdentifier(id);
        Ok(Self { file: file.to_owned(), bits: private.bits(), private, public, id })
    }
}

/// Gives the recipients of an envelope that an RSA key opens it for.
pub fn rsa_recipients(head: &Head) -> impl Iterator<Item = &Recipient> {
    head.recipients.iter().filter(|it| matches!(it.kind, RecipientKind::Rsa { .. }))
}

/// Says what no RSA key can do anything about.
fn unsupported(head: &Head) -> Option<String> {
    if !head.cipher.can_open() {
        return Some(format!("its cipher {} is none that is opened here", head.cipher));
    }
    let unknown = |recipient: &Recipient| match &recipient.kind {
        RecipientKind::Rsa { padding: KeyPadding::Unknown(padding), .. } => Some(padding.clone()),
        RecipientKind::Rsa { .. } => None,
        RecipientKind::Other(kind) => Some((*kind).to_owned()),
    };
    let kinds: Option<Vec<_>> = head.recipients.iter().map(unknown).collect();
    let mut kinds = kinds?;
    kinds.dedup();
    if kinds.is_empty() {
        kinds.push("it has none".to_owned());
    }
    Some(format!("none of its recipients has an RSA key: {}", kinds.join(", ")))
}

fn broken(file: &str, what: &'static str) -> impl FnOnce(openssl::error::ErrorStack) -> KeyError {
    move |source| KeyError::Broken { file: file.to_owned(), what, source }
}

fn listed(asked: &[RecipientId]) -> String {
    let asked: Vec<_> = asked.iter().map(certificate::asked).collect();
    asked.join(" or ")
}
