//! Prepares a few things ahead of whoever uses them, and goes on with that whatever the user waits for.
//!
//! What is being prepared holds things that its user may need: a permit of the host for a request that is under way, or
//! a page that stands in a document of its own. A stream makes its futures go on only while somebody asks it for the
//! next one. A user that waits for what one of them holds, instead of asking, waits for ever; and so does everybody
//! else who wants something of the same host, for as long as the user waits for anything.

use std::convert::Infallible;
use std::sync::Arc;

use futures::channel::mpsc;
use futures::future::{self, FutureExt};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::Semaphore;

/// Prepares things in their order, and gives them to a user. There are never more than `most` of them that are being
/// prepared, are ready or are in use; one is in use until the next is asked for.
pub(super) async fn ahead<'t, T, U>(
    most: usize,
    preparations: impl Iterator<Item = impl Future<Output = T> + Send> + Send,
    user: impl FnOnce(BoxStream<'t, T>) -> U,
) -> U::Output
where
    T: Send + 't,
    U: Future,
{
    let slots = Arc::new(Semaphore::new(most));
    let (give, ready) = mpsc::unbounded();
    let prepare = async move {
        let prepared = preparations.map(|preparation| {
            let slot = Arc::clone(&slots).acquire_owned();
            async move {
                let slot = slot.await;
                (preparation.await, slot)
            }
        });
        let give_on = |prepared| {
            // Whoever does not listen any more drops this as well.
            let _ = give.unbounded_send(prepared);
            future::ready(())
        };
        stream::iter(prepared).buffered(most).for_each(give_on).await;
        drop(give);
        future::pending::<Infallible>().await
    };
    let ready = stream::unfold((ready, None), |(mut ready, last)| async move {
        drop(last);
        let (next, slot) = ready.next().await?;
        Some((next, (ready, Some(slot))))
    });
    tokio::select! {
        biased;
        never = prepare.boxed() => match never {},
        result = user(ready.boxed()) => result,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn what_is_being_prepared_goes_on_while_its_user_waits_for_something_that_it_holds() {
        let permit = &Semaphore::new(1);
        let preparations = (0..3).map(|number| async move {
            if number > 0 {
                let _held = permit.acquire().await;
                sleep(Duration::from_secs(1)).await;
            }
            number
        });
        let used = ahead(3, preparations, async |mut ready| {
            let mut used = Vec::new();
            while let Some(number) = ready.next().await {
                let _wanted = permit.acquire().await;
                used.push(number);
            }
            used
        });
        assert_eq!(timeout(LONG, used).await, Ok(vec![0, 1, 2]));
    }

    #[tokio::test(start_paused = true)]
    async fn they_are_given_in_their_order_and_never_more_are_about_than_were_said() {
        let about = &AtomicUsize::new(0);
        let preparations = (0..20_u64).map(|number| async move {
            assert!(about.fetch_add(1, Ordering::Relaxed) < 4);
            sleep(Duration::from_millis(20 - number)).await;
            number
        });
        let most = &Cell::new(0);
        let used = ahead(4, preparations, |mut ready| async move {
            let mut used = Vec::new();
            while let Some(number) = ready.next().await {
                sleep(Duration::from_millis(100)).await;
                most.set(most.get().max(about.load(Ordering::Relaxed)));
                about.fetch_sub(1, Ordering::Relaxed);
                used.push(number);
            }
            used
        });
        assert_eq!(used.await, (0..20).collect::<Vec<_>>());
        assert_eq!(most.get(), 4, "those that wait are prepared ahead");
    }

    #[tokio::test]
    async fn who_has_had_enough_ends_it() {
        let preparations = (0..9).map(|number| async move { if number == 0 { 0 } else { future::pending().await } });
        let first = ahead(2, preparations, |mut ready| async move { ready.next().await });
        assert_eq!(first.await, Some(0));
    }
}
