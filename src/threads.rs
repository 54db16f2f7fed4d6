//! Work that is done side by side, and taken back in the order in which it was given.
//!
//! **Invariant**: nobody gets far ahead, so that memory does not grow with the number of items, and
//! no thread outlives the work.

use std::sync::mpsc::sync_channel;
use std::thread::{self, ScopedJoinHandle};

/// How many items lie ready for each thread, and how many are done before they are taken.
const AHEAD: usize = 32;

/// Does work on each item on so many threads, and hands over what came of it in the order of the
/// items; stops at the first error of `take`. Each thread has a state of its own.
pub fn in_order<T: Send, S, R: Send, E>(
    threads: usize,
    items: impl Iterator<Item = T> + Send,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, T) -> R + Sync,
    mut take: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let (state, work) = (&state, &work);
    thread::scope(|scope| {
        let (mut given, mut done, mut started) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..threads.max(1) {
            let (give, get) = sync_channel::<T>(AHEAD);
            let (put, out) = sync_channel(AHEAD);
            given.push(give);
            done.push(out);
            started.push(scope.spawn(move || {
                let mut state = state();
                for item in get {
                    if put.send(work(&mut state, item)).is_err() {
                        break;
                    }
                }
            }));
        }
        // Dealt like cards and taken back in the same order, which keeps the order.
        started.push(scope.spawn(move || {
            for (item, give) in items.zip(given.iter().cycle()) {
                if give.send(item).is_err() {
                    break;
                }
            }
        }));
        // The first that is not there is the end.
        let ended = done.iter().cycle().map_while(|out| out.recv().ok()).try_for_each(&mut take);
        drop(done);
        end(started);
        ended
    })
}

/// Waits until threads are gone, with all that they keep for themselves.
///
/// The end of the scope waits only until their work is done. OpenSSL tidies up when a thread goes
/// and when the process does, and the two must not meet.
pub fn end(threads: Vec<ScopedJoinHandle<'_, ()>>) {
    for thread in threads {
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_from_any_number_of_threads() {
        for threads in [0, 1, 3, 8] {
            let mut taken = Vec::new();
            let take = |number| {
                taken.push(number);
                Ok::<_, ()>(())
            };
            in_order(threads, 0..1_000, || 0, |_, number| number * 2, take).unwrap();
            assert_eq!(taken, (0..1_000).map(|number| number * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_ends_it_though_items_never_end() {
        let take = |number| if number < 500 { Ok(()) } else { Err(number) };
        let ended = in_order(4, 0_u64.., || (), |(), number| number, take);
        assert_eq!(ended, Err(500));
    }
}
