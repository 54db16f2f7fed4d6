//! The order in which a range of time is asked for, until it is listed to the end.
//!
//! The metadata API documents no paging, caps what it is asked for, and its rows come and go while
//! they are read. So a range is listed to the end when a request brings nothing new: after a page
//! the rest of the range is asked again, cut by time where the server sorts its rows, halved where
//! it does not. [`Listing`] is given what each page held and says what to ask next. What is left of
//! a large range can be [given away](Listing::split) in pieces, to be listed at the same time.
//!
//! **Invariant:** no I/O, and no way to leave a range silently. Every millisecond of the range ends
//! as listed or in [`Listing::unlisted`], and what is remembered is bounded by a few pages.

mod page;

use std::collections::{HashMap, HashSet, VecDeque};

use self::page::{Page, Purpose};

/// How many records are asked for at first.
pub const PAGE_LIMIT: u32 = 100;
/// How many records one request may ask for at most, where a single millisecond holds more.
const LARGEST_LIMIT: u32 = 10_000;
/// How often a page's times must change before its order is believed: 10! orders by chance.
const CHANGES_THAT_PROVE_ORDER: u32 = 9;
/// How many possibly cut pages in a row may bring nothing before the server is called endless.
const FRUITLESS_PAGES: u32 = 64;
/// How many requests in a row may fail before no smaller range is tried any more.
const FAILURES_IN_A_ROW: u32 = 8;
/// The same, while nothing was ever answered: the range and its two halves.
const FAILURES_AT_FIRST: u32 = 3;
/// How many records outside the range asked are put up with.
const OUTSIDERS: usize = 10_000;
/// How many pages a piece of what is left is expected to have at least. Each piece costs about one
/// request more, which has to be worth it.
const PAGES_OF_A_PIECE: i64 = 4;

/// One request: the records from `from_ms` to `to_ms`, or the page behind `link`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The older edge, epoch milliseconds; one before the first that counts.
    pub from_ms: i64,
    /// The newer edge, epoch milliseconds; one behind the last that counts.
    pub to_ms: i64,
    /// How many records to answer with at most.
    pub limit: u32,
    /// The page to get instead, as the server named it.
    pub link: Option<String>,
}

/// What is to be done with a record of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// It belongs to this range and was not there before.
    New,
    /// It came before, or belongs to another range.
    Known,
    /// It is new, but its time lies outside what was asked; it is kept all the same.
    Outside,
}

/// A part of the range that could not be listed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlisted {
    /// Epoch milliseconds, inclusive.
    pub from_ms: i64,
    /// Epoch milliseconds, exclusive.
    pub to_ms: i64,
    /// A fragment for the log.
    pub reason: String,
}

/// What has been learned about the server; it outlives one range, and all that are listed at the
/// same time share it.
#[derive(Debug, Clone, Default)]
pub struct Habits {
    /// The most new records a page ever had: no cap is smaller.
    largest_page: u32,
    order: Option<Order>,
    /// Whether any request was ever answered.
    pub answered: bool,
}

/// What the requests for one range, and for all pieces of it, came to lately.
#[derive(Debug, Clone, Default)]
pub struct Streak {
    /// How many in a row were not answered.
    failures: u32,
    /// How many pages in a row may be cut and brought nothing new.
    fruitless: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    NewestFirst,
    OldestFirst,
    Unsorted,
}

/// A half-open piece of time that is still to be listed.
#[derive(Debug, Clone, Copy)]
struct Ground {
    from: i64,
    to: i64,
    limit: u32,
    /// Records in the last page over this same ground with a smaller limit.
    rows_before: Option<u32>,
    /// Whether its links were followed again because they ended before their time.
    is_doubted: bool,
}

impl Ground {
    fn contains(&self, at: i64) -> bool {
        self.from <= at && at < self.to
    }
}

/// The listing of one range, `[from, to)`, or of a piece of it.
#[derive(Debug)]
pub struct Listing {
    from: i64,
    to: i64,
    grounds: VecDeque<Ground>,
    page: Option<Page>,
    next_page: Option<Page>,
    /// Records that may come again, with their times: those on ground not yet listed to the end.
    known: HashMap<u128, i64>,
    outsiders: HashSet<u128>,
    /// How many pages the first ground may still have, if its last one is a measure.
    pages_left: i64,
    unlisted: Vec<Unlisted>,
}

impl Listing {
    /// Begins to list `[from_ms, to_ms)`, epoch milliseconds.
    pub fn new(from_ms: i64, to_ms: i64) -> Listing {
        // One millisecond more than is kept: whether the server's edges count is not documented.
        let whole = Ground {
            from: from_ms,
            to: to_ms + 1,
            limit: PAGE_LIMIT,
            rows_before: None,
            is_doubted: false,
        };
        Listing::over(from_ms, to_ms, whole, HashMap::new())
    }

    fn over(from: i64, to: i64, ground: Ground, known: HashMap<u128, i64>) -> Listing {
        Listing {
            from,
            to,
            grounds: VecDeque::from([ground]),
            page: None,
            next_page: None,
            known,
            outsiders: HashSet::new(),
            pages_left: 0,
            unlisted: Vec::new(),
        }
    }

    /// Tells whether there is more to ask; also while a page is under way.
    pub fn has_more(&self) -> bool {
        self.page.is_some() || self.next_page.is_some() || !self.grounds.is_empty()
    }

    /// Tells where that begins which is still to be asked, epoch milliseconds.
    pub fn next_ms(&self) -> i64 {
        let next = self.next_page.as_ref().map(|page| page.ground.from);
        next.or(self.grounds.front().map(|ground| ground.from)).unwrap_or(self.to)
    }

    /// Gives away up to so many pieces of what is left, between two pages, so that they can be
    /// listed at the same time as the rest.
    ///
    /// Each millisecond is left in one of them, or here. Nothing is given away of a range that has
    /// little left, while requests for it come to nothing, and where the server sends what was not
    /// asked for.
    pub fn split(&mut self, pieces: usize, streak: &Streak) -> Vec<Listing> {
        let is_under_way = self.page.is_some() || self.next_page.is_some();
        let is_odd = streak.failures + streak.fruitless > 0 || !self.outsiders.is_empty();
        if is_under_way || is_odd {
            return Vec::new();
        }
        let mut given = Vec::new();
        while given.len() < pieces && self.grounds.len() > 1 {
            given.extend(self.grounds.pop_back());
        }
        let parts = (self.pages_left / PAGES_OF_A_PIECE).min((pieces - given.len() + 1) as i64);
        if parts > 1
            && let Some(ground) = self.grounds.pop_front()
        {
            let (length, count) = (i128::from(ground.to - ground.from), i128::from(parts));
            let cut = |part: i64| ground.from + (length * i128::from(part) / count) as i64;
            self.grounds.push_front(Ground { to: cut(1), ..ground });
            given.extend((1..parts).map(|n| Ground { from: cut(n), to: cut(n + 1), ..ground }));
        }
        self.pages_left = 0;
        let pieces = given.into_iter().map(|ground| {
            let known = self.known.extract_if(|_, at| ground.contains(*at)).collect();
            Listing::over(self.from, self.to, ground, known)
        });
        pieces.collect()
    }

    /// Says what to ask next; nothing more once the range is listed or given up.
    pub fn next_ask(&mut self) -> Option<Ask> {
        let page = match self.next_page.take() {
            Some(page) => page,
            None => Page::over(self.grounds.pop_front()?),
        };
        let ask = page.ask.clone();
        self.page = Some(page);
        Some(ask)
    }

    /// Takes a record of the page under way, told apart by `key`, that began at `at_ms`.
    ///
    /// A record whose time cannot be read is given without one.
    pub fn row(&mut self, key: u128, at_ms: Option<i64>) -> Row {
        let Some(page) = &mut self.page else { return Row::Known };
        page.rows += 1;
        page.different.insert(key);
        page.unseen += u32::from(page.chain.insert(key));
        let asked = page.ask.link.is_some() || matches!(at_ms, Some(at) if page.ask_covers(at));
        let Some(at) = at_ms.filter(|_| asked) else {
            page.strays += u32::from(at_ms.is_some());
            return if self.outsiders.insert(key) { Row::Outside } else { Row::Known };
        };
        page.see_order(at);
        if matches!(page.purpose, Purpose::ProveLargerPage { .. }) || !page.ground.contains(at) {
            return Row::Known;
        }
        page.see_inside(at);
        if self.known.insert(key, at).is_some() {
            return Row::Known;
        }
        page.new += 1;
        if self.from <= at && at < self.to { Row::New } else { Row::Known }
    }

    /// Forgets what the page under way has shown, because it is asked for once more.
    pub fn again(&mut self) {
        if let Some(page) = &mut self.page {
            let (new, unseen) = (page.new, page.unseen);
            page.clear();
            (page.new, page.unseen) = (new, unseen);
        }
    }

    /// Ends the page under way, which was whole; `link` is where the server says more is.
    pub fn page_ended(&mut self, link: Option<String>, habits: &mut Habits, streak: &mut Streak) {
        let Some(page) = self.page.take() else { return };
        (self.pages_left, streak.failures) = (0, 0);
        habits.learn(&page);
        if self.outsiders.len() > OUTSIDERS {
            self.give_up(page.ground, "the server answers with records from outside the range");
            return;
        }
        match page.purpose {
            Purpose::List => self.continue_behind(page, link, habits, streak),
            // Another range may have shown it meanwhile.
            Purpose::ProveLargerPage { than }
                if page.different().max(habits.largest_page) > than =>
            {
                self.forget_listed();
            }
            Purpose::ProveLargerPage { than } => self.fail(
                page.ground,
                format!(
                    "the server cuts its pages at {than} records, and no smaller part can be \
                     asked for"
                ),
            ),
        }
    }

    /// Ends the page under way, which could not be had in spite of retries.
    pub fn unanswered(&mut self, reason: &str, habits: &Habits, streak: &mut Streak) {
        let Some(page) = self.page.take() else { return };
        self.pages_left = 0;
        streak.failures += 1;
        let Ground { from, to, .. } = page.ground;
        let bearable = if habits.answered { FAILURES_IN_A_ROW } else { FAILURES_AT_FIRST };
        if streak.failures >= bearable {
            self.give_up(page.ground, reason);
        } else if to - from <= 1 || matches!(page.purpose, Purpose::ProveLargerPage { .. }) {
            self.fail(page.ground, reason.to_owned());
        } else {
            // To the end of the queue, so that a good range is tried between two bad ones.
            self.grounds.extend(page.ground.halves());
        }
    }

    /// The parts that could not be listed, in order of time; none if the range is listed.
    pub fn unlisted(self) -> Vec<Unlisted> {
        // The millisecond behind the range was asked for, but is not owed.
        let owed = |part: Unlisted| Unlisted { to_ms: part.to_ms.min(self.to), ..part };
        joined(self.unlisted.into_iter().map(owed).collect())
    }

    fn continue_behind(
        &mut self,
        page: Page,
        link: Option<String>,
        habits: &Habits,
        streak: &mut Streak,
    ) {
        let ground = page.ground;
        let is_cap = |rows| is_plausible_cap(rows) && rows >= habits.largest_page;
        let maybe_full = page.rows >= page.ask.limit
            || [page.rows, page.different(), page.new].into_iter().any(is_cap);
        let maybe_cut = maybe_full || link.is_some();
        if page.ask.link.is_some() {
            self.continue_chain(page, link);
            return;
        }
        streak.fruitless = if maybe_cut && page.new == 0 { streak.fruitless + 1 } else { 0 };
        if streak.fruitless >= FRUITLESS_PAGES {
            self.give_up(ground, "page after page brings nothing new");
            return;
        }
        // A page of one time shows no order, so it does not say which part of a full one is missing.
        let order = habits.order.filter(|_| !maybe_full || page.rises + page.falls > 0);
        let rest = match (page.inside, order) {
            (Some((oldest, _)), Some(Order::NewestFirst)) => Ground { to: oldest + 1, ..ground },
            (Some((_, newest)), Some(Order::OldestFirst)) => Ground { from: newest, ..ground },
            _ => ground,
        };
        if rest.from > ground.from || rest.to < ground.to {
            if page.new > 0 || maybe_cut {
                let (left, length) = (rest.to - rest.from, ground.to - ground.from);
                self.pages_left = if maybe_full { left / (length - left).max(1) } else { 0 };
                self.grounds.push_front(Ground { rows_before: None, ..rest });
            }
        } else if maybe_cut {
            self.divide(page, link);
        } else if page.new > 0 {
            self.grounds.push_front(ground);
        }
        self.forget_listed();
    }

    /// Goes on where a page that may be cut does not say which part of its ground is listed.
    fn divide(&mut self, page: Page, link: Option<String>) {
        let ground = page.ground;
        // Where most records were not asked for, a smaller range has no smaller page.
        let is_divisible = ground.to - ground.from > 1 && page.strays * 2 <= page.rows;
        if is_divisible {
            let [older, newer] = ground.halves();
            self.grounds.push_front(newer);
            self.grounds.push_front(older);
        } else if let Some(link) = link {
            self.follow(page, link);
        } else if ground.rows_before.is_none_or(|before| page.different() > before)
            && ground.limit < LARGEST_LIMIT
        {
            let limit = (ground.limit * 2).min(LARGEST_LIMIT);
            self.grounds.push_front(Ground {
                limit,
                rows_before: Some(page.different()),
                ..ground
            });
        } else if page.rows < ground.limit {
            self.next_page = Some(Page {
                ask: Ask {
                    from_ms: self.from - 1,
                    to_ms: self.to + 1,
                    limit: (page.different() * 2).clamp(PAGE_LIMIT, LARGEST_LIMIT),
                    link: None,
                },
                purpose: Purpose::ProveLargerPage { than: page.different() },
                ..Page::over(ground)
            });
        } else {
            self.fail(ground, format!("a page of {} records is still not the end", page.rows));
        }
    }

    /// Goes on in a chain of links, which leads through a single millisecond.
    fn continue_chain(&mut self, page: Page, link: Option<String>) {
        if let Some(link) = link {
            self.follow(page, link);
            return;
        }
        // Links count rows, and rows that vanish shift the count: once more, from the start. A link
        // to a page without rows may only mean that one went, and some servers always end so.
        let brought_new = page.chain_brought_new || page.new > 0;
        if brought_new || (page.rows == 0 && !page.ground.is_doubted) {
            self.grounds.push_front(Ground { is_doubted: !brought_new, ..page.ground });
        }
        self.forget_listed();
    }

    fn follow(&mut self, mut page: Page, link: String) {
        page.fruitless_links = if page.unseen == 0 { page.fruitless_links + 1 } else { 0 };
        page.chain_brought_new |= page.new > 0;
        if page.followed.contains(&link) {
            self.fail(page.ground, "the server's links go round in a circle".to_owned());
        } else if page.fruitless_links >= 2 {
            self.fail(page.ground, "the server's links bring nothing new".to_owned());
        } else {
            page.clear();
            page.followed.push(link.clone());
            page.ask.link = Some(link);
            self.next_page = Some(page);
        }
    }

    fn forget_listed(&mut self) {
        let (grounds, next_page) = (&self.grounds, &self.next_page);
        self.known.retain(|_, at| {
            grounds.iter().any(|ground| ground.contains(*at))
                || next_page.as_ref().is_some_and(|page| page.ground.contains(*at))
        });
    }

    fn fail(&mut self, ground: Ground, reason: String) {
        self.unlisted.push(Unlisted { from_ms: ground.from, to_ms: ground.to, reason });
        self.forget_listed();
    }

    fn give_up(&mut self, ground: Ground, reason: &str) {
        self.grounds.push_front(ground);
        for ground in std::mem::take(&mut self.grounds) {
            self.fail(ground, reason.to_owned());
        }
    }
}

impl Habits {
    fn learn(&mut self, page: &Page) {
        self.answered = true;
        self.largest_page = self.largest_page.max(page.new.min(page.different()));
        if page.ask.link.is_some() {
            return;
        }
        let shown = match (page.rises, page.falls) {
            (0, 0) => return,
            (0, _) => Order::NewestFirst,
            (_, 0) => Order::OldestFirst,
            _ => Order::Unsorted,
        };
        let proven = page.rises + page.falls >= CHANGES_THAT_PROVE_ORDER;
        match self.order {
            Some(order) if order != shown => self.order = Some(Order::Unsorted),
            None if proven || shown == Order::Unsorted => self.order = Some(shown),
            _ => {}
        }
    }
}

impl Ground {
    fn halves(self) -> [Ground; 2] {
        let middle = self.from + (self.to - self.from) / 2;
        let half = Ground { rows_before: None, ..self };
        [Ground { to: middle, ..half }, Ground { from: middle, ..half }]
    }
}

/// Puts parts that could not be listed in order of time, and those together that touch and have one
/// reason.
pub fn joined(mut parts: Vec<Unlisted>) -> Vec<Unlisted> {
    parts.sort_by_key(|part| part.from_ms);
    let mut joined: Vec<Unlisted> = Vec::new();
    for part in parts {
        match joined.last_mut() {
            _ if part.from_ms >= part.to_ms => {}
            Some(last) if last.to_ms == part.from_ms && last.reason == part.reason => {
                last.to_ms = part.to_ms;
            }
            _ => joined.push(part),
        }
    }
    joined
}

/// Whether a server might cut its pages at this number: 1, 2, 2.5 or 5 times a power of ten.
///
/// Without such a bound every page of one time would have to be called cut, and a quiet site could
/// never finish.
fn is_plausible_cap(rows: u32) -> bool {
    let mut unit = 10;
    while unit <= LARGEST_LIMIT {
        if [unit, unit * 2, unit * 5 / 2, unit * 5].contains(&rows) {
            return true;
        }
        unit *= 10;
    }
    false
}

#[cfg(test)]
mod tests;
