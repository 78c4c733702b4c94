//! Confirms that the index is not behind the API server.
//!
//! A watch tells of a change a moment after it was acknowledged, or minutes after if something is stuck; the index
//! cannot tell the difference by itself. So before something is done that cannot be undone, the API server is asked
//! where it is. When [`confirm`] answers that all is well, then **the index shows every creation and every change of
//! every source that the API server acknowledged before `confirm` began**; a deletion may be missing, which only
//! protects an image for longer.
//!
//! For each source, all at the same time:
//!
//! 1. A list that names no resourceVersion is answered with the state at some version R that is not older than the
//!    question: it is the API server's consistent read, also where the answer comes from its cache.
//! 2. The position X of a source is the version up to which the index has everything: that of its list, and after it of
//!    the last event or bookmark, since a watch tells of changes in their order. If X reaches R, the index is as new as
//!    the answer, and that is the proof.
//! 3. Versions count the changes of the whole cluster, so X stays behind R while nothing happens to the source. There
//!    are two ways out. A *small* source is compared: the list holds the metadata of its objects, and each must be in
//!    the index in that version or a later one. For a *big* one the list is asked for with a selector that nothing
//!    matches, which gives R alone, and the watch is begun anew for three seconds: two seconds before the end of a
//!    watch the API server sends a bookmark, and X jumps ahead. Where that does not happen (an API server that does not
//!    ask etcd for its progress), a big source is compared as well, page by page.
//! 4. What the index lacks is waited for. What does not come in time is a gap.
//!
//! Counting objects would be cheaper than comparing them, but a count does not see that a Deployment was given another
//! image, and a rollout that adds a `ReplicaSet` and removes the oldest leaves it as it was.
//!
//! An R that is less than an X that was known before the question means that the past was restored from a backup: a
//! watch then tells nothing until the versions are used up again. This is a gap as well, and the source is listed anew.
//!
//! A custom kind that the cluster did not have is looked for again, because it may have been installed in the meantime.

use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use kube::api::ListParams;
use tokio::time::{Instant, timeout, timeout_at};

use super::discovery;
use super::kind::Kind;
use super::projection::{self, NoObject};
use super::requests::{self, Page, WatchError};
use super::watch_state::{Gap, Phase, Shared, Source};

/// How long it may take in all.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// How long a bookmark may take; the API server looks every second whether one is due.
const BOOKMARK_PATIENCE: Duration = Duration::from_secs(4);
/// A source with more objects is big. The metadata of an object are some 2 kB.
const SMALL: usize = 500;
/// Objects in a page of metadata.
const PAGE_SIZE: u32 = 100;
/// How many sources are asked for at the same time; each takes a connection of its own.
const AT_ONCE: usize = 16;
/// Nothing has this label.
const NOTHING: &str = "registrycleanup.dev/none=none";

/// See the module.
pub(super) async fn confirm(shared: &Shared) -> Result<(), Vec<Gap>> {
    if shared.sources.is_empty() {
        return Err(shared.gaps());
    }
    let deadline = Instant::now() + MAX_WAIT;
    let confirmed: Vec<Result<(), Gap>> = stream::iter(&shared.sources)
        .map(|source| async move {
            let confirmed = timeout_at(deadline, confirm_source(shared, source)).await;
            confirmed.unwrap_or_else(|_| Err(behind(shared, source)))
        })
        .buffer_unordered(AT_ONCE)
        // Boxed, since the compiler cannot see otherwise that it may change threads.
        .boxed()
        .collect()
        .await;
    let mut gaps: Vec<Gap> = confirmed.into_iter().filter_map(Result::err).collect();
    gaps.sort();
    if gaps.is_empty() { Ok(()) } else { Err(gaps) }
}

/// What to say of a source that does not catch up: rather why, if that is known by now.
fn behind(shared: &Shared, source: &Source) -> Gap {
    // It had its time.
    shared.gap(source).unwrap_or_else(|| Gap { passing: false, ..source.gap("behind the API server") })
}

async fn confirm_source(shared: &Shared, source: &Source) -> Result<(), Gap> {
    if let Some(gap) = shared.gap(source) {
        return Err(gap);
    }
    let phase = shared.phase(source);
    if phase == Some(Phase::Read) {
        return Err(source.gap("not watched"));
    }
    if let (Some(Phase::Absent), Kind::Custom(workload)) = (phase, &source.kind) {
        let found = discovery::find(&shared.client, workload).await;
        return match found {
            Ok(None) => Ok(()),
            Ok(Some(_)) => {
                source.request_bookmark.notify_one();
                Err(source.gap("not completely listed yet"))
            }
            Err(trouble) => Err(gap(source, trouble)),
        };
    }
    let Some(url) = shared.url(source) else { return Err(behind(shared, source)) };
    let question = Question { shared, source, url, known: *source.position.borrow() };
    let is_big = shared.index(|index| index.len(source.id)) > SMALL;
    if !(is_big && question.reach().await?) {
        question.compare().await?;
    }
    // What was waited for may be something that cannot be read.
    shared.gap(source).map_or(Ok(()), Err)
}

fn gap(source: &Source, trouble: WatchError) -> Gap {
    source.gap(match trouble {
        WatchError::Forbidden(_) => {
            return Gap { forbidden: true, passing: false, ..source.gap(trouble.to_string()) };
        }
        WatchError::Failed(why) => why,
        WatchError::Absent => "the cluster does not have it any more".to_owned(),
        WatchError::Expired => "it changes faster than it can be read".to_owned(),
    })
}

struct Question<'a> {
    shared: &'a Shared,
    source: &'a Source,
    url: String,
    /// The source's position before anything was asked.
    known: u64,
}

impl Question<'_> {
    /// Waits until the index has reached where the API server is. Answers false when it does not get there in time,
    /// which may only mean that nobody said so.
    async fn reach(&self) -> Result<bool, Gap> {
        let mut body = Vec::new();
        let wanted = self.ask(&ListParams::default().labels(NOTHING), &mut body).await?;
        let wanted = wanted.version().map_err(|trouble| gap(self.source, trouble))?;
        self.check(wanted)?;
        let mut position = self.source.position.subscribe();
        if *position.borrow_and_update() < wanted {
            self.source.request_bookmark.notify_one();
        }
        Ok(timeout(BOOKMARK_PATIENCE, position.wait_for(|position| *position >= wanted)).await.is_ok())
    }

    /// Compares what the API server has with the index, and waits for what is missing.
    async fn compare(&self) -> Result<(), Gap> {
        let mut position = self.source.position.subscribe();
        let mut parameters = ListParams::default().limit(PAGE_SIZE);
        let mut body = Vec::new();
        loop {
            let page = self.ask(&parameters, &mut body).await?;
            let wanted = page.version().map_err(|trouble| gap(self.source, trouble))?;
            self.check(wanted)?;
            let objects = page.items().iter().map(|object| {
                let meta = projection::meta(object)?;
                Ok((meta.key(), meta.version()?))
            });
            let objects = objects.collect::<Result<Vec<_>, NoObject>>();
            let mut missing = objects.map_err(|NoObject| gap(self.source, WatchError::not_understood("list")))?;
            let next = page.next();
            loop {
                if *position.borrow_and_update() >= wanted {
                    return Ok(());
                }
                self.shared.index(|index| {
                    let known = |key: &str| index.version_of(self.source.id, key);
                    missing.retain(|(key, version)| known(key).is_none_or(|known| known < *version));
                });
                // The sender is in the source, so there is no end to this but the one that is wanted.
                if missing.is_empty() || position.changed().await.is_err() {
                    break;
                }
            }
            match next {
                Some(token) => parameters.continue_token = Some(token),
                None => return Ok(()),
            }
        }
    }

    async fn ask<'b>(&self, parameters: &ListParams, body: &'b mut Vec<u8>) -> Result<Page<'b>, Gap> {
        let answer = requests::list(&self.shared.client, &self.url, parameters, true, body).await;
        answer.and_then(|()| requests::page(body)).map_err(|trouble| gap(self.source, trouble))
    }

    /// The API server may not be in the past of what it has already told.
    fn check(&self, wanted: u64) -> Result<(), Gap> {
        if wanted >= self.known {
            return Ok(());
        }
        // The bookmark that this brings makes everything be listed anew.
        self.source.request_bookmark.notify_one();
        Err(self.source.gap("the API server has gone back in time"))
    }
}
