//! What an audit tells by name, and in which states recordings can be.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::ledger::Accepted;
use crate::window::serialize_time;

/// What is known of a recording; of several that would fit, the last counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// All that is listed and wanted is held, with its metadata.
    Held,
    /// It is held, and is not listed any more.
    Hidden,
    /// It is held, and more of it may still come.
    Waiting,
    /// What is lacking has failed, and an operator has accepted the loss.
    Accepted,
    /// What is lacking has failed, and is not listed any more.
    Gone,
    /// It is listed, and nobody has tried what is lacking.
    Missing,
    /// It is listed, and what is lacking has failed.
    Failed,
}

impl State {
    /// All states, in their order.
    pub const ALL: [State; 7] = [
        State::Held,
        State::Hidden,
        State::Waiting,
        State::Accepted,
        State::Gone,
        State::Missing,
        State::Failed,
    ];

    /// Its name in a table.
    pub fn name(self) -> &'static str {
        match self {
            State::Held => "held",
            State::Hidden => "hidden",
            State::Waiting => "waiting",
            State::Accepted => "accepted",
            State::Gone => "gone",
            State::Missing => "missing",
            State::Failed => "failed",
        }
    }

    /// Tells whether all that there is of the recording is held.
    pub fn is_held(self) -> bool {
        match self {
            State::Held | State::Hidden | State::Waiting => true,
            State::Accepted | State::Gone | State::Missing | State::Failed => false,
        }
    }

    /// Tells whether an audit can be complete with it.
    pub fn is_settled(self) -> bool {
        self.is_held() || self == State::Accepted
    }
}

/// One thing that is lacking of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Loss {
    /// The `mediaId`; none where it is the recording itself, or its metadata.
    pub media: Option<String>,
    /// What is known of it.
    pub state: State,
    /// Why it is not held.
    pub cause: String,
    /// How many runs have tried.
    pub attempts: u64,
    /// Why the loss was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When it was accepted.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "serialize_maybe")]
    pub accepted_at: Option<DateTime<Utc>>,
}

impl Loss {
    pub(super) fn new(media: &str, state: State, cause: &str, attempts: u64) -> Loss {
        Loss {
            media: (!media.is_empty()).then(|| media.to_owned()),
            state,
            cause: cause.to_owned(),
            attempts,
            why: None,
            accepted_at: None,
        }
    }

    pub(super) fn accepted(self, accepted: Accepted) -> Loss {
        let Accepted { at, why } = accepted;
        Loss { state: State::Accepted, why: Some(why), accepted_at: Some(at), ..self }
    }
}

fn serialize_maybe<S: serde::Serializer>(
    at: &Option<DateTime<Utc>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serialize_time(at, serializer),
        None => serializer.serialize_none(),
    }
}

/// Something that is named, because it is not held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Finding {
    /// A recording of which something is lacking.
    Recording {
        /// What is known of it.
        state: State,
        /// Its id.
        id: String,
        /// When it started.
        #[serde(serialize_with = "serialize_time")]
        started_at: DateTime<Utc>,
        /// The instance whose share it is.
        instance: u32,
        /// What is lacking.
        losses: Vec<Loss>,
    },
    /// A record that cannot be understood.
    Rejected {
        /// Always `rejected`.
        state: &'static str,
        /// Its id, if it has one.
        id: Option<String>,
        /// What is wrong with it.
        cause: &'static str,
    },
    /// A part of the period that could not be listed.
    Unlisted {
        /// Always `unlisted`.
        state: &'static str,
        /// Where it begins.
        #[serde(serialize_with = "serialize_time")]
        from: DateTime<Utc>,
        /// Where it ends, exclusively.
        #[serde(serialize_with = "serialize_time")]
        to: DateTime<Utc>,
        /// Why.
        cause: String,
        /// How many recordings of that time the ledgers hold; they are not counted otherwise.
        held: u64,
    },
}
