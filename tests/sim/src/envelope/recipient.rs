//! Whom media are sealed for: key pairs and certificates of a tenant that changed them twice.
//!
//! The three differ in what an envelope names them by: the first two have the same serial number from two issuers, the
//! third is an older one of the first issuer and has expired.
//! **Invariant**: the same in every process; the keys guard nothing.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::{BigNum, BigNumContext};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::{Padding, Rsa};
use openssl::x509::extension::SubjectKeyIdentifier;
use openssl::x509::{X509, X509Name};

use super::der::{VERSION_0, tlv};

/// The length of what RSA encrypts at once.
const MODULUS_BYTES: usize = 256;
const RSA_ENCRYPTION: &[u8] =
    &[0x30, 13, 0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 1, 5, 0];

struct Identity {
    subject: &'static str,
    issuer: &'static str,
    serial: u64,
    /// From when and until when the certificate is valid, in epoch seconds.
    valid: [i64; 2],
    /// Two primes found once.
    primes: [&'static str; 2],
}

const IDENTITIES: [Identity; 3] = [
    Identity {
        subject: "Fictional Recording Recipient",
        issuer: "Basic Fictional Authority",
        serial: 5,
        // 2020 to 2100.
        valid: [1_577_836_800, 4_102_444_800],
        primes: [
            "CD1137DF3FD1E5674AD0C47C09FA0CA0CD74386D31C295D820DA7C584EDAFBFF9D402AC622CD8FBC86B4D1A9C3559187BCC8BDAD636B9A5050E81223F6546C2A6E2FFA6FE52B76794E4489C5CCAE4BF822B90AD522FEADEA5216CB36D3ABA0D3C9D3862313FDFB6AD7C3834FA42599A24737D5A6547719D28ABB0581796BEB8D",
            "C60B30DD719C7DB32C91E30641A080EB1FFEABCC1EFE4B7FD4DE9971376969921A4A7B22349D293402BF6979AFA4CF4830CD091D6EF12982CC94CEF27476F7CBEB56ABA783872CB8E0130185BA8896EBCDAB7F5E13A3B62001D799D19A512D26762E12C338829D340516B0B339070EA9D7293FA74F216BC9811C10E3714E3279",
        ],
    },
    Identity {
        subject: "Fictional Recording Recipient of 2024",
        issuer: "Second Fictional Authority",
        serial: 5,
        // 2024 to 2100.
        valid: [1_704_067_200, 4_102_444_800],
        primes: [
            "CEC96BBD32D50757B1DBE04E707B884B0CF91B2A3A046E40CBB3D524669D236C64C326413A74BFF161F54C159B5685258FDB62F5EF24630052A88B5176E8E665019442846058B49B4D39581E928AAC8F585208F2A38AEFD8FCA60E264D95B4BA11C92139440E8B021D90FC6075A53D1353F9C908C16A9F4F31A0B0319BC80F0D",
            "D476267F2A0EA8B3F187397400A81ABFB1CEC8E1E21E65354585147C0AF6A97E532AE12D374A88A7B8B65D56E89CC1A5F49E2FC90E8D540DF0D6698538E4B225F009E90AF0C05D107AE1AB9DDD7700732806C94C087ED6E46F806664A6D859BF3B5824FD2E9AFDB642865D45057E8BDA0F7EB6A07650329D77DDFC572618CA13",
        ],
    },
    Identity {
        subject: "Fictional Recording Recipient of 2018",
        issuer: "Basic Fictional Authority",
        // Its first bit is set, which costs a byte more in DER.
        serial: 0x9D3C_5A21_0E44_B7F6,
        // 2018 to 2021.
        valid: [1_514_764_800, 1_609_459_200],
        primes: [
            "F75C0C055A08184F70C9172AE4165A8AA4BD06A3220DCB1F129280C5BC60B647A88B0DCFA90F84B5CEE9BFE5250789D1CACB2690D84E6F9D354FAA1820DEC4C3556A9EC1D7D1288DAB0256AF7CA4DED5C21C5A5CA79AAE9250D00681A8DF168F6DF609F16DE0C47CD0EE0FA8228A5F84F58422555BFAD4E5FBD5E095739ABBD1",
            "C2450C5898C7AF3CB45A2E577B696BB8B4D2C579200E0393A0C16C0510099D9B788E461C9D9E22C6BD8A005A5F48884BFFA21FECDDFD5EDBA2E0C493270B1CFD6D7A8BE223FC7F36C0A2E6069D2DE5666A113ACA254D8A4F15A7E82F5A3AF2E3D7CF96BDA0DDFB2B87D34FB077E7ADD121ADAAB1931E337020B2AF6EE66DFAF5",
        ],
    },
];

/// Somebody that envelopes are made for.
pub struct Recipient {
    /// The private key, RSA of 2048 bits.
    pub key: PKey<Private>,
    /// Its certificate, which envelopes name by issuer and serial number.
    pub certificate: X509,
    /// What a record calls the certificate, `rcs_Environment:1:CN=…:5`.
    pub alias: String,
    issuer_and_serial: Vec<u8>,
}

impl Recipient {
    /// Gives the RecipientInfo that hands the content key over, in DER.
    pub(super) fn info(&self, content_key: &[u8]) -> Vec<u8> {
        // PKCS#1 v1.5 pads with random bytes; fixed ones keep the envelopes equal in every process.
        let mut padded = vec![0xA5; MODULUS_BYTES];
        padded[..2].copy_from_slice(&[0, 2]);
        let key_at = MODULUS_BYTES - content_key.len();
        padded[key_at - 1] = 0;
        padded[key_at..].copy_from_slice(content_key);
        let mut encrypted_key = vec![0; MODULUS_BYTES];
        let rsa = self.key.rsa().expect("the key is made from RSA");
        rsa.public_encrypt(&padded, &mut encrypted_key, Padding::NONE)
            .expect("a number that begins with a zero is below the modulus");
        let fields = [VERSION_0, &self.issuer_and_serial, RSA_ENCRYPTION];
        tlv(0x30, &[fields.concat(), tlv(0x04, &encrypted_key)].concat())
    }
}

/// Gives everybody that envelopes are made for.
pub fn recipients() -> &'static [Recipient] {
    static RECIPIENTS: OnceLock<Vec<Recipient>> = OnceLock::new();
    RECIPIENTS.get_or_init(|| {
        let made: Result<_, _> = IDENTITIES.iter().map(make).collect();
        made.expect("the primes are fixed and good")
    })
}

/// Gives the recipient that envelopes are made for unless somebody says otherwise, the first.
pub fn recipient() -> &'static Recipient {
    &recipients()[0]
}

/// Writes `tenant-N.key` (PKCS#8) and `tenant-N.pem` (the certificate) of every recipient into a folder.
pub fn write_keys(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (n, recipient) in recipients().iter().enumerate() {
        let key = recipient.key.private_key_to_pem_pkcs8()?;
        fs::write(folder.join(format!("tenant-{n}.key")), key)?;
        fs::write(folder.join(format!("tenant-{n}.pem")), recipient.certificate.to_pem()?)?;
    }
    Ok(())
}

fn make(identity: &Identity) -> Result<Recipient, ErrorStack> {
    let key = PKey::from_rsa(make_rsa(identity.primes)?)?;
    let issuer = name(identity.issuer)?;
    let mut serial = vec![0];
    serial.extend(identity.serial.to_be_bytes().into_iter().skip_while(|&byte| byte == 0));
    let needs_zero = serial[1] >= 0x80;
    let issuer_and_serial =
        [issuer.to_der()?, tlv(0x02, &serial[usize::from(!needs_zero)..])].concat();

    let mut certificate = X509::builder()?;
    certificate.set_version(2)?;
    certificate.set_serial_number(&*Asn1Integer::from_bn(&*BigNum::from_slice(&serial)?)?)?;
    certificate.set_subject_name(&*name(identity.subject)?)?;
    certificate.set_issuer_name(&issuer)?;
    certificate.set_not_before(&*Asn1Time::from_unix(identity.valid[0])?)?;
    certificate.set_not_after(&*Asn1Time::from_unix(identity.valid[1])?)?;
    certificate.set_pubkey(&key)?;
    let key_id = SubjectKeyIdentifier::new().build(&certificate.x509v3_context(None, None))?;
    certificate.append_extension(key_id)?;
    // The authority is fictional too, so nobody could check its signature.
    certificate.sign(&key, MessageDigest::sha256())?;
    Ok(Recipient {
        key,
        certificate: certificate.build(),
        alias: format!("rcs_Environment:1:CN={}:{}", identity.issuer, identity.serial),
        issuer_and_serial: tlv(0x30, &issuer_and_serial),
    })
}

fn name(common: &str) -> Result<X509Name, ErrorStack> {
    let mut name = X509Name::builder()?;
    name.append_entry_by_text("CN", common)?;
    Ok(name.build())
}

fn make_rsa(primes: [&str; 2]) -> Result<Rsa<Private>, ErrorStack> {
    let mut context = BigNumContext::new()?;
    let context = &mut *context;
    let (p, q) = (BigNum::from_hex_str(primes[0])?, BigNum::from_hex_str(primes[1])?);
    let e = BigNum::from_u32(65_537)?;
    let one = BigNum::from_u32(1)?;
    let less_one = |prime: &BigNum| {
        let mut out = BigNum::new()?;
        out.checked_sub(prime, &one)?;
        Ok::<_, ErrorStack>(out)
    };
    let (p1, q1) = (less_one(&p)?, less_one(&q)?);
    let (mut n, mut phi, mut d) = (BigNum::new()?, BigNum::new()?, BigNum::new()?);
    n.checked_mul(&p, &q, context)?;
    phi.checked_mul(&p1, &q1, context)?;
    d.mod_inverse(&e, &phi, context)?;
    let (mut dmp1, mut dmq1, mut iqmp) = (BigNum::new()?, BigNum::new()?, BigNum::new()?);
    dmp1.checked_rem(&d, &p1, context)?;
    dmq1.checked_rem(&d, &q1, context)?;
    iqmp.mod_inverse(&q, &p, context)?;
    Rsa::from_private_components(n, e, d, p, q, dmp1, dmq1, iqmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_told_apart_by_issuer_and_serial_only_together() {
        let shown: Vec<_> = recipients().iter().map(|one| one.alias.as_str()).collect();
        assert_eq!(
            shown,
            [
                "rcs_Environment:1:CN=Basic Fictional Authority:5",
                "rcs_Environment:1:CN=Second Fictional Authority:5",
                "rcs_Environment:1:CN=Basic Fictional Authority:11330029860577130486",
            ]
        );
        for recipient in recipients() {
            assert!(recipient.key.rsa().unwrap().check_key().unwrap());
            assert_eq!(recipient.key.bits(), 2048);
            assert!(recipient.certificate.public_key().unwrap().public_eq(&recipient.key));
            assert!(recipient.certificate.subject_key_id().is_some());
        }
        let years = Asn1Time::from_unix(1_704_067_200).unwrap();
        let expired = |one: &Recipient| one.certificate.not_after() < years;
        assert_eq!(recipients().iter().map(expired).collect::<Vec<_>>(), [false, false, true]);
    }

    #[test]
    fn written_keys_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        write_keys(folder.path()).unwrap();
        for (n, recipient) in recipients().iter().enumerate() {
            let read = |name: &str| fs::read(folder.path().join(format!("tenant-{n}.{name}")));
            let key = PKey::private_key_from_pem(&read("key").unwrap()).unwrap();
            assert!(key.public_eq(&recipient.key));
            assert_eq!(X509::from_pem(&read("pem").unwrap()).unwrap(), recipient.certificate);
        }
    }
}
