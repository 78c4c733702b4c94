//! Removes planned tags of one repository by name, several requests at a time, and keeps account of what became of each.
//!
//! What came into use since the plan was made stays: the cluster is looked at right before every request. What was pushed again
//! since then stays as well: where GitLab sorts by push, its newest tags are read before every few batches; elsewhere each tag is
//! read again right before it goes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::future::ready;
use futures::stream::{self, StreamExt};
use jiff::{SignedDuration, Timestamp};

use crate::api::RepositoryResult;
use crate::gitlab::{Client, Error, Repository, TagRemoval};
use crate::policy::claims::Claims;
use crate::policy::in_use::RepositoryUse;
use crate::policy::outcome::{Outcome, repository_reason as why};
use crate::policy::plan::{KeepReason, Verdict};
use crate::policy::report::MAX_SAMPLES;
use crate::policy::tag::{Moment, Tag};

use super::in_use_guard::Look;
use super::job::Job;
use super::plan_repositories::Removable;
use super::report::{CLOCKS_MAY_DIFFER, Halt};
use crate::controller::plan::read_tags::{Push, pushed_since};

/// Names in one request. GitLab behaviour: more are refused.
const BATCH: usize = 20;
/// Tags between two looks at the newest pushes: looking then costs a fiftieth of removing.
const TAGS_PER_LOOK: usize = 25 * BATCH;
/// How long a look holds, where requests have to wait for GitLab.
const LOOK_HOLDS: SignedDuration = SignedDuration::from_secs(30);
/// Requests under way at the same time. The pace per host is the real limit.
const IN_FLIGHT: usize = 4;
/// Requests whose answer is lost, in one repository, after which it is left alone until the next run.
const MAX_LOST: usize = 3;

/// What became of the tags that were to go.
#[derive(Default)]
pub(crate) struct Told {
    requested: u64,
    removed: u64,
    bytes: u64,
    protected: u64,
    again: u64,
    untold: u64,
    missing: u64,
    in_use: u64,
    lost: u64,
    lost_requests: usize,
    samples: Vec<String>,
}

impl Told {
    pub(crate) fn write(self, outcome: &mut Outcome) {
        outcome.tags.requested = self.requested;
        outcome.tags.confirmed = self.removed;
        outcome.tags.in_use += self.in_use;
        outcome.bytes = self.bytes;
        outcome.samples = self.samples;
        if self.removed == 0 {
            outcome.result = RepositoryResult::Unchanged;
        }
        let kept = outcome.message.take();
        let mut message = format!("{} of {} planned tags were removed", self.removed, outcome.tags.matched);
        for (number, what) in [
            (self.protected, "kept because GitLab protects them"),
            (self.again, "kept because they were pushed again meanwhile"),
            (self.untold, "kept because nothing tells whether they were pushed again"),
            (self.missing, "not found any more"),
            (self.in_use, "kept because they came into use meanwhile"),
            (self.lost, "of unknown fate, because the answer was lost"),
        ] {
            if number > 0 {
                message = format!("{message}, {number} {what}");
            }
        }
        if let Some(kept) = kept {
            message = format!("{message}; {kept}");
        }
        if self.lost > 0 {
            outcome.reason = Some(why::NOT_CONFIRMED);
        }
        outcome.message = Some(message);
    }
}

/// Removes the tags, until all are done or an error stands in the way.
pub(crate) async fn run<'a>(
    job: &'a Job<'a>,
    repository: &'a Repository,
    removable: &'a Removable,
) -> (Told, Option<Halt>) {
    let source = removable.source;
    let mut removal = Removal {
        job,
        repository,
        at: source.at,
        claims: &removable.claims,
        by_name: source.graphql,
        looks: source.sorts_by_push,
        newest: HashMap::new(),
        stopped: AtomicBool::new(false),
    };
    let mut told = Told::default();
    let error = removal.run(&removable.tags, &mut told).await.err();
    (told, error)
}

/// The removal of one repository's tags.
struct Removal<'a> {
    job: &'a Job<'a>,
    repository: &'a Repository,
    /// The moment as of which the plan was made.
    at: Timestamp,
    /// What was in use then.
    claims: &'a Arc<Claims>,
    /// Several tags go in one request, by GraphQL.
    by_name: bool,
    /// Whether the newest pushes are asked for; otherwise each tag is read again.
    looks: bool,
    /// The pushes since then, and some from before.
    newest: HashMap<Box<str>, Push>,
    /// No further request is begun; those under way are awaited, since what they remove is to be told.
    stopped: AtomicBool,
}

/// What became of a tag since it was planned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Now {
    Same,
    Again,
    /// It has no digest to compare.
    Untold,
    Missing,
}

/// What became of one request.
struct Batch<'t> {
    again: Vec<&'t Tag>,
    untold: Vec<&'t Tag>,
    missing: Vec<&'t Tag>,
    /// With who uses them.
    in_use: Vec<(&'t Tag, Option<String>)>,
    asked: Vec<&'t Tag>,
    /// The names that are gone.
    answer: Result<HashSet<Box<str>>, Halt>,
}

impl Default for Batch<'_> {
    fn default() -> Self {
        Self {
            again: Vec::new(),
            untold: Vec::new(),
            missing: Vec::new(),
            in_use: Vec::new(),
            asked: Vec::new(),
            answer: Ok(HashSet::new()),
        }
    }
}

impl Removal<'_> {
    async fn run(&mut self, planned: &[Tag], told: &mut Told) -> Result<(), Halt> {
        let mut rest = planned;
        while !rest.is_empty() {
            let stretch = rest.get(..TAGS_PER_LOOK).unwrap_or(rest);
            if self.looks {
                self.looks = self.look(stretch).await?;
            }
            let begun = self.stretch(stretch, told).await?;
            rest = rest.get(begun..).unwrap_or_default();
        }
        Ok(())
    }

    /// Reads the newest pushes, and some from before the plan, since the clocks may differ. Answers whether they tell everything there is to know: they come in order, and do not end
    /// before something old is met or all of what is planned.
    async fn look(&mut self, planned: &[Tag]) -> Result<bool, Error> {
        let since = self.at.saturating_sub(CLOCKS_MAY_DIFFER).unwrap_or(self.at);
        let Some(pushes) = pushed_since(&self.job.client, self.repository, since).await? else { return Ok(false) };
        let complete = pushes.complete || planned.iter().all(|seen| pushes.tags.contains_key(&seen.name));
        self.newest.extend(pushes.tags);
        Ok(complete)
    }

    /// Removes tags until all have had their turn or another look is due; answers how many had theirs, at least one.
    async fn stretch(&self, planned: &[Tag], told: &mut Told) -> Result<usize, Halt> {
        let size = if self.by_name { BATCH } else { 1 };
        let clock = &self.job.context.clock;
        let (looked, begun) = (clock.now(), AtomicUsize::new(0));
        let in_time = |_: &&[Tag]| {
            let first = begun.load(Ordering::Relaxed) == 0;
            ready(first || !self.looks || clock.now().duration_since(looked) < LOOK_HOLDS)
        };
        let mut batches = stream::iter(planned.chunks(size))
            .take_while(in_time)
            .inspect(|batch| _ = begun.fetch_add(batch.len(), Ordering::Relaxed))
            .map(|batch| self.batch(batch))
            .buffer_unordered(IN_FLIGHT)
            .boxed();
        let mut failed = None;
        while let Some(batch) = batches.next().await {
            if let Err(error) = self.tell(batch, told) {
                self.stopped.store(true, Ordering::Relaxed);
                failed.get_or_insert(error);
            }
        }
        drop(batches);
        failed.map_or(Ok(begun.into_inner()), Err)
    }

    /// Removes one batch, less what was pushed again or came into use.
    async fn batch<'t>(&self, tags: &'t [Tag]) -> Batch<'t> {
        let mut batch = Batch::default();
        for seen in tags {
            if self.stopped.load(Ordering::Relaxed) {
                return Batch { asked: Vec::new(), ..batch };
            }
            let now = if self.looks { Ok(self.among_the_newest(seen)) } else { self.read_again(seen).await };
            match now {
                Ok(Now::Same) => batch.asked.push(seen),
                Ok(Now::Again) => batch.again.push(seen),
                Ok(Now::Untold) => batch.untold.push(seen),
                Ok(Now::Missing) => batch.missing.push(seen),
                Err(error) => return Batch { asked: Vec::new(), answer: Err(error.into()), ..batch },
            }
        }
        while !batch.asked.is_empty() {
            let (claims, tags) = (Arc::clone(self.claims), batch.asked.iter().copied().cloned().collect::<Vec<_>>());
            let spares = move |now: &RepositoryUse| {
                let claims = claims.again(now.clone());
                !tags.iter().any(|seen| held(&claims, seen))
            };
            let (client, look) = Look::at(self.job, self.repository, spares);
            match (self.remove(&client, &batch.asked).await, look) {
                (Err(error), Some(look)) if error.is_withdrawn() => match look.found() {
                    Ok(now) => {
                        let claims = self.claims.again(now);
                        // At least one of them, or the look would have said yes.
                        let used = batch.asked.extract_if(.., |seen| held(&claims, seen));
                        batch.in_use.extend(used.map(|seen| (seen, users(&claims, seen))));
                    }
                    Err(unknown) => return Batch { asked: Vec::new(), answer: Err(unknown.into()), ..batch },
                },
                (answer, _) => {
                    batch.answer = answer.map_err(Halt::from);
                    break;
                }
            }
        }
        batch
    }

    /// What the newest pushes tell of a tag. One of those that are as they were planned was pushed shortly before.
    fn among_the_newest(&self, seen: &Tag) -> Now {
        let same = |push: &Push| Moment::At(push.at) == seen.pushed && push.digest == seen.digest;
        if self.newest.get(&seen.name).is_none_or(same) { Now::Same } else { Now::Again }
    }

    /// Reads a tag again. One that is not found where it was listed may be gone, which is not certain, so it is not asked for.
    async fn read_again(&self, seen: &Tag) -> Result<Now, Error> {
        let tag = self.job.client.tag(&self.repository.reference(), &seen.name).await?;
        Ok(match tag {
            None => Now::Missing,
            Some(_) if seen.digest.is_none() => Now::Untold,
            Some(tag) if tag.digest.as_deref() == seen.digest.as_deref() => Now::Same,
            Some(_) => Now::Again,
        })
    }

    async fn remove(&self, client: &Client, tags: &[&Tag]) -> Result<HashSet<Box<str>>, Error> {
        if self.by_name {
            let names: Vec<&str> = tags.iter().map(|seen| &*seen.name).collect();
            return Ok(client.destroy_tags(self.repository.id, &names).await?.into_iter().collect());
        }
        let mut gone = HashSet::new();
        for seen in tags {
            if client.delete_tag(&self.repository.reference(), &seen.name).await? == TagRemoval::Gone {
                gone.insert(seen.name.clone());
            }
        }
        Ok(gone)
    }

    /// Takes note of what became of a request. An answer that was lost is passed over a few times; the next run plans again
    /// and finds out what went.
    fn tell(&self, batch: Batch<'_>, told: &mut Told) -> Result<(), Halt> {
        told.in_use += batch.in_use.len() as u64;
        for (seen, users) in batch.in_use {
            self.audit(seen, Verdict::Keep(KeepReason::InUse), users.as_deref());
        }
        told.again += batch.again.len() as u64;
        told.untold += batch.untold.len() as u64;
        for seen in batch.again.into_iter().chain(batch.untold) {
            self.audit(seen, Verdict::Keep(KeepReason::PushedAgain), None);
        }
        told.missing += batch.missing.len() as u64;
        let asked = batch.asked.len() as u64;
        let gone = match batch.answer {
            Ok(gone) => gone,
            Err(Halt::GitLab(error)) if error.is_answer_lost() => {
                told.requested += asked;
                told.lost += asked;
                told.lost_requests += 1;
                return if told.lost_requests > MAX_LOST { Err(error.into()) } else { Ok(()) };
            }
            Err(halt) => return Err(halt),
        };
        told.requested += asked;
        for seen in batch.asked {
            if gone.contains(&seen.name) {
                told.removed += 1;
                told.bytes += seen.bytes.unwrap_or(0);
                if told.samples.len() < MAX_SAMPLES {
                    told.samples.push(seen.name.to_string());
                }
                self.audit(seen, Verdict::Remove, None);
            } else {
                told.protected += 1;
                self.audit(seen, Verdict::Keep(KeepReason::ProtectedByGitLab), None);
            }
        }
        Ok(())
    }

    fn audit(&self, seen: &Tag, verdict: Verdict, used_by: Option<&str>) {
        self.job.audit(self.repository, &seen.name, verdict.as_str(), verdict.reason(), None, used_by);
    }
}

fn users(claims: &Claims, seen: &Tag) -> Option<String> {
    claims.certain(&seen.name, seen.digest.as_deref()).map(|users| users.to_string())
}

fn held(claims: &Claims, seen: &Tag) -> bool {
    claims.hold(&seen.name, seen.digest.as_deref(), seen.single_image)
}
