//! The logins to GWS and S3, and other secrets.
//!
//! Given the environment, gives the secrets that stand in its variables or in the files that the
//! variables with `_FILE` behind them name.
//!
//! **Invariant:** nothing but the environment is asked, and no message holds what was found.

use super::layers::Reader;
use super::problem::Problem;
use crate::secret::{AwsKeys, Login, Secret};

/// Who to be towards the services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The login to GWS.
    pub gws: Login,
    /// The keys to S3; with metadataOnly there may be none.
    pub aws: Option<AwsKeys>,
}

/// Reads all logins; `None` where one is missing or bad, which has been noted then.
pub(super) fn read(reader: &mut Reader<'_>, metadata_only: Option<bool>) -> Option<Credentials> {
    let username = mandatory(reader, "GWS_USERNAME").and_then(|name| without_colon(reader, name));
    let password = mandatory(reader, "GWS_PASSWORD");
    let aws = match metadata_only {
        Some(false) => aws(reader).map(Some),
        Some(true) => aws_if_there(reader),
        // Not known whether they are needed, so their absence is no problem yet.
        None => None,
    };
    let gws = Login { username: username?, password: password? };
    Some(Credentials { gws, aws: aws? })
}

fn aws(reader: &mut Reader<'_>) -> Option<AwsKeys> {
    let access_key_id = mandatory(reader, "AWS_ACCESS_KEY_ID").map(Some);
    let secret_access_key = mandatory(reader, "AWS_SECRET_ACCESS_KEY").map(Some);
    aws_of(reader, access_key_id, secret_access_key)?
}

fn aws_if_there(reader: &mut Reader<'_>) -> Option<Option<AwsKeys>> {
    let access_key_id = variable(reader, "AWS_ACCESS_KEY_ID");
    let secret_access_key = variable(reader, "AWS_SECRET_ACCESS_KEY");
    aws_of(reader, access_key_id, secret_access_key)
}

/// Puts keys together; `None` where one of them is bad, which has been noted then.
fn aws_of(
    reader: &mut Reader<'_>,
    access_key_id: Option<Option<Secret>>,
    secret_access_key: Option<Option<Secret>>,
) -> Option<Option<AwsKeys>> {
    let session_token = variable(reader, "AWS_SESSION_TOKEN");
    let mut checked = |name, secret: Option<Option<Secret>>| match secret? {
        Some(secret) => sendable(reader, name, secret).map(Some),
        None => Some(None),
    };
    let access_key_id = checked("AWS_ACCESS_KEY_ID", access_key_id);
    let secret_access_key = checked("AWS_SECRET_ACCESS_KEY", secret_access_key);
    let session_token = checked("AWS_SESSION_TOKEN", session_token)?;
    Some(access_key_id?.zip(secret_access_key?).map(|(access_key_id, secret_access_key)| AwsKeys {
        access_key_id,
        secret_access_key,
        session_token,
    }))
}

/// Refuses what no header can carry, such as a second line end; the SDK breaks down over it.
fn sendable(reader: &mut Reader<'_>, name: &str, secret: Secret) -> Option<Secret> {
    if secret.expose().chars().all(|c| (' '..='~').contains(&c)) {
        return Some(secret);
    }
    let what = "has a character in it that cannot be sent, such as a line end";
    note(reader, name, what, "set it to the secret and nothing else".to_owned());
    None
}

fn mandatory(reader: &mut Reader<'_>, name: &str) -> Option<Secret> {
    let found = variable(reader, name)?;
    if found.is_none() {
        let hint = format!(
            "set this variable, or `{name}_FILE` to the path of a file that holds the value"
        );
        note(reader, name, "not set", hint);
    }
    found
}

fn without_colon(reader: &mut Reader<'_>, name: Secret) -> Option<Secret> {
    if !name.expose().contains(':') {
        return Some(name);
    }
    let hint = "write it such as `user@tenant.example`; the password has a variable of its own";
    note(
        reader,
        "GWS_USERNAME",
        "has a colon in it, which HTTP Basic cannot carry",
        hint.to_owned(),
    );
    None
}

/// Reads a variable or the file that its sibling names; an empty variable is none.
pub(super) fn variable(reader: &mut Reader<'_>, name: &str) -> Option<Option<Secret>> {
    let file_name = format!("{name}_FILE");
    let look_up = |name: &str| (reader.layers.env)(name).filter(|value| !value.is_empty());
    match (look_up(name), look_up(&file_name)) {
        (None, None) => Some(None),
        (Some(_), Some(_)) => {
            note(reader, name, &format!("set, and `{file_name}` too"), "unset one".to_owned());
            None
        }
        (Some(value), None) => match value.into_string() {
            Ok(text) => Some(Some(Secret::new(text))),
            Err(_) => {
                note(reader, name, "not UTF-8", "set it as UTF-8 text".to_owned());
                None
            }
        },
        (None, Some(path)) => {
            let path = reader.layers.current_dir.join(path);
            match std::fs::read(&path).map(String::from_utf8) {
                Ok(Ok(text)) if !without_line_end(&text).is_empty() => {
                    Some(Some(Secret::new(without_line_end(&text))))
                }
                outcome => {
                    let what = match outcome {
                        Err(error) => format!("the file that it names cannot be read: {error}"),
                        Ok(Err(_)) => "the file that it names is not UTF-8".to_owned(),
                        Ok(Ok(_)) => "the file that it names is empty".to_owned(),
                    };
                    // Not the value: whoever takes this variable for the other puts the secret in.
                    let hint = format!("it must name a file that holds {name} and nothing else");
                    note(reader, &file_name, &what, hint);
                    None
                }
            }
        }
    }
}

/// Also without the mark that editors of Windows put before UTF-8.
fn without_line_end(text: &str) -> &str {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

fn note(reader: &mut Reader<'_>, variable: &str, what: &str, hint: String) {
    let (place, message) = (variable.to_owned(), what.to_owned());
    reader.problems.push(Problem { place, message, hint: Some(hint) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_editors_put_around_a_secret_is_none_of_it() {
        for (text, secret) in [
            ("secret", "secret"),
            ("secret\n", "secret"),
            ("secret\r\n", "secret"),
            ("\u{feff}secret\r\n", "secret"),
            // Who means more than one line end, or a blank, gets it.
            (" secret \n\n", " secret \n"),
            ("\u{feff}\r\n", ""),
        ] {
            assert_eq!(without_line_end(text), secret, "{text:?}");
        }
    }
}
