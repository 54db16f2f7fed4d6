//! `rcbs man`: the manual page, as troff.
//!
//! Given the command line's own definition and the texts of `rcbs help`, gives one page with all of
//! both.
//!
//! **Invariant:** no text of the page stands here but its headings and its first sentence, and no
//! line of a text is taken for a command of troff.

use std::fmt::Write as _;

use clap::{Arg, Command};

use super::help::{Block, TOPICS, Topic, blocks, visible};
use super::print;
use crate::config::PROPERTIES;
use crate::error::{Error, Exit};

/// Prints the page.
pub fn run(mut command: Command) -> Result<Exit, Error> {
    // The full names of commands are known only then.
    command.build();
    print(page(&command).trim_end())?;
    Ok(Exit::Complete)
}

fn page(command: &Command) -> String {
    let mut page = String::new();
    let version = command.get_version().unwrap_or_default();
    let about = one_line(command);
    let _ = writeln!(page, ".TH RCBS 1 \"\" \"rcbs {}\" \"User Commands\"", escaped(version));
    // No hyphens where lines break: what is typed must stay as it is.
    page.push_str(".nh\n.ad l\n.SH NAME\n");
    let _ = writeln!(page, "rcbs \\- {}", escaped(&small_start(&about)));
    page.push_str(".SH SYNOPSIS\n.B rcbs\n[\\fIOPTIONS\\fR]\n.br\n.B rcbs\n");
    page.push_str("\\fICOMMAND\\fR [\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]\n.SH DESCRIPTION\n");
    let _ = writeln!(page, "{}.", escaped(&about));
    page.push_str("Without a command it makes a backup.\n");
    prose(&mut page, &command.get_before_help().map(ToString::to_string).unwrap_or_default());
    page.push_str(".SH OPTIONS\n");
    command.get_arguments().for_each(|arg| option(&mut page, arg));
    page.push_str(".SH COMMANDS\n");
    for one in visible(command) {
        match visible(one).next() {
            None => command_section(&mut page, "rcbs", one),
            Some(_) => {
                let name = format!("rcbs {}", one.get_name());
                visible(one).for_each(|inner| command_section(&mut page, &name, inner));
            }
        }
    }
    TOPICS.iter().for_each(|one| topic(&mut page, one));
    page.push_str(".SH SEE ALSO\n.BR openssl (1)\n");
    page
}

fn one_line(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

fn small_start(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

fn command_section(page: &mut String, parent: &str, command: &Command) {
    let _ = writeln!(page, ".SS {parent} {}", escaped(command.get_name()));
    let _ = writeln!(page, "{}.", escaped(&one_line(command)));
    // Common options stand above.
    let own = command.get_arguments().filter(|arg| !arg.is_global_set() && arg.get_id() != "help");
    own.for_each(|arg| option(page, arg));
    for text in [command.get_before_help(), command.get_after_help()].into_iter().flatten() {
        prose(page, &text.to_string());
    }
}

fn option(page: &mut String, arg: &Arg) {
    if arg.is_hide_set() {
        return;
    }
    let mut names = Vec::new();
    names.extend(arg.get_short().map(|short| format!("\\fB\\-{short}\\fR")));
    names.extend(arg.get_long().map(|long| format!("\\fB\\-\\-{}\\fR", escaped(long))));
    let values: Vec<_> = arg
        .get_value_names()
        .filter(|_| arg.get_action().takes_values())
        .into_iter()
        .flatten()
        .map(|name| format!("\\fI{}\\fR", escaped(name)))
        .collect();
    let many = if arg.is_positional() && arg.get_num_args().is_some_and(|n| n.max_values() > 1) {
        " ..."
    } else {
        ""
    };
    let _ = writeln!(page, ".TP\n{}{many}", [names.join(", "), values.join(" ")].join(" ").trim());
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut paragraphs = help.split("\n\n");
    flow(page, &paragraphs.next().unwrap_or_default().lines().collect::<Vec<_>>());
    for paragraph in paragraphs {
        page.push_str(".IP\n");
        flow(page, &paragraph.lines().collect::<Vec<_>>());
    }
    let defaults: Vec<_> =
        arg.get_default_values().iter().map(|one| one.to_string_lossy()).collect();
    if !defaults.is_empty() && !arg.is_hide_default_value_set() && arg.get_action().takes_values() {
        let _ = writeln!(page, "[default: {}]", escaped(&defaults.join(" ")));
    }
    let possible = arg.get_possible_values();
    if !possible.is_empty() && !arg.is_hide_possible_values_set() && arg.get_action().takes_values()
    {
        let names: Vec<_> = possible.iter().map(|value| value.get_name()).collect();
        let _ = writeln!(page, "[possible values: {}]", escaped(&names.join(", ")));
    }
}

/// Text around the options: paragraphs that flow, but for what is indented and what it belongs to.
fn prose(page: &mut String, text: &str) {
    for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
        let lines: Vec<_> = paragraph.lines().collect();
        let flowing = lines.iter().take_while(|line| !line.starts_with("  ")).count();
        page.push_str(".PP\n");
        flow(page, &lines[..flowing]);
        as_it_is(page, &lines[flowing..]);
    }
}

fn topic(page: &mut String, topic: &Topic) {
    let _ = writeln!(page, ".SH {}", topic.section);
    for block in blocks(topic.text) {
        match block {
            Block::Heading(title) => {
                let _ = writeln!(page, ".SS {}", escaped(title));
            }
            Block::Paragraph(lines) => {
                page.push_str(".PP\n");
                flow(page, &lines);
            }
            Block::Item(lines) => {
                page.push_str(".IP \\(bu 2\n");
                flow(page, &lines);
            }
            Block::Lines(lines) => as_it_is(page, &lines),
            Block::Properties => properties(page),
        }
    }
}

fn properties(page: &mut String) {
    for property in PROPERTIES {
        let default = property.default.map(|value| format!(" [{}]", escaped(value)));
        let default = default.unwrap_or_default();
        let _ = writeln!(page, ".TP\n\\fB{}\\fR{default}", escaped(property.name));
        flow(page, &[property.help]);
    }
}

/// Writes lines that troff may break elsewhere; what stands in backticks stands out.
fn flow(page: &mut String, lines: &[&str]) {
    let mut is_code = false;
    for line in lines {
        let mut shown = String::new();
        for (at, piece) in line.split('`').enumerate() {
            if at > 0 {
                is_code = !is_code;
                shown.push_str(if is_code { "\\fB" } else { "\\fR" });
            }
            shown.push_str(&escaped(piece));
        }
        let _ = writeln!(page, "{shown}");
    }
}

fn as_it_is(page: &mut String, lines: &[&str]) {
    if lines.is_empty() {
        return;
    }
    page.push_str(".PP\n.RS 4\n.nf\n");
    for line in lines {
        let _ = writeln!(page, "{}", escaped(line));
    }
    page.push_str(".fi\n.RE\n");
}

/// A text in which troff sees nothing but letters.
fn escaped(text: &str) -> String {
    let mut safe = String::new();
    if text.starts_with(['.', '\'']) {
        safe.push_str("\\&");
    }
    for letter in text.chars() {
        match letter {
            '\\' => safe.push_str("\\e"),
            '-' => safe.push_str("\\-"),
            '\'' => safe.push_str("\\(aq"),
            '^' => safe.push_str("\\(ha"),
            '~' => safe.push_str("\\(ti"),
            '`' => safe.push_str("\\(ga"),
            '…' => safe.push_str("..."),
            '–' => safe.push_str("\\(en"),
            '²' => safe.push_str("\\(S2"),
            '³' => safe.push_str("\\(S3"),
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_a_text_is_a_command_of_troff() {
        let mut page = String::new();
        flow(&mut page, &[".so /etc/passwd", "'br", "a `--b` \\fB"]);
        assert_eq!(page, "\\&.so /etc/passwd\n\\&\\(aqbr\na \\fB\\-\\-b\\fR \\efB\n");
    }
}
