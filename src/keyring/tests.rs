//! Rings of keys made here, and envelopes that openssl makes for them.

use std::sync::OnceLock;

use chrono::{DateTime, TimeDelta, Utc};
use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::BigNum;
use openssl::cms::{CMSOptions, CmsContentInfo};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::rsa::Rsa;
use openssl::stack::Stack;
use openssl::symm::Cipher;
use openssl::x509::extension::SubjectKeyIdentifier;
use openssl::x509::{X509, X509Name};

use super::*;

/// A key pair of the tests.
pub(super) struct Made {
    name: &'static str,
    key: PKey<Private>,
    pub(super) x509: X509,
}

/// The beginning of a day.
pub(super) fn at(day: &str) -> DateTime<Utc> {
    format!("{day}T00:00:00Z").parse().unwrap()
}

/// Three keys, found once for each process; short ones are found fast and do as well.
fn key(number: usize) -> PKey<Private> {
    static KEYS: [OnceLock<PKey<Private>>; 3] = [const { OnceLock::new() }; 3];
    let bits = [1024, 1024, 1536][number];
    let make = || PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap();
    KEYS[number].get_or_init(make).clone()
}

impl Made {
    /// The first key, with a certificate of its own.
    pub(super) fn new(name: &'static str, subject: &str, serial: u32) -> Made {
        Made::of(name, key(0), subject, serial)
    }

    fn of(name: &'static str, key: PKey<Private>, subject: &str, serial: u32) -> Made {
        let mut issuer = X509Name::builder().unwrap();
        for part in subject.split('/').skip(1) {
            let (kind, value) = part.split_once('=').unwrap();
            issuer.append_entry_by_text(kind, value).unwrap();
        }
        let issuer = issuer.build();
        let serial = Asn1Integer::from_bn(&BigNum::from_u32(serial).unwrap()).unwrap();
        let day = |day: DateTime<Utc>| Asn1Time::from_unix(day.timestamp()).unwrap();
        let made = at("2026-01-01");
        let mut x509 = X509::builder().unwrap();
        x509.set_version(2).unwrap();
        x509.set_serial_number(&serial).unwrap();
        x509.set_subject_name(&issuer).unwrap();
        x509.set_issuer_name(&issuer).unwrap();
        x509.set_not_before(&day(made)).unwrap();
        x509.set_not_after(&day(made + TimeDelta::days(365))).unwrap();
        x509.set_pubkey(&key).unwrap();
        let id = SubjectKeyIdentifier::new().build(&x509.x509v3_context(None, None)).unwrap();
        x509.append_extension(id).unwrap();
        x509.sign(&key, MessageDigest::sha256()).unwrap();
        Made { name, key, x509: x509.build() }
    }

    pub(super) fn certificate(&self) -> Certificate {
        Certificate::read(self.name, self.x509.clone()).unwrap()
    }

    fn key_pem(&self) -> Vec<u8> {
        self.key.rsa().unwrap().private_key_to_pem().unwrap()
    }
}

/// Three tenants; the last two share issuer and serial number.
fn tenants() -> [Made; 3] {
    [
        Made::of("a", key(0), "/CN=Old", 5),
        Made::of("b", key(1), "/CN=New", 1),
        Made::of("c", key(2), "/CN=New", 1),
    ]
}

/// What of each tenant is on the ring: a key, a certificate, or both.
fn ring(parts: &[(&Made, &str)]) -> Keyring {
    let mut ring = Keyring::default();
    for (made, parts) in parts {
        if parts.contains('k') {
            ring.add(&format!("{}.key", made.name), &made.key_pem(), None).unwrap();
        }
        if parts.contains('c') {
            ring.add(&format!("{}.pem", made.name), &made.x509.to_pem().unwrap(), None).unwrap();
        }
    }
    ring
}

fn sealed(recipients: &[&Made], options: CMSOptions) -> Head {
    sealed_with(Cipher::aes_128_cbc(), recipients, options)
}

fn sealed_with(cipher: Cipher, recipients: &[&Made], options: CMSOptions) -> Head {
    let mut certificates = Stack::new().unwrap();
    for made in recipients {
        certificates.push(made.x509.clone()).unwrap();
    }
    let options = options | CMSOptions::BINARY;
    let cms = CmsContentInfo::encrypt(&certificates, b"a call", cipher, options).unwrap();
    Head::read(&cms.to_der().unwrap()).unwrap()
}

/// The same envelope with one bit of its first wrapped key turned round.
fn damaged(mut head: Head) -> Head {
    let RecipientKind::Rsa { encrypted_key, .. } = &mut head.recipients[0].kind else {
        panic!("it is made for an RSA key");
    };
    encrypted_key[100] ^= 1;
    head
}

/// The files of the keys that open, in the order in which they come; or why none does.
fn opens(ring: &Keyring, head: &Head, alias: &[&str]) -> String {
    let alias: Vec<_> = alias.iter().map(|alias| (*alias).to_owned()).collect();
    let files: Vec<_> = ring.candidates(head, &alias).map(|it| it.key.file.clone()).collect();
    if files.is_empty() { ring.reason(head).to_string() } else { files.join(" ") }
}

/// The files of the keys to be tried, in the order in which they are.
fn order(ring: &Keyring, head: &Head, alias: &str) -> String {
    let attempts = ring.attempts(head, &[alias.to_owned()]);
    let files: Vec<_> = attempts.iter().map(|it| ring.keys[it.key].file.as_str()).collect();
    files.join(" ")
}

#[test]
fn the_right_key_is_found_or_it_is_said_which_is_missing() {
    let [a, b, c] = &tenants();
    let plain = CMSOptions::empty();
    let for_a = || sealed(&[a], plain);
    let cases = [
        ("certificate", ring(&[(a, "kc"), (b, "kc")]), for_a(), "a.key"),
        ("trying", ring(&[(c, "k"), (b, "k"), (a, "k")]), for_a(), "a.key"),
        ("certificate renewed", ring(&[(b, "kc"), (a, "k")]), for_a(), "a.key"),
        ("other keys", ring(&[(b, "k"), (c, "kc")]), for_a(), "no key for serial 5 of CN=Old"),
        ("no keys", ring(&[(a, "c")]), for_a(), "no key for serial 5 of CN=Old"),
        ("same serial", ring(&[(b, "kc"), (c, "kc")]), sealed(&[c], plain), "c.key"),
        ("several recipients", ring(&[(b, "k")]), sealed(&[a, b], plain), "b.key"),
        ("several keys", ring(&[(b, "k"), (a, "k")]), sealed(&[a, b], plain), "b.key a.key"),
        (
            "key identifier",
            ring(&[(b, "kc"), (a, "k")]),
            sealed(&[a], CMSOptions::USE_KEYID),
            "a.key",
        ),
        (
            "nobody",
            ring(&[(c, "k")]),
            sealed(&[a, b], plain),
            "no key for serial 1 of CN=New or serial 5 of CN=Old",
        ),
        (
            "damaged",
            ring(&[(a, "kc"), (b, "kc")]),
            damaged(for_a()),
            "the key for serial 5 of CN=Old does not open it: damaged, or not made for this key",
        ),
        (
            "damaged, no certificate",
            ring(&[(a, "k")]),
            damaged(for_a()),
            "no key for serial 5 of CN=Old",
        ),
    ];
    for (name, ring, head, expected) in cases {
        assert_eq!(opens(&ring, &head, &[]), expected, "{name}");
    }
}

#[test]
fn a_certificate_decides_and_no_other_key_is_tried() {
    let [a, b, c] = &tenants();
    let head = sealed(&[a], CMSOptions::empty());
    let ring_of_all = ring(&[(c, "kc"), (b, "kc"), (a, "kc")]);
    assert_eq!(order(&ring_of_all, &head, "b"), "a.key");
    // Its certificate is there, but not its key: then no other is tried either.
    assert_eq!(order(&ring(&[(b, "kc"), (a, "c")]), &head, ""), "");
    // An identifier needs no certificate.
    let by_identifier = sealed(&[a], CMSOptions::USE_KEYID);
    assert_eq!(order(&ring(&[(b, "k"), (a, "k")]), &by_identifier, ""), "a.key");
    // Who numbers certificates by hand gives the same number twice.
    let head = sealed(&[c], CMSOptions::empty());
    assert_eq!(order(&ring_of_all, &head, ""), "c.key b.key");
}

#[test]
fn keys_are_tried_by_alias_then_by_what_opened_last() {
    let [a, b, c] = &tenants();
    let head = sealed(&[b], CMSOptions::empty());
    let ring = ring(&[(a, "kc"), (c, "k"), (b, "k")]);
    assert_eq!(order(&ring, &head, ""), "a.key c.key b.key");
    assert_eq!(order(&ring, &head, "c"), "c.key a.key b.key");
    assert_eq!(order(&ring, &head, "rcs_Environment:1:CN=Old:5"), "a.key c.key b.key");
    assert_eq!(opens(&ring, &head, &[]), "b.key");
    assert_eq!(order(&ring, &head, ""), "b.key a.key c.key");
    assert_eq!(order(&ring, &head, "c"), "c.key b.key a.key");
    // Of another recipient nothing is known yet.
    let other = Made::of("d", key(1), "/CN=Other", 9);
    let other = sealed(&[&other], CMSOptions::empty());
    assert_eq!(order(&ring, &other, ""), "a.key c.key b.key");
}

#[test]
fn more_recipients_than_are_remembered_do_no_harm() {
    let ring = ring(&[]);
    let id = |number: usize| RecipientId::KeyIdentifier(number.to_be_bytes().to_vec());
    for number in 0..REMEMBERED + 10 {
        ring.remember(&id(number), number);
        ring.remember(&id(number), number + 1);
    }
    assert_eq!(ring.opened.lock().unwrap().len(), REMEMBERED);
    assert_eq!((ring.last(&id(0)), ring.last(&id(REMEMBERED))), (None, Some(REMEMBERED + 1)));
}

#[test]
fn a_wrong_key_is_known_whatever_openssl_makes_of_it() {
    let [a, b, _] = &tenants();
    let head = sealed(&[a], CMSOptions::empty());
    let opens = |head: &Head, key| head.recipients[0].unwrap_key(key, &head.cipher).is_some();
    assert!(opens(&head, &a.key));
    assert!(!opens(&head, &b.key));
    assert!(!opens(&damaged(head.clone()), &a.key));
}

#[test]
fn what_no_rsa_key_opens_is_said() {
    let [a, ..] = &tenants();
    let ring = ring(&[(a, "kc")]);
    let with = |kinds: Vec<RecipientKind>| {
        let mut head = sealed(&[a], CMSOptions::empty());
        let id = RecipientId::Unknown;
        head.recipients =
            kinds.into_iter().map(|kind| Recipient { id: id.clone(), kind }).collect();
        opens(&ring, &head, &[])
    };
    let unknown = KeyPadding::Unknown("1.2.3".to_owned());
    let strange = RecipientKind::Rsa { padding: unknown, encrypted_key: vec![0; 256] };
    assert_eq!(
        with(vec![RecipientKind::Other("password"), RecipientKind::Other("password"), strange]),
        "none of its recipients has an RSA key: password, 1.2.3"
    );
    assert_eq!(with(vec![]), "none of its recipients has an RSA key: it has none");

    let head = sealed_with(Cipher::camellia_128_cbc(), &[a], CMSOptions::empty());
    assert_eq!(ring.candidates(&head, &[]).count(), 0);
    let said = opens(&ring, &head, &[]);
    assert!(
        said.starts_with("its cipher ") && said.ends_with(" is none that is opened here"),
        "{said}"
    );
}

#[test]
fn a_file_may_hold_anything() {
    let [a, b, _] = &tenants();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (key, pkcs8) = (text(a.key_pem()), text(b.key.private_key_to_pem_pkcs8().unwrap()));
    let certificate = text(a.x509.to_pem().unwrap());
    let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let curve = PKey::from_ec_key(EcKey::generate(&curve).unwrap()).unwrap();
    let curve = text(curve.private_key_to_pem_pkcs8().unwrap());
    let public = text(a.key.public_key_to_pem().unwrap());
    for (pem, keys, certificates) in [
        (key.clone(), 1, 0),
        (format!("{certificate}{key}{pkcs8}"), 2, 1),
        (format!("Bag Attributes\n{key}\nsubject=CN = Old\n{certificate}{key}"), 2, 1),
        (key.replace('\n', "\r\n"), 1, 0),
        (format!("{curve}{public}{pkcs8}"), 1, 0),
        (format!("{key}-----BEGIN NOTHING"), 1, 0),
        ("-----BEGIN -----BEGIN ".to_owned(), 0, 0),
        ("no PEM at all".to_owned(), 0, 0),
        (String::new(), 0, 0),
    ] {
        let mut ring = Keyring::default();
        let added = ring.add("file", pem.as_bytes(), None).unwrap();
        assert_eq!(added, Added { keys, certificates }, "{pem}");
    }
    let mut ring = Keyring::default();
    assert_eq!(ring.add("file", &[0xFF, 0, 0xFE], None).unwrap(), Added::default());
    // The same key twice is one.
    for _ in 0..2 {
        ring.add("file", key.as_bytes(), None).unwrap();
    }
    assert_eq!(ring.keys().len(), 1);
}

#[test]
fn what_is_no_key_although_it_says_so_names_its_file() {
    let [a, ..] = &tenants();
    let key = String::from_utf8(a.key_pem()).unwrap();
    let certificate = String::from_utf8(a.x509.to_pem().unwrap()).unwrap();
    let half = |text: &str| text[..text.len() / 2].to_owned();
    for (pem, what) in [
        (half(&key), "private key"),
        (half(&certificate), "certificate"),
        (key.replace("MI", "IM"), "private key"),
        (
            format!("{certificate}-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"),
            "private key",
        ),
    ] {
        let error = Keyring::default().add("a file", pem.as_bytes(), None).unwrap_err();
        assert_eq!(error.to_string(), format!("`a file` holds a {what} that cannot be read"));
    }
}

#[test]
fn an_encrypted_key_needs_its_passphrase_and_nobody_is_asked() {
    let [a, ..] = &tenants();
    let aes = Cipher::aes_256_cbc();
    let rsa = a.key.rsa().unwrap();
    let old = rsa.private_key_to_pem_passphrase(aes, b"swordfish").unwrap();
    let new = a.key.private_key_to_pem_pkcs8_passphrase(aes, b"swordfish").unwrap();
    assert!(old.windows(9).any(|bytes| bytes == b"Proc-Type"));
    for pem in [old, new] {
        for (passphrase, outcome) in [
            (Some("swordfish"), "opened"),
            (Some("wrong"), "`f.key` holds an encrypted key that the passphrase does not open"),
            (Some(""), "`f.key` holds an encrypted key that the passphrase does not open"),
            (
                Some("sword\0fish"),
                "`f.key` holds an encrypted key that the passphrase does not open",
            ),
            (None, "`f.key` holds an encrypted key, and there is no passphrase for it"),
        ] {
            let passphrase = passphrase.map(Secret::new);
            let added = Keyring::default().add("f.key", &pem, passphrase.as_ref());
            let said = added.map_or_else(|error| error.to_string(), |_| "opened".to_owned());
            assert_eq!(said, outcome, "{passphrase:?}");
        }
    }
}
