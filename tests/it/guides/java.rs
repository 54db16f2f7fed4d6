//! docs/from-java.md.

use std::fs;

use rcbs_sim::envelope::write_keys;

use super::desk::{Desk, Section, follow, nothing};
use crate::harness::{DAY_MS, files_below, now_ms};
use crate::pages;

/// The configuration as the Java tool's documents have it, but for the addresses.
const DOCUMENTED: &str = "maxAge=3\nminAge=0\nskipLastRecordingCheck=false\nshardBy=1\noverlap=6\n\
    mediaTypePattern=audio\\/mp3|video\\/mp4\nrecordingFolderFormat=yyyy/MM/dd/HH\n\
    encryptionFormat=AES-128\nmetadataOnly=false\nusePayloadSigning=false\n\
    downloadMode=multithread\nnumThreads=4\ngwsRecordingsUri=/recordings\n\
    gwsSettingsUri=/me/settings/rcbs\n";

/// Leaves the target of the Java tool: its own names of metadata and of screens, no state, and one
/// file that was cut off.
fn leave_java_target(desk: &mut Desk) {
    desk.remove("target");
    desk.site.rcbs(&[]).exits(0);
    let target = desk.site.target();
    fs::remove_dir_all(target.join(".rcbs")).unwrap();
    fs::remove_file(target.join("last_recording_endtime.txt")).unwrap();
    let mut has_cut = false;
    for (path, bytes) in files_below(&target) {
        let renamed = path.replace("_metadata.json", ".json").replace(".mp4.bin", ".bin");
        fs::rename(target.join(&path), target.join(&renamed)).unwrap();
        if path.ends_with(".mp3.bin") && !has_cut {
            fs::write(target.join(&renamed), &bytes[..bytes.len() - 3]).unwrap();
            has_cut = true;
        }
    }
    desk.write("last_recording_endtime.txt", &(now_ms() - DAY_MS).to_string());
    desk.site.sim.clear_requests();
}

#[test]
fn whoever_follows_the_page_of_the_java_tool_goes_on_where_that_ended() {
    let mut desk = Desk::new("/opt/genesys/rcbs");
    desk.site.properties = desk.site.properties.replace("maxAge=3\n", DOCUMENTED);
    write_keys(&desk.folder("keys")).unwrap();
    follow(
        "docs/from-java.md",
        &mut desk,
        &[
            Section {
                heading: "Coming from the Java tool",
                before: leave_java_target,
                after: |desk, said| {
                    assert!(!said.contains("warning"), "{said}");
                    assert!(said.contains("Successfully Verified Connection to"), "{said}");
                    assert!(!desk.path("target/.rcbs").exists(), "{said}");
                    // To verify is to look for a folder.
                    let opened = desk.site.sim.media_opened();
                    assert!(opened.iter().all(|place| place.ends_with('/')), "{opened:?}");
                },
            },
            Section {
                heading: "The cron line",
                before: nothing,
                after: |_, said| assert!(said.contains("30 4,10,16,22 * * * cd '"), "{said}"),
            },
            Section {
                heading: "The watermark",
                before: nothing,
                after: |desk, said| {
                    assert!(said.contains("would download: 3 of 3 media files"), "{said}");
                    assert!(said.contains("number downloaded files: 3 "), "{said}");
                    assert_eq!(desk.site.watermark(), None);
                },
            },
            Section {
                heading: "The first run",
                before: |desk| {
                    leave_java_target(desk);
                    let before = files_below(&desk.site.target());
                    let list: Vec<_> = before.into_keys().collect();
                    desk.write("before", &list.join("\n"));
                },
                after: |desk, said| {
                    assert!(said.contains("continuing from the watermark in"), "{said}");
                    // The one that was cut off is in the window of the run.
                    assert!(said.contains("what was there is kept in `.rcbs/old`"), "{said}");
                    assert!(said.contains("damaged: 0, missing: 0"), "{said}");
                    // Everything that was there is there, and nothing else was fetched twice.
                    let now = files_below(&desk.site.target());
                    for path in fs::read_to_string(desk.path("before")).unwrap().lines() {
                        assert!(now.contains_key(path), "{path}");
                    }
                    let opened = desk.site.sim.media_opened();
                    let voices = opened.iter().filter(|place| place.contains(".mp3"));
                    assert_eq!(voices.count(), 1, "{opened:?}");
                    the_cron_line_is_right(desk);
                },
            },
        ],
    );
}

/// Runs the line that the page puts in the place of the old one, as cron does.
fn the_cron_line_is_right(desk: &Desk) {
    let blocks = pages::blocks(&pages::text("docs/from-java.md"));
    let [before, after] = ["java -jar", "/usr/local/bin/rcbs"].map(|words| {
        let is_line = |text: &&str| text.starts_with("30 4,") && text.contains(words);
        let mut lines = blocks.iter().flat_map(|block| block.text.lines()).filter(is_line);
        lines.next().unwrap_or_else(|| panic!("no line with {words}")).to_owned()
    });
    assert_eq!(before.replace("java -jar rp_clouddownload.jar", "/usr/local/bin/rcbs"), after);
    let built = env!("CARGO_BIN_EXE_rcbs");
    #[cfg(unix)]
    std::os::unix::fs::symlink(built, desk.path("/usr/local/bin/rcbs")).unwrap();
    let command = after.splitn(6, ' ').last().unwrap();
    desk.sh(&format!("PATH=/usr/bin:/bin; {command}")).exits(0).says("number downloaded files: 0 ");
}
