//! The next batch is made while the present one is in use.

use std::iter;
use std::panic::resume_unwind;
use std::sync::mpsc;
use std::thread;

/// Gives `consume` the items of an iterator, in their order. A thread of their own makes them, at most one more than
/// have been asked for, and ends with `consume`.
///
/// # Panics
/// If an item that is asked for panics, with its message.
pub(crate) fn one_ahead<T: Send, R>(
    items: impl Iterator<Item = T> + Send,
    consume: impl FnOnce(&mut dyn Iterator<Item = T>) -> R,
) -> R {
    thread::scope(|scope| {
        // Without room of its own: an item waits with its maker.
        let (sender, receiver) = mpsc::sync_channel(0);
        let maker = scope.spawn(move || {
            for item in items {
                // Nobody asks for more.
                if sender.send(item).is_err() {
                    return;
                }
            }
        });
        let mut maker = Some(maker);
        let mut made = iter::from_fn(|| {
            let item = receiver.recv().ok();
            if item.is_none()
                && let Some(Err(panic)) = maker.take().map(thread::ScopedJoinHandle::join)
            {
                resume_unwind(panic);
            }
            item
        });
        let result = consume(&mut made);
        drop(receiver);
        // An item that panicked and was not asked for does not matter.
        maker.map(thread::ScopedJoinHandle::join);
        result
    })
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn all_items_come_in_order() {
        for n in [0, 1, 2, 100] {
            let squares = one_ahead((0..n).map(|i| i * i), |items| items.collect::<Vec<_>>());
            assert_eq!(squares, (0..n).map(|i| i * i).collect::<Vec<_>>());
        }
        let after_the_end = one_ahead(0..1, |items| [items.next(), items.next(), items.next()]);
        assert_eq!(after_the_end, [Some(0), None, None]);
    }

    #[test]
    fn at_most_one_item_is_made_ahead_and_none_after_the_end() {
        let made = AtomicUsize::new(0);
        let counted = (0..100).inspect(|_| {
            made.fetch_add(1, Ordering::SeqCst);
        });
        one_ahead(counted, |items| {
            for taken in 1..=10 {
                items.next();
                thread::sleep(std::time::Duration::from_millis(2));
                assert!(made.load(Ordering::SeqCst) <= taken + 1);
            }
        });
        assert!((10..=11).contains(&made.into_inner()));
    }

    #[test]
    fn an_item_is_made_while_the_one_before_is_in_use() {
        let (tell, told) = mpsc::channel();
        let items = (0..2).inspect(move |&i| tell.send(i).unwrap());
        one_ahead(items, |items| {
            items.next();
            // Without a thread of its own this one would be waited for in vain.
            let wait = || told.recv_timeout(std::time::Duration::from_secs(60));
            assert_eq!([wait(), wait()], [Ok(0), Ok(1)]);
        });
    }

    fn panics_at(bad: usize) -> impl Iterator<Item = usize> + Send {
        (0..10).inspect(move |&i| assert_ne!(i, bad, "item {bad} is bad"))
    }

    fn message(run: impl FnOnce()) -> String {
        let payload = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
        let text = payload.downcast_ref::<String>().cloned();
        text.unwrap_or_else(|| payload.downcast_ref::<&str>().unwrap().to_string())
    }

    #[test]
    fn a_panic_is_passed_on_when_its_item_is_asked_for() {
        let mut taken = 0;
        let found = message(|| one_ahead(panics_at(3), |items| taken = items.take(4).count()));
        assert!(found.contains("item 3 is bad"), "{found}");
        assert_eq!(one_ahead(panics_at(3), |items| items.take(3).count()), 3);
        let of_consumer = message(|| one_ahead(0..10, |items| panic!("at {:?}", items.next())));
        assert_eq!(of_consumer, "at Some(0)");
    }
}
