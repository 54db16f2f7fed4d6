//! Files that get their names together.

use super::*;

fn staged(root: &Path) -> usize {
    fs::read_dir(root.join(".rcbs/staged")).unwrap().count()
}

fn placement(tree: &Tree, folder: &str, name: &str, text: &str) -> Placement {
    let mut staged = tree.stage().expect("staged");
    staged.write_all(text.as_bytes()).expect("written");
    Placement { staged, folder: folder.to_owned(), name: name.to_owned() }
}

#[test]
fn a_group_of_any_size_is_published_together_and_older_files_are_kept() {
    for count in [0, 1, 3, 4, 100] {
        let dir = TempDir::new().unwrap();
        let tree = open(dir.path());
        let expected: BTreeMap<_, _> =
            (0..count).map(|n| (format!("{HOUR}/{}/{n}.bin", n / 3), n.to_string())).collect();
        for round in 0..2 {
            let folder = |n| format!("{HOUR}/{}", n / 3);
            let text = |n: usize| n.to_string();
            let group = (0..count)
                .map(|n| placement(&tree, &folder(n), &format!("{n}.bin"), &text(n)))
                .collect();
            assert_eq!(staged(dir.path()), count, "staged and not yet named");
            tree.publish_all(group).unwrap();
            let old = expected.iter().map(|(path, n)| (format!(".rcbs/old/{path}"), n.clone()));
            let held = expected.clone().into_iter().chain(old.filter(|_| round == 1)).collect();
            assert_eq!(files(dir.path()), held);
        }
    }
}

#[test]
fn of_a_group_that_fails_in_the_middle_nothing_stays_staged() {
    let dir = TempDir::new().unwrap();
    let tree = open(dir.path());
    let names = ["a.bin", "b.bin", "..", "c.bin"];
    let group = names.map(|name| placement(&tree, HOUR, name, name));
    let error = tree.publish_all(group.into()).expect_err("no name");
    assert_eq!(error.to_string(), "`..` is no name for a file or folder of the tree");
    let held = names[..2].iter().map(|name| (format!("{HOUR}/{name}"), (*name).to_owned()));
    assert_eq!(files(dir.path()), held.collect());
    assert_eq!(tree.held(&format!("{HOUR}/a.bin")).unwrap(), Some(5));
    assert_eq!(tree.held("2017/a.bin").unwrap(), None);
}

#[test]
fn threads_that_publish_groups_into_the_same_folders_lose_nothing() {
    let dir = TempDir::new().unwrap();
    let tree = open(dir.path());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let tree = &tree;
            scope.spawn(move || {
                for round in 0..10 {
                    let name = |n| format!("{thread}-{n}.bin");
                    let folder = format!("{HOUR}/{round}");
                    let group = (0..6).map(|n| placement(tree, &folder, &name(n), "x"));
                    tree.publish_all(group.collect()).unwrap();
                }
            });
        }
    });
    assert_eq!(files(dir.path()).len(), 240);
}
