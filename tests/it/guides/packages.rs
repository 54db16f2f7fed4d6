//! README.md and docs/install.md.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::desk::{Desk, Section, follow, nothing};
use crate::harness::now_ms;

fn make_executable(path: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn whoever_follows_the_readme_has_a_backup() {
    let mut desk = Desk::new("/srv/rcbs");
    follow(
        "README.md",
        &mut desk,
        &[Section {
            heading: "Start",
            before: |desk| {
                let example = crate::pages::text("config.properties.example");
                desk.write("/home/rcbs/config.properties.example", &example);
                // What one writes into it, and into the variables.
                let sim = &desk.site.sim;
                let lines = format!(
                    "gwsUriPrefix={}\nawsEndpointUrl={}\nawsForcePathStyle=true\nmaxAge=3\n",
                    sim.gws_uri_prefix(),
                    sim.s3_endpoint()
                );
                let editor = desk.path("/usr/local/bin/editor");
                make_executable(&editor, &format!("#!/bin/sh\ncat >>\"$1\" <<'END'\n{lines}END\n"));
                let secrets = sim.environment();
                let names = ["GWS_PASSWORD=…", "AWS_ACCESS_KEY_ID=…", "AWS_SECRET_ACCESS_KEY=…"];
                for word in names {
                    let name = word.trim_end_matches("=…");
                    let (_, value) = secrets.iter().find(|(known, _)| *known == name).unwrap();
                    desk.words.push((word, format!("{name}='{value}'")));
                }
                sim.gws(|gws| gws.user = "user@tenant.example".to_owned());
            },
            after: |desk, said| {
                let week = now_ms() - 7 * 24 * crate::harness::HOUR_MS;
                desk.site.assert_holds(|recording| recording.start_ms > week);
                assert!(said.contains("Successfully Verified Connection to"), "{said}");
                let batches = said.matches("number downloaded files: 0 ").count();
                assert_eq!(batches, 1, "the second run downloads nothing\n{said}");
            },
        }],
    );
}

#[test]
fn whoever_follows_the_page_of_installing_has_the_program_its_page_and_completions() {
    let mut desk = Desk::new("/srv/rcbs");
    follow(
        "docs/install.md",
        &mut desk,
        &[
            Section {
                heading: "Verifying",
                before: make_packages,
                after: |_, said| {
                    assert_eq!(said.matches(": OK").count(), 1, "{said}");
                },
            },
            Section {
                heading: "The archive",
                before: nothing,
                after: |desk, _| {
                    let installed = desk.path("/usr/local/bin/rcbs");
                    let output = Command::new(installed).arg("--version").output().unwrap();
                    let version = format!("rcbs {}\n", env!("CARGO_PKG_VERSION"));
                    assert_eq!(String::from_utf8(output.stdout).unwrap(), version);
                    for file in ["man/man1/rcbs.1", "bash-completion/completions/rcbs"] {
                        assert!(desk.path(&format!("/usr/local/share/{file}")).exists(), "{file}");
                    }
                },
            },
            Section {
                heading: "From source",
                before: |desk| {
                    fs::remove_file(desk.path("/usr/local/share/man/man1/rcbs.1")).unwrap();
                    for folder in [
                        "/etc/bash_completion.d",
                        "/usr/local/share/zsh/site-functions",
                        "/usr/share/fish/vendor_completions.d",
                    ] {
                        desk.folder(folder);
                    }
                },
                after: |desk, _| {
                    for (file, words) in [
                        ("/usr/local/share/man/man1/rcbs.1", ".TH"),
                        ("/etc/bash_completion.d/rcbs", "COMPREPLY"),
                        ("/usr/local/share/zsh/site-functions/_rcbs", "#compdef rcbs"),
                        ("/usr/share/fish/vendor_completions.d/rcbs.fish", "complete -c rcbs"),
                    ] {
                        let text = fs::read_to_string(desk.path(file)).unwrap();
                        assert!(text.contains(words), "{file}");
                    }
                },
            },
        ],
    );
}

/// An archive such as `scripts/package` makes, with the sums beside it; the .deb is not there.
fn make_packages(desk: &mut Desk) {
    let name = format!("rcbs-{}-x86_64-linux-gnu", env!("CARGO_PKG_VERSION"));
    let program = format!("#!/bin/sh\nexec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_rcbs"));
    make_executable(&desk.path(&format!("{name}/rcbs")), &program);
    desk.folder(&format!("{name}/completions"));
    desk.sh(&format!(
        "rcbs man >{name}/rcbs.1 && rcbs completions bash >{name}/completions/rcbs.bash &&
         tar -czf {name}.tar.gz {name} && rm -r {name} &&
         sha256sum {name}.tar.gz >SHA256SUMS && echo x >other.deb && sha256sum other.deb >>SHA256SUMS &&
         rm other.deb"
    ))
    .exits(0);
}
