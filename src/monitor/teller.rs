//! Who adds up what reading again comes to, and tells it.
//!
//! **Invariant**: what is damaged or missing is always told; of all else that is found only the
//! first, as it may be as much as there are files.

use super::{Checked, Event, Monitor};

/// How many findings of a kind are told that are no damage.
const TOLD: u64 = 20;

/// Adds up what happens, and tells it.
pub struct Teller<'a> {
    monitor: &'a dyn Monitor,
    /// What it came to so far.
    pub checked: Checked,
    told_percent: u64,
}

impl<'a> Teller<'a> {
    /// Begins to tell.
    pub fn of(monitor: &'a dyn Monitor) -> Self {
        Teller { monitor, checked: Checked::default(), told_percent: 0 }
    }

    /// Goes on to tell where another has stopped.
    pub fn behind(monitor: &'a dyn Monitor, checked: Checked) -> Self {
        Teller { monitor, checked, told_percent: 100 }
    }

    /// Gives who is told.
    pub fn monitor(&self) -> &'a dyn Monitor {
        self.monitor
    }

    /// Takes one more event into account.
    pub fn tell(&mut self, event: Event) {
        self.checked.apply(&event);
        let Checked { unexplained, doubled, .. } = self.checked;
        let number = match &event {
            Event::Unexplained { .. } => unexplained,
            Event::Doubled { .. } => doubled,
            _ => 0,
        };
        if number <= TOLD {
            self.monitor.on(&event);
        }
        if number == TOLD {
            let text = "more of these are counted and not named".to_owned();
            self.monitor.on(&Event::Note { text });
        }
        let percent = self.checked.percent() / 10 * 10;
        if percent > self.told_percent {
            self.told_percent = percent;
            let Checked { read_files, read_bytes, damaged, missing, .. } = self.checked;
            self.monitor.on(&Event::ReadingProgress {
                percent,
                files: read_files,
                bytes: read_bytes,
                wrong: damaged + missing,
            });
        }
    }

    /// Tells that it is over; gives what it came to.
    pub fn finish(self) -> Checked {
        let summary = Box::new(self.checked.clone());
        self.monitor.on(&Event::ReadingFinished { summary });
        self.checked
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<Event>>);

    impl Monitor for Heard {
        fn on(&self, event: &Event) {
            self.0.lock().unwrap().push(event.clone());
        }
    }

    #[test]
    fn all_damage_is_told_and_of_what_is_odd_the_first() {
        let heard = Heard::default();
        let mut teller = Teller::of(&heard);
        let (path, reason) = (String::new, String::new);
        for _ in 0..50 {
            teller.tell(Event::Damaged { path: path(), reason: reason() });
            teller.tell(Event::Unexplained { path: path(), reason: reason() });
            teller.tell(Event::Doubled { path: path(), reason: reason() });
        }
        let checked = teller.finish();
        assert_eq!((checked.damaged, checked.unexplained, checked.doubled), (50, 50, 50));
        let heard = heard.0.into_inner().unwrap();
        let count = |is: fn(&Event) -> bool| heard.iter().filter(|event| is(event)).count();
        assert_eq!(count(|event| matches!(event, Event::Damaged { .. })), 50);
        assert_eq!(count(|event| matches!(event, Event::Unexplained { .. })), 20);
        assert_eq!(count(|event| matches!(event, Event::Doubled { .. })), 20);
        assert_eq!(count(|event| matches!(event, Event::Note { .. })), 2);
        assert_eq!(heard.last(), Some(&Event::ReadingFinished { summary: Box::new(checked) }));
    }

    #[test]
    fn progress_is_told_by_tenths() {
        let heard = Heard::default();
        let mut teller = Teller::of(&heard);
        teller.tell(Event::ReadingStarted { what: "Checking", files: 100, bytes: 1000 });
        for _ in 0..100 {
            teller.tell(Event::FileRead { path: String::new(), bytes: 10 });
        }
        drop(teller);
        let percents: Vec<_> = heard.0.into_inner().unwrap();
        let percents = percents.iter().filter_map(|event| match event {
            Event::ReadingProgress { percent, .. } => Some(*percent),
            _ => None,
        });
        assert!(percents.eq((10..=100).step_by(10)));
    }
}
