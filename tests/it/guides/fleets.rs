//! docs/fleet.md and docs/proxies.md.

use rcbs_sim::Proxy;

use super::desk::{Desk, Section, follow, nothing};

#[test]
fn whoever_follows_the_page_of_fleets_holds_everything_once() {
    let mut desk = Desk::new("/srv/rcbs");
    desk.site.sim.edit(|world| {
        world.remove(super::desk::CALL);
        world.remove("021L6BI58K8FH7R5USI402LAES00000A")
    });
    follow(
        "docs/fleet.md",
        &mut desk,
        &[
            Section {
                heading: "A target for each, or one for all",
                before: nothing,
                after: |desk, said| {
                    desk.holds_all();
                    assert_eq!(said.matches("Complete: 12 held").count(), 2, "{said}");
                    desk.site.sim.clear_requests();
                },
            },
            Section {
                heading: "One window for all",
                before: nothing,
                after: |desk, _| {
                    assert!(desk.site.sim.media_opened().is_empty());
                    for name in ["window.json", "window-71.json"] {
                        let text = std::fs::read_to_string(desk.path(name)).unwrap();
                        assert!(text.contains("\"instances\": 2"), "{text}");
                    }
                },
            },
            Section {
                heading: "Is it complete?",
                before: nothing,
                after: |_, said| assert!(said.contains("Complete: 12 held"), "{said}"),
            },
        ],
    );
}

#[test]
fn whoever_follows_the_page_of_proxies_goes_through_them() {
    // Outlive the page.
    let [aws, gws] = [Proxy::start_with_login("backup", "secret"), Proxy::start()];
    let mut desk = Desk::new("/srv/rcbs");
    desk.words = vec![
        ("10.0.1.31", "127.0.0.1".to_owned()),
        ("10.0.1.32", "127.0.0.1".to_owned()),
        ("3128", aws.port().to_string()),
        ("8888", gws.port().to_string()),
    ];
    desk.write("/etc/rcbs/proxy-password", "secret\n");
    follow(
        "docs/proxies.md",
        &mut desk,
        &[
            Section {
                heading: "Logins",
                before: |desk| {
                    // Only where a password stands in a file is it none of the environment's.
                    let page = crate::pages::blocks(&crate::pages::text("docs/proxies.md"));
                    let lines = page.iter().find(|block| block.kind == "properties").unwrap();
                    desk.site.properties += &desk.placed(&lines.text);
                },
                after: |desk, _| {
                    let week = crate::harness::now_ms() - 7 * 24 * crate::harness::HOUR_MS;
                    desk.site.assert_holds(|recording| recording.start_ms > week);
                },
            },
            Section {
                heading: "What `--verify s3` says",
                before: |desk| {
                    let password = Some("secret".to_owned());
                    drop(desk.site.environment.insert("AWS_PROXY_PASSWORD", password));
                },
                after: |_, said| {
                    assert!(said.contains("Way to S3: proxy 127.0.0.1:"), "{said}");
                    assert!(said.contains("Way to GWS: proxy 127.0.0.1:"), "{said}");
                },
            },
        ],
    );
    assert!(!aws.asked().is_empty() && !gws.asked().is_empty(), "both were gone through");
}
