//! Strings that must not be seen: passwords, access keys, session tokens.
//!
//! Given the text once, when it is read; gives it back only through [`Secret::expose`], and takes it
//! out of what others wrote, through a [`Mask`].
//!
//! **Invariant:** there is no way to print a secret by accident: `Debug` and `Display` show
//! `[redacted]`, and nothing here serialises it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

const REDACTED: &str = "[redacted]";

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

impl Login {
    /// Gives what takes this login out of a text.
    pub fn mask(&self) -> Mask {
        let Login { username, password } = self;
        let pair = format!("{}:{}", username.expose(), password.expose());
        Mask::of([&pair, password.expose()])
    }
}

impl AwsKeys {
    /// Gives what takes these keys out of a text.
    pub fn mask(&self) -> Mask {
        let token = self.session_token.as_ref();
        let others = [&self.secret_access_key, &self.access_key_id];
        Mask::of(token.into_iter().chain(others).map(Secret::expose))
    }
}

/// Takes secrets out of texts that a server wrote, which may send back what it was sent.
#[derive(Clone, Default)]
pub struct Mask {
    /// Every spelling of each secret, the longest first.
    spellings: Vec<String>,
}

impl Mask {
    /// The least that a cut off secret shows of itself before that counts as one.
    const LEAST_BYTES: usize = 4;

    fn of<'s>(secrets: impl IntoIterator<Item = &'s str>) -> Mask {
        let mut spellings = Vec::new();
        for secret in secrets {
            let plain = secret.to_owned();
            // Padding may follow, and says nothing.
            let encoded = [STANDARD_NO_PAD.encode(secret), URL_SAFE_NO_PAD.encode(secret)];
            for spelling in [plain].into_iter().chain(encoded) {
                let (upper, lower) = percent_encoded(&spelling);
                spellings.extend([upper, lower, spelling]);
            }
        }
        spellings.retain(|spelling| !spelling.is_empty());
        spellings.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
        spellings.dedup();
        Mask { spellings }
    }

    /// Gives one that takes the secrets of both out.
    pub fn and(mut self, other: Mask) -> Mask {
        self.spellings.extend(other.spellings);
        self.spellings.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
        self
    }

    /// Gives a text without any of the secrets, nor the beginning of one where the text was cut.
    pub fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for spelling in &self.spellings {
            text = text.replace(spelling.as_str(), REDACTED);
        }
        let cut = self.spellings.iter().filter_map(|spelling| {
            let starts = text.char_indices().map(|(at, _)| at);
            let mut starts = starts.filter(|at| text.len() - at >= Self::LEAST_BYTES);
            starts.find(|at| spelling.starts_with(&text[*at..]))
        });
        if let Some(at) = cut.min() {
            text.truncate(at);
            text.push_str(REDACTED);
        }
        text
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// A text as it stands in an address, with the digits above nine written in either case.
fn percent_encoded(text: &str) -> (String, String) {
    let mut both = (String::new(), String::new());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            both.0.push(char::from(byte));
            both.1.push(char::from(byte));
        } else {
            both.0.push_str(&format!("%{byte:02X}"));
            both.1.push_str(&format!("%{byte:02x}"));
        }
    }
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_sends_back_is_shown_without_the_secrets_in_it() {
        let [username, password] = ["agent", "p+ss/wörd"].map(Secret::new);
        let mask = Login { username, password }.mask();
        for (text, shown) in [
            ("user agent: `p+ss/wörd` is wrong", "user agent: `[redacted]` is wrong"),
            ("Basic YWdlbnQ6cCtzcy93w7ZyZA==, again", "Basic [redacted]==, again"),
            ("?p=p%2Bss%2Fw%C3%B6rd&p=p%2bss%2fw%c3%b6rd", "?p=[redacted]&p=[redacted]"),
            ("cCtzcy93w7ZyZA cCtzcy93w7ZyZA", "[redacted] [redacted]"),
            ("cut: Basic YWdlbnQ6cCt", "cut: Basic [redacted]"),
            ("cut: p+ss", "cut: [redacted]"),
            ("p+s and nothing of it", "p+s and nothing of it"),
            ("", ""),
        ] {
            assert_eq!(mask.clean(text), shown);
        }
        let keys = AwsKeys {
            access_key_id: Secret::new("AKIAKEY"),
            secret_access_key: Secret::new("se/cret"),
            session_token: Some(Secret::new("to+ken==")),
        };
        let text = "AKIAKEY se/cret se%2Fcret to+ken== to%2Bken%3D%3D";
        assert_eq!(keys.mask().clean(text), ["[redacted]"; 5].join(" "));
        assert_eq!(format!("{:?}", keys.mask()), "[redacted]");
    }

    #[test]
    fn a_secret_is_seen_only_where_it_is_exposed() {
        let secret = Secret::new("swordfish");
        assert_eq!(format!("{secret} {secret:?} {:#?}", Some(&secret)), {
            "[redacted] [redacted] Some(\n    [redacted],\n)"
        });
        assert_eq!(secret.expose(), "swordfish");
    }
}
