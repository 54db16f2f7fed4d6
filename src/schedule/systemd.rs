//! Two units for systemd: what runs, and when.
//!
//! **Invariant**: the program can write to the folders that it is given and to nothing else.

use std::fmt::Write;

use super::{Job, ScheduleError, checked};

/// What a backup needs no right to. It talks to the network and writes to its folders; it asks the
/// system for more open files by itself, which is granted here instead.
const HARDENING: &str = "\
ProtectSystem=strict
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
KeyringMode=private
LimitCORE=0
LimitNOFILE=65536
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
";

/// Folders that `ProtectHome=yes` hides, and those that `PrivateTmp=yes` does.
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];

/// Writes the service.
pub fn service(job: &Job) -> Result<String, ScheduleError> {
    if job.program.contains(['\'', '"', '\\']) {
        return Err(ScheduleError::Program(job.program.clone()));
    }
    let mut command = quoted(&job.program, false)?;
    for argument in &job.arguments {
        command += &format!(" {}", quoted(argument, true)?);
    }
    let writes = job.writes.iter().map(|folder| quoted(folder, false));
    let writes = writes.collect::<Result<Vec<_>, _>>()?.join(" ");
    let user = checked("systemd", job.user.as_deref().unwrap_or("rcbs"))?;
    let mut unit = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        unit,
        "# /etc/systemd/system/rcbs.service, made by `rcbs schedule systemd --unit service`.\n\
         # To try it: systemctl daemon-reload && systemctl start rcbs; journalctl -u rcbs\n\
         # The folders in ReadWritePaths must be there, and belong to the user below.\n\
         [Unit]\n\
         Description=Backup of call recordings\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         RequiresMountsFor={writes}\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         User={user}\n\
         WorkingDirectory={}\n\
         # GWS_USERNAME=… and so on; systemd reads it as root, so that nobody else need be able to.\n\
         EnvironmentFile={}\n\
         ExecStart={command}\n\
         # 5: another run goes on, and is left alone.\n\
         SuccessExitStatus=5\n\
         # A run takes as long as it takes; when it is stopped it finishes what is under way.\n\
         TimeoutStartSec=infinity\n\
         TimeoutStopSec=5min\n\
         UMask={:04o}\n\
         ReadWritePaths={writes}\n",
        plain(&job.folder)?,
        plain(&job.environment)?,
        job.umask,
    );
    let used = || {
        let named = [&job.program, &job.folder, &job.environment];
        named.into_iter().chain(&job.arguments).chain(&job.writes)
    };
    let is_below = |roots: &[&str]| used().any(|path| roots.iter().any(|root| is_in(path, root)));
    // What is read lies there, such as the configuration.
    let home = if is_below(&HOMES) { "read-only" } else { "yes" };
    let temporary = if is_below(&TEMPORARY) { "no" } else { "yes" };
    let _ = write!(unit, "ProtectHome={home}\nPrivateTmp={temporary}\n{HARDENING}");
    Ok(unit)
}

/// Writes the timer.
pub fn timer(job: &Job) -> Result<String, ScheduleError> {
    let (minutes, hours) = job.times.minutes_and_hours();
    let list = |values: &[u32]| {
        let texts: Vec<_> = values.iter().map(|value| format!("{value:02}")).collect();
        if texts.is_empty() { "*".to_owned() } else { texts.join(",") }
    };
    // Fleets do not all begin in the same second, and nobody waits for long.
    let delay = (job.times.minutes_apart() / 12).min(15);
    Ok(format!(
        "# /etc/systemd/system/rcbs.timer, made by `rcbs schedule systemd --unit timer`.\n\
         # To start it: systemctl daemon-reload && systemctl enable --now rcbs.timer\n\
         # To see when it runs: systemctl list-timers rcbs.timer\n\
         [Unit]\n\
         Description=Backup of call recordings, around the clock\n\
         \n\
         [Timer]\n\
         OnCalendar=*-*-* {}:{}:00\n\
         # What was missed while the machine was off is made up for.\n\
         Persistent=true\n\
         RandomizedDelaySec={delay}min\n\
         \n\
         [Install]\n\
         WantedBy=timers.target\n",
        list(&hours),
        list(&minutes)
    ))
}

fn is_in(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Quotes one of several words; in arguments a `$` begins a variable.
fn quoted(text: &str, is_argument: bool) -> Result<String, ScheduleError> {
    let mut out = "\"".to_owned();
    for c in checked("systemd", text)?.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '%' => out += "%%",
            '$' if is_argument => out += "$$",
            c => out.push(c),
        }
    }
    out.push('"');
    Ok(out)
}

/// Writes a text that is taken to the end of its line, as it is.
fn plain(text: &str) -> Result<String, ScheduleError> {
    match text.ends_with(['\\', ' ']) {
        true => Err(ScheduleError::End(text.to_owned())),
        false => Ok(checked("systemd", text)?.replace('%', "%%")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_and_specifiers_are_not_resolved() {
        let text = "/a b/\"c\\/100%/$HOME/it's";
        assert_eq!(quoted(text, true).unwrap(), r#""/a b/\"c\\/100%%/$$HOME/it's""#);
        assert_eq!(quoted(text, false).unwrap(), r#""/a b/\"c\\/100%%/$HOME/it's""#);
        assert_eq!(plain("/a b/100%/c").unwrap(), "/a b/100%%/c");
        for text in ["/a\n", "/a\tb"] {
            assert!(quoted(text, true).is_err() && plain(text).is_err(), "{text:?}");
        }
        for text in ["/a\\", "/a "] {
            assert!(quoted(text, true).is_ok() && plain(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_folder_is_in_another_by_its_parts_and_not_by_its_letters() {
        for (path, is) in
            [("/home", true), ("/home/a", true), ("/homestead", false), ("/srv/home", false)]
        {
            assert_eq!(is_in(path, "/home"), is, "{path}");
        }
    }
}
