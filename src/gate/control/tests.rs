//! Simulated services: does the limit come to where they do most, and stay there?

use super::*;

/// A service, as a function of how many requests it has.
#[derive(Debug, Clone, Copy)]
struct Service {
    /// How long a request takes where there are few, in seconds.
    latency: f64,
    /// How many requests it ends in a second at most.
    capacity: f64,
    /// How many it takes at the same time before it refuses more.
    refuses_above: usize,
}

const ENDLESS: Service = Service { latency: 0.05, capacity: 1e9, refuses_above: usize::MAX };

/// What came of a stretch of time.
#[derive(Debug)]
struct Stretch {
    came: u64,
    refused: u64,
    limits: Vec<usize>,
}

/// A machine that keeps as many requests in flight as it may, and the time by its clock.
struct Machine {
    control: Control,
    now: f64,
    /// When the service is done with what it has.
    free_at: f64,
    /// When each request will end, when it began, and whether it is refused; the next one last.
    in_flight: Vec<(f64, f64, bool)>,
    /// How many of them are not refused.
    served: usize,
    random: fastrand::Rng,
}

impl Machine {
    fn new(bounds: Bounds) -> Machine {
        let random = fastrand::Rng::with_seed(7);
        Machine {
            control: Control::new(bounds),
            now: 0.0,
            free_at: 0.0,
            in_flight: Vec::new(),
            served: 0,
            random,
        }
    }

    /// Works with a service, with at most so many requests to do at the same time.
    fn work(&mut self, service: Service, seconds: f64, wanted: usize) -> Stretch {
        let until = self.now + seconds;
        let mut stretch = Stretch { came: 0, refused: 0, limits: Vec::new() };
        while self.now < until {
            while self.in_flight.len() < self.control.limit().min(wanted) {
                self.begin(service);
            }
            let Some((at, began, is_refused)) = self.in_flight.pop() else { break };
            self.now = at;
            self.served -= usize::from(!is_refused);
            stretch.came += u64::from(!is_refused);
            stretch.refused += u64::from(is_refused);
            let seconds = Duration::from_secs_f64;
            self.control.ended(&Ended {
                at: seconds(at),
                began_at: seconds(began),
                answered_at: seconds(at),
                under_way: self.in_flight.len() + 1,
                outcome: match is_refused {
                    true => Outcome::PushedBack,
                    false => Outcome::Came { bytes: 150_000 },
                },
            });
            stretch.limits.push(self.control.limit());
        }
        stretch
    }

    fn begin(&mut self, service: Service) {
        let is_refused = self.served >= service.refuses_above;
        self.served += usize::from(!is_refused);
        // One tenth more or less, as it is.
        let latency = service.latency * (0.9 + 0.2 * self.random.f64());
        let at = match is_refused {
            true => self.now + latency / 2.0,
            false => {
                self.free_at = self.free_at.max(self.now) + 1.0 / service.capacity;
                self.free_at + latency
            }
        };
        let place = self.in_flight.partition_point(|(other, ..)| *other > at);
        self.in_flight.insert(place, (at, self.now, is_refused));
    }
}

const BOUNDS: Bounds = Bounds { least: 4, first: 16, most: 512 };

#[test]
fn services_of_every_kind_are_used_to_nine_tenths_of_what_they_can_do() {
    let endless = ENDLESS;
    for (name, service, best) in [
        ("far away, without bounds", endless, 512.0 / 0.05),
        ("far away", Service { capacity: 3_000.0, ..endless }, 3_000.0),
        ("far away and small", Service { capacity: 100.0, ..endless }, 100.0),
        ("near", Service { latency: 0.000_2, capacity: 1_500.0, ..endless }, 1_500.0),
        ("slow to answer", Service { latency: 0.8, capacity: 400.0, ..endless }, 400.0),
        ("throttling above 100", Service { refuses_above: 100, ..endless }, 100.0 / 0.05),
        ("throttling above 20", Service { refuses_above: 20, ..endless }, 20.0 / 0.05),
    ] {
        let mut machine = Machine::new(BOUNDS);
        machine.work(service, 5.0, usize::MAX);
        let stretch = machine.work(service, 20.0, usize::MAX);
        let used = stretch.came as f64 / 20.0 / best;
        assert!(used > 0.9, "{name}: {:.0} % used", used * 100.0);
        let refused = stretch.refused as f64 / stretch.came as f64;
        assert!(refused < 0.01, "{name}: {:.2} % refused", refused * 100.0);
    }
}

#[test]
fn two_hundred_requests_in_flight_are_reached_within_a_second() {
    let mut machine = Machine::new(BOUNDS);
    machine.work(ENDLESS, 0.5, usize::MAX);
    assert!(machine.control.limit() >= 200, "{}", machine.control.limit());
}

#[test]
fn no_more_are_in_flight_than_help() {
    for (name, service, most) in [
        ("near", Service { latency: 0.000_2, capacity: 1_500.0, ..ENDLESS }, 40),
        ("far away and small", Service { capacity: 100.0, ..ENDLESS }, 40),
        ("far away", Service { capacity: 1_000.0, ..ENDLESS }, 150),
    ] {
        let mut machine = Machine::new(BOUNDS);
        machine.work(service, 2.0, usize::MAX);
        let stretch = machine.work(service, 60.0, usize::MAX);
        let highest = stretch.limits.iter().copied().max().unwrap();
        assert!(highest <= most, "{name}: {highest}");
        // Trials become rare.
        let changes = stretch.limits.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(changes <= 80, "{name}: {changes} changes");
    }
}

#[test]
fn the_limit_follows_conditions_that_change() {
    let mut machine = Machine::new(BOUNDS);
    for (capacity, latency) in
        [(3_000.0, 0.05), (300.0, 0.05), (3_000.0, 0.05), (2_000.0, 0.1), (2_000.0, 0.001)]
    {
        let service = Service { capacity, latency, ..ENDLESS };
        machine.work(service, 10.0, usize::MAX);
        let stretch = machine.work(service, 20.0, usize::MAX);
        let used = stretch.came as f64 / 20.0 / capacity;
        assert!(used > 0.9, "{service:?}: {:.0} % used", used * 100.0);
    }
}

#[test]
fn conditions_that_change_are_noticed_however_long_they_were_the_same() {
    let mut machine = Machine::new(BOUNDS);
    machine.work(Service { capacity: 300.0, ..ENDLESS }, 60.0, usize::MAX);
    let service = Service { capacity: 3_000.0, ..ENDLESS };
    machine.work(service, 4.0, usize::MAX);
    let came = machine.work(service, 2.0, usize::MAX).came;
    assert!(came > 5_400, "{came} came");
}

#[test]
fn a_service_that_answers_later_for_reasons_of_its_own_keeps_its_requests() {
    let mut machine = Machine::new(BOUNDS);
    machine.work(ENDLESS, 10.0, usize::MAX);
    let stretch = machine.work(Service { latency: 0.2, ..ENDLESS }, 20.0, usize::MAX);
    let used = stretch.came as f64 / 20.0 / (512.0 / 0.2);
    assert!(used > 0.9, "{:.0} % used", used * 100.0);
}

#[test]
fn what_began_under_another_limit_says_nothing_of_this_one() {
    let mut control = Control::new(Bounds { least: 4, first: 8, most: 512 });
    let ended = |at: u64, began_at: u64| Ended {
        at: Duration::from_millis(at),
        began_at: Duration::from_millis(began_at),
        answered_at: Duration::from_millis(at),
        under_way: 512,
        outcome: Outcome::Came { bytes: 0 },
    };
    (0..8).for_each(|_| control.ended(&ended(10, 0)));
    assert_eq!(control.limit(), 16);
    (0..16).for_each(|_| control.ended(&ended(100, 10)));
    assert_eq!(control.limit(), 8, "the second round was late");
    (100..9_000).for_each(|at| control.ended(&ended(at, 99)));
    assert_eq!(control.limit(), 8);
    (9_000..9_300).for_each(|at| control.ended(&ended(at, at - 10)));
    assert_ne!(control.limit(), 8);
}

#[test]
fn what_is_not_used_up_is_not_raised() {
    let mut machine = Machine::new(BOUNDS);
    let stretch = machine.work(ENDLESS, 20.0, 10);
    assert!(stretch.limits.iter().all(|limit| *limit == 16));
}

#[test]
fn a_service_that_asks_for_less_gets_half_once() {
    let mut control = Control::new(Bounds { least: 4, first: 64, most: 512 });
    let ended = |at: u64, began_at: u64, outcome| Ended {
        at: Duration::from_millis(at),
        began_at: Duration::from_millis(began_at),
        answered_at: Duration::from_millis(at),
        under_way: 64,
        outcome,
    };
    control.ended(&ended(10, 0, Outcome::Failed));
    assert_eq!(control.limit(), 64, "what fails for itself says nothing of the limit");
    for at in 11..40 {
        control.ended(&ended(at, at - 10, Outcome::PushedBack));
        // Those that began before are told together; the first that began later is told anew.
        let halved = match at {
            11..=20 => 32,
            21..=30 => 16,
            _ => 8,
        };
        assert_eq!(control.limit(), halved, "at {at}");
    }
    for at in 40..200 {
        control.ended(&ended(at, at, Outcome::PushedBack));
    }
    assert_eq!(control.limit(), 4);
}
