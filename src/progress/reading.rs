//! The words for reading again what is held.
//!
//! **Invariant**: pure; names from the disk are shown without control characters.

use super::text::{Line, named_failures, plural};
use crate::monitor::Checked;

/// Gives what was found so far.
pub(super) fn counts(files: u64, bytes: u64, wrong: u64) -> String {
    format!("{} read ({bytes} bytes), {wrong} damaged or missing", plural(files, "file"))
}

/// Names at the end what is damaged or missing.
pub(super) fn closing_lines(checked: &Checked) -> Vec<Line> {
    if checked.is_sound() {
        return Vec::new();
    }
    let unnamed = plural(checked.unnamed_failures, "finding");
    let more = (checked.unnamed_failures > 0).then_some(unnamed);
    named_failures("not everything is as it should be", &checked.failures, more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Event;
    use crate::progress::text::{self, Level};

    #[test]
    fn a_check_is_told_by_tenths_and_findings_and_not_by_files() {
        let path = || "a\u{1b}".to_owned();
        let only = |event: &Event| {
            let lines = text::lines(event);
            assert_eq!(lines.len(), 1, "{event:?}");
            lines[0].render(false)
        };
        let started = Event::ReadingStarted { what: "Checking", files: 1, bytes: 7 };
        let progress = Event::ReadingProgress { percent: 20, files: 4, bytes: 9, wrong: 1 };
        for (event, line) in [
            (started, "Checking 1 media file, 7 bytes"),
            (progress, "20%: 4 files read (9 bytes), 1 damaged or missing"),
            (Event::Damaged { path: path(), reason: "cut".into() }, "error: `a\\u{1b}`: cut"),
            (
                Event::Missing { path: path(), recording: "R".into() },
                "error: `a\\u{1b}`: missing, of recording `R`",
            ),
            (Event::Unexplained { path: path(), reason: "odd".into() }, "warning: `a\\u{1b}`: odd"),
            (Event::Doubled { path: path(), reason: "twice".into() }, "warning: `a\\u{1b}`: twice"),
            (Event::Repaired { path: path() }, "`a\\u{1b}`: held again"),
            (Event::Blind { reason: "no ledger".into() }, "error: no ledger"),
        ] {
            assert_eq!(only(&event), line);
        }
        for event in [
            Event::FileRead { path: path(), bytes: 1 },
            Event::RecordingLookedAt { recording: path(), files: 1 },
            Event::KeptRaw { path: path() },
            Event::RecordingEntered { recording: path() },
            Event::MovedAway { path: path() },
        ] {
            assert_eq!((text::lines(&event), text::level(&event)), (Vec::new(), Level::Detail));
        }
    }

    #[test]
    fn closing_names_what_is_wrong_and_counts_the_rest() {
        let failures = vec![("a".to_owned(), "cut".to_owned())];
        let checked = Checked { damaged: 3, failures, unnamed_failures: 2, ..Checked::default() };
        let shown: Vec<_> = closing_lines(&checked).iter().map(|line| line.render(false)).collect();
        assert_eq!(
            shown,
            [
                "error: not everything is as it should be",
                "error: `a`: cut",
                "error: and 2 findings more, named above",
            ]
        );
        assert_eq!(closing_lines(&Checked::default()), []);
    }
}
