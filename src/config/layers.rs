//! Finds the value of every property among the layers, and remembers where it came from.
//!
//! Given what was typed, the file, the settings API's answer and the environment, gives each
//! property's value once, and collects what is wrong with any of them.
//!
//! **Invariant:** a value that may hold a secret enters no message.

use std::collections::BTreeMap;

use super::problem::{Bad, Problem};
use super::property::{self, FROM_SETTINGS_API, PROPERTIES};
use super::{Layers, Origin, Setting};
use crate::properties::{self, Entry};

/// The layers as one, and what was found to be wrong so far.
pub(super) struct Reader<'a> {
    pub(super) layers: &'a Layers<'a>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    values: BTreeMap<&'static str, (String, Origin)>,
}

impl<'a> Reader<'a> {
    /// Stacks the layers: the command line over the file over the settings API.
    ///
    /// An empty value in the file is as good as none, as the original's file has many; an empty one
    /// on the command line puts the default back.
    pub(super) fn new(layers: &'a Layers<'a>) -> Self {
        let (problems, warnings, values) = (Vec::new(), Vec::new(), BTreeMap::new());
        let mut reader = Self { layers, problems, warnings, values };
        reader.stack_settings_api();
        for (name, variable) in [
            ("awsRegion", "AWS_REGION"),
            ("awsEndpointUrl", "AWS_ENDPOINT_URL"),
            ("awsEndpointUrl", "AWS_ENDPOINT_URL_S3"),
        ] {
            let value = (layers.env)(variable).unwrap_or_default();
            let value = value.to_string_lossy().trim().to_owned();
            if !value.is_empty() {
                reader.values.insert(name, (value, Origin::Environment(variable)));
            }
        }
        reader.stack_file();
        reader.stack_command_line();
        reader
    }

    fn stack_settings_api(&mut self) {
        for (name, value) in &self.layers.settings {
            match FROM_SETTINGS_API.into_iter().find(|known| known == name) {
                Some(_) if value.trim().is_empty() => {}
                Some(known) => {
                    self.values.insert(known, (value.trim().to_owned(), Origin::SettingsApi));
                }
                None => self.warnings.push(Problem {
                    place: Origin::SettingsApi.place(""),
                    message: format!("`{}` is not taken from there", shown("", name)),
                    hint: None,
                }),
            }
        }
    }

    fn stack_file(&mut self) {
        let Some((_, bytes)) = &self.layers.file else { return };
        let entries = match properties::parse(bytes) {
            Ok(entries) => entries,
            Err(error) => {
                let place = Origin::File { line: error.line() }.place(&self.file_name());
                let hint = "write `/` between folders, and `\\\\` for a backslash".to_owned();
                self.problems.push(Problem { place, message: error.to_string(), hint: Some(hint) });
                return;
            }
        };
        let mut last = BTreeMap::new();
        for Entry { name, value, line } in entries {
            let origin = Origin::File { line };
            let Some(known) = property::find(&name) else {
                self.unknown(&name, &origin);
                continue;
            };
            if let Some((_, before)) = last.insert(known.name, (value, line)) {
                self.warnings.push(Problem {
                    place: origin.place(&self.file_name()),
                    message: format!("`{name}` stands on line {before} already; this line counts"),
                    hint: None,
                });
            }
        }
        for (name, (value, line)) in last {
            if value.contains(" #") {
                let place = Origin::File { line }.place(&self.file_name());
                let message = format!("`{name}`: the `#` is part of the value");
                let hint = Some("a comment stands on a line of its own".to_owned());
                self.warnings.push(Problem { place, message, hint });
            }
            if !value.trim().is_empty() {
                self.values.insert(name, (value.trim().to_owned(), Origin::File { line }));
            }
        }
    }

    fn stack_command_line(&mut self) {
        for (name, value) in &self.layers.set {
            let Some(known) = property::find(name) else {
                self.unknown(name, &Origin::Set);
                continue;
            };
            if value.trim().is_empty() {
                self.values.remove(known.name);
            } else {
                self.values.insert(known.name, (value.trim().to_owned(), Origin::Set));
            }
        }
        for (option, name, value) in [
            ("--from", "maxDate", &self.layers.from),
            ("--to", "minDate", &self.layers.to),
            ("--bandwidth", "bandwidth", &self.layers.bandwidth),
        ] {
            if let Some(value) = value {
                self.values.insert(name, (value.trim().to_owned(), Origin::CommandLine(option)));
            }
        }
    }

    fn unknown(&mut self, name: &str, origin: &Origin) {
        let place = origin.place(&self.file_name());
        if let Some(variable) = property::credential(name) {
            // An escaped separator would make the secret a part of the name.
            let in_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
            let name = &name[..name.find(|c| !in_name(c)).unwrap_or(name.len())];
            let message = format!("`{name}`: credentials are read from the environment only");
            let hint = format!(
                "set the variable `{variable}`, or `{variable}_FILE` to the path of a file that \
                 holds it, and delete it here"
            );
            let problem = Problem { place, message, hint: Some(hint) };
            match origin {
                // The original does not read it either, so a file that it took must not fail here.
                Origin::File { .. } => self.warnings.push(problem),
                _ => self.problems.push(problem),
            }
            return;
        }
        let hint = property::nearest(name).map(|near| format!("did you mean `{near}`?"));
        let message = format!("unknown name: `{}`", shown("", name));
        self.warnings.push(Problem { place, message, hint });
    }

    /// Reads a property that always has a value, its own or the default.
    ///
    /// `None` says that it was bad, and that the problem has been noted.
    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, Bad>,
    ) -> Option<T> {
        self.optional(name, parse).flatten()
    }

    /// Reads a property that may have no value at all: `Some(None)`.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, Bad>,
    ) -> Option<Option<T>> {
        let Some(value) = self.value(name) else { return Some(None) };
        match parse(value) {
            Ok(parsed) => Some(Some(parsed)),
            Err(Bad { what, hint }) => {
                let message = format!("{what}: `{}`", shown(name, value));
                if self.origin(name) == Origin::SettingsApi {
                    // The operator cannot mend what the service says.
                    let hint = Some("it is ignored".to_owned());
                    self.warnings.push(self.problem(name, &message, hint));
                    self.values.remove(name);
                    return self.optional(name, parse);
                }
                self.problems.push(self.problem(name, &message, hint));
                None
            }
        }
    }

    /// Notes a problem that is not one of a single value.
    pub(super) fn contradiction(&mut self, name: &'static str, message: &str, hint: String) {
        self.problems.push(self.problem(name, message, Some(hint)));
    }

    /// Notes something odd about a property.
    pub(super) fn warn(&mut self, name: &'static str, message: &str, hint: String) {
        self.warnings.push(self.problem(name, message, Some(hint)));
    }

    fn problem(&self, name: &str, message: &str, hint: Option<String>) -> Problem {
        let origin = self.origin(name);
        let message = match origin {
            Origin::CommandLine(_) => message.to_owned(),
            _ => format!("`{name}`: {message}"),
        };
        Problem { place: origin.place(&self.file_name()), message, hint }
    }

    /// Gives the text that counts, if there is any.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        match self.values.get(name) {
            Some((value, _)) => Some(value),
            None => property::find(name)?.default,
        }
    }

    /// Tells where the text that counts came from.
    pub(super) fn origin(&self, name: &str) -> Origin {
        self.values.get(name).map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// Tells whether somebody set the property.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Names the file as the operator did.
    pub(super) fn file_name(&self) -> String {
        let file = self.layers.file.as_ref();
        file.map_or_else(|| "configuration".to_owned(), |(path, _)| path.display().to_string())
    }

    /// Tells whether the file, if there is one, could be read to its end.
    pub(super) fn file_is_sound(&self) -> bool {
        self.layers.file.as_ref().is_none_or(|(_, bytes)| properties::parse(bytes).is_ok())
    }

    /// Gives a value as it was written, with its escapes, as far as its first line goes.
    pub(super) fn written(&self, name: &str) -> Option<String> {
        let value = self.value(name)?;
        let (Origin::File { line }, Some((_, bytes))) = (self.origin(name), &self.layers.file)
        else {
            return Some(value.to_owned());
        };
        let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
        let line = text.split(['\r', '\n']).nth(line - 1)?.trim();
        let written = line.strip_prefix(name).unwrap_or(line);
        Some(written.trim_start_matches([' ', '\t', '\x0c', '=', ':']).to_owned())
    }

    /// Lists all properties as they count, in the order of the table.
    pub(super) fn settings(&self) -> Vec<Setting> {
        PROPERTIES
            .iter()
            .map(|property| Setting {
                name: property.name,
                value: shown(property.name, self.value(property.name).unwrap_or_default()),
                origin: self.origin(property.name),
            })
            .collect()
    }
}

/// Makes a value fit to be seen: no login or query of a URL, nothing that moves a cursor.
pub(super) fn shown(name: &str, value: &str) -> String {
    const URLS: [&str; 7] = [
        "gwsUriPrefix",
        "gwsRecordingsUri",
        "gwsSettingsUri",
        "gwsProxyHost",
        "awsProxyHost",
        "awsEndpointUrl",
        "mediaOrigins",
    ];
    // Whoever knows the address can silence the alarm.
    if name == "pingUrl" && !value.is_empty() {
        return "[redacted]".to_owned();
    }
    let may_hold_login = URLS.contains(&name) || value.contains("://");
    let value = match value.rfind('@') {
        Some(at) if may_hold_login => {
            let scheme_bytes = value[..at].find("://").map_or(0, |found| found + 3);
            format!("{}[redacted]{}", &value[..scheme_bytes], &value[at..])
        }
        _ => value.to_owned(),
    };
    let value = match value.split_once('?') {
        Some((address, _)) if may_hold_login => format!("{address}?[redacted]"),
        _ => value,
    };
    if value.contains(char::is_control) { value.escape_debug().to_string() } else { value }
}
