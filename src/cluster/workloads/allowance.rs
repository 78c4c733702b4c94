//! How many bytes looks may ask of the API server to be answered at once.
//!
//! A look that compares objects takes some milliseconds and their metadata; one that waits for a bookmark takes a
//! second or two and next to nothing. So the first looks compare, and whoever looks all the time waits.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What may be asked for at once after a quiet time, in bytes.
const MOST: i64 = 2 << 20;
/// What comes back, in bytes a millisecond.
const A_MILLISECOND: i64 = 128;

/// Bytes that are left. More may be asked for than is left, as nobody knows beforehand what an answer takes; then
/// nothing is until that has come back.
#[derive(Debug)]
pub(super) struct Allowance(Mutex<Left>);

#[derive(Clone, Copy, Debug)]
struct Left {
    bytes: i64,
    at: Instant,
}

impl Allowance {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Left { bytes: MOST, at: Instant::now() }))
    }

    /// Whether anything is left.
    pub(super) fn is_left(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).now(Instant::now()).bytes > 0
    }

    /// Takes note of an answer of so many bytes.
    pub(super) fn spend(&self, bytes: usize) {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *left = left.now(Instant::now()).less(bytes);
    }
}

impl Left {
    fn now(self, now: Instant) -> Self {
        // A part of a millisecond counts next time.
        let passed = u64::try_from(now.saturating_duration_since(self.at).as_millis()).unwrap_or(u64::MAX);
        let back = i64::try_from(passed).unwrap_or(i64::MAX).saturating_mul(A_MILLISECOND);
        Self { bytes: self.bytes.saturating_add(back).min(MOST), at: self.at + Duration::from_millis(passed) }
    }

    fn less(self, bytes: usize) -> Self {
        Self { bytes: self.bytes.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX)), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_for_comes_back_bit_by_bit_and_never_more_than_the_most() {
        let allowance = Allowance::new();
        let most = usize::try_from(MOST).unwrap();
        allowance.spend(most - 1);
        assert!(allowance.is_left());
        allowance.spend(most);
        assert!(!allowance.is_left(), "more was asked for than was left");
        tokio::time::advance(Duration::from_millis(16_383)).await;
        assert!(!allowance.is_left());
        tokio::time::advance(Duration::from_millis(2)).await;
        assert!(allowance.is_left());
        tokio::time::advance(Duration::from_secs(1 << 40)).await;
        allowance.spend(most);
        assert!(!allowance.is_left());
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_often_gets_no_less_back() {
        let allowance = Allowance::new();
        allowance.spend(usize::try_from(2 * MOST).unwrap());
        for _ in 0..163_860 {
            tokio::time::advance(Duration::from_micros(100)).await;
            allowance.spend(0);
        }
        assert!(allowance.is_left());
    }
}
