//! A certificate as people name it: subject, issuer, serial number, validity.

use chrono::{DateTime, TimeDelta, Utc};
use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::bn::{BigNum, BigNumRef};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::x509::{X509, X509Name, X509NameEntryRef, X509NameRef, X509Ref};

use crate::envelope::RecipientId;

/// How long before its end a certificate is warned of.
const WARNED_BEFORE: TimeDelta = TimeDelta::days(60);

/// The longest serial number that may be issued, with some more, in bytes.
const LONGEST_SERIAL: usize = 32;

/// A certificate, and the file that it stands in.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The file.
    pub file: String,
    /// Whom it was made for, in the order of the certificate: `CN=Recordings,C=US`.
    pub subject: String,
    /// Who made it.
    pub issuer: String,
    /// The serial number, decimal, as the platform shows it.
    pub serial: String,
    /// The serial number, hexadecimal, as `openssl x509 -serial` shows it.
    pub serial_hex: String,
    /// From when on it is valid.
    pub not_before: DateTime<Utc>,
    /// Until when it is.
    pub not_after: DateTime<Utc>,
    /// The SHA-256 of the certificate, hexadecimal.
    pub fingerprint: String,
    x509: X509,
    pub(super) public_key: Vec<u8>,
    ids: [Option<RecipientId>; 2],
}

impl Certificate {
    pub(super) fn read(file: &str, x509: X509) -> Result<Self, ErrorStack> {
        let serial = x509.serial_number().to_bn()?;
        let by_serial = RecipientId::IssuerAndSerial {
            issuer: x509.issuer_name().to_der()?,
            serial: octets(&serial)?,
        };
        let key_id = x509.subject_key_id();
        let by_key = key_id.map(|id| RecipientId::KeyIdentifier(id.as_slice().to_vec()));
        Ok(Self {
            file: file.to_owned(),
            subject: name(x509.subject_name()),
            issuer: name(x509.issuer_name()),
            serial: serial.to_dec_str()?.to_string(),
            serial_hex: serial.to_hex_str()?.to_string(),
            not_before: time(x509.not_before())?,
            not_after: time(x509.not_after())?,
            fingerprint: hex(&x509.digest(MessageDigest::sha256())?),
            public_key: x509.public_key()?.public_key_to_der()?,
            ids: [Some(by_serial), by_key],
            x509,
        })
    }

    /// Gives the certificate itself.
    pub fn x509(&self) -> &X509Ref {
        &self.x509
    }

    /// Tells whether a recipient of an envelope is named by this certificate.
    pub fn is_of(&self, id: &RecipientId) -> bool {
        self.ids.iter().flatten().any(|own| own == id) || self.is_spelled_otherwise(id)
    }

    /// Names may come in other string types than in the certificate; openssl knows which are
    /// equal nevertheless.
    fn is_spelled_otherwise(&self, id: &RecipientId) -> bool {
        let RecipientId::IssuerAndSerial { issuer, serial } = id else { return false };
        let Some(RecipientId::IssuerAndSerial { serial: own, .. }) = &self.ids[0] else {
            return false;
        };
        own == serial
            && X509Name::from_der(issuer)
                .and_then(|issuer| issuer.try_cmp(self.x509.issuer_name()))
                .is_ok_and(|order| order.is_eq())
    }

    /// Tells whether an alias such as `prefix:1:CN=Issuer:5` names issuer and serial number.
    pub(super) fn is_named_by(&self, alias: &str) -> bool {
        let Some((rest, serial)) = alias.rsplit_once(':') else { return false };
        let Some(issuer) = rest.splitn(3, ':').nth(2) else { return false };
        self.serial == serial.trim() && in_any_order(issuer) == in_any_order(&self.issuer)
    }
}

/// Names the certificate that a recipient asks for as the platform shows it: `serial 5 of CN=…`.
pub fn asked(id: &RecipientId) -> String {
    let RecipientId::IssuerAndSerial { issuer, serial } = id else { return id.to_string() };
    match (X509Name::from_der(issuer), decimal(serial)) {
        (Ok(issuer), Some(serial)) => format!("serial {serial} of {}", name(&issuer)),
        _ => id.to_string(),
    }
}

/// Says that a certificate has expired, or will within 60 days.
pub fn expiry_warning(certificate: &X509Ref, now: DateTime<Utc>) -> Option<String> {
    let not_after = time(certificate.not_after()).ok()?;
    if not_after - now > WARNED_BEFORE {
        return None;
    }
    let subject = name(certificate.subject_name());
    let serial = certificate.serial_number().to_bn().and_then(|serial| serial.to_dec_str());
    let serial = serial.map(|serial| serial.to_string()).unwrap_or_default();
    let days = (not_after - now).num_days();
    let when = not_after.format("%Y-%m-%d");
    Some(match not_after > now {
        true => format!(
            "the certificate of `{subject}`, serial {serial}, expires on {when}, {days} days from now"
        ),
        false => format!("the certificate of `{subject}`, serial {serial}, expired on {when}"),
    })
}

/// Gives a name as the platform shows it: in its own order, parted by commas.
///
/// The octets of its values are read here: what openssl makes of hostile ones need not be text.
fn name(name: &X509NameRef) -> String {
    let part = |entry: &X509NameEntryRef| {
        let object = entry.object();
        let short = object.nid().short_name().ok().filter(|_| object.nid() != Nid::UNDEF);
        let kind = short.map_or_else(|| object.to_string(), str::to_owned);
        format!("{kind}={}", String::from_utf8_lossy(entry.data().as_slice()))
    };
    let text = name.entries().map(part).collect::<Vec<_>>().join(",");
    text.chars().filter(|c| !c.is_control()).collect()
}

/// Systems write the parts of a name forwards or backwards, and with blanks or without.
fn in_any_order(name: &str) -> Vec<String> {
    let mut parts: Vec<_> = name.split(',').map(|part| part.trim().to_lowercase()).collect();
    parts.sort_unstable();
    parts
}

fn time(time: &Asn1TimeRef) -> Result<DateTime<Utc>, ErrorStack> {
    let since = Asn1Time::from_unix(0)?.diff(time)?;
    Ok(DateTime::UNIX_EPOCH
        + TimeDelta::days(i64::from(since.days))
        + TimeDelta::seconds(i64::from(since.secs)))
}

/// Gives the content octets of an INTEGER: the shortest two's complement.
fn octets(number: &BigNumRef) -> Result<Vec<u8>, ErrorStack> {
    let mut octets = number.to_vec();
    if number.is_negative() {
        // The number and one, without sign, all bits turned round.
        let mut less = BigNum::new()?;
        let one = BigNum::from_u32(1)?;
        less.checked_add(number, &one)?;
        octets = less.to_vec_padded(i32::try_from(octets.len()).unwrap_or(i32::MAX))?;
        octets.iter_mut().for_each(|octet| *octet = !*octet);
    }
    let sign_is_wrong =
        octets.first().is_none_or(|first| (first & 0x80 != 0) != number.is_negative());
    if sign_is_wrong {
        octets.insert(0, if number.is_negative() { 0xFF } else { 0 });
    }
    Ok(octets)
}

/// Reads the content octets of an INTEGER, if it is as short as serial numbers are.
fn decimal(octets: &[u8]) -> Option<String> {
    let is_negative = octets.first()? & 0x80 != 0;
    if octets.len() > LONGEST_SERIAL || is_negative {
        return None;
    }
    Some(BigNum::from_slice(octets).ok()?.to_dec_str().ok()?.to_string())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::tests::{Made, at};

    #[test]
    fn serial_numbers_are_as_der_has_them() {
        for (number, expected) in [
            ("0", &[0][..]),
            ("5", &[5]),
            ("127", &[0x7F]),
            ("128", &[0, 0x80]),
            ("256", &[1, 0]),
            ("12092115751924922994", &[0, 0xA7, 0xCF, 0xD3, 0x35, 0xA8, 0x63, 0xFA, 0x72]),
            ("-1", &[0xFF]),
            ("-128", &[0x80]),
            ("-129", &[0xFF, 0x7F]),
            ("-256", &[0xFF, 0]),
        ] {
            let number = BigNum::from_dec_str(number).unwrap();
            assert_eq!(octets(&number).unwrap(), expected, "{number}");
        }
    }

    #[test]
    fn a_name_in_other_letters_is_the_same_name() {
        let certificate = Made::new("a", "/CN=Basic Authority", 5).certificate();
        for (issuer, serial, is_its) in [
            ("Basic Authority", 5, true),
            ("basic  authority", 5, true),
            ("Basic Authority", 6, false),
            ("Basic Authorities", 5, false),
        ] {
            let mut name = X509Name::builder().unwrap();
            let kind = openssl::asn1::Asn1Type::PRINTABLESTRING;
            name.append_entry_by_text_with_type("CN", issuer, kind).unwrap();
            let issuer = name.build().to_der().unwrap();
            assert_ne!(issuer, certificate.x509.issuer_name().to_der().unwrap());
            let id = RecipientId::IssuerAndSerial { issuer, serial: vec![serial] };
            assert_eq!(certificate.is_of(&id), is_its, "{id} {serial}");
        }
    }

    #[test]
    fn what_is_asked_for_is_named_as_the_platform_shows_it() {
        let issuer = Made::new("a", "/CN=Basic Authority/C=US", 5).x509.issuer_name().to_der();
        let issuer = issuer.unwrap();
        for (issuer, serial, expected) in [
            (&issuer[..], &[5][..], "serial 5 of CN=Basic Authority,C=US"),
            (&issuer, &[0, 0xA7, 0xCF, 0xD3, 0x35, 0xA8, 0x63, 0xFA, 0x72], {
                "serial 12092115751924922994 of CN=Basic Authority,C=US"
            }),
            // What no authority issues is left as it stands.
            (&issuer, &[0xFF], "serial 0xFF of CN=Basic Authority, C=US"),
            (b"no name", &[5], "serial 5 of an unreadable name"),
        ] {
            let id =
                RecipientId::IssuerAndSerial { issuer: issuer.to_vec(), serial: serial.to_vec() };
            assert_eq!(asked(&id), expected);
        }
        assert_eq!(asked(&RecipientId::KeyIdentifier(vec![0xAB])), "key identifier AB");
    }

    #[test]
    fn an_alias_names_issuer_and_serial_number_in_whatever_order() {
        let certificate = Made::new("a", "/CN=Basic: Authority/C=US/O=Example", 5).certificate();
        for (alias, is_named) in [
            ("rcs_Environment:1:CN=Basic: Authority,C=US,O=Example:5", true),
            ("x:y:o=example, c=us, cn=basic: authority: 5", true),
            ("rcs_Environment:1:CN=Basic: Authority,C=US,O=Example:6", false),
            ("rcs_Environment:1:CN=Basic: Authority,C=US:5", false),
            ("CN=Basic: Authority,C=US,O=Example:5", false),
            ("a", false),
            ("", false),
        ] {
            assert_eq!(certificate.is_named_by(alias), is_named, "{alias}");
        }
    }

    #[test]
    fn a_certificate_is_warned_of_from_sixty_days_before_its_end() {
        // Valid from 2026-01-01 on, for 365 days.
        let made = Made::new("a", "/CN=Recordings", 5);
        let certificate = made.certificate();
        assert_eq!(certificate.not_before, at("2026-01-01"));
        assert_eq!(certificate.not_after, at("2027-01-01"));
        let of = "the certificate of `CN=Recordings`, serial 5,";
        for (now, warning) in [
            ("2026-01-01", None),
            ("2026-11-01", None),
            ("2026-11-02", Some("expires on 2027-01-01, 60 days from now")),
            ("2026-12-31", Some("expires on 2027-01-01, 1 days from now")),
            ("2027-01-01", Some("expired on 2027-01-01")),
            ("2031-01-01", Some("expired on 2027-01-01")),
        ] {
            let warning = warning.map(|words| format!("{of} {words}"));
            assert_eq!(expiry_warning(&made.x509, at(now)), warning, "{now}");
        }
    }

    #[test]
    fn a_certificate_shows_what_the_platform_shows() {
        let made = Made::new("a", "/CN=Genesys Recording/C=US/O=Gen\u{1b}esys", 171);
        let certificate = made.certificate();
        assert_eq!(certificate.subject, "CN=Genesys Recording,C=US,O=Genesys");
        assert_eq!(certificate.issuer, certificate.subject);
        let Certificate { serial, serial_hex, fingerprint, .. } = certificate;
        assert_eq!((serial.as_str(), serial_hex.as_str(), fingerprint.len()), ("171", "AB", 64));
    }
}
