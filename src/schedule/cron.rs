//! A line for cron.
//!
//! **Invariant**: the line means the same to every cron: a backslash stands before a `%` or before
//! a quotation mark, and nowhere else.

use super::{Job, ScheduleError, checked};

/// Cron reads no more of a line.
const LONGEST: usize = 998;

/// Writes the line, with how to put it in its place and how to try it.
pub fn crontab(job: &Job) -> Result<String, ScheduleError> {
    let quote = |text: &str| checked("cron", text).map(quoted);
    let mut command = format!(
        "cd {} && set -a && . {} && exec {}",
        quote(&job.folder)?,
        quote(&job.environment)?,
        quote(&job.program)?
    );
    for argument in &job.arguments {
        command += &format!(" {}", quote(argument)?);
    }
    // What is wrong is on standard error, and cron mails that; the result is in the log file.
    command += " --quiet >/dev/null";
    let (minutes, hours) = job.times.minutes_and_hours();
    let (user, fields) = match &job.user {
        Some(user) => (format!("{} ", checked("cron", user)?), 7),
        None => (String::new(), 6),
    };
    let line = format!("{} {} * * * {user}{command}", field(&minutes), field(&hours));
    if line.len() > LONGEST {
        return Err(ScheduleError::Long(line.len()));
    }
    let place = match &job.user {
        Some(_) => "# Its place is a file of root's in /etc/cron.d, without a dot in its name.",
        None => "# Its place is the crontab of the user that owns the recordings: `crontab -e`.",
    };
    let environment = checked("cron", &job.environment)?;
    Ok(format!(
        "# Made by `rcbs schedule cron`.\n\
         {place}\n\
         # The credentials stand in {environment}, which only that user may read, as lines such as\n\
         #     GWS_USERNAME='user@tenant.example'\n\
         #     GWS_PASSWORD_FILE='/etc/rcbs/gws_password'\n\
         # Cron mails what is wrong; set logFile in the configuration to keep all that is said.\n\
         # To try the line as cron will run it:\n\
         #     tail -n 1 THIS_FILE | cut -d ' ' -f {fields}- | sed 's/\\\\%/%/g' |\n\
         #         env -i HOME=\"$HOME\" PATH=/usr/bin:/bin SHELL=/bin/sh sh\n\
         {line}\n"
    ))
}

fn field(values: &[u32]) -> String {
    let texts: Vec<_> = values.iter().map(u32::to_string).collect();
    if texts.is_empty() { "*".to_owned() } else { texts.join(",") }
}

/// Quotes a text for a shell behind cron.
fn quoted(text: &str) -> String {
    let mut out = "'".to_owned();
    for c in text.chars() {
        match c {
            '\'' => out += "'\"'\"'",
            '%' => out += "\\%",
            // Cron takes `\%` for a `%`, and some take `\\` for a `\`.
            '\\' => out += "\\''",
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_quoted_for_cron_and_for_the_shell_behind_it() {
        for (text, written) in [
            ("/srv/rcbs", "'/srv/rcbs'"),
            ("a b&c;$d`e\"f", "'a b&c;$d`e\"f'"),
            ("it's", "'it'\"'\"'s'"),
            ("100%", "'100\\%'"),
            ("a\\b", "'a\\''b'"),
            ("a\\%", "'a\\''\\%'"),
            ("\\\\", "'\\''\\'''"),
            ("ü", "'ü'"),
        ] {
            assert_eq!(quoted(text), written);
        }
    }
}
