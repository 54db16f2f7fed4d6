//! `rcbs help`: commands and topics, what one of them is, and what was meant instead.
//!
//! Given the command line's own definition, prints what `--help` of a command prints, the text of a
//! topic, or both where one word is both.
//!
//! **Invariant:** no text stands here. What a command is told stands at its arguments, what else
//! there is to know in `docs/help`, and the man page is made of the same.

mod topics;

use std::io::{self, Write};

use clap::Command;
use clap::builder::{PossibleValue, PossibleValuesParser};

pub(super) use self::topics::{Block, TOPICS, Topic, blocks};
use crate::error::{Error, Exit};

/// What is to be explained.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  rcbs help               all commands and topics
  rcbs help window        which recordings a run covers
  rcbs help keys check    a command, as `rcbs keys check --help` explains it")]
pub struct HelpArgs {
    /// A command or a topic; all of them are listed without one
    #[arg(value_name = "WHAT", hide_possible_values = true)]
    what: Vec<String>,
}

/// Takes the words of commands and topics and no others, so that a slip is told what it is near to.
pub fn known_words(command: Command) -> Command {
    let mut words: Vec<PossibleValue> = Vec::new();
    let mut inner = Vec::new();
    for one in visible(&command) {
        words.push(PossibleValue::new(one.get_name().to_owned()));
        inner.extend(visible(one).map(|deeper| deeper.get_name().to_owned()));
    }
    words.extend(TOPICS.iter().map(|topic| PossibleValue::new(topic.name)));
    words.extend(inner.into_iter().map(|name| PossibleValue::new(name).hide(true)));
    let mut seen = std::collections::BTreeSet::new();
    words.retain(|word| seen.insert(word.get_name().to_owned()));
    command.mut_subcommand("help", |help| {
        help.mut_arg("what", |what| what.value_parser(PossibleValuesParser::new(words)))
    })
}

/// The first lines about exit codes, which stand in `--help` too.
pub fn exit_codes() -> String {
    let text = TOPICS.iter().find(|topic| topic.name == "exit-codes").map_or("", |one| one.text);
    let codes = text.lines().filter_map(|line| line.strip_prefix("    "));
    codes.map(|line| format!("\n  {line}")).collect()
}

/// The names of all topics, with commas between.
pub fn topic_names() -> String {
    TOPICS.iter().map(|topic| topic.name).collect::<Vec<_>>().join(", ")
}

/// Explains what was asked for.
pub fn run(args: &HelpArgs, mut command: Command) -> Result<Exit, Error> {
    // Common options and the full names of commands are known only then.
    command.build();
    show(&explained(&args.what, &mut command))?;
    Ok(Exit::Complete)
}

fn explained(what: &[String], command: &mut Command) -> String {
    let Some(first) = what.first() else { return overview(command) };
    let topic = TOPICS.iter().find(|topic| topic.name == *first);
    let mut found = what.to_vec();
    if topic.is_none() && command.find_subcommand(first).is_none() {
        // `rcbs help new` can only mean `rcbs keys new`.
        let parent = visible(command).find(|parent| parent.find_subcommand(first).is_some());
        found.splice(0..0, parent.map(|parent| parent.get_name().to_owned()));
    }
    let mut text = String::new();
    if command.find_subcommand(&found[0]).is_some() {
        text = long_help(&found, command);
    }
    if let Some(topic) = topic.filter(|_| what.len() == 1) {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&topic.on_terminals());
    }
    text
}

fn long_help(path: &[String], command: &mut Command) -> String {
    let mut at = command;
    for name in path {
        match at.find_subcommand(name) {
            Some(_) => at = at.find_subcommand_mut(name).expect("it was found just now"),
            None => break,
        }
    }
    at.render_long_help().ansi().to_string()
}

fn overview(command: &Command) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let commands: Vec<_> = visible(command)
        .map(|one| (one.get_name(), one.get_about().map(ToString::to_string).unwrap_or_default()))
        .collect();
    let topics: Vec<_> =
        TOPICS.iter().map(|topic| (topic.name, topic.title().to_owned())).collect();
    let longest = commands.iter().chain(&topics).map(|(name, _)| name.len()).max().unwrap_or(0);
    let list = |all: &[(&str, String)]| -> String {
        all.iter().map(|(name, about)| format!("  {name:longest$}  {about}\n")).collect()
    };
    format!(
        "{about}\n\n{}\n{}\n{}\n{}\n\
         `rcbs help WHAT` explains a command or a topic, `rcbs --help` the backup and its options.\n",
        topics::heading("Commands, and without any of them a backup:"),
        list(&commands),
        topics::heading("Topics:"),
        list(&topics),
    )
}

/// The commands that are no secret, in the order in which they are documented.
pub(super) fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|one| !one.is_hide_set())
}

/// Writes a text to standard output, with its colours where they can be seen.
fn show(text: &str) -> Result<(), Error> {
    match anstream::stdout().write_all(text.as_bytes()) {
        // Whoever closed the pipe has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(Error::Output),
    }
}
