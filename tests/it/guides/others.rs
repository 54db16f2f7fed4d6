//! docs/audit.md, docs/planning.md and docs/window.md.

use rcbs_sim::{Form, Media, Recording};

use super::desk::{CALL, Desk, Section, codes, follow, nothing};
use crate::harness::{BUCKET, HOUR_MS, now_ms};

#[test]
fn whoever_follows_the_page_of_audits_knows_what_is_held() {
    let mut desk = Desk::new("/srv/rcbs");
    desk.site.sim.edit(|world| world.remove(CALL));
    desk.site.rcbs(&[]).exits(0);
    follow(
        "docs/audit.md",
        &mut desk,
        &[
            Section {
                heading: "Is everything there?",
                before: nothing,
                after: |_, said| {
                    assert!(said.contains("Complete: 12 held"), "{said}");
                    assert_eq!(said.matches("damaged: 0, missing: 0").count(), 2, "{said}");
                },
            },
            Section {
                heading: "The audit",
                before: |desk| {
                    for id in ["0", "1"] {
                        desk.sh(&format!(
                            "rcbs --set totalRcbsInstances=2 --set rcbsInstanceId={id} \
                             --set targetDir=/srv/rec{id}"
                        ))
                        .exits(0);
                    }
                },
                after: |_, said| {
                    assert_eq!(said.matches("Complete: 12 held").count(), 2, "{said}");
                    assert!(said.replace(' ', "").contains("\"isComplete\":true"), "{said}");
                },
            },
            Section {
                heading: "Accepting a loss",
                before: |desk| {
                    let mut media = Media::voice(CALL, BUCKET, 300);
                    media.form = Form::Absent;
                    let recording = Recording::new(CALL, now_ms() - HOUR_MS).with(media);
                    desk.site.sim.edit(|world| world.add(recording));
                    desk.site.rcbs(&[]).exits(3);
                },
                after: |desk, _| {
                    desk.site.rcbs(&[]).exits(0);
                },
            },
        ],
    );
}

#[test]
fn whoever_follows_the_page_of_planning_gets_figures() {
    let mut desk = Desk::new("/srv/rcbs");
    follow(
        "docs/planning.md",
        &mut desk,
        &[
            Section { heading: "Planning", before: nothing, after: codes },
            Section { heading: "Figures", before: nothing, after: codes },
        ],
    );
}

#[test]
fn whoever_follows_the_page_of_the_window_saves_two_days_and_not_the_third() {
    let mut desk = Desk::new("/srv/rcbs");
    let day = |text: &str| {
        let at = format!("{text}T12:00:00Z");
        chrono::DateTime::parse_from_rfc3339(&at).unwrap().timestamp_millis()
    };
    for (id, at) in
        [("A", "2018-01-01"), ("B", "2018-01-02"), ("C", "2018-01-03"), ("D", "2018-01-04")]
    {
        desk.site.add(id, day(at));
    }
    follow(
        "docs/window.md",
        &mut desk,
        &[Section {
            heading: "The window and the watermark",
            before: nothing,
            after: |desk, _| {
                desk.site.assert_holds(|recording| ["B", "C"].contains(&recording.id.as_str()));
                assert_eq!(desk.site.watermark(), None);
            },
        }],
    );
}
