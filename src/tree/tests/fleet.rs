//! Instances that share a tree.

use std::sync::Barrier;

use super::*;
use crate::instance::Instance;

fn join(root: &Path, id: u32, total: u32) -> Result<Tree, TreeError> {
    Tree::open(TreeOptions { share: Share::One(Instance { id, total }), ..options(root) })
}

fn open_as(root: &Path, share: Share) -> Result<Tree, TreeError> {
    Tree::open(TreeOptions { share, ..options(root) })
}

#[test]
fn who_may_be_at_work_beside_whom() {
    let dir = TempDir::new().unwrap();
    let root = dir.path();
    let kind = |opened: Result<Tree, TreeError>| opened.map(drop).map_err(|error| error.kind());
    let none = join(root, 0, 3).unwrap().fleet().unwrap().unwrap();
    {
        let first = join(root, 0, 3).unwrap();
        let second = join(root, 2, 3).unwrap();
        assert_eq!(
            (first.own("x"), second.own("x")),
            (".rcbs/instances/0/x".into(), ".rcbs/instances/2/x".into())
        );
        assert_eq!(kind(join(root, 0, 3)), Err(TreeErrorKind::Locked));
        assert_eq!(kind(join(root, 1, 4)), Err(TreeErrorKind::OtherTotal));
        assert_eq!(kind(open_as(root, Share::Whole)), Err(TreeErrorKind::Locked));
        assert_eq!(kind(open_as(root, Share::Alone)), Err(TreeErrorKind::Locked));
        assert_eq!(first.fleet().unwrap(), Some(none.clone()));
        drop(first);
        assert_eq!(kind(join(root, 1, 4)), Err(TreeErrorKind::OtherTotal));
    }
    assert_eq!(kind(open_as(root, Share::Alone)), Err(TreeErrorKind::Shared));
    {
        let whole = open_as(root, Share::Whole).unwrap();
        assert_eq!(kind(join(root, 0, 3)), Err(TreeErrorKind::Locked));
        let parts = whole.parts().unwrap();
        let ids: Vec<_> = parts.iter().map(Tree::instance).collect();
        assert_eq!(ids, [None, Some(0), Some(2)]);
        assert!(parts.iter().all(|part| !part.is_peeked()));
    }
    let other = join(root, 3, 4).unwrap();
    let fleet = other.fleet().unwrap().unwrap();
    assert!(fleet.instances == 4 && fleet.generation != none.generation);
    assert!(other.parts().unwrap().iter().all(Tree::is_peeked));
}

#[test]
fn two_that_want_the_same_name_at_the_same_moment_lose_nothing() {
    const ROUNDS: usize = 200;
    let dir = TempDir::new().unwrap();
    let trees = [join(dir.path(), 0, 2).unwrap(), join(dir.path(), 1, 2).unwrap()];
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        for (which, tree) in trees.iter().enumerate() {
            let barrier = &barrier;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let mut staged = tree.stage().unwrap();
                    staged.write_all(format!("{which} {round}").as_bytes()).unwrap();
                    // New folders each time, which both make.
                    let folder = format!("2018/{:02}/{}", round % 7, round / 3);
                    barrier.wait();
                    let place = Placement { staged, folder, name: "a.bin".to_owned() };
                    tree.publish_all(vec![place]).unwrap();
                }
            });
        }
    });
    let mut found = Vec::new();
    let mut folders = vec![dir.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().unwrap().to_string_lossy().starts_with("a.bin") {
                found.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    found.sort();
    let all = (0..2).flat_map(|which| (0..ROUNDS).map(move |round| format!("{which} {round}")));
    let mut all: Vec<_> = all.collect();
    all.sort();
    assert_eq!(found, all);
}
