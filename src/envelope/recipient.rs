//! The recipients of an envelope: which key opens it, and how its content key is wrapped.
//!
//! Given a `RecipientInfo` it gives a [`Recipient`], and given a private key its [`ContentKey`].
//!
//! **Invariant:** a key that does not fit and a wrapped key that is damaged look alike.

use openssl::x509::X509Name;

use super::ber::{BerError, Element, OCTET_STRING, Reader, SEQUENCE};
use super::oaep::Oaep;

/// Tag of a key identifier in the place of issuer and serial number.
const KEY_IDENTIFIER: u8 = 0x80;

const RSA_ENCRYPTION: &str = "1.2.840.113549.1.1.1";
const RSAES_OAEP: &str = "1.2.840.113549.1.1.7";

/// Somebody who may open an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Who it is.
    pub id: RecipientId,
    /// How the content key is wrapped.
    pub kind: RecipientKind,
}

/// Names the key that a recipient needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecipientId {
    /// By the certificate.
    IssuerAndSerial {
        /// The issuer's name, DER as it stands.
        issuer: Vec<u8>,
        /// The octets of the INTEGER.
        serial: Vec<u8>,
    },
    /// By the subject key identifier of the certificate.
    KeyIdentifier(Vec<u8>),
    /// In a way that is not read here.
    Unknown,
}

/// How a recipient comes to the content key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecipientKind {
    /// Encrypted for an RSA key.
    Rsa {
        /// How the content key was made as long as the modulus.
        padding: KeyPadding,
        /// What the private key opens.
        encrypted_key: Vec<u8>,
    },
    /// Another way, which has this name.
    Other(&'static str),
}

/// How a content key is made as long as an RSA modulus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPadding {
    /// RSAES-PKCS1-v1_5.
    Pkcs1,
    /// RSAES-OAEP.
    Oaep(Oaep),
    /// With this object identifier, or OAEP with parameters that are not known.
    Unknown(String),
}

impl Recipient {
    /// Reads a `RecipientInfo`.
    pub(super) fn read(element: Element<'_>) -> Result<Recipient, BerError> {
        let other = match element.tag {
            SEQUENCE => return key_transport(element.value),
            0xA1 => "key agreement",
            0xA2 => "key encryption key",
            0xA3 => "password",
            0xA4 => "other",
            _ => return Err(BerError::Wrong("a recipient of no known kind")),
        };
        Ok(Recipient { id: RecipientId::Unknown, kind: RecipientKind::Other(other) })
    }
}

fn key_transport(recipient: &[u8]) -> Result<Recipient, BerError> {
    let mut reader = Reader::whole(recipient);
    if reader.integer("a recipient's version")?.len() > 4 {
        return Err(BerError::Wrong("a recipient's version"));
    }
    let id = match reader.peek()? {
        Some(SEQUENCE) => issuer_and_serial(reader.element()?.value)?,
        _ => RecipientId::KeyIdentifier(reader.string(KEY_IDENTIFIER, "a recipient's name")?),
    };
    let (oid, parameters) = reader.algorithm("a recipient's key encryption")?;
    let encrypted_key = reader.string(OCTET_STRING, "a recipient's encrypted key")?;
    if !reader.is_at_end() {
        return Err(BerError::Wrong("a recipient does not end where it should"));
    }
    Ok(Recipient {
        id,
        kind: RecipientKind::Rsa { padding: padding(oid, parameters), encrypted_key },
    })
}

fn issuer_and_serial(both: &[u8]) -> Result<RecipientId, BerError> {
    let mut reader = Reader::whole(both);
    let issuer = reader.element()?;
    // Not looked into but by OpenSSL, which refuses the whole envelope if it cannot read the name.
    if issuer.tag != SEQUENCE || X509Name::from_der(issuer.whole).is_err() {
        return Err(BerError::Wrong("a recipient's issuer"));
    }
    let serial = reader.integer("a recipient's serial number")?.to_vec();
    if !reader.is_at_end() {
        return Err(BerError::Wrong("a recipient's name does not end where it should"));
    }
    Ok(RecipientId::IssuerAndSerial { issuer: issuer.whole.to_vec(), serial })
}

fn padding(oid: String, parameters: Option<Element<'_>>) -> KeyPadding {
    let padding = match oid.as_str() {
        RSA_ENCRYPTION if parameters.is_none_or(|element| element.is_null()) => {
            Some(KeyPadding::Pkcs1)
        }
        RSAES_OAEP => parameters.and_then(Oaep::read).map(KeyPadding::Oaep),
        _ => None,
    };
    padding.unwrap_or(KeyPadding::Unknown(oid))
}
