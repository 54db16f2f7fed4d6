//! The files of `deploy/`: what stands in them is run as the engines would run it.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use xxhash_rust::xxh3::xxh3_64;

use super::numbers::simulated;
use super::{ask, shared};
use crate::harness::{Run, Site};

/// Exit codes by what an engine is to do about them; docs/fleet.md has the same table.
const AGAIN: [i32; 4] = [3, 7, 130, 143];
const STOP_ALL: [i32; 3] = [2, 4, 6];
const STOP_INDEX: [i32; 1] = [1];
const AT_WORK_ELSEWHERE: [i32; 1] = [5];

/// The credentials, as files or as variables.
const CREDENTIALS: [&str; 4] =
    ["GWS_USERNAME", "GWS_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What one task is started with.
#[derive(Default)]
struct Task {
    args: Vec<String>,
    variables: BTreeMap<String, String>,
}

impl Task {
    /// Runs it, with the paths of this site in the place of the engine's, the longer ones first.
    fn run(&self, site: &Site, paths: &[(&str, &Path)]) -> Run {
        let here = |text: &str| match paths.iter().find(|(from, _)| text.contains(from)) {
            Some((from, to)) => text.replace(from, to.to_str().unwrap()),
            None => text.to_owned(),
        };
        let args: Vec<String> = self.args.iter().map(|one| here(one)).collect();
        let [option, config, rest @ ..] = &args[..] else { panic!("{args:?}") };
        assert_eq!(option, "--config");
        // Writes config.properties where the file of the engine has it.
        drop(site.command(&[]));
        let mut command = Command::new(env!("CARGO_BIN_EXE_rcbs"));
        command.current_dir("/").env_clear().args([option, config]).args(rest);
        command.envs([("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_DIR", "/dev/null")]);
        command.envs(self.variables.iter().map(|(name, value)| (name, here(value))));
        Run::of(command, format!("rcbs {}", args.join(" ")))
    }
}

/// Checks that an instance of four has saved its share.
fn has_saved(site: &Site, index: usize) {
    let owner = |id: &str| xxh3_64(id.as_bytes()) as usize % 4;
    let share = site.sim.world().recordings().filter(|one| owner(&one.id) == index).count();
    assert!(share > 0);
    assert_eq!(ask::<i64>(site, index as u64, "SELECT count(*) FROM recordings") as usize, share);
}

/// Writes the credentials of a site as files into a folder.
fn write_secrets(site: &Site, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for (name, value) in site.sim.environment() {
        if CREDENTIALS.contains(&name) {
            fs::write(folder.join(name), value).unwrap();
        }
    }
}

/// The lines of a list of YAML below this name, each as it stands behind its dash.
fn list<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let mut lines = text.lines().skip_while(|line| line.trim() != format!("{name}:"));
    let indent = |line: &str| line.len() - line.trim_start().len();
    let depth = indent(lines.next().unwrap_or_else(|| panic!("there is no {name}")));
    lines
        .take_while(|line| indent(line) > depth)
        .map(|line| line.trim().trim_start_matches("- "))
        .collect()
}

/// What Kubernetes gives the pod of an index.
fn of_kubernetes(text: &str, index: usize) -> Task {
    let mut variables = BTreeMap::new();
    let mut name = "";
    for line in list(text, "env") {
        match line.split_once(": ") {
            Some(("name", variable)) => name = variable,
            Some(("value", value)) => drop(variables.insert(name.to_owned(), value.to_owned())),
            Some(("fieldPath", field)) => {
                assert_eq!(field, "metadata.labels['batch.kubernetes.io/job-name']");
                variables.insert(name.to_owned(), "rcbs-29391917".to_owned());
            }
            _ => {}
        }
    }
    variables.extend(simulated("Kubernetes", index, 4));
    Task { args: list(text, "args").into_iter().map(str::to_owned).collect(), variables }
}

/// What AWS Batch gives the job of an index.
fn of_aws(text: &str, site: &Site, index: usize) -> Task {
    let document: serde_json::Value = serde_json::from_str(text).unwrap();
    let container = &document["jobDefinition"]["containerProperties"];
    let words = |value: &serde_json::Value| -> Vec<String> {
        let all = value.as_array().unwrap().iter();
        all.map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    let command = words(&container["command"]);
    assert_eq!(command[0], "rcbs");
    let mut variables = simulated("AWS Batch", index, 4);
    let known: BTreeMap<_, _> = site.sim.environment().into_iter().collect();
    for secret in container["secrets"].as_array().unwrap() {
        let name = secret["name"].as_str().unwrap();
        variables.insert(name.to_owned(), known[name].to_string());
    }
    Task { args: command[1..].to_vec(), variables }
}

#[test]
fn the_entry_for_kubernetes_saves_all_shares_with_one_window() {
    let text = file("deploy/kubernetes.yaml");
    let mut site = shared(40);
    // What the file asks the configuration for, and no more.
    for line in
        ["targetDir=/target, sharedTarget=true, rcbsInstanceId=auto", "totalRcbsInstances=4"]
    {
        assert!(text.contains(line), "{line}");
    }
    assert!(text.contains("\n      completions: 4\n") && text.contains("\n      parallelism: 4\n"));
    site.properties += "rcbsInstanceId=auto\ntotalRcbsInstances=4\n";
    write_secrets(&site, &site.folder.path().join("secrets"));
    let paths = [
        ("/etc/rcbs/config.properties", &site.folder.path().join("config.properties")),
        ("/etc/rcbs-secrets", &site.folder.path().join("secrets")),
        ("/target", &site.target()),
    ];
    let paths = paths.map(|(from, to)| (from, to.as_path()));
    site.properties += &format!("targetDir={}\n", site.target().display());
    for index in 0..4 {
        let task = of_kubernetes(&text, index);
        task.run(&site, &paths).exits(0);
        has_saved(&site, index);
    }
    let window = site.target().join(".rcbs-window.json");
    let text = fs::read_to_string(&window).unwrap();
    assert!(text.contains("\"run\": \"rcbs-29391917\""), "{text}");
    // It lies among the recordings, and is not taken for one.
    site.rcbs(&["check", "--set", "rcbsInstanceId=0"]).exits(0).says("not in the ledger: 0");
    for path in [window, site.target().join(".rcbs-window.json.lock")] {
        fs::remove_file(path).unwrap();
    }
    site.assert_holds(|_| true);
}

#[test]
fn the_entry_for_aws_batch_saves_all_shares_with_one_window() {
    let text = file("deploy/aws-batch.json");
    assert!(text.contains(r#"{\"Size\":4}"#));
    let site = shared(40);
    let folder = site.folder.path().to_owned();
    for index in 0..4 {
        let task = of_aws(&text, &site, index);
        let run = task.run(&site, &[("/target/recordings", &site.target()), ("/target", &folder)]);
        run.exits(0);
        has_saved(&site, index);
    }
    site.assert_holds(|_| true);
    let windows: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            (name.starts_with("window-") && name.ends_with(".json")).then_some(name)
        })
        .collect();
    assert_eq!(windows, ["window-6c7b-91.json"]);
}

/// Runs deploy/slurm.sbatch as a task, where these commands of Slurm's write down how they are called;
/// gives what they have written too.
fn by_slurm(site: &Site, variables: &BTreeMap<String, String>) -> (Run, String) {
    let folder = site.folder.path();
    let commands = folder.join("commands");
    let asked = folder.join("asked");
    fs::create_dir_all(&commands).unwrap();
    let _ = fs::remove_file(&asked);
    for name in ["scontrol", "scancel"] {
        write_program(&commands.join(name), &format!("echo {name} \"$@\" >>'{}'", asked.display()));
    }
    write_secrets(site, &folder.join("secrets"));
    drop(site.command(&[]));
    let mut command = Command::new("/bin/sh");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/slurm.sbatch");
    command.arg(&script).current_dir(folder).env_clear();
    command.env("PATH", format!("{}:/usr/bin:/bin", commands.display()));
    command.envs([("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_DIR", "/dev/null")]);
    command.env("RCBS_CONFIG", folder.join("config.properties"));
    command.env("RCBS_SECRETS", folder.join("secrets"));
    command.env("RCBS_PROGRAM", env!("CARGO_BIN_EXE_rcbs"));
    command.env("SLURM_SUBMIT_DIR", folder);
    command.envs(variables);
    let run = Run::of(command, script.display().to_string());
    (run, fs::read_to_string(&asked).unwrap_or_default())
}

fn write_program(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_script_for_slurm_saves_all_shares_with_one_window() {
    assert!(file("deploy/slurm.sbatch").contains("\n#SBATCH --array=0-3\n"));
    let site = shared(40);
    for index in 0..4 {
        let (run, asked) = by_slurm(&site, &simulated("Slurm", index, 4));
        run.exits(0);
        has_saved(&site, index);
        assert_eq!(asked, "");
    }
    site.assert_holds(|_| true);
    assert!(site.folder.path().join("window-71.json").is_file());
}

#[test]
fn the_script_for_slurm_does_with_each_exit_code_what_that_asks_for() {
    let site = shared(0);
    let program = site.folder.path().join("program");
    let requeue = "scontrol requeue 7102\n";
    let cancel = "scancel --state=PENDING 71\n";
    let again = AGAIN.iter().chain(&AT_WORK_ELSEWHERE).flat_map(|code| {
        // Who found another run at work to the end has not failed.
        let last = if AT_WORK_ELSEWHERE.contains(code) { 0 } else { *code };
        [(*code, 0, *code, requeue), (*code, 2, *code, requeue), (*code, 3, last, "")]
    });
    let stop = STOP_ALL.iter().map(|code| (*code, 0, *code, cancel));
    let index = STOP_INDEX.iter().map(|code| (*code, 0, *code, ""));
    for (code, restarts, expected, asks) in again.chain(stop).chain(index).chain([(0, 0, 0, "")]) {
        write_program(&program, &format!("exit {code}"));
        let mut variables = simulated("Slurm", 2, 4);
        variables.insert("SLURM_RESTART_COUNT".to_owned(), restarts.to_string());
        variables.insert("RCBS_PROGRAM".to_owned(), program.to_str().unwrap().to_owned());
        let (run, asked) = by_slurm(&site, &variables);
        run.exits(expected);
        assert_eq!(asked, asks, "after exit code {code}, restarted {restarts} times");
    }
}

#[test]
fn engines_are_told_what_each_exit_code_asks_for() {
    let kubernetes = file("deploy/kubernetes.yaml");
    let mut rules = BTreeMap::new();
    let mut action = "";
    for line in list(&kubernetes, "rules") {
        match line.split_once(": ") {
            Some(("action", named)) => action = named,
            Some(("values", codes)) => {
                let codes = codes.trim_matches(['[', ']']).split(", ");
                rules.extend(codes.map(|code| (code.parse::<i32>().unwrap(), action)));
            }
            _ => {}
        }
    }
    let expected = STOP_ALL.iter().map(|code| (*code, "FailJob"));
    let expected = expected.chain(STOP_INDEX.iter().map(|code| (*code, "FailIndex")));
    let expected = expected.chain(AT_WORK_ELSEWHERE.iter().map(|code| (*code, "Ignore")));
    assert_eq!(rules, expected.collect());

    let aws: serde_json::Value = serde_json::from_str(&file("deploy/aws-batch.json")).unwrap();
    let rules = aws["jobDefinition"]["retryStrategy"]["evaluateOnExit"].as_array().unwrap();
    let rule = |code: i32| {
        let fits = |rule: &&serde_json::Value| {
            let named = rule["onExitCode"].as_str().unwrap();
            named == "*" || named == code.to_string()
        };
        rules.iter().find(fits).map(|rule| rule["action"].as_str().unwrap())
    };
    for code in AGAIN.iter().chain(&AT_WORK_ELSEWHERE) {
        assert_eq!(rule(*code), Some("RETRY"), "{code}");
    }
    for code in STOP_ALL.iter().chain(&STOP_INDEX) {
        assert_eq!(rule(*code), Some("EXIT"), "{code}");
    }

    let page = file("docs/fleet.md");
    let row = |codes: &[i32]| {
        let codes: Vec<_> = codes.iter().map(i32::to_string).collect();
        let start = format!("| {} | ", codes.join(", "));
        let line = page.lines().find(|line| line.starts_with(&start));
        line.unwrap_or_else(|| panic!("docs/fleet.md has no row {start}")).to_owned()
    };
    assert!(row(&AGAIN).contains("run the same index again"));
    assert!(STOP_ALL.iter().all(|code| row(&[*code]).contains("stop all")));
    assert!(row(&STOP_INDEX).contains("stop this index"));
    assert!(row(&AT_WORK_ELSEWHERE).contains("at work elsewhere"));
}
