//! Every way in which a command ends, its exit code, and what the operator can do about it.
//!
//! **Invariant:** each exit code is decided here and nowhere else, by matches without a wildcard.

mod proxy;

use std::io;
use std::path::PathBuf;

use crate::checkpoint::CheckpointError;
use crate::config::ConfigErrors;
use crate::decrypt::{DecryptError, SourceError};
use crate::envelope::SealingError;
use crate::http::{ClientError, Fault, chain};
use crate::keyring::{KeyError, PairError};
use crate::ledger::LedgerError;
use crate::manifest::ManifestError;
use crate::pipeline::{Signal, Stop};
use crate::schedule::ScheduleError;
use crate::source::gws::GwsError;
use crate::source::{OpenError, OpenErrorKind};
use crate::tree::{TreeError, TreeErrorKind};
use crate::watermark::PlanError;

/// How a command ended; part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything in the window is held.
    Complete = 0,
    /// An internal error.
    Internal = 1,
    /// Bad usage or configuration.
    Usage = 2,
    /// Finished, but some recordings or shards failed.
    Incomplete = 3,
    /// Access denied.
    Denied = 4,
    /// Another run holds the target.
    Locked = 5,
    /// The target cannot be written.
    Target = 6,
    /// A service never answered.
    Unanswered = 7,
    /// Stopped by SIGINT.
    Interrupted = 130,
    /// Stopped by SIGTERM.
    Terminated = 143,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        std::process::ExitCode::from(exit as u8)
    }
}

impl From<Signal> for Exit {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Interrupt => Exit::Interrupted,
            Signal::Terminate => Exit::Terminated,
        }
    }
}

/// Why a command could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// A file that was named cannot be read.
    #[error("cannot read {what} `{}`", path.display())]
    File {
        /// What it is for.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing can be encrypted for the certificate that was named.
    #[error("cannot encrypt for encryptionCertificate `{}`", path.display())]
    Certificate {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        source: SealingError,
    },
    /// The HTTP client could not be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The target.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The watermark.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The window that the instances of a run share.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The window makes no sense.
    #[error("{error}")]
    Plan {
        /// Why.
        error: PlanError,
        /// The command that puts the watermark right.
        reset: String,
    },
    /// GWS gave no answer before the run could begin.
    #[error(transparent)]
    Gws(#[from] GwsError),
    /// Media cannot be had at all.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Not one object was readable.
    #[error("not one media file could be read: access is denied, or there is no such bucket")]
    NothingReadable,
    /// GWS never answered.
    #[error("GWS never gave a usable answer")]
    GwsSilent,
    /// The source of media does not answer, or does so no longer.
    #[error("the storage of the media never answered")]
    MediaSilent,
    /// A file of keys cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A new key cannot be made.
    #[error(transparent)]
    Pair(#[from] PairError),
    /// What was named for keys holds none.
    #[error("no {what} in {looked_at}")]
    NoKeys {
        /// What was looked for.
        what: &'static str,
        /// Where.
        looked_at: String,
    },
    /// A new key would have the name of something else.
    #[error("`{}` is there already, and no key is written over anything", .0.display())]
    KeyIsThere(PathBuf),
    /// A name that not every file system takes.
    #[error("`{0}` cannot be the name of files")]
    KeyName(String),
    /// Neither the command line nor a configuration says where to look.
    #[error("no folder is named, and no configuration says where the recordings are")]
    NothingNamed,
    /// What was named is no part of the target.
    #[error("`{}` is not below the target `{}`", path.display(), target.display())]
    NotBelow {
        /// What was named.
        path: PathBuf,
        /// The target.
        target: PathBuf,
    },
    /// There is nothing random to be had.
    #[error("cannot make up a seed")]
    Random(#[source] io::Error),
    /// What is held cannot be opened into there.
    #[error(transparent)]
    Decrypt(#[from] DecryptError),
    /// A target that is not there.
    #[error("the target `{}` is not there", .0.display())]
    NoTarget(PathBuf),
    /// A target that no backup has kept a ledger in.
    #[error("the target `{}` has no ledger", .0.display())]
    NoLedger(PathBuf),
    /// A loss that the ledger does not know.
    #[error("{what} has not failed, as far as the ledger of `{}` knows", target.display())]
    NothingFailed {
        /// The recording, or the media file of it.
        what: String,
        /// The target.
        target: PathBuf,
    },
    /// A scheduler's entry cannot be written.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// Standard output cannot be written.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
}

impl Error {
    /// The exit code that tells a scheduler what to do.
    pub fn exit(&self) -> Exit {
        match self {
            Error::Config(_)
            | Error::File { .. }
            | Error::Certificate { .. }
            | Error::Client(_)
            | Error::Plan { .. } => Exit::Usage,
            Error::Tree(error) => tree_exit(error),
            Error::Checkpoint(error) => match error {
                CheckpointError::Tree(error) => tree_exit(error),
                CheckpointError::OtherTarget { .. } => Exit::Target,
                CheckpointError::Read { .. }
                | CheckpointError::Watermark { .. }
                | CheckpointError::State { .. } => Exit::Usage,
            },
            Error::Ledger(error) => match error {
                LedgerError::Tree(error) => tree_exit(error),
                LedgerError::Later { .. } => Exit::Usage,
                LedgerError::Sqlite { .. } => Exit::Target,
            },
            Error::Manifest(error) => match error {
                ManifestError::Tree(error) => tree_exit(error),
                ManifestError::Damaged { .. }
                | ManifestError::OtherTotal { .. }
                | ManifestError::OtherEnd { .. }
                | ManifestError::NoRun(_) => Exit::Usage,
            },
            Error::Gws(error) => match error {
                GwsError::Denied { .. } => Exit::Denied,
                GwsError::Refused { code: 3 | 5, .. } => Exit::Denied,
                GwsError::Fault(fault, _) if fault.is_login() => Exit::Denied,
                GwsError::Refused { .. }
                | GwsError::Status { .. }
                | GwsError::NotAPage { .. }
                | GwsError::Page(_)
                | GwsError::Redirected(_)
                | GwsError::Fault(..) => Exit::Unanswered,
            },
            Error::Open(error) => open_exit(&error.kind),
            Error::Pair(PairError::Openssl(_)) | Error::Random(_) => Exit::Internal,
            Error::Key(_)
            | Error::Pair(
                PairError::Bits(_)
                | PairError::Days(_)
                | PairError::Subject(_)
                | PairError::Passphrase,
            )
            | Error::NoKeys { .. }
            | Error::KeyIsThere(_)
            | Error::KeyName(_)
            | Error::NothingNamed
            | Error::Schedule(_)
            | Error::NotBelow { .. } => Exit::Usage,
            Error::Decrypt(DecryptError::Source(_)) => Exit::Usage,
            Error::Decrypt(DecryptError::Output(error)) => tree_exit(error),
            Error::NoTarget(_) => Exit::Target,
            Error::NoLedger(_) | Error::NothingFailed { .. } => Exit::Usage,
            Error::NothingReadable => Exit::Denied,
            Error::GwsSilent | Error::MediaSilent => Exit::Unanswered,
            Error::Output(_) => Exit::Internal,
        }
    }

    /// What went wrong, a line for each problem, with what the operator can do about it.
    pub fn lines(&self) -> Vec<(String, Option<String>)> {
        match self {
            Error::Config(errors) => errors
                .problems
                .iter()
                .map(|problem| {
                    (format!("{}: {}", problem.place, problem.message), problem.hint.clone())
                })
                .collect(),
            error => vec![(chain(error), error.hint())],
        }
    }

    /// What the operator can do, where there is something.
    fn hint(&self) -> Option<String> {
        let hint = match self {
            // Each of its problems has a hint of its own.
            Error::Config(_) | Error::Output(_) => return None,
            Error::File { what: "the configuration", .. } => {
                "name it with `--config FILE`; config.properties.example shows one"
            }
            Error::File { .. } => "name a file that this user may read",
            Error::Certificate { .. } => {
                "name a PEM file with the certificate of an RSA key; `rcbs keys new` makes one"
            }
            Error::Client(ClientError::Roots) => {
                "name a file with `-----BEGIN CERTIFICATE-----` in it"
            }
            Error::Client(ClientError::Tls(_) | ClientError::Setup(_)) => return None,
            Error::Tree(error) => return error.hint().map(str::to_owned),
            Error::Checkpoint(error) => return error.hint(),
            Error::Ledger(error) => return error.hint().map(str::to_owned),
            Error::Manifest(error) => return error.hint().map(str::to_owned),
            Error::Plan { reset, .. } => {
                return Some(format!("put the clock right, or the watermark: {reset}"));
            }
            Error::Gws(error) => gws_hint(error)?,
            Error::Open(error) => open_hint(&error.kind)?,
            Error::Key(KeyError::Encrypted { .. } | KeyError::Passphrase { .. }) => {
                "set RCBS_KEY_PASSPHRASE, or RCBS_KEY_PASSPHRASE_FILE to a file that holds it"
            }
            Error::Key(KeyError::Broken { .. }) => "name the good files one by one with `--keys`",
            Error::Pair(_) | Error::Random(_) => return None,
            Error::NoKeys { .. } => {
                "name files with `-----BEGIN … PRIVATE KEY-----` in them, or their folder"
            }
            Error::KeyIsThere(_) => "choose another folder with `--out` or name with `--name`",
            Error::KeyName(_) => "take letters and digits",
            Error::NotBelow { .. } => "name folders or files of the target, such as `2018/02`",
            Error::Schedule(error) => error.hint(),
            Error::NothingNamed => "name a folder, or a configuration with `--config FILE`",
            Error::Decrypt(DecryptError::Output(error)) => return error.hint().map(str::to_owned),
            Error::Decrypt(DecryptError::Source(error)) => match error {
                SourceError::Look { .. } => "name files or folders that this user may read",
                SourceError::Name(_) => "give it another name, or name the folder above it",
                SourceError::Inside { .. }
                | SourceError::Around { .. }
                | SourceError::Backup(_) => "choose a folder of its own with `--out`",
                SourceError::SameName { .. } => "open one after the other, with two `--out`",
            },
            Error::NoTarget(_) => "mount its disk, or name the folder that was meant",
            Error::NoLedger(_) => {
                "name the folder that a backup was made into, or make the ledger with `rcbs rebuild`"
            }
            Error::NothingFailed { .. } => {
                "find the ids of what is not held with `rcbs audit`; only what a run has tried can \
                 be accepted"
            }
            Error::NothingReadable => {
                "check the name of the bucket and the read access to it, with `--verify s3`"
            }
            Error::GwsSilent => "check gwsUriPrefix and the proxy, with `--verify s3`",
            Error::MediaSilent => "check the proxy and the region, with `--verify s3`",
        };
        Some(hint.to_owned())
    }
}

/// What a run that ended early comes to.
pub fn stopped(stop: Stop) -> Result<Exit, Error> {
    Err(match stop {
        Stop::Signal(signal) => return Ok(signal.into()),
        Stop::Target(error) => error.into(),
        Stop::Checkpoint(error) => error.into(),
        Stop::Ledger(error) => error.into(),
        Stop::GwsDenied(error) => error.into(),
        Stop::MediaDenied(error) => error.into(),
        Stop::NothingReadable => Error::NothingReadable,
        Stop::GwsSilent => Error::GwsSilent,
        Stop::MediaSilent => Error::MediaSilent,
    })
}

fn tree_exit(error: &TreeError) -> Exit {
    match error.kind() {
        TreeErrorKind::Locked => Exit::Locked,
        // Told as loudly as it can be: a share that nobody saves is no harmless collision.
        TreeErrorKind::Shared | TreeErrorKind::OtherTotal | TreeErrorKind::Fleet => Exit::Usage,
        TreeErrorKind::Full
        | TreeErrorKind::Denied
        | TreeErrorKind::ReadOnly
        | TreeErrorKind::Link
        | TreeErrorKind::NoLocks
        | TreeErrorKind::Other => Exit::Target,
    }
}

/// The exit code for an object that could not be had, where everything depended on it.
pub fn open_exit(kind: &OpenErrorKind) -> Exit {
    match kind {
        OpenErrorKind::NoCredentials
        | OpenErrorKind::Credentials(_)
        | OpenErrorKind::AccessDenied
        | OpenErrorKind::NoSuchKey
        | OpenErrorKind::NoSuchBucket
        | OpenErrorKind::WrongRegion(_)
        | OpenErrorKind::ClockSkew
        | OpenErrorKind::ForeignOrigin
        | OpenErrorKind::Unusable(_) => Exit::Denied,
        OpenErrorKind::Fault(fault) if fault.is_login() => Exit::Denied,
        OpenErrorKind::Changed | OpenErrorKind::Status(..) | OpenErrorKind::Fault(_) => {
            Exit::Unanswered
        }
    }
}

fn gws_hint(error: &GwsError) -> Option<&'static str> {
    Some(match error {
        GwsError::Denied { .. } => "check GWS_USERNAME and GWS_PASSWORD",
        GwsError::Refused { code: 3 | 5, .. } => {
            "give the GWS user the permission to download recordings"
        }
        GwsError::Status { http: 407, .. } => "ask who runs the proxy to let this host pass",
        GwsError::Redirected(_) => "set gwsUriPrefix to the address that the service really has",
        GwsError::NotAPage { .. } | GwsError::Page(_) => {
            "check that gwsUriPrefix is the address of the API, and not of a page for people"
        }
        GwsError::Fault(fault, _) => fault_hint(fault, "gwsUriPrefix and gwsProxyHost"),
        GwsError::Refused { .. } | GwsError::Status { .. } => return None,
    })
}

/// What to do about an object that could not be had.
pub fn open_hint(kind: &OpenErrorKind) -> Option<&'static str> {
    Some(match kind {
        OpenErrorKind::NoCredentials => "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        OpenErrorKind::Credentials(code) if code == "ExpiredToken" => {
            "the temporary credentials have expired: set new ones, AWS_SESSION_TOKEN with them"
        }
        OpenErrorKind::Credentials(code) if code == "SignatureDoesNotMatch" => {
            "check AWS_SECRET_ACCESS_KEY; the key id is known, but this is not its secret"
        }
        OpenErrorKind::Credentials(_) => "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        OpenErrorKind::AccessDenied => "ask for read access to the bucket",
        OpenErrorKind::NoSuchBucket => "check the name of the bucket",
        OpenErrorKind::WrongRegion(_) => "set awsRegion to the region of the bucket",
        OpenErrorKind::ClockSkew => "set this machine's clock, best by NTP",
        OpenErrorKind::ForeignOrigin => "add the origin to mediaOrigins if it can be trusted",
        OpenErrorKind::Fault(fault) => fault_hint(fault, "awsEndpointUrl and awsProxyHost"),
        OpenErrorKind::NoSuchKey
        | OpenErrorKind::Changed
        | OpenErrorKind::Status(..)
        | OpenErrorKind::Unusable(_) => return None,
    })
}

fn fault_hint(fault: &Fault, properties: &'static str) -> &'static str {
    match (fault, properties) {
        (Fault::Proxy(fault), _) => proxy::hint(fault),
        (Fault::UntrustedCertificate, _) => {
            "name the certificate, or the one that signed it, with caBundle"
        }
        (Fault::CertificateDate, _) => {
            "check this machine's clock; if it is right, the server needs a new certificate"
        }
        (Fault::CertificateHost, _) => "use the host name that the certificate was made for",
        (Fault::Tls, _) => "check that the address speaks TLS, and that no proxy interferes",
        (Fault::ProxyRefused, _) => "ask who runs the proxy to let this host pass",
        (
            Fault::Dns | Fault::Unreachable | Fault::Timeout | Fault::Broken,
            "gwsUriPrefix and gwsProxyHost",
        ) => "check gwsUriPrefix, and gwsProxyHost and gwsProxyPort if there must be a proxy",
        (Fault::Dns | Fault::Unreachable | Fault::Timeout | Fault::Broken, _) => {
            "check awsEndpointUrl, and awsProxyHost and awsProxyPort if there must be a proxy"
        }
    }
}
