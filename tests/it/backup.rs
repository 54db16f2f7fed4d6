//! A whole backup, again, and in shares; what is left out.

use rcbs_sim::{Media, Recording};
use xxhash_rust::xxh3::xxh3_64;

use crate::harness::{BUCKET, HOUR_MS, REGION, Site, now_ms};

#[test]
fn a_backup_holds_every_recording_and_a_rerun_opens_no_media() {
    let site = Site::of(200);
    let first = site.rcbs(&[]);
    first.exits(0).says("in 3 shards");
    let [downloaded, skipped, failed, total] = first.counts();
    assert_eq!((skipped, failed), (0, 0), "{first}");
    assert_eq!(downloaded, total, "{first}");
    site.assert_holds(|_| true);

    site.sim.clear_requests();
    let second = site.rcbs(&[]);
    second.exits(0);
    assert_eq!(second.counts()[0], 0, "{second}");
    assert_eq!(site.sim.media_opened(), Vec::<String>::new());
    assert!(site.watermark().unwrap() <= now_ms());
}

#[test]
fn instances_hold_exactly_their_shares_and_the_last_one_completes_the_set() {
    let site = Site::of(120);
    let mut held = Vec::new();
    for instance in [2, 0, 1] {
        let id = format!("rcbsInstanceId={instance}");
        let run = site.rcbs(&["--set", "totalRcbsInstances=3", "--set", &id]);
        run.exits(0);
        let is_mine =
            |recording: &Recording| xxh3_64(recording.id.as_bytes()) % 3 == instance as u64;
        site.assert_holds(is_mine);
        let mine = site.sim.world().recordings().filter(|one| is_mine(one)).count();
        assert!(mine > 20, "a share of {mine}");
        held.extend(site.tree().into_keys());
        // Each has a target of its own.
        let elsewhere = site.folder.path().join(format!("target-{instance}"));
        std::fs::rename(site.target(), elsewhere).unwrap();
    }
    let all = held.len();
    held.sort();
    held.dedup();
    assert_eq!(held.len(), all, "no file is held twice");
    let world = site.sim.world();
    let files: usize = world.recordings().map(|recording| 1 + recording.media.len()).sum();
    assert_eq!(all, files);
}

#[test]
fn media_of_other_types_are_left_out_and_counted_by_type() {
    let mut site = Site::of(0);
    site.properties += REGION;
    let types = [
        ("a.mp3.bin", Some("audio/mp3")),
        ("b.mp4", Some("VIDEO/MP4; codecs=avc1")),
        ("c", None),
        ("d", Some("")),
        ("e.txt", Some("text/plain")),
        ("f.txt", Some("Text/Plain; charset=utf-8")),
        ("g.mp3", Some("audio/mp3x")),
    ];
    let mut recording = Recording::new("R", now_ms() - HOUR_MS);
    for (id, mime) in types {
        let mime = mime.map(str::to_owned);
        recording = recording.with(Media { mime, ..Media::voice(id, BUCKET, 100) });
    }
    site.sim.edit(|world| world.add(recording));
    let run = site.rcbs(&[]);
    run.exits(0).says("Left out 1 file of type `text/plain`");
    run.says("Left out 1 file of type `audio/mp3x`");
    assert_eq!(run.counts(), [4, 0, 0, 4], "{run}");
    site.assert_holds_but(&["e.txt", "f.txt", "g.mp3"], |_| true);
    assert_eq!(site.sim.media_opened().len(), 4);
}

#[test]
fn metadata_alone_need_no_s3_credentials() {
    let mut site = Site::of(30);
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        site.environment.insert(name, None);
    }
    site.rcbs(&[]).exits(2).says("AWS_ACCESS_KEY_ID");
    site.rcbs(&["--set", "metadataOnly=true"]).exits(0);
    let tree = site.tree();
    assert_eq!(tree.len(), 30);
    assert!(tree.keys().all(|path| path.ends_with("_metadata.json")));
    assert_eq!(site.sim.media_opened(), Vec::<String>::new());
}
