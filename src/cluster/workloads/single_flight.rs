//! Lets those who ask at the same time share one answer.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

/// Something that takes a while and answers for everything that was before it began. One round of it goes on at a time.
#[derive(Debug)]
pub(super) struct Rounds<T> {
    /// How many have begun.
    begun: AtomicU64,
    /// The last one that came to its end: its number and its answer.
    last: Mutex<Option<(u64, T)>>,
}

impl<T: Clone> Rounds<T> {
    pub(super) fn new() -> Self {
        Self { begun: AtomicU64::new(0), last: Mutex::new(None) }
    }

    /// The answer of a round that begins after this call: this one, unless somebody else's can be had. The one that is
    /// under way began too early; whoever asks meanwhile shares the next.
    pub(super) async fn next(&self, round: impl Future<Output = T>) -> T {
        let too_early = self.begun.load(Ordering::SeqCst);
        let mut last = self.last.lock().await;
        if let Some((number, answer)) = &*last
            && *number > too_early
        {
            return answer.clone();
        }
        // A round that is dropped before its end leaves a number that nothing answers to.
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let answer = round.await;
        *last = Some((number, answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures::future::{FutureExt, join_all, pending};
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn who_asks_later_gets_a_later_answer() {
        let rounds = Rounds::new();
        assert_eq!(rounds.next(async { 1 }).await, 1);
        assert_eq!(rounds.next(async { 2 }).await, 2);
    }

    #[tokio::test]
    async fn who_asks_during_a_round_shares_the_next_one() {
        let (rounds, gate, count) = (Rounds::new(), Notify::new(), Cell::new(0));
        let round = async || {
            count.set(count.get() + 1);
            gate.notified().await;
            count.get()
        };
        let mut first = Box::pin(rounds.next(round()));
        assert_eq!(first.as_mut().now_or_never(), None);
        let mut others = Box::pin(join_all((0..5).map(|_| rounds.next(round()))));
        assert_eq!(others.as_mut().now_or_never(), None);
        gate.notify_one();
        assert_eq!(first.await, 1);
        gate.notify_one();
        assert_eq!(others.await, [2; 5]);
        assert_eq!(count.get(), 2);
    }

    #[tokio::test]
    async fn a_round_that_is_dropped_answers_nobody() {
        let rounds = Rounds::new();
        assert_eq!(rounds.next(async { 1 }).await, 1);
        assert_eq!(rounds.next(pending()).now_or_never(), None);
        assert_eq!(rounds.next(async { 3 }).await, 3);
    }
}
