//! How a run looks to the operator.
//!
//! Given the events of a run, shows them on stderr: as bars on a terminal, as plain lines, or as
//! one JSON object a line (contract, section 10).
//!
//! **Invariant**: nothing here reaches stdout, nothing decides anything, and a closed stderr never
//! stops a backup.

mod bars;
mod log;
mod opening;
mod reading;
mod text;

use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::monitor::{Event, Monitor};
use crate::window::format_rfc3339;
use bars::Bars;
use text::Level;

pub use log::{LastLines, LogFile};

/// How messages are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Bars on a terminal, otherwise plain lines.
    #[default]
    Auto,
    /// Plain lines.
    Plain,
    /// One JSON object a line.
    Json,
}

/// What decides how a run is shown.
#[derive(Clone, Copy, Debug)]
pub struct ProgressOptions {
    /// How messages are written.
    pub format: Format,
    /// Whether only warnings and errors are.
    pub quiet: bool,
    /// Whether stderr is a terminal.
    pub is_terminal: bool,
    /// Whether lines have colours.
    pub color: bool,
    /// The clock, for the times in JSON lines.
    pub clock: fn() -> DateTime<Utc>,
}

/// Gives the monitor that shows a run on stderr as the options say.
pub fn monitor(options: ProgressOptions) -> Box<dyn Monitor> {
    let ProgressOptions { format, quiet, is_terminal, color, clock } = options;
    if format == Format::Json {
        return Box::new(JsonLines { out: Mutex::new(io::stderr()), quiet, clock });
    }
    if format == Format::Auto && is_terminal && !quiet {
        // A terminal that cannot move its cursor gets lines.
        if let Some(bars) = Bars::on_stderr(color) {
            return Box::new(bars);
        }
    }
    Box::new(Lines { out: Mutex::new(io::stderr()), quiet, color })
}

/// Plain lines.
struct Lines<W> {
    out: Mutex<W>,
    quiet: bool,
    color: bool,
}

impl<W: Write + Send> Monitor for Lines<W> {
    fn on(&self, event: &Event) {
        for line in text::lines(event) {
            if line.level > Level::Detail && is_shown(line.level, self.quiet) {
                write_line(&self.out, &line.render(self.color));
            }
        }
    }
}

/// One JSON object a line.
struct JsonLines<W> {
    out: Mutex<W>,
    quiet: bool,
    clock: fn() -> DateTime<Utc>,
}

#[derive(Serialize)]
struct JsonLine<'a> {
    time: String,
    level: Level,
    #[serde(flatten)]
    event: &'a Event,
}

impl<W: Write + Send> Monitor for JsonLines<W> {
    fn on(&self, event: &Event) {
        // Pieces come many times a second, and their sum is in the last line.
        let is_piece = matches!(event, Event::BytesReceived { .. } | Event::SealedRead { .. });
        if is_piece || !is_shown(text::level(event), self.quiet) {
            return;
        }
        if let Some(line) = json_line(event, self.clock) {
            write_line(&self.out, &line);
        }
    }
}

fn json_line(event: &Event, clock: fn() -> DateTime<Utc>) -> Option<String> {
    let (time, level) = (format_rfc3339(clock()), text::level(event));
    serde_json::to_string(&JsonLine { time, level, event }).ok()
}

fn json_report(text: &str, hint: Option<&str>, clock: fn() -> DateTime<Utc>) -> String {
    let time = format_rfc3339(clock());
    let line = serde_json::json!({
        "time": time, "level": "error", "event": "stopped", "text": text, "hint": hint,
    });
    line.to_string()
}

/// Says on stderr why a command could not do what it was asked for.
pub fn report(format: Format, text: &str, hint: Option<&str>, clock: fn() -> DateTime<Utc>) {
    let out = Mutex::new(io::stderr());
    if format == Format::Json {
        write_line(&out, &json_report(text, hint, clock));
        return;
    }
    write_line(&out, &format!("error: {}", text::printable(text)));
    if let Some(hint) = hint {
        write_line(&out, &text::hint(hint));
    }
}

/// Tells where the program broke down, and why as far as that stands in its own text: words put
/// together while it ran may hold a piece of a record or of a login.
pub fn panicked(panic: &PanicHookInfo<'_>) -> String {
    let place = panic.location().map(|at| format!(" at {}:{}", at.file(), at.line()));
    let words = panic.payload().downcast_ref::<&'static str>().map(|words| format!(": {words}"));
    format!("internal error{}{}", place.unwrap_or_default(), words.unwrap_or_default())
}

fn is_shown(level: Level, quiet: bool) -> bool {
    !quiet || level >= Level::Warning
}

fn write_line(out: &Mutex<impl Write>, line: &str) {
    let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
    // In one piece, so that lines of several programs do not mix; who hung up wants no lines.
    let _ = out.write_all(format!("{line}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::{FileCounts, Summary};

    fn clock() -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1519047014000).unwrap()
    }

    fn events() -> Vec<Event> {
        let mut events = vec![
            Event::RunStarted { from: clock(), to: clock(), shards: 1 },
            Event::BytesReceived { bytes: 5 },
            Event::MediaFailed {
                recording: "r\u{1b}[2J".into(),
                media: "m".into(),
                reason: "gone".into(),
            },
            Event::Warning { text: "look here".into() },
            Event::Note { text: "by the way".into() },
        ];
        let mut summary = Summary::default();
        events.iter().for_each(|event| summary.apply(event));
        summary.files = FileCounts { failed: 1, ..summary.files };
        events.push(Event::RunFinished { summary: Box::new(summary) });
        events
    }

    fn plain(quiet: bool, color: bool) -> String {
        let lines = Lines { out: Mutex::new(Vec::new()), quiet, color };
        events().iter().for_each(|event| lines.on(event));
        String::from_utf8(lines.out.into_inner().unwrap()).unwrap()
    }

    fn json(quiet: bool) -> Vec<serde_json::Value> {
        let lines = JsonLines { out: Mutex::new(Vec::new()), quiet, clock };
        events().iter().for_each(|event| lines.on(event));
        let text = String::from_utf8(lines.out.into_inner().unwrap()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn plain_lines_say_everything_once_and_failures_again_at_the_end() {
        assert_eq!(
            plain(false, false),
            "Backing up recordings <from 02/19/2018 13:30:14 to 02/19/2018 13:30:14 UTC> in 1 shard\n\
             error: recording `r\\u{1b}[2J`: media `m`: gone\n\
             warning: look here\n\
             by the way\n\
             error: not everything is saved\n\
             error: recording `r\\u{1b}[2J`: media `m`: gone\n"
        );
    }

    #[test]
    fn quiet_shows_warnings_and_errors_only() {
        let shown = plain(true, false);
        assert!(shown.lines().all(|l| l.starts_with("error: ") || l.starts_with("warning: ")));
        assert_eq!(shown.lines().count(), 4);
        let shown = json(true);
        let events: Vec<_> = shown.iter().map(|line| line["event"].as_str().unwrap()).collect();
        assert_eq!(events, ["media_failed", "warning", "run_finished"]);
    }

    #[test]
    fn json_lines_carry_time_level_and_event() {
        let shown = json(false);
        assert_eq!(shown.len(), 5);
        assert_eq!(
            shown[0],
            serde_json::json!({
                "time": "2018-02-19T13:30:14.000Z", "level": "info", "event": "run_started",
                "from": "2018-02-19T13:30:14.000Z", "to": "2018-02-19T13:30:14.000Z", "shards": 1
            })
        );
        assert_eq!(shown[4]["level"], "error");
        assert_eq!(shown[4]["summary"]["files"]["failed"], 1);
    }

    #[test]
    fn colours_are_given_only_where_they_are_allowed() {
        assert!(plain(false, true).contains("\u{1b}["));
        assert!(!plain(false, false).contains('\u{1b}'));
    }

    #[test]
    fn a_breakdown_is_told_without_what_was_being_handled() {
        let told = |broken: fn(&str)| {
            let (tell, told) = std::sync::mpsc::channel();
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| drop(tell.send(panicked(panic)))));
            let ended = std::panic::catch_unwind(|| broken("+1 650 555 0100"));
            std::panic::set_hook(before);
            assert!(ended.is_err());
            told.recv().unwrap()
        };
        let fixed = told(|_| panic!("the pipe is gone"));
        assert!(fixed.ends_with(": the pipe is gone"), "{fixed}");
        let place = concat!("internal error at ", file!(), ":");
        for broken in [
            (|text| panic!("cannot take {text}")) as fn(&str),
            |text| assert_eq!(text.parse::<u8>().unwrap(), 0),
            |text| std::panic::panic_any(text.to_owned()),
        ] {
            let text = told(broken);
            assert!(text.starts_with(place) && !text.contains("555"), "{text}");
        }
    }

    #[test]
    fn closed_stderr_is_no_failure() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines { out: Mutex::new(Closed), quiet: false, color: false };
        events().iter().for_each(|event| lines.on(event));
    }
}
