//! What there is to know besides commands: the texts of `docs/help`, as they are shown.
//!
//! Given Markdown of a few forms (a title, headings, paragraphs, lists, indented lines as they
//! are), gives it for a terminal, and in pieces for the man page.
//!
//! **Invariant:** a text is shown as it stands; only `{properties}` is filled in, from the table.

use crate::config::PROPERTIES;

/// What cannot be asked for by a command's name.
pub(in crate::commands) struct Topic {
    /// The word to ask for it.
    pub(in crate::commands) name: &'static str,
    /// Its heading in the man page.
    pub(in crate::commands) section: &'static str,
    /// The text, with its title in the first line.
    pub(in crate::commands) text: &'static str,
}

macro_rules! topic {
    ($name:literal, $section:literal) => {
        Topic {
            name: $name,
            section: $section,
            text: include_str!(concat!("../../../docs/help/", $name, ".md")),
        }
    };
}

/// All topics, in the order of the man page.
pub(in crate::commands) const TOPICS: &[Topic] = &[
    topic!("config", "CONFIGURATION"),
    topic!("window", "THE WINDOW"),
    topic!("credentials", "CREDENTIALS"),
    topic!("environment", "ENVIRONMENT"),
    topic!("exit-codes", "EXIT STATUS"),
    topic!("files", "FILES"),
    topic!("schedule", "SCHEDULING"),
    topic!("fleet", "SEVERAL INSTANCES"),
    topic!("proxies", "PROXIES"),
    topic!("keys", "KEYS"),
    topic!("recovery", "RECOVERY"),
];

impl Topic {
    /// What it is about.
    pub(in crate::commands) fn title(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches("# ")
    }

    /// The text as it is shown, with headings that stand out.
    pub(super) fn on_terminals(&self) -> String {
        let mut shown = String::new();
        for line in self.text.lines() {
            if line == "{properties}" {
                shown.push_str(&properties());
            } else if let Some(title) = line.strip_prefix("# ").or(line.strip_prefix("## ")) {
                shown.push_str(&heading(title));
            } else {
                shown.push_str(line);
            }
            shown.push('\n');
        }
        shown
    }
}

/// A line as a heading.
pub(super) fn heading(title: &str) -> String {
    format!("\u{1b}[1m{title}\u{1b}[0m")
}

fn properties() -> String {
    let shown = PROPERTIES.iter().map(|property| {
        let default = property.default.map(|value| format!(" [{value}]")).unwrap_or_default();
        format!("    {}{default}\n        {}", property.name, property.help)
    });
    shown.collect::<Vec<_>>().join("\n")
}

/// A piece of a text.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::commands) enum Block<'t> {
    /// A heading below the title.
    Heading(&'t str),
    /// Lines that flow.
    Paragraph(Vec<&'t str>),
    /// Lines that flow behind a bullet.
    Item(Vec<&'t str>),
    /// Lines that stay as they are, without their indentation.
    Lines(Vec<&'t str>),
    /// The table of all properties.
    Properties,
}

/// Takes a text apart, without its title.
pub(in crate::commands) fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut is_new = true;
    for line in text.lines().skip(1) {
        if line.is_empty() {
            is_new = true;
            continue;
        }
        let indented = line.strip_prefix("    ");
        match (blocks.last_mut().filter(|_| !is_new), indented) {
            (Some(Block::Lines(lines)), Some(line)) => lines.push(line),
            (Some(Block::Item(lines)), None) if !line.starts_with("- ") => lines.push(line.trim()),
            (Some(Block::Paragraph(lines)), None) => lines.push(line),
            _ => blocks.push(first(line)),
        }
        is_new = false;
    }
    blocks
}

fn first(line: &str) -> Block<'_> {
    if line == "{properties}" {
        Block::Properties
    } else if let Some(title) = line.strip_prefix("## ") {
        Block::Heading(title)
    } else if let Some(code) = line.strip_prefix("    ") {
        Block::Lines(vec![code])
    } else if let Some(item) = line.strip_prefix("- ") {
        Block::Item(vec![item])
    } else {
        Block::Paragraph(vec![line])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_apart_into_its_pieces() {
        let text = "# Title\n\nFlows\non.\n\n    as it\n      is\n\n## Below\n\n- one\n  more\n- two\n\n{properties}\n";
        let expected = [
            Block::Paragraph(vec!["Flows", "on."]),
            Block::Lines(vec!["as it", "  is"]),
            Block::Heading("Below"),
            Block::Item(vec!["one", "more"]),
            Block::Item(vec!["two"]),
            Block::Properties,
        ];
        assert_eq!(blocks(text), expected);
    }

    #[test]
    fn every_topic_has_a_title_and_fits_on_a_terminal() {
        for topic in TOPICS {
            assert!(topic.text.starts_with("# "), "{}", topic.name);
            for line in topic.text.lines() {
                assert!(line.chars().count() <= 84, "{}: {line}", topic.name);
            }
        }
    }
}
