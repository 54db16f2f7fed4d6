//! What the operator is told about a window, in plain words.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};

/// What the operator is told about a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// There is no watermark that could decide.
    Beginning {
        /// Where the run starts.
        from: DateTime<Utc>,
    },
    /// There is none, but others of the target have one.
    Joining {
        /// Where the run starts.
        from: DateTime<Utc>,
    },
    /// The instances of this run have agreed on an earlier start.
    Agreed {
        /// Where the run starts.
        from: DateTime<Utc>,
    },
    /// The watermark decided.
    Continuing {
        /// Where the run starts.
        from: DateTime<Utc>,
    },
    /// The rescan of the day is due.
    Rescan {
        /// Where it starts.
        from: DateTime<Utc>,
    },
    /// Earlier runs asked for less.
    WiderScope {
        /// Where the ground begins that is listed again.
        since: DateTime<Utc>,
    },
    /// Nothing covers the time between the watermark and the window.
    Gap {
        /// The watermark, which stays.
        watermark: DateTime<Utc>,
        /// Where the window starts.
        from: DateTime<Utc>,
    },
}

impl Note {
    /// Tells whether the operator should act on it.
    pub fn is_warning(&self) -> bool {
        matches!(self, Self::Gap { .. })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beginning { from } => write!(
                f,
                "there is no watermark: beginning at {}, as far back as maxAge says; to go back \
                 further use --from",
                text(from)
            ),
            Self::Joining { from } => write!(
                f,
                "there is no watermark of this instance: beginning at {}, from where on the others \
                 of this target have not handled its share; to go back further use --from",
                text(from)
            ),
            Self::Agreed { from } => {
                write!(f, "beginning at {}, as the instances of this run have agreed", text(from))
            }
            Self::Continuing { from } => {
                write!(f, "maxAge is not used: continuing at {}; to go back use --from", text(from))
            }
            Self::Rescan { from } => write!(
                f,
                "once a day the listing goes back further: to {}, for media that came late",
                text(from)
            ),
            Self::WiderScope { since } => write!(
                f,
                "the settings ask for more than when the recordings since {} were saved, or for \
                 another share: going back to then; what is held is skipped",
                text(since)
            ),
            Self::Gap { watermark, from } => write!(
                f,
                "there is a gap: recordings from the watermark {} to {} are not covered by this \
                 run, so the watermark stays",
                text(watermark),
                text(from)
            ),
        }
    }
}

/// Gives a time as the operator may write it: RFC 3339, in UTC.
pub(super) fn text(at: &DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
