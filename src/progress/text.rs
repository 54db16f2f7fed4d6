//! The words for an event.
//!
//! **Invariant**: pure; whatever a server sent is shown without control characters.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{opening, reading};
use crate::monitor::{Event, Failure, FileCounts, Summary};
use crate::window::{Shard, format_rfc3339};

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// One of many of its kind.
    Detail,
    /// The run goes on as it should.
    Info,
    /// Something to look into.
    Warning,
    /// Something is not saved.
    Error,
}

/// One line to be shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) level: Level,
    pub(super) text: String,
}

impl Line {
    /// Gives the line as it is shown.
    pub(super) fn render(&self, color: bool) -> String {
        let (word, style) = match self.level {
            Level::Detail | Level::Info => return self.text.clone(),
            Level::Warning => ("warning:", "\u{1b}[1;33m"),
            Level::Error => ("error:", "\u{1b}[1;31m"),
        };
        if color {
            return format!("{style}{word}\u{1b}[0m {}", self.text);
        }
        format!("{word} {}", self.text)
    }
}

/// Tells how much an event matters.
pub(super) fn level(event: &Event) -> Level {
    match event {
        Event::RecordRejected { .. }
        | Event::MediaFailed { .. }
        | Event::StillMissing { .. }
        | Event::ShardFailed { .. }
        | Event::OpeningFailed { .. }
        | Event::Damaged { .. }
        | Event::Missing { .. }
        | Event::Blind { .. } => Level::Error,
        Event::RunFinished { summary } if !summary.is_complete() => Level::Error,
        Event::OpeningFinished { summary } if !summary.is_complete() => Level::Error,
        Event::ReadingFinished { summary } if !summary.is_sound() => Level::Error,
        Event::Unexplained { .. } | Event::Doubled { .. } => Level::Warning,
        Event::RetentionNears { .. } => Level::Warning,
        Event::Warning { .. } | Event::LossAccepted { .. } | Event::MetadataKeptBeside { .. } => {
            Level::Warning
        }
        Event::RunStarted { .. }
        | Event::ShardStarted { .. }
        | Event::ShardListed { .. }
        | Event::ShardFinished { .. }
        | Event::Note { .. }
        | Event::RunFinished { .. }
        | Event::OpeningStarted { .. }
        | Event::OpeningProgress { .. }
        | Event::OpeningFinished { .. }
        | Event::ReadingStarted { .. }
        | Event::ReadingProgress { .. }
        | Event::Repaired { .. }
        | Event::ReadingFinished { .. } => Level::Info,
        Event::RecordingFound { .. }
        | Event::LeftOut { .. }
        | Event::WouldDownload { .. }
        | Event::MediaStarted { .. }
        | Event::BytesReceived { .. }
        | Event::MediaSaved { .. }
        | Event::MediaSkipped { .. }
        | Event::MediaMoved { .. }
        | Event::MetadataSaved { .. }
        | Event::SealedRead { .. }
        | Event::FileOpened { .. }
        | Event::FileWasOpen { .. }
        | Event::MetadataCopied { .. }
        | Event::RecordingLookedAt { .. }
        | Event::KeptRaw { .. }
        | Event::FileRead { .. }
        | Event::RecordingEntered { .. }
        | Event::MovedAway { .. } => Level::Detail,
    }
}

/// Gives the lines that tell an event.
pub(super) fn lines(event: &Event) -> Vec<Line> {
    let text = match event {
        Event::RunFinished { summary } => return closing_lines(summary),
        Event::OpeningFinished { summary } => return opening::closing_lines(summary),
        Event::ReadingFinished { summary } => return reading::closing_lines(summary),
        Event::RunStarted { from, to, shards } => {
            format!("Backing up recordings {} in {}", span(*from, *to), plural(*shards, "shard"))
        }
        Event::ShardStarted { shard } => format!(
            "Starting download recordings {} Overall: {}%",
            of(shard),
            (shard.index + 1) * 100 / shard.count.max(1)
        ),
        Event::ShardListed { shard, recordings, owned } => {
            format!("Listed {}: {recordings} recordings, {owned} for this instance", of(shard))
        }
        Event::ShardFinished { shard, files } => {
            format!("Finished {}: {}", of(shard), counts(files))
        }
        Event::ShardFailed { shard, files, reason } => {
            format!("shard {}: {reason} ({})", of(shard), counts(files))
        }
        Event::RecordRejected { record, reason } => format!("record `{record}`: {reason}"),
        Event::MediaFailed { recording, media, reason } => {
            format!("recording `{recording}`: media `{media}`: {reason}")
        }
        Event::LossAccepted { recording, media, reason } => {
            format!("recording `{recording}`: media `{media}`: {reason}; this loss is accepted")
        }
        Event::StillMissing { recording, media: Some(media), reason } => {
            format!("recording `{recording}`: media `{media}`: {reason}")
        }
        Event::StillMissing { recording, media: None, reason } => {
            format!("recording `{recording}`: {reason}")
        }
        Event::MetadataKeptBeside { recording, path } => format!(
            "recording `{recording}`: the metadata listed now lacks something that is saved; it \
             is kept as `{path}`"
        ),
        Event::OpeningStarted { files, bytes } => opening::started(*files, *bytes),
        Event::OpeningProgress { percent, files, bytes, skipped, failed } => {
            format!("{percent}%: {}", opening::counts(*files, *bytes, *skipped, *failed))
        }
        Event::OpeningFailed { path, reason }
        | Event::Damaged { path, reason }
        | Event::Unexplained { path, reason }
        | Event::Doubled { path, reason } => format!("`{path}`: {reason}"),
        Event::ReadingStarted { what, files, bytes } => {
            format!("{what} {}, {bytes} bytes", plural(*files, "media file"))
        }
        Event::ReadingProgress { percent, files, bytes, wrong } => {
            format!("{percent}%: {}", reading::counts(*files, *bytes, *wrong))
        }
        Event::Missing { path, recording } => {
            format!("`{path}`: missing, of recording `{recording}`")
        }
        Event::Repaired { path } => format!("`{path}`: held again"),
        Event::Blind { reason } => reason.clone(),
        Event::RetentionNears { oldest, deadline, hours_left, retention_days } => {
            near(*oldest, *deadline, *hours_left, *retention_days)
        }
        Event::Warning { text } | Event::Note { text } => text.clone(),
        Event::RecordingFound { .. }
        | Event::LeftOut { .. }
        | Event::WouldDownload { .. }
        | Event::MediaStarted { .. }
        | Event::BytesReceived { .. }
        | Event::MediaSaved { .. }
        | Event::MediaSkipped { .. }
        | Event::MediaMoved { .. }
        | Event::MetadataSaved { .. }
        | Event::SealedRead { .. }
        | Event::FileOpened { .. }
        | Event::FileWasOpen { .. }
        | Event::MetadataCopied { .. }
        | Event::RecordingLookedAt { .. }
        | Event::KeptRaw { .. }
        | Event::FileRead { .. }
        | Event::RecordingEntered { .. }
        | Event::MovedAway { .. } => return Vec::new(),
    };
    vec![Line { level: level(event), text: printable(&text) }]
}

/// Says how long the cloud still has what is not held, and what to do.
fn near(oldest: DateTime<Utc>, deadline: DateTime<Utc>, hours: i64, days: i64) -> String {
    let (oldest, deadline) = (format_rfc3339(oldest), format_rfc3339(deadline));
    let when = match hours {
        0.. => {
            format!("deletes the first of it at {deadline}, in {}", plural(hours as u64, "hour"))
        }
        ..0 => format!(
            "began to delete it at {deadline}, {} ago",
            plural(hours.unsigned_abs(), "hour")
        ),
    };
    format!(
        "what is not held yet reaches back to {oldest}, and the cloud, which keeps {}, {when}: \
         see what has failed above and in `rcbs audit`, and run more often or with more instances",
        plural(days as u64, "day")
    )
}

/// Gives a shard as the original names it.
pub(super) fn of(shard: &Shard) -> String {
    span(shard.from, shard.to)
}

/// Gives what became of media files.
pub(super) fn counts(files: &FileCounts) -> String {
    let FileCounts { downloaded, skipped, moved, accepted, failed } = files;
    let mut text = format!("{downloaded} downloaded, {skipped} skipped, {failed} failed");
    for (count, what) in [(moved, "moved away"), (accepted, "given up")] {
        if *count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    text
}

fn closing_lines(summary: &Summary) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut add = |level, text: String| lines.push(Line { level, text: printable(&text) });
    for (media_type, count) in &summary.left_out {
        let files = plural(*count, "file");
        add(Level::Info, format!("Left out {files} of type `{media_type}`"));
    }
    let FileCounts { moved, accepted, .. } = summary.files;
    if moved > 0 {
        let files = plural(moved, "file");
        add(Level::Info, format!("Not downloaded again, as it was moved away: {files}"));
    }
    if accepted > 0 {
        let files = plural(accepted, "file");
        add(Level::Warning, format!("not saved, which was accepted: {files}"));
    }
    if summary.is_complete() {
        return lines;
    }
    add(Level::Error, "not everything is saved".to_owned());
    for failure in &summary.shard_failures {
        add(Level::Error, format!("shard {}: {}", of(&failure.shard), failure.reason));
    }
    for Failure { recording, media, reason } in &summary.failures {
        let media = media.as_ref().map(|media| format!("media `{media}`: ")).unwrap_or_default();
        add(Level::Error, format!("recording `{recording}`: {media}{reason}"));
    }
    let unnamed_shards = summary.failed_shards - summary.shard_failures.len() as u64;
    if summary.unnamed_failures + unnamed_shards > 0 {
        let failures = plural(summary.unnamed_failures, "failure");
        let shards = plural(unnamed_shards, "failed shard");
        add(Level::Error, format!("and {failures} and {shards} more, named above"));
    }
    lines
}

/// Says at the end that something is not as it should be, and names the failures: paths and
/// reasons, and how many more there are.
pub(super) fn named_failures(
    what: &str,
    failures: &[(String, String)],
    more: Option<String>,
) -> Vec<Line> {
    std::iter::once(what.to_owned())
        .chain(failures.iter().map(|(path, reason)| format!("`{path}`: {reason}")))
        .chain(more.map(|more| format!("and {more} more, named above")))
        .map(|text| Line { level: Level::Error, text: printable(&text) })
        .collect()
}

/// Gives a period as the original writes it.
pub(super) fn span(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    let time = |time: DateTime<Utc>| time.format("%m/%d/%Y %H:%M:%S");
    format!("<from {} to {} UTC>", time(from), time(to))
}

pub(super) fn plural(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Gives a text without control characters.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// Gives a hint as it is shown: its own line ends are kept, it may show lines as they should be.
pub(super) fn hint(hint: &str) -> String {
    let lines: Vec<_> = hint.split('\n').map(printable).collect();
    format!("hint: {}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_keeps_its_lines_and_no_other_control_character() {
        assert_eq!(
            hint("write\n    a=1\n    b=\u{1b}[2J"),
            "hint: write\n    a=1\n    b=\\u{1b}[2J"
        );
    }

    fn shard(index: u64, from: i64, to: i64) -> Shard {
        let time = |millis| DateTime::from_timestamp_millis(millis).unwrap();
        Shard { index, count: 10, from: time(from), to: time(to) }
    }

    fn only(event: &Event) -> String {
        let lines = lines(event);
        assert_eq!(lines.len(), 1, "{event:?}");
        lines[0].render(false)
    }

    #[test]
    fn shard_is_announced_as_by_the_original() {
        for (shard, line) in [
            (
                shard(6, 1519047014000, 1519133414000),
                "Starting download recordings <from 02/19/2018 13:30:14 to 02/20/2018 13:30:14 UTC> \
                 Overall: 70%",
            ),
            (
                shard(9, 1519306214000, 1519316698940),
                "Starting download recordings <from 02/22/2018 13:30:14 to 02/22/2018 16:24:58 UTC> \
                 Overall: 100%",
            ),
        ] {
            assert_eq!(only(&Event::ShardStarted { shard }), line);
        }
    }

    #[test]
    fn shard_is_told_with_its_counts() {
        let (shard, files) = (
            shard(0, 0, 1000),
            FileCounts { downloaded: 4, skipped: 2, failed: 1, ..FileCounts::default() },
        );
        let span = "<from 01/01/1970 00:00:00 to 01/01/1970 00:00:01 UTC>";
        let reason = "cut off".to_owned();
        for (event, line) in [
            (
                Event::ShardListed { shard, recordings: 9, owned: 3 },
                format!("Listed {span}: 9 recordings, 3 for this instance"),
            ),
            (
                Event::ShardFinished { shard, files },
                format!("Finished {span}: 4 downloaded, 2 skipped, 1 failed"),
            ),
            (
                Event::ShardFailed { shard, files, reason },
                format!("error: shard {span}: cut off (4 downloaded, 2 skipped, 1 failed)"),
            ),
        ] {
            assert_eq!(only(&event), line);
        }
    }

    #[test]
    fn what_the_original_counts_is_not_a_line_each() {
        let (recording, media) = (|| "r".to_owned(), || "m".to_owned());
        for event in [
            Event::RecordingFound { recording: recording(), media: 1, bytes: 1 },
            Event::MediaStarted { recording: recording(), media: media(), bytes: 1 },
            Event::BytesReceived { bytes: 1 },
            Event::MediaSaved { recording: recording(), media: media(), bytes: 1 },
            Event::MediaSkipped { recording: recording(), media: media(), bytes: 1 },
            Event::MetadataSaved { recording: recording() },
        ] {
            assert_eq!((lines(&event), level(&event)), (Vec::new(), Level::Detail));
        }
    }

    #[test]
    fn closing_names_what_is_missing_and_counts_the_rest() {
        let failure = |media: Option<&str>| Failure {
            recording: "r".into(),
            media: media.map(String::from),
            reason: "gone".into(),
        };
        let summary = Summary {
            left_out: [("text/plain".to_owned(), 1), ("x\n".to_owned(), 2)].into(),
            failed_shards: 1,
            shard_failures: vec![crate::monitor::ShardFailure {
                shard: shard(0, 0, 1000),
                reason: "cut off".into(),
            }],
            failures: vec![failure(None), failure(Some("m"))],
            unnamed_failures: 7,
            ..Summary::default()
        };
        let shown: Vec<_> = closing_lines(&summary).iter().map(|line| line.render(false)).collect();
        assert_eq!(
            shown,
            [
                "Left out 1 file of type `text/plain`",
                "Left out 2 files of type `x\\n`",
                "error: not everything is saved",
                "error: shard <from 01/01/1970 00:00:00 to 01/01/1970 00:00:01 UTC>: cut off",
                "error: recording `r`: gone",
                "error: recording `r`: media `m`: gone",
                "error: and 7 failures and 0 failed shards more, named above",
            ]
        );
        assert_eq!(closing_lines(&Summary::default()), []);
    }
}
