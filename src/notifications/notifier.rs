//! The messages on their way: taken without waiting, tried in the background, counted at their end.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::settings::{Error, Settings};
use crate::causes::chain;
use crate::clock::Clock;
use crate::gitlab::{Lookup, retry_after};
use crate::metrics::{Counter, Family};
use crate::policy::notifications::Notification;
use crate::policy::notifications::tries::{Answer, Next, jitter, next, signed_content};

/// Messages on their way at most; each has at most 64 kB, and most have a few hundred bytes.
const MOST_ON_THEIR_WAY: u16 = 64;
/// Requests to the receiver that are under way at the same time.
const MOST_REQUESTS: usize = 4;
/// The time for one request, from the connection to the head of the answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the end of the operator waits for messages that are on their way.
const END: Duration = Duration::from_secs(5);
/// Ids that are remembered, so that what a status lost and says again is not sent again.
const MOST_REMEMBERED: usize = 1000;

const CLOUD_EVENT: HeaderValue = HeaderValue::from_static("application/cloudevents+json; charset=utf-8");
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// What became of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    /// The receiver has it.
    Delivered,
    /// The receiver refused it.
    Refused,
    /// No try succeeded.
    Failed,
    /// It was not tried, or no longer: too many are on their way, the receiver wants none, or the operator ended.
    Dropped,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Delivered, Self::Refused, Self::Failed, Self::Dropped];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// Sends notifications to one receiver. Clones send together.
#[derive(Clone)]
pub struct Notifier(Arc<Shared>);

struct Shared {
    settings: Settings,
    url: Url,
    client: reqwest::Client,
    clock: Arc<dyn Clock>,
    /// One permit for each message on its way.
    on_their_way: Arc<Semaphore>,
    requests: Semaphore,
    /// The newest last.
    remembered: Mutex<VecDeque<String>>,
    /// The receiver wants no message any more.
    gone: AtomicBool,
    ending: CancellationToken,
    outcomes: Counter<1>,
}

impl Notifier {
    /// A notifier for this receiver. Sends nothing yet.
    ///
    /// # Errors
    /// When the receiver may not be reached, or its keys or authorities cannot be used.
    pub fn new(
        settings: Settings,
        user_agent: &str,
        clock: Arc<dyn Clock>,
        lookup: &Arc<dyn Lookup>,
    ) -> Result<Self, Error> {
        let url = settings.receiver()?;
        let client = settings.client(&url, user_agent, lookup)?;
        settings.keys()?;
        let outcomes = Counter::new("notifications", "Notifications by what became of them", ["result"]);
        for outcome in Outcome::ALL {
            // Prometheus sees no growth from nothing to a number.
            outcomes.add([outcome.as_str()], 0.0);
        }
        let (on_their_way, requests) = (Semaphore::new(MOST_ON_THEIR_WAY.into()), Semaphore::new(MOST_REQUESTS));
        Ok(Self(Arc::new(Shared {
            settings,
            url,
            client,
            clock,
            on_their_way: Arc::new(on_their_way),
            requests,
            remembered: Mutex::default(),
            gone: AtomicBool::new(false),
            ending: CancellationToken::new(),
            outcomes,
        })))
    }

    /// Takes a message, and sends it in the background. Never waits: one that there is no room for is dropped.
    pub fn send(&self, notification: Notification) {
        let shared = &self.0;
        if shared.is_remembered(&notification.id) {
            return;
        }
        if shared.gone.load(Ordering::Relaxed) {
            return shared.end(&notification, Outcome::Dropped, 0, "the receiver wants no notifications");
        }
        match Arc::clone(&shared.on_their_way).try_acquire_owned() {
            Ok(permit) => {
                shared.remember(notification.id.clone());
                tokio::spawn(deliver(Arc::clone(shared), notification, permit));
            }
            Err(_) => shared.end(&notification, Outcome::Dropped, 0, "too many are on their way"),
        }
    }

    /// Gives every message that waits one more try, and waits a few seconds for all of them.
    pub async fn finish(&self) {
        self.0.ending.cancel();
        let all = self.0.on_their_way.acquire_many(MOST_ON_THEIR_WAY.into());
        if tokio::time::timeout(END, all).await.is_err() {
            let count = usize::from(MOST_ON_THEIR_WAY) - self.0.on_their_way.available_permits();
            tracing::warn!(count, "the operator ends before its notifications were sent");
        }
    }

    /// What is counted.
    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        vec![self.0.outcomes.family()]
    }
}

/// Tries until the message is delivered, or will not be. The permit is held meanwhile.
async fn deliver(shared: Arc<Shared>, notification: Notification, _permit: OwnedSemaphorePermit) {
    let began = shared.clock.elapsed();
    let mut tries = 0;
    loop {
        tries += 1;
        let last = shared.ending.is_cancelled();
        let (answer, error) = {
            // Never closed.
            let _turn = shared.requests.acquire().await;
            shared.try_once(&notification).await
        };
        let passed = shared.clock.elapsed().saturating_sub(began);
        let outcome = match next(answer, tries, passed, jitter(&notification.id, tries)) {
            Next::Delivered => Outcome::Delivered,
            Next::Refused => Outcome::Refused,
            Next::Gone => {
                shared.gone.store(true, Ordering::Relaxed);
                Outcome::Refused
            }
            Next::GivenUp => Outcome::Failed,
            Next::Again(_) if last => Outcome::Dropped,
            Next::Again(pause) => {
                let (id, retry_in_seconds) = (notification.id.as_str(), pause.as_secs());
                tracing::debug!(notification = id, error, retry_in_seconds, "a notification is tried again");
                tokio::select! {
                    () = shared.clock.pass(pause) => {}
                    () = shared.ending.cancelled() => {}
                }
                continue;
            }
        };
        return shared.end(&notification, outcome, tries, &error);
    }
}

impl Shared {
    /// One try, and what came of it in words of our own: what the receiver answers is not told.
    async fn try_once(&self, notification: &Notification) -> (Answer, String) {
        let now = self.clock.now();
        let keys = match self.settings.keys() {
            Ok(keys) => keys,
            Err(error) => return (Answer::Nothing, chain(&error)),
        };
        let timestamp = now.as_second();
        let signature = keys.sign(&signed_content(&notification.id, timestamp, &notification.body));
        let request = self
            .client
            .post(self.url.clone())
            .timeout(TIMEOUT)
            .header(CONTENT_TYPE, CLOUD_EVENT)
            .header(WEBHOOK_ID, &notification.id)
            .header(WEBHOOK_TIMESTAMP, timestamp)
            .header(WEBHOOK_SIGNATURE, signature)
            .body(notification.body.clone());
        match request.send().await {
            Ok(response) => {
                let code = response.status().as_u16();
                let retry_after = retry_after(response.headers(), self.clock.now());
                (Answer::Status { code, retry_after }, format!("the receiver answered {code}"))
            }
            // Its address may be a secret.
            Err(error) => (Answer::Nothing, chain(&error.without_url())),
        }
    }

    /// Counts what became of a message, and logs it.
    fn end(&self, notification: &Notification, outcome: Outcome, tries: u32, error: &str) {
        self.outcomes.add([outcome.as_str()], 1.0);
        let (result, id, subject) = (outcome.as_str(), notification.id.as_str(), notification.subject.as_str());
        if outcome == Outcome::Delivered {
            tracing::info!(notification = id, subject, result, tries, "a notification was sent");
        } else {
            tracing::warn!(notification = id, subject, result, tries, error, "a notification was not sent");
        }
    }

    fn is_remembered(&self, id: &str) -> bool {
        self.remembered().iter().any(|known| known == id)
    }

    fn remember(&self, id: String) {
        let mut remembered = self.remembered();
        remembered.push_back(id);
        if remembered.len() > MOST_REMEMBERED {
            remembered.pop_front();
        }
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, VecDeque<String>> {
        // The list is valid between any two statements.
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
