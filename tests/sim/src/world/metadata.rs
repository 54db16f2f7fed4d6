//! The JSON of a recording, in the shape of the documented sample.
//!
//! Given a recording, gives its text. All numbers and names are invented; the telephone numbers are from the range that
//! is reserved for fiction. **Invariant**: pure; the same recording always gives the same text.

use std::fmt::Write as _;

use chrono::DateTime;

use super::calls::{Dice, mix};
use super::{Media, Recording};
use crate::envelope;

/// Attached data as such systems collect it: names and what their values look like.
const ATTACHED: &[(&str, &str)] = &[
    ("RStrategyName", "main-entry:105"),
    ("RTargetAgentGroup", "?:login(voice) & (GSYS_skill_1>3)"),
    ("GSYS_IVR", "enter{#}"),
    ("IApplication", "322045d0-d10c-11ea-ad8d-#"),
    ("IApplicationVersion", "0.1"),
    ("IW_BundleUid", "d52253c6-3c00-45d8-719c-#"),
    ("IW_CaseUid", "d69691a5-745d-47b0-#"),
    (
        "GVP-Session-Data",
        "callsession=#;2;1;sip:node-002.example.com:5060;;;Environment/Tenant_2027;IVRAppDefault;;0;record",
    ),
    ("GVP-Session-ID", "#;gvp.rm.datanodes=2|1;gvp.rm.tenant-id=1.432_IVRAppDefault"),
    ("RTargetObjectSelected", "?:login(voice) & (GSYS_skill_1>3)"),
    ("RTargetPlSelDBID", "7205"),
    ("RVQID", "01GS2U2DAG8FHAB0#"),
    ("orsessionid", "01NSUD25908FHE4HK4I402LAES#"),
    ("orsurl", "http://node-001.example.com:9098"),
    ("CustomerSegment", "default"),
    ("CBR-Interaction_cost", ""),
    ("ServiceObjective", ""),
    ("IWAttachedDataInformation/DispositionCode.Label", "Disposition Code"),
    ("IWAttachedDataInformation/Option.interaction.case-data.frame-co", "#17849D"),
    ("GSRState", "SRSScreenRecordingStateStarted"),
    ("GSIP_RECORD", "ON"),
    ("Anrede", "Grüße, \\\"Zoë\\\" \\u00fc \\ud83d\\ude00"),
];

/// Gives the JSON of a recording; `with_late` says whether media that come late are in it by now.
pub fn render(recording: &Recording, with_late: bool) -> String {
    if let Some(json) = &recording.json {
        return json.clone();
    }
    let people = People::of(recording);
    let files = |with_late: bool| {
        let listed = recording.media.iter().filter(|media| with_late || !media.late);
        listed.map(|media| media_json(recording, media, &people)).collect::<Vec<_>>().join(",")
    };
    let id = text(&recording.id);
    let mut out = format!(
        r#"{{"id":{id},"callerPhoneNumber":"{}","dialedPhoneNumber":"{}","startTime":"{}","stopTime":"{}","eventHistory":["#,
        people.caller,
        people.dialed,
        api_time(recording.start_ms),
        api_time(recording.stop_ms),
    );
    let (all, files) = (files(true), files(with_late));
    let tail = format!(
        r#"],"mediaFiles":[{files}],"callType":"{}","region":"{}"}}"#,
        if people.agent_number.is_multiple_of(2) { "Inbound" } else { "Internal" },
        recording.region,
    );
    for (at_ms, event) in [(recording.start_ms, "Joined"), (recording.stop_ms, "Left")] {
        let _ = write!(
            out,
            r#"{{"occurredAt":"{}","event":"{event}","calluuid":{id},"contact":{}}},"#,
            api_time(at_ms),
            people.contact
        );
    }
    // As if all media were listed, so that late ones take no events away when they come.
    let tail_bytes = tail.len() + all.len() - files.len();
    add_events(&mut out, recording, &id, recording.metadata_bytes.saturating_sub(tail_bytes));
    out.push_str(&tail);
    out
}

/// Lays JSON out over lines without touching a single value.
pub fn pretty(json: &str) -> String {
    laid_out(json, " : ")
}

/// Lays JSON out over lines, with `colon` between names and values.
pub(super) fn laid_out(json: &str, colon: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    let mut chars = json.chars().peekable();
    while let Some(c) = chars.next() {
        if in_text {
            out.push(c);
            (in_text, escaped) = (escaped || c != '"', !escaped && c == '\\');
            continue;
        }
        match c {
            '"' => {
                in_text = true;
                out.push(c);
            }
            '{' | '[' => {
                out.push(c);
                match chars.next_if(|next| matches!(next, '}' | ']')) {
                    Some(close) => out.push(close),
                    None => {
                        depth += 1;
                        line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(colon),
            _ => out.push(c),
        }
    }
    out
}

/// Gives a time as the API writes it, `2021-07-21T16:49:00.000+0000`.
pub fn api_time(at_ms: i64) -> String {
    time(at_ms, "%Y-%m-%dT%H:%M:%S%.3f+0000")
}

/// Gives a time as media names carry it, `2018-02-12_19-03-11`.
pub(super) fn file_time(at_ms: i64) -> String {
    time(at_ms, "%Y-%m-%d_%H-%M-%S")
}

/// Gives the part of a key that follows from the time, `2018/02/12`.
pub(super) fn folder_of(at_ms: i64) -> String {
    time(at_ms, "%Y/%m/%d")
}

/// Gives the folder of an hour, `2018/02/12/19`.
pub(super) fn hour_folder_of(at_ms: i64) -> String {
    time(at_ms, "%Y/%m/%d/%H")
}

fn time(at_ms: i64, format: &str) -> String {
    DateTime::from_timestamp_millis(at_ms).unwrap_or_default().format(format).to_string()
}

/// Gives a JSON string with its quotation marks.
fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

struct People {
    caller: String,
    dialed: String,
    agent_number: u64,
    contact: String,
}

impl People {
    fn of(recording: &Recording) -> Self {
        let mut dice = Dice::new(recording.seed);
        let agent_number = 103_001 + dice.below(180);
        Self {
            caller: format!("+1202555{:04}", 100 + dice.below(100)),
            dialed: format!("+1303555{:04}", 100 + dice.below(100)),
            agent_number,
            contact: format!(
                r#"{{"type":"User","phoneNumber":"+1404555{:04}","userName":"agent_{agent_number}","firstName":"Hotseating","lastName":"Last{agent_number}"}}"#,
                100 + dice.below(100)
            ),
        }
    }
}

/// Adds data events until `out` has `until` bytes, at least one, and no comma behind the last.
fn add_events(out: &mut String, recording: &Recording, id: &str, until: usize) {
    let mut dice = Dice::new(mix(recording.seed, 2));
    let mut at_ms = recording.start_ms;
    let has_screen = recording.media.iter().any(Media::is_screen);
    loop {
        at_ms += 1 + dice.below(900) as i64;
        let at = api_time(at_ms);
        let change = ["added", "updated", "deleted"][dice.below(3) as usize];
        let _ = write!(
            out,
            r#"{{"occurredAt":"{at}","eventId":"{}Z_{}","event":"Data","calluuid":{id},"data":{{"{change}":{{"#,
            &at[..23],
            id.trim_matches('"'),
        );
        let first = dice.below(ATTACHED.len() as u64) as usize;
        for n in 0..1 + dice.below(8) as usize {
            let (name, mut value) = ATTACHED[(first + n) % ATTACHED.len()];
            if name == "GSRState" && !has_screen {
                value = "SRSScreenRecordingStateNone";
            }
            let comma = if n == 0 { "" } else { "," };
            let value = value.replacen('#', &format!("{:012X}", dice.throw() >> 16), 1);
            let _ = write!(out, r#"{comma}"{name}":"{value}""#);
        }
        out.push_str("}}}");
        if out.len() >= until {
            return;
        }
        out.push(',');
    }
}

fn media_json(recording: &Recording, media: &Media, people: &People) -> String {
    let lasted_ms = media.stop_ms - media.start_ms;
    let mut out = format!(
        r#"{{"startTime":"{}","stopTime":"{}","callUUID":{},"mediaId":{},"#,
        api_time(media.start_ms),
        api_time(media.stop_ms),
        text(&recording.id),
        text(&media.media_id),
    );
    if let Some(mime) = &media.mime {
        let _ = write!(out, r#""type":{},"#, text(mime));
    }
    let duration = if media.is_screen() {
        let seconds = lasted_ms / 1000;
        format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    } else {
        lasted_ms.to_string()
    };
    let size = if media.form == super::Form::Empty { 0 } else { media.plain_bytes };
    let _ = write!(
        out,
        r#""duration":"{duration}","tenant":"Tenant_2027","ivrprofile":"record","size":"{size}",{},"parameters":{},"#,
        pointer(media),
        parameters(recording, media, people),
    );
    let pkcs7 = media.pkcs7_text();
    if media.form != super::Form::Plain || pkcs7.is_some() {
        let alias = text(&envelope::recipients()[media.recipient].alias);
        let _ = write!(out, r#""certAlias":[{alias}],"#);
    }
    if let Some(pkcs7) = pkcs7 {
        let _ = write!(out, r#""pkcs7":{},"#, text(&pkcs7));
    }
    out.push_str(r#""partitions":[],"accessgroups":["/"],"channels":2}"#);
    out
}

fn pointer(media: &Media) -> String {
    match &media.uri {
        Some(uri) => format!(r#""mediaUri":{}"#, text(uri)),
        None => format!(
            r#""mediaDescriptor":{{"storage":"awsS3","path":{},"data":{{"bucket":{}}}}}"#,
            text(&media.key),
            text(&media.bucket),
        ),
    }
}

fn parameters(recording: &Recording, media: &Media, people: &People) -> String {
    let agent = people.agent_number;
    let id = text(&recording.id);
    if media.is_screen() {
        return format!(
            r#"{{"muxed_mediaIds":[],"virtualHeight":"617","contact":{},"virtualWidth":"1920","region":"{}","callUuid":{id},"monitors":[{{"name":"monitor_0","primary":true,"originalPositions":"[0, 0, 2560, 1440]","actualPositions":"[0, 0, 1096, 617]"}}]}}"#,
            people.contact, recording.region
        );
    }
    format!(
        r#"{{"dateTime":"{}Z","agentId":"{agent}","sipsAppName":"SIPS_{}_1_B","connId":"{:016x}","dnis":"{}","ani":"{}","callUuid":{id},"username":"agent_{agent}"}}"#,
        &api_time(media.start_ms)[..19],
        recording.region,
        recording.seed,
        people.dialed,
        people.caller,
    )
}
