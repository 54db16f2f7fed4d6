//! Entries for schedulers: a line for cron, two units for systemd, a task for Windows.
//!
//! Is given what shall run, as whom, and when; gives the text of the entry.
//!
//! **Invariant:** pure; whatever characters a path has in it, the scheduler runs just that path,
//! and what cannot be written rightly is refused.

mod cron;
mod systemd;
mod times;
mod windows;

pub use self::cron::crontab;
pub use self::systemd::{service, timer};
pub use self::times::{At, Every, EveryError, Times};
pub use self::windows::task;

/// What shall run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The program, by its whole path.
    pub program: String,
    /// What it is told on its command line.
    pub arguments: Vec<String>,
    /// The folder that it runs in.
    pub folder: String,
    /// The file with the variables of its credentials.
    pub environment: String,
    /// As whom it runs; none: as whoever the entry belongs to.
    pub user: Option<String>,
    /// When.
    pub times: Times,
    /// The folders that it writes to.
    pub writes: Vec<String>,
    /// The permissions that nobody shall get of what it writes.
    pub umask: u32,
}

/// Why an entry cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// A text has a line end or another control character in it.
    #[error("{scheduler} cannot be told of `{}`: it has a control character in it", .text.escape_debug())]
    Control {
        /// Who cannot.
        scheduler: &'static str,
        /// What has it.
        text: String,
    },
    /// A path that is read without quotation marks would lose its end.
    #[error("systemd cannot be told of `{0}`: it ends in a backslash or a blank")]
    End(String),
    /// Systemd runs no program whose path has such a character in it, however it is written.
    #[error("systemd runs no program with a quotation mark or a backslash in its path: `{0}`")]
    Program(String),
    /// Cron cuts long lines without a word.
    #[error("the line for cron has {0} bytes, and cron takes no more than 998")]
    Long(usize),
    /// A path or an argument is not UTF-8.
    #[error("`{0}` is no text that could stand in an entry")]
    NotText(String),
}

impl ScheduleError {
    /// Says what the operator can do.
    pub fn hint(&self) -> &'static str {
        match self {
            ScheduleError::Control { .. }
            | ScheduleError::End(_)
            | ScheduleError::Program(_)
            | ScheduleError::NotText(_) => "give the file or folder a plain name",
            ScheduleError::Long(_) => "take shorter paths, or put the command into a script",
        }
    }
}

/// Refuses what would end a line.
fn checked<'t>(scheduler: &'static str, text: &'t str) -> Result<&'t str, ScheduleError> {
    match text.contains(char::is_control) {
        true => Err(ScheduleError::Control { scheduler, text: text.to_owned() }),
        false => Ok(text),
    }
}
