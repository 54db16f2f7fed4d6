//! What an estimate takes from a record.
//!
//! **Invariant:** every media file is one that a backup would save, or is counted as left out; a
//! value that cannot be read is none, and no error.

use chrono::{DateTime, Utc};
use regex::Regex;

use crate::json::{self, Member};
use crate::metadata::{self, PropertyFilter};
use crate::recording::{Recording, matches, parse_time};

/// No recording is longer; what says so means something else.
const LONGEST_MS: u64 = 31 * 86_400_000;

/// What a backup would save.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The media types that are wanted; anchored at both ends.
    pub media_type_pattern: Regex,
    /// Whether media are left out altogether.
    pub metadata_only: bool,
    /// Which metadata are kept.
    pub filter: PropertyFilter,
}

/// A recording as it is listed now, without what an estimate does not need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// The wanted media files.
    pub media: Vec<Medium>,
    /// How many others it has.
    pub left_out: u64,
    /// How large its metadata file is.
    pub metadata_bytes: u64,
    /// How large its record is as it is listed.
    pub listed_bytes: u64,
}

/// A media file as it is listed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Medium {
    /// Its `mediaId`.
    pub id: String,
    /// Its MIME type in small letters, without parameters; empty if it has none.
    pub kind: String,
    /// Its size before it was encrypted.
    pub bytes: Option<u64>,
    /// How long it is.
    pub milliseconds: Option<u64>,
}

impl Listed {
    /// Takes from a recording what an estimate needs.
    pub fn of(recording: &Recording, wanted: &Wanted) -> Listed {
        let lengths = lengths(recording.json.get());
        let mut media = Vec::new();
        let mut left_out = 0;
        for (at, one) in recording.media.iter().enumerate() {
            let media_type = one.media_type.as_deref();
            if wanted.metadata_only || !matches(&wanted.media_type_pattern, media_type) {
                left_out += 1;
                continue;
            }
            let essence = media_type.unwrap_or_default().split(';').next().unwrap_or_default();
            media.push(Medium {
                id: one.id.clone(),
                kind: essence.trim().to_ascii_lowercase(),
                bytes: one.size_bytes,
                milliseconds: lengths.get(at).copied().flatten(),
            });
        }
        Listed {
            started_at: recording.started_at,
            media,
            left_out,
            metadata_bytes: metadata::render(recording.json.get(), &wanted.filter).len() as u64,
            listed_bytes: recording.json.get().len() as u64,
        }
    }
}

/// The lengths of the media files of a record, in their order.
fn lengths(record: &str) -> Vec<Option<u64>> {
    let members = json::members(record).unwrap_or_default();
    let list = json::last(&members, "mediaFiles").map(|list| json::elements(list.get()));
    let entries = list.and_then(Result::ok).unwrap_or_default();
    let length = |members: Vec<Member<'_>>| duration(&members).or_else(|| lasted(&members));
    entries.iter().map(|entry| json::members(entry.get()).ok().and_then(length)).collect()
}

/// The documented forms are milliseconds; seconds with a fraction and a clock's have been seen.
fn duration(members: &[Member<'_>]) -> Option<u64> {
    let text = json::string_or_number(json::last(members, "duration")?)?;
    let text = text.trim();
    let milliseconds = match text.rsplit_once(':') {
        Some((minutes, seconds)) => {
            let (hours, minutes) = minutes.split_once(':').unwrap_or(("0", minutes));
            let minutes = whole(hours)?.checked_mul(60)?.checked_add(whole(minutes)?)?;
            minutes.checked_mul(60_000)?.checked_add(seconds_to_ms(seconds)?)?
        }
        None if text.contains('.') => seconds_to_ms(text)?,
        None => whole(text)?,
    };
    sensible(milliseconds)
}

/// Where there is no duration, the times say how long it was; where recording failed both are the
/// same, which says nothing.
fn lasted(members: &[Member<'_>]) -> Option<u64> {
    let time = |name| parse_time(&json::string_or_number(json::last(members, name)?)?);
    let lasted = time("stopTime")? - time("startTime")?;
    sensible(u64::try_from(lasted.num_milliseconds()).ok()?)
}

fn sensible(milliseconds: u64) -> Option<u64> {
    (1..=LONGEST_MS).contains(&milliseconds).then_some(milliseconds)
}

fn seconds_to_ms(text: &str) -> Option<u64> {
    let (seconds, part) = text.split_once('.').unwrap_or((text, "0"));
    let part = format!("{part:0<3}");
    whole(seconds)?.checked_mul(1_000)?.checked_add(whole(part.get(..3)?)?)
}

fn whole(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn wanted(pattern: &str) -> Wanted {
        Wanted {
            media_type_pattern: Regex::new(&format!("\\A(?:{pattern})\\z")).unwrap(),
            metadata_only: false,
            filter: PropertyFilter::default(),
        }
    }

    fn recording(media: &str) -> Recording {
        let json = format!(r#"{{"id":"r","startTime":1519047014000,"mediaFiles":[{media}]}}"#);
        Recording::parse(RawValue::from_string(json).unwrap()).unwrap()
    }

    #[test]
    fn lengths_are_read_from_every_known_form() {
        for (fields, expected) in [
            (r#""duration":"36800""#, Some(36_800)),
            (r#""duration":36800"#, Some(36_800)),
            (r#""duration":"38.376""#, Some(38_376)),
            (r#""duration":38.5"#, Some(38_500)),
            (r#""duration":"38.37654""#, Some(38_376)),
            (r#""duration":"0:00:46""#, Some(46_000)),
            (r#""duration":"1:02:03.5""#, Some(3_723_500)),
            (r#""duration":"02:03""#, Some(123_000)),
            (r#""duration":"0""#, None),
            (r#""duration":"-5""#, None),
            (r#""duration":"soon""#, None),
            (r#""duration":":""#, None),
            (r#""duration":"1:é""#, None),
            (r#""duration":"99999999999999999999""#, None),
            (r#""duration":"18446744073709551615:00:00""#, None),
            (r#""duration":"9999999999999""#, None),
            (r#""duration":null"#, None),
            (r#""other":1"#, None),
        ] {
            let recording = recording(&format!(r#"{{"mediaId":"m",{fields}}}"#));
            let listed = Listed::of(&recording, &wanted(".*"));
            assert_eq!(listed.media[0].milliseconds, expected, "{fields}");
        }
    }

    #[test]
    fn a_length_without_a_duration_is_that_between_the_times() {
        for (start, stop, expected) in [
            ("2021-07-21T16:49:00.000+0000", "2021-07-21T16:49:37.000+0000", Some(37_000)),
            ("2021-07-21T16:49:00.000+0000", "2021-07-21T16:49:00.000+0000", None),
            ("2021-07-21T16:49:37.000+0000", "2021-07-21T16:49:00.000+0000", None),
            ("2021-07-21T16:49:37.000+0000", "2031-07-21T16:49:00.000+0000", None),
            ("", "2021-07-21T16:49:37.000+0000", None),
        ] {
            for duration in ["", r#","duration":"soon""#] {
                let entry = format!(r#"{{"startTime":"{start}","stopTime":"{stop}"{duration}}}"#);
                let listed = Listed::of(&recording(&entry), &wanted(".*"));
                assert_eq!(listed.media[0].milliseconds, expected, "{entry}");
            }
        }
    }

    #[test]
    fn media_are_wanted_by_their_type_and_keep_their_own_length() {
        let recording = recording(
            r#"{"mediaId":"a","type":"audio/mp3","size":"5","duration":"1000"},
               {"mediaId":"b","type":"text/plain","size":"6","duration":"2000"},
               {"mediaId":"c","type":"Video/MP4; codecs=x","duration":"3000"}, 7"#,
        );
        let listed = Listed::of(&recording, &wanted("audio/mp3|(?i:video/mp4)"));
        let one = |id: &str, kind: &str, bytes, milliseconds| Medium {
            id: id.to_owned(),
            kind: kind.to_owned(),
            bytes,
            milliseconds,
        };
        assert_eq!(
            listed.media,
            [
                one("a", "audio/mp3", Some(5), Some(1_000)),
                one("c", "video/mp4", None, Some(3_000)),
                one("mediaFiles[3]", "", None, None),
            ]
        );
        assert_eq!(listed.left_out, 1);
        let none = Wanted { metadata_only: true, ..wanted(".*") };
        assert_eq!(Listed::of(&recording, &none).left_out, 4);
    }

    #[test]
    fn metadata_weigh_what_their_file_will() {
        let recording = recording("");
        let all = Listed::of(&recording, &wanted(".*"));
        assert_eq!(all.listed_bytes, 52);
        let text =
            "{\n  \"id\": \"r\",\n  \"startTime\": 1519047014000,\n  \"mediaFiles\": []\n}\n";
        assert_eq!(all.metadata_bytes, text.len() as u64);
    }
}
