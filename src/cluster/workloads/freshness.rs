//! Confirms that the index is not behind the API server.
//!
//! A watch tells of a change a moment after it was acknowledged, or minutes after if something is stuck; the index
//! cannot tell the difference by itself. So before something is done that cannot be undone, the API server is asked
//! where it is. When [`Looks::confirm`] answers that all is well, then **the index shows every creation and every
//! change of every source that the API server acknowledged before `confirm` began**; a deletion may be missing, which
//! only protects an image for longer.
//!
//! For each source, all at the same time:
//!
//! 1. A list that names no resourceVersion is answered with the state at some version R that is not older than the
//!    question: it is the API server's consistent read, also where the answer comes from its cache.
//! 2. The position X of a source is the version up to which the index has everything: that of its list, and after it of
//!    the last event or bookmark, since a watch tells of changes in their order. If X reaches R, the index is as new as
//!    the answer, and that is the proof.
//! 3. Versions count the changes of the whole cluster, so X stays behind R while nothing happens to the source. There
//!    are two ways out. The objects are *compared*: the list holds their metadata, and each must be in the index in
//!    that version or a later one. Or the list is asked for with a selector that nothing matches, which gives R alone,
//!    and a *bookmark* is waited for: the watch is begun anew for three seconds, and two seconds before the end of a
//!    watch the API server sends one, and X jumps ahead. Where it does not reach R, another is asked for.
//! 4. What the index lacks is waited for. What does not come in time is a gap.
//!
//! Comparing is quick, and costs the API server the metadata of all objects. So a source is compared while there is an
//! allowance for it, and always while it has no objects; a big one only where bookmarks do not come (an API server that
//! does not ask etcd for its progress), page by page.
//!
//! A look has two parts. First each source is asked, once for all who look at that moment; who looks a moment later
//! asks again, without waiting for the second part: for the proof. Bookmarks serve all looks whose R they reach.
//!
//! Counting objects would be cheaper than comparing them, but a count does not see that a Deployment was given another
//! image, and a rollout that adds a `ReplicaSet` and removes the oldest leaves it as it was. Asking one source for R
//! and holding all others to it would take a ninth of the lists, but versions count together only what one etcd keeps,
//! and an API server does not say whether there are several (`--etcd-servers-overrides`, aggregated APIs).
//!
//! An R that is less than an X that was known before the question means that the past was restored from a backup: a
//! watch then tells nothing until the versions are used up again. This is a gap as well, and the source is listed anew.
//!
//! A custom kind that the cluster did not have is looked for again, because it may have been installed in the meantime:
//! in one question for all of them, while the answer is that nothing was.

use std::sync::Arc;
use std::time::Duration;

use futures::future;
use futures::stream::{self, StreamExt as _};
use kube::api::ListParams;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::absent_kinds::{AbsentKinds, Edition};
use super::allowance::Allowance;
use super::custom::CustomWorkload;
use super::discovery;
use super::kind::Kind;
use super::projection::{self, NoObject};
use super::requests::{self, WatchError};
use super::single_flight::Rounds;
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

/// What all share that look. See the module.
pub(super) struct Looks {
    rounds: Rounds<Arc<Look>>,
    allowance: Allowance,
    absent_kinds: AbsentKinds,
    /// Permits to ask for more pages.
    pages: Semaphore,
}

/// One look: what was asked, and what came of it once somebody has waited for it.
struct Look {
    deadline: Instant,
    asked: Vec<Result<Option<Question>, Gap>>,
    outcome: OnceCell<Result<(), Vec<Gap>>>,
}

/// What a source still has to prove.
struct Question {
    /// Which source it is.
    position: usize,
    url: String,
    /// Its position before anything was asked.
    known: u64,
    /// Where the API server was.
    wanted: u64,
    /// The first page of its objects, if they are compared.
    objects: Option<Objects>,
}

/// A page of objects with their versions, and what to ask for the next with.
struct Objects {
    wanted: u64,
    versions: Vec<(String, u64)>,
    next: Option<String>,
}

impl Looks {
    pub(super) fn new() -> Self {
        Self {
            rounds: Rounds::new(),
            allowance: Allowance::new(),
            absent_kinds: AbsentKinds::default(),
            pages: Semaphore::new(AT_ONCE),
        }
    }

    /// See the module.
    pub(super) async fn confirm(&self, shared: &Shared) -> Result<(), Vec<Gap>> {
        if shared.sources.is_empty() {
            return Err(shared.gaps());
        }
        let look = self.rounds.next(async { Arc::new(self.ask(shared).await) }).await;
        // If who waits for it gives up, another of those who share it begins to wait.
        look.outcome.get_or_init(|| self.prove(shared, &look)).await.clone()
    }

    /// Asks the API server where each source is.
    async fn ask(&self, shared: &Shared) -> Look {
        let deadline = Instant::now() + MAX_WAIT;
        let compares = self.allowance.is_left();
        let edition = &OnceCell::new();
        let asked = stream::iter(shared.sources.iter().enumerate())
            .map(|(position, source)| {
                let asked = async move {
                    match (shared.phase(source), &source.kind) {
                        (Some(Phase::Absent), Kind::Custom(workload)) => {
                            let absent = self.still_absent(shared, source, workload, edition).await;
                            absent.map(|()| None)
                        }
                        _ => self.ask_source(shared, position, source, compares).await.map(Some),
                    }
                };
                async move { timeout_at(deadline, asked).await.unwrap_or_else(|_| Err(behind(shared, source))) }
            })
            .buffer_unordered(AT_ONCE)
            // Boxed, since the compiler cannot see otherwise that it may change threads.
            .boxed()
            .collect()
            .await;
        Look { deadline, asked, outcome: OnceCell::new() }
    }

    /// Makes sure that the cluster still does not have a kind.
    async fn still_absent(
        &self,
        shared: &Shared,
        source: &Source,
        workload: &CustomWorkload,
        edition: &OnceCell<Option<Arc<Edition>>>,
    ) -> Result<(), Gap> {
        if let Some(gap) = shared.gap(source) {
            return Err(gap);
        }
        let kinds = shared.sources.iter().filter_map(|source| match &source.kind {
            Kind::Custom(workload) => Some(&**workload),
            _ => None,
        });
        // The first who wants to know asks for all.
        let edition = edition.get_or_init(|| self.absent_kinds.edition(&shared.client, kinds)).await.as_deref();
        if edition.is_some_and(|edition| self.absent_kinds.knows(edition, workload)) {
            return Ok(());
        }
        match discovery::find(&shared.client, workload).await {
            Ok(None) => {
                if let Some(edition) = edition {
                    self.absent_kinds.note(edition, workload);
                }
                Ok(())
            }
            Ok(Some(_)) => {
                source.hurry(u64::MAX);
                Err(source.gap("not completely listed yet"))
            }
            Err(trouble) => Err(gap(source, trouble)),
        }
    }

    async fn ask_source(
        &self,
        shared: &Shared,
        position: usize,
        source: &Source,
        compares: bool,
    ) -> Result<Question, Gap> {
        if let Some(gap) = shared.gap(source) {
            return Err(gap);
        }
        if shared.phase(source) == Some(Phase::Read) {
            return Err(source.gap("not watched"));
        }
        let Some(url) = shared.url(source) else { return Err(behind(shared, source)) };
        let known = *source.position.borrow();
        let number = shared.index(|index| index.len(source.id));
        let compares = number == 0 || number <= SMALL && (compares || source.has_no_bookmarks());
        let mut question = Question { position, url, known, wanted: 0, objects: None };
        if compares {
            let objects = self.objects(shared, source, &question, None).await?;
            (question.wanted, question.objects) = (objects.wanted, Some(objects));
            return Ok(question);
        }
        let mut body = Vec::new();
        let nothing = ListParams::default().labels(NOTHING);
        let answer = requests::list(&shared.client, &question.url, &nothing, true, &mut body).await;
        let wanted = answer.and_then(|()| requests::page(&body)?.version()).map_err(|trouble| gap(source, trouble))?;
        check(source, known, wanted)?;
        if *source.position.borrow() < wanted {
            source.hurry(wanted);
        }
        Ok(Question { wanted, ..question })
    }

    /// Asks for a page of objects: the first, or the one that a token leads to.
    async fn objects(
        &self,
        shared: &Shared,
        source: &Source,
        question: &Question,
        token: Option<&str>,
    ) -> Result<Objects, Gap> {
        let parameters = ListParams::default().limit(PAGE_SIZE);
        let parameters = ListParams { continue_token: token.map(str::to_owned), ..parameters };
        let mut body = Vec::new();
        let answer = requests::list(&shared.client, &question.url, &parameters, true, &mut body).await;
        self.allowance.spend(body.len());
        let trouble = |trouble| gap(source, trouble);
        let page = answer.and_then(|()| requests::page(&body)).map_err(trouble)?;
        let wanted = page.version().map_err(trouble)?;
        check(source, question.known, wanted)?;
        let versions = page.items().iter().map(|object| {
            let meta = projection::meta(object)?;
            Ok((meta.key(), meta.version()?))
        });
        let versions = versions.collect::<Result<_, NoObject>>();
        let versions = versions.map_err(|NoObject| gap(source, WatchError::not_understood("list")))?;
        Ok(Objects { wanted, versions, next: page.next() })
    }

    /// Waits until the index has everything that the API server had.
    async fn prove(&self, shared: &Shared, look: &Look) -> Result<(), Vec<Gap>> {
        let proofs = look.asked.iter().map(|asked| async move {
            match asked {
                Err(gap) => Err(gap.clone()),
                Ok(None) => Ok(()),
                Ok(Some(question)) => {
                    let Some(source) = shared.sources.get(question.position) else { return Ok(()) };
                    let proof = timeout_at(look.deadline, self.prove_source(shared, source, question)).await;
                    proof.unwrap_or_else(|_| Err(behind(shared, source)))
                }
            }
        });
        let mut gaps: Vec<Gap> = future::join_all(proofs).await.into_iter().filter_map(Result::err).collect();
        gaps.sort();
        if gaps.is_empty() { Ok(()) } else { Err(gaps) }
    }

    async fn prove_source(&self, shared: &Shared, source: &Source, question: &Question) -> Result<(), Gap> {
        if let Some(objects) = &question.objects {
            self.compare(shared, source, question, Some(objects)).await?;
        } else {
            let mut position = source.position.subscribe();
            let reached = position.wait_for(|position| *position >= question.wanted);
            let told = timeout(BOOKMARK_PATIENCE, reached).await.is_ok();
            source.note_bookmark(told);
            if !told {
                source.comparisons.next(self.compare(shared, source, question, None)).await?;
            }
        }
        // What was waited for may be something that cannot be read.
        shared.gap(source).map_or(Ok(()), Err)
    }

    /// Compares what the API server has with the index, and waits for what is missing.
    async fn compare(
        &self,
        shared: &Shared,
        source: &Source,
        question: &Question,
        first: Option<&Objects>,
    ) -> Result<(), Gap> {
        let mut token = None;
        if let Some(first) = first {
            if caught_up(shared, source, first).await || first.next.is_none() {
                return Ok(());
            }
            token.clone_from(&first.next);
        }
        loop {
            let page = {
                // The semaphore is never closed.
                let _permit = self.pages.acquire().await;
                self.objects(shared, source, question, token.as_deref()).await?
            };
            if caught_up(shared, source, &page).await || page.next.is_none() {
                return Ok(());
            }
            token = page.next;
        }
    }
}

/// Waits until the index has all objects of a page. Answers whether it has everything, whatever other pages hold.
async fn caught_up(shared: &Shared, source: &Source, page: &Objects) -> bool {
    let mut position = source.position.subscribe();
    let mut missing: Vec<&(String, u64)> = page.versions.iter().collect();
    loop {
        if *position.borrow_and_update() >= page.wanted {
            return true;
        }
        shared.index(|index| {
            let known = |key: &str| index.version_of(source.id, key);
            missing.retain(|(key, version)| known(key).is_none_or(|known| known < *version));
        });
        // The sender is in the source, so there is no end to this but the one that is wanted.
        if missing.is_empty() || position.changed().await.is_err() {
            return false;
        }
    }
}

/// What to say of a source that does not catch up: rather why, if that is known by now.
fn behind(shared: &Shared, source: &Source) -> Gap {
    // It had its time.
    shared.gap(source).unwrap_or_else(|| Gap { passing: false, ..source.gap("behind the API server") })
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

/// The API server may not be in the past of what it has already told.
fn check(source: &Source, known: u64, wanted: u64) -> Result<(), Gap> {
    if wanted >= known {
        return Ok(());
    }
    // The bookmark that this brings makes everything be listed anew.
    source.hurry(u64::MAX);
    Err(source.gap("the API server has gone back in time"))
}
