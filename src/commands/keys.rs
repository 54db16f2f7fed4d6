//! `rcbs keys`: makes keys, lists certificates, and checks that what is held can be opened.
//!
//! **Invariant:** nothing but `keys new` writes, and that never over anything.

mod check;
mod heads;
mod list;
mod new;

use std::path::PathBuf;

use super::{CommonArgs, World, document, print};
use crate::config::Local;
use crate::envelope::RecipientId;
use crate::error::{Error, Exit};
use crate::keyring::{Certificate, Keyring, asked, expiry_warning};
use crate::monitor::Event;
use crate::pipeline::Signal;

/// What can be done about keys.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum KeysCommand {
    /// Makes a private key and its certificate, in files that only you may read
    New(new::NewArgs),
    /// Lists certificates, and how many held media files need each of them
    List(list::ListArgs),
    /// Checks that there is a key for every held media file
    Check(check::CheckArgs),
}

impl KeysCommand {
    /// Whether one JSON document is asked for.
    pub fn is_json(&self) -> bool {
        match self {
            KeysCommand::New(_) => false,
            KeysCommand::List(args) => args.json,
            KeysCommand::Check(args) => args.json,
        }
    }
}

/// What came of a list or a check.
struct Done {
    exit: Exit,
    /// Its name and what it has, where one was asked for.
    document: Option<(&'static str, serde_json::Value)>,
}

/// Does it, or stops at a signal: there is nothing to be kept consistent.
pub async fn run(
    command: &KeysCommand,
    common: &CommonArgs,
    world: &World<'_>,
    shutdown: impl Future<Output = Signal>,
) -> Result<Exit, Error> {
    let local = super::local(world, common, None, None)?;
    let work: Box<dyn FnOnce() -> Result<Done, Error> + Send> = match command {
        KeysCommand::New(args) => return new::run(args, &local, world),
        KeysCommand::List(args) => Box::new(list::prepare(args, &local, world)?),
        KeysCommand::Check(args) => Box::new(check::prepare(args, &local, world)?),
    };
    // On a thread of its own, so that a signal is heard meanwhile.
    let work = tokio::task::spawn_blocking(work);
    let done = tokio::select! {
        done = work => done.unwrap_or_else(|died| std::panic::resume_unwind(died.into_panic()))?,
        signal = shutdown => return Ok(signal.into()),
    };
    if let Some((name, body)) = done.document {
        document::tell(world, name, &body)?;
    }
    Ok(done.exit)
}

/// Gives the folders that were named, else the configured one if there is one.
fn roots(named: &[PathBuf], local: &Local, world: &World<'_>) -> Vec<PathBuf> {
    match named {
        [] => local.target_dir.iter().cloned().collect(),
        named => named.iter().map(|path| world.current_dir.join(path)).collect(),
    }
}

fn warn_of_expiry(keyring: &Keyring, world: &World<'_>) {
    for certificate in keyring.certificates() {
        if let Some(text) = expiry_warning(certificate.x509(), world.now) {
            world.monitor.on(&Event::Warning { text });
        }
    }
}

/// Names the certificate that a recipient is named by, whether it is here or not.
fn label(keyring: &Keyring, id: &RecipientId) -> String {
    keyring.certificate_of(id).map_or_else(|| asked(id), label_of)
}

fn label_of(certificate: &Certificate) -> String {
    format!("serial {} of {}", certificate.serial, certificate.issuer)
}

/// Prints rows with their columns below each other.
fn print_table<const N: usize>(rows: &[[String; N]]) -> Result<(), Error> {
    let wide = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| wide(column).unwrap_or_default());
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        print(cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}
