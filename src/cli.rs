//! The command line.

use std::ffi::OsString;

use clap::{Parser, Subcommand, ValueEnum};

use crate::commands::CommonArgs;
use crate::commands::accept::AcceptArgs;
use crate::commands::audit::AuditArgs;
use crate::commands::backup::BackupArgs;
use crate::commands::check::CheckArgs;
use crate::commands::decrypt::DecryptArgs;
use crate::commands::document::JsonArgs;
use crate::commands::estimate::EstimateArgs;
use crate::commands::keys::KeysCommand;
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
    /// Makes keys, lists certificates, checks that all that is held can be opened
    #[command(subcommand)]
    Keys(KeysCommand),
}

const AFTER_HELP: &str = "\
Credentials come from the environment: GWS_USERNAME, GWS_PASSWORD, AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, or files named by the same names with _FILE behind.

Examples:
  rcbs --config config.properties                    back up, and go on where the last run ended
  rcbs --config config.properties --dry-run          list what would be downloaded
  rcbs --config config.properties --verify s3        check the connection
  rcbs --from 2018-01-02 --to 2018-01-04             save two days, once; the 4th is not in it
  rcbs --bandwidth 20M                               leave some of the line to others
  rcbs --set maxAge=PT30M --set targetDir=/srv/rec   with other settings for this run

Exit codes:
    0  everything in the window is held
    1  internal error
    2  bad usage or configuration; a retry cannot help
    3  finished, but some recordings or shards failed; run again later
    4  access denied; fix the credentials
    5  another run holds this target
    6  the target cannot be written
    7  a service never answered; run again later
  130  stopped by SIGINT; state consistent, run again
  143  stopped by SIGTERM; state consistent, run again";

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
            None => self.json,
        }
    }
}

/// Spells the options of the original tool, `-config` and `-verify`, as they are spelled here.
pub fn modern_spelling(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    args.map(|arg| match arg.to_str() {
        Some("-config") => "--config".into(),
        Some("-verify") => "--verify".into(),
        _ => arg,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        let args = std::iter::once("rcbs").chain(line.split_whitespace()).map(OsString::from);
        Cli::try_parse_from(modern_spelling(args))
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
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
