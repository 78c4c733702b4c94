//! Listing and watching one source: a loop of its own around lists and watches.
//!
//! kube's ready-made watch hides when a watch has begun, when it was last heard of and when it fails. All three decide
//! here whether the index may be relied on.

use std::sync::Arc;
use std::time::Duration;

use kube::api::ListParams;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep, timeout};

use super::discovery;
use super::kind::Kind;
use super::projection::{self, NoObject};
use super::requests::{self, Event, WatchError};
use super::watch_state::{Phase, Shared, Source, url};

/// Objects in a page of a list: a page is held whole while it is read.
const PAGE_SIZE: u32 = 50;
/// After this time the API server ends a watch, and it is begun anew where it ended.
const WATCH_SECONDS: u32 = 290;
/// The same when somebody waits for a sign: two seconds before the end of a watch comes a bookmark.
const HURRIED_WATCH_SECONDS: u32 = 3;
/// A watch from which nothing came for this long is begun anew. Bookmarks come every minute, so the connection is dead.
const SILENCE: Duration = Duration::from_secs(150);
/// How often a kind that the cluster does not have is looked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(120);
/// A watch that ended sooner, without a word, is not begun anew at once.
const SHORTEST_WATCH: Duration = Duration::from_secs(1);
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Lists and watches a source for ever.
pub(super) async fn follow(shared: Arc<Shared>, position: usize) {
    let Some(source) = shared.sources.get(position) else { return };
    let mut follower = Follower { shared: &shared, source, failures: 0, wanted: 0 };
    loop {
        match follower.locate().await {
            Ok(Some(url)) => follower.list_and_watch(&url).await,
            Ok(None) => follower.wait_until_present().await,
            Err(trouble) => follower.fail(&trouble).await,
        }
    }
}

/// Lists a source once.
pub(super) async fn read(shared: &Shared, source: &Source) {
    let follower = Follower { shared, source, failures: 0, wanted: 0 };
    let result = match follower.locate().await {
        Ok(Some(url)) => follower.list(&url).await.map(|_| Phase::Read),
        Ok(None) => Ok(Phase::Absent),
        Err(trouble) => Err(trouble),
    };
    shared.set_phase(source, result.unwrap_or_else(Phase::Failing));
}

struct Follower<'a> {
    shared: &'a Shared,
    source: &'a Source,
    /// How often something went wrong since the API server was last heard of.
    failures: u32,
    /// Up to where somebody waits for a sign of the API server; 0, if nobody does.
    wanted: u64,
}

/// Why a watch ended, and after which resourceVersion it can go on, if it can.
struct Ended {
    trouble: Option<WatchError>,
    after: Option<u64>,
}

impl Follower<'_> {
    /// Where the objects are; `None` where the cluster does not have the kind.
    async fn locate(&self) -> Result<Option<String>, WatchError> {
        let Kind::Custom(workload) = &self.source.kind else { return Ok(self.shared.url(self.source)) };
        let found = discovery::find(&self.shared.client, workload).await?;
        if found.as_ref().is_some_and(|found| !found.namespaced && self.source.namespace.is_some()) {
            return Err(WatchError::failed("it is in no namespace"));
        }
        let url = found.map(|found| url(&found.resource, self.source.namespace.as_deref()));
        self.shared.found_at(self.source, url.clone());
        Ok(url)
    }

    /// Nothing of the kind can exist, until it is installed.
    async fn wait_until_present(&mut self) {
        self.failures = 0;
        self.shared.index(|index| index.clear(self.source.id));
        self.shared.set_phase(self.source, Phase::Absent);
        // Either is a reason to look again.
        let _ = timeout(LOOK_AGAIN, self.source.hurried.notified()).await;
    }

    /// Lists and watches, for as long as the resource exists.
    async fn list_and_watch(&mut self, url: &str) {
        let mut after = None;
        loop {
            let ended = match after {
                None => match self.list(url).await {
                    Ok(listed) => Ended { trouble: None, after: Some(listed) },
                    Err(trouble) => Ended { trouble: Some(trouble), after: None },
                },
                Some(version) => self.watch(url, version).await,
            };
            after = ended.after;
            if let Some(trouble) = ended.trouble {
                self.fail(&trouble).await;
                if trouble == WatchError::Absent {
                    return;
                }
            }
        }
    }

    /// Lists everything, and answers the resourceVersion of the list: the moment that all of its pages show.
    async fn list(&self, url: &str) -> Result<u64, WatchError> {
        // What fails is said to fail until it works again.
        if matches!(self.shared.phase(self.source), Some(Phase::Watched | Phase::Absent)) {
            self.shared.set_phase(self.source, Phase::Listing);
        }
        // The semaphore is never closed.
        let _permit = self.shared.lists.acquire().await;
        self.shared.index(|index| index.begin_list(self.source.id));
        let mut parameters = ListParams::default().limit(PAGE_SIZE);
        let mut body = Vec::new();
        loop {
            requests::list(&self.shared.client, url, &parameters, false, &mut body).await?;
            let page = requests::page(&body)?;
            for object in page.items() {
                self.apply(object).map_err(|NoObject| WatchError::not_understood("list"))?;
            }
            self.shared.heard(self.source);
            if let Some(token) = page.next() {
                parameters.continue_token = Some(token);
                continue;
            }
            let version = page.version()?;
            self.shared.index(|index| index.end_list(self.source.id));
            self.source.position.send_replace(version);
            return Ok(version);
        }
    }

    /// Watches from a resourceVersion on, until the watch ends for whatever reason.
    async fn watch(&mut self, url: &str, after: u64) -> Ended {
        let wanted = std::mem::take(&mut self.wanted);
        let seconds = if wanted > 0 { HURRIED_WATCH_SECONDS } else { WATCH_SECONDS };
        let begun = Instant::now();
        let mut body = match requests::watch(&self.shared.client, url, after, seconds).await {
            Ok(body) => body,
            Err(WatchError::Expired) => return Ended { trouble: Some(WatchError::Expired), after: None },
            Err(trouble) => return Ended { trouble: Some(trouble), after: Some(after) },
        };
        self.shared.set_phase(self.source, Phase::Watched);
        let (mut reached, mut line, mut expects_bookmark) = (after, Vec::new(), wanted > 0);
        loop {
            let there_is_more = tokio::select! {
                more = requests::next_line(&mut body, &mut line) => more,
                () = sleep(SILENCE) => false,
                // A second request waits until the first is answered, or no bookmark would ever come.
                wanted = self.source.hurries(reached), if !expects_bookmark => {
                    self.wanted = wanted;
                    return Ended { trouble: None, after: Some(reached) };
                }
            };
            if !there_is_more {
                break;
            }
            let taken = self.take(&line, reached);
            line.clear();
            let (version, bookmark) = match taken {
                Ok(taken) => taken,
                // What is wrong with an event would be wrong again.
                Err(trouble) => return Ended { trouble: Some(trouble), after: None },
            };
            reached = version;
            self.failures = 0;
            self.shared.heard(self.source);
            self.source.position.send_replace(reached);
            // The API server may know less of this kind for a moment than it has answered. The next bookmark is nearer.
            if expects_bookmark && bookmark && after < reached && reached < wanted && wanted < u64::MAX {
                self.wanted = wanted;
                return Ended { trouble: None, after: Some(reached) };
            }
            expects_bookmark &= !bookmark;
        }
        if reached == after && begun.elapsed() < SHORTEST_WATCH {
            self.pause().await;
        }
        Ended { trouble: None, after: Some(reached) }
    }

    /// Takes in a line of a watch. Answers the resourceVersion that it brings the index to, and whether it was a
    /// bookmark.
    fn take(&self, line: &[u8], reached: u64) -> Result<(u64, bool), WatchError> {
        let not_understood = |NoObject| WatchError::not_understood("watch");
        match requests::event(line)? {
            Event::Applied(object) => {
                let version = self.apply(object).map_err(not_understood)?;
                Ok((version.max(reached), false))
            }
            Event::Deleted(object) => {
                let meta = projection::meta(object).map_err(not_understood)?;
                self.shared.index(|index| index.delete(self.source.id, &meta.key()));
                Ok((meta.version().map_err(not_understood)?.max(reached), false))
            }
            // The past has come back, out of a backup.
            Event::Bookmark(version) if version < reached => Err(WatchError::Expired),
            Event::Bookmark(version) => Ok((version, true)),
        }
    }

    fn apply(&self, object: &RawValue) -> Result<u64, NoObject> {
        let object = projection::read(&self.source.kind, object)?;
        let (key, version) = (object.meta.key(), object.meta.version()?);
        self.shared.index(|index| match &object.uses {
            Ok(uses) => index.apply(self.source.id, &key, version, uses),
            Err(unreadable) => {
                if index.apply_unreadable(self.source.id, &key, version) {
                    let kind = self.source.kind.name();
                    tracing::warn!(kind, object = key, error = %unreadable, "a workload cannot be read");
                }
            }
        });
        Ok(version)
    }

    /// Notes what went wrong, and waits before it is tried again.
    async fn fail(&mut self, trouble: &WatchError) {
        if *trouble == WatchError::Expired && self.failures == 0 {
            // Happens to every watch that was away for a while.
            self.failures = 1;
            return;
        }
        self.shared.set_phase(self.source, Phase::Failing(trouble.clone()));
        self.pause().await;
    }

    async fn pause(&mut self) {
        let pause = pause_after(self.failures);
        self.failures += 1;
        sleep(SHORTEST_PAUSE).await;
        // However often somebody asks, the API server is left alone for a moment.
        let _ = timeout(pause.saturating_sub(SHORTEST_PAUSE), self.source.wanted.notified()).await;
    }
}

/// Doubles with every failure.
fn pause_after(failures: u32) -> Duration {
    SHORTEST_PAUSE.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_bounded() {
        let pauses: Vec<u128> = (0..8).map(|failures| pause_after(failures).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
        assert_eq!(pause_after(u32::MAX), LONGEST_PAUSE);
    }
}
