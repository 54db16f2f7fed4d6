//! What is wrong, or only odd, in a configuration, in words for its operator.
//!
//! **Invariant:** no text in here holds a secret; whoever makes a problem sees to it.

use std::fmt;

/// One thing that is wrong, or one that is odd enough to warn of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where to look: `config.properties:12`, `--set`, `settings API`, or a variable.
    pub place: String,
    /// What is wrong there: the property, what is the matter, and the value.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Everything that is wrong with a configuration, and what was odd about it too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    /// What has to be mended; never empty.
    pub problems: Vec<Problem>,
    /// What was odd; often the cause of a problem, such as a name with a slip.
    pub warnings: Vec<Problem>,
}

impl std::error::Error for ConfigErrors {}

/// Writes whole lines that begin with `warning: `, `error: ` or `hint: `.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let warnings = self.warnings.iter().map(|warning| ("warning", warning));
        let problems = self.problems.iter().map(|problem| ("error", problem));
        for (at, (kind, problem)) in warnings.chain(problems).enumerate() {
            let line_end = if at == 0 { "" } else { "\n" };
            write!(f, "{line_end}{kind}: {problem}")?;
            if let Some(hint) = &problem.hint {
                write!(f, "\nhint: {hint}")?;
            }
        }
        Ok(())
    }
}

/// What is wrong with one value, before it is known where the value stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bad {
    pub(super) what: String,
    pub(super) hint: Option<String>,
}

/// Says what is wrong with a value and what to do about it.
pub(super) fn bad(what: impl Into<String>, hint: impl Into<String>) -> Bad {
    Bad { what: what.into(), hint: Some(hint.into()) }
}
