//! The text of `.rcbs/state.json`.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::watermark::{Earned, Scope, Segment, Stored};

/// What stands in the file. Fields that a later version adds are passed over.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct State {
    #[serde(default)]
    rescanned_at: Option<Time>,
    #[serde(default)]
    segments: Vec<StateSegment>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StateSegment {
    since: Time,
    metadata_only: bool,
    media_type_pattern: String,
    gws_uri_prefix: String,
    total_rcbs_instances: u32,
    rcbs_instance_id: u32,
}

/// A time that stands in the file as RFC 3339 text.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Time(DateTime<Utc>);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse_time(&text).map(Self).ok_or_else(|| format!("not a time: `{text}`"))
    }
}

impl From<Time> for String {
    fn from(Time(at): Time) -> Self {
        time(at)
    }
}

impl State {
    pub(super) fn of(stored: &Stored) -> Self {
        let segments =
            stored.earned.segments().iter().map(|Segment { since, scope }| StateSegment {
                since: Time(*since),
                metadata_only: scope.metadata_only,
                media_type_pattern: scope.media_type_pattern.clone(),
                gws_uri_prefix: scope.gws_uri_prefix.clone(),
                total_rcbs_instances: scope.total,
                rcbs_instance_id: scope.id,
            });
        Self { rescanned_at: stored.rescanned_at.map(Time), segments: segments.collect() }
    }

    pub(super) fn into_stored(self, watermark: Option<DateTime<Utc>>) -> Stored {
        let segments = self.segments.into_iter().map(|segment| Segment {
            since: segment.since.0,
            scope: Scope {
                metadata_only: segment.metadata_only,
                media_type_pattern: segment.media_type_pattern,
                gws_uri_prefix: segment.gws_uri_prefix,
                total: segment.total_rcbs_instances,
                id: segment.rcbs_instance_id,
            },
        });
        Stored {
            watermark,
            earned: Earned::new(segments.collect(), watermark),
            rescanned_at: self.rescanned_at.map(|Time(at)| at),
        }
    }
}

pub(super) fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc())
}

pub(super) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
