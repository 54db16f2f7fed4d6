//! How objects are wrapped, what their records say of it, and what a backup must make of them.

use std::collections::{BTreeMap, HashSet};

use crate::envelope::{self, Cipher, Place, Shape, Text};
use crate::{Form, Media, Pkcs7, Recording, World, WorldSpec};

const BUCKET: &str = "recordings-usw1";

fn bytes(media: &Media) -> Vec<u8> {
    let object = media.object().unwrap();
    object.read(0..object.len())
}

/// The entry of a media file in the record of a recording that has only this one.
fn listed(media: Media) -> serde_json::Value {
    let mut world = World::new(WorldSpec { recordings: 0, ..WorldSpec::default() });
    world.add(Recording::new("by hand", 1_000).with(media));
    let json = world.json(&world.rows_between(0, 2_000)[0]);
    let mut record: serde_json::Value = serde_json::from_str(&json).unwrap();
    record["mediaFiles"][0].take()
}

#[test]
fn a_mixed_world_has_all_that_was_asked_for_and_all_of_it_opens() {
    let forms = vec![Form::Attached, Form::AttachedBer, Form::Detached, Form::Plain];
    let ciphers = vec![Cipher::Aes128, Cipher::Aes256];
    let world = World::new(WorldSpec {
        recordings: 200,
        forms: forms.clone(),
        ciphers,
        recipients: 3,
        ..WorldSpec::default()
    });
    let mut opened = BTreeMap::new();
    let mut shapes = HashSet::new();
    for media in world.all_objects() {
        let (bucket, key) = (&media.bucket, &media.key);
        let plain = world.plaintext(bucket, key);
        assert_eq!(plain.len() as u64, media.plain_bytes);
        assert!(plain.starts_with(b"ID3") || plain[4..].starts_with(b"ftyp"));
        let form = forms.iter().position(|form| *form == media.form).unwrap();
        *opened.entry((form, media.cipher as u8, media.recipient)).or_insert(0) += 1;
        let object = world.expected_object(bucket, key);
        match world.expected_file(bucket, key) {
            None => assert!(form == 3 && object == plain),
            Some(file) => {
                assert!(envelope::open_for(media.recipient, &file).unwrap() == plain);
                assert_eq!(file == object, media.form != Form::Detached);
                assert!(form == 1 || file.ends_with(&object));
            }
        }
        let envelope = media.pkcs7_text();
        assert_eq!(envelope.is_some(), media.form == Form::Detached);
        shapes.extend(envelope.map(|text| (text.contains('\r'), text.contains('-'))));
    }
    assert_eq!(opened.len(), 4 * 2 * 3, "{opened:?}");
    assert_eq!(shapes, HashSet::from([(false, true), (true, true), (false, false)]));
}

#[test]
fn the_rest_of_a_world_is_the_same_however_its_objects_are_wrapped() {
    let names = |recipients, forms| {
        let spec = WorldSpec { recordings: 20, recipients, forms, ..WorldSpec::default() };
        let media = World::new(spec).recordings().flat_map(|one| one.media.clone()).collect();
        let media: Vec<Media> = media;
        media.into_iter().map(|one| (one.key, one.plain_bytes, one.seed)).collect::<Vec<_>>()
    };
    let mixed = vec![Form::Detached, Form::AttachedBer];
    assert_eq!(names(1, vec![Form::Attached]), names(3, mixed));
}

#[test]
fn a_record_names_the_certificate_that_its_media_are_sealed_for() {
    let cases = [
        (Form::Attached, 0, "Basic Fictional Authority:5"),
        (Form::Detached, 1, "Second Fictional Authority:5"),
        (Form::Garbage, 2, "Basic Fictional Authority:11330029860577130486"),
    ];
    for (form, recipient, name) in cases {
        let media = Media { form, recipient, ..Media::voice("a", BUCKET, 100) };
        let alias = serde_json::json!([format!("rcs_Environment:1:CN={name}")]);
        assert_eq!(listed(media)["certAlias"], alias);
    }
    let plain = Media { form: Form::Plain, ..Media::voice("a", BUCKET, 100) };
    assert!(listed(plain).get("certAlias").is_none());
}

#[test]
fn media_can_be_broken_in_every_way_that_a_backup_must_notice() {
    let voice = || Media::voice("a", BUCKET, 100);
    let with = |form, pkcs7| Media { form, pkcs7, ..voice() };
    let pem = Pkcs7::IfDetached(Shape::default());
    let promised = Shape { text: Text::Base64, place: Place::Promised(48) };
    // The length of the object, and how the envelope in the record begins, if there is one.
    let cases = [
        (with(Form::DetachedOff(-1), pem.clone()), 111, Some("-----BEGIN")),
        (with(Form::DetachedOff(16), pem.clone()), 128, Some("-----BEGIN")),
        (with(Form::DetachedOff(-200), pem.clone()), 0, Some("-----BEGIN")),
        (with(Form::Detached, Pkcs7::Literal("no base64!".into())), 112, Some("no base64!")),
        (with(Form::Detached, Pkcs7::Literal("MAMCAQU=".into())), 112, Some("MAMCAQU=")),
        (with(Form::Detached, Pkcs7::Always(promised)), 112, Some("MII")),
        (with(Form::Detached, Pkcs7::Never), 112, None),
        (with(Form::Plain, Pkcs7::Always(Shape::default())), 100, Some("-----BEGIN")),
        (with(Form::Garbage, pem), 100, None),
    ];
    for (media, object_bytes, beginning) in cases {
        assert_eq!(bytes(&media).len(), object_bytes, "{media:?}");
        assert!(media.file().is_none(), "{media:?}");
        assert_eq!(media.plaintext().is_some(), media.form == Form::Plain, "{media:?}");
        let entry = listed(media);
        assert_eq!(entry["size"], "100");
        assert!(entry["certAlias"].is_array());
        let pkcs7 = entry.get("pkcs7").map(|text| text.as_str().unwrap());
        assert_eq!(pkcs7.is_some(), beginning.is_some());
        assert!(pkcs7.unwrap_or_default().starts_with(beginning.unwrap_or_default()));
    }
}

#[test]
fn objects_by_other_software_are_held_as_they_are() {
    let plain = b"ID3 of other software".to_vec();
    let sealed = envelope::by_openssl(&plain, &[1, 2], &["-stream"]);
    let form = Form::Literal(sealed.clone().into());
    let media = Media { form, ..Media::voice("a", BUCKET, plain.len() as u64) };
    assert_eq!(bytes(&media), sealed);
    let file = media.file().unwrap();
    assert_eq!(file.read(0..file.len()), sealed);
    assert_eq!(media.plaintext(), Some(plain));
    assert_eq!(listed(media)["size"], "21");
}
