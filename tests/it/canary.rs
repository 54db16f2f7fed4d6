//! Canaries: texts that must be seen nowhere, searched for in all that the program printed and wrote.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::harness::{Run, Site, files_below};

/// Every way in which a heart can be written down: as it is, and in any base64 or hexadecimal of a
/// text that has it in it.
fn spellings(heart: &str) -> Vec<String> {
    let mut spellings = vec![heart.to_owned(), heart.to_lowercase()];
    for before in 0..3 {
        let shifted = [&b"???"[..before], heart.as_bytes()].concat();
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let encoded = engine.encode(&shifted);
            // The first and the last letters depend on what stands beside.
            let letters = (before * 8).div_ceil(6)..shifted.len() * 8 / 6;
            spellings.push(encoded[letters].to_owned());
        }
    }
    let hex: String = heart.bytes().map(|byte| format!("{byte:02x}")).collect();
    spellings.extend([hex.to_uppercase(), hex]);
    spellings
}

/// All that the program printed, and the files below a folder that are not left out, by name.
pub(crate) fn traces(
    run: &Run,
    folder: &Path,
    left_out: impl Fn(&str) -> bool,
) -> Vec<(String, Vec<u8>)> {
    let files = files_below(folder).into_iter().filter(|(path, _)| !left_out(path));
    let printed = [("stdout", &run.stdout), ("stderr", &run.stderr)];
    let printed = printed.map(|(name, text)| (name.to_owned(), text.clone().into_bytes()));
    files.chain(printed).collect()
}

#[track_caller]
pub(crate) fn assert_none(hearts: &[&str], run: &Run, traces: &[(String, Vec<u8>)]) {
    let traces: Vec<_> =
        traces.iter().map(|(place, bytes)| (place, String::from_utf8_lossy(bytes))).collect();
    for spelling in hearts.iter().flat_map(|heart| spellings(heart)) {
        for (place, text) in &traces {
            let is_seen = text.contains(&spelling) || place.contains(&spelling);
            assert!(!is_seen, "{spelling} in {place}\n{run}");
        }
    }
}

const HEART: &str = "Kx7Canary0";

#[test]
fn every_spelling_of_a_canary_is_found_where_it_stands() {
    let run = Site::of(0).rcbs(&["--help"]);
    for around in ["", "a", "ab", "abc", "ü?"] {
        let text = format!("{around}{HEART}{around}");
        for written in [
            text.clone(),
            STANDARD_NO_PAD.encode(&text),
            URL_SAFE_NO_PAD.encode(&text),
            text.bytes().map(|byte| format!("{byte:02X}")).collect(),
        ] {
            let traces = [("stderr".to_owned(), format!("so: {written}.").into_bytes())];
            let found = std::panic::catch_unwind(|| assert_none(&[HEART], &run, &traces));
            assert!(found.is_err(), "{written}");
        }
    }
}
