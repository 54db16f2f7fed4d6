//! A task for the Task Scheduler of Windows.
//!
//! **Invariant**: the text is plain ASCII without a declared encoding, so that it stays the same
//! document in whatever encoding a shell writes it to a file; the elements of a sequence stand in
//! the order of the schema.

use super::{Job, ScheduleError, checked};

/// Writes the task.
pub fn task(job: &Job) -> Result<String, ScheduleError> {
    let escape = |text: &str| checked("the Task Scheduler", text).map(escaped);
    let arguments: Vec<_> = job.arguments.iter().map(|argument| quoted(argument)).collect();
    let (hour, minute) = job.times.first();
    let apart = job.times.minutes_apart();
    let repetition = match apart {
        // Once a day is what the schedule says by itself.
        1_440 => String::new(),
        _ => format!(
            "      <Repetition>\n        <Interval>PT{apart}M</Interval>\n        \
             <Duration>P1D</Duration>\n        <StopAtDurationEnd>false</StopAtDurationEnd>\n      \
             </Repetition>\n"
        ),
    };
    let delay = match apart / 12 {
        0 => String::new(),
        delay => format!("      <RandomDelay>PT{}M</RandomDelay>\n", delay.min(15)),
    };
    let principal = match &job.user {
        Some(user) => format!(
            "      <UserId>{}</UserId>\n      <LogonType>Password</LogonType>\n",
            escape(user)?
        ),
        // The system itself.
        None => "      <UserId>S-1-5-18</UserId>\n".to_owned(),
    };
    Ok(format!(
        "<?xml version=\"1.0\"?>\n\
         <!-- Made by `rcbs schedule windows`. As administrator:\n     \
         schtasks /Create /TN rcbs /XML rcbs.xml        (with /RU NAME /RP * for a user of its own)\n     \
         schtasks /Run /TN rcbs                         to try it; then\n     \
         schtasks /Query /TN rcbs /V /FO LIST           shows how it ended\n     \
         The credentials are variables of the system, which name files that only the user of the\n     \
         task may read: setx /M GWS_PASSWORD_FILE C:\\ProgramData\\rcbs\\gws_password\n     \
         Set logFile in the configuration: nobody sees what a task says. -->\n\
         <Task version=\"1.2\" xmlns=\"http://schemas.microsoft.com/windows/2004/02/mit/task\">\n  \
         <RegistrationInfo>\n    \
         <Description>Backup of call recordings</Description>\n  \
         </RegistrationInfo>\n  \
         <Triggers>\n    \
         <CalendarTrigger>\n      \
         <Enabled>true</Enabled>\n      \
         <StartBoundary>2026-01-01T{hour:02}:{minute:02}:00</StartBoundary>\n\
         {repetition}{delay}      \
         <ScheduleByDay>\n        \
         <DaysInterval>1</DaysInterval>\n      \
         </ScheduleByDay>\n    \
         </CalendarTrigger>\n  \
         </Triggers>\n  \
         <Principals>\n    \
         <Principal id=\"rcbs\">\n\
         {principal}      \
         <RunLevel>LeastPrivilege</RunLevel>\n    \
         </Principal>\n  \
         </Principals>\n  \
         <Settings>\n    \
         <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>\n    \
         <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>\n    \
         <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>\n    \
         <StartWhenAvailable>true</StartWhenAvailable>\n    \
         <RunOnlyIfNetworkAvailable>true</RunOnlyIfNetworkAvailable>\n    \
         <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>\n    \
         <Enabled>true</Enabled>\n  \
         </Settings>\n  \
         <Actions Context=\"rcbs\">\n    \
         <Exec>\n      \
         <Command>{}</Command>\n      \
         <Arguments>{}</Arguments>\n      \
         <WorkingDirectory>{}</WorkingDirectory>\n    \
         </Exec>\n  \
         </Actions>\n\
         </Task>\n",
        escape(&job.program)?,
        escape(&arguments.join(" "))?,
        escape(&job.folder)?,
    ))
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            c if c.is_ascii() => out.push(c),
            c => out += &format!("&#{};", u32::from(c)),
        }
    }
    out
}

/// Quotes an argument as programs of Windows take their command lines apart: a backslash counts as
/// itself unless a quotation mark follows.
fn quoted(argument: &str) -> String {
    if !argument.is_empty() && !argument.contains([' ', '"', '\t']) {
        return argument.to_owned();
    }
    let mut out = "\"".to_owned();
    let mut backslashes = 0;
    for c in argument.chars() {
        if c == '"' {
            out.extend(std::iter::repeat_n('\\', backslashes + 1));
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
        out.push(c);
    }
    out.extend(std::iter::repeat_n('\\', backslashes));
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_come_out_as_they_went_in() {
        for (argument, written) in [
            (r"C:\rcbs\config.properties", r"C:\rcbs\config.properties"),
            (r"C:\my rcbs\a.properties", r#""C:\my rcbs\a.properties""#),
            (r"C:\my rcbs\", r#""C:\my rcbs\\""#),
            (r#"a "b\" c"#, r#""a \"b\\\" c""#),
            ("", "\"\""),
        ] {
            assert_eq!(quoted(argument), written);
        }
    }

    #[test]
    fn what_is_not_ascii_is_written_by_its_number() {
        assert_eq!(escaped("<ä & \u{1f399}>"), "&lt;&#228; &amp; &#127897;&gt;");
    }
}
