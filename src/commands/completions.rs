//! `rcbs completions`: what a shell needs to complete the command line.
//!
//! **Invariant:** it is made of the command line's own definition, so that nothing is missing.

use clap::Command;
use clap_complete::Shell;

use super::print;
use crate::error::{Error, Exit};

/// What completions are told on the command line.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  rcbs completions bash > /etc/bash_completion.d/rcbs
  rcbs completions zsh > /usr/local/share/zsh/site-functions/_rcbs
  rcbs completions fish > ~/.config/fish/completions/rcbs.fish
  rcbs completions powershell >> $PROFILE

The Debian package brings those of bash, zsh and fish.")]
pub struct CompletionsArgs {
    /// The shell that is to complete
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the script of a shell.
pub fn run(args: &CompletionsArgs, mut command: Command) -> Result<Exit, Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "rcbs", &mut script);
    print(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Complete)
}
