//! Any world and any server behaviour: every recording once, or its range is named.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, Copy)]
enum Links {
    Never,
    WhenMore,
    Always,
    InCircles,
}

/// A metadata API as a function: which rows of the world does it answer with?
#[derive(Debug, Clone)]
struct Server {
    order: Order,
    cap: Option<usize>,
    lower_edge_counts: bool,
    upper_edge_counts: bool,
    links: Links,
    /// Requests that touch this millisecond are never answered.
    poison: Option<i64>,
    /// Row n is gone from the request after this one on.
    vanishing: Vec<(usize, usize)>,
    /// From this request on the order is the other one.
    turns_at: usize,
    /// Everything is listed, whatever range is asked for.
    range_ignored: bool,
    /// So many records stand once more at the end of each page, beyond the cap.
    repeated: usize,
    asked: usize,
}

impl Server {
    fn answer(&mut self, world: &[i64], ask: &Ask) -> Option<(Vec<usize>, Option<String>)> {
        self.asked += 1;
        let (mut from, mut to, mut offset) = (ask.from_ms, ask.to_ms, 0);
        if let Some(link) = &ask.link {
            let mut parts = link.split(',').map(|part| part.parse::<i64>().unwrap());
            (from, to) = (parts.next().unwrap(), parts.next().unwrap());
            offset = parts.next().unwrap() as usize;
        }
        if self.poison.is_some_and(|at| from < at && at < to) {
            return None;
        }
        let mut rows: Vec<usize> = (0..world.len())
            .filter(|row| !self.vanishing.contains(&(*row, 0)))
            .filter(|row| {
                let at = world[*row];
                self.range_ignored
                    || (from < at || (at == from && self.lower_edge_counts))
                        && (at < to || (at == to && self.upper_edge_counts))
            })
            .filter(|row| !self.vanishing.iter().any(|(r, n)| r == row && *n < self.asked))
            .collect();
        let order = match self.order {
            Order::NewestFirst if self.asked >= self.turns_at => Order::OldestFirst,
            Order::OldestFirst if self.asked >= self.turns_at => Order::NewestFirst,
            order => order,
        };
        match order {
            Order::NewestFirst => rows.sort_by_key(|row| std::cmp::Reverse(world[*row])),
            Order::OldestFirst => rows.sort_by_key(|row| world[*row]),
            Order::Unsorted => rows.sort_by_key(|row| row.wrapping_mul(0x9E37_79B9) % 1009),
        }
        let size = self.cap.unwrap_or(usize::MAX).min(ask.limit as usize);
        let end = (offset + size).min(rows.len());
        let link = match self.links {
            Links::WhenMore if end < rows.len() => Some(format!("{from},{to},{end}")),
            Links::Always => Some(format!("{from},{to},{end}")),
            Links::InCircles => Some(format!("{from},{to},0")),
            _ => None,
        };
        let page = &rows[offset.min(end)..end];
        Some(([page, &page[..self.repeated.min(page.len())]].concat(), link))
    }
}

/// A listing, or a piece of one, and what the server has answered to its last request.
type Piece = (Listing, Option<Option<(Vec<usize>, Option<String>)>>);

fn list(world: &[i64], server: &mut Server, range: (i64, i64)) -> (Vec<usize>, Vec<Unlisted>) {
    list_in_pieces(world, server, range, &[(0, 0)])
}

/// Lists a range and gives pieces of it away: each turn says which of the pieces goes on, and, when
/// it has ended a page, how many pieces of it are given away. Pages of other pieces come between
/// what a piece asks and what it is answered.
fn list_in_pieces(
    world: &[i64],
    server: &mut Server,
    (from, to): (i64, i64),
    turns: &[(usize, usize)],
) -> (Vec<usize>, Vec<Unlisted>) {
    let mut habits = Habits { answered: true, ..Habits::default() };
    let mut pieces: Vec<Piece> = vec![(Listing::new(from, to), None)];
    let (mut taken, mut unlisted, mut streak) = (Vec::new(), Vec::new(), Streak::default());
    for (turn, split) in turns.iter().cycle() {
        let place = turn % pieces.len();
        let (listing, answer) = &mut pieces[place];
        let Some(answered) = answer.take() else {
            assert!(server.asked < 50_000, "the listing does not come to an end");
            assert_eq!(
                listing.has_more(),
                !listing.grounds.is_empty() || listing.next_page.is_some()
            );
            if let Some(ask) = listing.next_ask() {
                *answer = Some(server.answer(world, &ask));
            } else {
                unlisted.extend(pieces.swap_remove(place).0.unlisted());
                if pieces.is_empty() {
                    break;
                }
            }
            continue;
        };
        let Some((rows, link)) = answered else {
            listing.unanswered("the server answers 500", &habits, &mut streak);
            continue;
        };
        for row in rows {
            if listing.row(row as u128, Some(world[row])) == Row::New {
                taken.push(row);
            }
        }
        listing.page_ended(link, &mut habits, &mut streak);
        let given = listing.split(*split, &streak);
        assert!(given.len() <= *split);
        pieces.extend(given.into_iter().map(|piece| (piece, None)));
    }
    (taken, joined(unlisted))
}

/// Bursts, their times (more than an edge apart) and sizes, among single recordings.
fn worlds(largest_burst: usize) -> impl Strategy<Value = Vec<i64>> {
    let bursts = prop::collection::vec((0i64..2_000, 1..=largest_burst), 0..4);
    let singles = prop::collection::vec(-50i64..20_050, 0..400);
    (bursts, singles).prop_map(|(bursts, singles)| {
        let burst_times = bursts.into_iter().flat_map(|(at, n)| vec![at * 10; n]);
        burst_times.chain(singles).collect()
    })
}

fn servers() -> impl Strategy<Value = Server> {
    let order =
        prop_oneof![Just(Order::NewestFirst), Just(Order::OldestFirst), Just(Order::Unsorted)];
    let cap = prop_oneof![
        Just(None),
        Just(Some(10)),
        Just(Some(20)),
        Just(Some(50)),
        Just(Some(100)),
        Just(Some(250))
    ];
    let links = prop_oneof![
        4 => Just(Links::Never),
        3 => Just(Links::WhenMore),
        1 => Just(Links::Always),
        1 => Just(Links::InCircles)
    ];
    let poison = prop::option::weighted(0.2, 0i64..20_000);
    let vanishing = prop::collection::vec((0usize..600, 1usize..40), 0..20);
    let turns_at = prop_oneof![3 => Just(usize::MAX), 1 => 1usize..10];
    let repeated = prop_oneof![4 => Just(0), 1 => 1usize..9];
    (order, cap, any::<(bool, bool)>(), links, poison, vanishing, turns_at, repeated).prop_map(
        |(order, cap, (lower, upper), links, poison, vanishing, turns_at, repeated)| Server {
            order,
            cap,
            lower_edge_counts: lower,
            upper_edge_counts: upper,
            links,
            poison,
            vanishing,
            turns_at,
            range_ignored: false,
            repeated,
            asked: 0,
        },
    )
}

/// Turns of pieces, from one after the other without any to many at once.
fn turns() -> impl Strategy<Value = Vec<(usize, usize)>> {
    prop_oneof![
        1 => Just(vec![(0, 0)]),
        4 => prop::collection::vec((0usize..60, 0usize..6), 1..60),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(1_000), ..ProptestConfig::default() })]

    #[test]
    fn every_recording_is_listed_once_or_its_range_is_named(
        world in worlds(300),
        mut server in servers(),
        turns in turns(),
    ) {
        let (from, to) = (0, 20_000);
        let vanishing = server.vanishing.clone();
        let (mut taken, unlisted) = list_in_pieces(&world, &mut server, (from, to), &turns);
        taken.sort_unstable();
        prop_assert!(taken.windows(2).all(|pair| pair[0] != pair[1]), "a recording came twice");
        for (row, at) in world.iter().enumerate() {
            let owed = from <= *at
                && *at < to
                && !vanishing.iter().any(|(gone, _)| *gone == row)
                && !unlisted.iter().any(|part| part.from_ms <= *at && *at < part.to_ms);
            let listed = taken.binary_search(&row).is_ok();
            prop_assert!(listed || !owed, "row {} at {} was lost in silence", row, at);
            prop_assert!(!listed || (from..to).contains(at), "row {} is not in the range", row);
        }
    }

    #[test]
    fn an_honest_server_is_listed_to_the_end(
        world in worlds(45),
        mut server in servers(),
        turns in turns(),
    ) {
        server.poison = None;
        server.repeated = 0;
        if !matches!(server.links, Links::WhenMore) {
            server.links = Links::Never;
        }
        server.cap = server.cap.filter(|cap| *cap >= 100);
        // More than one burst: one that is all there is, and as long as a cap may be, is doubted.
        let world: Vec<i64> = world.into_iter().chain((0..60).map(|n| 100 + n * 300)).collect();
        let (_, unlisted) = list_in_pieces(&world, &mut server, (0, 20_000), &turns);
        prop_assert_eq!(unlisted, vec![]);
    }
}

fn honest(order: Order, cap: Option<usize>) -> Server {
    Server {
        order,
        cap,
        lower_edge_counts: true,
        upper_edge_counts: true,
        links: Links::Never,
        poison: None,
        vanishing: Vec::new(),
        turns_at: usize::MAX,
        range_ignored: false,
        repeated: 0,
        asked: 0,
    }
}

#[test]
fn a_burst_beyond_the_cap_names_its_millisecond_and_lists_the_rest() {
    let world: Vec<i64> = (0..300).map(|n| n * 50).chain([7_001; 130]).collect();
    for cap in [50, 100] {
        for order in [Order::NewestFirst, Order::OldestFirst, Order::Unsorted] {
            let (taken, unlisted) = list(&world, &mut honest(order, Some(cap)), (0, 20_000));
            assert!(taken.len() >= 300, "{order:?}, cap {cap}: {} listed", taken.len());
            assert!(
                unlisted.iter().any(|part| part.from_ms <= 7_001 && 7_001 < part.to_ms),
                "{order:?}, cap {cap}: {unlisted:?}"
            );
            let lost: i64 = unlisted.iter().map(|part| part.to_ms - part.from_ms).sum();
            assert!(lost <= 3, "{order:?}, cap {cap}: {unlisted:?}");
        }
    }
}

#[test]
fn a_burst_larger_than_a_page_is_listed_where_the_server_takes_a_larger_limit() {
    let world: Vec<i64> = (0..300).map(|n| n * 50).chain([7_001; 730]).collect();
    for order in [Order::NewestFirst, Order::OldestFirst, Order::Unsorted] {
        let (taken, unlisted) = list(&world, &mut honest(order, None), (0, 20_000));
        assert_eq!((taken.len(), unlisted), (1_030, vec![]), "{order:?}");
    }
}

#[test]
fn a_server_that_repeats_one_full_page_for_ever_fails_the_range() {
    let (mut habits, mut streak) = (Habits::default(), Streak::default());
    let mut listing = Listing::new(0, 86_400_000);
    let mut asks = 0;
    while listing.next_ask().is_some() {
        asks += 1;
        (0..100).for_each(|key| {
            listing.row(key, Some(-5));
        });
        listing.page_ended(None, &mut habits, &mut streak);
    }
    let unlisted = listing.unlisted();
    assert!(asks < 200, "{asks} requests");
    assert_eq!((unlisted[0].from_ms, unlisted.last().unwrap().to_ms), (0, 86_400_000));
}

#[test]
fn a_sorted_range_costs_a_request_a_page_and_one_more() {
    let world: Vec<i64> = (0..1_000).map(|n| n * 10).collect();
    for order in [Order::NewestFirst, Order::OldestFirst] {
        let mut server = honest(order, None);
        let (taken, unlisted) = list(&world, &mut server, (0, 20_000));
        assert_eq!((taken.len(), unlisted), (1_000, vec![]));
        assert!(server.asked <= 12, "{} requests", server.asked);
    }
}

#[test]
fn a_server_that_never_answers_is_asked_for_the_range_and_its_halves_only() {
    let (habits, mut streak) = (Habits::default(), Streak::default());
    let mut listing = Listing::new(0, 1_000);
    for _ in 0..3 {
        assert!(listing.next_ask().is_some());
        listing.unanswered("connection refused", &habits, &mut streak);
    }
    assert_eq!(listing.next_ask(), None);
    assert_eq!(listing.unlisted()[0].reason, "connection refused");
}

#[test]
fn a_range_that_never_answers_is_narrowed_to_its_millisecond() {
    let world: Vec<i64> = (0..200).map(|n| n * 100).collect();
    let mut server = Server { poison: Some(5_050), ..honest(Order::NewestFirst, None) };
    let (taken, unlisted) = list(&world, &mut server, (0, 20_000));
    assert_eq!(taken.len(), 200);
    assert!(unlisted.iter().all(|part| part.from_ms >= 5_049 && part.to_ms <= 5_052));
}

/// Lists one page of these times and says what is asked next.
fn ask_after_page(times: &[i64]) -> Option<Ask> {
    let mut habits = Habits::default();
    let mut listing = Listing::new(0, 1_000);
    listing.next_ask();
    for (key, at) in times.iter().enumerate() {
        listing.row(key as u128, Some(*at));
    }
    listing.page_ended(None, &mut habits, &mut Streak::default());
    listing.next_ask()
}

#[test]
fn an_order_that_may_be_chance_is_not_believed() {
    let by_chance: Vec<i64> = [vec![100; 49], vec![700]].concat();
    let ask = ask_after_page(&by_chance).unwrap();
    assert_eq!((ask.from_ms, ask.to_ms), (-1, 500), "the older half, not what is left of 700");
    let sorted: Vec<i64> = (0..50).map(|n| n * 10).collect();
    let ask = ask_after_page(&sorted).unwrap();
    assert_eq!((ask.from_ms, ask.to_ms), (489, 1_001));
}

#[test]
fn a_range_is_listed_to_the_end_only_when_a_request_brings_nothing_new() {
    assert_eq!(ask_after_page(&[]), None);
    for times in [&[500][..], &[500, 500], &[500, 700, 600], &[600, 500]] {
        assert!(ask_after_page(times).is_some(), "{times:?}");
    }
}

#[test]
fn a_server_that_turns_its_order_round_is_not_trusted_again() {
    let world: Vec<i64> = (0..400).map(|n| n * 50).collect();
    for order in [Order::NewestFirst, Order::OldestFirst] {
        for turns_at in 1..8 {
            let mut server = Server { turns_at, ..honest(order, Some(50)) };
            let (taken, unlisted) = list(&world, &mut server, (0, 20_000));
            assert_eq!((taken.len(), unlisted), (400, vec![]), "{order:?}, {turns_at}");
        }
    }
}

#[test]
fn a_burst_larger_than_a_page_is_listed_where_the_server_gives_links() {
    let world: Vec<i64> = (0..300).map(|n| n * 50).chain([7_001; 430]).collect();
    for order in [Order::NewestFirst, Order::OldestFirst, Order::Unsorted] {
        for edges_count in [false, true] {
            let mut server = Server {
                links: Links::WhenMore,
                lower_edge_counts: edges_count,
                upper_edge_counts: edges_count,
                ..honest(order, Some(50))
            };
            let (taken, unlisted) = list(&world, &mut server, (0, 20_000));
            assert_eq!((taken.len(), unlisted), (730, vec![]), "{order:?} {edges_count}");
        }
    }
}

#[test]
fn a_row_that_vanishes_while_links_are_followed_hides_no_other() {
    let world = [vec![13_200; 102], vec![16_970; 100], vec![4; 200]].concat();
    for vanishing_at in 1..80 {
        let mut server = Server {
            links: Links::WhenMore,
            vanishing: vec![(0, vanishing_at), (1, vanishing_at)],
            lower_edge_counts: false,
            ..honest(Order::NewestFirst, Some(100))
        };
        let (taken, unlisted) = list(&world, &mut server, (0, 20_000));
        let hidden = (2..world.len()).find(|row| {
            let is_named = |part: &Unlisted| (part.from_ms..part.to_ms).contains(&world[*row]);
            !taken.contains(row) && !unlisted.iter().any(is_named)
        });
        assert_eq!(hidden, None, "a row vanished after request {vanishing_at}");
    }
}

#[test]
fn a_server_that_ignores_the_range_is_listed_by_a_larger_limit_or_fails_soon() {
    let world: Vec<i64> = (0..240).map(|n| n * 50).collect();
    for order in [Order::NewestFirst, Order::OldestFirst, Order::Unsorted] {
        for (cap, is_listed) in [(None, true), (Some(100), false)] {
            for range in [(0, 4_000), (4_000, 8_000), (8_000, 86_408_000)] {
                let mut server = Server { range_ignored: true, ..honest(order, cap) };
                let (taken, unlisted) = list(&world, &mut server, range);
                let case = format!("{order:?} {cap:?} {range:?}");
                assert!(server.asked < 200, "{case}: {} requests", server.asked);
                assert!(unlisted.is_empty() || !is_listed, "{case}: {unlisted:?}");
                for (row, at) in
                    world.iter().enumerate().filter(|(_, at)| (range.0..range.1).contains(at))
                {
                    let is_named =
                        unlisted.iter().any(|part| (part.from_ms..part.to_ms).contains(at));
                    assert!(is_named || taken.contains(&row), "{case}: {at} is lost: {unlisted:?}");
                }
            }
        }
    }
}

#[test]
fn a_large_sorted_range_is_given_away_in_pieces_and_a_quiet_one_is_not() {
    let world: Vec<i64> = (0..4_000).map(|n| n * 5).collect();
    for order in [Order::NewestFirst, Order::OldestFirst] {
        let mut habits = Habits::default();
        let mut listing = Listing::new(0, 20_000);
        let mut server = honest(order, None);
        // Before the first page nobody knows how much there is.
        assert!(listing.split(7, &Streak::default()).is_empty());
        let pieces_after = |listing: &mut Listing, habits: &mut Habits, server: &mut Server| {
            let ask = listing.next_ask().unwrap();
            let (rows, link) = server.answer(&world, &ask).unwrap();
            let rows: Vec<_> = rows.into_iter().map(|row| (row, world[row])).collect();
            for (row, at) in rows {
                listing.row(row as u128, Some(at));
            }
            listing.page_ended(link, habits, &mut Streak::default());
            listing.split(7, &Streak::default())
        };
        let pieces = pieces_after(&mut listing, &mut habits, &mut server);
        assert_eq!(pieces.len(), 7, "{order:?}");
        // 39 pages are left for eight: after one more, none of them has enough for two.
        for mut piece in pieces.into_iter().chain([listing]) {
            assert!(pieces_after(&mut piece, &mut habits, &mut server).is_empty(), "{order:?}");
        }
    }
    // 70 are no full page, and a full one may be followed by little.
    for world in [(0..70).map(|n| n * 250).collect(), (0..300).map(|n| n * 60).collect::<Vec<_>>()]
    {
        for order in [Order::NewestFirst, Order::OldestFirst] {
            let (mut whole, mut split) = (honest(order, None), honest(order, None));
            list(&world, &mut whole, (0, 20_000));
            list_in_pieces(&world, &mut split, (0, 20_000), &[(0, 7)]);
            assert_eq!(split.asked, whole.asked, "{order:?} {}", world.len());
        }
    }
}

#[test]
fn a_range_in_pieces_costs_a_quarter_more_requests_at_most() {
    let world: Vec<i64> = (0..10_000).map(|n| n * 2).collect();
    for order in [Order::NewestFirst, Order::OldestFirst, Order::Unsorted] {
        let (mut whole, mut split) = (honest(order, None), honest(order, None));
        let one = list(&world, &mut whole, (0, 20_000));
        let mut pieces = list_in_pieces(&world, &mut split, (0, 20_000), &[(0, 7)]);
        pieces.0.sort_unstable();
        assert_eq!((pieces.0.len(), &pieces.1), (one.0.len(), &one.1));
        assert!(split.asked * 4 <= whole.asked * 5, "{order:?} {} {}", split.asked, whole.asked);
    }
}

#[test]
fn a_lone_burst_as_long_as_a_cap_is_whole_where_another_range_has_shown_a_longer_page() {
    let mut habits = Habits { answered: true, order: Some(Order::Unsorted), ..Habits::default() };
    let world = [7; 50];
    let mut listing = Listing::new(0, 1_000);
    let mut server = honest(Order::Unsorted, Some(100));
    let mut asked = 0;
    while let Some(ask) = listing.next_ask() {
        let (rows, link) = server.answer(&world, &ask).unwrap();
        for row in rows {
            listing.row(row as u128, Some(7));
        }
        if matches!(&listing.page, Some(Page { purpose: Purpose::ProveLargerPage { .. }, .. })) {
            habits.largest_page = 60;
        }
        listing.page_ended(link, &mut habits, &mut Streak::default());
        asked += 1;
        assert!(asked < 200);
    }
    assert_eq!(listing.unlisted(), vec![]);
}
