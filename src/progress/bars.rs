//! Bars on a terminal.
//!
//! The first shows the whole run: shards done of all shards until everything is listed, then bytes
//! of all bytes. The second shows bytes, rate, and the time left as soon as the bytes are known.
//! Warnings and errors scroll by above them.
//!
//! **Invariant**: the overall bar never goes back.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::text::{self, Level};
use super::{opening, reading};
use crate::monitor::{Checked, Event, FileCounts, Monitor, Opened};

const OVERALL: &str = "  Overall [{bar:24}] {percent:>3}%  {wide_msg}";
const LISTING: &str = "    Media {binary_bytes} of {binary_total_bytes} found so far, \
                       {binary_bytes_per_sec}  {wide_msg}";
const LISTED: &str = "    Media {binary_bytes} of {binary_total_bytes}, \
                      {binary_bytes_per_sec}, {eta} left  {wide_msg}";
const STEPS: u64 = 1000;
const REFRESH: Duration = Duration::from_millis(200);

/// Two bars at the bottom of the terminal.
pub(super) struct Bars {
    terminal: MultiProgress,
    overall: ProgressBar,
    media: ProgressBar,
    state: Mutex<State>,
    color: bool,
}

#[derive(Default)]
struct State {
    shards: u64,
    /// Those to be listed no more, be it because that failed.
    listed: HashSet<u64>,
    done: u64,
    files: FileCounts,
    opened: Opened,
    checked: Checked,
    expected_bytes: u64,
    received_bytes: u64,
}

impl Bars {
    /// Draws bars on stderr, if it can show them.
    pub(super) fn on_stderr(color: bool) -> Option<Bars> {
        let terminal = MultiProgress::new();
        if terminal.is_hidden() {
            return None;
        }
        let overall = terminal.add(ProgressBar::new(STEPS).with_style(style(OVERALL)));
        let media = terminal.add(ProgressBar::new(0).with_style(style(LISTING)));
        media.enable_steady_tick(REFRESH);
        Some(Bars { terminal, overall, media, state: Mutex::default(), color })
    }

    fn show(&self, state: &State) {
        self.media.set_length(state.expected_bytes.max(state.received_bytes));
        self.media.set_position(state.received_bytes);
        self.overall.set_position(self.overall.position().max(state.steps()));
    }
}

impl Monitor for Bars {
    fn on(&self, event: &Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let was_listing = state.is_listing();
        state.apply(event);
        match event {
            Event::RunStarted { from, to, .. } => self.overall.set_message(text::span(*from, *to)),
            Event::ShardStarted { shard } => self.overall.set_message(text::of(shard)),
            Event::MediaSaved { .. }
            | Event::MediaSkipped { .. }
            | Event::MediaMoved { .. }
            | Event::LossAccepted { .. }
            | Event::MediaFailed { .. } => {
                self.media.set_message(text::counts(&state.files));
            }
            Event::OpeningStarted { .. } | Event::ReadingStarted { .. } => {
                self.media.set_style(style(LISTED));
            }
            Event::FileRead { .. } | Event::Damaged { .. } | Event::Missing { .. } => {
                let Checked { read_files, read_bytes, damaged, missing, .. } = state.checked;
                let counts = reading::counts(read_files, read_bytes, damaged + missing);
                self.media.set_message(counts);
            }
            Event::FileOpened { .. } | Event::FileWasOpen { .. } | Event::OpeningFailed { .. } => {
                let Opened { files, bytes, skipped, failed, .. } = state.opened;
                self.media.set_message(opening::counts(files, bytes, skipped, failed));
            }
            _ => {}
        }
        if matches!(
            event,
            Event::RunFinished { .. }
                | Event::OpeningFinished { .. }
                | Event::ReadingFinished { .. }
        ) {
            self.media.finish_and_clear();
            self.overall.finish_and_clear();
        } else {
            if was_listing && !state.is_listing() {
                self.media.set_style(style(LISTED));
            }
            self.show(&state);
        }
        // A shard's beginning and end are in the bars.
        let is_said = text::level(event) >= Level::Warning
            || matches!(event, Event::Note { .. } | Event::RunFinished { .. })
            || matches!(event, Event::OpeningFinished { .. } | Event::Repaired { .. });
        for line in text::lines(event).iter().filter(|_| is_said) {
            // Who closed the terminal wants no lines.
            let _ = self.terminal.println(line.render(self.color));
        }
    }
}

impl State {
    fn apply(&mut self, event: &Event) {
        self.files.apply(event);
        self.opened.apply(event);
        self.checked.apply(event);
        match event {
            Event::RunStarted { shards, .. } => self.shards = *shards,
            Event::ShardListed { shard, .. } => drop(self.listed.insert(shard.index)),
            Event::ShardFinished { shard, .. } | Event::ShardFailed { shard, .. } => {
                self.listed.insert(shard.index);
                self.done += 1;
            }
            Event::RecordingFound { bytes, .. } => self.expected_bytes += bytes,
            Event::OpeningStarted { bytes, .. } | Event::ReadingStarted { bytes, .. } => {
                self.expected_bytes = *bytes;
            }
            Event::BytesReceived { bytes } | Event::SealedRead { bytes } => {
                self.received_bytes += bytes;
            }
            // What is held need not come, and would spoil the rate.
            Event::MediaSkipped { bytes, .. }
            | Event::MediaMoved { bytes, .. }
            | Event::FileWasOpen { bytes, .. } => {
                self.expected_bytes = self.expected_bytes.saturating_sub(*bytes);
            }
            _ => {}
        }
    }

    fn is_listing(&self) -> bool {
        (self.listed.len() as u64) < self.shards
    }

    fn steps(&self) -> u64 {
        let (done, all) = if self.is_listing() || self.expected_bytes == 0 {
            (self.done, self.shards)
        } else {
            (self.received_bytes, self.expected_bytes)
        };
        let steps = u128::from(done) * u128::from(STEPS) / u128::from(all.max(1));
        u64::try_from(steps).unwrap_or(STEPS).min(STEPS)
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates are constants")
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::Shard;

    fn shard(index: u64) -> Shard {
        Shard { index, count: 4, from: Default::default(), to: Default::default() }
    }

    #[test]
    fn overall_is_by_shards_until_everything_is_listed_and_then_by_bytes() {
        let files = FileCounts::default();
        let (recording, media) = (|| "r".to_owned(), || "m".to_owned());
        let mut state = State::default();
        for (event, steps) in [
            (Event::RunStarted { from: Default::default(), to: Default::default(), shards: 4 }, 0),
            (Event::ShardListed { shard: shard(0), recordings: 1, owned: 1 }, 0),
            (Event::RecordingFound { recording: recording(), media: 2, bytes: 1200 }, 0),
            (Event::BytesReceived { bytes: 100 }, 0),
            (Event::ShardFinished { shard: shard(0), files }, 250),
            (Event::ShardListed { shard: shard(1), recordings: 0, owned: 0 }, 250),
            (Event::ShardFailed { shard: shard(2), files, reason: recording() }, 500),
            (Event::ShardListed { shard: shard(3), recordings: 0, owned: 0 }, 83),
            (Event::MediaSkipped { recording: recording(), media: media(), bytes: 200 }, 100),
            (Event::BytesReceived { bytes: 800 }, 900),
            (Event::BytesReceived { bytes: 800 }, 1000),
        ] {
            state.apply(&event);
            assert_eq!(state.steps(), steps, "{event:?}");
        }
    }

    #[test]
    fn overall_is_by_bytes_from_the_start_where_files_are_opened() {
        let path = || "p".to_owned();
        let mut state = State::default();
        for (event, steps) in [
            (Event::OpeningStarted { files: 3, bytes: 1200 }, 0),
            (Event::SealedRead { bytes: 300 }, 250),
            (Event::FileOpened { path: path(), bytes: 290 }, 250),
            (Event::FileWasOpen { path: path(), bytes: 600 }, 500),
            (Event::SealedRead { bytes: 300 }, 1000),
        ] {
            state.apply(&event);
            assert_eq!(state.steps(), steps, "{event:?}");
        }
        assert_eq!((state.opened.files, state.opened.skipped), (1, 1));
    }

    #[test]
    fn templates_are_valid() {
        for template in [OVERALL, LISTING, LISTED] {
            style(template);
        }
    }
}
