//! What a run says, written down besides: in a log file, and its last lines for an alarm.
//!
//! **Invariant**: what is written here is what is shown, in its own words; a log that cannot be
//! written is said once, and stops nothing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use super::text::{self, Level};
use super::{Format, json_line, json_report};
use crate::monitor::{Event, Monitor};
use crate::sidefile::Log;
use crate::window::format_rfc3339;

/// A log file with everything that is shown on stderr, quiet or not, and the time of each line.
pub struct LogFile {
    log: Log,
    format: Format,
    clock: fn() -> DateTime<Utc>,
    /// Who is told that it cannot be written.
    shown: Arc<dyn Monitor>,
    has_failed: AtomicBool,
}

impl LogFile {
    /// Writes into a file, as plain lines or as JSON; what goes wrong is shown elsewhere.
    pub fn new(
        log: Log,
        format: Format,
        clock: fn() -> DateTime<Utc>,
        shown: Arc<dyn Monitor>,
    ) -> LogFile {
        LogFile { log, format, clock, shown, has_failed: AtomicBool::new(false) }
    }

    /// Writes down why a command could not do what it was asked for.
    pub fn report(&self, text: &str, hint: Option<&str>) {
        if self.format == Format::Json {
            return self.write(json_report(text, hint, self.clock));
        }
        self.plain(&format!("error: {}", text::printable(text)));
        for line in hint.map(text::hint).iter().flat_map(|hint| hint.lines()) {
            self.plain(line);
        }
    }

    fn plain(&self, line: &str) {
        self.write(format!("{} {line}", format_rfc3339((self.clock)())));
    }

    fn write(&self, line: String) {
        let written = self.log.append(format!("{line}\n").as_bytes());
        if let Err(error) = written
            && !self.has_failed.swap(true, Ordering::Relaxed)
        {
            let path = self.log.path.display();
            let text = format!("cannot write to logFile `{path}`: {error}");
            self.shown.on(&Event::Warning { text });
        }
    }
}

impl Monitor for LogFile {
    fn on(&self, event: &Event) {
        if text::level(event) == Level::Detail {
            return;
        }
        if self.format == Format::Json {
            json_line(event, self.clock).into_iter().for_each(|line| self.write(line));
            return;
        }
        text::lines(event).iter().for_each(|line| self.plain(&line.render(false)));
        // The result itself goes to standard output, which nobody keeps.
        if let Event::RunFinished { summary } = event {
            self.plain(&summary.closing_line());
        }
    }
}

/// The last lines of a run, as many as an alarm has room for.
#[derive(Debug, Default)]
pub struct LastLines(Mutex<VecDeque<String>>);

impl LastLines {
    /// How many bytes are kept; some services take no more than 10 KB.
    const MOST_BYTES: usize = 8_000;

    /// Remembers that a command could not do what it was asked for.
    pub fn report(&self, text: &str) {
        self.add(format!("error: {}", text::printable(text)));
    }

    /// Remembers a line.
    pub fn add(&self, mut line: String) {
        let end = (0..=Self::MOST_BYTES / 4).rfind(|at| line.is_char_boundary(*at));
        line.truncate(end.unwrap_or_default());
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push_back(line);
        while lines.iter().map(|line| line.len() + 1).sum::<usize>() > Self::MOST_BYTES {
            lines.pop_front();
        }
    }

    /// Gives them as one text.
    pub fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().flat_map(|line| [line, "\n"]).collect()
    }
}

impl Monitor for LastLines {
    fn on(&self, event: &Event) {
        if text::level(event) == Level::Detail {
            return;
        }
        text::lines(event).iter().for_each(|line| self.add(line.render(false)));
        if let Event::RunFinished { summary } = event {
            self.add(summary.closing_line());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_a_long_one_is_cut_between_letters() {
        let lines = LastLines::default();
        for number in 0..10_000 {
            lines.on(&Event::Note { text: format!("line {number}") });
        }
        lines.on(&Event::BytesReceived { bytes: 1 });
        let text = lines.text();
        assert!(text.ends_with("line 9998\nline 9999\n"), "{text}");
        assert!((7_900..=LastLines::MOST_BYTES).contains(&text.len()), "{}", text.len());
        lines.add("ü".repeat(LastLines::MOST_BYTES));
        let text = lines.text();
        assert!(text.len() <= LastLines::MOST_BYTES && text.ends_with("ü\n"));
        assert!(text.contains("line 9999\n"));
    }
}
