//! The guides: whoever types what they say, section by section, gets what they say.
//!
//! Each page is followed from its beginning to its end against one cloud. `pages.rs` has the rule by
//! which a block is typed or not; here is what happens before a section ("the disk died"), and what
//! must be true after it.

mod desk;
mod fleets;
mod java;
mod keys;
mod others;
mod packages;
mod recovery;

use crate::pages;

/// What a block that is not typed needs, one of which stands in it.
const NEEDED: [&str; 11] = [
    "apt-get",
    "cargo",
    "deluser",
    "dnf",
    "editor",
    "jq",
    "schtasks",
    "scripts/",
    "sqlite3",
    "systemctl",
    "systemd-run",
];

/// Pages of another kind: promises, figures, and what is typed on Windows.
const OTHERS: [&str; 3] = ["behavior.md", "performance.md", "windows.md"];

#[test]
fn a_block_is_typed_by_a_test_or_needs_what_that_has_not_got() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = std::fs::read_dir(root.join("docs")).unwrap();
    let pages = pages.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pages = pages.filter(|name| name.ends_with(".md") && !OTHERS.contains(&name.as_str()));
    for path in pages.map(|name| format!("docs/{name}")).chain(["README.md".to_owned()]) {
        let blocks = pages::blocks(&pages::text(&path));
        let is_typed = blocks.iter().any(|block| block.kind == "sh");
        assert_eq!(desk::FOLLOWED.contains(&path.as_str()), is_typed, "{path}");
        for block in blocks {
            let text = &block.text;
            let commands = block.commands();
            match block.kind.as_str() {
                "sh" => assert!(!commands.is_empty(), "{path}: {text}"),
                "console" => assert!(NEEDED.iter().any(|one| text.contains(one)), "{path}: {text}"),
                "properties" => {
                    assert!(text.lines().all(|line| line.contains('=')), "{path}: {text}");
                }
                // What is printed, asked or written somewhere, and calls nothing.
                "text" | "ini" | "json" | "sql" | "yaml" => {
                    assert!(commands.iter().all(|one| one.call().is_none()), "{path}: {text}");
                }
                kind => panic!("{path}: a block is marked `{kind}`: {text}"),
            }
        }
    }
}
