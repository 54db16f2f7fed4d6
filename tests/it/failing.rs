//! One media file that cannot be had.

use std::sync::Arc;

use rcbs_sim::fault::{Action, Fault};
use rcbs_sim::s3::{Algorithm, ETagKind};
use rcbs_sim::{Form, Hits, Media, Recording, Route};

use crate::harness::{BUCKET, DAY_MS, HOUR_MS, REGION, Run, Site, now_ms};

/// A site of three shards, the first of which begins at the watermark given.
fn three_shards() -> (Site, i64) {
    let mut site = Site::of(25);
    let watermark = now_ms() - 5 * DAY_MS / 2;
    site.set_watermark(watermark);
    site.properties += "overlap=0\nrescan=0\nshardBy=1\n";
    site.properties += REGION;
    (site, watermark)
}

/// Some recording of the second shard, with its first media file.
fn victim(site: &Site, watermark: i64) -> (Arc<Recording>, Media) {
    let world = site.sim.world();
    let second = world.rows_between(watermark + DAY_MS, watermark + 2 * DAY_MS);
    let recording = world.recording(&second[second.len() / 2]);
    let media = recording.media[0].clone();
    (recording, media)
}

#[track_caller]
fn assert_named_as_it_happens_and_at_the_end(run: &Run, recording: &str, media: &str, why: &str) {
    let line = format!("recording `{recording}`: media `{media}`: ");
    let (meanwhile, end) = run.stderr.split_once("error: not everything is saved\n").unwrap();
    for part in [meanwhile, end] {
        let named: Vec<&str> = part.lines().filter(|text| text.contains(&line)).collect();
        assert!(matches!(named[..], [one] if one.contains(why)), "«{why}» in\n{run}");
    }
}

#[test]
fn a_failing_recording_is_named_holds_the_watermark_and_is_all_that_the_next_run_fetches() {
    let cases = [
        (Action::s3_error(403, "AccessDenied"), "access denied"),
        (Action::s3_error(404, "NoSuchKey"), "no such object"),
        (Action::s3_error(500, "InternalError"), "the server answered 500"),
        (Action::Corrupt(77), "Md5 checksum"),
        (Action::Truncate(50), "the connection broke off"),
        (Action::WrongLength(9), "the connection broke off"),
        (Action::WrongLength(-9), "do not match"),
        (Action::WrongETag(format!("\"{:032x}\"", 7)), "Md5 checksum"),
        (Action::html(), "it is a page of text; kept as"),
        (Action::Reset, "the connection broke off"),
    ];
    for (action, why) in cases {
        let (site, watermark) = three_shards();
        let (recording, media) = victim(&site, watermark);
        site.sim.add_fault(Fault::on(Route::S3, action.clone()).containing(&media.key));
        let run = site.rcbs(&[]);
        run.exits(3);
        assert_named_as_it_happens_and_at_the_end(&run, &recording.id, &media.media_id, why);
        assert_eq!(run.counts()[2], 1, "{action:?} {run}");
        site.assert_holds_but(&[&media.media_id], |_| true);
        assert_eq!(site.watermark(), Some(watermark + DAY_MS), "{action:?}");

        site.sim.clear_faults();
        site.sim.clear_requests();
        site.rcbs(&[]).exits(0);
        let key = format!("{}/{}", media.bucket, media.key);
        assert_eq!(site.sim.media_opened(), [key], "{action:?}");
        site.assert_holds(|_| true);
        assert!(site.watermark().unwrap() > watermark + 2 * DAY_MS);
    }
}

#[test]
fn what_comes_damaged_once_is_fetched_again_whatever_sum_tells() {
    let algorithms = [
        Algorithm::Crc32,
        Algorithm::Crc32c,
        Algorithm::Crc64Nvme,
        Algorithm::Sha1,
        Algorithm::Sha256,
    ];
    let by_sum = algorithms.map(|algorithm| (ETagKind::Multipart, Some(algorithm), 2));
    let without = [
        (ETagKind::Md5UpTo(1 << 20), None, 2),
        // Neither is an MD5 of the object: what comes whole is believed.
        (ETagKind::Multipart, None, 1),
        (ETagKind::Kms, None, 1),
    ];
    for (etag, checksum, opened) in by_sum.into_iter().chain(without) {
        let mut site = Site::of(0);
        site.properties += REGION;
        let media = site.add("R", now_ms() - HOUR_MS);
        site.sim.s3(|s3| (s3.etag, s3.checksum) = (etag, checksum));
        if opened == 2 {
            let once = Fault::on(Route::S3, Action::Corrupt(100)).containing(&media);
            site.sim.add_fault(once.hits(Hits::First(1)));
        }
        site.rcbs(&[]).exits(0);
        assert_eq!(site.sim.media_opened().len(), opened, "{etag:?} {checksum:?}");
        site.assert_holds(|_| true);
    }
}

#[test]
fn damage_in_the_first_bytes_is_noticed_before_they_decide_what_the_object_is() {
    for bytes in [300, 20_000] {
        let mut site = Site::of(0);
        site.properties += REGION;
        let media = Media::voice("R.mp3.bin", BUCKET, bytes);
        site.sim.edit(|world| world.add(Recording::new("R", now_ms() - HOUR_MS).with(media)));
        site.sim.add_fault(Fault::on(Route::S3, Action::Corrupt(1)).hits(Hits::First(1)));
        site.rcbs(&[]).exits(0);
        assert_eq!(site.sim.media_opened().len(), 2, "{bytes}");
        site.assert_holds(|_| true);
    }
}

#[test]
fn what_is_not_encrypted_is_not_written_without_a_certificate_not_even_to_the_staging_folder() {
    let site = Site::of(5);
    let bare = Media { form: Form::Plain, ..Media::voice("bare.mp3", BUCKET, 5_000) };
    site.sim.edit(|world| world.add(Recording::new("R", now_ms() - HOUR_MS).with(bare)));
    let run = site.rcbs(&[]);
    run.exits(3);
    let why = "it is not encrypted, and no encryptionCertificate says for whom to encrypt it";
    assert_named_as_it_happens_and_at_the_end(&run, "R", "bare.mp3", why);
    site.assert_holds_but(&["bare.mp3"], |_| true);
    let staged = std::fs::read_dir(site.target().join(".rcbs/staged")).unwrap();
    assert_eq!(staged.count(), 0);
}

#[test]
fn an_empty_object_is_kept_as_it_is_with_a_warning() {
    let site = Site::of(0);
    let mut empty = Media::voice("empty.mp3.bin", BUCKET, 0);
    empty.form = Form::Empty;
    site.sim.edit(|world| world.add(Recording::new("R", now_ms() - HOUR_MS).with(empty)));
    site.rcbs(&[]).exits(0).says("media file empty.mp3.bin is empty at the source");
    site.assert_holds(|_| true);
}

#[test]
fn an_empty_answer_that_names_no_object_is_no_empty_object() {
    let mut site = Site::of(0);
    site.properties += REGION;
    let media = site.add("R", now_ms() - HOUR_MS);
    site.sim.add_fault(Fault::on(Route::S3, Action::status(200)).hits(Hits::First(2)));
    let why = "the answer is empty and names no object, and its record says 300 bytes";
    let run = site.rcbs(&[]);
    assert_named_as_it_happens_and_at_the_end(run.exits(3), "R", &media, why);
    site.rcbs(&[]).exits(0);
    site.assert_holds(|_| true);
}

#[test]
fn a_file_that_fails_beside_one_that_does_not_costs_no_second_download() {
    let mut site = Site::of(0);
    site.properties += REGION;
    let good = Media::voice("good.mp3.bin", BUCKET, 100);
    let bad = Media::voice("bad.mp3.bin", BUCKET, 100);
    let recording = Recording::new("R", now_ms() - HOUR_MS).with(good).with(bad);
    site.sim.edit(|world| world.add(recording));
    site.sim.s3(|s3| s3.denied = vec!["bad.mp3.bin".to_owned()]);
    site.rcbs(&[]).exits(3);
    site.sim.clear_requests();
    assert_ne!(site.rcbs(&[]).code, 0);
    let key = format!("{BUCKET}/by-hand/bad.mp3.bin");
    assert_eq!(site.sim.media_opened(), [key]);
    site.assert_holds_but(&["bad.mp3.bin"], |_| true);
}
