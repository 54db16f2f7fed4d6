//! What is read of envelopes, and what they open to.

use openssl::x509::X509;

use super::oracle::{judge, open, open_with};
use super::samples::{Parts, Sample, parts, samples};
use crate::envelope::write::definite;
use crate::envelope::{
    Content, Form, HEAD_BYTES, Hash, Head, HeadError, KeyPadding, Oaep, OpenError, Opener,
    RecipientId, RecipientKind, form,
};

#[test]
fn every_envelope_opens_as_openssl_opens_it() {
    for Sample { name, envelope, plain, cipher } in &samples().all {
        let head = Head::read(envelope).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(head.cipher.to_string(), *cipher, "{name}");
        assert_ne!(form(&envelope[..HEAD_BYTES]), Form::Bare, "{name}");
        assert_eq!(judge(envelope, &samples().key).as_ref(), Some(plain), "{name}");
    }
}

#[test]
fn cuts_change_nothing() {
    for Sample { name, envelope, plain, .. } in &samples().all {
        let head = Head::read(envelope).unwrap();
        let mut recipients = head.recipients.iter();
        let key = recipients.find_map(|it| it.unwrap_key(&samples().key, &head.cipher)).unwrap();
        let behind = &envelope[head.bytes..];
        for piece in [1, 2, 3, 7, 16, 17, 1_000, 65_536, 65_537] {
            let opened = open_with(&head, &key, behind, piece);
            assert!(opened.as_ref() == Ok(plain), "{name} in pieces of {piece}: {opened:?}");
        }
    }
}

#[test]
fn recipients_are_named_and_none_of_any_kind_disturbs() {
    let crowd = samples().all.iter().find(|sample| sample.name.contains("-pwri_password")).unwrap();
    let head = Head::read(&crowd.envelope).unwrap();
    let shown: Vec<_> = head.recipients.iter().map(|it| (it.id.to_string(), &it.kind)).collect();
    let mut rsa: Vec<_> = shown
        .iter()
        .filter(|(_, kind)| matches!(kind, RecipientKind::Rsa { padding: KeyPadding::Pkcs1, .. }))
        .map(|(id, _)| id.as_str())
        .collect();
    rsa.sort_unstable();
    assert_eq!(rsa, ["serial 5 of O=Example, CN=other", "serial 5 of O=Example, CN=own"]);
    for other in ["key agreement", "password", "key encryption key"] {
        let is_there = shown.iter().any(|(_, kind)| **kind == RecipientKind::Other(other));
        assert!(is_there, "{other}: {shown:?}");
    }
    assert!(open(&crowd.envelope, &samples().key, usize::MAX).is_ok());
    assert!(open(&crowd.envelope, &samples().stranger, usize::MAX).is_ok());
}

#[test]
fn a_recipient_is_found_by_what_its_certificate_says() {
    let Ok(certificate) = X509::from_pem(&samples().certificate) else { panic!("a certificate") };
    let id = |start: &str| {
        let sample = samples().all.iter().find(|sample| sample.name.starts_with(start)).unwrap();
        Head::read(&sample.envelope).unwrap().recipients.remove(0).id
    };
    let by_certificate = RecipientId::IssuerAndSerial {
        issuer: certificate.issuer_name().to_der().unwrap(),
        serial: certificate.serial_number().to_bn().unwrap().to_vec(),
    };
    assert_eq!(id("-aes128 own.pem"), by_certificate);
    let identifier = certificate.subject_key_id().unwrap().as_slice().to_vec();
    let shown = identifier.iter().map(|octet| format!("{octet:02X}")).collect::<String>();
    assert_eq!(id("-aes256 -keyid own.pem"), RecipientId::KeyIdentifier(identifier));
    assert_eq!(id("-aes256 -keyid own.pem").to_string(), format!("key identifier {shown}"));
}

#[test]
fn names_that_steer_or_flood_are_shown_tame() {
    let serials: [(&[u8], &str); 5] = [
        (&[5], "5"),
        (&[0], "0"),
        (&[0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], "72057594037927935"),
        (&[1, 2, 3, 4, 5, 6, 7, 8, 9], "0x010203040506070809"),
        (&[0xFF], "0xFF"),
    ];
    for (octets, shown) in serials {
        let id = RecipientId::IssuerAndSerial { issuer: vec![0x30, 0], serial: octets.to_vec() };
        assert_eq!(id.to_string(), format!("serial {shown} of "));
    }
    // CN, an unknown identifier, and a BMPString.
    let entry = |oid: &[u8], tag, value: &[u8]| {
        definite(0x31, &definite(0x30, &[definite(6, oid), definite(tag, value)].concat()))
    };
    let common = entry(&[0x55, 4, 3], 12, b"a\x1b[2Jb\r\nc");
    let unknown = entry(&[0x2A, 3, 4], 12, "ü".as_bytes());
    let wide = entry(&[0x55, 4, 10], 30, &[0, b'x']);
    let cases = [
        (definite(0x30, &[common, unknown].concat()), "serial 7 of CN=a[2Jbc, 1.2.3.4=ü"),
        (definite(0x30, &wide), "serial 7 of O=x"),
        (vec![0x30, 3, 1], "serial 7 of an unreadable name"),
    ];
    for (issuer, shown) in cases {
        let id = RecipientId::IssuerAndSerial { issuer, serial: vec![7] };
        assert_eq!(id.to_string(), shown);
    }
    let flood = definite(0x30, &entry(&[0x55, 4, 3], 12, &[b'x'; 60_000]));
    let id = RecipientId::IssuerAndSerial { issuer: flood, serial: vec![7; 60_000] };
    assert!(id.to_string().len() < 700);
}

#[test]
fn oaep_is_read_with_its_hashes_and_its_label() {
    let oaep = |hash, mask_hash, label: &[u8]| Oaep { hash, mask_hash, label: label.to_vec() };
    let cases = [
        ("rsa_padding_mode:oaep, 40 bytes", oaep(Hash::Sha1, Hash::Sha1, &[])),
        ("rsa_oaep_md:sha224, 40 bytes", oaep(Hash::Sha224, Hash::Sha224, &[])),
        ("rsa_oaep_md:sha512, 40 bytes", oaep(Hash::Sha512, Hash::Sha512, &[])),
        ("rsa_mgf1_md:sha384, 40 bytes", oaep(Hash::Sha1, Hash::Sha384, &[])),
        ("rsa_oaep_label:cafe, 40 bytes", oaep(Hash::Sha1, Hash::Sha1, &[0xCA, 0xFE])),
    ];
    for (end, expected) in cases {
        let sample = samples().all.iter().find(|sample| sample.name.ends_with(end)).unwrap();
        let recipient = Head::read(&sample.envelope).unwrap().recipients.remove(0);
        let RecipientKind::Rsa { padding, .. } = recipient.kind else { panic!("{end}") };
        assert_eq!(padding, KeyPadding::Oaep(expected), "{end}");
    }
}

#[test]
fn what_cannot_be_opened_is_read_all_the_same() {
    let head = Head::read(&samples().password_only).unwrap();
    assert_eq!(head.recipients[0].kind, RecipientKind::Other("password"));
    assert!(head.recipients[0].unwrap_key(&samples().key, &head.cipher).is_none());

    let head = Head::read(&samples().other_cipher).unwrap();
    let blocks = (head.cipher.to_string(), head.cipher.block_bytes(), head.cipher.can_open());
    assert_eq!(blocks, ("CAMELLIA-128-CBC".to_owned(), Some(16), false));
    let key = head.recipients[0].unwrap_key(&samples().key, &head.cipher).unwrap();
    let refused = OpenError::UnknownCipher("CAMELLIA-128-CBC".to_owned());
    assert_eq!(Opener::new(&head, &key).err(), Some(refused));

    let head = Head::read(&samples().authenticated).unwrap();
    assert!(head.authenticated);
    assert_eq!(
        form(&samples().authenticated),
        Form::Attached { bytes: samples().authenticated.len() as u64 }
    );
    assert_eq!(Opener::new(&head, &key).err(), Some(OpenError::Authenticated));
}

#[test]
fn an_envelope_without_content_has_a_head() {
    let Parts { version, recipients, mut info, .. } = parts(&samples().all[0].envelope);
    let recipients = definite(0x31, &recipients);
    let type_of_it = definite(6, &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 3]);
    let wrap = |info: Vec<u8>, behind: &[u8]| {
        let data = definite(0x30, &[&version, &recipients, &info, behind].concat());
        definite(0x30, &[type_of_it.clone(), definite(0xA0, &data)].concat())
    };
    let open_ended = [&[0x30, 0x80], &info[..], &[0, 0]].concat();
    let attributes = definite(0xA1, &[0x30, 6, 6, 2, 0x2A, 3, 0x31, 0]);
    for envelope in [
        wrap(definite(0x30, &info), &[]),
        wrap(definite(0x30, &info), &attributes),
        wrap(open_ended, &attributes),
    ] {
        let head = Head::read(&envelope).unwrap();
        assert_eq!(head.content, Content::Absent);
        assert!(envelope[..head.bytes].ends_with(&info));
        let key = head.recipients[0].unwrap_key(&samples().key, &head.cipher).unwrap();
        assert_eq!(Opener::new(&head, &key).err(), Some(OpenError::NoContent));
    }
    // An initialisation vector of eight bytes, which AES would not take.
    let mut short = info[..info.len() - 8].to_vec();
    let vector_at = short.len() - 10;
    assert_eq!(short[vector_at..vector_at + 2], [0x04, 0x10]);
    short[vector_at + 1] = 8;
    short[vector_at - 12] -= 8;
    let refused = HeadError::NotAnEnvelope("its initialisation vector");
    assert_eq!(Head::read(&wrap(definite(0x30, &short), &[])).err(), Some(refused));
    // A cipher that nobody knows.
    let oid_at = info.windows(2).rposition(|pair| pair == [0x06, 0x09]).unwrap();
    info[oid_at + 10] = 0x7F;
    let head = Head::read(&wrap(definite(0x30, &info), &[])).unwrap();
    assert_eq!(head.cipher.to_string(), "2.16.840.1.101.3.4.1.127");
    assert_eq!((head.cipher.block_bytes(), head.cipher.can_open()), (None, false));
}

#[test]
fn other_things_are_no_envelopes() {
    let signed = [0x30, 0x80, 6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 2, 0xA0, 0x80];
    let cases: [&[u8]; 5] =
        [b"ID3\x04 an mp3", b"<html>", &signed, &[0x30, 0], &[0x30, 3, 6, 1, 0]];
    for bytes in cases {
        let read = Head::read(bytes);
        assert!(matches!(read, Err(HeadError::NotAnEnvelope(_))), "{bytes:02x?}: {read:?}");
    }
    assert_eq!(Head::read(&[]).err(), Some(HeadError::Incomplete));
}
