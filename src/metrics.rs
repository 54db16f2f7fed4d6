//! What Prometheus is told of a backup, in the text form that node_exporter's textfile collector reads.
//!
//! Is given what a run came to and what is held after it; gives the text of the whole file.
//!
//! **Invariant:** pure; numbers alone, no ids and no names; what is not known is left out. All are
//! gauges: each run writes them anew, and none only ever grows.

use std::fmt::Write;

use chrono::{DateTime, Utc};

use crate::instance::Instance;
use crate::ledger::Totals;
use crate::monitor::Summary;
use crate::watermark::Retention;

/// The name of the metric that the next run takes over.
const LAST_SUCCESS: &str = "rcbs_last_success_timestamp_seconds";

/// What is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Whose run it was; none where that could not be found out.
    pub instance: Option<Instance>,
    /// How it ended.
    pub exit_code: u8,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// When the last run ended that has left nothing missing; none where there was none yet.
    pub succeeded_at: Option<DateTime<Utc>>,
    /// What it has done; nothing where it ended before it began to list.
    pub summary: Summary,
    /// What the ledger holds.
    pub held: Option<Totals>,
    /// Recordings of which something has failed and was not accepted.
    pub failing: Option<u64>,
    /// Before it all is handled.
    pub watermark: Option<DateTime<Utc>>,
    /// How long the cloud keeps what is not held, where that is known.
    pub retention: Option<Retention>,
}

/// Writes the whole file.
pub fn text(report: &Report) -> String {
    let summary = &report.summary;
    let files = &summary.files;
    let mut page = Page { labels: labels(report.instance), text: String::new() };
    page.one(
        "rcbs_last_run_timestamp_seconds",
        "When the last backup ended.",
        seconds(report.ended_at),
    );
    page.one(
        LAST_SUCCESS,
        "When the last backup ended that left nothing missing; 0 if none ever did.",
        report.succeeded_at.map_or_else(|| "0".to_owned(), seconds),
    );
    page.one(
        "rcbs_last_run_exit_code",
        "Exit code of the last backup; 0 is success.",
        report.exit_code,
    );
    let duration = (report.ended_at - report.started_at).num_milliseconds().max(0);
    page.one(
        "rcbs_last_run_duration_seconds",
        "How long the last backup took.",
        thousandths(duration),
    );
    page.head("rcbs_last_run_files", "Media files of the last backup, by what became of them.");
    for (result, count) in [
        ("downloaded", files.downloaded),
        ("skipped", files.skipped),
        ("moved", files.moved),
        ("accepted", files.accepted),
        ("failed", files.failed),
    ] {
        page.value("rcbs_last_run_files", &[("result", result)], count);
    }
    page.one(
        "rcbs_last_run_downloaded_bytes",
        "What the media files weigh that the last backup downloaded.",
        summary.saved_bytes,
    );
    page.head(
        "rcbs_last_run_shards",
        "Shards of the last backup's window, by what became of them.",
    );
    for (result, count) in
        [("finished", summary.finished_shards), ("failed", summary.failed_shards)]
    {
        page.value("rcbs_last_run_shards", &[("result", result)], count);
    }
    if let Some(Totals { recordings, media, bytes }) = report.held {
        page.one("rcbs_held_recordings", "Recordings held, by the ledger.", recordings);
        page.one("rcbs_held_files", "Media files held, by the ledger.", media);
        page.one("rcbs_held_bytes", "What the media files held weigh.", bytes);
    }
    if let Some(failing) = report.failing {
        let help = "Recordings of which something failed that is neither held nor accepted yet.";
        page.one("rcbs_failing_recordings", help, failing);
    }
    if let Some(watermark) = report.watermark {
        let help = "The time before which all recordings are handled.";
        page.one("rcbs_watermark_timestamp_seconds", help, seconds(watermark));
        let age = (report.ended_at - watermark).num_milliseconds();
        let help = "How old that time was when the last backup ended.";
        page.one("rcbs_watermark_age_seconds", help, thousandths(age));
    }
    if let Some(retention) = &report.retention {
        let help = "When the cloud deletes the oldest recording that may not be held.";
        page.one("rcbs_retention_deadline_timestamp_seconds", help, seconds(retention.deadline));
        let hours = retention.left.num_milliseconds() as f64 / 3_600_000.0;
        let help = "How long that was from the end of the last backup.";
        page.one("rcbs_retention_hours_left", help, format!("{hours:.3}"));
    }
    page.text
}

/// Finds when the last success was in the file of an earlier run.
pub fn succeeded_at(text: &str) -> Option<DateTime<Utc>> {
    let line = text.lines().find_map(|line| line.strip_prefix(LAST_SUCCESS))?;
    let seconds: f64 = line.rsplit(' ').next()?.parse().ok()?;
    let at = DateTime::from_timestamp_millis((seconds * 1_000.0).round() as i64)?;
    (at > DateTime::UNIX_EPOCH).then_some(at)
}

struct Page {
    /// Those of every value.
    labels: Vec<(&'static str, String)>,
    text: String,
}

impl Page {
    /// Begins a metric.
    fn head(&mut self, name: &str, help: &str) {
        self.text += &format!("# HELP {name} {help}\n# TYPE {name} gauge\n");
    }

    /// Writes one value of the metric that was begun last.
    fn value(&mut self, name: &str, more: &[(&str, &str)], value: impl std::fmt::Display) {
        let own = self.labels.iter().map(|(label, value)| (*label, value.as_str()));
        let all: Vec<_> = own
            .chain(more.iter().copied())
            .map(|(label, it)| format!("{label}=\"{it}\""))
            .collect();
        let all = if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) };
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{name}{all} {value}");
    }

    fn one(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, help);
        self.value(name, &[], value);
    }
}

fn labels(instance: Option<Instance>) -> Vec<(&'static str, String)> {
    let pairs = |Instance { id, total }: Instance| {
        vec![("instance_id", id.to_string()), ("total", total.to_string())]
    };
    instance.map(pairs).unwrap_or_default()
}

fn seconds(at: DateTime<Utc>) -> String {
    thousandths(at.timestamp_millis())
}

fn thousandths(millis: i64) -> String {
    let sign = if millis < 0 { "-" } else { "" };
    format!("{sign}{}.{:03}", millis.unsigned_abs() / 1_000, millis.unsigned_abs() % 1_000)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::monitor::FileCounts;

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_519_047_014_000 + millis).unwrap()
    }

    fn report() -> Report {
        let files = FileCounts { downloaded: 3, skipped: 2, failed: 1, ..FileCounts::default() };
        let (oldest, period) = (at(-36_000_000), TimeDelta::days(1));
        Report {
            instance: Some(Instance { id: 1, total: 4 }),
            exit_code: 3,
            started_at: at(-65_432),
            ended_at: at(5),
            succeeded_at: Some(at(-86_400_000)),
            summary: Summary { files, saved_bytes: 77, failed_shards: 1, ..Summary::default() },
            held: Some(Totals { recordings: 5, media: 9, bytes: 1 << 40 }),
            failing: Some(1),
            watermark: Some(at(-7_200_000)),
            retention: Some(Retention::of(oldest, period, at(0))),
        }
    }

    #[test]
    fn every_number_of_a_run_stands_in_the_file_with_its_instance() {
        let text = text(&report());
        for line in [
            "rcbs_last_run_timestamp_seconds{instance_id=\"1\",total=\"4\"} 1519047014.005",
            "rcbs_last_success_timestamp_seconds{instance_id=\"1\",total=\"4\"} 1518960614.000",
            "rcbs_last_run_exit_code{instance_id=\"1\",total=\"4\"} 3",
            "rcbs_last_run_duration_seconds{instance_id=\"1\",total=\"4\"} 65.437",
            "rcbs_last_run_files{instance_id=\"1\",total=\"4\",result=\"downloaded\"} 3",
            "rcbs_last_run_files{instance_id=\"1\",total=\"4\",result=\"failed\"} 1",
            "rcbs_last_run_downloaded_bytes{instance_id=\"1\",total=\"4\"} 77",
            "rcbs_held_bytes{instance_id=\"1\",total=\"4\"} 1099511627776",
            "rcbs_failing_recordings{instance_id=\"1\",total=\"4\"} 1",
            "rcbs_watermark_timestamp_seconds{instance_id=\"1\",total=\"4\"} 1519039814.000",
            "rcbs_watermark_age_seconds{instance_id=\"1\",total=\"4\"} 7200.005",
            "rcbs_retention_deadline_timestamp_seconds{instance_id=\"1\",total=\"4\"} 1519097414.000",
            "rcbs_retention_hours_left{instance_id=\"1\",total=\"4\"} 14.000",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} in\n{text}");
        }
        assert!(text.ends_with('\n'));
    }

    #[test]
    fn what_is_not_known_is_left_out_and_a_success_that_never_was_is_zero() {
        let report = Report {
            instance: None,
            succeeded_at: None,
            held: None,
            failing: None,
            watermark: None,
            retention: None,
            ..report()
        };
        let text = text(&report);
        assert!(text.contains("\nrcbs_last_success_timestamp_seconds 0\n"), "{text}");
        for absent in ["held", "failing", "watermark", "retention", "instance_id"] {
            assert!(!text.contains(absent), "{absent} in\n{text}");
        }
        assert_eq!(succeeded_at(&text), None);
    }

    #[test]
    fn the_last_success_is_found_again() {
        assert_eq!(succeeded_at(&text(&report())), Some(at(-86_400_000)));
        for text in
            ["", "rcbs_last_success_timestamp_seconds", "rcbs_last_success_timestamp_seconds x"]
        {
            assert_eq!(succeeded_at(text), None, "{text}");
        }
    }
}
