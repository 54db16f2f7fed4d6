//! GWS, the API that knows which recordings exist.
//!
//! Given a range of time, a [`Pager`] gives its recordings one by one, each once, while the pages
//! still arrive; what could not be listed is named at the end.
//!
//! **Invariant:** only GET is used; the login goes to the configured origin alone; a page is never
//! held in memory.

mod error;
mod page;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use reqwest::header::DATE;
use reqwest::{StatusCode, Url};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_128;

pub use error::GwsError;

use self::error::{check_redirect, transient};
use self::page::Page;
use super::listing::{Ask, Habits, Listing, Row, Streak, Unlisted};
use crate::gate::{Gate, Pass};
use crate::http::{Client, Proxy, Retry, chain, retry_after};
use crate::recording::{Recording, Rejected};
use crate::secret::{Login, Mask};

/// How large the answer of the settings API may be.
const SETTINGS_BYTES: usize = 1 << 20;
/// The most probes that the search for the oldest recording makes.
const PROBES: u32 = 100;

/// The metadata API.
#[derive(Clone)]
pub struct Gws {
    /// The client; its cookies are GWS's.
    pub http: Client,
    /// The base of the API.
    pub prefix: Url,
    /// The path of the recording API below the base.
    pub recordings_uri: String,
    /// The path of the settings API below the base.
    pub settings_uri: String,
    /// The login.
    pub login: Login,
    /// Tries after the first.
    pub retries: u32,
    /// How many pages may be asked for at the same time.
    pub gate: Arc<Gate>,
}

/// What the settings API answered.
#[derive(Debug, Default)]
pub struct Settings {
    /// Names and values; none where GWS keeps no settings.
    pub entries: Vec<(String, String)>,
    /// The time by GWS's clock.
    pub answered_at: Option<DateTime<Utc>>,
}

/// Something that a page held.
#[derive(Debug)]
pub enum Listed {
    /// A recording of the range.
    Recording(Recording),
    /// A recording whose startTime lies outside what was asked.
    Outside(Recording),
    /// A record without usable id or startTime.
    Rejected(Rejected),
}

impl Gws {
    /// Asks for the settings that are kept at GWS, and for the time there.
    pub async fn settings(&self) -> Result<Settings, GwsError> {
        let mut retry = Retry::new(self.retries);
        loop {
            match self.ask_settings().await {
                Ok(settings) => return Ok(settings),
                Err(error) => {
                    let error = error.without(&self.mask());
                    let advice = error.advice();
                    retry.pause(error, advice).await?;
                }
            }
        }
    }

    async fn ask_settings(&self) -> Result<Settings, GwsError> {
        let url = format!("{}{}", self.base(), self.settings_uri);
        let mut response = self.http.send(self.get(&url)).await.map_err(GwsError::from_fault)?;
        let http = response.status();
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
        let answered_at = date
            .and_then(|date| DateTime::parse_from_rfc2822(date).ok())
            .map(|date| date.with_timezone(&Utc));
        check_redirect(&response)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(GwsError::from_fault)? {
            body.extend_from_slice(&chunk);
            if body.len() > SETTINGS_BYTES {
                break;
            }
        }
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let code = body["statusCode"].as_i64();
        if http == StatusCode::UNAUTHORIZED || code == Some(20) {
            return Err(GwsError::Denied { http: http.as_u16(), code: code.unwrap_or(20) });
        }
        if transient(http.as_u16()) {
            return Err(GwsError::Status {
                http: http.as_u16(),
                wait: retry_after(response.headers()),
            });
        }
        let entries = match (http.is_success(), code) {
            // Their names, and values that are wrong, are shown.
            (true, Some(0)) => {
                let login = self.mask();
                let clean =
                    |(name, value): (String, String)| (login.clean(&name), login.clean(&value));
                setting_entries(&body).into_iter().map(clean).collect()
            }
            _ => Vec::new(),
        };
        Ok(Settings { entries, answered_at })
    }

    /// Lists `[from, to)`.
    pub fn list(&self, from: DateTime<Utc>, to: DateTime<Utc>, learned: &Learned) -> Pager {
        Pager {
            gws: self.clone(),
            listing: Listing::new(from.timestamp_millis(), to.timestamp_millis()),
            learned: learned.clone(),
            streak: Arc::default(),
            under_way: None,
            records: Vec::new().into_iter(),
            pass: None,
            retry: Retry::new(self.retries),
            forbidden: None,
        }
    }

    /// Finds a time, to the day, before which GWS has no recording; none if it has none before `to`.
    ///
    /// Halves the time since 1970, so that empty decades cost a few requests.
    pub async fn oldest_before(
        &self,
        to: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, GwsError> {
        const DAY_MS: i64 = 86_400_000;
        let (mut empty_before, mut seen_before) = (0, to.timestamp_millis());
        if self.first_of(empty_before, seen_before).await?.is_none() {
            return Ok(None);
        }
        for _ in 0..PROBES {
            if seen_before - empty_before <= DAY_MS {
                break;
            }
            let middle = empty_before + (seen_before - empty_before) / 2;
            match self.first_of(empty_before, middle).await? {
                Some(at) => seen_before = middle.min(at + 1),
                None => empty_before = middle,
            }
        }
        Ok(DateTime::from_timestamp_millis(empty_before))
    }

    /// The startTime of some recording of a range, if it has any.
    async fn first_of(&self, from_ms: i64, to_ms: i64) -> Result<Option<i64>, GwsError> {
        let recordings = self.sample(from_ms, to_ms, 10).await?;
        let times = recordings.iter().map(|recording| recording.started_at.timestamp_millis());
        Ok(times.filter(|at| (from_ms..to_ms).contains(at)).min())
    }

    /// Fetches one page of a range, as a sample.
    pub async fn sample(
        &self,
        from_ms: i64,
        to_ms: i64,
        limit: u32,
    ) -> Result<Vec<Recording>, GwsError> {
        let ask = Ask { from_ms: from_ms - 1, to_ms: to_ms + 1, limit, link: None };
        let mut retry = Retry::new(self.retries);
        loop {
            let mut page = self.request(&ask);
            let mut recordings = Vec::new();
            while let Some(records) = page.records.recv().await {
                recordings
                    .extend(records.into_iter().filter_map(|json| Recording::parse(json).ok()));
            }
            match page.end().await {
                Ok(_) => return Ok(recordings),
                Err(error) => {
                    let advice = error.advice();
                    retry.pause(error, advice).await?;
                }
            }
        }
    }

    /// The proxy that it is asked through.
    pub fn proxy(&self) -> Option<&Proxy> {
        self.http.proxy_for(&self.prefix)
    }

    fn url(&self, ask: &Ask) -> String {
        match &ask.link {
            Some(link) => match self.prefix.join(link) {
                // Servers name internal hosts in their links: only path and query count.
                Ok(link) => {
                    let mut url = self.prefix.clone();
                    url.set_path(link.path());
                    url.set_query(link.query());
                    url.to_string()
                }
                Err(_) => self.base(),
            },
            None => format!(
                "{}{}/download/?startTimeRange={},{}&limit={}",
                self.base(),
                self.recordings_uri,
                ask.from_ms,
                ask.to_ms,
                ask.limit
            ),
        }
    }

    fn base(&self) -> String {
        self.prefix.as_str().trim_end_matches('/').to_owned()
    }

    fn get(&self, url: &str) -> reqwest::RequestBuilder {
        let Login { username, password } = &self.login;
        let request = self.http.get(url).header("Accept", "application/json");
        request.basic_auth(username.expose(), Some(password.expose()))
    }

    /// What takes the logins out of what a server, or a proxy in its place, wrote.
    fn mask(&self) -> Mask {
        self.login.mask().and(self.http.mask())
    }

    fn request(&self, ask: &Ask) -> Page {
        let Ask { from_ms, to_ms, limit, link } = ask;
        // No address: a server's link may have a token in it.
        tracing::debug!(from_ms, to_ms, limit, by_link = link.is_some(), "asking GWS");
        Page::begin(self.http.clone(), self.get(&self.url(ask)), self.mask())
    }
}

fn setting_entries(body: &serde_json::Value) -> Vec<(String, String)> {
    let entries = body["settings"].as_array().map(Vec::as_slice).unwrap_or_default();
    let named = entries.iter().filter_map(|entry| {
        let value = match &entry["value"] {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Null => return None,
            other => other.to_string(),
        };
        Some((entry["name"].as_str()?.to_owned(), value))
    });
    named.collect()
}

/// What has been learned about GWS, by all that list at the same time.
#[derive(Debug, Clone, Default)]
pub struct Learned(Arc<Mutex<Habits>>);

impl Learned {
    /// Whether any request was ever answered.
    pub fn answered(&self) -> bool {
        self.habits().answered
    }

    fn habits(&self) -> MutexGuard<'_, Habits> {
        lock(&self.0)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What was learned is whole between any two pages, whatever panicked meanwhile.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The listing of one range, or of a piece of it, under way.
pub struct Pager {
    gws: Gws,
    listing: Listing,
    learned: Learned,
    /// Shared by all pieces of the range.
    streak: Arc<Mutex<Streak>>,
    under_way: Option<(Ask, Page)>,
    /// Records of the page under way that came and were not taken yet.
    records: std::vec::IntoIter<Box<RawValue>>,
    /// Of the page under way, while it is not waited for another try.
    pass: Option<Pass>,
    retry: Retry,
    /// The last answer that the user may not list recordings, if there was one.
    pub forbidden: Option<GwsError>,
}

impl Pager {
    /// Gives the next recording; nothing more at the end of the range.
    ///
    /// Only a refused login is an error; whatever else goes wrong ends in [`Pager::unlisted`].
    pub async fn next(&mut self) -> Result<Option<Listed>, GwsError> {
        while self.has_more() {
            if let Some(listed) = self.next_of_page().await? {
                return Ok(Some(listed));
            }
        }
        Ok(None)
    }

    /// Gives the next recording; nothing more at the end of one page, or of the range.
    pub async fn next_of_page(&mut self) -> Result<Option<Listed>, GwsError> {
        loop {
            for json in self.records.by_ref() {
                if let Some(listed) = take(&mut self.listing, json) {
                    self.retry.got_on();
                    return Ok(Some(listed));
                }
            }
            let (ask, page) = match &mut self.under_way {
                Some(under_way) => under_way,
                None => {
                    let Some(ask) = self.listing.next_ask() else { return Ok(None) };
                    self.retry = Retry::new(self.gws.retries);
                    self.pass = Some(self.gws.gate.pass().await);
                    let page = self.gws.request(&ask);
                    self.under_way.insert((ask, page))
                }
            };
            if let Some(records) = page.records.recv().await {
                self.pass.iter_mut().for_each(Pass::answered);
                self.records = records.into_iter();
                continue;
            }
            let error = match page.end().await {
                Ok(end) => {
                    let (mut habits, mut streak) = (self.learned.habits(), lock(&self.streak));
                    self.listing.page_ended(end.link, &mut habits, &mut streak);
                    self.under_way = None;
                    self.pass.take().into_iter().for_each(|mut pass| pass.received(0));
                    return Ok(None);
                }
                Err(error @ GwsError::Denied { .. }) => return Err(error),
                Err(error) => error,
            };
            let advice = error.advice();
            if let Some(mut pass) = self.pass.take().filter(|_| error.asks_for_fewer()) {
                pass.pushed_back();
            }
            match self.retry.pause(error, advice).await {
                Ok(()) => {
                    self.pass = Some(self.gws.gate.pass().await);
                    self.listing.again();
                    *page = self.gws.request(ask);
                }
                Err(error) => {
                    let (habits, mut streak) = (self.learned.habits(), lock(&self.streak));
                    self.listing.unanswered(&chain(&error), &habits, &mut streak);
                    self.under_way = None;
                    if matches!(error, GwsError::Refused { code: 3 | 5, .. }) {
                        self.forbidden = Some(error);
                    }
                    return Ok(None);
                }
            }
        }
    }

    /// Tells whether there is more to ask.
    pub fn has_more(&self) -> bool {
        self.listing.has_more()
    }

    /// Tells where that begins which is still to be asked, epoch milliseconds.
    pub fn next_ms(&self) -> i64 {
        self.listing.next_ms()
    }

    /// Gives away up to so many pieces of what is left, between two pages; see [`Listing::split`].
    pub fn split(&mut self, pieces: usize) -> Vec<Pager> {
        let pieces = self.listing.split(pieces, &lock(&self.streak));
        let pagers = pieces.into_iter().map(|listing| Pager {
            gws: self.gws.clone(),
            listing,
            learned: self.learned.clone(),
            streak: Arc::clone(&self.streak),
            under_way: None,
            records: Vec::new().into_iter(),
            pass: None,
            retry: Retry::new(self.gws.retries),
            forbidden: None,
        });
        pagers.collect()
    }

    /// The parts that could not be listed.
    pub fn unlisted(self) -> Vec<Unlisted> {
        self.listing.unlisted()
    }
}

fn take(listing: &mut Listing, json: Box<RawValue>) -> Option<Listed> {
    // The text is the key: the same recording with other media in it is not the same record.
    let key = xxh3_128(json.get().as_bytes());
    match Recording::parse(json) {
        Ok(recording) => match listing.row(key, Some(recording.started_at.timestamp_millis())) {
            Row::New => Some(Listed::Recording(recording)),
            Row::Outside => Some(Listed::Outside(recording)),
            Row::Known => None,
        },
        Err(rejected) => match listing.row(key, None) {
            Row::Known => None,
            Row::New | Row::Outside => Some(Listed::Rejected(rejected)),
        },
    }
}
