//! What the metadata beside media says that opening them needs.
//!
//! Given the text of a metadata file and the names that lie beside it; gives the plaintext's size
//! and the certificate of each media file, and whether the recording is asked for.
//!
//! **Invariant**: pure. Metadata that cannot be read keep nothing from being opened.

use std::collections::HashMap;
use std::convert::Infallible;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use crate::json::{self, Member};
use crate::layout::{hashed_name, media_names, safe_name};
use crate::metadata;

/// Which recordings are opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those that started at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Those that started before this time.
    pub to: Option<DateTime<Utc>>,
    /// Those with one of these ids; all, if there are none.
    pub ids: Vec<String>,
}

/// Whether a recording is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// It is asked for.
    Yes,
    /// It is left out.
    No,
    /// It is opened because nobody knows when it started.
    Unknown,
}

/// What is known of one media file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// The size of its plaintext.
    pub(super) bytes: Option<u64>,
    /// What names the certificate that it was made for.
    pub(super) cert_alias: Vec<String>,
}

impl Filter {
    /// Tells whether all recordings are asked for.
    pub(super) fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// Tells whether the recording is asked for that lies in a folder, with this metadata.
    pub(super) fn asks_for(&self, folder: &str, metadata: Option<&str>) -> Asked {
        let members = metadata.and_then(|text| json::members(text).ok()).unwrap_or_default();
        let id = text(&members, "id");
        let is_named = |asked: &String| match &id {
            Some(id) => id == asked,
            None => is_folder_of(folder, asked),
        };
        if !self.ids.is_empty() && !self.ids.iter().any(is_named) {
            return Asked::No;
        }
        if self.from.is_none() && self.to.is_none() {
            return Asked::Yes;
        }
        match metadata.and_then(metadata::started_at) {
            Some(at) if self.from.is_some_and(|from| at < from) => Asked::No,
            Some(at) if self.to.is_some_and(|to| at >= to) => Asked::No,
            Some(_) => Asked::Yes,
            None => Asked::Unknown,
        }
    }
}

/// Gives what the metadata says of the media files by their names; `is_there` tells which names
/// lie beside it.
pub(super) fn known(metadata: &str, is_there: impl Fn(&str) -> bool) -> HashMap<String, Known> {
    let media = metadata::saved_media(metadata);
    let ids: Vec<_> =
        media.iter().map(|one| (one.id.as_str(), one.media_type.as_deref())).collect();
    let Ok(names) = media_names(&ids, &[], |name| Ok::<_, Infallible>(is_there(name)));
    let aliases = cert_aliases(metadata).into_iter().chain(std::iter::repeat(Vec::new()));
    let known = media.iter().zip(aliases);
    let known = known.map(|(one, cert_alias)| Known { bytes: one.size_bytes, cert_alias });
    names.into_iter().zip(known).collect()
}

/// Reads the `certAlias` of each media file, a text or a list of texts.
fn cert_aliases(metadata: &str) -> Vec<Vec<String>> {
    let members = json::members(metadata).unwrap_or_default();
    let media = json::last(&members, "mediaFiles").map(RawValue::get);
    let media = media.and_then(|media| json::elements(media).ok()).unwrap_or_default();
    let alias = |one: &&RawValue| {
        let members = json::members(one.get()).ok()?;
        let alias = json::last(&members, "certAlias")?;
        match json::string(alias) {
            Some(one) => Some(vec![one]),
            None => Some(
                json::elements(alias.get()).ok()?.into_iter().filter_map(json::string).collect(),
            ),
        }
    };
    media.iter().map(|one| alias(one).unwrap_or_default()).collect()
}

/// Tells whether a folder has the name that a recording of this id is given, or the second of the
/// same id, `~2`, and so on.
fn is_folder_of(folder: &str, id: &str) -> bool {
    let name = folder.rsplit_once('/').map_or(folder, |(_, name)| name);
    [safe_name(id), hashed_name(id)].iter().any(|given| match name.strip_prefix(given.as_str()) {
        Some("") => true,
        Some(rest) => rest.strip_prefix('~').is_some_and(|number| {
            !number.is_empty() && number.len() < 16 && number.bytes().all(|c| c.is_ascii_digit())
        }),
        None => false,
    })
}

fn text(members: &[Member<'_>], name: &str) -> Option<String> {
    json::string_or_number(json::last(members, name)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<DateTime<Utc>> {
        Some(crate::window::parse_edge(text).unwrap())
    }

    #[test]
    fn recordings_are_told_by_their_time_and_by_their_id() {
        use Asked::{No, Unknown, Yes};
        let metadata = r#"{"id":"A/1","startTime":"2018-01-02T12:00:00Z"}"#;
        let timeless = r#"{"id":"A/1"}"#;
        let time = |from: Option<&str>, to: Option<&str>| Filter {
            from: from.and_then(at),
            to: to.and_then(at),
            ids: Vec::new(),
        };
        let ids = |ids: &[&str]| Filter {
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            ..Filter::default()
        };
        for (filter, folder, metadata, expected) in [
            (Filter::default(), "x", None, Yes),
            (time(Some("2018-01-02T12:00:00Z"), None), "x", Some(metadata), Yes),
            (time(Some("2018-01-02T12:00:01Z"), None), "x", Some(metadata), No),
            (time(None, Some("2018-01-02T12:00:00Z")), "x", Some(metadata), No),
            (time(None, Some("2018-01-02T12:00:01Z")), "x", Some(metadata), Yes),
            (time(Some("2018-01-02"), Some("2018-01-03")), "x", Some(metadata), Yes),
            (time(Some("2018-01-02"), None), "x", Some(timeless), Unknown),
            (time(Some("2018-01-02"), None), "x", None, Unknown),
            (time(Some("2018-01-02"), None), "x", Some("broken"), Unknown),
            (ids(&["B", "A/1"]), "x", Some(metadata), Yes),
            (ids(&["A/2"]), "2018/A%2F2", Some(metadata), No),
            (ids(&["A/1"]), "2018/A%2F1", None, Yes),
            (ids(&["A/1"]), "A%2F1~2", Some("broken"), Yes),
            (ids(&["A/1"]), "A%2F1~x", None, No),
            (ids(&["A/1"]), "A%2F1~", None, No),
            (ids(&["A/1"]), "A%2F12", None, No),
            (ids(&["a"]), &hashed_name("a"), None, Yes),
            (Filter { from: at("2018-01-03"), ..ids(&["A/1"]) }, "x", Some(metadata), No),
        ] {
            assert_eq!(filter.asks_for(folder, metadata), expected, "{filter:?} {folder}");
        }
        assert!(Filter::default().is_open() && !ids(&["A"]).is_open());
    }

    #[test]
    fn size_and_certificate_are_found_by_the_name_on_the_disk() {
        let metadata = r#"{"mediaFiles":[
            {"mediaId":"a.mp3.bin","size":"12","certAlias":["x:1:CN=I:5","y"]},
            {"mediaId":"b","type":"video/mp4","size":7,"certAlias":"z"},
            {"mediaId":"c.bin","certAlias":null},
            {"mediaId":"A.mp3.bin","size":13}]}"#;
        let known = |there: &str| known(metadata, |name| name == there);
        let hashed = {
            let all = known("");
            all.keys().find(|name| name.contains('~')).cloned().unwrap()
        };
        let of = |bytes, alias: &[&str]| Known {
            bytes,
            cert_alias: alias.iter().map(|one| (*one).to_owned()).collect(),
        };
        let all = known("");
        assert_eq!(all["a.mp3.bin"], of(Some(12), &["x:1:CN=I:5", "y"]));
        assert_eq!(all["b.mp4.bin"], of(Some(7), &["z"]));
        assert_eq!(all["c.bin"], of(None, &[]));
        assert_eq!(all[&hashed], of(Some(13), &[]));
        assert_eq!(known(&hashed), all);
        assert!(super::known("broken", |_| true).is_empty());
    }
}
