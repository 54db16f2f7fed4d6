//! The command line.
//!
//! Given what was typed, gives what was meant, or why nothing can be; and the definition of it all,
//! of which help, completions and the manual page are made.
//!
//! **Invariant:** nothing is done here.

use std::ffi::OsString;

use clap::builder::{Resettable, StyledStr};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::commands::CommonArgs;
use crate::commands::accept::AcceptArgs;
use crate::commands::audit::AuditArgs;
use crate::commands::backup::BackupArgs;
use crate::commands::check::CheckArgs;
use crate::commands::completions::CompletionsArgs;
use crate::commands::decrypt::DecryptArgs;
use crate::commands::document::JsonArgs;
use crate::commands::estimate::EstimateArgs;
use crate::commands::help::{self, HelpArgs};
use crate::commands::keys::KeysCommand;
use crate::commands::schedule::ScheduleCommand;
use crate::progress::Format;

/// Backs up the call and screen recordings of a Genesys contact centre before the cloud deletes them
#[derive(Debug, Parser)]
#[command(name = "rcbs", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    /// What every command is told.
    #[command(flatten)]
    pub common: CommonArgs,
    /// What a backup is told.
    #[command(flatten)]
    pub backup: BackupArgs,
    /// Checks the connection to GWS and S3, downloads nothing
    #[arg(long, value_name = "WHAT", conflicts_with_all = ["from", "to", "dry_run", "again", "bandwidth"])]
    pub verify: Option<Verify>,
    /// Prints one JSON document, with --verify
    #[arg(long, requires = "verify")]
    pub json: bool,
    /// How messages are written: bars on a terminal and lines elsewhere, or JSON
    #[arg(long, value_name = "FORMAT", global = true, default_value = "auto")]
    pub log_format: Format,
    /// Prints warnings and errors only
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Prints each request to standard error
    #[arg(long, short, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
    /// The command; without one, a backup.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What can be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Verify {
    /// The metadata API and the storage
    S3,
}

/// The commands besides the backup.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Prints the effective configuration, where each value came from, and the window it covers now
    Config(JsonArgs),
    /// Asks GWS again for a period, and tells what of it is not held
    Audit(AuditArgs),
    /// Tells what recordings need, planned or as GWS lists them, and whether they will fit
    Estimate(Box<EstimateArgs>),
    /// Accepts a loss that cannot be cured: it holds nothing up any more, and stands in every audit
    Accept(AcceptArgs),
    /// Opens what is held into another folder, with the private keys
    Decrypt(Box<DecryptArgs>),
    /// Reads again what is held, and tells what is damaged or missing
    Check(Box<CheckArgs>),
    /// Makes the ledger know what the target holds, and reads all of it for that
    Rebuild(JsonArgs),
    /// Prints an entry for a scheduler that runs this backup: cron, systemd or Windows
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// Makes keys, lists certificates, checks that all that is held can be opened
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Prints what a shell needs to complete commands and options
    Completions(CompletionsArgs),
    /// Prints the manual page; `rcbs man | man -l -` shows it
    Man,
    /// Explains a command or a topic, such as the window or the exit codes
    Help(HelpArgs),
}

const AFTER_HELP: &str = "\
Examples:
  rcbs --config config.properties                    back up, and go on where the last run ended
  rcbs --config config.properties --dry-run          list what would be downloaded
  rcbs --config config.properties --verify s3        check the connection
  rcbs --from 2018-01-02 --to 2018-01-04             save two days, once; the 4th is not in it
  rcbs --bandwidth 20M                               leave some of the line to others
  rcbs --set maxAge=PT30M --set targetDir=/srv/rec   with other settings for this run

Credentials come from the environment: GWS_USERNAME, GWS_PASSWORD, AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, or files named by the same names with _FILE behind.";

impl Cli {
    /// Whether one JSON document is asked for.
    pub fn is_json(&self) -> bool {
        match &self.command {
            Some(Command::Config(args) | Command::Rebuild(args)) => args.json,
            Some(Command::Audit(args)) => args.json,
            Some(Command::Estimate(args)) => args.json,
            Some(Command::Accept(args)) => args.json,
            Some(Command::Decrypt(args)) => args.json,
            Some(Command::Check(args)) => args.json,
            Some(Command::Keys(command)) => command.is_json(),
            Some(
                Command::Schedule(_) | Command::Help(_) | Command::Completions(_) | Command::Man,
            ) => false,
            None => self.json,
        }
    }
}

/// Examples come first, then what can be typed, then what there is to know.
const TEMPLATE: &str = "\
{about-with-newline}
{before-help}{usage-heading} {usage}

{all-args}{after-help}";

/// Gives what was typed, or what is to be said of it.
pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let matches = command().try_get_matches_from(modern_spelling(args))?;
    Cli::from_arg_matches(&matches)
}

/// The command line as it is explained.
pub fn command() -> clap::Command {
    let command = help::known_words(arranged(Cli::command()));
    let known = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    command.after_help(format!(
        "{known}\n\nExit codes:{}\n\nMore by `rcbs help TOPIC`: {}",
        help::exit_codes(),
        help::topic_names(),
    ))
}

/// Puts the examples of a command, and of the commands below it, before its options.
fn arranged(command: clap::Command) -> clap::Command {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (examples, rest): (Vec<&str>, Vec<&str>) =
        text.split("\n\n").partition(|paragraph| paragraph.starts_with("Example"));
    let shown = |paragraphs: Vec<&str>| {
        let text = paragraphs.join("\n\n");
        Resettable::from((!text.is_empty()).then(|| StyledStr::from(text)))
    };
    command
        .before_help(shown(examples))
        .after_help(shown(rest))
        .help_template(TEMPLATE)
        .disable_help_subcommand(true)
        .mut_subcommands(arranged)
}

/// Spells options of several letters with two dashes where one was typed, as the original tool has
/// it: `-config`, `-verify`. So a slip in one of them is told what it is near to.
fn modern_spelling(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut is_option = true;
    args.map(|arg| {
        is_option &= arg != "--";
        let long = arg.to_str().filter(|_| is_option).and_then(|text| text.strip_prefix('-'));
        match long.filter(|name| is_long(name)) {
            Some(name) => format!("--{name}").into(),
            None => arg,
        }
    })
    .collect()
}

/// Tells whether what stands behind a dash is a word, and not letters that each are an option.
fn is_long(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(char::is_alphabetic)
        && letters.next().is_some()
        && !name.chars().all(|letter| SHORT.contains(letter))
}

/// The options that are a letter.
const SHORT: &str = "hqvV";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        super::parse(std::iter::once("rcbs").chain(line.split_whitespace()).map(OsString::from))
    }

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn every_short_option_is_known_as_one() {
        fn letters(command: &clap::Command, found: &mut std::collections::BTreeSet<char>) {
            found.extend(command.get_arguments().filter_map(clap::Arg::get_short));
            command.get_subcommands().for_each(|inner| letters(inner, found));
        }
        let mut command = command();
        command.build();
        let mut found = std::collections::BTreeSet::new();
        letters(&command, &mut found);
        assert_eq!(found, SHORT.chars().collect());
    }

    #[test]
    fn one_dash_before_a_word_is_taken_for_two() {
        for (typed, meant) in [
            ("-config", "--config"),
            ("-dry-run", "--dry-run"),
            ("-config=a", "--config=a"),
            ("-qh", "-qh"),
            ("-q", "-q"),
            ("-", "-"),
            ("-1", "-1"),
            ("--", "--"),
        ] {
            let args = [OsString::from(typed)].into_iter();
            assert_eq!(modern_spelling(args), [OsString::from(meant)], "{typed}");
        }
        let behind = ["--", "-file"].map(OsString::from);
        assert_eq!(modern_spelling(behind.clone().into_iter()), behind);
    }

    #[test]
    fn the_spelling_of_the_original_is_understood() {
        let cli = parse("-config a.properties -verify s3").unwrap();
        assert_eq!(
            (cli.common.config.to_str(), cli.verify),
            (Some("a.properties"), Some(Verify::S3))
        );
    }

    #[test]
    fn common_options_count_before_and_after_a_command() {
        for line in ["--config a --set maxAge=1 config", "config --config a --set maxAge=1"] {
            let common = parse(line).unwrap().common;
            assert_eq!(common.config.to_str(), Some("a"), "{line}");
            assert_eq!(common.set, [("maxAge".to_owned(), "1".to_owned())], "{line}");
        }
    }
}
