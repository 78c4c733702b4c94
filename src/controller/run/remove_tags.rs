//! Removes planned tags of one repository by name, several requests at a time, and takes note of what became of each:
//! `policy::outcomes::removal`.
//!
//! A request has as many tags as GitLab removes within a few seconds, 20 in each part. Each part is judged by its own
//! answer. What was pushed again since the plan was made, or came into use, stays: `check_tags` looks right before
//! every request leaves. Attachments go last, once it is certain that their images are gone: see `attachments`. What
//! others removed meanwhile is told apart from what this run removed, as far as it can be known.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::stream::{FuturesUnordered, StreamExt};

use crate::gitlab::{Client, Error, ErrorKind, FinalCheck, RemovedPart, Repository, TagRemoval};
use crate::policy::audit::AuditVerdict;
use crate::policy::in_use::RepositoryUse;
use crate::policy::outcomes::plan::Removable;
use crate::policy::outcomes::removal::{Kept, Tally};
use crate::policy::plan::removals::Removals;
use crate::policy::plan::{KeepReason, RemoveReason, Verdict};
use crate::policy::repository_outcome::RepositoryReason;
use crate::policy::source::Source;
use crate::policy::tag::{CLOCKS_MAY_DIFFER, Tag};
use crate::policy::tag_protection::Claims;

use super::attachments::{self, Step};
use super::check_tags::{Found, Newest, Now, TagCheck, Way};
use super::in_use_guard::Look;
use super::job::Job;
use super::places::Place;
use super::report::Halt;
use super::trail::Line;

/// Names in one part of a request, and all that can be asked for by their names at once. GitLab behaviour: more are
/// refused.
const BATCH: usize = 20;
/// How often one tag alone is asked for again because GitLab took too long to tell.
const MAX_LATE: usize = 2;

/// Removes the tags, until all are done or an error stands in the way.
pub(crate) async fn run<'a>(
    job: &'a Job<'a>,
    repository: &'a Repository,
    removable: &'a Removable,
) -> (Tally, Option<Halt>) {
    let mut removal = Removal::of(job, repository, removable, false);
    let halt = removal.all(&removable.tags).await.err();
    (removal.into_tally(), halt)
}

/// The removal of one repository's tags.
pub(super) struct Removal<'a> {
    job: &'a Job<'a>,
    pub(super) repository: &'a Repository,
    /// How the plan was made.
    source: Source,
    /// Why those go that are being removed.
    reason: RemoveReason,
    /// What was in use when the plan was made.
    claims: &'a Arc<Claims>,
    /// Several tags go in one request, by GraphQL.
    by_name: bool,
    /// GitLab refused several tags in one request: they go one by one, each judged by itself.
    one_by_one: AtomicBool,
    /// What was pushed since then, where GitLab sorts by push.
    newest: Option<Arc<Newest>>,
    tally: Mutex<Tally>,
    /// No further request is begun; those under way are awaited, since what they remove is to be tally.
    stopped: AtomicBool,
}

/// Tags that are to go in one request, and how it is found out what they are by then.
pub(super) struct Request<'t> {
    pub(super) tags: Vec<&'t Tag>,
    way: Way,
    /// How often the check of it came too late.
    late: usize,
}

impl Request<'_> {
    /// Its tags in requests of at most so many.
    fn split(self, most: usize) -> impl Iterator<Item = Self> {
        let Self { tags, way, .. } = self;
        let parts: Vec<Vec<&Tag>> = tags.chunks(most.max(1)).map(<[&Tag]>::to_vec).collect();
        // The last one is taken first.
        parts.into_iter().rev().map(move |tags| Request { tags, way: way.clone(), late: 0 })
    }
}

/// What became of each tag of a part of a request, in their order.
pub(super) type Fates = Result<Vec<TagRemoval>, Error>;

/// Whether the mutation is not to be had for a repository that was read a moment ago.
///
/// GitLab behaviour: from 17.11 on a tag protection rule that the caller does not fulfil denies it the whole
/// repository, whatever its pattern, as if it were not there; the REST API judges each tag by itself. A gateway may let
/// REST through and the mutation not.
pub(super) fn refuses_several(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Unsupported { .. } | ErrorKind::Page { .. })
}

impl<'a> Removal<'a> {
    /// Nothing is removed yet. `together` says that the first request has tags of other repositories as well.
    pub(super) fn of(job: &'a Job<'a>, repository: &'a Repository, removable: &'a Removable, together: bool) -> Self {
        let Removable { tags, source, claims } = removable;
        // Where one request holds all tags, asking for them by name costs no more than asking for the newest pushes,
        // and tells more.
        let few = !together && tags.len() <= BATCH && tags.iter().all(|tag| tag.digest.is_some());
        // The clocks may differ.
        let since = source.at.saturating_sub(CLOCKS_MAY_DIFFER).unwrap_or(source.at);
        let newest = (source.sorts_by_push && !few).then(|| Newest::since(since));
        let (tally, stopped) = (Mutex::default(), AtomicBool::new(false));
        let reason = RemoveReason::RuleMatches;
        let (by_name, one_by_one) = (source.graphql, AtomicBool::new(false));
        Removal { job, repository, source: *source, reason, claims, by_name, one_by_one, newest, tally, stopped }
    }

    /// What became of the tags.
    pub(super) fn into_tally(self) -> Tally {
        self.tally.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes images, then what is attached to those that are gone.
    async fn all(&mut self, removals: &Removals) -> Result<(), Halt> {
        self.run(&removals.images).await?;
        self.attached(removals).await
    }

    /// The same where requests for the images are left.
    pub(super) async fn rest(&mut self, requests: Vec<Request<'_>>, removals: &Removals) -> Result<(), Halt> {
        if !requests.is_empty() {
            let place = self.job.place().await;
            self.requests(requests, &place).await?;
        }
        self.attached(removals).await
    }

    /// Removes what is attached to images that are gone.
    async fn attached(&mut self, removals: &Removals) -> Result<(), Halt> {
        for step in &removals.steps {
            let gone = self.tally().gone().clone();
            let Step { free, kept } = attachments::step(self.job, self.repository, self.source, step, &gone).await?;
            for (tag, reason) in kept {
                self.keep(tag, Kept::Attached(reason));
            }
            for (reason, tags) in free {
                self.reason = reason;
                self.run(&tags).await?;
            }
        }
        Ok(())
    }

    /// Removes tags with as many requests at a time as the run may have.
    async fn run(&self, planned: &[Tag]) -> Result<(), Halt> {
        let rest = Mutex::new(planned);
        let most = self.job.client.in_flight();
        let mut removals: FuturesUnordered<_> = (0..most).map(|_| self.next_ones(&rest)).collect();
        let mut failed = None;
        while let Some(done) = removals.next().await {
            if let Err(error) = done {
                self.stopped.store(true, Ordering::Relaxed);
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Removes some of the tags that are left, and then others, until none are.
    async fn next_ones(&self, rest: &Mutex<&[Tag]>) -> Result<(), Halt> {
        loop {
            let place = self.job.place().await;
            // How many fit is asked when a request begins, since it follows what became of those before.
            let batch = {
                let mut rest = rest.lock().unwrap_or_else(PoisonError::into_inner);
                let (batch, left) = rest.split_at(rest.len().min(self.most(&self.way())));
                *rest = left;
                batch
            };
            if batch.is_empty() || self.stopped.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.requests(vec![self.request(batch.iter().collect())], &place).await?;
        }
    }

    /// A request for some tags.
    pub(super) fn request<'t>(&self, tags: Vec<&'t Tag>) -> Request<'t> {
        Request { tags, way: self.way(), late: 0 }
    }

    /// Removes the tags of some requests, less what was pushed again or came into use.
    async fn requests(&self, mut requests: Vec<Request<'_>>, place: &Place<'_>) -> Result<(), Halt> {
        while let Some(request) = requests.pop() {
            if self.stopped.load(Ordering::Relaxed) {
                return Ok(());
            }
            if request.tags.is_empty() {
                continue;
            }
            let most = self.most(&request.way);
            if request.tags.len() > most {
                requests.extend(request.split(most));
                continue;
            }
            let together = self.together();
            let check = self.check(&request);
            let client = self.job.client.looking(Arc::clone(&check) as Arc<dyn FinalCheck>);
            match self.remove(&client, &request.tags, together).await {
                Ok(parts) => {
                    place.answered();
                    requests.extend(self.told(&request, parts)?);
                }
                Err(error) if together && refuses_several(&error) => {
                    self.go_one_by_one();
                    requests.push(request);
                }
                // Nothing was done, and smaller ones are next, each of which is looked at anew.
                Err(error) if error.is_too_complex() => requests.push(request),
                Err(error) if error.is_withdrawn() => requests.extend(self.held_back(request, check.found()).await?),
                Err(error) => self.unanswered(&request.tags, error)?,
            }
        }
        Ok(())
    }

    /// From now on every tag has a request of its own.
    pub(super) fn go_one_by_one(&self) {
        self.one_by_one.store(true, Ordering::Relaxed);
    }

    /// Takes note of what became of a request, and answers what is still to be requested.
    pub(super) fn told<'t>(&self, request: &Request<'t>, parts: Vec<Fates>) -> Result<Option<Request<'t>>, Halt> {
        let refused = self.parts(&request.tags, parts)?;
        if refused.is_empty() {
            return Ok(None);
        }
        self.go_one_by_one();
        Ok(Some(Request { tags: refused, way: request.way.clone(), late: 0 }))
    }

    /// What is still to be requested of a request that did not leave, once it is known again what is in use.
    pub(super) async fn held_back<'t>(&self, request: Request<'t>, found: Found) -> Result<Vec<Request<'t>>, Halt> {
        match found {
            Found::Failed(Halt::InUseUnknown(lost)) => {
                self.job.regain(lost).await?;
                Ok(vec![request])
            }
            found => self.withdrawn(request, found),
        }
    }

    /// Whether several tags may go in one request.
    fn together(&self) -> bool {
        self.by_name && !self.one_by_one.load(Ordering::Relaxed)
    }

    /// Tags that one request may have at most just now, if they are looked at in this way.
    fn most(&self, way: &Way) -> usize {
        match way {
            _ if !self.together() => 1,
            Way::Newest(_) => self.job.client.removable_at_once(),
            // They are asked for by their names, of which no more go into one question.
            Way::Names => self.job.client.removable_at_once().min(BATCH),
            Way::Single => 1,
        }
    }

    fn way(&self) -> Way {
        match &self.newest {
            Some(newest) if newest.is_usable() => Way::Newest(Arc::clone(newest)),
            _ if self.by_name => Way::Names,
            _ => Way::Single,
        }
    }

    /// The last look at a request.
    pub(super) fn check(&self, request: &Request<'_>) -> Arc<TagCheck> {
        let claims = Arc::clone(self.claims);
        let tags: Vec<Tag> = request.tags.iter().copied().cloned().collect();
        let spares = move |now: &RepositoryUse| {
            let claims = claims.again(now.clone());
            !tags.iter().any(|tag| held(&claims, tag))
        };
        let in_use = Look::of(self.job, self.repository, spares);
        TagCheck::of(self.job, self.repository, &request.tags, request.way.clone(), in_use)
    }

    /// Takes note of the tags that stay, and answers what is still to be requested of a request that did not leave.
    fn withdrawn<'t>(&self, request: Request<'t>, found: Found) -> Result<Vec<Request<'t>>, Halt> {
        let Request { mut tags, way, late } = request;
        match found {
            Found::Failed(halt) => Err(halt),
            Found::NoOrder => {
                if let Some(newest) = &self.newest {
                    newest.give_up();
                }
                Ok(vec![Request { tags, way: self.way(), late }])
            }
            Found::InUse(now) => {
                let claims = self.claims.again(*now);
                // At least one of them, or the look would have said yes.
                for tag in tags.extract_if(.., |tag| held(&claims, tag)) {
                    self.tally().kept(Kept::InUse);
                    let users = users(&claims, tag);
                    let reason = if users.is_some() { KeepReason::InUse } else { KeepReason::MayBeInUse };
                    self.audit(tag, Verdict::Keep(reason), users.as_deref());
                }
                Ok(vec![Request { tags, way, late }])
            }
            Found::Changed(now) => {
                let (mut rest, mut alone) = (Vec::new(), Vec::new());
                for (tag, now) in tags.into_iter().zip(now) {
                    match now {
                        Now::Same => rest.push(tag),
                        Now::Crowded => alone.push(Request { tags: vec![tag], way: Way::Single, late: 0 }),
                        Now::Missing => self.tally().missing(),
                        Now::Again => self.keep(tag, Kept::PushedAgain),
                        Now::Untold => self.keep(tag, Kept::Untold),
                    }
                }
                alone.push(Request { tags: rest, way, late });
                Ok(alone)
            }
            Found::Late if matches!(way, Way::Newest(_)) => self.withdrawn(Request { tags, way, late }, Found::NoOrder),
            Found::Late if tags.len() > 1 => {
                let half = tags.split_off(tags.len() / 2);
                Ok([half, tags].map(|tags| Request { tags, way: way.clone(), late: 0 }).into())
            }
            Found::Late if late < MAX_LATE => Ok(vec![Request { tags, way: Way::Single, late: late + 1 }]),
            Found::Late => {
                for tag in tags {
                    self.keep(tag, Kept::Late);
                }
                Ok(Vec::new())
            }
        }
    }

    /// Requests the removal of tags and answers what became of each part.
    async fn remove(&self, client: &Client, tags: &[&Tag], together: bool) -> Result<Vec<Fates>, Error> {
        if together {
            let names: Vec<&str> = tags.iter().map(|tag| &*tag.name).collect();
            return Ok(fates(tags, client.delete_tags_together(self.repository.id, &names).await?));
        }
        let mut fates = Vec::new();
        for tag in tags {
            fates.push(client.delete_tag(&self.repository.reference(), &tag.name).await?);
        }
        Ok(vec![Ok(fates)])
    }

    /// Takes note of what became of the parts of a request, and answers the tags of those in which GitLab does not
    /// remove several at once.
    ///
    /// What is gone is noted before anything that went wrong with another part ends the removal.
    fn parts<'t>(&self, tags: &[&'t Tag], parts: Vec<Fates>) -> Result<Vec<&'t Tag>, Halt> {
        let (mut refused, mut lost, mut failed) = (Vec::new(), Vec::new(), None);
        for (tags, part) in tags.chunks(BATCH).zip(parts) {
            match part {
                Ok(fates) => self.answered(tags, &fates),
                Err(error) if refuses_several(&error) => refused.extend_from_slice(tags),
                Err(error) if error.is_answer_lost() => lost.push((tags, error)),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let lost_tags: Vec<&Tag> = lost.iter().flat_map(|(tags, _)| tags.iter().copied()).collect();
        if let Some((_, error)) = lost.into_iter().next() {
            self.unanswered(&lost_tags, error)?;
        }
        failed.map_or(Ok(refused), |error| Err(error.into()))
    }

    /// Takes note of what became of the tags of a request.
    fn answered(&self, tags: &[&Tag], fates: &[TagRemoval]) {
        self.tally().answered(fates.len());
        self.job.progress.requested(fates.len() as u64);
        for (tag, fate) in tags.iter().zip(fates) {
            match fate {
                TagRemoval::Gone => {
                    self.tally().removed(tag);
                    self.job.progress.removed(1, tag.bytes.unwrap_or(0));
                    self.audit(tag, Verdict::Remove(self.reason), None);
                }
                TagRemoval::AlreadyGone => self.tally().already_gone(tag),
                TagRemoval::Protected => self.keep(tag, Kept::Protected),
            }
        }
    }

    /// An answer that was lost is passed over a few times; the next run plans again and finds out what went.
    pub(super) fn unanswered(&self, tags: &[&Tag], error: Error) -> Result<(), Halt> {
        let foreign = error.foreign().map(|what| what.to_string());
        if error.is_answer_lost() {
            for tag in tags {
                let reason = RepositoryReason::AnswerLost.as_str();
                self.leave(tag, Line::new(&tag.name, AuditVerdict::Unknown, reason));
            }
        }
        if error.is_answer_lost() && !self.tally().lost(tags.len(), foreign) { Ok(()) } else { Err(error.into()) }
    }

    /// Takes note of a tag that stays.
    fn keep(&self, tag: &Tag, why: Kept) {
        self.tally().kept(why);
        self.audit(tag, Verdict::Keep(why.reason()), None);
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        // The numbers are valid between any two statements.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn audit(&self, tag: &Tag, verdict: Verdict, used_by: Option<&str>) {
        self.leave(tag, Line { used_by, ..Line::new(&tag.name, verdict.into(), verdict.reason()) });
    }

    fn leave(&self, tag: &Tag, line: Line<'_>) {
        let (digest, bytes) = (tag.digest.as_ref(), tag.bytes);
        self.job.trail.tag(self.repository, Line { digest, bytes, ..line });
    }
}

/// What became of each tag, by what GitLab says of the parts of their request.
pub(super) fn fates(tags: &[&Tag], parts: Vec<RemovedPart>) -> Vec<Fates> {
    let fate = |gone: &[Box<str>], tag: &Tag| {
        if gone.iter().any(|gone| **gone == *tag.name) { TagRemoval::Gone } else { TagRemoval::Protected }
    };
    let of_part =
        |(tags, part): (&[&Tag], RemovedPart)| part.map(|gone| tags.iter().map(|tag| fate(&gone, tag)).collect());
    tags.chunks(BATCH).zip(parts).map(of_part).collect()
}

fn users(claims: &Claims, tag: &Tag) -> Option<String> {
    claims.certain(&tag.name, tag.digest.as_ref()).map(|users| users.to_string())
}

fn held(claims: &Claims, tag: &Tag) -> bool {
    claims.must_keep(&tag.name, tag.digest.as_ref(), tag.single_image)
}
