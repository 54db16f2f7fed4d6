//! What an audit says of a recording, for whatever is listed and held.

use chrono::{DateTime, TimeDelta, Utc};
use regex::Regex;
use serde_json::value::RawValue;

use super::*;
use crate::ledger::{Accepted, Entry, FailureEntry, MediaEntry, MetadataEntry, SourceHash};
use crate::recording::Recording;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_518_462_191, 0).expect("in range") + TimeDelta::seconds(seconds)
}

fn listed(wanted: &[&str], unwanted: &[&str]) -> Listed {
    let ids = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect();
    Listed {
        id: "R".into(),
        started_at: at(0),
        wanted: ids(wanted),
        unwanted: ids(unwanted),
        awaits_more: false,
    }
}

fn awaiting(wanted: &[&str]) -> Listed {
    Listed { awaits_more: true, ..listed(wanted, &[]) }
}

fn media(n: usize, id: &str) -> MediaEntry {
    MediaEntry {
        name: format!("{n}.bin"),
        media_id: id.to_owned(),
        source: SourceHash([0; 16]),
        size: None,
        bytes: 1,
        sha256: None,
        etag: None,
        checked: String::new(),
        form: None,
        key_serial: None,
        saved_at: at(9),
    }
}

/// A recording as it is held, with metadata.
fn entry(ids: &[&str]) -> Entry {
    Entry {
        id: "R".to_owned(),
        started_at: at(0),
        folder: "2018/R".to_owned(),
        record_hash: None,
        metadata: Some(MetadataEntry { bytes: 2, sha256: None }),
        awaits: None,
        media: ids.iter().enumerate().map(|(n, id)| media(n, id)).collect(),
    }
}

fn bare(ids: &[&str]) -> Entry {
    Entry { metadata: None, ..entry(ids) }
}

fn failure(media_id: &str) -> FailureEntry {
    FailureEntry {
        id: "R".to_owned(),
        started_at: at(0),
        media_id: media_id.to_owned(),
        cause: format!("no {media_id}"),
        attempts: 2,
        first_failed_at: at(5),
        last_failed_at: at(6),
        accepted: None,
    }
}

fn accepted(media_id: &str) -> FailureEntry {
    let accepted = Accepted { at: at(7), why: "deleted".to_owned() };
    FailureEntry { accepted: Some(accepted), ..failure(media_id) }
}

fn known(entries: &[Entry], failures: &[FailureEntry]) -> Known {
    Known { entries: entries.to_vec(), failures: failures.to_vec() }
}

/// The state, and each loss as `media: state`.
fn shown(verdict: &Verdict) -> (State, Vec<String>) {
    let loss =
        |loss: &Loss| format!("{}: {}", loss.media.as_deref().unwrap_or("-"), loss.state.name());
    (verdict.state, verdict.losses.iter().map(loss).collect())
}

#[test]
fn every_listed_recording_is_exactly_one_thing() {
    use State::*;
    for (listed, known, state, losses) in [
        // Held: each wanted file, and the metadata, in whatever ledger.
        (listed(&["a", "b"], &["t"]), known(&[entry(&["a", "b"])], &[]), Held, &[][..]),
        (listed(&["a", "b"], &[]), known(&[entry(&["a"]), bare(&["b"])], &[]), Held, &[]),
        (listed(&[], &["t"]), known(&[entry(&[])], &[]), Held, &[]),
        (listed(&["a"], &[]), known(&[entry(&["a", "old"])], &[]), Held, &[]),
        // What is not wanted is no loss, though it once failed; nor is what was cured.
        (listed(&["a"], &["t"]), known(&[entry(&["a"])], &[failure("t")]), Held, &[]),
        (listed(&["a"], &[]), known(&[entry(&["a"])], &[failure("a")]), Held, &[]),
        (listed(&["a"], &[]), known(&[entry(&["a"])], &[failure("")]), Held, &[]),
        // Waiting, if all that has come is held.
        (awaiting(&["a"]), known(&[entry(&["a"])], &[]), Waiting, &[]),
        (awaiting(&["a", "b"]), known(&[entry(&["a"])], &[]), Missing, &["b: missing"]),
        (awaiting(&["a"]), known(&[entry(&["a"])], &[accepted("b")]), Accepted, &["b: accepted"]),
        // In no ledger, or never tried.
        (listed(&["a", "b"], &[]), known(&[], &[]), Missing, &["-: missing"]),
        (listed(&[], &[]), known(&[], &[]), Missing, &["-: missing"]),
        (listed(&["a", "b"], &[]), known(&[entry(&["a"])], &[]), Missing, &["b: missing"]),
        (listed(&["a"], &[]), known(&[bare(&["a"])], &[]), Missing, &["-: missing"]),
        // The same id twice is two files, and two targets with one each are not two.
        (listed(&["a", "a"], &[]), known(&[entry(&["a", "a"])], &[]), Held, &[]),
        (
            listed(&["a", "a"], &[]),
            known(&[entry(&["a"]), entry(&["a"])], &[]),
            Missing,
            &["a: missing"],
        ),
        // Failed, whatever else is known of it.
        (listed(&["a"], &[]), known(&[entry(&[])], &[failure("a")]), Failed, &["a: failed"]),
        (
            listed(&["a", "b", "c"], &[]),
            known(&[entry(&[])], &[failure("a"), accepted("b")]),
            Failed,
            &["a: failed", "b: accepted", "c: missing"],
        ),
        (listed(&["a"], &[]), known(&[], &[failure("")]), Failed, &["-: failed", "a: failed"]),
        // Accepted, by one target at least, if nothing else is lacking.
        (listed(&["a"], &[]), known(&[entry(&[])], &[accepted("a")]), Accepted, &["a: accepted"]),
        (
            listed(&["a"], &[]),
            known(&[entry(&[])], &[failure("a"), accepted("a"), failure("a")]),
            Accepted,
            &["a: accepted"],
        ),
        (
            listed(&["a", "b"], &[]),
            known(&[entry(&[])], &[accepted("a")]),
            Missing,
            &["a: accepted", "b: missing"],
        ),
        // A media file that failed and is not listed any more.
        (listed(&["a"], &[]), known(&[entry(&["a"])], &[failure("b")]), Gone, &["b: gone"]),
    ] {
        let verdict = of_listed(&listed, &known, at(-60));
        let (found, lost) = shown(&verdict);
        assert_eq!(
            (found, lost),
            (state, losses.iter().map(|l| (*l).into()).collect()),
            "{known:?}"
        );
    }
}

#[test]
fn nothing_is_waited_for_longer_than_the_rescan() {
    let held = known(&[entry(&["a"])], &[]);
    for (since, state) in [(-1, State::Waiting), (0, State::Waiting), (1, State::Held)] {
        assert_eq!(of_listed(&awaiting(&["a"]), &held, at(since)).state, state, "{since}");
    }
}

#[test]
fn what_is_not_listed_any_more_is_hidden_gone_or_accepted() {
    use State::*;
    for (known, state, losses) in [
        (known(&[entry(&["a"])], &[]), Hidden, &[][..]),
        (known(&[entry(&[])], &[]), Hidden, &[]),
        (known(&[bare(&["a"])], &[]), Hidden, &[]),
        (known(&[entry(&["a"])], &[failure("a"), failure("")]), Hidden, &[]),
        (known(&[bare(&[])], &[]), Gone, &["-: gone"]),
        (known(&[], &[failure("a")]), Gone, &["a: gone"]),
        (known(&[], &[failure("")]), Gone, &["-: gone"]),
        (known(&[entry(&["a"])], &[failure("b")]), Gone, &["b: gone"]),
        (known(&[entry(&["a"])], &[accepted("b")]), Accepted, &["b: accepted"]),
        (known(&[], &[accepted("a"), failure("b")]), Gone, &["a: accepted", "b: gone"]),
    ] {
        let (found, lost) = shown(&of_unlisted(&known, true));
        assert_eq!(
            (found, lost),
            (state, losses.iter().map(|l| (*l).into()).collect()),
            "{known:?}"
        );
    }
    // Where nobody could ask, nobody can say that it is gone.
    assert_eq!(of_unlisted(&known(&[], &[failure("a")]), false).state, Failed);
    assert_eq!(of_unlisted(&known(&[entry(&["a"])], &[]), false).state, Hidden);
}

#[test]
fn a_loss_is_told_with_what_the_ledger_knows() {
    let verdict = of_listed(&listed(&["a"], &[]), &known(&[entry(&[])], &[accepted("a")]), at(0));
    let text = serde_json::to_string(&verdict.losses).unwrap();
    assert_eq!(
        text,
        r#"[{"media":"a","state":"accepted","cause":"no a","attempts":2,"why":"deleted","acceptedAt":"2018-02-12T19:03:18.000Z"}]"#
    );
    // Of two ledgers, what failed last.
    let later = FailureEntry { cause: "later".into(), last_failed_at: at(8), ..failure("a") };
    for failures in [[failure("a"), later.clone()], [later, failure("a")]] {
        let verdict = of_listed(&listed(&["a"], &[]), &known(&[entry(&[])], &failures), at(0));
        assert_eq!(verdict.losses[0].cause, "later");
    }
}

#[test]
fn media_that_a_backup_leaves_out_are_not_wanted() {
    let json = r#"{"id":"R","startTime":"2018-02-12T19:03:11Z","stopTime":"x","mediaFiles":[
        {"mediaId":"a","type":"audio/mp3"},{"mediaId":"t","type":"text/plain"},{"mediaId":"u"}]}"#;
    let recording =
        || Recording::parse(RawValue::from_string(json.to_owned()).unwrap()).expect("it is one");
    let media_type_pattern = Regex::new("(?i)^(?:audio/mp3)$").unwrap();
    let mut wanted = Wanted { media_type_pattern, metadata_only: false };
    assert_eq!(Listed::of(recording(), &wanted), listed(&["a", "u"], &["t"]));
    wanted.metadata_only = true;
    assert_eq!(Listed::of(recording(), &wanted), listed(&[], &["a", "t", "u"]));
    let open = json.replace(r#""stopTime":"x","#, "");
    let open = Recording::parse(RawValue::from_string(open).unwrap()).expect("it is one");
    assert!(Listed::of(open, &wanted).awaits_more);
}
