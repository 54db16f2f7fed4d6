//! What holds of the text of the project: floors, sizes, names and promises.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use crate::harness::files_below;

/// Which module stands on which floor; the same picture is in ARCHITECTURE.md.
const FLOORS: [&[&str]; 12] = [
    &[
        "secret",
        "properties",
        "window",
        "instance",
        "json",
        "layout",
        "checksum",
        "envelope",
        "schedule",
    ],
    &["recording", "watermark", "keyring"],
    &["bandwidth", "monitor", "metadata", "http", "gate", "threads", "sidefile", "tree"],
    &["checkpoint", "ledger", "manifest", "ping", "source"],
    &["examine"],
    &["download", "decrypt", "estimate", "metrics"],
    &["pipeline", "audit", "check", "rebuild"],
    &["config", "progress"],
    &["error"],
    &["commands"],
    &["cli"],
    &["main"],
];

const LONGEST_FILE: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The Rust files below a folder of the project, by path from there.
fn rust(folder: &str) -> BTreeMap<String, String> {
    let files = files_below(&root().join(folder)).into_iter();
    let rust = files.filter(|(path, _)| path.ends_with(".rs"));
    rust.map(|(path, bytes)| (path, String::from_utf8(bytes).unwrap())).collect()
}

fn floor(module: &str) -> usize {
    let floor = FLOORS.iter().position(|modules| modules.contains(&module));
    floor.unwrap_or_else(|| panic!("`{module}` stands on no floor"))
}

/// The module at the top of the crate that a file belongs to.
fn module(path: &str) -> &str {
    path.split('/').next().unwrap().trim_end_matches(".rs")
}

/// The modules that a line of code names, behind `crate::` or, in `main`, `rcbs::`.
fn imports(code: &str) -> BTreeSet<String> {
    let code = code.split("//").next().unwrap();
    let mut found = BTreeSet::new();
    for start in ["crate::", "rcbs::"] {
        for (at, _) in code.match_indices(start) {
            let rest = &code[at + start.len()..];
            let list = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            for one in list.map_or(rest, |(list, _)| list).split(", ") {
                let name = one.trim().split(|c: char| !(c.is_alphanumeric() || c == '_')).next();
                found.insert(name.unwrap().to_owned());
                if list.is_none() {
                    break;
                }
            }
        }
    }
    found
}

#[test]
fn imports_point_to_lower_floors() {
    let mut wrong = Vec::new();
    for (path, code) in rust("src").iter().filter(|(path, _)| *path != "lib.rs") {
        let own = module(path);
        for (number, line) in code.lines().enumerate() {
            for other in imports(line) {
                if other != own && floor(&other) >= floor(own) {
                    wrong.push(format!("src/{path}:{}: {}", number + 1, line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports that do not point downwards:\n{}", wrong.join("\n"));
}

#[test]
fn every_module_stands_on_one_floor_and_in_the_picture() {
    let declared: BTreeSet<_> = text("src/lib.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';').map(str::to_owned))
        .chain(["main".to_owned()])
        .collect();
    let on_floors: Vec<_> = FLOORS.concat();
    assert_eq!(on_floors.iter().copied().collect::<BTreeSet<_>>().len(), on_floors.len());
    assert_eq!(declared, on_floors.iter().map(|name| (*name).to_owned()).collect());

    let picture = text("ARCHITECTURE.md");
    let mut floor = None;
    let mut drawn = BTreeMap::new();
    for line in picture.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let number = cells[1].split(' ').next().and_then(|word| word.parse::<usize>().ok());
        floor = number.or(if cells[1].is_empty() { floor } else { None });
        for name in cells[2].split('`').skip(1).step_by(2) {
            if let Some(floor) = floor {
                drawn.insert(name.to_owned(), floor);
            }
        }
    }
    for name in on_floors {
        assert_eq!(drawn.get(name), Some(&self::floor(name)), "`{name}` in ARCHITECTURE.md");
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    for folder in ["src", "tests"] {
        for (path, code) in rust(folder) {
            let lines = code.lines().count();
            assert!(lines <= LONGEST_FILE, "{folder}/{path} has {lines} lines");
        }
    }
}

#[test]
fn every_property_is_in_the_example_and_in_the_readme_and_no_other() {
    let properties: BTreeSet<_> =
        rcbs::config::PROPERTIES.iter().map(|property| property.name.to_owned()).collect();

    // A name at the start of a line, set or behind a `#` without a blank.
    let example = text("config.properties.example");
    let shown: Vec<_> = example
        .lines()
        .map(|line| line.strip_prefix('#').unwrap_or(line))
        .filter_map(|line| Some(line.split_once('=')?.0))
        .filter(|name| !name.is_empty() && name.chars().all(char::is_alphanumeric))
        .map(str::to_owned)
        .collect();
    assert_eq!(shown.len(), properties.len(), "a name stands twice in the example: {shown:?}");
    assert_eq!(shown.into_iter().collect::<BTreeSet<_>>(), properties);

    let readme = text("README.md");
    let (_, behind) = readme.split_once("\n## Settings\n").expect("README.md has the heading");
    let section = behind.split("\n## ").next().unwrap();
    let listed: Vec<_> = section
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| ")?.split_once(" |")?.0.trim_matches('`')))
        .filter(|name| *name != "name" && !name.starts_with('-'))
        .flat_map(|names| names.split(", "))
        .map(str::to_owned)
        .collect();
    assert_eq!(listed.len(), properties.len(), "a name stands twice in the README: {listed:?}");
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), properties);
}

#[test]
fn every_promise_names_a_test_that_exists() {
    let mut tests = BTreeSet::new();
    for folder in ["src", "tests/it"] {
        for (path, code) in rust(folder) {
            let place = path.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::");
            let mut lines = code.lines().map(str::trim);
            let inner = if code.contains("mod tests {") { "::tests" } else { "" };
            while let Some(line) = lines.next() {
                if line == "#[test]" || line.starts_with("#[tokio::test") {
                    let name = lines.find_map(|line| {
                        let rest = line.split_once("fn ")?.1;
                        Some(rest.split('(').next()?.to_owned())
                    });
                    tests.insert(format!("{place}{inner}::{}", name.unwrap()));
                }
            }
        }
    }
    let behavior = text("docs/behavior.md");
    let promises: Vec<_> = behavior.lines().filter(|line| line.contains("**P")).collect();
    assert!(promises.len() > 30, "promises are found in docs/behavior.md");
    for (at, promise) in promises.iter().enumerate() {
        let number = promise.split("**P").nth(1).unwrap();
        let number: String = number.chars().take_while(char::is_ascii_digit).collect();
        assert_eq!(number, (at + 1).to_string(), "promises are numbered in order: {promise}");
        let (_, named) = promise.rsplit_once("(test").expect(promise);
        let named: Vec<_> = named.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{promise}");
        for name in named {
            assert!(tests.contains(name), "no test `{name}`, which is named by\n{promise}");
        }
    }
}

#[test]
fn the_version_is_in_the_changelog() {
    let heading = format!("## [{}]", env!("CARGO_PKG_VERSION"));
    assert!(text("CHANGELOG.md").lines().any(|line| line.starts_with(&heading)), "{heading}");
}

#[test]
fn nothing_tells_where_it_was_made() {
    let tracked = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let Some(tracked) = tracked.ok().filter(|output| output.status.success()) else {
        eprintln!("skipped: this is no clone");
        return;
    };
    // Put together here, so that this file does not name them itself.
    let places = ["work", "root", "home", "tmp"].map(|folder| format!("/{folder}/"));
    for path in String::from_utf8(tracked.stdout).unwrap().split_terminator('\0') {
        let Ok(text) = std::fs::read_to_string(root().join(path)) else { continue };
        let is_test = path.starts_with("tests/") || path.ends_with("/tests.rs");
        // Unit tests stand at the end of a file.
        let product = text.lines().take_while(|line| *line != "#[cfg(test)]");
        for (number, line) in product.enumerate() {
            for place in &places {
                // An address may have a part of this name; a path begins with it.
                let is_path = line.match_indices(place.as_str()).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    before.is_none_or(|c| " \t\"'`(=:".contains(c))
                });
                assert!(!is_path || is_test, "{path}:{}: {line}", number + 1);
            }
        }
    }
}
