//! The same work on many items, on several threads, with results in the items' order.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// As many threads as this machine runs at once.
pub fn all_cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Runs `work` on every item and returns the results in the items' order, whatever order they were
/// finished in. `done` is called with the item's index and result as each finishes.
pub fn map<T: Sync, R: Send>(
    items: &[T],
    threads: NonZeroUsize,
    work: impl Fn(&T) -> R + Sync,
    mut done: impl FnMut(usize, &R),
) -> Vec<R> {
    if threads.get().min(items.len()) <= 1 {
        // Where there is one thread there may be no other: a page in a browser can start none.
        let one_by_one = items.iter().enumerate().map(|(index, item)| {
            let result = work(item);
            done(index, &result);
            result
        });
        return one_by_one.collect();
    }
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    std::thread::scope(|scope| {
        for _ in 0..threads.get().min(items.len()) {
            let (sender, next, work) = (sender.clone(), &next, &work);
            scope.spawn(move || {
                while let Some((index, item)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    items.get(index).map(|item| (index, item))
                } {
                    if sender.send((index, work(item))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (index, result) in receiver {
            done(index, &result);
            results[index] = Some(result);
        }
    });
    results.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_the_items() {
        let items: Vec<u64> = (0..100).collect();
        for threads in [1, 2, 7] {
            let threads = NonZeroUsize::new(threads).expect("is not zero");
            let mut heard = 0;
            let results = map(&items, threads, |item| item * item, |_, _| heard += 1);
            assert_eq!(results, items.iter().map(|item| item * item).collect::<Vec<_>>());
            assert_eq!(heard, 100);
        }
    }
}
