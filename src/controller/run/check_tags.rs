//! Whether tags still are what they were planned as, right before the request leaves that removes them: nobody pushed
//! them again, and nobody came to use them.
//!
//! GitLab is asked once the turn of the removal has come, by a request that waits for no turn of its own. So no wait
//! for the pace of the host, or for a pause that GitLab asked for, lies between the check and the removal. The cluster
//! is asked last. A check that is too old by then is made again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::{BoxFuture, FutureExt};
use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock;
use crate::gitlab::{Client, Error, ErrorKind, FinalCheck, Repository, TagNow};
use crate::model::Digest;
use crate::policy::in_use::RepositoryUse;
use crate::policy::tag::{Moment, Tag, to_the_second};

use super::in_use_guard::Look;
use super::job::Job;
use super::report::Halt;
use crate::controller::plan::read_tags::{Push, pushed_since};

/// The largest time from the moment at which the newest pushes are asked for to that at which a removal leaves that
/// relies on them.
pub const NEWEST_PUSHES_HOLD: SignedDuration = SignedDuration::from_secs(30);
/// The largest time from the moment at which a tag is asked for, by its name, to that at which its removal leaves.
pub const TAGS_NOW_HOLD: SignedDuration = SignedDuration::from_secs(3);
/// Tags that rely on one look at the newest pushes, as many as the largest request has.
const TAGS_PER_LOOK: usize = 500;

/// What became of a tag since it was planned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Now {
    Same,
    Again,
    /// It has no digest to compare.
    Untold,
    /// It is not found any more.
    Missing,
    /// It cannot be told together with others.
    Crowded,
}

/// How GitLab is asked whether tags were pushed again.
#[derive(Clone)]
pub(crate) enum Way {
    /// By its newest pushes, which many removals share.
    Newest(Arc<Newest>),
    /// By the names of all tags of the request, in one document of GraphQL.
    Names,
    /// By the name of the one tag of the request.
    Single,
}

impl Way {
    const fn holds(&self) -> SignedDuration {
        match self {
            Self::Newest(_) => NEWEST_PUSHES_HOLD,
            Self::Names | Self::Single => TAGS_NOW_HOLD,
        }
    }
}

/// Why a request did not leave.
pub(crate) enum Found {
    /// What each of its tags is now, in their order: not all are as they were.
    Changed(Vec<Now>),
    /// What is in use now: not all of its tags are spared.
    InUse(Box<RepositoryUse>),
    /// GitLab took too long to tell, or cannot tell for so many at once.
    Late,
    /// The newest pushes do not tell everything there is to know.
    NoOrder,
    /// Something cannot be known at all.
    Failed(Halt),
}

impl From<Error> for Found {
    fn from(error: Error) -> Self {
        Self::Failed(error.into())
    }
}

/// The check of one request.
pub(crate) struct TagCheck {
    client: Client,
    clock: Arc<dyn Clock>,
    repository: Repository,
    tags: Vec<Tag>,
    way: Way,
    /// Whether they are in use, if the policy wants to know.
    in_use: Option<Arc<Look>>,
    found: Mutex<Option<Found>>,
}

impl TagCheck {
    pub(crate) fn of(
        job: &Job<'_>,
        repository: &Repository,
        tags: &[&Tag],
        way: Way,
        in_use: Option<Arc<Look>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            client: job.client.clone(),
            clock: Arc::clone(&job.context.clock),
            repository: repository.clone(),
            tags: tags.iter().copied().cloned().collect(),
            way,
            in_use,
            found: Mutex::new(None),
        })
    }

    /// Why the request did not leave, the last time that it did not.
    pub(crate) fn found(&self) -> Found {
        // A request is only withdrawn with a finding.
        self.finding().unwrap_or(Found::Late)
    }

    /// The same where it may be for the sake of other tags that it did not.
    pub(super) fn finding(&self) -> Option<Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes note of what a look came to.
    pub(super) fn note(&self, found: Option<Found>) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    /// The look at whether its tags are in use, if the policy wants to know.
    pub(super) fn in_use(&self) -> Option<&Look> {
        self.in_use.as_deref()
    }

    async fn check(&self) -> Result<(), Found> {
        let asked = self.unchanged(&self.client.cutting_in()).await?;
        if !self.in_time(asked) {
            return Err(Found::Late);
        }
        let Some(in_use) = &self.in_use else { return Ok(()) };
        if !in_use.still().await {
            return Err(used(in_use));
        }
        if self.in_time(asked) {
            return Ok(());
        }
        // The cluster took long. It was asked after this check began, and is listened to meanwhile.
        let asked = self.unchanged(&self.client.cutting_in()).await?;
        if !in_use.still_as_known() {
            return Err(used(in_use));
        }
        if self.in_time(asked) { Ok(()) } else { Err(Found::Late) }
    }

    /// Whether what GitLab was asked at a moment still holds.
    pub(super) fn in_time(&self, asked: Timestamp) -> bool {
        self.clock.now().duration_since(asked).abs() < self.way.holds()
    }

    /// When GitLab was asked, by a client that waits for no turn, if all tags are as they were planned.
    pub(super) async fn unchanged(&self, client: &Client) -> Result<Timestamp, Found> {
        let (asked, now) = match &self.way {
            Way::Newest(newest) => newest.now(self, client).await?,
            Way::Names => (self.clock.now(), self.named(client).await?),
            Way::Single => (self.clock.now(), self.single(client).await?),
        };
        if now.iter().all(|now| *now == Now::Same) { Ok(asked) } else { Err(Found::Changed(now)) }
    }

    async fn named(&self, client: &Client) -> Result<Vec<Now>, Found> {
        let names: Vec<&str> = self.tags.iter().map(|tag| &*tag.name).collect();
        let told = client.tags_now(self.repository.id, &names).await.map_err(|error| {
            // Fewer at once, or one alone, may still be told.
            let kind = error.kind();
            let unread = matches!(kind, ErrorKind::InvalidAnswer { .. } | ErrorKind::Unsupported { .. });
            if unread || error.is_too_much() { Found::Late } else { error.into() }
        })?;
        let now = |(tag, told): (&Tag, TagNow)| match told {
            TagNow::There { digest, published_at } => compared(tag, digest.as_ref(), published_at),
            TagNow::Missing => Now::Missing,
            TagNow::Crowded => Now::Crowded,
        };
        Ok(self.tags.iter().zip(told).map(now).collect())
    }

    /// One that is not found where it was listed may be gone, which is not certain, so it is not asked for.
    async fn single(&self, client: &Client) -> Result<Vec<Now>, Found> {
        let reference = self.repository.reference();
        let mut now = Vec::new();
        for tag in &self.tags {
            let details = client.tag(&reference, &tag.name).await?;
            now.push(details.map_or(Now::Missing, |details| compared(tag, details.digest.as_ref(), None)));
        }
        Ok(now)
    }
}

impl FinalCheck for TagCheck {
    fn still(&self) -> BoxFuture<'_, bool> {
        async {
            let found = self.check().await.err();
            let still = found.is_none();
            self.note(found);
            still
        }
        .boxed()
    }
}

/// What a look that said no has found.
pub(super) fn used(look: &Look) -> Found {
    look.found().map_or_else(|unknown| Found::Failed(unknown.into()), |use_now| Found::InUse(Box::new(use_now)))
}

/// What a tag is by its digest, and by its last push where both are told. Dates are whole seconds, as GraphQL tells
/// them.
fn compared(planned: &Tag, digest: Option<&Digest>, published: Option<Timestamp>) -> Now {
    let Some((then, now)) = planned.digest.as_ref().zip(digest) else { return Now::Untold };
    let another_push = match (planned.pushed, published) {
        (Moment::At(then), Some(now)) if planned.push_told => to_the_second(then) != to_the_second(now),
        _ => false,
    };
    if then != now || another_push { Now::Again } else { Now::Same }
}

/// The newest pushes of a repository, as all its removals know them.
pub(crate) struct Newest {
    /// Pushes from then on matter.
    since: Timestamp,
    /// Set once they did not tell everything.
    given_up: AtomicBool,
    /// Held by who looks, so that the others wait for what is seen.
    known: tokio::sync::Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// When they were asked for.
    asked: Option<Timestamp>,
    /// Tags that relied on it since.
    tags: usize,
    /// They go back to `since`: what is not among them was not pushed.
    complete: bool,
    pushes: HashMap<Box<str>, Push>,
}

impl Newest {
    pub(crate) fn since(since: Timestamp) -> Arc<Self> {
        Arc::new(Self { since, given_up: AtomicBool::new(false), known: tokio::sync::Mutex::default() })
    }

    /// Whether they can be relied on.
    pub(crate) fn is_usable(&self) -> bool {
        !self.given_up.load(Ordering::Relaxed)
    }

    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// What tags are by the newest pushes, and when those were asked for: now, if what is known is too old or has
    /// served enough.
    async fn now(&self, check: &TagCheck, client: &Client) -> Result<(Timestamp, Vec<Now>), Found> {
        let mut known = self.known.lock().await;
        let asked = match known.asked {
            Some(asked) if check.in_time(asked) && known.tags + check.tags.len() <= TAGS_PER_LOOK => asked,
            _ => {
                let asked = check.clock.now();
                let pushes = pushed_since(client, &check.repository, self.since).await?.ok_or(Found::NoOrder)?;
                known.pushes.extend(pushes.tags);
                (known.asked, known.tags, known.complete) = (Some(asked), 0, pushes.complete);
                asked
            }
        };
        known.tags += check.tags.len();
        let now = check.tags.iter().map(|tag| known.now(tag)).collect::<Option<_>>().ok_or(Found::NoOrder)?;
        Ok((asked, now))
    }
}

impl Known {
    /// One of those that are as they were planned was pushed shortly before.
    fn now(&self, tag: &Tag) -> Option<Now> {
        match self.pushes.get(&tag.name) {
            Some(push) if Moment::At(push.at) == tag.pushed && push.digest == tag.digest => Some(Now::Same),
            Some(_) => Some(Now::Again),
            None => self.complete.then_some(Now::Same),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::policy::tag::Manifest;

    const PUSHED: &str = "2026-03-01T12:00:00.7Z";

    #[rstest]
    #[case::as_planned(Some("a"), true, Some("a"), Some("2026-03-01T12:00:00Z"), Now::Same)]
    #[case::another_image(Some("a"), true, Some("b"), Some("2026-03-01T12:00:00Z"), Now::Again)]
    #[case::the_same_image_later(Some("a"), true, Some("a"), Some("2026-03-01T12:00:01Z"), Now::Again)]
    #[case::its_push_was_not_told_then(Some("a"), false, Some("a"), Some("2026-03-01T12:00:01Z"), Now::Same)]
    #[case::its_push_is_not_told_now(Some("a"), true, Some("a"), None, Now::Same)]
    #[case::no_digest_then(None, true, Some("a"), Some("2026-03-01T12:00:00Z"), Now::Untold)]
    #[case::no_digest_now(Some("a"), true, None, Some("2026-03-01T12:00:00Z"), Now::Untold)]
    fn a_tag_is_as_planned_only_if_all_that_is_told_is_the_same(
        #[case] planned: Option<&str>,
        #[case] push_told: bool,
        #[case] digest: Option<&str>,
        #[case] published: Option<&str>,
        #[case] expected: Now,
    ) {
        let pushed = Moment::At(PUSHED.parse().unwrap());
        let tag = Tag {
            name: "v1".into(),
            digest: planned.map(Digest::new),
            pushed,
            push_told,
            created: pushed,
            single_image: true,
            protected: false,
            bytes: None,
            manifest: Manifest::default(),
        };
        let digest = digest.map(Digest::new);
        assert_eq!(compared(&tag, digest.as_ref(), published.map(|at| at.parse().unwrap())), expected);
    }
}
