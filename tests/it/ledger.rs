//! What is remembered from run to run: the ledger and what is done by it.

use rcbs_sim::fault::{Action, Fault};
use rcbs_sim::{Hits, Media, Recording, Route};
use rusqlite::Connection;

use crate::harness::{BUCKET, DAY_MS, HOUR_MS, Run, Site, now_ms};

fn ledger(site: &Site) -> Connection {
    Connection::open(site.target().join(".rcbs/ledger.sqlite")).unwrap()
}

fn number(site: &Site, query: &str) -> i64 {
    ledger(site).query_row(query, [], |row| row.get(0)).unwrap_or_else(|e| panic!("{query}: {e}"))
}

fn text(site: &Site, query: &str) -> String {
    ledger(site).query_row(query, [], |row| row.get(0)).unwrap_or_else(|e| panic!("{query}: {e}"))
}

/// A site whose first backup is done, over the last days.
fn backed_up(recordings: usize) -> Site {
    let site = Site::of(recordings);
    site.rcbs(&[]).exits(0);
    site.sim.clear_requests();
    site
}

#[test]
fn every_file_stands_in_the_ledger_with_its_length_its_sum_and_where_it_came_from() {
    use openssl::sha::sha256;
    let site = backed_up(30);
    let tree = site.tree();
    let connection = ledger(&site);
    let mut rows = 0;
    let query = "SELECT folder || '/' || name, bytes, sha256, checked, etag, form, key_serial \
                 FROM media JOIN recordings ON recording = key";
    let mut statement = connection.prepare(query).unwrap();
    let mut found = statement.query([]).unwrap();
    while let Some(row) = found.next().unwrap() {
        let (path, bytes): (String, i64) = (row.get(0).unwrap(), row.get(1).unwrap());
        let file = &tree[&path];
        assert_eq!(file.len() as i64, bytes, "{path}");
        assert_eq!(row.get::<_, [u8; 32]>(2).unwrap(), sha256(file), "{path}");
        assert_eq!(row.get::<_, String>(3).unwrap(), "length md5");
        assert!(!row.get::<_, String>(4).unwrap().contains('"'));
        assert_eq!(row.get::<_, String>(5).unwrap(), "attached");
        assert!(row.get::<_, Option<String>>(6).unwrap().is_some());
        rows += 1;
    }
    assert_eq!(rows, tree.keys().filter(|path| path.ends_with(".bin")).count());
    let query = "SELECT folder || '/' || id || '_metadata.json', metadata_bytes, metadata_sha256 \
                 FROM recordings";
    let mut statement = connection.prepare(query).unwrap();
    let mut found = statement.query([]).unwrap();
    while let Some(row) = found.next().unwrap() {
        let file = &tree[&row.get::<_, String>(0).unwrap()];
        assert_eq!(row.get::<_, i64>(1).unwrap(), file.len() as i64);
        assert_eq!(row.get::<_, [u8; 32]>(2).unwrap(), sha256(file));
    }
    let run = "SELECT version || ' ' || exit_code || ' ' || (ended_at >= started_at) || ' ' || \
               downloaded || ' ' || failed FROM runs";
    assert_eq!(text(&site, run), format!("{} 0 1 {rows} 0", env!("CARGO_PKG_VERSION")));
}

#[test]
fn what_was_moved_away_is_fetched_again_unless_it_is_to_be_remembered() {
    let mut site = backed_up(12);
    let tree = site.tree();
    let media: Vec<_> = tree.keys().filter(|path| path.ends_with(".bin")).cloned().collect();
    let moved = &media[0];
    let id = moved.split('/').nth(4).unwrap().to_owned();
    let remove_all_of = |site: &Site| {
        std::fs::remove_dir_all(site.target().join(moved).parent().unwrap()).unwrap();
    };
    let of_it = media.iter().filter(|path| path.contains(&id)).count() as u64;

    std::fs::remove_file(site.target().join(moved)).unwrap();
    assert_eq!(site.rcbs(&["--set", "skipLastRecordingCheck=true"]).exits(0).counts()[0], 1);
    assert_eq!(site.tree(), tree);

    site.properties += "rememberMoved=true\nskipLastRecordingCheck=true\n";
    remove_all_of(&site);
    site.sim.clear_requests();
    for _ in 0..2 {
        let run = site.rcbs(&[]);
        // The line of the original has no place for them but among the skipped.
        assert_eq!(run.exits(0).counts(), [0, media.len() as u64, 0, media.len() as u64]);
        let files = if of_it == 1 { "1 file".to_owned() } else { format!("{of_it} files") };
        run.says(&format!("Not downloaded again, as it was moved away: {files}"));
        assert!(site.tree().keys().all(|path| !path.contains(&id)), "nothing of it comes back");
    }
    assert_eq!(site.sim.media_opened(), Vec::<String>::new());

    assert_eq!(site.rcbs(&["--again", "another"]).exits(0).counts()[0], 0);
    assert_eq!(site.rcbs(&["--again", &id]).exits(0).counts()[0], of_it);
    assert_eq!(site.tree(), tree);
    remove_all_of(&site);
    assert_eq!(site.rcbs(&["--again", "all"]).exits(0).counts()[0], of_it);
    assert_eq!(site.tree(), tree);
}

#[test]
fn a_recording_that_was_moved_away_is_asked_for_again_by_its_id_outside_of_the_window_too() {
    let mut site = Site::of(0);
    site.properties += "rememberMoved=true\n";
    site.add("OLD", now_ms() - 2 * DAY_MS);
    site.rcbs(&[]).exits(0);
    let tree = site.tree();
    std::fs::remove_dir_all(site.target().join(tree.keys().next().unwrap()).parent().unwrap())
        .unwrap();
    let window = ["--set", "overlap=1", "--set", "rescan=0"];
    assert_eq!(site.rcbs(&window).exits(0).counts(), [0; 4]);
    let again = [&window[..], &["--again", "OLD"]].concat();
    assert_eq!(site.rcbs(&again).exits(0).counts(), [1, 0, 0, 1]);
    assert_eq!(site.tree(), tree);
}

/// A site where a recording two days ago failed in a one-time run, and the watermark has passed.
fn with_a_failure_behind_the_watermark() -> (Site, String) {
    let mut site = Site::of(0);
    site.properties += "overlap=1\nrescan=0\n";
    let at = now_ms() - 2 * DAY_MS;
    let media = site.add("LATE", at);
    site.set_watermark(now_ms() - HOUR_MS);
    let broken = Fault::on(Route::S3, Action::s3_error(404, "NoSuchKey"));
    site.sim.add_fault(broken);
    let range = [(at - 1).to_string(), (at + 1).to_string()];
    site.rcbs(&["--from", &range[0], "--to", &range[1]]).exits(3);
    (site, media)
}

#[test]
fn what_failed_is_tried_first_by_the_next_run_outside_of_its_window_too() {
    let (site, _) = with_a_failure_behind_the_watermark();
    site.add("NEW", now_ms() - 60_000);
    let run = site.rcbs(&[]);
    // Both objects are forbidden, the old one and the new one.
    assert_eq!(run.counts(), [0, 0, 2, 2]);
    assert_eq!(number(&site, "SELECT attempts FROM failures WHERE id = 'LATE'"), 2);
    site.sim.clear_faults();
    site.sim.clear_requests();
    let one_by_one = ["--set", "downloadMode=single"];
    assert_eq!(site.rcbs(&one_by_one).exits(0).counts(), [2, 0, 0, 2]);
    let opened = site.sim.media_opened();
    assert!(opened[0].contains("LATE"), "what failed comes first: {opened:?}");
    assert_eq!(number(&site, "SELECT count(*) FROM failures"), 0);
    site.sim.clear_requests();
    site.rcbs(&[]).exits(0);
    assert_eq!(site.sim.media_opened(), Vec::<String>::new());
    // One page with the new recording, and one that brings nothing more.
    assert_eq!(site.sim.listings(), 2, "nothing is asked for but the window");
}

#[test]
fn what_failed_in_the_window_is_tried_first_and_counted_once() {
    let mut site = Site::of(40);
    site.properties += "skipLastRecordingCheck=true\n";
    let failing = site.add("FAILS", now_ms() - HOUR_MS);
    let fault = Fault::on(Route::S3, Action::s3_error(404, "NoSuchKey")).containing(&failing);
    site.sim.add_fault(fault);
    let first = site.rcbs(&[]);
    let [_, _, failed, total] = first.exits(3).counts();
    assert_eq!(failed, 1);
    let second = site.rcbs(&[]);
    assert_eq!(second.exits(3).counts(), [0, total - 1, 1, total]);
    second.says("trying first what failed or was incomplete in earlier runs: 1");
    second.says("media files that failed: 1");
    site.sim.clear_faults();
    site.sim.clear_requests();
    assert_eq!(site.rcbs(&[]).exits(0).counts(), [1, total - 1, 0, total]);
    site.assert_holds(|_| true);
}

#[test]
fn what_failed_and_is_listed_no_more_is_named_and_makes_the_run_incomplete() {
    let (site, media) = with_a_failure_behind_the_watermark();
    site.sim.clear_faults();
    site.sim.edit(|world| assert!(world.remove("LATE")));
    for _ in 0..2 {
        let run = site.rcbs(&[]);
        assert_eq!(run.exits(3).counts(), [0; 4]);
        run.says(&format!(
            "recording `LATE`: media `{media}`: it is listed no more; it failed with"
        ));
    }
    // In the window it holds the watermark too.
    let site = Site::of(5);
    let media = site.add("GONE", now_ms() - 2 * DAY_MS);
    let fault = Fault::on(Route::S3, Action::s3_error(404, "NoSuchKey")).containing(&media);
    site.sim.add_fault(fault);
    site.rcbs(&["--set", "shardBy=PT6H"]).exits(3);
    let watermark = site.watermark();
    site.sim.edit(|world| assert!(world.remove("GONE")));
    let run = site.rcbs(&["--set", "shardBy=PT6H"]);
    run.exits(3).says("missing since earlier runs and not listed now: 1");
    assert_eq!(site.watermark(), watermark);
}

#[test]
fn a_media_file_that_failed_and_vanished_from_its_record_is_not_forgotten() {
    let site = Site::of(0);
    let start = now_ms() - HOUR_MS;
    let voice = |n: u32| Media::voice(&format!("R_{n}.mp3.bin"), BUCKET, 300);
    site.sim.edit(|world| world.add(Recording::new("R", start).with(voice(1)).with(voice(2))));
    let fault = Fault::on(Route::S3, Action::s3_error(404, "NoSuchKey")).containing("R_2");
    site.sim.add_fault(fault);
    site.rcbs(&[]).exits(3);
    site.sim.edit(|world| world.put(Recording::new("R", start).with(voice(1))));
    for _ in 0..3 {
        let run = site.rcbs(&[]);
        run.exits(3).says("media `R_2.mp3.bin`: its record lists it no more; it failed with");
        run.says("missing since earlier runs and not listed now: 1");
        assert!(site.watermark().unwrap() < start);
    }
}

#[test]
fn late_media_are_asked_for_until_the_rescan_is_over() {
    let mut site = Site::of(0);
    site.properties += "overlap=1\nrescan=P2D\n";
    let screen = |at: i64, is_late: bool| {
        let screen = Media {
            mime: Some("video/mp4".to_owned()),
            late: is_late,
            ..Media::voice("S_screen.mp4.bin", BUCKET, 400)
        };
        let voice = Media::voice("S_voice.mp3.bin", BUCKET, 300);
        let recording = Recording::new("S", at).with(voice).with(screen);
        Recording { metadata_bytes: 20_000, ..recording }
    };
    let at = now_ms() - DAY_MS;
    site.sim.edit(|world| world.add(screen(at, true)));
    site.rcbs(&[]).exits(0);
    assert_eq!(text(&site, "SELECT awaits FROM recordings"), "screen");
    // Today's rescan is done by a first run, so that only the errand can bring it.
    site.rcbs(&[]).exits(0);
    site.sim.clear_requests();
    assert_eq!(site.rcbs(&[]).exits(0).counts(), [0, 1, 0, 1]);
    site.sim.edit(|world| world.publish_late());
    assert_eq!(site.rcbs(&[]).exits(0).counts(), [1, 1, 0, 2]);
    assert_eq!(number(&site, "SELECT count(*) FROM recordings WHERE awaits IS NOT NULL"), 0);
    site.assert_holds(|_| true);
    site.sim.clear_requests();
    assert_eq!(site.rcbs(&[]).exits(0).counts(), [0; 4]);
}

#[test]
fn a_file_that_got_its_name_before_the_ledger_was_written_is_taken_into_it() {
    let site = backed_up(10);
    let rows = number(&site, "SELECT count(*) FROM media");
    ledger(&site).execute("DELETE FROM media", []).unwrap();
    let run = site.rcbs(&["--set", "skipLastRecordingCheck=true"]);
    assert_eq!(run.exits(0).counts(), [0, rows as u64, 0, rows as u64]);
    assert_eq!(site.sim.media_opened(), Vec::<String>::new());
    let whole = "SELECT count(*) FROM media WHERE sha256 IS NOT NULL AND key_serial IS NOT NULL";
    assert_eq!(number(&site, whole), rows);
}

#[test]
fn a_file_of_another_length_than_the_ledger_says_is_fetched_again_and_what_was_there_is_kept() {
    let site = backed_up(5);
    let tree = site.tree();
    let path = tree.keys().find(|path| path.ends_with(".bin")).unwrap();
    std::fs::write(site.target().join(path), b"cut").unwrap();
    let run = site.rcbs(&["--set", "skipLastRecordingCheck=true"]);
    assert_eq!(run.exits(0).counts()[0], 1);
    run.says("had 3 bytes on the disk instead of");
    assert_eq!(site.tree(), tree);
    assert_eq!(site.old().into_values().collect::<Vec<_>>(), [b"cut"]);
}

/// Cuts off a media file, as one is that a program was writing when it was stopped.
fn cut(site: &Site) -> Vec<u8> {
    let tree = site.tree();
    let (path, bytes) = tree.iter().find(|(path, _)| path.ends_with(".bin")).unwrap();
    let cut = &bytes[..bytes.len() - 3];
    std::fs::write(site.target().join(path), cut).unwrap();
    cut.to_vec()
}

#[test]
fn a_file_of_another_program_that_was_cut_off_is_fetched_again_and_the_others_are_taken() {
    let site = backed_up(10);
    let tree = site.tree();
    let cut = cut(&site);
    std::fs::remove_dir_all(site.target().join(".rcbs")).unwrap();
    std::fs::remove_file(site.target().join("last_recording_endtime.txt")).unwrap();
    let run = site.rcbs(&[]);
    assert_eq!(run.exits(0).counts()[0], 1);
    run.says("what was there is kept in `.rcbs/old`");
    assert_eq!(site.tree(), tree);
    assert_eq!(site.old().into_values().collect::<Vec<_>>(), [cut]);
}

#[test]
fn a_cut_file_is_noticed_where_the_ledger_is_made_again_and_mended_outside_of_the_window() {
    let mut site = Site::of(0);
    site.properties += "overlap=1\nrescan=0\n";
    site.add("OLD", now_ms() - 2 * DAY_MS);
    site.rcbs(&["--set", "maxAge=3"]).exits(0);
    let tree = site.tree();
    let cut = cut(&site);
    std::fs::remove_file(site.target().join(".rcbs/ledger.sqlite")).unwrap();
    let run = site.rcbs(&[]);
    assert_eq!(run.exits(0).counts()[0], 1);
    assert_eq!(site.tree(), tree);
    assert_eq!(site.old().into_values().collect::<Vec<_>>(), [cut]);
    assert_eq!(number(&site, "SELECT count(*) FROM failures"), 0);
}

#[test]
fn the_same_media_id_twice_in_one_record_is_fetched_once_each() {
    let site = Site::of(0);
    let twice =
        |key: &str| Media { key: key.to_owned(), ..Media::voice("T_voice.mp3.bin", BUCKET, 300) };
    let recording = Recording::new("T", now_ms() - HOUR_MS).with(twice("one")).with(twice("two"));
    site.sim.edit(|world| world.add(recording));
    assert_eq!(site.rcbs(&[]).exits(0).counts(), [2, 0, 0, 2]);
    for _ in 0..2 {
        assert_eq!(site.rcbs(&[]).exits(0).counts(), [0, 2, 0, 2]);
    }
    assert_eq!(site.tree().len(), 3);
}

#[test]
fn a_replaced_file_beside_a_failing_one_is_fetched_once() {
    let site = Site::of(0);
    let start = now_ms() - HOUR_MS;
    let voice = |n: u32, key: &str| Media {
        key: key.to_owned(),
        ..Media::voice(&format!("R_{n}.mp3.bin"), BUCKET, 300)
    };
    let record =
        |first: &str| Recording::new("R", start).with(voice(1, first)).with(voice(2, "bad"));
    site.sim.edit(|world| world.add(record("before")));
    let fault = Fault::on(Route::S3, Action::s3_error(404, "NoSuchKey")).containing("bad");
    site.sim.add_fault(fault);
    assert_eq!(site.rcbs(&[]).exits(3).counts(), [1, 0, 1, 2]);
    site.sim.edit(|world| world.put(record("after")));
    assert_eq!(site.rcbs(&[]).exits(3).counts(), [1, 0, 1, 2]);
    assert_eq!(site.rcbs(&[]).exits(3).counts(), [0, 1, 1, 2]);
}

#[test]
fn another_folder_format_fetches_nothing_again() {
    let mut site = backed_up(8);
    let tree = site.tree();
    site.properties += "recordingFolderFormat=yyyy\nskipLastRecordingCheck=true\n";
    let run: Run = site.rcbs(&[]);
    assert_eq!(run.exits(0).counts()[0], 0);
    assert_eq!(site.tree(), tree);
}

#[test]
fn a_ledger_that_is_damaged_while_it_is_read_is_set_aside_and_the_run_goes_on() {
    let site = backed_up(300);
    let path = site.target().join(".rcbs/ledger.sqlite");
    let mut bytes = std::fs::read(&path).unwrap();
    // The first pages, by which a ledger is known, stay.
    bytes[1 << 16..].fill(0xA5);
    std::fs::write(&path, &bytes).unwrap();
    site.sim.clear_requests();
    let run = site.rcbs(&["--set", "skipLastRecordingCheck=true"]);
    let [downloaded, skipped, failed, total] = run.exits(0).counts();
    assert_eq!((downloaded, skipped, failed), (0, total, 0));
    run.says("the ledger was damaged, and is kept as `.rcbs/old/.rcbs/ledger.sqlite`");
    assert_eq!(site.sim.media_opened(), Vec::<String>::new());
    assert_eq!(number(&site, "SELECT count(*) FROM media"), total as i64);
}

#[test]
fn a_ledger_that_was_removed_is_made_again_of_what_the_tree_holds() {
    let site = backed_up(30);
    let query = "SELECT group_concat(folder || name || bytes, ' ' ORDER BY folder, name) \
                 FROM media JOIN recordings ON recording = key";
    let before = text(&site, query);
    std::fs::remove_file(site.target().join(".rcbs/ledger.sqlite")).unwrap();
    // All of it, though this run lists nothing.
    site.rcbs(&["--from", "2017-01-01", "--to", "2017-01-02"]).exits(0);
    assert_eq!(text(&site, query), before);
    assert_eq!(number(&site, "SELECT count(sha256) FROM media"), 0, "nothing was read");
    site.rcbs(&["--set", "skipLastRecordingCheck=true"]).exits(0);
    assert_eq!(site.sim.media_opened(), Vec::<String>::new());
}

#[test]
fn a_failure_is_kept_by_cause_and_attempts_and_its_first_time() {
    let site = Site::of(3);
    let media = site.add("F", now_ms() - HOUR_MS);
    let fault = Fault::on(Route::S3, Action::s3_error(403, "AccessDenied")).containing(&media);
    site.sim.add_fault(fault.hits(Hits::First(3)));
    for attempts in 1..=3 {
        site.rcbs(&[]).exits(3);
        assert_eq!(number(&site, "SELECT attempts FROM failures"), attempts);
    }
    let told = text(&site, "SELECT id || ' ' || media_id || ' ' || cause FROM failures");
    assert!(told.starts_with(&format!("F {media} `{BUCKET}/")), "{told}");
    assert_eq!(number(&site, "SELECT first_failed_at < last_failed_at FROM failures"), 1);
    site.rcbs(&[]).exits(0);
    assert_eq!(number(&site, "SELECT count(*) FROM failures"), 0);
}

#[test]
fn a_failure_is_cured_by_a_file_that_was_put_back() {
    let mut site = backed_up(3);
    site.properties += "skipLastRecordingCheck=true\n";
    let tree = site.tree();
    let (path, bytes) = tree.iter().find(|(path, _)| path.ends_with(".bin")).unwrap();
    std::fs::write(site.target().join(path), b"cut").unwrap();
    site.sim.add_fault(Fault::on(Route::S3, Action::s3_error(404, "NoSuchKey")));
    site.rcbs(&[]).exits(3);
    std::fs::write(site.target().join(path), bytes).unwrap();
    site.rcbs(&[]).exits(0);
    assert_eq!(number(&site, "SELECT count(*) FROM failures"), 0);
}
