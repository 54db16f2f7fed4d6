//! The text of a metadata file.
//!
//! Given the JSON of a record, gives the text to keep; given the text kept and the text of now,
//! tells whether something would be lost by replacing one with the other (contract, section 7).
//!
//! **Invariant**: every value is kept as it came: number text, escapes, order, repeated keys.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use crate::json::{self, Member};
use crate::recording::{self, MediaFile};

/// Without these a saved recording could not be told from another, or be checked again.
const KEPT_ALWAYS: [&str; 3] = ["id", "startTime", "mediaFiles"];

/// Levels below this one are compared as text.
const MAX_COMPARED_LEVELS: usize = 64;

/// Which top-level properties of a record are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PropertyFilter {
    /// The names to keep; empty means all.
    pub include: Vec<String>,
    /// The names to drop.
    pub exclude: Vec<String>,
}

impl PropertyFilter {
    /// Gives a text that is another for every other filter.
    pub fn rules(&self) -> String {
        format!("{:?} {:?}", self.include, self.exclude)
    }

    fn keeps_all(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    fn keeps(&self, name: &str) -> bool {
        let listed = |names: &[String]| names.iter().any(|listed| listed == name);
        let wanted = self.include.is_empty() || listed(&self.include);
        KEPT_ALWAYS.contains(&name) || wanted && !listed(&self.exclude)
    }
}

/// Writes the metadata file of a record: its wanted properties, indented, each as it came.
pub fn render(json: &str, filter: &PropertyFilter) -> String {
    let members = match filter.keeps_all() {
        true => Vec::new(),
        false => json::members(json).unwrap_or_default(),
    };
    let dropped = members.iter().any(|member| !filter.keeps(&member.name));
    let mut text = if dropped {
        let kept = members.iter().filter(|member| filter.keeps(&member.name));
        let kept: Vec<_> = kept.map(|m| format!("{}:{}", m.raw_name, m.value)).collect();
        json::indent(&format!("{{{}}}", kept.join(",")))
    } else {
        json::indent(json)
    };
    text.push('\n');
    text
}

/// Tells whether the new metadata lacks media files or values that the old had.
///
/// A value that is another now, or moved within its list, is no loss. Both texts should have been
/// rendered with the same filter. An old text that is no JSON has nothing to lose.
pub fn loses(old: &str, new: &str) -> bool {
    match (serde_json::from_str(old), serde_json::from_str(new)) {
        (Ok(old), Ok(new)) => lost(old, new, 0),
        (old, new) => old.is_ok() && new.is_err(),
    }
}

/// Reads the start time from the text of a metadata file.
pub fn started_at(metadata_text: &str) -> Option<DateTime<Utc>> {
    recording::started_at_of(&json::members(metadata_text).ok()?)
}

/// Reads the media files from the text of a metadata file, in the order stored.
pub fn saved_media(metadata_text: &str) -> Vec<MediaFile> {
    recording::media_files(&json::members(metadata_text).unwrap_or_default())
}

fn lost(old: &RawValue, new: &RawValue, level: usize) -> bool {
    if json::is_empty(old) || old.get() == new.get() {
        return false;
    }
    if level == MAX_COMPARED_LEVELS {
        return json::compact(old.get()) != json::compact(new.get());
    }
    if let Ok(old) = json::members(old.get()) {
        return lost_member(&old, &json::members(new.get()).unwrap_or_default(), level);
    }
    if let Ok(old) = json::elements(old.get()) {
        return lost_element(&old, &json::elements(new.get()).unwrap_or_default(), level);
    }
    json::is_empty(new)
}

fn lost_member(old: &[Member<'_>], new: &[Member<'_>], level: usize) -> bool {
    let new = by_name(new);
    by_name(old).iter().any(|(name, value)| match new.get(name) {
        Some(now) => lost(value, now, level + 1),
        None => !json::is_empty(value),
    })
}

/// Of repeated names the last counts.
fn by_name<'a>(members: &'a [Member<'a>]) -> HashMap<&'a str, &'a RawValue> {
    members.iter().map(|member| (member.name.as_ref(), member.value)).collect()
}

/// Elements that stand in both lists, wherever, are no loss. Of the others, media are compared by
/// their id, the rest in their order.
fn lost_element(old: &[&RawValue], new: &[&RawValue], level: usize) -> bool {
    let gone = without(old, new);
    let came = without(new, old);
    let media = came.iter().filter_map(|&value| Some((media_id(value)?, value)));
    let media: HashMap<String, &RawValue> = media.collect();
    gone.iter().enumerate().any(|(at, value)| {
        let now = match media_id(value) {
            Some(id) => media.get(&id),
            None => came.get(at),
        };
        now.map_or(!json::is_empty(value), |now| lost(value, now, level + 1))
    })
}

/// Gives the values of one list that have no equal in the other.
fn without<'a>(these: &[&'a RawValue], those: &[&RawValue]) -> Vec<&'a RawValue> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for value in those {
        *counts.entry(json::compact(value.get())).or_default() += 1;
    }
    let is_left = |value: &&RawValue| match counts.get_mut(&json::compact(value.get())) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    these.iter().copied().filter(is_left).collect()
}

fn media_id(value: &RawValue) -> Option<String> {
    json::string_or_number(json::last(&json::members(value.get()).ok()?, "mediaId")?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::tests::any_json;

    fn filter(include: &str, exclude: &str) -> PropertyFilter {
        let names = |list: &str| list.split_whitespace().map(String::from).collect();
        PropertyFilter { include: names(include), exclude: names(exclude) }
    }

    #[test]
    fn properties_are_kept_or_dropped_at_the_top_level_only() {
        let json = r#"{"id":"a","x":1.0,"startTime":"t","y":{"x":2},"mediaFiles":[],"x":"\u00e9"}"#;
        for (include, exclude, expected) in [
            ("", "", json),
            ("z", "", r#"{"id":"a","startTime":"t","mediaFiles":[]}"#),
            ("x", "", r#"{"id":"a","x":1.0,"startTime":"t","mediaFiles":[],"x":"\u00e9"}"#),
            ("", "x id mediaFiles", r#"{"id":"a","startTime":"t","y":{"x":2},"mediaFiles":[]}"#),
            ("x y", "x", r#"{"id":"a","startTime":"t","y":{"x":2},"mediaFiles":[]}"#),
            ("", "X startTime", json),
        ] {
            let text = render(json, &filter(include, exclude));
            assert_eq!(json::compact(&text), expected, "+{include} -{exclude}");
            assert!(text.ends_with("}\n"));
        }
    }

    #[test]
    fn metadata_file_is_indented() {
        let text = render(r#"{"id":"a","n":1.50,"l":[{},2]}"#, &PropertyFilter::default());
        let expected = "{\n  \"id\": \"a\",\n  \"n\": 1.50,\n  \"l\": [\n    {},\n    2\n  ]\n}\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn loss_is_told_apart_from_change() {
        for (old, new, loses_something) in [
            (r#"{"a":1}"#, r#"{ "a" : 1 }"#, false),
            (r#"{"a":1}"#, r#"{"a":2,"b":3}"#, false),
            (r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#, false),
            (r#"{"a":1}"#, r#"{}"#, true),
            (r#"{"a":1}"#, r#"{"a":null}"#, true),
            (r#"{"a":"x"}"#, r#"{"a":""}"#, true),
            (r#"{"a":0}"#, r#"{"a":""}"#, true),
            (r#"{"a":null,"b":"","c":[],"d":{}}"#, r#"{}"#, false),
            (r#"{"a":{"b":{"c":1}}}"#, r#"{"a":{"b":{"d":1}}}"#, true),
            (r#"{"a":{"b":1}}"#, r#"{"a":"x"}"#, true),
            (r#"{"a":[1]}"#, r#"{"a":"x"}"#, true),
            (r#"{"a":"x"}"#, r#"{"a":[1]}"#, false),
            (r#"{"a":[1,2,3]}"#, r#"{"a":[3,2,1]}"#, false),
            (r#"{"a":[1,2,3]}"#, r#"{"a":[1,2]}"#, true),
            (r#"{"a":[1,2,3]}"#, r#"{"a":[2,9]}"#, true),
            (r#"{"a":[1,2]}"#, r#"{"a":[0,1,2]}"#, false),
            (r#"{"a":[{"b":1},{"c":2}]}"#, r#"{"a":[{"c":2},{"b":1}]}"#, false),
            (r#"{"a":[{"b":1},{"c":2}]}"#, r#"{"a":[{"c":2},{"b":null}]}"#, true),
            (r#"{"a":[{"b":1},{"b":1}]}"#, r#"{"a":[{"b":1},{"b":""}]}"#, true),
            (r#"{"a":[null]}"#, r#"{"a":[1]}"#, false),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#, false),
            (r#"{"a":2,"a":null}"#, r#"{"a":null}"#, false),
            (r#"{"a":{"b":null}}"#, r#"{"a":null}"#, false),
            (r#"{"a":{"b":1}}"#, r#"{"a":null}"#, true),
            ("not json", r#"{}"#, false),
            (r#"{}"#, "not json", true),
        ] {
            assert_eq!(loses(old, new), loses_something, "{old} -> {new}");
        }
    }

    #[test]
    fn media_are_compared_by_their_id() {
        let old = r#"{"mediaFiles":[{"mediaId":"a","size":"1"},{"mediaId":"b","size":"2"}]}"#;
        for (new, loses_something) in [
            (r#"{"mediaFiles":[{"mediaId":"b","size":"3"},{"mediaId":"a","size":"1"}]}"#, false),
            (
                r#"{"mediaFiles":[{"mediaId":"c"},{"mediaId":"b","size":"2"},{"mediaId":"a"}]}"#,
                true,
            ),
            (r#"{"mediaFiles":[{"mediaId":"a","size":"1"},{"mediaId":"c","size":"2"}]}"#, true),
            (r#"{"mediaFiles":[{"mediaId":"a","size":"1"}]}"#, true),
            (r#"{"mediaFiles":null}"#, true),
        ] {
            assert_eq!(loses(old, new), loses_something, "{new}");
        }
    }

    #[test]
    fn deep_records_are_compared_without_exhausting_the_stack() {
        let nest = |inner: &str| format!("{}{inner}{}", "[".repeat(3000), "]".repeat(3000));
        assert!(loses(&nest("1"), &nest("2")));
        assert!(!loses(&nest("1"), &nest(" 1")));
    }

    #[test]
    fn saved_metadata_can_be_read_again() {
        let json = r#"{"id":"a","startTime":1519047014000,"mediaFiles":[{"mediaId":"m","size":7},
            {"mediaId":"n"}]}"#;
        let text = render(json, &filter("z", ""));
        assert_eq!(started_at(&text).unwrap().timestamp_millis(), 1519047014000);
        let media = saved_media(&text);
        assert_eq!(media.iter().map(|file| file.id.as_str()).collect::<Vec<_>>(), ["m", "n"]);
        assert_eq!(media[0].size_bytes, Some(7));
        assert_eq!(started_at("broken"), None);
        assert!(saved_media("broken").is_empty());
    }

    proptest! {
        #[test]
        fn rendering_keeps_every_member(values in prop::collection::vec(any_json(), 0..6)) {
            let members: Vec<_> =
                values.iter().enumerate().map(|(n, v)| format!("\"{}\":{v}", n % 4)).collect();
            let json = format!("{{{}}}", members.join(","));
            let text = render(&json, &PropertyFilter::default());
            prop_assert_eq!(json::compact(&text), json::compact(&json));
            prop_assert!(!loses(&json, &text));
            let text = render(&json, &filter("", "1"));
            let kept = json::members(&text).unwrap();
            let expected = json::members(&json).unwrap();
            let expected: Vec<_> = expected.iter().filter(|m| m.name != "1").collect();
            prop_assert_eq!(kept.len(), expected.len());
            for (kept, expected) in kept.iter().zip(expected) {
                prop_assert_eq!(kept.raw_name, expected.raw_name);
                let (kept, expected) = (kept.value.get(), expected.value.get());
                prop_assert_eq!(json::compact(kept), json::compact(expected));
            }
        }
    }
}
