//! The habits of the metadata API. **Invariant**: plain data, changed by tests while the API runs.

use crate::world::Recording;

/// The user of the metadata API.
pub const USER: &str = "backup@tenant.example";
/// The user's password.
pub const PASSWORD: &str = "correct horse battery staple";

/// In which order a page lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The newest first.
    NewestFirst,
    /// The oldest first.
    OldestFirst,
    /// In no order, but always the same one for the same range.
    Unsorted,
}

/// How the records of a page that go beyond the cap are said to exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links {
    /// The property that holds the link: `nextUri`, `next` or `paging.next`.
    pub property: String,
    /// The origin that the link names; `None`: the link is a path.
    pub origin: Option<String>,
    /// True: there is a link even when there is no more.
    pub always: bool,
    /// True: each link leads back to the page that it stands on.
    pub looping: bool,
}

impl Links {
    /// Makes honest links in this property.
    pub fn new(property: &str) -> Self {
        Self { property: property.to_owned(), origin: None, always: false, looping: false }
    }
}

/// A row that goes or comes while somebody pages.
#[derive(Clone, Debug)]
pub enum Drift {
    /// The row with this number of the listing asked for vanishes before it is answered.
    Vanish(usize),
    /// A recording appears.
    Appear(Box<Recording>),
}

/// What the settings API answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settings {
    /// Names and values.
    List(Vec<(String, String)>),
    /// An HTTP status and the status code in the JSON.
    Refused(u16, i64),
}

/// The habits of the server; change them while it runs.
#[derive(Clone, Debug)]
pub struct GwsBehaviour {
    /// The path below which the API lives.
    pub prefix: String,
    /// The path of the recording API.
    pub recordings_uri: String,
    /// The path of the settings API.
    pub settings_uri: String,
    /// The user that is let in.
    pub user: String,
    /// The password that is let in.
    pub password: String,
    /// True: media are given to everybody, without a login.
    pub media_public: bool,
    /// True: a request without the session cookie is refused, but for the first one.
    pub cookie_required: bool,
    /// The order of a page.
    pub order: Order,
    /// The most records of a page, whatever limit is asked for.
    pub cap: usize,
    /// Whether a recording that starts at the range's first millisecond is in it.
    pub lower_edge_inclusive: bool,
    /// Whether a recording that starts at the range's last millisecond is in it.
    pub upper_edge_inclusive: bool,
    /// Links to the next page.
    pub links: Option<Links>,
    /// Rows that come and go: before the listing with this number (from 1) is answered.
    pub drift: Vec<(u64, Drift)>,
    /// True: the range asked for is ignored, and everything is listed.
    pub range_ignored: bool,
    /// Listings of a range with this instant in it, in epoch milliseconds, are answered 500.
    pub broken_at: Option<i64>,
    /// True: the answer has no `recordings` at all.
    pub recordings_omitted: bool,
    /// The status code of listings: 0, or 7 for partial success.
    pub status_code: i64,
    /// True: JSON over many lines.
    pub pretty: bool,
    /// Late media are listed from this listing (from 1) on; `None`: only after `publish_late`.
    pub late_from_listing: Option<u64>,
    /// Where the API has moved: an origin that every request is redirected to.
    pub redirect_to: Option<String>,
    /// What the settings API answers.
    pub settings: Settings,
}

impl Default for GwsBehaviour {
    fn default() -> Self {
        Self {
            prefix: "/api/v2".to_owned(),
            recordings_uri: "/recordings".to_owned(),
            settings_uri: "/me/settings/rcbs".to_owned(),
            user: USER.to_owned(),
            password: PASSWORD.to_owned(),
            media_public: false,
            cookie_required: false,
            order: Order::NewestFirst,
            cap: 10_000,
            lower_edge_inclusive: true,
            upper_edge_inclusive: true,
            links: None,
            drift: Vec::new(),
            range_ignored: false,
            broken_at: None,
            recordings_omitted: false,
            status_code: 0,
            pretty: false,
            late_from_listing: None,
            redirect_to: None,
            settings: Settings::List(Vec::new()),
        }
    }
}
