//! Asks the API server until it answers: what an operator does while it starts, since the answer may be minutes away
//! where the cluster itself is starting.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::causes::chain;
use crate::clock::Clock;
use crate::cluster::{ApiError, CALL_TIMEOUT};

/// The first pause between two attempts, which doubles, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer, or until `shutdown` is cancelled: then there is none.
///
/// # Errors
/// When the answer is a refusal, which asking again would not change.
pub async fn until_answered<T, F>(
    clock: &dyn Clock,
    shutdown: &CancellationToken,
    mut ask: impl FnMut() -> F,
) -> Result<Option<T>, kube::Error>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match shutdown.run_until_cancelled(timeout(CALL_TIMEOUT, ask())).await {
            None => return Ok(None),
            Some(Ok(Ok(answer))) => return Ok(Some(answer)),
            Some(Ok(Err(error))) if is_refusal(&error) => return Err(error),
            Some(Ok(Err(error))) => ApiError::from(&error),
            Some(Err(_)) => ApiError::Timeout,
        };
        tracing::warn!(error = %chain(&error), retry_in_seconds = pause.as_secs(), "waiting for the API server");
        if shutdown.run_until_cancelled(clock.sleep(pause)).await.is_none() {
            return Ok(None);
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whether the API server has understood, and does not do it. One that is busy, is starting or is not there may do it
/// later, and an answer that cannot be read is that of a proxy in front of it.
fn is_refusal(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => (400..500).contains(&status.code) && !matches!(status.code, 408 | 429),
        kube::Error::Auth(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::future;
    use std::sync::Mutex;

    use futures::future::{BoxFuture, FutureExt};
    use jiff::Timestamp;
    use kube::core::Status;

    use super::*;

    /// A clock that only notes for how long it was asked to wait.
    #[derive(Default)]
    struct Pauses(Mutex<Vec<u64>>);

    impl Clock for Pauses {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }

        fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
            self.0.lock().unwrap().push(duration.as_secs());
            async {}.boxed()
        }
    }

    fn answered(code: u16) -> kube::Error {
        kube::Error::Api(Box::new(Status::failure("no", "Reason").with_code(code)))
    }

    #[tokio::test]
    async fn it_is_asked_until_there_is_an_answer_with_pauses_that_grow() {
        let (pauses, shutdown) = (Pauses::default(), CancellationToken::new());
        let mut codes = [503, 500, 429, 502, 504, 408, 503, 503].into_iter();
        let ask = || future::ready(codes.next().map_or(Ok("there"), |code| Err(answered(code))));
        assert_eq!(until_answered(&pauses, &shutdown, ask).await.unwrap(), Some("there"));
        assert_eq!(*pauses.0.lock().unwrap(), [1, 2, 4, 8, 16, 30, 30, 30]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_come_is_asked_for_again() {
        let (pauses, shutdown) = (Pauses::default(), CancellationToken::new());
        let mut first = true;
        let ask = || {
            let hangs = std::mem::take(&mut first);
            async move { if hangs { future::pending().await } else { Ok("there") } }
        };
        assert_eq!(until_answered(&pauses, &shutdown, ask).await.unwrap(), Some("there"));
    }

    #[tokio::test]
    async fn a_refusal_is_final() {
        let (pauses, shutdown) = (Pauses::default(), CancellationToken::new());
        for code in [401, 403, 404, 410] {
            let asked = until_answered(&pauses, &shutdown, || future::ready(Err::<(), _>(answered(code)))).await;
            assert!(asked.is_err(), "{code}");
        }
        assert!(pauses.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_shutdown_ends_the_waiting() {
        let (pauses, shutdown) = (Pauses::default(), CancellationToken::new());
        let ask = || {
            shutdown.cancel();
            future::ready(Err::<(), _>(answered(503)))
        };
        assert!(until_answered(&pauses, &shutdown, ask).await.unwrap().is_none());
        let waits = until_answered(&pauses, &shutdown, future::pending::<Result<(), kube::Error>>).await;
        assert!(waits.unwrap().is_none());
    }
}
