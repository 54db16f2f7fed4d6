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

/// Pages of another kind: for contributors, of promises and figures, and for Windows.
const OTHERS: [&str; 6] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/behavior.md",
    "docs/performance.md",
    "docs/windows.md",
];

#[test]
fn a_block_is_typed_by_a_test_or_needs_what_that_has_not_got() {
    let is_other = |path: &String| OTHERS.contains(&path.as_str());
    for path in pages::all().into_iter().filter(|path| !is_other(path)) {
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

/// What the documents of the Java tool name, of 2018 and later, and what its published logs show.
const OF_THE_JAVA_TOOL: [&str; 30] = [
    "gwsUriPrefix",
    "gwsRecordingsUri",
    "gwsSettingsUri",
    "targetDir",
    "maxAge",
    "minAge",
    "maxDate",
    "minDate",
    "skipLastRecordingCheck",
    "shardBy",
    "overlap",
    "mediaTypePattern",
    "recordingFolderFormat",
    "encryptionFormat",
    "metadataOnly",
    "usePayloadSigning",
    "downloadMode",
    "numThreads",
    "totalRcbsInstances",
    "rcbsInstanceId",
    "awsProxyHost",
    "awsProxyPort",
    "gwsProxyHost",
    "gwsProxyPort",
    "bucketVerify",
    "metadataPropertiesInclude",
    "metadataPropertiesExclude",
    "s3ConnectionTimeout",
    "s3SocketTimeout",
    "s3MaxErrorRetry",
];

/// The first cells of a table's rows, taken apart at commas.
fn first_cells(page: &str, head: &str) -> Vec<String> {
    let (_, rows) = page.split_once(&format!("\n{head}")).unwrap_or_else(|| panic!("{head}"));
    let rows = rows.split("\n\n").next().unwrap().lines().skip(2);
    let cells = rows.filter_map(|row| row.strip_prefix("| ")?.split_once(" | "));
    cells.flat_map(|(cell, _)| cell.split(", ")).map(str::to_owned).collect()
}

#[test]
fn the_page_of_the_java_tool_has_each_of_its_parameters_once() {
    let page = pages::text("docs/from-java.md");
    let mut named = first_cells(&page, "| parameter |");
    named.sort();
    let mut documented: Vec<_> = OF_THE_JAVA_TOOL.to_vec();
    documented.sort_unstable();
    assert_eq!(named, documented);
    let is_known = |name: &&str| rcbs::config::PROPERTIES.iter().any(|known| known.name == *name);
    assert!(documented.iter().all(is_known), "each of them counts");
}

#[test]
fn the_page_of_recovery_has_each_exit_code() {
    let page = pages::text("docs/recovery.md");
    let codes = first_cells(&page, "| exit code |");
    assert_eq!(codes, ["1", "2", "3", "4", "5", "6", "7", "130", "143"]);
}
