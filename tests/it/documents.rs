//! What docs/audit.md and docs/ledger.md say, held against the program.

use std::collections::BTreeSet;
use std::path::Path;

use rcbs_sim::Recording;
use rusqlite::Connection;
use serde_json::Value;

use crate::audit::{STATES, document, with_a_failure};
use crate::harness::{DAY_MS, now_ms};

#[test]
fn the_document_is_as_documented() {
    // Every kind of finding at once.
    let (site, _) = with_a_failure();
    let at = now_ms() - DAY_MS;
    let broken = r#"{"startTime":"2026-01-01T00:00:00.000+0000","mediaFiles":[]}"#;
    site.sim.edit(|world| {
        world.add(Recording::new("BROKEN", at).with_json(broken));
        world.add(Recording::new("NEW", at + 5));
        world.add_burst(at + 10, 130);
    });
    site.sim.gws(|gws| gws.cap = 100);
    let failed = document(&site, &[], 3);
    site.rcbs(&["accept", "FAILS", "--why", "x"]).exits(0);
    let accepted = document(&site, &[], 3);
    let mut found = shape(&failed);
    found.extend(shape(&accepted));

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs/audit.md")).unwrap();
    let example = text.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let documented = shape(&serde_json::from_str(example).unwrap());
    assert_eq!(found, documented);
    for state in STATES.iter().chain(&["rejected", "unlisted"]) {
        assert!(text.contains(state), "{state}");
    }
}

/// The paths of all values with their kinds, where days and instances have one name.
pub(crate) fn shape(document: &Value) -> BTreeSet<String> {
    fn walk(path: &str, value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(name, value)| {
                let is_name = name.starts_with(char::is_alphabetic);
                walk(&format!("{path}.{}", if is_name { name } else { "#" }), value, found);
            }),
            Value::Array(elements) => elements.iter().for_each(|one| {
                // Findings of another state have other members.
                let state = one["state"].as_str().unwrap_or("*");
                let is_other = ["rejected", "unlisted"].contains(&state);
                walk(&format!("{path}[{}]", if is_other { state } else { "*" }), one, found);
            }),
            Value::Null => drop(found.insert(format!("{path}: text"))),
            Value::Bool(_) => drop(found.insert(format!("{path}: truth"))),
            Value::Number(_) => drop(found.insert(format!("{path}: number"))),
            Value::String(_) => drop(found.insert(format!("{path}: text"))),
        }
    }
    let mut found = BTreeSet::new();
    walk("", document, &mut found);
    found
}

/// The schema as SQLite has it: tables with their columns.
fn schema() -> Vec<(String, BTreeSet<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let connection = Connection::open_in_memory().unwrap();
    let script = std::fs::read_to_string(root.join("src/ledger/schema.sql")).unwrap();
    connection.execute_batch(&script).unwrap();
    let names = |query: &str| -> Vec<String> {
        let mut statement = connection.prepare(query).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let tables = names("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name");
    let columns = |table: &str| names(&format!("SELECT name FROM pragma_table_info('{table}')"));
    tables.iter().map(|table| (table.clone(), columns(table).into_iter().collect())).collect()
}

#[test]
fn the_document_of_the_ledger_names_every_table_and_column_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs/ledger.md")).unwrap();
    let (_, tables) = text.split_once("\n## Tables\n").unwrap();
    let tables = tables.split("\n## ").next().unwrap();
    let mut documented: Vec<_> = tables
        .split("\n### ")
        .skip(1)
        .map(|section| {
            let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
            let columns: Vec<_> =
                rows.map(|row| row.split('`').next().unwrap().to_owned()).collect();
            let set: BTreeSet<_> = columns.iter().cloned().collect();
            assert_eq!(set.len(), columns.len(), "a column stands twice: {columns:?}");
            (section.lines().next().unwrap().to_owned(), set)
        })
        .collect();
    documented.sort();
    assert_eq!(documented, schema());
}

#[test]
fn the_example_queries_run_over_a_real_ledger() {
    let (site, media) = with_a_failure();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs/ledger.md")).unwrap();
    let queries: Vec<_> = text
        .split("```sql\n")
        .skip(1)
        .map(|part| part.split("```").next().unwrap().to_owned())
        .collect();
    assert!(queries.len() >= 5);
    let connection = Connection::open(site.target().join(".rcbs/ledger.sqlite")).unwrap();
    let some: String = connection
        .query_row("SELECT id FROM recordings JOIN media ON recording = key", [], |row| row.get(0))
        .unwrap();
    for query in queries {
        let query = query.replace("01F62DGIBGD8369P7GC362LAES00000G", &some);
        let mut statement = connection.prepare(&query).unwrap_or_else(|e| panic!("{query}: {e}"));
        let count = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        let mut answers = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            answers.push((0..count).map(|at| format!("{:?}", row.get_ref(at).unwrap())).collect());
        }
        let answers: Vec<Vec<String>> = answers;
        assert!(!answers.is_empty(), "{query}");
        let is_of_failures = query.contains("FROM failures");
        assert_eq!(
            is_of_failures,
            format!("{answers:?}").contains(&hex_or_text(&media)),
            "{query}"
        );
    }
    // It is what any tool takes it for.
    let pragma = |name: &str| -> i64 {
        connection.pragma_query_value(None, name, |row| row.get(0)).unwrap()
    };
    assert!(text.contains(&format!("{:#x} (\"rcbs\")", pragma("application_id"))));
    assert!(text.contains(&format!("now {}.", pragma("user_version"))));
}

/// A text as the debug form of a value of SQLite has it, which is that of its bytes.
fn hex_or_text(text: &str) -> String {
    let bytes = format!("{:?}", text.as_bytes());
    bytes.trim_matches(['[', ']']).to_owned()
}
