//! A recording and its media files, as the metadata API lists them.
//!
//! Given one record of a page, gives what the backup decides by, and keeps the JSON as it came.
//! Values are read leniently (contract, section 5).
//!
//! **Invariant**: nothing is dropped in silence: a record is a [`Recording`] or [`Rejected`], and
//! every entry of `mediaFiles` is a [`MediaFile`], if need be one that cannot be fetched.

use chrono::{DateTime, Datelike, NaiveDateTime, Utc};
use regex::Regex;
use serde_json::value::RawValue;

use crate::json::{self, Member};

/// One call interaction.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The CallUUID; unique only together with `started_at`.
    pub id: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// Its media files in the order listed.
    pub media: Vec<MediaFile>,
    /// What is still to come at the source, if something is.
    pub awaits: Option<Awaits>,
    /// The whole record as it came.
    pub json: Box<RawValue>,
}

/// What of a recording is still to come at the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaits {
    /// Its events speak of a screen recording, and no video is listed.
    Screen,
    /// It has no stopTime: the call may go on.
    End,
}

impl Awaits {
    /// Its name in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Awaits::Screen => "screen",
            Awaits::End => "end",
        }
    }

    /// Gives what has a name in the ledger.
    pub fn from_name(name: &str) -> Option<Awaits> {
        [Awaits::Screen, Awaits::End].into_iter().find(|awaits| awaits.name() == name)
    }
}

/// One audio or screen file of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaFile {
    /// The `mediaId`; for an entry without one its place, like `mediaFiles[2]`.
    pub id: String,
    /// The MIME `type`, if it is not empty.
    pub media_type: Option<String>,
    /// The `size` in bytes: that of the plaintext, not of the object.
    pub size_bytes: Option<u64>,
    /// Where the content is.
    pub location: Location,
    /// Whether the record says that the content is encrypted (`pkcs7` or `certAlias`).
    pub says_encrypted: bool,
    /// The envelope of content that is kept apart from it, as text.
    pub pkcs7: Option<String>,
}

/// Where the content of a media file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// An object in Amazon S3.
    S3 {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
    },
    /// Something behind a URI, possibly a relative one.
    Http {
        /// The URI as it came.
        uri: String,
    },
    /// Nowhere that could be understood.
    Unusable {
        /// What is wrong with the entry.
        reason: String,
    },
}

/// A record that is not a recording.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// Its id, if at least that was usable.
    pub id: Option<String>,
    /// What is wrong with it.
    pub reason: &'static str,
    /// The whole record as it came.
    pub json: Box<RawValue>,
}

impl Recording {
    /// Reads one record of a page.
    pub fn parse(json: Box<RawValue>) -> Result<Recording, Rejected> {
        let Ok(members) = json::members(json.get()) else {
            return Err(Rejected { id: None, reason: "not a JSON object", json });
        };
        let (id, started_at) = (id_of(&members), started_at_of(&members));
        let media = media_files(&members);
        let awaits = awaits(&members, &media);
        match (id, started_at) {
            (Some(id), Some(started_at)) => Ok(Recording { id, started_at, media, awaits, json }),
            (Some(id), None) => Err(Rejected { id: Some(id), reason: "no usable startTime", json }),
            (None, _) => Err(Rejected { id: None, reason: "no usable id", json }),
        }
    }
}

/// Tells whether media of a type are wanted; `pattern` is anchored at both ends and ignores case.
///
/// Parameters such as `;codecs=opus` do not count. Media without a type are always wanted.
pub fn matches(pattern: &Regex, media_type: Option<&str>) -> bool {
    let essence = media_type.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
    essence.is_empty() || pattern.is_match(essence)
}

/// Reads a time with any numeric offset, with `Z`, or without a zone (then it is UTC), or as epoch
/// milliseconds.
pub fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    let time = if text.len() >= 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        DateTime::from_timestamp_millis(text.parse().ok()?)?
    } else if let Ok(time) = DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%#z") {
        time.to_utc()
    } else {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok()?.and_utc()
    };
    // Folders are named by years of four digits.
    (1..=9999).contains(&time.year()).then_some(time)
}

/// Reads the `startTime` of a record.
pub(crate) fn started_at_of(members: &[Member<'_>]) -> Option<DateTime<Utc>> {
    parse_time(&json::string_or_number(json::last(members, "startTime")?)?)
}

/// Reads the `mediaFiles` of a record.
pub(crate) fn media_files(members: &[Member<'_>]) -> Vec<MediaFile> {
    let Some(list) = json::last(members, "mediaFiles").filter(|list| list.get() != "null") else {
        return Vec::new();
    };
    match json::elements(list.get()) {
        Ok(entries) => {
            entries.iter().enumerate().map(|(at, entry)| media_file(at, entry)).collect()
        }
        Err(_) => vec![unusable("mediaFiles".to_owned(), "`mediaFiles` is not a list")],
    }
}

/// What the events say is not documented; this is how the attached data of the samples have it.
const SCREEN_RECORDING_BEGAN: &str = "ScreenRecordingStateStarted";

fn awaits(members: &[Member<'_>], media: &[MediaFile]) -> Option<Awaits> {
    let is_video = |one: &MediaFile| {
        let kind = one.media_type.as_deref().and_then(|kind| kind.trim_start().get(..6));
        kind.is_some_and(|kind| kind.eq_ignore_ascii_case("video/"))
    };
    let events = json::last(members, "eventHistory").map_or("", RawValue::get);
    if json::last(members, "stopTime").is_none_or(json::is_empty) {
        Some(Awaits::End)
    } else if events.contains(SCREEN_RECORDING_BEGAN) && !media.iter().any(is_video) {
        Some(Awaits::Screen)
    } else {
        None
    }
}

fn id_of(members: &[Member<'_>]) -> Option<String> {
    text(members, "id")
}

fn media_file(at: usize, entry: &RawValue) -> MediaFile {
    let place = format!("mediaFiles[{at}]");
    let Ok(members) = json::members(entry.get()) else {
        return unusable(place, "the entry is not a JSON object");
    };
    // The documents spell it both ways: `mediaId` in the sample, `mediaID` in the table.
    let id = text(&members, "mediaId").or_else(|| text(&members, "mediaID"));
    let says = |name| json::last(&members, name).is_some_and(|value| !json::is_empty(value));
    MediaFile {
        location: match id {
            Some(_) => locate(&members),
            None => Location::Unusable { reason: "no usable `mediaId`".to_owned() },
        },
        id: id.unwrap_or(place),
        media_type: text(&members, "type"),
        size_bytes: text(&members, "size").and_then(|size| size.trim().parse().ok()),
        says_encrypted: says("pkcs7") || says("certAlias"),
        pkcs7: text(&members, "pkcs7"),
    }
}

fn unusable(id: String, reason: &str) -> MediaFile {
    MediaFile {
        id,
        media_type: None,
        size_bytes: None,
        location: Location::Unusable { reason: reason.to_owned() },
        says_encrypted: false,
        pkcs7: None,
    }
}

fn locate(members: &[Member<'_>]) -> Location {
    match (described(members), text(members, "mediaUri")) {
        (Location::Unusable { .. }, Some(uri)) => Location::Http { uri },
        (location, _) => location,
    }
}

fn described(members: &[Member<'_>]) -> Location {
    let unusable = |reason: String| Location::Unusable { reason };
    let Some(descriptor) = object(members, "mediaDescriptor") else {
        return unusable("neither `mediaDescriptor` nor `mediaUri`".to_owned());
    };
    let storage = text(&descriptor, "storage").unwrap_or_default();
    let Some(path) = text(&descriptor, "path") else {
        return unusable("`mediaDescriptor` has no `path`".to_owned());
    };
    if storage.eq_ignore_ascii_case("webDAV") {
        return Location::Http { uri: path };
    }
    if !storage.eq_ignore_ascii_case("awsS3") {
        return unusable(format!("storage `{}` is not known", storage.escape_default()));
    }
    match object(&descriptor, "data").and_then(|data| text(&data, "bucket")) {
        Some(bucket) => Location::S3 { bucket, key: path },
        None => unusable("`mediaDescriptor` has no `bucket`".to_owned()),
    }
}

fn object<'a>(members: &[Member<'a>], name: &str) -> Option<Vec<Member<'a>>> {
    json::members(json::last(members, name)?.get()).ok()
}

/// The text of a string or number, if there is more in it than white space.
fn text(members: &[Member<'_>], name: &str) -> Option<String> {
    json::string_or_number(json::last(members, name)?).filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn one_media_file(entry: &str) -> MediaFile {
        let json =
            format!(r#"{{"id":"r","startTime":"2018-02-12T19:03:11Z","mediaFiles":[{entry}]}}"#);
        Recording::parse(raw(&json)).unwrap().media.remove(0)
    }

    fn location(fields: &str) -> Location {
        one_media_file(&format!(r#"{{"mediaId":"m",{fields}}}"#)).location
    }

    #[test]
    fn documented_record_is_read() {
        let json = r#"{ "id" : "021L6BI58K8FH7R5USI402LAES000000A", "mediaFiles" : [ {
            "mediaId" : "021L6BI58K8FH7R5USI402LAES000000A_2021-07-21_16-49-00-334B020F.mp3.bin",
            "type" : "audio/mp3", "duration" : "36800", "size" : "146304", "pkcs7" : "-----BEGIN",
            "certAlias" : [ "rcs_Environment:1:CN=Basic Certification Authority:5" ],
            "mediaDescriptor":{"storage":"awsS3","path":"a/b","data":{"bucket":"c"}} } ],
            "startTime" : "2021-07-21T16:49:00.123+0000" }"#;
        let recording = Recording::parse(raw(json)).unwrap();
        assert_eq!(recording.id, "021L6BI58K8FH7R5USI402LAES000000A");
        assert_eq!(recording.started_at.timestamp_millis(), 1626886140123);
        assert_eq!(recording.json.get(), json);
        assert_eq!(
            recording.media,
            [MediaFile {
                id: "021L6BI58K8FH7R5USI402LAES000000A_2021-07-21_16-49-00-334B020F.mp3.bin".into(),
                media_type: Some("audio/mp3".into()),
                size_bytes: Some(146304),
                location: Location::S3 { bucket: "c".into(), key: "a/b".into() },
                says_encrypted: true,
                pkcs7: Some("-----BEGIN".into()),
            }]
        );
    }

    #[test]
    fn record_without_id_or_time_is_rejected_whole() {
        let time = r#""startTime":"2018-02-12T19:03:11Z""#;
        for (json, id, reason) in [
            ("null".to_owned(), None, "not a JSON object"),
            ("[]".to_owned(), None, "not a JSON object"),
            (format!("{{{time}}}"), None, "no usable id"),
            (format!(r#"{{"id":null,{time}}}"#), None, "no usable id"),
            (format!(r#"{{"id":" \t",{time}}}"#), None, "no usable id"),
            (format!(r#"{{"id":["x"],{time}}}"#), None, "no usable id"),
            (format!(r#"{{"id":"\ud800",{time}}}"#), None, "no usable id"),
            (format!(r#"{{"id":"x",{time},"id":""}}"#), None, "no usable id"),
            (r#"{"id":"x"}"#.to_owned(), Some("x"), "no usable startTime"),
            (r#"{"id":"x","startTime":"soon"}"#.to_owned(), Some("x"), "no usable startTime"),
        ] {
            let rejected = Recording::parse(raw(&json)).unwrap_err();
            let found = (rejected.id.as_deref(), rejected.reason, rejected.json.get());
            assert_eq!(found, (id, reason, json.as_str()));
        }
    }

    #[test]
    fn any_other_id_is_taken_as_it_is() {
        let long = "x".repeat(4096);
        for id in ["../../x", "CON", " a.", "%2e", "ünï", "a/b", long.as_str()] {
            let json = serde_json::json!({"id": id, "startTime": 1519047014000_i64}).to_string();
            assert_eq!(Recording::parse(raw(&json)).unwrap().id, id);
        }
        let recording = Recording::parse(raw(r#"{"id":17,"startTime":1519047014000}"#)).unwrap();
        assert_eq!((recording.id.as_str(), recording.media.len()), ("17", 0));
    }

    #[test]
    fn last_of_repeated_keys_counts() {
        let json = r#"{"id":"a","id":"b","startTime":"x","startTime":1519047014000,
            "mediaFiles":5,"mediaFiles":[{"mediaId":"m","size":1,"size":"2"}]}"#;
        let recording = Recording::parse(raw(json)).unwrap();
        assert_eq!((recording.id.as_str(), recording.media[0].size_bytes), ("b", Some(2)));
    }

    #[test]
    fn entry_that_cannot_be_used_is_named() {
        for (list, id, reason) in [
            (r#"{"mediaId":"m"}"#, "mediaFiles", "`mediaFiles` is not a list"),
            (r#""m""#, "mediaFiles", "`mediaFiles` is not a list"),
            ("[null]", "mediaFiles[0]", "the entry is not a JSON object"),
            (r#"[{"type":"audio/mp3"}]"#, "mediaFiles[0]", "no usable `mediaId`"),
            (r#"[{"mediaId":" ","mediaUri":"/x"}]"#, "mediaFiles[0]", "no usable `mediaId`"),
            (r#"[{"mediaId":"m"}]"#, "m", "neither `mediaDescriptor` nor `mediaUri`"),
        ] {
            let json = format!(r#"{{"id":"r","startTime":1519047014000,"mediaFiles":{list}}}"#);
            let media = Recording::parse(raw(&json)).unwrap().media;
            let reason = Location::Unusable { reason: reason.to_owned() };
            assert_eq!((media.len(), media[0].id.as_str()), (1, id), "{list}");
            assert_eq!(media[0].location, reason, "{list}");
        }
        for list in ["null", "[]"] {
            let json = format!(r#"{{"id":"r","startTime":1519047014000,"mediaFiles":{list}}}"#);
            assert!(Recording::parse(raw(&json)).unwrap().media.is_empty(), "{list}");
        }
    }

    #[test]
    fn location_is_read_from_every_known_form() {
        let http = |uri: &str| Location::Http { uri: uri.to_owned() };
        let unusable = |reason: &str| Location::Unusable { reason: reason.to_owned() };
        let s3 = Location::S3 { bucket: "b".to_owned(), key: "/k +é".to_owned() };
        for (fields, expected) in [
            (r#""mediaDescriptor":{"storage":"awsS3","path":"/k +é","data":{"bucket":"b"}}"#, s3),
            (r#""mediaDescriptor":{"storage":"webDAV","path":"http://h/f"}"#, http("http://h/f")),
            (r#""mediaUri":"/api/v2/f""#, http("/api/v2/f")),
            (r#""mediaUri":"/f","mediaDescriptor":{"storage":"tape","path":"x"}"#, http("/f")),
            (
                r#""mediaDescriptor":{"storage":"awsS3"}"#,
                unusable("`mediaDescriptor` has no `path`"),
            ),
            (
                r#""mediaDescriptor":{"storage":"awsS3","path":"k","data":{}}"#,
                unusable("`mediaDescriptor` has no `bucket`"),
            ),
            (
                r#""mediaDescriptor":{"storage":"ta\npe","path":"k"}"#,
                unusable(r"storage `ta\npe` is not known"),
            ),
        ] {
            assert_eq!(location(fields), expected, "{fields}");
        }
    }

    #[test]
    fn values_of_a_media_file_are_read_leniently() {
        for (size, bytes) in [
            ("146304", Some(146304)),
            (r#"" 146304 ""#, Some(146304)),
            ("0", Some(0)),
            ("-1", None),
            ("1.5", None),
            (r#""unknown""#, None),
            ("null", None),
            ("{}", None),
        ] {
            let file = one_media_file(&format!(r#"{{"mediaID":"m","size":{size}}}"#));
            assert_eq!((file.id.as_str(), file.size_bytes), ("m", bytes), "{size}");
        }
        for (fields, encrypted) in [
            (r#""pkcs7":"x""#, true),
            (r#""certAlias":["x"]"#, true),
            (r#""certAlias":"x""#, true),
            (r#""pkcs7":"","certAlias":[]"#, false),
            (r#""pkcs7":null"#, false),
            (r#""type":"""#, false),
        ] {
            let file = one_media_file(&format!(r#"{{"mediaId":"m",{fields}}}"#));
            assert_eq!((file.says_encrypted, file.media_type), (encrypted, None), "{fields}");
        }
    }

    #[test]
    fn times_are_read_leniently() {
        for (text, expected) in [
            ("2021-07-21T16:49:00.000+0000", Some(1626886140000)),
            ("2021-07-21T18:49:00.5+02:00", Some(1626886140500)),
            ("2021-07-21T08:49:00-08", Some(1626886140000)),
            ("2021-07-21T16:49:00Z", Some(1626886140000)),
            ("2021-07-21T16:49:00.000001Z", Some(1626886140000)),
            (" 2021-07-21T16:49:00 ", Some(1626886140000)),
            ("2021-07-21T16:49:00.999", Some(1626886140999)),
            ("1626886140123", Some(1626886140123)),
            ("2021-07-21", None),
            ("2021-02-30T00:00:00Z", None),
            ("20210721", None),
            ("99999999999999999", None),
            ("9999999999999999999999999", None),
            ("+12021-07-21T16:49:00Z", None),
            ("2021-07-21T16:49:00 o'clock", None),
            ("", None),
        ] {
            assert_eq!(parse_time(text).map(|time| time.timestamp_millis()), expected, "{text}");
        }
    }

    #[test]
    fn type_is_matched_without_its_parameters() {
        let pattern = Regex::new("(?i)^(?:audio/mp3|video/mp4)$").unwrap();
        for (media_type, wanted) in [
            (Some("audio/mp3"), true),
            (Some("AUDIO/MP3"), true),
            (Some("video/mp4; codecs=avc1"), true),
            (Some(" video/mp4 ;x"), true),
            (Some("audio/mp3x"), false),
            (Some("text/plain"), false),
            (Some(""), true),
            (Some(" ;charset=x"), true),
            (None, true),
        ] {
            assert_eq!(matches(&pattern, media_type), wanted, "{media_type:?}");
        }
    }
}
