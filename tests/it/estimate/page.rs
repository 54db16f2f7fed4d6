//! What docs/planning.md says, held against the program.

use std::path::Path;

use rcbs_sim::Recording;
use serde_json::Value;

use super::plan::plan;
use crate::documents::shape;
use crate::harness::{DAY_MS, Site, now_ms};

fn page() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(root.join("docs/planning.md")).unwrap()
}

/// The commands of the page whose output follows.
const TABLE: &str = "rcbs estimate --recordings-per-day \
                     1000,10000,100000,1000000,10000000 --minutes 4 --screen 10";

#[test]
fn the_figures_of_the_page_are_those_of_the_command() {
    let page = page();
    let (_, behind) =
        page.split_once(&format!("\n{TABLE}\n```\n\n")).expect("the command is there");
    let args: Vec<_> = TABLE.split_whitespace().skip(2).collect();
    let run = plan(&args);
    run.exits(0);
    assert_eq!(run.stdout.lines().count(), 4 + 5, "{run}");
    assert!(behind.starts_with(&run.stdout), "the page should have\n{}", run.stdout);
}

/// The examples of the documents, in their order.
fn example(at: usize) -> Value {
    let page = page();
    let text = page.split("```json\n").nth(at).unwrap().split("```").next().unwrap();
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_document_of_a_plan_is_as_documented_to_the_last_digit() {
    let run = plan(&["--recordings-per-day", "1000", "--minutes", "4", "--json"]);
    let found: Value = serde_json::from_str(&run.exits(0).stdout).unwrap();
    assert_eq!(found, example(1));
}

#[test]
fn the_document_of_a_listing_is_as_documented() {
    // All that can be told at once.
    let site = Site::of(8);
    let at = now_ms() - DAY_MS;
    let broken = r#"{"startTime":"2026-01-01T00:00:00.000+0000","mediaFiles":[]}"#;
    site.sim.edit(|world| {
        world.add(Recording::new("BROKEN", at).with_json(broken));
        world.add_burst(at + 10, 130);
    });
    site.sim.gws(|gws| gws.cap = 100);
    let found = super::document(&site, &["--set", "mediaTypePattern=audio/mp3"], 3);
    assert_eq!(shape(&found), shape(&example(2)));
    for name in shape(&found) {
        let name = name.rsplit_once(": ").unwrap().0.rsplit('.').next().unwrap().to_owned();
        let name = name.trim_end_matches("[*]");
        assert!(name == "#" || page().contains(&format!("\"{name}\"")), "{name}");
    }
}

#[test]
fn the_page_does_the_documented_formulas_justice() {
    // Its own words, in figures: 1,000 calls of 240 s at 32 kbit/s, in MB of 1,024 kB.
    let voice = 32.0 / 8.0 / 1024.0;
    let wrong: f64 = 1_000.0 * (240.0 * (voice + 1.0));
    let first: f64 = 1_000.0 * (240.0 * voice + 1.0);
    assert_eq!((wrong.ceil(), first.ceil()), (240_938.0, 1_938.0));
    for words in ["240,938 MB", "1,938 MB", "31.8 kbit/s", "96.8 kbit/s"] {
        assert!(page().contains(words), "{words}");
    }
    assert_eq!(((146_304.0 * 8.0 / 36.8_f64) / 100.0).round(), 318.0);
    assert_eq!(((556_410.0 * 8.0 / 46.0_f64) / 100.0).round(), 968.0);
}
