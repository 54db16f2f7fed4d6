//! The recipients of an envelope: which key opens it, and how its content key is wrapped.
//!
//! Given a `RecipientInfo` it gives a [`Recipient`].
//!
//! **Invariant:** what an envelope says of itself is shown without what could steer a terminal.

use std::fmt;

use openssl::nid::Nid;
use openssl::x509::X509Name;

use super::ber::{BerError, Element, OCTET_STRING, Reader, SEQUENCE};
use super::oaep::Oaep;

/// Tag of a key identifier in the place of issuer and serial number.
const KEY_IDENTIFIER: u8 = 0x80;

/// How many octets of a number are shown, and how many characters of a name.
const MOST_SHOWN: usize = 200;

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

/// Names the key that a recipient needs; it displays as `serial 5 of CN=Example`.
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

impl fmt::Display for RecipientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecipientId::IssuerAndSerial { issuer, serial } => {
                write!(f, "serial {} of {}", number(serial), name(issuer))
            }
            RecipientId::KeyIdentifier(identifier) => {
                write!(f, "key identifier {}", hexadecimal(identifier))
            }
            RecipientId::Unknown => f.write_str("a recipient without certificate"),
        }
    }
}

impl RecipientId {
    /// Gives the serial number of the certificate, in hexadecimal digits, where it is named so.
    pub fn serial(&self) -> Option<String> {
        match self {
            RecipientId::IssuerAndSerial { serial, .. } => Some(hexadecimal(serial)),
            RecipientId::KeyIdentifier(_) | RecipientId::Unknown => None,
        }
    }
}

/// Writes a serial number: a small one as people do, a long one as certificates are shown.
fn number(octets: &[u8]) -> String {
    match octets {
        [0x80..=0xFF, ..] | [_, _, _, _, _, _, _, _, _, ..] => format!("0x{}", hexadecimal(octets)),
        _ => octets.iter().fold(0_u64, |sum, octet| sum << 8 | u64::from(*octet)).to_string(),
    }
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().take(MOST_SHOWN).map(|octet| format!("{octet:02X}")).collect()
}

/// Writes a name, `CN=Example, O=Example`.
///
/// The octets of its values are read here and not by OpenSSL, which hands over what hostile ones
/// give as text unchecked.
fn name(der: &[u8]) -> String {
    let Ok(name) = X509Name::from_der(der) else { return "an unreadable name".to_owned() };
    let entries = name.entries().map(|entry| {
        let object = entry.object();
        let short = object.nid().short_name().ok().filter(|_| object.nid() != Nid::UNDEF);
        let key = short.map_or_else(|| object.to_string(), str::to_owned);
        format!("{key}={}", String::from_utf8_lossy(entry.data().as_slice()))
    });
    let text = entries.collect::<Vec<_>>().join(", ");
    text.chars().filter(|c| !c.is_control()).take(MOST_SHOWN).collect()
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
    if issuer.tag != SEQUENCE {
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
