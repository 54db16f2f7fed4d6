//! The project's pages: their blocks of code, and the commands in these.
//!
//! What a reader sees is the rule. A block marked `sh` is typed as it stands, on any machine where
//! rcbs is; one marked `console` needs what a test has not got: root, a package manager, systemd, an
//! engine. `properties` are lines of config.properties. Others hold no commands. Where a command
//! ends with another code than 0, a comment behind it says so: `# exit 3`.

use std::path::Path;

/// A block of code.
pub(crate) struct Block {
    /// The heading that it stands under.
    pub(crate) heading: String,
    /// What it is marked as; `indented` where it is marked by blanks alone.
    pub(crate) kind: String,
    pub(crate) text: String,
    /// The number of its first line.
    line: usize,
}

/// A line that is typed, with those that continue it.
pub(crate) struct Command {
    pub(crate) line: usize,
    pub(crate) text: String,
    /// The exit code that the page tells.
    pub(crate) exit: i32,
}

/// The text of a page, by its path in the project.
pub(crate) fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All blocks of a page, in order.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut heading = "";
    let (mut is_fenced, mut is_indented, mut was_empty) = (false, false, true);
    for (number, text) in (1..).zip(page.lines()) {
        let code = text.strip_prefix("    ").filter(|_| is_indented || was_empty);
        let begun = match (text.strip_prefix("```"), code) {
            (Some(kind), _) => {
                is_fenced = !is_fenced;
                is_fenced.then_some((kind, number + 1))
            }
            (None, Some(_)) if !is_fenced && !is_indented => Some(("indented", number)),
            _ => None,
        };
        is_indented = code.is_some() && !is_fenced;
        if let Some((kind, line)) = begun {
            let (heading, kind) = (heading.to_owned(), kind.to_owned());
            blocks.push(Block { heading, kind, text: String::new(), line });
        }
        match (blocks.last_mut(), code) {
            (Some(_), _) if text.starts_with("```") => {}
            (Some(last), _) if is_fenced => last.text += &format!("{text}\n"),
            (Some(last), Some(code)) => last.text += &format!("{code}\n"),
            _ if text.starts_with('#') => heading = text.trim_start_matches('#').trim(),
            _ => {}
        }
        was_empty = text.is_empty();
    }
    assert!(!is_fenced, "a block is not closed");
    blocks
}

impl Block {
    /// What is typed, if this holds commands.
    pub(crate) fn commands(&self) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        let mut is_open = false;
        for (line, text) in (self.line..).zip(self.text.lines()) {
            match commands.last_mut() {
                Some(last) if is_open => {
                    last.text.push('\n');
                    last.text += text;
                }
                _ if text.trim().is_empty() || text.starts_with('#') => {}
                _ => commands.push(Command { line, text: text.to_owned(), exit: 0 }),
            }
            is_open = text.ends_with('\\');
            if let (Some(last), Some((_, code))) = (commands.last_mut(), text.split_once("# exit "))
            {
                let digits: String = code.chars().take_while(char::is_ascii_digit).collect();
                last.exit = digits.parse().unwrap_or_else(|_| panic!("no exit code: {text}"));
            }
        }
        commands
    }
}

impl Command {
    /// The arguments of rcbs, if this calls it, behind variables that are set for it alone.
    pub(crate) fn call(&self) -> Option<&str> {
        let mut rest = self.text.as_str();
        while let Some((word, behind)) = rest.split_once(' ') {
            if word == "rcbs" {
                return Some(behind.trim_start());
            }
            let name = word.split_once('=')?.0;
            if !name.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
                return None;
            }
            rest = behind;
        }
        (rest == "rcbs").then_some("")
    }
}

/// The pages for readers, by their paths in the project.
pub(crate) fn all() -> Vec<String> {
    let docs = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")).unwrap();
    let names = docs.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pages = names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}"));
    let others = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md"];
    pages.chain(others.map(str::to_owned)).collect()
}

/// What a heading is called in an address.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[test]
fn every_link_of_the_pages_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut followed = 0;
    for path in all() {
        let page = text(&path);
        let folder = Path::new(&path).parent().unwrap();
        for link in page.split("](").skip(1).filter_map(|behind| behind.split(')').next()) {
            if link.starts_with("http") {
                continue;
            }
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone().into() } else { folder.join(file) };
            assert!(root.join(&target).exists(), "{path}: {link}");
            if !place.is_empty() {
                let page = text(target.to_str().unwrap());
                let headings = page.lines().filter(|line| line.starts_with('#'));
                let mut anchors = headings.map(|line| anchor(line.trim_start_matches('#').trim()));
                assert!(anchors.any(|one| one == place), "{path}: {link}");
            }
            followed += 1;
        }
    }
    assert!(followed > 60, "{followed}");
}

#[test]
fn blocks_and_commands_are_found_as_a_reader_finds_them() {
    let page = "# Page\ntext\n\n    rcbs a\n    rcbs b\n\n## Part\n```sh\n# only a comment\nA_B=1 rcbs c \\\n    --d  # exit 3: why\n\n./rcbs e\n```\n    no code\n```text\n    rcbs f\n```\n- item\n\n      rcbs g\n";
    let blocks = blocks(page);
    let found: Vec<_> = blocks
        .iter()
        .map(|block| {
            (block.heading.as_str(), block.kind.as_str(), block.line, block.text.lines().count())
        })
        .collect();
    assert_eq!(
        found,
        [
            ("Page", "indented", 4, 2),
            ("Part", "sh", 9, 5),
            ("Part", "text", 17, 1),
            ("Part", "indented", 21, 1)
        ]
    );
    let commands = blocks[1].commands();
    let seen: Vec<_> = commands.iter().map(|one| (one.line, one.exit, one.call())).collect();
    assert_eq!(seen, [(10, 3, Some("c \\\n    --d  # exit 3: why")), (13, 0, None)]);
    assert_eq!(blocks[0].commands()[1].call(), Some("b"));
}
