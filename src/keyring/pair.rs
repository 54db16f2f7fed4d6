//! New keys: a private key and the certificate that recordings are to be encrypted for.

use chrono::{DateTime, TimeDelta, Utc};
use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::symm::Cipher;
use openssl::x509::extension::{BasicConstraints, KeyUsage, SubjectKeyIdentifier};
use openssl::x509::{X509, X509Name};

use crate::secret::Secret;

/// The shortest modulus that recordings may be encrypted for, by the platform's own rule.
const FEWEST_BITS: u32 = 2048;
/// A longer one takes minutes to find and gains nothing.
const MOST_BITS: u32 = 16_384;
/// Until the year 9999 is as far as a certificate can say.
const MOST_DAYS: u32 = 36_500;

/// What a new key is to be like.
#[derive(Debug, Clone)]
pub struct PairOptions<'a> {
    /// The length of its modulus.
    pub bits: u32,
    /// How long its certificate is valid.
    pub days: u32,
    /// Whom the certificate is made for, as openssl has it: `/CN=…/C=…`.
    pub subject: &'a str,
    /// What the private key is encrypted with.
    pub passphrase: Option<&'a Secret>,
}

/// A private key with its certificate, as PEM.
pub struct Pair {
    /// The private key: PKCS#1, or encrypted PKCS#8 if there is a passphrase.
    pub key: Vec<u8>,
    /// The same as PKCS#8, which tenants on Azure upload; none if there is a passphrase.
    pub pkcs8: Option<Vec<u8>>,
    /// The certificate.
    pub certificate: Vec<u8>,
}

/// Why there is no new key.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// Too few to be safe, or too many to be of use.
    #[error("a key of {0} bits: it must have from {FEWEST_BITS} to {MOST_BITS}")]
    Bits(u32),
    /// No time, or longer than a certificate can say.
    #[error("a certificate for {0} days: it must be for 1 to {MOST_DAYS}")]
    Days(u32),
    /// No name of the documented form.
    #[error("`{0}` is no subject such as `/CN=Recordings/C=US/O=Example`")]
    Subject(String),
    /// To openssl a passphrase ends at its first zero byte.
    #[error("the passphrase is empty, or has a zero byte in it")]
    Passphrase,
    /// openssl gave up.
    #[error("the key cannot be made")]
    Openssl(#[from] ErrorStack),
}

/// Makes a private key and its self-signed certificate, valid from now on.
pub fn new_pair(options: &PairOptions<'_>, now: DateTime<Utc>) -> Result<Pair, PairError> {
    let PairOptions { bits, days, subject, passphrase } = *options;
    if !(FEWEST_BITS..=MOST_BITS).contains(&bits) {
        return Err(PairError::Bits(bits));
    }
    if !(1..=MOST_DAYS).contains(&days) {
        return Err(PairError::Days(days));
    }
    if passphrase.is_some_and(|it| it.expose().is_empty() || it.expose().contains('\0')) {
        return Err(PairError::Passphrase);
    }
    let name = name(subject).ok_or_else(|| PairError::Subject(subject.to_owned()))?;
    let key = PKey::from_rsa(Rsa::generate(bits)?)?;
    let certificate = certificate(&key, &name, now, days)?.to_pem()?;
    let (key, pkcs8) = match passphrase {
        Some(passphrase) => {
            let passphrase = passphrase.expose().as_bytes();
            (key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), passphrase)?, None)
        }
        None => (key.rsa()?.private_key_to_pem()?, Some(key.private_key_to_pem_pkcs8()?)),
    };
    Ok(Pair { key, pkcs8, certificate })
}

fn certificate(
    key: &PKey<Private>,
    name: &X509Name,
    now: DateTime<Utc>,
    days: u32,
) -> Result<X509, ErrorStack> {
    let at = |time: DateTime<Utc>| Asn1Time::from_unix(time.timestamp());
    // Never 0, and never the same again: a recording names its certificate by issuer and serial.
    let mut serial = BigNum::new()?;
    serial.rand(64, MsbOption::ONE, false)?;
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    builder.set_serial_number(&*Asn1Integer::from_bn(&serial)?)?;
    builder.set_subject_name(name)?;
    builder.set_issuer_name(name)?;
    builder.set_not_before(&*at(now)?)?;
    builder.set_not_after(&*at(now + TimeDelta::days(i64::from(days)))?)?;
    builder.set_pubkey(key)?;
    builder.append_extension(BasicConstraints::new().critical().build()?)?;
    let usage = KeyUsage::new().critical().key_encipherment().data_encipherment().build()?;
    builder.append_extension(usage)?;
    let identifier = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None))?;
    builder.append_extension(identifier)?;
    builder.sign(key, MessageDigest::sha256())?;
    Ok(builder.build())
}

/// Reads `/CN=…/C=…`, where `\` takes its meaning from a `/` that belongs to a value.
fn name(subject: &str) -> Option<X509Name> {
    let mut parts: Vec<String> = Vec::new();
    let mut letters = subject.strip_prefix('/')?.chars();
    let mut part = String::new();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => part.push(letters.next()?),
            '/' => parts.push(std::mem::take(&mut part)),
            letter => part.push(letter),
        }
    }
    parts.push(part);
    let mut name = X509Name::builder().ok()?;
    for part in parts {
        let (kind, value) = part.split_once('=')?;
        if kind.contains('\0') || value.is_empty() {
            return None;
        }
        name.append_entry_by_text(kind.trim(), value).ok()?;
    }
    Some(name.build())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::Keyring;
    use crate::keyring::tests::at;

    fn options(subject: &str) -> PairOptions<'_> {
        PairOptions { bits: 2048, days: 30, subject, passphrase: None }
    }

    #[test]
    fn a_new_key_belongs_to_its_certificate() {
        let secret = Secret::new("swordfish");
        for passphrase in [None, Some(&secret)] {
            let options = PairOptions { passphrase, ..options("/CN=a/C=US") };
            let pair = new_pair(&options, at("2026-01-01")).unwrap();
            let mut keyring = Keyring::default();
            keyring.add("key", &pair.key, passphrase).unwrap();
            keyring.add("certificate", &pair.certificate, None).unwrap();
            let certificate = &keyring.certificates()[0];
            assert_eq!(keyring.key_of(certificate).unwrap().file, "key");
            assert_eq!(certificate.not_after, at("2026-01-31"));
            assert_eq!(certificate.subject, "CN=a,C=US");
            let text = String::from_utf8(pair.key).unwrap();
            let encrypted = text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----");
            assert_eq!(
                (encrypted, pair.pkcs8.is_none()),
                (passphrase.is_some(), passphrase.is_some())
            );
        }
    }

    #[test]
    fn what_cannot_be_made_is_refused() {
        let (empty, zero) = (Secret::new(""), Secret::new("a\0b"));
        let good = options("/CN=a");
        for (options, error) in [
            (PairOptions { bits: 2047, ..good.clone() }, "a key of 2047 bits"),
            (PairOptions { bits: 20_000, ..good.clone() }, "a key of 20000 bits"),
            (PairOptions { days: 0, ..good.clone() }, "a certificate for 0 days"),
            (PairOptions { days: 40_000, ..good.clone() }, "a certificate for 40000 days"),
            (PairOptions { passphrase: Some(&empty), ..good.clone() }, "the passphrase"),
            (PairOptions { passphrase: Some(&zero), ..good.clone() }, "the passphrase"),
            (PairOptions { subject: "CN=a", ..good }, "`CN=a` is no subject"),
        ] {
            let refused = new_pair(&options, at("2026-01-01")).err().unwrap().to_string();
            assert!(refused.starts_with(error), "{refused}");
        }
    }

    #[test]
    fn a_subject_is_read_as_openssl_does() {
        for (subject, read) in [
            ("/CN=a b/C=US/O=Gr\u{fc}n", Some("CN=a b,C=US,O=Gr\u{fc}n")),
            (r"/CN=a\/b=c\\d", Some(r"CN=a/b=c\d")),
            ("/2.5.4.3=a", Some("CN=a")),
            ("", None),
            ("/", None),
            ("/CN", None),
            ("/CN=", None),
            ("/CN=a/", None),
            ("/CN=a\\", None),
            ("/C=USA", None),
            ("/nonsense=a", None),
        ] {
            let name = name(subject).map(|name| {
                let part = |entry: &openssl::x509::X509NameEntryRef| {
                    let kind = entry.object().nid().short_name().unwrap();
                    format!("{kind}={}", String::from_utf8_lossy(entry.data().as_slice()))
                };
                name.entries().map(part).collect::<Vec<_>>().join(",")
            });
            assert_eq!(name.as_deref(), read, "{subject}");
        }
    }
}
