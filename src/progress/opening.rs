//! The words for opening what is held.
//!
//! **Invariant**: pure; names from the disk are shown without control characters.

use super::text::{Line, named_failures, plural};
use crate::monitor::Opened;

/// Says what there is to open.
pub(super) fn started(files: u64, bytes: u64) -> String {
    format!("Opening {}, {bytes} bytes", plural(files, "file"))
}

/// Gives what became of files.
pub(super) fn counts(files: u64, bytes: u64, skipped: u64, failed: u64) -> String {
    format!("{files} opened ({bytes} bytes), {skipped} skipped, {failed} failed")
}

/// Names at the end what could not be opened.
pub(super) fn closing_lines(opened: &Opened) -> Vec<Line> {
    if opened.is_complete() {
        return Vec::new();
    }
    let unnamed = plural(opened.unnamed_failures, "failure");
    let more = (opened.unnamed_failures > 0).then_some(unnamed);
    named_failures("not everything is opened", &opened.failures, more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Event;
    use crate::progress::text::{self, Level};

    fn only(event: &Event) -> String {
        let lines = text::lines(event);
        assert_eq!(lines.len(), 1, "{event:?}");
        lines[0].render(false)
    }

    #[test]
    fn opening_is_told_by_tenths_and_failures_and_not_by_files() {
        let path = || "a\u{1b}".to_owned();
        let progress =
            Event::OpeningProgress { percent: 20, files: 4, bytes: 9, skipped: 2, failed: 1 };
        for (event, line) in [
            (Event::OpeningStarted { files: 1, bytes: 7 }, "Opening 1 file, 7 bytes"),
            (progress, "20%: 4 opened (9 bytes), 2 skipped, 1 failed"),
            (
                Event::OpeningFailed { path: path(), reason: "truncated".into() },
                "error: `a\\u{1b}`: truncated",
            ),
        ] {
            assert_eq!(only(&event), line);
        }
        for event in [
            Event::SealedRead { bytes: 1 },
            Event::FileOpened { path: path(), bytes: 1 },
            Event::FileWasOpen { path: path(), bytes: 1 },
            Event::MetadataCopied { path: path() },
        ] {
            assert_eq!((text::lines(&event), text::level(&event)), (Vec::new(), Level::Detail));
        }
    }

    #[test]
    fn closing_names_what_is_not_opened_and_counts_the_rest() {
        let failures = vec![("a".to_owned(), "gone".to_owned())];
        let opened = Opened { failed: 3, failures, unnamed_failures: 2, ..Opened::default() };
        let shown: Vec<_> = closing_lines(&opened).iter().map(|line| line.render(false)).collect();
        assert_eq!(
            shown,
            [
                "error: not everything is opened",
                "error: `a`: gone",
                "error: and 2 failures more, named above",
            ]
        );
        assert_eq!(closing_lines(&Opened::default()), []);
    }
}
