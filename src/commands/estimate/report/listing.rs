//! What is printed of recordings that were listed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::super::words::{bytes, minutes, rate};
use super::{demands, on_disk, row};
use crate::check::grouped;
use crate::estimate::{Fit, Footprint, Free, Group, Needs, Rates, Tally, Terms};
use crate::instance::Instance;
use crate::source::listing::Unlisted;
use crate::window::{BackupWindow, format_rfc3339, serialize_time};

/// A document about a time that was listed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::commands::estimate) struct Listing {
    #[serde(serialize_with = "serialize_time")]
    from: DateTime<Utc>,
    #[serde(serialize_with = "serialize_time")]
    to: DateTime<Utc>,
    instance: u32,
    instances: u32,
    /// By date, such as `2018-02-12`.
    days: BTreeMap<String, Sum>,
    totals: Sum,
    types: BTreeMap<String, Kind>,
    share: Sum,
    needed: Sum,
    left_out: u64,
    outside: u64,
    rejected: u64,
    unlisted: Vec<Range>,
    is_complete: bool,
    room: Room,
    terms: Terms,
    busiest: Option<Busiest>,
}

/// Some of the recordings.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sum {
    recordings: u64,
    media_files: u64,
    milliseconds: u128,
    media_bytes: u128,
    /// How many files have no size in their records.
    unsized_files: u64,
    /// What these are taken for; part of `media_bytes`.
    filled_bytes: u128,
    metadata_bytes: u128,
    listed_bytes: u128,
}

/// Media of one type, of all shares.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    files: u64,
    milliseconds: u128,
    sized_bytes: u128,
    unsized_files: u64,
    filled_bytes: u128,
    bits_per_second: u128,
    is_measured: bool,
}

/// What could not be listed.
#[derive(Serialize)]
struct Range {
    #[serde(serialize_with = "serialize_time")]
    from: DateTime<Utc>,
    #[serde(serialize_with = "serialize_time")]
    to: DateTime<Utc>,
    cause: String,
}

/// What is needed on the disk of the target, and what is free there.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::commands::estimate) struct Room {
    target: PathBuf,
    needed: Footprint,
    free: Free,
    /// None where the system does not say what is free.
    fits: Option<bool>,
    lacking_bytes: u128,
    lacking_inodes: u128,
    /// How many days more fit, each like the mean of this instance's share; none where that is not
    /// known.
    days_left: Option<u128>,
}

/// The day that weighs most, of all shares.
#[derive(Serialize)]
struct Busiest {
    day: String,
    needs: Needs,
}

impl Room {
    /// Of what is needed and what is free; `share` is all of this instance's share, in so many
    /// seconds.
    pub(in crate::commands::estimate) fn of(
        target: &Path,
        needed: Footprint,
        share: Footprint,
        free: Free,
        fit: Fit,
        seconds: i64,
    ) -> Room {
        let (fits, lacking_bytes, lacking_inodes) = match fit {
            Fit::Fits => (Some(true), 0, 0),
            Fit::Lacks { bytes, inodes } => (Some(false), bytes, inodes),
            Fit::Unknown => (None, 0, 0),
        };
        let seconds = u128::try_from(seconds).unwrap_or(0);
        let left = |free: Option<u64>, needed: u128, share: u128| {
            let left = u128::from(free?).saturating_sub(needed);
            left.saturating_mul(seconds).checked_div(share.saturating_mul(86_400))
        };
        let by_bytes = left(free.bytes, needed.disk_bytes, share.disk_bytes);
        let by_inodes = left(free.inodes, needed.inodes, share.inodes);
        let days_left = by_bytes.into_iter().chain(by_inodes).min();
        let target = target.to_owned();
        Room { target, needed, free, fits, lacking_bytes, lacking_inodes, days_left }
    }
}

impl Sum {
    fn of(group: &Group, rates: &Rates) -> Sum {
        let (sizes, volume) = (group.sizes(), group.volume(rates));
        Sum {
            recordings: group.recordings,
            media_files: sizes.files,
            milliseconds: sizes.milliseconds,
            media_bytes: volume.media_bytes,
            unsized_files: sizes.timed_files + sizes.blind_files,
            filled_bytes: group.filled_bytes(rates),
            metadata_bytes: group.metadata_bytes,
            listed_bytes: group.listed_bytes,
        }
    }

    fn line(&self, name: &str) -> String {
        let [recordings, files] =
            [self.recordings, self.media_files].map(|count| grouped(u128::from(count)));
        let (length, media) = (minutes(self.milliseconds), bytes(self.media_bytes));
        let metadata = bytes(self.metadata_bytes);
        format!("{name:<10}{recordings:>14}{files:>14}{length:>14}{media:>12}{metadata:>12}")
    }
}

impl Listing {
    #[expect(clippy::too_many_arguments, reason = "each is one thing that the document tells")]
    pub(in crate::commands::estimate) fn of(
        window: BackupWindow,
        instance: Instance,
        tally: &Tally,
        unlisted: Vec<Unlisted>,
        totals: &Group,
        rates: &Rates,
        terms: Terms,
        room: Room,
    ) -> Listing {
        let time = |ms| DateTime::from_timestamp_millis(ms).unwrap_or_default();
        let range = |one: Unlisted| Range {
            from: time(one.from_ms),
            to: time(one.to_ms),
            cause: one.reason,
        };
        let busiest = tally.busiest(rates);
        Listing {
            from: window.from,
            to: window.to,
            instance: instance.id,
            instances: instance.total,
            days: tally
                .days
                .iter()
                .map(|(day, group)| (day.to_string(), Sum::of(group, rates)))
                .collect(),
            totals: Sum::of(totals, rates),
            types: kinds(totals, rates),
            share: Sum::of(&tally.share, rates),
            needed: Sum::of(&tally.needed, rates),
            left_out: tally.left_out,
            outside: tally.outside,
            rejected: tally.rejected,
            unlisted: unlisted.into_iter().map(range).collect(),
            is_complete: tally.is_complete(),
            room,
            busiest: busiest.map(|(day, volume)| Busiest {
                day: day.to_string(),
                needs: Needs::of(&volume, &terms),
            }),
            terms,
        }
    }

    /// What people read.
    pub(in crate::commands::estimate) fn text(&self) -> Vec<String> {
        let [from, to] = [self.from, self.to].map(format_rfc3339);
        let mut lines = vec![
            format!("Recordings that began from {from} to {to} (exclusive), by day in UTC"),
            format!(
                "{:<10}{:>14}{:>14}{:>14}{:>12}{:>12}",
                "day", "recordings", "media files", "minutes", "media", "metadata"
            ),
        ];
        lines.extend(self.days.iter().map(|(day, sum)| sum.line(day)));
        lines.push(self.totals.line("total"));
        lines.push(String::new());
        lines.extend(self.types.iter().map(|(name, kind)| kind.line(name)));
        if self.left_out > 0 {
            lines.push(format!("left out by type or metadataOnly: {} media files", self.left_out));
        }
        if self.instances > 1 {
            lines.push(
                self.share
                    .line_of(&format!("share of instance {} of {}", self.instance, self.instances)),
            );
        }
        lines.push(self.needed.line_of("not held yet"));
        lines.push(self.room.line());
        if let Some(days) = self.room.days_left {
            lines.push(format!("days more that fit, each like the mean: {}", grouped(days)));
        }
        if let Some(Busiest { day, needs }) = &self.busiest {
            let days = format!("{} days", self.terms.days);
            lines.push(String::new());
            lines.push(format!("A day like the busiest, {day}, of all instances together"));
            lines.push(row("", "a day", &days));
            lines.extend(on_disk(needs));
            lines.extend(demands(needs, &self.terms));
        }
        lines
    }

    /// What the figures do not show.
    pub(in crate::commands::estimate) fn warnings(&self) -> Vec<String> {
        let mut all = Vec::new();
        if self.room.fits == Some(false) {
            let Room { target, lacking_bytes, lacking_inodes, .. } = &self.room;
            all.push(format!(
                "it will not fit on the disk of `{}`: {} and {} inodes are lacking",
                target.display(),
                bytes(*lacking_bytes),
                grouped(*lacking_inodes)
            ));
        }
        if self.room.fits.is_none() {
            let target = self.room.target.display();
            all.push(format!("what is free on the disk of `{target}` is not known"));
        }
        for Range { from, to, cause } in &self.unlisted {
            let (from, to) = (format_rfc3339(*from), format_rfc3339(*to));
            all.push(format!("not counted, as it cannot be listed: {from} to {to}: {cause}"));
        }
        if self.rejected > 0 {
            all.push(format!(
                "not counted, as they cannot be understood: {} records",
                self.rejected
            ));
        }
        if self.outside > 0 {
            let text = "not counted, as their time was not asked for";
            all.push(format!("{text}: {} recordings", self.outside));
        }
        all
    }
}

impl Sum {
    fn line_of(&self, what: &str) -> String {
        let Sum { recordings, media_files, media_bytes, metadata_bytes, .. } = self;
        format!(
            "{what}: {} recordings with {} media files, {} and {} of metadata",
            grouped(u128::from(*recordings)),
            grouped(u128::from(*media_files)),
            bytes(*media_bytes),
            bytes(*metadata_bytes)
        )
    }
}

impl Kind {
    fn line(&self, name: &str) -> String {
        let name = if name.is_empty() { "without type" } else { name };
        let filled = match self.unsized_files {
            0 => String::new(),
            count => {
                format!(", {count} of them without a size, taken for {}", bytes(self.filled_bytes))
            }
        };
        let line = format!(
            "{name}: {} media files, {} {}{filled}",
            grouped(u128::from(self.files)),
            rate(self.bits_per_second),
            if self.is_measured { "as measured" } else { "as documented" }
        );
        // Types are a server's, and a terminal obeys what is printed.
        line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }
}

impl Room {
    fn line(&self) -> String {
        let Room { target, needed, free, fits, .. } = self;
        let free_bytes = free.bytes.map_or("not known".to_owned(), |free| bytes(u128::from(free)));
        let free_inodes = free.inodes.map(|free| format!(", {} inodes", grouped(u128::from(free))));
        format!(
            "on disk: {}, {} inodes; free on that of `{}`: {free_bytes}{}{}",
            bytes(needed.disk_bytes),
            grouped(needed.inodes),
            target.display(),
            free_inodes.unwrap_or_default(),
            match fits {
                Some(true) => ": it will fit",
                Some(false) => ": it will NOT fit",
                None => "",
            }
        )
    }
}

fn kinds(totals: &Group, rates: &Rates) -> BTreeMap<String, Kind> {
    let kind = |(name, sizes): (&String, &crate::estimate::Sizes)| {
        let rate = rates.0.get(name)?;
        let kind = Kind {
            files: sizes.files,
            milliseconds: sizes.milliseconds,
            sized_bytes: sizes.sized_bytes,
            unsized_files: sizes.timed_files + sizes.blind_files,
            filled_bytes: sizes.filled_bytes(Some(rate)),
            bits_per_second: rate.bits_per_second,
            is_measured: rate.is_measured,
        };
        Some((name.clone(), kind))
    };
    totals.kinds.iter().filter_map(kind).collect()
}
