//! A request that is under way, and what its page has shown so far.
//!
//! Given the records of a page one by one, counts what the decisions behind it need.
//!
//! **Invariant:** nothing is decided here.

use std::collections::HashSet;

use super::{Ask, Ground};

/// Why a page is asked for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// List the ground.
    List,
    /// See whether the server ever sends more records than the page of this ground had.
    ProveLargerPage { than: u32 },
}

/// The request that is under way and what its page has shown so far.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) ground: Ground,
    pub(super) ask: Ask,
    pub(super) purpose: Purpose,
    pub(super) followed: Vec<String>,
    pub(super) fruitless_links: u32,
    /// Whether any page of the chain of links brought something new.
    pub(super) chain_brought_new: bool,
    /// All records of the chain, other grounds' too: a page of those is no standstill.
    pub(super) chain: HashSet<u128>,
    pub(super) rows: u32,
    /// Without those that a server repeats on a page, beyond its cap.
    pub(super) different: HashSet<u128>,
    /// Records whose time was not asked for.
    pub(super) strays: u32,
    pub(super) new: u32,
    /// Records that no page of the chain had before.
    pub(super) unseen: u32,
    pub(super) inside: Option<(i64, i64)>,
    pub(super) last: Option<i64>,
    pub(super) rises: u32,
    pub(super) falls: u32,
}

impl Page {
    pub(super) fn over(ground: Ground) -> Page {
        let ask =
            Ask { from_ms: ground.from - 1, to_ms: ground.to, limit: ground.limit, link: None };
        Page {
            ground,
            ask,
            purpose: Purpose::List,
            followed: Vec::new(),
            fruitless_links: 0,
            chain_brought_new: false,
            chain: HashSet::new(),
            rows: 0,
            different: HashSet::new(),
            strays: 0,
            new: 0,
            unseen: 0,
            inside: None,
            last: None,
            rises: 0,
            falls: 0,
        }
    }

    pub(super) fn different(&self) -> u32 {
        self.different.len() as u32
    }

    pub(super) fn ask_covers(&self, at: i64) -> bool {
        self.ask.from_ms <= at && at <= self.ask.to_ms
    }

    pub(super) fn see_order(&mut self, at: i64) {
        match self.last {
            Some(last) if at > last => self.rises += 1,
            Some(last) if at < last => self.falls += 1,
            _ => {}
        }
        self.last = Some(at);
    }

    pub(super) fn see_inside(&mut self, at: i64) {
        let (oldest, newest) = self.inside.unwrap_or((at, at));
        self.inside = Some((oldest.min(at), newest.max(at)));
    }

    pub(super) fn clear(&mut self) {
        (self.rows, self.strays, self.new, self.unseen) = (0, 0, 0, 0);
        (self.rises, self.falls) = (0, 0);
        (self.inside, self.last, self.different) = (None, None, HashSet::new());
    }
}
