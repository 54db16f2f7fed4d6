//! What recordings are wrapped in: joined, sealed, or kept beside what is held.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rcbs_sim::envelope::{Cipher, Place, Shape, Text, by_openssl, open_for, write_keys};
use rcbs_sim::fault::{Action, Fault};
use rcbs_sim::world::Pkcs7;
use rcbs_sim::{Form, Media, Recording, Route, Sim, WorldSpec};

use crate::harness::{BUCKET, DAY_MS, HOUR_MS, REGION, Run, Site, files_below, now_ms};

/// A cloud without recordings, and a key pair for what must be encrypted here.
fn site() -> Site {
    let site = with_keys(Site::of(0));
    Site { properties: format!("{}{REGION}", site.properties), ..site }
}

fn with_keys(mut site: Site) -> Site {
    let keys = site.folder.path().join("keys");
    std::fs::create_dir(&keys).unwrap();
    write_keys(&keys).unwrap();
    site.properties += "encryptionCertificate=keys/tenant-0.pem\n";
    site
}

fn add(site: &Site, id: &str, media: Media) {
    site.sim.edit(|world| {
        // A recording that is replaced is the same one, so it has begun at the same time.
        let begun = world.find(id).map(|recording| recording.start_ms);
        let begun = begun.unwrap_or_else(|| now_ms() - HOUR_MS);
        world.put(Recording::new(id, begun).with(media));
    });
}

fn voice(id: &str, form: Form) -> Media {
    Media { form, ..Media::voice(&format!("{id}.mp3.bin"), BUCKET, 1_000) }
}

/// Opens a held file with the documented command.
fn opened(site: &Site, subcommand: &str, file: &Path, recipient: usize) -> Vec<u8> {
    let (key, out) = (format!("keys/tenant-{recipient}.key"), site.folder.path().join("opened"));
    let mut command = Command::new("openssl");
    command.current_dir(&site.folder).args([subcommand, "-decrypt", "-binary", "-inform", "DER"]);
    command.arg("-in").arg(file).args(["-inkey", &key]).arg("-out").arg(&out);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {command:?}: {said}", file.display());
    std::fs::read(out).unwrap()
}

/// Where a media file is held, below the target.
fn held(site: &Site, end: &str) -> Option<String> {
    site.tree().into_keys().find(|path| path.ends_with(end))
}

#[test]
fn whatever_came_is_held_as_one_envelope_that_the_documented_commands_and_rcbs_open() {
    let site = with_keys(Site::over(Sim::of(WorldSpec {
        from_ms: now_ms() - DAY_MS,
        to_ms: now_ms() - 5_000,
        recordings: 40,
        forms: vec![Form::Attached, Form::AttachedBer, Form::Detached, Form::Plain],
        ciphers: vec![Cipher::Aes128, Cipher::Aes256],
        recipients: 3,
        ..WorldSpec::default()
    })));
    let plain: Vec<u8> = (0..70_000_u32).map(|n| ((n * 7) >> 4) as u8).collect();
    let by_others: [(&str, &[usize], &[&str]); 3] = [
        ("streamed", &[0, 2], &["-stream"]),
        ("oaep", &[0], &["-keyopt", "rsa_padding_mode:oaep", "-aes-192-cbc"]),
        ("old", &[0], &["-des3", "-keyid", "-stream"]),
    ];
    for (id, recipients, options) in by_others {
        let bytes = by_openssl(&plain, recipients, options);
        add(&site, id, Media { plain_bytes: 70_000, ..voice(id, Form::Literal(bytes.into())) });
    }
    site.rcbs(&[]).exits(0);
    site.assert_holds(|_| true);
    site.sim.clear_requests();
    site.rcbs(&[]).exits(0);
    assert!(site.sim.media_opened().is_empty());

    site.rcbs(&["decrypt", "--keys", "keys", "--out", "by-rcbs"]).exits(0);

    let mut seen = Vec::new();
    let world = site.sim.world();
    for media in world.all_objects() {
        let name = media.media_id.replace('/', "%2F");
        let path = site.tree().into_keys().find(|path| path.contains(&name)).unwrap();
        let file = site.target().join(&path);
        let recipient = if media.form == Form::Plain { 0 } else { media.recipient };
        let expected = world.plaintext(&media.bucket, &media.key);
        assert!(opened(&site, "cms", &file, recipient) == expected, "{media:?}");
        let by_rcbs = site.folder.path().join("by-rcbs").join(path.strip_suffix(".bin").unwrap());
        assert!(std::fs::read(by_rcbs).unwrap() == expected, "{media:?}");
        if media.form == Form::Detached {
            assert!(opened(&site, "smime", &file, recipient) == expected, "{media:?}");
        }
        seen.push((std::mem::discriminant(&media.form), media.recipient));
    }
    seen.sort_by_key(|seen| format!("{seen:?}"));
    seen.dedup();
    assert!(seen.len() >= 12, "not every form for every recipient: {seen:?}");
}

#[test]
fn every_shape_of_a_detached_envelope_is_joined_to_the_same_file() {
    let site = site();
    let promised = Shape { place: Place::Promised(1_008), ..Shape::ALL[0] };
    for (n, shape) in Shape::ALL.into_iter().chain([promised]).enumerate() {
        let id = format!("R{n}");
        add(&site, &id, Media { pkcs7: Pkcs7::IfDetached(shape), ..voice(&id, Form::Detached) });
    }
    site.rcbs(&[]).exits(0);
    let plain = |id: &str| {
        let file = held(&site, &format!("/{id}.mp3.bin")).unwrap();
        open_for(0, &site.tree()[&file]).unwrap()
    };
    let world = site.sim.world();
    for n in 0..Shape::ALL.len() {
        let key = format!("by-hand/R{n}.mp3.bin");
        assert!(plain(&format!("R{n}")) == world.plaintext(BUCKET, &key), "{n}");
    }
    // The simulator has no file for it, as a server need not send such a one.
    assert!(plain(&format!("R{}", Shape::ALL.len())).starts_with(b"ID3"));
}

#[test]
fn big_detached_ciphertext_is_joined_from_concurrent_ranges() {
    let site = site();
    let media = Media { plain_bytes: 70 << 20, ..voice("big", Form::Detached) };
    add(&site, "R", media);
    site.rcbs(&[]).exits(0);
    assert!(site.sim.requests().iter().filter(|request| request.range.is_some()).count() >= 4);
    site.assert_holds(|_| true);
}

#[test]
fn plaintext_is_sealed_for_the_certificate_with_the_cipher_asked_for() {
    for (format, name) in [("AES-128", "aes-128-cbc"), ("AES-256", "aes-256-cbc")] {
        let mut site = site();
        site.properties += &format!("encryptionFormat={format}\n");
        // Sizes around a block, and one that comes in many pieces.
        for bytes in [1, 15, 16, 17, 5_000_000] {
            let id = format!("R{bytes}");
            add(&site, &id, Media { plain_bytes: bytes, ..voice(&id, Form::Plain) });
        }
        // The record says that it is encrypted, but its length is that of the plaintext.
        let says = Pkcs7::Always(Shape::ALL[0]);
        add(&site, "said", Media { pkcs7: says, ..voice("said", Form::Plain) });
        site.rcbs(&[]).exits(0);
        site.assert_holds(|_| true);
        let mut vectors = Vec::new();
        for (path, bytes) in site.tree().iter().filter(|(path, _)| path.ends_with(".bin")) {
            let file = site.target().join(path);
            let mut print = Command::new("openssl");
            print.args(["cms", "-cmsout", "-print", "-noout", "-inform", "DER", "-in"]).arg(&file);
            let printed = String::from_utf8(print.output().unwrap().stdout).unwrap();
            assert!(printed.contains(&format!("algorithm: {name} (")), "{printed}");
            assert!(printed.contains("issuer: CN=Basic Fictional Authority"), "{printed}");
            vectors.push(printed.split("OCTET STRING:").nth(1).unwrap()[..40].to_owned());
            // DER: the lengths are definite, and the outermost is that of the file.
            assert_eq!(rcbs::envelope::form(bytes), form_of_length(bytes.len()), "{path}");
        }
        vectors.sort();
        vectors.dedup();
        assert_eq!(vectors.len(), 6, "an initialisation vector was used twice");
    }
}

fn form_of_length(bytes: usize) -> rcbs::envelope::Form {
    rcbs::envelope::Form::Attached { bytes: bytes as u64 }
}

#[test]
fn sealed_media_whose_length_is_not_that_of_the_record_are_held_with_a_warning() {
    let site = site();
    let at = now_ms() - HOUR_MS;
    let media = voice("odd", Form::Plain);
    let time = rcbs_sim::world::metadata::api_time(at);
    let descriptor =
        format!(r#"{{"storage":"awsS3","path":"{}","data":{{"bucket":"{BUCKET}"}}}}"#, media.key);
    let json = format!(
        r#"{{"id":"R","startTime":"{time}","mediaFiles":[{{"mediaId":"odd.mp3.bin","type":"audio/mp3","size":"999","mediaDescriptor":{descriptor}}}]}}"#
    );
    site.sim.edit(|world| world.add(Recording::new("R", at).with(media).with_json(json)));
    let words = "recording R: media file odd.mp3.bin has 1000 bytes, and its record says 999";
    site.rcbs(&[]).exits(0).says(words);
    site.assert_holds(|_| true);
}

#[test]
fn no_byte_of_plaintext_is_in_a_file_that_is_still_being_written() {
    let mut site = site();
    site.properties += "s3MaxErrorRetry=0\n";
    let media = Media { plain_bytes: 4_000_000, ..voice("plain", Form::Plain) };
    add(&site, "R", media.clone());
    let object = site.sim.world().expected_object(BUCKET, &media.key);
    site.sim.add_fault(Fault::on(Route::S3, Action::Trickle(500_000)));
    let mut child = site.command(&[]).spawn().unwrap();
    let staged = site.target().join(".rcbs/staged");
    let deadline = Instant::now() + Duration::from_secs(60);
    let partial = loop {
        let longest = files_below(&staged).into_values().max_by_key(Vec::len).unwrap_or_default();
        if longest.len() > 200_000 {
            break longest;
        }
        assert!(Instant::now() < deadline, "nothing is being written");
        std::thread::yield_now();
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(partial.len() < object.len(), "the file was complete already");
    let is_in = |piece: &[u8]| partial.windows(16).any(|window| window == piece);
    assert!(object[..160_000].chunks_exact(16).step_by(100).all(|piece| !is_in(piece)));
    assert_eq!(
        rcbs::envelope::form(&partial[..32]),
        form_of_length(4_000_000 / 16 * 16 + 16 + head(&partial))
    );
}

/// How many bytes stand before the content of an envelope.
fn head(envelope: &[u8]) -> usize {
    rcbs::envelope::Head::read(envelope).unwrap().bytes
}

#[test]
fn what_does_not_belong_together_fails_alone_and_is_kept_as_it_came() {
    let other = Shape { place: Place::Promised(2_000), ..Shape::ALL[0] };
    let text = |text: &str| Pkcs7::Literal(text.into());
    let cases = [
        ("long", Form::DetachedOff(7), None, "its 1015 bytes cannot be AES-128-CBC ciphertext"),
        ("short", Form::DetachedOff(-16), None, "its 992 bytes cannot be AES-128-CBC ciphertext"),
        ("else", Form::Detached, Some(Pkcs7::IfDetached(other)), "is for another length"),
        ("words", Form::Detached, Some(text("not base64!")), "neither PEM nor base64"),
        ("zeros", Form::Detached, Some(text("AAAA")), "cannot be read: it is no envelope"),
        ("alone", Form::Detached, Some(Pkcs7::Never), "but there is no envelope"),
        (
            "page",
            Form::Literal(b"<html><body>Please log in to go on</body></html>".as_slice().into()),
            Some(Pkcs7::Always(Shape { text: Text::Pem, place: Place::Absent })),
            "it is a page of text",
        ),
    ];
    let site = site();
    add(&site, "good", voice("good", Form::Detached));
    for (id, form, pkcs7, _) in &cases {
        let media = voice(id, form.clone());
        add(&site, id, Media { pkcs7: pkcs7.clone().unwrap_or(media.pkcs7.clone()), ..media });
    }
    let run = site.rcbs(&[]);
    run.exits(3);
    assert_eq!(run.counts(), [1, 0, cases.len() as u64, cases.len() as u64 + 1], "{run}");
    for (id, _, _, why) in &cases {
        assert_named(&run, id, why);
        let raw = held(&site, &format!("/{id}.mp3.bin.raw")).unwrap_or_else(|| panic!("{id}"));
        let key = format!("by-hand/{id}.mp3.bin");
        assert!(site.tree()[&raw] == site.sim.world().expected_object(BUCKET, &key), "{id}");
        assert_eq!(held(&site, &format!("/{id}.mp3.bin")), None);
    }

    // Again: tried again, but kept once.
    let before = (site.tree(), site.old());
    site.rcbs(&[]).exits(3);
    assert!((site.tree(), site.old()) == before);

    // Cured at the source: held, and the other put away.
    for (id, ..) in &cases {
        add(&site, id, voice(id, Form::Detached));
    }
    site.rcbs(&[]).exits(0);
    site.assert_holds(|_| true);
    assert_eq!(site.old().keys().filter(|path| path.ends_with(".raw")).count(), cases.len());
}

#[track_caller]
fn assert_named(run: &Run, id: &str, why: &str) {
    let named = format!("recording `{id}`: media `{id}.mp3.bin`: ");
    let line = run.stderr.lines().find(|line| line.contains(&named));
    let line = line.unwrap_or_else(|| panic!("{named}\n{run}"));
    assert!(line.contains(why) && line.contains(".mp3.bin.raw`"), "{why}\n{line}");
}

#[test]
fn an_envelope_that_is_cut_off_at_the_source_is_kept_as_it_came() {
    let site = site();
    let whole = voice("whole", Form::Attached).object().unwrap();
    let cut = whole.read(0..whole.len() - 20);
    add(&site, "cut", voice("cut", Form::Literal(cut.clone().into())));
    let streamed = by_openssl(&[7; 5_000], &[0], &["-stream"]);
    let streamed = &streamed[..streamed.len() - 1];
    add(&site, "open", voice("open", Form::Literal(streamed.into())));
    add(&site, "good", voice("good", Form::Attached));
    let run = site.rcbs(&[]);
    run.exits(3);
    assert_named(&run, "cut", "by its own account");
    assert_named(&run, "open", "it is truncated: it ends before its envelope does");
    let raw = held(&site, "/cut.mp3.bin.raw").unwrap();
    assert!(site.tree()[&raw] == cut);
}

#[test]
fn a_certificate_that_nothing_can_be_encrypted_for_is_refused_before_anything_is_asked() {
    let site = site();
    let folder = site.folder.path();
    std::fs::write(folder.join("text.pem"), "no certificate").unwrap();
    let mut ec = Command::new("openssl");
    ec.current_dir(folder).args(["req", "-x509", "-newkey", "ec", "-nodes", "-subj", "/CN=E"]);
    ec.args(["-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", "ec.key", "-out", "ec.pem"]);
    assert!(ec.output().unwrap().status.success());
    for (file, words) in [
        ("none.pem", "cannot read encryptionCertificate `"),
        ("text.pem", "text.pem`: not a PEM certificate"),
        ("keys/tenant-0.key", "tenant-0.key`: not a PEM certificate"),
        ("ec.pem", "ec.pem`: the certificate's key is not an RSA key"),
    ] {
        let run = site.rcbs(&["--set", &format!("encryptionCertificate={file}")]);
        run.exits(2).says(words).says("hint: name a");
    }
    assert!(site.sim.requests().is_empty());
}

#[test]
fn a_certificate_that_expires_is_warned_of_at_the_end_of_each_backup() {
    let site = site();
    add(&site, "R", voice("R", Form::Plain));
    let warned = "warning: the certificate of `CN=";
    let run = site.rcbs(&["--set", "encryptionCertificate=keys/tenant-2.pem"]);
    run.exits(0).says(warned).says("expired on 20");
    let (_, behind) = run.stderr.split_once(warned).unwrap();
    assert!(!behind.contains("Finished <"), "{run}");
    site.assert_holds(|_| true);
    let run = site.rcbs(&[]);
    assert!(!run.exits(0).stderr.contains(warned), "{run}");
}
