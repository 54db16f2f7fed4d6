//! `rcbs help`, `--help`, `rcbs man` and `rcbs completions`: everything is in them, and what they
//! say can be typed.

use std::path::Path;
use std::process::{Command, Stdio};

use clap::Command as Definition;

use crate::harness::{Run, files_below};
use crate::pages;

const TOPICS: [&str; 11] = [
    "config",
    "window",
    "credentials",
    "environment",
    "exit-codes",
    "files",
    "schedule",
    "fleet",
    "proxies",
    "keys",
    "recovery",
];

const EXIT_CODES: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "130", "143"];

/// Runs the program without a configuration, in a folder where there is nothing.
fn rcbs(args: &[&str]) -> Run {
    rcbs_with(args, &[])
}

fn rcbs_with(args: &[&str], variables: &[(&str, &str)]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rcbs"));
    command.args(args).env_clear().envs(variables.iter().copied()).current_dir(folder.path());
    let run = Run::of(command, format!("rcbs {}", args.join(" ")));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{run}");
    run
}

/// All commands with the words by which they are called.
fn commands() -> Vec<(Vec<String>, Definition)> {
    fn walk(path: &[String], command: &Definition, found: &mut Vec<(Vec<String>, Definition)>) {
        found.push((path.to_vec(), command.clone()));
        for one in command.get_subcommands() {
            walk(&[path, &[one.get_name().to_owned()]].concat(), one, found);
        }
    }
    let mut found = Vec::new();
    walk(&[], &rcbs::cli::command(), &mut found);
    found
}

fn words(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

#[test]
fn help_of_every_command_begins_with_examples_where_it_has_some() {
    let mut with_examples = 0;
    for (path, command) in commands() {
        let run = rcbs(&[&words(&path)[..], &["--help"]].concat());
        run.exits(0);
        assert_eq!(run.stderr, "", "{run}");
        let usage = run.stdout.find("\nUsage: rcbs").unwrap_or_else(|| panic!("{run}"));
        if let Some(examples) = run.stdout.find("\nExample") {
            assert!(examples < usage, "{run}");
            assert_eq!(run.stdout.matches("\nExample").count(), 1, "{run}");
            with_examples += 1;
        }
        for option in command.get_arguments().filter_map(|arg| arg.get_long()) {
            run.says(&format!("--{option}"));
        }
    }
    assert!(with_examples >= 10, "{with_examples}");
    rcbs(&["--help"]).says("\nExamples:\n  rcbs --config config.properties   ");
}

#[test]
fn help_without_a_word_lists_all_commands_and_topics() {
    let run = rcbs(&["help"]);
    run.exits(0);
    let (commands, topics) = run.stdout.split_once("\nTopics:\n").unwrap();
    let names = |text: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix("  "));
        lines.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    };
    let definition = rcbs::cli::command();
    let known: Vec<_> = definition.get_subcommands().map(|one| one.get_name().to_owned()).collect();
    assert_eq!(names(commands), known, "{run}");
    assert_eq!(names(topics), TOPICS, "{run}");
    for topic in TOPICS {
        rcbs(&["--help"]).says(topic);
    }
}

#[test]
fn help_of_a_command_is_what_the_command_itself_says() {
    for (path, _) in commands().iter().filter(|(path, _)| !path.is_empty()) {
        let asked = rcbs(&[&["help"], &words(path)[..]].concat());
        let own = rcbs(&[&words(path)[..], &["--help"]].concat());
        asked.exits(0);
        assert!(asked.stdout.starts_with(&own.stdout), "{asked}{own}");
        if !TOPICS.contains(&path.join(" ").as_str()) {
            assert_eq!(asked.stdout, own.stdout);
        }
    }
    // It can only mean `rcbs keys new`.
    assert_eq!(rcbs(&["help", "new"]).stdout, rcbs(&["keys", "new", "--help"]).stdout);
}

#[test]
fn every_topic_is_shown_and_stands_in_the_man_page() {
    let page = rcbs(&["man"]).stdout;
    for topic in TOPICS {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/help/{topic}.md"));
        let text = std::fs::read_to_string(file).unwrap();
        let run = rcbs(&["help", topic]);
        run.exits(0);
        for line in text.lines().filter(|line| !line.starts_with('{')) {
            run.says(line.trim_start_matches('#').trim());
            // The page has titles of its own.
            if !line.starts_with("# ") {
                assert!(only_letters(&page).contains(&only_letters(line)), "{topic}: {line}");
            }
        }
    }
    let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/help")).unwrap();
    assert_eq!(files.count(), TOPICS.len(), "every text in docs/help is a topic");
    let run = rcbs(&["help", "config"]);
    for property in rcbs::config::PROPERTIES {
        run.says(&format!("\n    {}", property.name)).says(property.help);
        if let Some(default) = property.default {
            run.says(&format!("{} [{default}]", property.name));
        }
    }
}

/// Letters and digits of a text, without the commands and the signs of troff.
fn only_letters(text: &str) -> String {
    let text = text.replace("\\(aq", "'").replace("\\(en", "–").replace("\\(ha", "^");
    let text = text.replace("\\fB", "").replace("\\fR", "").replace("\\fI", "");
    text.chars().filter(char::is_ascii_alphanumeric).collect()
}

#[test]
fn a_mistyped_word_is_told_what_it_is_near_to() {
    for (args, near) in [
        (&["help", "widnow"][..], "'window'"),
        (&["help", "exitcodes"], "'exit-codes'"),
        (&["help", "kyes"], "'keys'"),
        (&["help", "audti"], "'audit'"),
        (&["halp"], "'help'"),
        (&["decypt"], "'decrypt'"),
        (&["estimat"], "'estimate'"),
        (&["keys", "chekc"], "'check'"),
        (&["completions", "bahs"], "'bash'"),
        (&["--confg", "x"], "'--config'"),
        (&["-confg", "x"], "'--config'"),
        (&["-verfy", "s3"], "'--verify'"),
        (&["-dryrun"], "'--dry-run'"),
        (&["audit", "--target"], "'--targets'"),
        (&["check", "-sampel"], "'--sample'"),
        (&["--log-format", "jsno"], "'json'"),
    ] {
        let run = rcbs(args);
        run.exits(2).says("tip:").says(near);
        assert_eq!(run.stdout, "", "{run}");
    }
    // A word that is near to nothing is answered with all there are.
    rcbs(&["help", "xyzzy"]).exits(2).says("possible values: ").says("window").says("audit");
}

#[test]
fn every_exit_code_is_told_once_and_the_same_everywhere() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"));
    let readme = readme.unwrap();
    let lines = |text: &str, code: &str| -> Vec<String> {
        let start = format!("{code}  ");
        let lines = text.lines().map(str::trim_start).filter(|line| line.starts_with(&start));
        lines.map(|line| line[start.len()..].to_owned()).collect()
    };
    for code in EXIT_CODES {
        let [topic] = &lines(&rcbs(&["help", "exit-codes"]).stdout, code)[..] else {
            panic!("{code}")
        };
        assert_eq!(lines(&rcbs(&["--help"]).stdout, code), std::slice::from_ref(topic));
        assert_eq!(lines(&rcbs(&["man"]).stdout, code), std::slice::from_ref(topic));
        let meaning = topic.split([';', ',']).next().unwrap();
        let is_row = |line: &str| {
            let (codes, rest) = line.strip_prefix("| ")?.split_once(" | ")?;
            codes
                .split(", ")
                .any(|one| one == code)
                .then(|| rest.contains(meaning.get(..12).unwrap_or(meaning)))
        };
        assert!(readme.lines().filter_map(is_row).any(|fits| fits), "{code}: {meaning}");
    }
    let all = lines(&rcbs(&["--help"]).stdout, "0");
    assert_eq!(all.len(), 1);
    for exit in (0..=255).filter(|code| !EXIT_CODES.contains(&code.to_string().as_str())) {
        assert!(lines(&rcbs_text(), &exit.to_string()).is_empty(), "{exit}");
    }
}

fn rcbs_text() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/help/exit-codes.md"))
        .unwrap()
}

#[test]
fn every_line_of_the_documents_and_of_help_that_calls_the_program_can_be_typed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut typed = 0;
    for (path, bytes) in files_below(&root.join("docs"))
        .into_iter()
        .chain([("../README.md".to_owned(), std::fs::read(root.join("README.md")).unwrap())])
    {
        // Pages that are shown on a terminal have blanks for marks.
        for block in pages::blocks(&String::from_utf8(bytes).unwrap()) {
            for call in block.commands().iter().filter_map(pages::Command::call) {
                assert_parses(&path, call);
                typed += 1;
            }
        }
    }
    for (path, _) in commands() {
        let help = rcbs(&[&words(&path)[..], &["--help"]].concat()).stdout;
        let examples = help.split("\nUsage: ").next().unwrap();
        for line in examples.lines().filter_map(|line| line.strip_prefix("  rcbs ")) {
            // What it does stands behind, after two blanks.
            assert_parses("--help", line.split("  ").next().unwrap());
            typed += 1;
        }
    }
    assert!(typed > 60, "{typed}");
}

/// Takes a line apart as a shell does, as far as it is the call of one program.
fn assert_parses(place: &str, line: &str) {
    let call = line.split([';', '|', '>']).next().unwrap();
    let shell = Command::new("/bin/sh")
        .args(["-c", &format!("printf '%s\\n' rcbs {call}")])
        .output()
        .unwrap();
    let args = String::from_utf8(shell.stdout).unwrap();
    let parsed = rcbs::cli::parse(args.lines().map(std::ffi::OsString::from));
    if let Err(error) = parsed {
        assert_eq!(error.kind(), clap::error::ErrorKind::DisplayHelp, "{place}: {line}: {error}");
    }
}

#[test]
fn the_man_page_has_every_command_option_and_property() {
    let run = rcbs(&["man"]);
    run.exits(0);
    let page = run.stdout.replace("\\-", "-");
    let has = |line: &str| assert!(page.lines().any(|one| one.starts_with(line)), "{line}\n{page}");
    for (path, command) in commands().iter().filter(|(_, one)| !one.has_subcommands()) {
        has(&format!(".SS rcbs {}", path.join(" ")));
        let (_, section) = page.split_once(&format!(".SS rcbs {}\n", path.join(" "))).unwrap();
        let section = section.split("\n.S").next().unwrap();
        for arg in command.get_arguments().filter(|arg| arg.get_id() != "help") {
            match arg.get_long() {
                Some(long) => assert!(section.contains(&format!("\\fB--{long}\\fR")), "{long}"),
                None => assert!(section.contains("\n\\fI"), "{}", arg.get_id()),
            }
        }
    }
    for option in rcbs::cli::command().get_arguments().filter_map(|arg| arg.get_long()) {
        assert!(page.contains(&format!("\\fB--{option}\\fR")), "{option}");
    }
    for property in rcbs::config::PROPERTIES {
        has(&format!("\\fB{}\\fR", property.name));
    }
    for section in
        ["NAME", "SYNOPSIS", "OPTIONS", "COMMANDS", "EXIT STATUS", "ENVIRONMENT", "FILES"]
    {
        has(&format!(".SH {section}"));
    }
    let before_the_options = page.split(".SH OPTIONS").next().unwrap();
    assert!(before_the_options.contains("rcbs --config config.properties --dry-run"), "{page}");
}

#[test]
fn the_man_page_is_set_without_a_warning() {
    let page = rcbs(&["man"]).stdout;
    let Some((set, warnings)) = through("groff", &["-man", "-ww", "-Tutf8", "-P-cbou"], &page)
    else {
        eprintln!("skipped: groff is missing");
        return;
    };
    assert_eq!(warnings, "");
    assert!(set.contains("RCBS(1)") && set.contains("EXIT STATUS"), "{set}");
    // Nothing of it was taken for a command and swallowed.
    for line in ["maxDate=2018-01-02", "rcbs keys check --keys keys --keys old/tenant-2019.key"] {
        assert!(set.contains(line), "{line}\n{set}");
    }
}

/// Gives a text to a program, if it is there; gives what that says to both outputs.
fn through(program: &str, args: &[&str], text: &str) -> Option<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("text");
    std::fs::write(&file, text).unwrap();
    let output = Command::new(program)
        .args(args)
        .stdin(std::fs::File::open(file).unwrap())
        .stdout(Stdio::piped())
        .output()
        .ok()?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Some((text(output.stdout), text(output.stderr)))
}

#[test]
fn a_real_bash_completes_commands_options_and_their_values() {
    if Command::new("bash").arg("--version").output().is_err() {
        eprintln!("skipped: bash is missing");
        return;
    }
    let script = rcbs(&["completions", "bash"]).stdout;
    for (line, expected) in [
        ("rcbs au", &["audit"][..]),
        ("rcbs keys ", &["new", "list", "check"]),
        ("rcbs --dry", &["--dry-run"]),
        ("rcbs --verify ", &["s3"]),
        ("rcbs --log-format j", &["json"]),
        ("rcbs audit --tar", &["--targets"]),
        ("rcbs completions z", &["zsh"]),
        ("rcbs help wi", &["window"]),
        ("rcbs help reb", &["rebuild"]),
    ] {
        let words: Vec<_> = line.split(' ').collect();
        let asked = format!(
            "{script}\nCOMP_WORDS=({}); COMP_CWORD={}\n_rcbs rcbs '{}' '{}'\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2],
        );
        let output =
            Command::new("bash").args(["--norc", "--noprofile", "-c", &asked]).output().unwrap();
        assert!(output.stderr.is_empty(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        let offered = String::from_utf8(output.stdout).unwrap();
        let offered: Vec<_> = offered.lines().collect();
        for word in expected {
            assert!(offered.contains(word), "{line}: {word} is not among {offered:?}");
        }
        let letters = words[words.len() - 1];
        assert!(offered.iter().all(|word| word.starts_with(letters)), "{line}: {offered:?}");
    }
}

#[test]
fn other_shells_can_read_their_completions() {
    for (shell, args, mark) in [
        ("zsh", &["-n", "/dev/stdin"][..], "#compdef rcbs"),
        ("fish", &["--no-execute", "/dev/stdin"], "complete -c rcbs"),
        ("elvish", &["-compileonly", "/dev/stdin"], "rcbs"),
        ("powershell", &[], "Register-ArgumentCompleter"),
    ] {
        let script = rcbs(&["completions", shell]);
        script.exits(0).says(mark).says("audit").says("dry-run").says("window");
        match through(shell, args, &script.stdout) {
            Some((_, complaints)) => assert_eq!(complaints, "", "{shell}"),
            None => eprintln!("skipped: {shell} is missing"),
        }
    }
}

#[test]
fn colours_are_for_terminals_unless_they_are_asked_for() {
    let has_colours = |run: &Run| format!("{}{}", run.stdout, run.stderr).contains('\u{1b}');
    for args in [&["--help"][..], &["help"], &["help", "window"], &["help", "audit"], &["--confg"]]
    {
        for (variables, expected) in [
            (&[][..], false),
            (&[("TERM", "xterm-256color")], false),
            (&[("CLICOLOR_FORCE", "1")], true),
            (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
            (&[("NO_COLOR", "")], false),
        ] {
            let run = rcbs_with(args, variables);
            assert_eq!(has_colours(&run), expected, "{variables:?}\n{run}");
        }
    }
}
