//! Strings that must not be seen: passwords, access keys, session tokens.
//!
//! Given the text once, when it is read; gives it back only through [`Secret::expose`].
//!
//! **Invariant:** there is no way to print a secret by accident: `Debug` and `Display` show
//! `[redacted]`, and nothing here serialises it.

use std::fmt;

/// A text that prints as `[redacted]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text that must not be printed from here on.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Gives the text itself; every call is a place to look at in a review.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A user name and its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub username: Secret,
    /// The password.
    pub password: Secret,
}

/// The keys to S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsKeys {
    /// Which key it is.
    pub access_key_id: Secret,
    /// The key itself.
    pub secret_access_key: Secret,
    /// The token that goes with temporary keys.
    pub session_token: Option<Secret>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_seen_only_where_it_is_exposed() {
        let secret = Secret::new("swordfish");
        assert_eq!(format!("{secret} {secret:?} {:#?}", Some(&secret)), {
            "[redacted] [redacted] Some(\n    [redacted],\n)"
        });
        assert_eq!(secret.expose(), "swordfish");
    }
}
