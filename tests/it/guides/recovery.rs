//! docs/recovery.md: each section begins with what it is about.

use std::fs;

use rcbs_sim::{Form, Media, Recording};

use super::desk::{CALL, Desk, Section, codes, follow, nothing};
use crate::harness::{BUCKET, DAY_MS, HOUR_MS, Site, files_below, now_ms};

/// A recording of this hour, under the id of the page, whose media are there or not.
fn put_call(site: &Site, form: Form) {
    let mut media = Media::voice(&format!("{CALL}.mp3"), BUCKET, 300);
    media.form = form;
    site.sim.edit(|world| {
        // At another time it would be another recording.
        let known = world.find(CALL).map(|recording| recording.start_ms);
        world.put(Recording::new(CALL, known.unwrap_or(now_ms() - HOUR_MS)).with(media));
    });
}

/// A recording that appears now, and began so many days ago.
fn add(desk: &Desk, id: &str, days: i64) {
    desk.site.add(id, now_ms() - days * DAY_MS - HOUR_MS);
}

/// Copies a target, or the recordings alone.
fn copy(desk: &Desk, to: &str, with_state: bool) {
    desk.folder(to);
    let all = if with_state { "target/." } else { "target/20*" };
    desk.sh(&format!("cp -a {all} {to}")).exits(0);
}

/// Nothing of what the cloud keeps is missing: it keeps ninety days.
fn holds_what_the_cloud_keeps(desk: &Desk, _: &str) {
    desk.site.assert_holds(|recording| recording.start_ms > now_ms() - 90 * DAY_MS);
}

/// How many files each backup has downloaded.
fn downloaded(said: &str) -> Vec<&str> {
    let behind = said.split("(number downloaded files: ").skip(1);
    behind.map(|text| text.split(' ').next().unwrap()).collect()
}

#[test]
fn whoever_follows_the_page_of_recovery_gets_back_what_there_is() {
    let mut desk = Desk::new("/srv/rcbs");
    desk.site.sim.edit(|world| world.remove(CALL));
    desk.site.rcbs(&[]).exits(0);
    follow(
        "docs/recovery.md",
        &mut desk,
        &[
            Section {
                heading: "A run failed",
                before: |desk| {
                    put_call(&desk.site, Form::Absent);
                    desk.site.rcbs(&[]).exits(3);
                },
                after: |desk, said| {
                    assert!(said.contains("accepted the loss of"), "{said}");
                    // It comes back after all, and is held from then on.
                    put_call(&desk.site, Form::Attached);
                    desk.site.rcbs(&[]).exits(0);
                    holds_what_the_cloud_keeps(desk, said);
                },
            },
            Section {
                heading: "Files are damaged or missing",
                before: |desk| {
                    let tree = desk.site.tree();
                    let media: Vec<_> =
                        tree.iter().filter(|(path, _)| path.ends_with(".bin")).collect();
                    fs::remove_file(desk.site.target().join(media[0].0)).unwrap();
                    let mut bytes = media[1].1.clone();
                    let last = bytes.len() - 1;
                    bytes[last] ^= 1;
                    fs::write(desk.site.target().join(media[1].0), bytes).unwrap();
                },
                after: |desk, said| {
                    assert!(said.contains("damaged: 1, missing: 1, repaired: 2"), "{said}");
                    holds_what_the_cloud_keeps(desk, said);
                },
            },
            Section {
                heading: "The ledger is gone or damaged",
                before: |desk| {
                    for end in ["", "-wal", "-shm"] {
                        let _ = fs::remove_file(
                            desk.site.target().join(format!(".rcbs/ledger.sqlite{end}")),
                        );
                    }
                },
                after: |_, said| assert!(said.contains("there is no ledger"), "{said}"),
            },
            Section {
                heading: "The watermark is gone or wrong",
                before: |desk| {
                    // What lies between is left out.
                    add(desk, "BETWEEN", 20);
                    desk.site.set_watermark(now_ms());
                    desk.site.rcbs(&["--set", "overlap=0", "--set", "rescan=0"]).exits(0);
                    assert!(desk.site.tree().keys().all(|path| !path.contains("BETWEEN")));
                },
                after: |desk, said| {
                    assert!(desk.site.watermark().is_some());
                    holds_what_the_cloud_keeps(desk, said);
                },
            },
            Section {
                heading: "There is a copy of the target",
                before: |desk| {
                    copy(desk, "/mnt/copy/target", true);
                    add(desk, "SINCE THE COPY", 0);
                    desk.remove("target");
                },
                after: |desk, said| {
                    assert_eq!(downloaded(said), ["1"], "{said}");
                    holds_what_the_cloud_keeps(desk, said);
                },
            },
            Section {
                heading: "There is a copy of the recordings alone",
                before: |desk| {
                    copy(desk, "/mnt/copy/recordings", false);
                    add(desk, "SINCE THE OTHER COPY", 30);
                    desk.remove("target");
                },
                after: |desk, said| {
                    assert_eq!(downloaded(said), ["1"], "{said}");
                    holds_what_the_cloud_keeps(desk, said);
                },
            },
            Section {
                heading: "There is no copy",
                before: |desk| desk.remove("target"),
                after: |desk, said| {
                    assert!(said.contains("it fits") || said.contains("free"), "{said}");
                    holds_what_the_cloud_keeps(desk, said);
                },
            },
            Section { heading: "In each case", before: nothing, after: codes },
            Section {
                heading: "The state was on another disk",
                before: |desk| {
                    desk.remove("target");
                    desk.site.rcbs(&["--set", "stateDir=state"]).exits(0);
                    desk.remove("target");
                    desk.folder("target");
                    let run = desk.site.rcbs(&["--set", "stateDir=state"]);
                    run.exits(6).says("is the disk mounted?");
                },
                after: holds_what_the_cloud_keeps,
            },
            Section {
                heading: "Moving to another disk",
                before: |desk| {
                    desk.remove("target");
                    desk.site.rcbs(&[]).exits(0);
                    desk.folder("/mnt/new");
                    desk.site.sim.clear_requests();
                },
                after: |desk, said| {
                    assert!(desk.site.sim.media_opened().is_empty(), "{said}");
                    let old = files_below(&desk.site.target());
                    let new = files_below(&desk.path("/mnt/new/target"));
                    let recordings = |path: &&String| path.starts_with("20");
                    assert!(old.keys().filter(recordings).eq(new.keys().filter(recordings)));
                },
            },
            Section {
                heading: "The retention ends tomorrow",
                before: |desk| {
                    desk.site.properties = desk.site.properties.replace("targetDir=", "#");
                    desk.remove("target");
                    // The oldest are of 2018 again.
                    desk.site.sim.edit(|world| {
                        world.remove(CALL);
                        let voice = Media::voice(&format!("{CALL}.mp3"), BUCKET, 300);
                        world.add(Recording::new(CALL, super::desk::CALL_MS).with(voice));
                    });
                    desk.site.rcbs(&["--set", "maxAge=P90D"]).exits(0);
                },
                after: |desk, said| {
                    // Voice, screens, nothing more here, and the share of the other machine.
                    assert_eq!(downloaded(said), ["2", "1", "0", "1"], "{said}");
                    assert_eq!(said.matches("Complete: 2 held").count(), 2, "{said}");
                    desk.holds_all();
                },
            },
        ],
    );
}
