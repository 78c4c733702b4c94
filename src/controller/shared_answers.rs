//! What GitLab says of tokens and targets, asked once for all policies that wait for the same answer.
//!
//! Thousands of policies may name one token and one group, and all are looked at when the operator starts. An answer
//! counts for a policy only if it was asked for after the look at that policy was wanted, so that it says no less than
//! one of its own would: a look that is wanted because something was changed never gets an answer from before the
//! change. Runs do not share: each asks for itself when it begins.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::gitlab::{Class, Client, Error, Gate, Namespace, Repository, TokenInfo};

/// Answers from which on those that nobody waits for are forgotten.
const MOST: usize = 1024;

/// When a look was wanted. Later ones are greater.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish(u64);

/// A connection with its token, as the process knows it: [`crate::gitlab::GitLab::fingerprint`].
pub(crate) type Fingerprint = u64;

/// All answers of the process.
#[derive(Debug, Default)]
pub(crate) struct SharedAnswers {
    order: AtomicU64,
    pub(crate) tokens: Shared<Fingerprint, Option<TokenInfo>>,
    pub(crate) targets: Shared<(Fingerprint, Namespace), ()>,
    lists: Shared<(Fingerprint, Namespace), Arc<[Repository]>>,
}

/// What one look shares with others.
pub(crate) struct Sharing<'a> {
    pub(crate) answers: &'a SharedAnswers,
    /// Its connection.
    pub(crate) of: Fingerprint,
    /// When it was wanted.
    pub(crate) wanted: Wish,
    /// Whether it needs the repositories as well, so that a list of them is no request more.
    pub(crate) lists: bool,
    /// What ends the waiting for others.
    pub(crate) gate: &'a dyn Gate,
}

impl Sharing<'_> {
    /// Whether the repositories of a project or group can be listed. What is listed anyway shows it; a long list that
    /// fails proves less than the one entry of a check.
    pub(crate) async fn check(&self, client: &Client, namespace: &Namespace) -> Result<(), Error> {
        let Self { answers, of, wanted, lists, gate } = *self;
        if lists && self.repositories(client, namespace).await.is_ok() {
            return Ok(());
        }
        answers.targets.get(answers, (of, namespace.clone()), wanted, gate, client.check(namespace)).await
    }

    /// The repositories of a project or group.
    pub(crate) async fn repositories(
        &self,
        client: &Client,
        namespace: &Namespace,
    ) -> Result<Arc<[Repository]>, Error> {
        let Self { answers, of, wanted, lists: _, gate } = *self;
        let list = async { client.repositories(namespace).await.map(Arc::from) };
        answers.lists.get(answers, (of, namespace.clone()), wanted, gate, list).await
    }
}

impl SharedAnswers {
    /// A look is wanted now.
    pub(crate) fn wish(&self) -> Wish {
        Wish(self.order.fetch_add(1, Ordering::Relaxed))
    }
}

/// An answer, and when it was asked for.
#[derive(Debug)]
struct Told<T> {
    asked: Wish,
    answer: Result<T, Error>,
}

/// Held by who asks, so that the others wait for what is told.
type Slot<T> = Arc<tokio::sync::Mutex<Option<Told<T>>>>;

/// Answers to one kind of question.
#[derive(Debug)]
pub(crate) struct Shared<K, T>(Mutex<HashMap<K, Slot<T>>>);

impl<K, T> Default for Shared<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, T: Clone> Shared<K, T> {
    /// The answer to a question for a look that was wanted then: one that others have asked for since, or an own one.
    /// Whoever's gate closes waits for nobody.
    pub(crate) async fn get(
        &self,
        all: &SharedAnswers,
        key: K,
        wanted: Wish,
        gate: &dyn Gate,
        ask: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let slot = self.slot(key);
        let mut told = tokio::select! {
            biased;
            () = gate.stopped() => return ask.await,
            told = slot.lock() => told,
        };
        if let Some(told) = told.as_ref().filter(|told| told.asked.0 > wanted.0) {
            return told.answer.clone();
        }
        let asked = all.wish();
        let answer = ask.await;
        // What one policy's gate has cut short says nothing to the others.
        let cut_short = answer.as_ref().is_err_and(|error| error.class() == Class::Stopped);
        *told = (!cut_short).then(|| Told { asked, answer: answer.clone() });
        answer
    }

    fn slot(&self, key: K) -> Slot<T> {
        // The map is valid between any two statements.
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MOST {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(slots.entry(key).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use futures::future::{self, BoxFuture, FutureExt};
    use jiff::Timestamp;

    use super::*;
    use crate::clock::SystemClock;
    use crate::gitlab::{AlwaysOpen, ClientSettings, Connection, GitLab, RequestLimits, Stopped};

    struct Asked {
        answers: SharedAnswers,
        times: Cell<u64>,
    }

    impl Asked {
        fn new() -> Self {
            Self { answers: SharedAnswers::default(), times: Cell::new(0) }
        }

        /// The number of the question that the answer belongs to.
        async fn get(&self, fingerprint: Fingerprint, wanted: Wish) -> u64 {
            let asked = Cell::new(0);
            let ask = async {
                self.times.set(self.times.get() + 1);
                asked.set(self.times.get());
                tokio::task::yield_now().await;
                Ok(None)
            };
            let told = self.answers.tokens.get(&self.answers, fingerprint, wanted, &AlwaysOpen, ask).await;
            assert!(told.unwrap().is_none());
            asked.get()
        }
    }

    #[tokio::test]
    async fn all_that_wait_at_the_same_time_share_one_answer() {
        let asked = Asked::new();
        let wishes: Vec<Wish> = (0..9).map(|_| asked.answers.wish()).collect();
        future::join_all(wishes.into_iter().map(|wish| asked.get(1, wish))).await;
        assert_eq!(asked.times.get(), 1);
    }

    #[tokio::test]
    async fn a_look_that_is_wanted_later_gets_a_later_answer() {
        let asked = Asked::new();
        let (first, second) = (asked.answers.wish(), asked.answers.wish());
        assert_eq!(asked.get(1, first).await, 1);
        assert_eq!(asked.get(1, second).await, 0, "it was wanted before the question");
        assert_eq!(asked.get(1, asked.answers.wish()).await, 2);
    }

    #[tokio::test]
    async fn a_look_that_is_wanted_while_it_is_asked_does_not_get_that_answer() {
        let asked = Asked::new();
        let first = asked.answers.wish();
        let mut under_way = Box::pin(asked.get(1, first));
        assert!((&mut under_way).now_or_never().is_none());
        let late = asked.answers.wish();
        let (_, late) = future::join(under_way, asked.get(1, late)).await;
        assert_eq!(late, 2);
    }

    #[tokio::test]
    async fn other_tokens_have_answers_of_their_own() {
        let asked = Asked::new();
        let (first, second) = (asked.answers.wish(), asked.answers.wish());
        assert_eq!(asked.get(1, first).await, 1);
        assert_eq!(asked.get(2, second).await, 2);
    }

    #[tokio::test]
    async fn who_gives_up_asking_leaves_it_to_the_next() {
        let asked = Asked::new();
        let (first, second) = (asked.answers.wish(), asked.answers.wish());
        let mut gives_up = Box::pin(asked.get(1, first));
        assert!((&mut gives_up).now_or_never().is_none());
        drop(gives_up);
        assert_eq!(asked.get(1, second).await, 2);
    }

    /// A gate that has closed.
    struct Closed;

    impl Gate for Closed {
        fn may_send(&self) -> Result<(), Stopped> {
            Err(Stopped)
        }

        fn deadline(&self) -> Option<Timestamp> {
            None
        }

        fn stopped(&self) -> BoxFuture<'_, ()> {
            future::ready(()).boxed()
        }
    }

    fn client(gate: Arc<dyn Gate>) -> Client {
        let limits = RequestLimits { requests_per_second: 1000.0, graphql_batch: 1, requests_in_flight: 1 };
        let settings = ClientSettings { limits, user_agent: "test".to_owned(), allowed_hosts: Arc::default() };
        let connection = Connection {
            base_url: "https://gitlab.example.com".parse().unwrap(),
            token: "glpat-marker".into(),
            ca_pem: None,
            identity_pem: None,
            proxy: None,
            timeout: Duration::from_secs(1),
        };
        GitLab::new(settings, Arc::new(SystemClock)).connect(&connection, gate).unwrap()
    }

    #[tokio::test]
    async fn what_the_gate_of_one_has_cut_short_is_asked_again_by_the_next() {
        let asked = Asked::new();
        let (first, second) = (asked.answers.wish(), asked.answers.wish());
        let client = client(Arc::new(Closed));
        let told = asked.answers.tokens.get(&asked.answers, 1, first, &AlwaysOpen, client.token_self()).await;
        assert_eq!(told.unwrap_err().class(), Class::Stopped);
        assert_eq!(asked.get(1, second).await, 1);
    }

    #[tokio::test]
    async fn whose_gate_closes_waits_for_nobody() {
        let asked = Asked::new();
        let (first, second) = (asked.answers.wish(), asked.answers.wish());
        let mut under_way = Box::pin(asked.get(1, first));
        assert!((&mut under_way).now_or_never().is_none());
        let client = client(Arc::new(Closed));
        let told = asked.answers.tokens.get(&asked.answers, 1, second, &Closed, client.token_self()).now_or_never();
        assert_eq!(told.unwrap().unwrap_err().class(), Class::Stopped);
    }

    #[tokio::test]
    async fn answers_that_nobody_waits_for_are_forgotten_when_there_are_many() {
        let asked = Asked::new();
        for fingerprint in 0..=MOST as u64 {
            let wanted = asked.answers.wish();
            asked.get(fingerprint, wanted).await;
        }
        assert_eq!(asked.answers.tokens.0.lock().unwrap().len(), 1);
    }
}
