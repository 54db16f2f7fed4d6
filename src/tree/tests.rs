//! The tree on a real disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use chrono::TimeDelta;
use tempfile::TempDir;

use super::*;
use crate::layout::{hashed_name, media_names};

mod fleet;
mod group;

const HOUR: &str = "2018/02/12/19";

fn options(root: &Path) -> TreeOptions {
    let since = DateTime::from_timestamp(1_518_462_191, 0).expect("in range");
    TreeOptions {
        root: root.to_owned(),
        modes: Modes { file: 0o640, folder: 0o750 },
        holder: Holder { host: "archive1".to_owned(), since },
        share: Share::Alone,
    }
}

fn open(root: &Path) -> Tree {
    Tree::open(options(root)).expect("the tree opens")
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

/// Finds the folder of a recording whose metadata is the text of its start.
fn folder(tree: &Tree, id: &str, start: i64) -> Folder {
    tree.folder(HOUR, id, at(start), |text| text == start.to_string()).expect("a folder")
}

fn publish(tree: &Tree, folder: &Folder, name: &str, text: &str) {
    let mut staged = tree.stage().expect("staged");
    staged.write_all(text.as_bytes()).expect("written");
    tree.publish(staged, folder, name).expect("published");
}

fn complete(tree: &Tree, id: &str, start: i64) -> String {
    let folder = folder(tree, id, start);
    publish(tree, &folder, &metadata_name(id), &start.to_string());
    folder.path.rsplit_once('/').expect("a name").1.to_owned()
}

/// Gives every file below a folder with its text, but for the lock.
fn files(root: &Path) -> BTreeMap<String, String> {
    fn walk(folder: &Path, root: &Path, files: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                walk(&path, root, files);
            } else if !name.ends_with(".rcbs/lock") {
                files.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut all = BTreeMap::new();
    walk(root, root, &mut all);
    all
}

fn texts<const N: usize>(files: [(&str, &str); N]) -> BTreeMap<String, String> {
    files.map(|(name, text)| (name.to_owned(), text.to_owned())).into()
}

#[test]
fn a_file_is_seen_only_once_it_is_published_and_an_older_one_is_kept() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("new/target");
    let tree = open(&root);
    let recording = folder(&tree, "A", 1);
    assert_eq!((recording.path.as_str(), &recording.metadata), ("2018/02/12/19/A", &None));
    assert_eq!(recording.held("a.bin").unwrap(), None);

    let mut staged = tree.stage().unwrap();
    staged.write_all(b"one").unwrap();
    assert_eq!(files(&root), texts([(".rcbs/staged/0", "one")]));
    drop(staged);
    assert_eq!(files(&root), texts([]));

    for text in ["one", "second", "3"] {
        publish(&tree, &recording, "a.bin", text);
        assert_eq!(recording.held("a.bin").unwrap(), Some(text.len() as u64));
    }
    assert_eq!(
        files(&root),
        texts([
            (".rcbs/old/2018/02/12/19/A/a.bin", "one"),
            (".rcbs/old/2018/02/12/19/A/a.bin.2", "second"),
            ("2018/02/12/19/A/a.bin", "3"),
        ])
    );
}

#[test]
fn ranges_are_written_in_any_order_and_read_back() {
    let dir = TempDir::new().unwrap();
    let tree = open(dir.path());
    let staged = tree.stage().unwrap();
    for (offset, bytes) in [(6, b"world"), (0, b"hello")] {
        staged.write_all_at(offset, bytes).unwrap();
    }
    staged.write_all_at(5, b" ").unwrap();
    assert_eq!(staged.bytes().unwrap(), 11);
    let mut text = String::new();
    staged
        .read_back(0..u64::MAX, |bytes| text.push_str(std::str::from_utf8(bytes).unwrap()))
        .unwrap();
    assert_eq!(text, "hello world");
}

#[test]
fn recordings_of_one_id_keep_apart_and_are_found_again() {
    let dir = TempDir::new().unwrap();
    for run in 0..3 {
        let tree = open(dir.path());
        // Another order each time.
        let mut starts = [(1, "A"), (2, "A~2"), (3, "A~3")];
        if run > 0 {
            starts.rotate_left(run);
        }
        for (start, name) in starts {
            assert_eq!(complete(&tree, "A", start), name, "run {run}");
            assert_eq!(folder(&tree, "A", start).metadata, Some(start.to_string()));
        }
    }
}

#[test]
fn ids_that_differ_in_case_keep_apart_and_are_found_again() {
    let dir = TempDir::new().unwrap();
    let (first, second) = ("Straße".to_owned(), hashed_name("STRASSE"));
    assert_eq!(complete(&open(dir.path()), "Straße", 1), first);
    for order in [["STRASSE", "Straße"], ["Straße", "STRASSE"]] {
        let tree = open(dir.path());
        for id in order {
            let expected = if id == "Straße" { &first } else { &second };
            assert_eq!(complete(&tree, id, 1), *expected);
        }
    }
    // Where the one is moved away, the other is still found.
    fs::remove_dir_all(dir.path().join(HOUR).join(&first)).unwrap();
    assert_eq!(complete(&open(dir.path()), "STRASSE", 1), second);
    // An id that spells what another one is given.
    assert_ne!(complete(&open(dir.path()), &second, 1), second);
    assert_eq!(complete(&open(dir.path()), "A~2", 1), "A%7E2");
}

#[cfg(target_os = "linux")]
#[test]
fn a_number_that_differs_in_case_only_is_passed_over() {
    let dir = TempDir::new().unwrap();
    // As another tool, or another file system, may have left them.
    for (name, start) in [("X", "1"), ("x", "1"), ("x~2", "2")] {
        let folder = dir.path().join(HOUR).join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{}_metadata.json", &name[..1])), start).unwrap();
    }
    assert_eq!(complete(&open(dir.path()), "X", 2), "X~3");
    assert_eq!(complete(&open(dir.path()), "X", 2), "X~3");
    assert_eq!(complete(&open(dir.path()), "x", 2), "x~2");
}

#[test]
fn recordings_in_flight_never_share_a_folder() {
    let dir = TempDir::new().unwrap();
    let tree = open(dir.path());
    for (id, start, expected) in [
        ("A", 1, "A".to_owned()),
        ("A", 2, "A~2".to_owned()),
        ("a", 1, hashed_name("a")),
        ("A", 1, "A".to_owned()),
        ("a", 1, hashed_name("a")),
        ("A", 2, "A~2".to_owned()),
    ] {
        assert_eq!(folder(&tree, id, start).path, format!("{HOUR}/{expected}"));
    }
}

#[test]
fn threads_that_publish_at_once_never_share_a_folder() {
    let dir = TempDir::new().unwrap();
    let tree = open(dir.path());
    let barrier = std::sync::Barrier::new(4);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (tree, barrier) = (&tree, &barrier);
            scope.spawn(move || {
                for round in 0..50 {
                    // Two starts of two ids that differ in case only.
                    let id = format!("{}{round}", if thread < 2 { "A" } else { "a" });
                    barrier.wait();
                    let recording = folder(tree, &id, thread % 2);
                    publish(tree, &recording, &metadata_name(&id), &(thread % 2).to_string());
                }
            });
        }
    });
    let files = files(dir.path());
    assert!(files.keys().all(|name| !name.starts_with(".rcbs")));
    assert_eq!(files.len(), 200);
}

#[test]
fn a_folder_without_metadata_is_completed_unless_the_recording_has_another() {
    let dir = TempDir::new().unwrap();
    let tree = open(dir.path());
    publish(&tree, &folder(&tree, "A", 1), "a.bin", "media");
    assert_eq!(complete(&tree, "A", 2), "A~2");
    drop(tree);
    let tree = open(dir.path());
    assert_eq!(complete(&tree, "A", 2), "A~2");
    assert_eq!(folder(&tree, "A", 1).held("a.bin").unwrap(), Some(5));
}

#[test]
fn hostile_ids_stay_in_their_folders_and_lose_nothing() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("target");
    let long = "x".repeat(4096);
    let ids =
        ["../../x", "a/b\\c", "CON", "con", "a..", "a", "A", "%2e", ".", "..", &long, "", "ü"];
    let tree = open(&root);
    for id in ids {
        let recording = folder(&tree, id, 1);
        let media = [id, "X", "X.mp3", "X.mp3.bin"].map(|id| (id, Some("audio/mp3")));
        let names = media_names(&media, &[], |_| Ok::<_, TreeError>(false)).unwrap();
        for (name, (media_id, _)) in names.iter().zip(media) {
            publish(&tree, &recording, name, &format!("{id} {media_id}"));
        }
        publish(&tree, &recording, &metadata_name(id), "1");
    }
    let hour = format!("target/{HOUR}/");
    let files = files(dir.path());
    assert_eq!(files.len(), 5 * ids.len());
    assert!(files.keys().all(|name| name.starts_with(&hour) && name.split('/').count() == 7));
    assert!(files.keys().any(|name| name.contains(&safe_name("../../x"))));
}

#[cfg(unix)]
#[test]
fn no_link_is_followed_below_the_root() {
    let dir = TempDir::new().unwrap();
    let elsewhere = dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("file"), "theirs").unwrap();
    for (link, to) in [
        ("2018", ""),
        ("2018/02/12/19", ""),
        ("2018/02/12/19/A", ""),
        ("2018/02/12/19/A/A_metadata.json", "file"),
        ("2018/02/12/19/A/a.bin", "file"),
        ("2018/02/12/19/A/a.bin", "nothing"),
        (".rcbs", ""),
        (".rcbs/lock", "file"),
        (".rcbs/staged", ""),
    ] {
        let root = dir.path().join("target");
        let link = root.join(link);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(elsewhere.join(to), &link).unwrap();
        let attempt = || {
            let tree = Tree::open(options(&root))?;
            let recording = tree.folder(HOUR, "A", at(1), |_| true)?;
            recording.held("a.bin")?;
            tree.publish(tree.stage()?, &recording, "a.bin")
        };
        let error = attempt().expect_err("a link is in the way");
        assert_eq!(
            error.to_string(),
            format!(
                "`{}` is a symbolic link, and none is followed below the target",
                link.display()
            )
        );
        assert_eq!(error.kind(), TreeErrorKind::Link);
        assert_eq!(files(&elsewhere), texts([("file", "theirs")]));
        fs::remove_dir_all(&root).unwrap();
    }
    // The root itself may be one.
    let root = dir.path().join("root");
    std::os::unix::fs::symlink(&elsewhere, &root).unwrap();
    complete(&open(&root), "A", 1);
}

#[test]
fn a_second_run_is_told_who_holds_the_tree() {
    let dir = TempDir::new().unwrap();
    let tree = open(dir.path());
    let error = Tree::open(options(dir.path())).expect_err("it is held");
    assert_eq!(
        error.to_string(),
        format!(
            "another run holds `{}`: process {} on archive1 since 2018-02-12T19:03:11Z",
            dir.path().display(),
            std::process::id()
        )
    );
    assert_eq!(error.kind(), TreeErrorKind::Locked);
    // Looking is free, and leaves what the run has staged.
    let staged = tree.stage().unwrap();
    let peeked = Tree::peek(options(dir.path()));
    folder(&peeked, "A", 1);
    assert!(matches!(peeked.stage(), Err(TreeError::Peeked(_))));
    assert_eq!(staged.bytes().unwrap(), 0);
    drop((staged, tree));
    open(dir.path());
}

#[test]
fn peeking_makes_nothing() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("target");
    let tree = Tree::peek(options(&root));
    assert_eq!(folder(&tree, "A", 1).held("a.bin").unwrap(), None);
    assert_eq!(tree.id().unwrap(), None);
    assert!(!root.exists());
}

#[test]
fn leftovers_of_earlier_runs_are_removed_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    drop(open(dir.path()));
    let kept = [(".rcbs/old/0", "o"), (".rcbs/staged/folder/0", "f"), ("0", "r")];
    for (name, text) in kept.into_iter().chain([(".rcbs/staged/0", "l"), (".rcbs/staged/x", "l")]) {
        fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
        fs::write(dir.path().join(name), text).unwrap();
    }
    let tree = open(dir.path());
    assert_eq!(tree.leftovers(), 2);
    assert_eq!(files(dir.path()), texts(kept));
}

#[test]
fn what_is_kept_beside_is_kept_once() {
    let dir = TempDir::new().unwrap();
    let tree = open(dir.path());
    let recording = folder(&tree, "A", 1);
    let first = tree.put_beside(&recording, "A_metadata.json", b"{}").unwrap();
    assert_eq!(first.path, ".rcbs/old/2018/02/12/19/A/A_metadata.json.44136fa355b3678a");
    assert!(first.is_new);
    assert!(!tree.put_beside(&recording, "A_metadata.json", b"{}").unwrap().is_new);
    assert!(tree.put_beside(&recording, "A_metadata.json", b"[]").unwrap().is_new);
    for is_new in [true, false] {
        let rejected = tree.reject(b"{}").unwrap();
        let name = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a.json";
        assert_eq!(rejected, Kept { path: format!(".rcbs/rejected/{name}"), is_new });
    }
    assert_eq!(files(dir.path()).len(), 3);
}

#[test]
fn folders_that_are_moved_away_meanwhile_are_made_again() {
    let dir = TempDir::new().unwrap();
    let tree = open(dir.path());
    let recording = folder(&tree, "A", 1);
    publish(&tree, &recording, "a.bin", "one");
    fs::rename(dir.path().join("2018"), dir.path().join("away")).unwrap();
    publish(&tree, &recording, "b.bin", "two");
    assert_eq!(recording.held("a.bin").unwrap(), None);
    assert_eq!(recording.held("b.bin").unwrap(), Some(3));
}

#[cfg(unix)]
#[test]
fn permissions_are_as_set_whatever_the_mask_is() {
    use std::os::unix::fs::PermissionsExt;
    for (file, folder) in [(0o640, 0o750), (0o666, 0o777), (0o600, 0o700)] {
        let dir = TempDir::new().unwrap();
        let root = dir.path().join("target");
        let modes = Modes { file, folder };
        let tree = Tree::open(TreeOptions { modes, ..options(&root) }).unwrap();
        complete(&tree, "A", 1);
        for (path, expected) in [
            ("", folder),
            (".rcbs/lock", file),
            ("2018/02", folder),
            ("2018/02/12/19/A", folder),
            ("2018/02/12/19/A/A_metadata.json", file),
        ] {
            let mode = fs::metadata(root.join(path)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, expected, "{path}");
        }
    }
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Tree::open(options(&file)).expect_err("a file is no folder");
    assert_eq!(error.to_string(), format!("`{}` is not a folder", file.display()));
    let error = Tree::open(options(&file.join("target"))).expect_err("nor what is below it");
    assert_eq!(error.to_string(), format!("`{}` is not a folder", file.display()));

    let tree = open(dir.path());
    let recording = folder(&tree, "A", 1);
    for name in ["", "..", "a/b", "a\\b"] {
        let error = tree.publish(tree.stage().unwrap(), &recording, name).expect_err("no name");
        assert_eq!(
            error.to_string(),
            format!("`{name}` is no name for a file or folder of the tree")
        );
    }
    fs::create_dir_all(dir.path().join(&recording.path).join("a.bin")).unwrap();
    assert!(matches!(recording.held("a.bin"), Err(TreeError::WrongKind { expected: "file", .. })));
}

#[cfg(unix)]
#[test]
fn a_private_file_is_its_owners_alone_and_replaces_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("keys/tenant.key");
    create_private(&path, b"secret").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    std::os::unix::fs::symlink("nothing", dir.path().join("link")).unwrap();
    for taken in [path, dir.path().join("link")] {
        let error = create_private(&taken, b"other").expect_err("it is there");
        assert_eq!(error.to_string(), format!("cannot create the file `{}`", taken.display()));
    }
    let kept = texts([("keys/tenant.key", "secret")]);
    fs::remove_file(dir.path().join("link")).unwrap();
    assert_eq!(files(dir.path()), kept);
}
