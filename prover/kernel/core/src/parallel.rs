//! Work on ranges of rows by several threads, which end with the call: nothing is left that a fork could break.
//! Where the system refuses a thread, the caller does its work.

use core::ops::Range;
use std::panic::resume_unwind;
use std::thread::{self, Builder};

/// Cuts `0..length` into one range per thread and returns what `work` makes of them, in order.
pub(crate) fn map_ranges<T: Send>(length: usize, threads: usize, work: impl Fn(Range<usize>) -> T + Sync) -> Vec<T> {
    let threads = threads.clamp(1, length.max(1));
    if threads == 1 {
        return vec![work(0..length)];
    }
    let range = |part: usize| length * part / threads..length * (part + 1) / threads;
    thread::scope(|scope| {
        let work = &work;
        let start = |part| (part, Builder::new().spawn_scoped(scope, move || work(range(part))));
        let others: Vec<_> = (1..threads).map(start).collect();
        let mut results = vec![work(range(0))];
        results.extend(others.into_iter().map(|(part, thread)| match thread {
            Ok(handle) => handle.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(_) => work(range(part)),
        }));
        results
    })
}

/// Cuts `0..length` into one range per thread and returns the rows that `work` makes of them, in order.
pub(crate) fn map_rows<T: Clone + Send>(
    length: usize,
    threads: usize,
    work: impl Fn(Range<usize>) -> Vec<T> + Sync,
) -> Vec<T> {
    let mut parts = map_ranges(length, threads, work);
    if parts.len() == 1 { parts.swap_remove(0) } else { parts.concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_everything_in_order() {
        for length in [0, 1, 2, 7, 100] {
            for threads in [0, 1, 2, 3, 200] {
                let rows = map_rows(length, threads, Iterator::collect);
                assert_eq!(rows, (0..length).collect::<Vec<_>>());
            }
        }
    }
}
