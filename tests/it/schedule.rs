//! `rcbs schedule`: the entries do what they say, whatever the paths are; and docs/schedule.md.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Run, Site};
use crate::{pages, xml};

/// A name with everything in it that a shell, cron, systemd or XML takes for something else.
#[cfg(unix)]
const HOSTILE: &str = "it's a \"b\" 100% & $HOME; `c` <d> \\% \\\\e ü #1";
#[cfg(not(unix))]
const HOSTILE: &str = "it's a 100% & $HOME; `c` ü #1";

/// The same for what systemd takes as the name of a program.
#[cfg(unix)]
const LESS_HOSTILE: &str = "a 100% & $HOME; `c` <d> ü #1";

/// A cloud, an installation's folder of a hostile name, and the program in another one.
struct Installed {
    site: Site,
    program: PathBuf,
    _programs: tempfile::TempDir,
}

impl Installed {
    fn new(recordings: usize, name: &str) -> Installed {
        let folder = |name: &str| tempfile::Builder::new().prefix(name).tempdir().unwrap();
        let site = Site { folder: folder(HOSTILE), ..Site::of(recordings) };
        let programs = folder(name);
        let program = programs.path().join(format!("rcbs {name}"));
        let built = env!("CARGO_BIN_EXE_rcbs");
        if fs::hard_link(built, &program).is_err() {
            fs::copy(built, &program).unwrap();
        }
        let variables = site.sim.environment();
        let lines = variables.map(|(name, value)| format!("{name}='{value}'\n"));
        fs::write(site.folder.path().join("environment"), lines.concat()).unwrap();
        // Writes the configuration.
        drop(site.command(&[]));
        Installed { site, program, _programs: programs }
    }

    /// Runs `rcbs schedule` in the installation's folder, without credentials.
    fn schedule(&self, args: &[&str]) -> Run {
        let mut command = Command::new(&self.program);
        command.current_dir(self.site.folder.path()).env_clear().arg("schedule").args(args);
        Run::of(command, format!("rcbs schedule {}", args.join(" ")))
    }
}

/// The command of a crontab's last line, as cron gives it to the shell.
fn command_of(line: &str, fields: usize) -> String {
    let command = line.splitn(fields + 1, ' ').last().unwrap();
    let mut out = String::new();
    let mut chars = command.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some('%')) => out.extend(chars.next()),
            // Some take it for one, some for two.
            ('\\', Some('\\')) => panic!("two backslashes in {line}"),
            ('%', _) => panic!("a line end in {line}"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(unix)]
#[test]
fn the_line_for_cron_backs_up_whatever_the_paths_are() {
    let installed = Installed::new(5, HOSTILE);
    let site = &installed.site;
    let printed = installed.schedule(&["cron", "--every", "12h", "--at", "13:05"]);
    printed.exits(0);
    let (comments, line) = printed.stdout.trim_end().rsplit_once('\n').unwrap();
    assert!(comments.lines().all(|line| line.starts_with("# ")), "{printed}");
    assert!(line.starts_with("5 1,13 * * * cd "), "{printed}");
    let run = |line: &str| {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &command_of(line, 5)]).current_dir("/").env_clear();
        let environment =
            [("HOME", "/nonexistent"), ("PATH", "/usr/bin:/bin"), ("SHELL", "/bin/sh")];
        Run::of(
            {
                shell.envs(environment);
                shell
            },
            line.to_owned(),
        )
    };
    let backup = run(line);
    backup.exits(0);
    assert_eq!((backup.stdout.as_str(), backup.stderr.as_str()), ("", ""), "cron mails nothing");
    site.assert_holds(|_| true);
    // What is wrong is mailed, and the code is the program's.
    site.sim.gws(|gws| gws.password = "changed".to_owned());
    run(line).exits(4).says("error: GWS refuses the login");
    let printed = installed.schedule(&["cron", "--user", "rcbs"]);
    let last = printed.stdout.lines().last().unwrap();
    assert!(last.starts_with("30 4,10,16,22 * * * rcbs cd '"), "{printed}");
    assert_eq!(command_of(last, 6), command_of(line, 5));
}

#[test]
fn what_is_missing_is_named_and_secrets_are_not_written() {
    let installed = Installed::new(0, LESS_HOSTILE);
    let folder = installed.site.folder.path();
    let run = installed.schedule(&["cron"]);
    run.exits(0).says("warning: the folder is not there yet: `").says("target`");
    assert!(!run.stderr.contains("credentials"), "{run}");
    fs::remove_file(folder.join("environment")).unwrap();
    fs::create_dir(folder.join("target")).unwrap();
    let set = ["--set", "pingUrl=https://hc-ping.com/canary", "--set", "maxAge=PT1H"];
    let run = installed.schedule(&[&["cron"][..], &set].concat());
    run.exits(0).says("warning: the file with the credentials is not there yet: `");
    run.says(" '--set' 'maxAge=PT1H'").says("pingUrl is a secret");
    assert!(!format!("{}{}", run.stdout, run.stderr).contains("canary"), "{run}");
    assert!(!run.stderr.contains("the folder"), "{run}");
    for (args, words) in [
        (&["cron", "--every", "7h"][..], "hours that a day, can be cut into"),
        (&["cron", "--at", "25:00"], "write a time of the day, such as 04:30"),
        (&["cron", "--environment", "a\nb"], "it has a control character in it"),
        (&["systemd", "--environment", "b\\"], "it ends in a backslash or a blank"),
        (&["cron", "--config", "absent"], "cannot read the configuration"),
        (&["cron", "--environment", &"long/".repeat(250)], "cron takes no more than 998"),
    ] {
        installed.schedule(args).exits(2).says(words);
    }
    assert_eq!(fs::read_dir(folder).unwrap().count(), 2, "nothing is written");
}

/// Writes both units into a folder; gives their paths.
#[cfg(target_os = "linux")]
fn units(installed: &Installed, folder: &Path, args: &[&str]) -> [PathBuf; 2] {
    ["service", "timer"].map(|unit| {
        let run = installed.schedule(&[&["systemd", "--unit", unit], args].concat());
        run.exits(0);
        let path = folder.join(format!("rcbs.{unit}"));
        fs::write(&path, &run.stdout).unwrap();
        path
    })
}

#[cfg(target_os = "linux")]
fn analyze(args: &[&str], units: &[PathBuf]) -> Option<Run> {
    if !Path::new("/usr/bin/systemd-analyze").exists() {
        eprintln!("skipped: systemd-analyze is missing");
        return None;
    }
    let mut command = Command::new("/usr/bin/systemd-analyze");
    command.args(args).args(units).env("LC_ALL", "C.UTF-8").env("SYSTEMD_COLORS", "0");
    Some(Run::of(command, format!("systemd-analyze {args:?} {units:?}")))
}

#[cfg(target_os = "linux")]
#[test]
fn systemd_finds_nothing_wrong_with_the_units_whatever_the_paths_are() {
    let installed = Installed::new(0, LESS_HOSTILE);
    fs::create_dir(installed.site.folder.path().join("target")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for every in ["1m", "15m", "1h", "6h", "24h"] {
        let units = units(&installed, folder.path(), &["--every", every]);
        let Some(run) = analyze(&["verify", "--man=no"], &units) else { return };
        run.exits(0);
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""), "{run}");
    }
    // It runs no others.
    let run = Installed::new(0, HOSTILE).schedule(&["systemd"]);
    run.exits(2).says("systemd runs no program with a quotation mark or a backslash in its path");
    // What it would find.
    let units = units(&installed, folder.path(), &[]);
    for (unit, from, to) in [
        (0, "ExecStart=\"", "ExecStart=\"/nowhere"),
        (0, "ExecStart=\"", "ExecStart="),
        (0, "EnvironmentFile=/", "EnvironmentFile="),
        (0, "/a 100%%", "/a 100%m"),
        (0, "ProtectClock=yes", "ProtectClock=perhaps"),
        (1, "OnCalendar=*-*-* 04", "OnCalendar=*-*-* 44"),
    ] {
        let good = fs::read_to_string(&units[unit]).unwrap();
        assert!(good.contains(from), "{from} in {good}");
        fs::write(&units[unit], good.replacen(from, to, 1)).unwrap();
        let run = analyze(&["verify", "--man=no"], &units).unwrap();
        assert!(!run.stderr.is_empty(), "{to}");
        fs::write(&units[unit], good).unwrap();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_service_is_hardened_and_writes_to_its_folders_only() {
    let mut installed = Installed::new(0, LESS_HOSTILE);
    let below = |name: &str| format!("{}/{name}", installed.site.folder.path().display());
    let [target, state, log, metrics] = ["target", "state", "log", "metrics"].map(below);
    installed.site.properties =
        "stateDir=state\nlogFile=log/a.log\nmetricsFile=metrics/a.prom\nfolderMode=0770\n"
            .to_owned();
    drop(installed.site.command(&[]));
    let folder = tempfile::tempdir().unwrap();
    let units = units(&installed, folder.path(), &["--user", "archive"]);
    let service = fs::read_to_string(&units[0]).unwrap();
    let line = |name: &str| {
        let mut found =
            service.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let line = found.next().unwrap_or_else(|| panic!("{name} in {service}")).to_owned();
        assert_eq!(found.next(), None, "{name}");
        line
    };
    let written = [target, state, log, metrics].map(|folder| {
        let escaped = folder.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
        format!("\"{escaped}\"")
    });
    assert_eq!(line("ReadWritePaths"), written.join(" "));
    assert_eq!(line("RequiresMountsFor"), written.join(" "));
    assert_eq!((line("User"), line("UMask")), ("archive".to_owned(), "0007".to_owned()));
    assert_eq!((line("SuccessExitStatus"), line("Type")), ("5".to_owned(), "oneshot".to_owned()));
    // This installation lies in the folder of temporary files.
    assert_eq!(line("PrivateTmp"), if service.contains("/tmp/") { "no" } else { "yes" });
    let timer = fs::read_to_string(&units[1]).unwrap();
    for words in
        ["OnCalendar=*-*-* 04,10,16,22:30:00\n", "Persistent=true\n", "RandomizedDelaySec=15min\n"]
    {
        assert!(timer.contains(words), "{words} in {timer}");
    }
    // Of 10: what is left is the network, /proc, and the /tmp of this test.
    let args = ["security", "--offline=true", "--threshold=20", "--no-pager"];
    let Some(run) = analyze(&args, &units[..1]) else { return };
    run.exits(0).says("Overall exposure level for rcbs.service");
    let open = service.replace("CapabilityBoundingSet=\n", "").replace("@privileged", "@obsolete");
    let open = open.replace("PrivateDevices=yes\n", "");
    fs::write(&units[0], open).unwrap();
    assert_ne!(analyze(&args, &units[..1]).unwrap().code, 0, "the mark depends on the hardening");
}

#[test]
fn the_task_for_windows_is_as_its_schema_has_it() {
    let installed = Installed::new(0, HOSTILE);
    let folder = installed.site.folder.path().display().to_string();
    let printed = installed.schedule(&["windows", "--every", "6h", "--at", "22:15"]);
    printed.exits(0);
    assert!(printed.stdout.is_ascii(), "{printed}");
    let task = xml::parse(&printed.stdout);
    assert_eq!(task.name, "Task");
    let namespace = "xmlns=\"http://schemas.microsoft.com/windows/2004/02/mit/task\"";
    assert_eq!(task.attributes, format!("version=\"1.2\" {namespace}"));
    assert_eq!(task.names(), ["RegistrationInfo", "Triggers", "Principals", "Settings", "Actions"]);
    // These are sequences: triggerBaseType, calendarTriggerType behind it, and execActionType.
    let trigger = task.at("Triggers/CalendarTrigger");
    assert_eq!(
        trigger.names(),
        ["Enabled", "StartBoundary", "Repetition", "RandomDelay", "ScheduleByDay"]
    );
    assert_eq!(trigger.at("StartBoundary").text, "2026-01-01T04:15:00");
    assert_eq!(trigger.at("Repetition/Interval").text, "PT360M");
    assert_eq!(trigger.at("Repetition/Duration").text, "P1D");
    assert_eq!(trigger.at("ScheduleByDay/DaysInterval").text, "1");
    assert_eq!(task.at("Principals/Principal").attributes, "id=\"rcbs\"");
    assert_eq!(task.at("Principals/Principal").names(), ["UserId", "RunLevel"]);
    assert_eq!(task.at("Principals/Principal/UserId").text, "S-1-5-18");
    assert_eq!(task.at("Settings/MultipleInstancesPolicy").text, "IgnoreNew");
    assert_eq!(task.at("Settings/StartWhenAvailable").text, "true");
    assert_eq!(task.at("Actions").attributes, "Context=\"rcbs\"");
    let exec = task.at("Actions/Exec");
    assert_eq!(exec.names(), ["Command", "Arguments", "WorkingDirectory"]);
    assert_eq!(exec.at("Command").text, installed.program.display().to_string());
    assert_eq!(exec.at("WorkingDirectory").text, folder);
    let config = Path::new(&folder).join("config.properties").display().to_string();
    assert_eq!(arguments(&exec.at("Arguments").text), ["--config", &config]);

    let printed = installed.schedule(&["windows", "--every", "24h", "--user", r"DOMÄNE\svc"]);
    let task = xml::parse(&printed.stdout);
    let trigger = task.at("Triggers/CalendarTrigger");
    assert_eq!(trigger.names(), ["Enabled", "StartBoundary", "RandomDelay", "ScheduleByDay"]);
    let principal = task.at("Principals/Principal");
    assert_eq!(principal.names(), ["UserId", "LogonType", "RunLevel"]);
    assert_eq!(principal.at("UserId").text, r"DOMÄNE\svc");
}

/// Takes a command line apart as programs of Windows do.
fn arguments(line: &str) -> Vec<String> {
    let (mut all, mut one, mut is_quoted, mut backslashes) = (Vec::new(), String::new(), false, 0);
    for c in line.chars() {
        match c {
            '\\' => backslashes += 1,
            '"' => {
                one += &"\\".repeat(backslashes / 2);
                if backslashes % 2 == 1 {
                    one.push('"');
                } else {
                    is_quoted = !is_quoted;
                }
                backslashes = 0;
            }
            c => {
                one += &"\\".repeat(backslashes);
                backslashes = 0;
                if c == ' ' && !is_quoted {
                    all.push(std::mem::take(&mut one));
                } else {
                    one.push(c);
                }
            }
        }
    }
    one += &"\\".repeat(backslashes);
    all.push(one);
    all
}

fn page() -> String {
    pages::text("docs/schedule.md")
}

#[cfg(unix)]
#[test]
fn the_commands_of_the_page_do_what_it_says() {
    let installed = Installed::new(5, LESS_HOSTILE);
    let folder = installed.site.folder.path();
    // Those too that stand among commands which need root.
    let typed: Vec<_> = pages::blocks(&page()).iter().flat_map(pages::Block::commands).collect();
    let mut count = 0;
    for command in typed.iter().filter_map(|one| one.call()?.strip_prefix("schedule ")) {
        let (args, file) = command.split_once('>').unwrap_or((command, "none"));
        let args: Vec<_> = args.split_whitespace().collect();
        let run = installed.schedule(&args);
        run.exits(0);
        fs::write(folder.join(file.rsplit('/').next().unwrap()), &run.stdout).unwrap();
        count += 1;
    }
    assert!(count >= 8, "{count}");
    // The one that tries the line for cron.
    fs::write(folder.join("rcbs.cron"), installed.schedule(&["cron"]).stdout).unwrap();
    let mut tries = typed.iter().filter(|one| one.text.starts_with("tail "));
    let (command, None) = (tries.next().unwrap(), tries.next()) else { panic!("two") };
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &command.text]).current_dir(folder);
    Run::of(shell, command.text.clone()).exits(command.exit);
    installed.site.assert_holds(|_| true);
}

#[test]
fn the_page_names_every_metric_and_every_exit_code_and_no_other() {
    let mut site = Site::of(3);
    site.properties += "metricsFile=rcbs.prom\nretentionDays=30\n";
    site.rcbs(&[]).exits(0);
    let text = fs::read_to_string(site.folder.path().join("rcbs.prom")).unwrap();
    let metrics: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .map(str::to_owned)
        .collect();
    let page = page();
    let is_of_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let named: BTreeSet<_> = page
        .match_indices("rcbs_")
        .map(|(at, _)| page[at..].split(|c| !is_of_name(c)).next().unwrap().to_owned())
        .collect();
    assert_eq!(named, metrics);

    let help = site.rcbs(&["--help"]).stdout;
    let help = help.split_once("Exit codes:").unwrap().1.lines();
    let codes: BTreeSet<u8> =
        help.filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
    let rows = page.split_once("| code |").unwrap().1.split("\n\n").next().unwrap();
    let rows = rows.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" |"));
    let listed: BTreeSet<u8> = rows
        .flat_map(|(codes, _)| codes.split(", "))
        .filter_map(|code| code.parse().ok())
        .collect();
    assert_eq!(listed, codes);
}
