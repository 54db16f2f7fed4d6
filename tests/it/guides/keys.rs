//! docs/keys.md.

use std::fs;

use rcbs_sim::envelope::write_keys;

use super::desk::{CALL, Desk, Section, follow, nothing};

#[test]
fn whoever_follows_the_page_of_keys_can_open_what_is_held() {
    let mut desk = Desk::new("/srv/rcbs");
    desk.site.rcbs(&["--from", "2018-02-12", "--to", "2018-02-14"]).exits(0);
    desk.site.rcbs(&[]).exits(0);
    // The pair that all was sealed for, with a name of our own.
    write_keys(&desk.folder("all")).unwrap();
    for folder in ["keys", "/secure/keys"] {
        for ending in ["key", "pem"] {
            let to = desk.folder(folder).join(format!("tenant-2024.{ending}"));
            fs::copy(desk.path(&format!("all/tenant-0.{ending}")), to).unwrap();
        }
    }
    desk.write("/secure/passphrase", "two words\n");
    follow(
        "docs/keys.md",
        &mut desk,
        &[
            Section {
                heading: "A new pair",
                before: nothing,
                after: |desk, _| {
                    for name in ["key", "pem", "private.pem"] {
                        assert!(desk.path(&format!("keys/tenant-2027.{name}")).exists(), "{name}");
                    }
                    // What openssl makes is the same kind of pair.
                    for name in ["tenant.key", "tenant.pem", "private.pem"] {
                        let [ours, theirs] = [
                            format!(
                                "keys/{}",
                                name.replace("private", "tenant.private")
                                    .replace("tenant", "tenant-2027")
                            ),
                            name.to_owned(),
                        ]
                        .map(|name| fs::read_to_string(desk.path(&name)).unwrap());
                        let first = |text: &str| text.lines().next().unwrap().replace("RSA ", "");
                        assert_eq!(first(&ours), first(&theirs), "{name}");
                    }
                },
            },
            Section {
                heading: "Copies with a passphrase",
                before: |desk| drop(desk.folder("/mnt/copy")),
                after: |desk, _| {
                    let copy = fs::read_to_string(desk.path("/mnt/copy/tenant-2027.key")).unwrap();
                    assert!(copy.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{copy}");
                },
            },
            Section {
                heading: "The next pair",
                before: nothing,
                after: |_, said| {
                    assert!(said.contains("CN=Recordings 2027,C=US,O=Example"), "{said}");
                    assert!(said.contains("keys/tenant-2024.key"), "{said}");
                },
            },
            Section {
                heading: "Can everything be opened?",
                // The copy of the older key, made as the page says.
                before: |desk| {
                    let page = crate::pages::text("docs/keys.md");
                    let line = page.lines().find(|line| line.contains("/mnt/copy/tenant-2027.key"));
                    desk.sh(&line.unwrap().replace("2027", "2024")).exits(0);
                },
                after: |_, said| {
                    assert_eq!(said.matches("without: 0, unreadable: 0").count(), 2, "{said}");
                },
            },
            Section {
                heading: "Listening",
                before: nothing,
                after: |desk, said| {
                    let opened: Vec<_> =
                        said.lines().filter(|line| line.starts_with("Opened: ")).collect();
                    assert_eq!(opened.len(), 4, "{said}");
                    assert!(opened[0].starts_with("Opened: 1 files"), "{said}");
                    assert!(opened[2].starts_with("Opened: 0 files"), "{said}");
                    assert!(!desk.path("opened").exists());
                },
            },
            Section {
                heading: "One file, with openssl alone",
                before: nothing,
                after: |desk, said| {
                    let world = desk.site.sim.world();
                    let media = &world.find(CALL).unwrap().media[0];
                    let call = fs::read(desk.path("/secure/call.mp3")).unwrap();
                    assert_eq!(call, world.plaintext(&media.bucket, &media.key));
                    // What is asked for, and what is there.
                    assert_eq!(said.matches("Basic Fictional Authority").count(), 2, "{said}");
                },
            },
        ],
    );
}
