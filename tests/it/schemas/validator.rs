//! As much of JSON Schema 2020-12 as docs/schema uses; any other keyword is a mistake.

use serde_json::{Map, Value};

/// Says where a value is not as its schema has it.
pub(crate) fn validate(schema: &Value, value: &Value) -> Result<(), String> {
    check(schema, schema, value, "$")
}

/// What a schema may say without asking anything of a value.
const NOTES: [&str; 5] = ["$schema", "$id", "$defs", "title", "description"];

fn check(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let schema = schema.as_object().unwrap_or_else(|| panic!("no schema at {at}: {schema}"));
    for (keyword, rule) in schema.iter().filter(|(keyword, _)| !NOTES.contains(&keyword.as_str())) {
        let is_kept = match keyword.as_str() {
            "$ref" => {
                let pointer = rule.as_str().unwrap().strip_prefix('#').unwrap();
                let target = root.pointer(pointer).unwrap_or_else(|| panic!("no {rule}"));
                check(root, target, value, at).map(|()| true)?
            }
            "type" => match rule {
                Value::Array(kinds) => kinds.iter().any(|kind| is_of(value, kind)),
                kind => is_of(value, kind),
            },
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "minItems" => length(value).is_none_or(|length| length >= rule.as_u64().unwrap()),
            "maxItems" => length(value).is_none_or(|length| length <= rule.as_u64().unwrap()),
            "format" => value.as_str().is_none_or(|text| has_format(text, rule)),
            "pattern" => value.as_str().is_none_or(|text| {
                assert_eq!(rule, "^[0-9]+$");
                !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
            }),
            "oneOf" => is_one_of(root, rule, value, at)?,
            "items" => match value.as_array() {
                Some(items) => {
                    for (index, item) in items.iter().enumerate() {
                        check(root, rule, item, &format!("{at}[{index}]"))?;
                    }
                    true
                }
                None => true,
            },
            "required" => value.as_object().is_none_or(|members| {
                rule.as_array()
                    .unwrap()
                    .iter()
                    .all(|name| members.contains_key(name.as_str().unwrap()))
            }),
            "propertyNames" => {
                for name in value.as_object().into_iter().flat_map(Map::keys) {
                    check(root, rule, &Value::String(name.clone()), at)?;
                }
                true
            }
            "properties" => {
                for (name, member) in value.as_object().into_iter().flatten() {
                    if let Some(rule) = rule.get(name) {
                        check(root, rule, member, &format!("{at}.{name}"))?;
                    }
                }
                true
            }
            "additionalProperties" => {
                let documented = schema.get("properties").and_then(Value::as_object);
                let is_documented =
                    |name: &str| documented.is_some_and(|all| all.contains_key(name));
                let mut others = value.as_object().into_iter().flatten();
                let mut others = others.by_ref().filter(|(name, _)| !is_documented(name));
                match rule {
                    Value::Bool(false) => match others.next() {
                        Some((name, _)) => return Err(format!("{at}.{name} is not documented")),
                        None => true,
                    },
                    rule => {
                        for (name, member) in others {
                            check(root, rule, member, &format!("{at}.{name}"))?;
                        }
                        true
                    }
                }
            }
            other => panic!("the validator does not know `{other}`"),
        };
        if !is_kept {
            return Err(format!("{at} is not {keyword} {rule}: {value}"));
        }
    }
    Ok(())
}

fn is_one_of(root: &Value, rules: &Value, value: &Value, at: &str) -> Result<bool, String> {
    let rules = rules.as_array().unwrap();
    let tried: Vec<_> = rules.iter().map(|rule| check(root, rule, value, at)).collect();
    match tried.iter().filter(|one| one.is_ok()).count() {
        1 => Ok(true),
        0 => {
            let why: Vec<_> = tried.into_iter().filter_map(Result::err).collect();
            Err(format!("none of these is true: {}", why.join("; ")))
        }
        _ => Err(format!("{at} is more than one of these: {value}")),
    }
}

fn length(value: &Value) -> Option<u64> {
    value.as_array().map(|items| items.len() as u64)
}

fn is_of(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        other => panic!("the validator does not know the type `{other}`"),
    }
}

fn has_format(text: &str, format: &Value) -> bool {
    match format.as_str().unwrap() {
        // In UTC, which is more than the format asks for.
        "date-time" => text.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(text).is_ok(),
        "date" => chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok(),
        other => panic!("the validator does not know the format `{other}`"),
    }
}

#[test]
fn the_validator_refuses_whatever_a_schema_does_not_allow() {
    let schema = serde_json::json!({
        "type": "object",
        "properties": {
            "name": { "type": ["string", "null"] },
            "at": { "type": "string", "format": "date-time" },
            "kind": { "oneOf": [{ "const": "a" }, { "$ref": "#/$defs/number" }] },
            "list": { "type": "array", "items": { "enum": [1, 2] }, "maxItems": 2 },
            "days": { "type": "object", "propertyNames": { "format": "date" },
                      "additionalProperties": { "type": "boolean" } },
        },
        "required": ["name"],
        "additionalProperties": false,
        "$defs": { "number": { "type": "integer", "minimum": 0 } },
    });
    for (value, is_valid) in [
        (r#"{"name":null}"#, true),
        (r#"{"name":"x","at":"2018-02-12T19:03:11.000Z","kind":"a","list":[1,2]}"#, true),
        (r#"{"name":"x","kind":7,"days":{"2018-02-12":true}}"#, true),
        ("[]", false),
        ("{}", false),
        (r#"{"name":1}"#, false),
        (r#"{"name":"x","more":1}"#, false),
        (r#"{"name":"x","at":"2018-02-12"}"#, false),
        (r#"{"name":"x","at":"2018-02-12T19:03:11+01:00"}"#, false),
        (r#"{"name":"x","kind":"b"}"#, false),
        (r#"{"name":"x","kind":-1}"#, false),
        (r#"{"name":"x","kind":1.5}"#, false),
        (r#"{"name":"x","list":[3]}"#, false),
        (r#"{"name":"x","list":[1,1,1]}"#, false),
        (r#"{"name":"x","days":{"today":true}}"#, false),
        (r#"{"name":"x","days":{"2018-02-12":1}}"#, false),
    ] {
        let found = validate(&schema, &serde_json::from_str(value).unwrap());
        assert_eq!(found.is_ok(), is_valid, "{value}: {found:?}");
    }
}
