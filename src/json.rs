//! Tools over the *text* of JSON.
//!
//! Given valid JSON, they give its parts as the text they came as, or the same tokens with other
//! white space. The page of recordings is read in [`page`].
//!
//! **Invariant**: no value is ever turned into a number, a map or a string and back, so number
//! text, escapes, order and repeated keys survive; and nothing here recurses, so no depth of
//! nesting can exhaust the stack.

pub mod page;
mod scan;

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Deeper levels are indented no further, so that hostile nesting cannot inflate a text.
const MAX_INDENTED_LEVELS: usize = 64;

/// One member of an object.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// The name, decoded.
    pub name: Cow<'a, str>,
    /// The name as it came, with its quotes and escapes.
    pub raw_name: &'a str,
    /// The value as it came.
    pub value: &'a RawValue,
}

/// Lists the members of an object in their order, repeated names included.
pub fn members(text: &str) -> serde_json::Result<Vec<Member<'_>>> {
    serde_json::from_str::<Members<'_>>(text).map(|members| members.0)
}

/// Lists the elements of an array.
pub fn elements(text: &str) -> serde_json::Result<Vec<&RawValue>> {
    serde_json::from_str(text)
}

/// Finds the value of a member; of repeated names the last counts.
pub fn last<'a>(members: &[Member<'a>], name: &str) -> Option<&'a RawValue> {
    members.iter().rev().find(|member| member.name == name).map(|member| member.value)
}

/// Decodes a value that is a string.
pub fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// Gives a string decoded, or a number as its text: for fields that come as either.
pub fn string_or_number(value: &RawValue) -> Option<String> {
    let text = value.get();
    if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return Some(text.to_owned());
    }
    string(value)
}

/// Tells whether a value says nothing: null, a blank string, an empty list or an empty object.
pub fn is_empty(value: &RawValue) -> bool {
    let text = value.get();
    let inside = |open, close| text.strip_prefix(open).and_then(|text| text.strip_suffix(close));
    let inside = inside('"', '"').or_else(|| inside('[', ']')).or_else(|| inside('{', '}'));
    text == "null" || inside.is_some_and(|inside| inside.trim().is_empty())
}

/// Writes valid JSON with one member or element a line, indented by two blanks a level.
pub fn indent(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 2);
    let mut tokens = tokens(text).peekable();
    let mut level = 0_usize;
    while let Some(token) = tokens.next() {
        match token {
            "{" | "[" => {
                out.push_str(token);
                match tokens.next_if(|next| matches!(*next, "}" | "]")) {
                    Some(close) => out.push_str(close),
                    None => {
                        level += 1;
                        new_line(&mut out, level);
                    }
                }
            }
            "}" | "]" => {
                level = level.saturating_sub(1);
                new_line(&mut out, level);
                out.push_str(token);
            }
            "," => {
                out.push(',');
                new_line(&mut out, level);
            }
            ":" => out.push_str(": "),
            scalar => out.push_str(scalar),
        }
    }
    out
}

/// Writes valid JSON without any white space between its tokens.
pub fn compact(text: &str) -> String {
    tokens(text).collect()
}

fn new_line(out: &mut String, level: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", level.min(MAX_INDENTED_LEVELS)));
}

fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let length = match rest.as_bytes().first()? {
            b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
            b'"' => string_length(rest),
            _ => rest.find([',', '}', ']', ' ', '\t', '\r', '\n']).unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        Some(token)
    })
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

struct Members<'a>(Vec<Member<'a>>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            let raw_name = name.get();
            members.push(Member { name: decode(raw_name), raw_name, value });
        }
        Ok(Members(members))
    }
}

/// A name that is no Unicode text, such as half a surrogate pair, stands for itself undecoded.
fn decode(raw_name: &str) -> Cow<'_, str> {
    let inner = raw_name.trim_matches('"');
    if !raw_name.contains('\\') {
        return Cow::Borrowed(inner);
    }
    serde_json::from_str(raw_name).map_or(Cow::Borrowed(inner), Cow::Owned)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn members_keep_order_repetition_and_text() {
        let text = r#" { "b" : 1.50 , "a":"\u00e9", "b":[ 1,2 ],"\u0061":null, "\ud800":{} } "#;
        let members = members(text).unwrap();
        let seen: Vec<_> =
            members.iter().map(|m| (m.name.as_ref(), m.raw_name, m.value.get())).collect();
        assert_eq!(
            seen,
            [
                ("b", r#""b""#, "1.50"),
                ("a", r#""a""#, r#""\u00e9""#),
                ("b", r#""b""#, "[ 1,2 ]"),
                ("a", r#""\u0061""#, "null"),
                (r"\ud800", r#""\ud800""#, "{}"),
            ]
        );
        assert_eq!(last(&members, "a").unwrap().get(), "null");
        assert_eq!(last(&members, "b").unwrap().get(), "[ 1,2 ]");
        assert!(last(&members, "c").is_none());
    }

    #[test]
    fn only_objects_have_members_and_only_arrays_elements() {
        for text in ["[]", "1", "null", r#""x""#, "{", r#"{"a":1,}"#, "{} {}", ""] {
            assert!(members(text).is_err(), "{text}");
        }
        for text in ["{}", "1", "null", "[", "[1,]", "[] []", ""] {
            assert!(elements(text).is_err(), "{text}");
        }
        let texts: Vec<_> = elements("[1e5, {} ,null]").unwrap().iter().map(|v| v.get()).collect();
        assert_eq!(texts, ["1e5", "{}", "null"]);
    }

    #[test]
    fn indent_copies_every_token() {
        for (text, indented) in [
            ("1.500", "1.500"),
            (r#" "a\"b{,:" "#, r#""a\"b{,:""#),
            (r#""a\\""#, r#""a\\""#),
            ("[]", "[]"),
            ("{ \n }", "{}"),
            ("[1,-2.0E+3]", "[\n  1,\n  -2.0E+3\n]"),
            (
                r#"{"a" :1,"a":{ "é\u00E9" : [true ,[ ]]}}"#,
                "{\n  \"a\": 1,\n  \"a\": {\n    \"é\\u00E9\": [\n      true,\n      []\n    ]\n  }\n}",
            ),
        ] {
            assert_eq!(indent(text), indented, "{text}");
        }
    }

    #[test]
    fn deep_nesting_neither_overflows_nor_inflates() {
        let text = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
        assert_eq!(compact(&indent(&text)), text);
        assert!(indent(&text).len() < 150 * text.len());
        assert_eq!(elements(&text).unwrap().len(), 1);
    }

    #[test]
    fn empty_is_what_says_nothing() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        for text in ["null", r#""""#, r#"" ""#, "[]", "[ ]", "{}", "{\n}"] {
            assert!(is_empty(&raw(text)), "{text}");
        }
        for text in ["0", "false", r#""x""#, "[null]", r#"{"a":null}"#, r#""null""#] {
            assert!(!is_empty(&raw(text)), "{text}");
        }
    }

    /// Any JSON text: odd numbers, escapes, repeated names, white space anywhere.
    pub(crate) fn any_json() -> impl Strategy<Value = String> {
        let string = r#""([a-z{}\[\],: é]|\\["\\/bn]|\\u00[0-9a-f]{2}){0,6}""#;
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,4})?",
            string,
        ];
        leaf.prop_recursive(4, 40, 5, move |inner| {
            let blank = "[ \n\t]{0,2}";
            let element = (blank, inner, blank).prop_map(|(a, value, b)| format!("{a}{value}{b}"));
            let member =
                (string, blank, element.clone()).prop_map(|(k, a, v)| format!("{k}{a}:{v}"));
            prop_oneof![
                prop::collection::vec(element, 0..5).prop_map(|v| format!("[{}]", v.join(","))),
                prop::collection::vec(member, 0..5).prop_map(|v| format!("{{{}}}", v.join(","))),
            ]
        })
    }

    proptest! {
        #[test]
        fn indenting_changes_nothing_but_white_space(text in any_json()) {
            let indented = indent(&text);
            prop_assert!(serde_json::from_str::<&RawValue>(&indented).is_ok());
            prop_assert_eq!(compact(&indented), compact(&text));
            prop_assert_eq!(indent(&indented), indented);
        }
    }
}
