//! Envelopes that are cut, damaged or made to do harm.

use proptest::prelude::*;

use super::oracle::{judge, open, open_with, openssl};
use super::samples::{Parts, Sample, Samples, indefinite, parts, samples};
use crate::envelope::write::definite;
use crate::envelope::{ContentKey, FramingError, Head, HeadError, LONGEST_HEAD, OpenError, Opener};

fn content_key(head: &Head) -> ContentKey {
    let mut recipients = head.recipients.iter();
    recipients.find_map(|it| it.unwrap_key(&samples().key, &head.cipher)).unwrap()
}

fn small() -> impl Iterator<Item = &'static Sample> {
    samples().all.iter().filter(|sample| sample.plain.len() < 100)
}

#[test]
fn whatever_is_cut_off_is_missed() {
    for Sample { name, envelope, .. } in small() {
        let head = Head::read(envelope).unwrap();
        let key = content_key(&head);
        for cut in 0..envelope.len() {
            let read = Head::read(&envelope[..cut]);
            if cut < head.bytes {
                assert_eq!(read.unwrap_err(), HeadError::Incomplete, "{name}, {cut}");
                continue;
            }
            let opened = open_with(&head, &key, &envelope[head.bytes..cut], usize::MAX);
            assert_eq!(opened, Err(FramingError::Truncated.into()), "{name}, {cut}");
        }
    }
}

#[test]
fn whatever_follows_is_seen() {
    for Sample { name, envelope, .. } in small() {
        let head = Head::read(envelope).unwrap();
        let key = content_key(&head);
        for more in [1, 2, 100, 3 << 20] {
            let behind = [&envelope[head.bytes..], &vec![0; more]].concat();
            let opened = open_with(&head, &key, &behind, 1 << 16);
            assert_eq!(opened, Err(FramingError::Trailing.into()), "{name}, {more}");
        }
    }
}

#[test]
fn no_bent_bit_gives_what_openssl_would_not() {
    // One of each kind of framing; most bits of each are the encrypted key's, which cost time.
    let kinds = ["-aes128 own.pem, 40 bytes", "-keyid own.pem, 17 bytes, as open attributes"];
    let (mut opened, mut refused) = (0, 0);
    for sample in small().filter(|it| kinds.iter().any(|kind| it.name.ends_with(kind))) {
        let mut envelope = sample.envelope.clone();
        for bit in 0..8 * envelope.len() {
            envelope[bit / 8] ^= 1 << (bit % 8);
            match judge(&envelope, &samples().key) {
                Some(_) => opened += 1,
                None => refused += 1,
            }
            envelope[bit / 8] ^= 1 << (bit % 8);
        }
    }
    // CBC proves nothing about the content, so some open, to something else.
    assert!(opened > 300 && refused > 5_000, "{opened} opened, {refused} refused");
}

#[test]
fn the_wrong_key_and_the_wrong_content_look_alike() {
    let Samples { stranger, all, .. } = samples();
    for Sample { name, envelope, .. } in &all[1..4] {
        let head = Head::read(envelope).unwrap();
        assert!(head.recipients[0].unwrap_key(stranger, &head.cipher).is_none(), "{name}");
        let key = content_key(&head);
        let mut content = envelope[head.bytes..].to_vec();
        // What is added to the last byte of the padding.
        let at = content.len() - 1 - head.cipher.block_bytes().unwrap();
        let opened = (0..=255).map(|byte| {
            content[at] = byte;
            open_with(&head, &key, &content, usize::MAX)
        });
        let errors: Vec<_> = opened.filter_map(Result::err).collect();
        assert!(errors.len() >= 250, "{name}");
        assert!(errors.iter().all(|it| *it == OpenError::KeyOrContent), "{name} {errors:?}");
    }
    let aes_128 = content_key(&Head::read(&all[0].envelope).unwrap());
    let aes_256 = Head::read(&all[2].envelope).unwrap();
    assert_eq!(Opener::new(&aes_256, &aes_128).err(), Some(OpenError::KeyOrContent));
    // A key that unwraps but has another cipher's length is no key.
    let recipient = &Head::read(&all[0].envelope).unwrap().recipients[0];
    assert!(recipient.unwrap_key(&samples().key, &aes_256.cipher).is_none());
}

/// The envelope of a sample with its pieces put together anew.
fn rebuilt(parts: &Parts, recipients: &[u8], content: &[u8], behind: &[u8]) -> Vec<u8> {
    let Parts { version, info, .. } = parts;
    let info = indefinite(0x30, &[&info[..], content].concat());
    let data = [&version[..], &definite(0x31, recipients), &info, behind].concat();
    let explicit = indefinite(0xA0, &indefinite(0x30, &data));
    let type_of_it = [6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 3];
    indefinite(0x30, &[&type_of_it[..], &explicit].concat())
}

#[test]
fn made_up_framing_is_refused_for_what_it_is() {
    let parts = parts(&samples().all[0].envelope);
    let content = definite(0x80, &parts.content);
    let string = definite(0x04, &parts.content);
    let deep = (0..7).fold(string.clone(), |inner, _| definite(0x24, &inner));
    let attribute = [0x30, 9, 6, 2, 0x2A, 3, 0x31, 3, 4, 1, 7];
    let beyond_all = [&[4, 0x88][..], &[0xFF; 8]].concat();
    let cases: [(&str, Vec<u8>, Vec<u8>, bool); 16] = [
        ("as it should be", content.clone(), definite(0xA1, &attribute), true),
        ("nothing in a piece", definite(0xA0, &[&[4, 0], &string[..]].concat()), vec![], true),
        ("no attribute", content.clone(), definite(0xA1, &[]), false),
        ("attributes twice", content.clone(), definite(0xA1, &attribute).repeat(2), false),
        ("an attribute without values", content.clone(), definite(0xA1, &attribute[..6]), false),
        ("something else behind", content.clone(), definite(0xA2, &attribute), false),
        ("content twice", content.repeat(2), vec![], false),
        ("an end too many", [&content[..], &[0, 0]].concat(), vec![], false),
        (
            "pieces that are no strings",
            indefinite(0xA0, &definite(2, &parts.content)),
            vec![],
            false,
        ),
        ("strings too deep", definite(0xA0, &deep), vec![], false),
        (
            "an end within a known length",
            definite(0xA0, &[&string[..], &[0, 0]].concat()),
            vec![],
            false,
        ),
        ("a piece beyond its frame", [&[0xA0, 3, 4][..], &string[1..]].concat(), vec![], false),
        ("a header beyond its frame", [&[0xA0, 1][..], &string].concat(), vec![], false),
        (
            "half a header in its frame",
            definite(0xA0, &[&string[..], &[4]].concat()),
            vec![],
            false,
        ),
        ("a length beyond all", indefinite(0xA0, &beyond_all), vec![], false),
        ("a length of nine octets", indefinite(0xA0, &[4, 0x89, 1]), vec![], false),
    ];
    for (what, content, behind, good) in cases {
        let envelope = rebuilt(&parts, &parts.recipients, &content, &behind);
        let head = Head::read(&envelope).unwrap();
        let key = content_key(&head);
        for piece in [1, 7, usize::MAX] {
            let opened = open_with(&head, &key, &envelope[head.bytes..], piece);
            match opened {
                Ok(_) => assert!(good, "{what}"),
                Err(OpenError::Framing(FramingError::Damaged(_) | FramingError::Trailing)) => {
                    assert!(!good, "{what}")
                }
                Err(other) => panic!("{what}: {other}"),
            }
        }
    }
}

#[test]
fn strings_are_nested_as_deep_as_openssl_reads_them() {
    let parts = parts(&samples().all[0].envelope);
    let mut content = definite(0x04, &parts.content);
    for depth in 0..10 {
        for frame in [definite(0xA0, &content), indefinite(0xA0, &content)] {
            let envelope = rebuilt(&parts, &parts.recipients, &frame, &[]);
            let opened = open(&envelope, &samples().key, usize::MAX).ok();
            assert_eq!(opened, openssl(&envelope, &samples().key), "{depth}");
        }
        content = definite(0x24, &content);
    }
}

#[test]
fn an_end_that_is_missing_is_missed_within_known_lengths_too() {
    let Parts { version, recipients, info, content } = parts(&samples().all[0].envelope);
    let string = definite(0x04, &content);
    for (end, good) in [(&[0_u8, 0][..], true), (&[], false)] {
        let info = definite(0x30, &[&info[..], &[0xA0, 0x80], &string, end].concat());
        let data = [&version[..], &definite(0x31, &recipients), &info].concat();
        let explicit = definite(0xA0, &definite(0x30, &data));
        let type_of_it = [6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 3];
        let envelope = definite(0x30, &[&type_of_it[..], &explicit].concat());
        assert_eq!(open(&envelope, &samples().key, usize::MAX).is_ok(), good);
        assert_eq!(openssl(&envelope, &samples().key).is_some(), good);
    }
}

#[test]
fn lengths_cost_nothing_but_what_is_there() {
    let parts = parts(&samples().all[0].envelope);
    let huge = |tag| [tag, 0x87, 0x0F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
    for content in [huge(0x80).to_vec(), [&[0xA0, 0x80], &huge(0x04)[..]].concat()] {
        let envelope = rebuilt(&parts, &parts.recipients, &content, &[]);
        let head = Head::read(&envelope).unwrap();
        let mut opener = Opener::new(&head, &content_key(&head)).unwrap();
        let mut plain = Vec::new();
        opener.update(&envelope[head.bytes..], &mut plain).unwrap();
        assert!(plain.capacity() < 1_000, "{}", plain.capacity());
        assert_eq!(opener.finish(&mut plain), Err(FramingError::Truncated.into()));
    }
    let head = Head::read(&samples().all[0].envelope).unwrap();
    let mut opener = Opener::new(&head, &content_key(&head)).unwrap();
    let endless = opener.update(&vec![0; 2 << 20], &mut Vec::new());
    assert_eq!(endless, Err(FramingError::Trailing.into()), "before it is all in memory");
    let too_long = HeadError::NotAnEnvelope("its head is too long");
    let envelope = rebuilt(&parts, &definite(0xA4, &vec![0; LONGEST_HEAD]), &[], &[]);
    assert_eq!(Head::read(&envelope).err(), Some(too_long));
    assert_eq!(Head::read(&envelope[..LONGEST_HEAD - 1]).err(), Some(HeadError::Incomplete));
    let crowd = rebuilt(&parts, &[0xA4, 0].repeat(400_000), &[], &[]);
    let too_many = HeadError::NotAnEnvelope("it has too many recipients");
    assert_eq!(Head::read(&crowd).err(), Some(too_many));
}

/// A way to spoil an envelope; places are parts of its length.
#[derive(Debug, Clone)]
enum Harm {
    Flip(prop::sample::Index, u8),
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    /// Another sample's bytes over what is here.
    Splice(prop::sample::Index, prop::sample::Index, prop::sample::Index, usize),
}

fn harms() -> impl Strategy<Value = Harm> {
    let at = any::<prop::sample::Index>;
    let telling = prop::sample::select(vec![0x00, 0x04, 0x24, 0x30, 0x31, 0x80, 0x81, 0xA0, 0xFF]);
    prop_oneof![
        (at(), 0..8_u8).prop_map(|(at, bit)| Harm::Flip(at, bit)),
        (at(), telling.clone()).prop_map(|(at, byte)| Harm::Set(at, byte)),
        (at(), prop::collection::vec(telling, 1..5))
            .prop_map(|(at, bytes)| Harm::Insert(at, bytes)),
        (at(), 1..20_usize).prop_map(|(at, bytes)| Harm::Remove(at, bytes)),
        (at(), at(), at(), 1..300_usize).prop_map(|(a, b, c, bytes)| Harm::Splice(a, b, c, bytes)),
    ]
}

fn spoil(envelope: &mut Vec<u8>, harm: &Harm, others: &[&Sample]) {
    let length = envelope.len().max(1);
    envelope.resize(length, 0);
    match harm {
        Harm::Flip(at, bit) => envelope[at.index(length)] ^= 1 << bit,
        Harm::Set(at, byte) => envelope[at.index(length)] = *byte,
        Harm::Insert(at, bytes) => {
            envelope.splice(at.index(length)..at.index(length), bytes.iter().copied());
        }
        Harm::Remove(at, bytes) => {
            let at = at.index(length);
            envelope.drain(at..length.min(at + bytes));
        }
        Harm::Splice(at, which, from, bytes) => {
            let other = &others[which.index(others.len())].envelope;
            let from = from.index(other.len());
            let piece = &other[from..other.len().min(from + bytes)];
            let at = at.index(length);
            envelope.splice(at..length.min(at + bytes), piece.iter().copied());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(3_000), ..ProptestConfig::default() })]

    #[test]
    fn what_opens_opens_in_openssl_too(
        which in any::<prop::sample::Index>(),
        harms in prop::collection::vec(harms(), 1..4),
    ) {
        let all: Vec<_> = small().collect();
        let mut envelope = all[which.index(all.len())].envelope.clone();
        for harm in &harms {
            spoil(&mut envelope, harm, &all);
        }
        judge(&envelope, &samples().key);
    }
}
