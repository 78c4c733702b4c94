//! The bulk deletion itself (gitlab-api reference 2), with its two ways through a repository.

use jiff::{SignedDuration, Timestamp};

use super::{CleanupParams, JobReport, JobStatus, Outcome, older_than};
use crate::{abilities::Ability, clock::saturating_add, config::Version, re2::Pattern, state::Registry};

/// The largest answer to a `/v2` tag listing GitLab asks for (gitlab-api reference 2.5).
pub(crate) const MOST_LISTED_TAGS: usize = 10_000;

/// Pages after which path A raises (gitlab-api reference 2.4).
const MOST_PAGES: usize = 2000;

/// How long the once-per-hour lease lasts (gitlab-api reference 1.5).
const LEASE: SignedDuration = SignedDuration::from_hours(1);

/// A tag as the steps see it: its name and the time it is ranked by.
#[derive(Clone, Debug)]
struct Candidate {
    name: String,
    at: Option<Timestamp>,
}

/// Why a job ends without going on.
enum Stop {
    Error(&'static str),
    Raised(String),
}

impl Registry {
    /// Takes the hourly lease of a repository, or tells that it is taken.
    pub(crate) fn take_lease(&mut self, repository: u64, at: Timestamp) -> bool {
        let Some(repository) = self.repository_mut(repository) else { return false };
        let free = repository.lease_until.is_none_or(|until| until <= at);
        if free {
            repository.lease_until = Some(saturating_add(at, LEASE));
        }
        free
    }

    /// One attempt at a bulk deletion, at its own time.
    pub(super) fn cleanup(&mut self, job: &JobReport, at: Timestamp) -> Outcome {
        if self.settings.bulk_jobs_fail {
            return Outcome::ended(JobStatus::Error, "failed", at);
        }
        let ignored = Outcome::ended(JobStatus::Ignored, "", at);
        let Some(project) = self.find_repository(job.repository).map(|found| found.project) else { return ignored };
        let Some(project) = self.find_project(project).cloned() else { return ignored };
        let known = job.user.is_some_and(|user| self.find_user(user).is_some());
        if !known && !job.params.container_expiration_policy {
            return ignored;
        }
        let allowed = job.params.container_expiration_policy || self.may(job.user, Ability::Destroy, &project);
        if !allowed {
            return Outcome::ended(JobStatus::Error, "access denied", at);
        }
        let mut outcome = Outcome::ended(JobStatus::Success, "", at);
        let done = if self.settings.path_a() {
            self.clean_pages(job, at, &mut outcome)
        } else {
            self.clean_list(job, at, &mut outcome)
        };
        match done {
            Ok(()) => {}
            Err(Stop::Error(message)) => {
                (outcome.status, outcome.message) = (JobStatus::Error, message.to_owned());
            }
            Err(Stop::Raised(message)) => (outcome.status, outcome.message) = (JobStatus::Raised, message),
        }
        outcome
    }

    /// Path A: page by page, each on its own (gitlab-api reference 2.4).
    fn clean_pages(&mut self, job: &JobReport, at: Timestamp, outcome: &mut Outcome) -> Result<(), Stop> {
        let filter = NameFilter::new(&job.params, self.settings.version)?;
        let tags = self.candidates(job.repository, true);
        let page_size = job.switches.page_size.unwrap_or(self.settings.page_size).max(1);
        let mut spent = SignedDuration::ZERO;
        for (index, page) in tags.chunks(page_size).enumerate() {
            outcome.sizes.original += page.len();
            let candidates: Vec<_> = page.iter().filter(|tag| filter.selects(&tag.name)).cloned().collect();
            outcome.sizes.before_truncate += candidates.len();
            outcome.sizes.after_truncate += candidates.len();
            let (candidates, _) = outside_keep_n(candidates, job.params.keep_n, at);
            let (candidates, _) = older(candidates, &job.params, at)?;
            outcome.sizes.before_delete += candidates.len();
            self.delete(job, candidates, &mut spent, outcome).map_err(Stop::Raised)?;
            let clock = self.settings.delete_timeout.is_some_and(|limit| spent > limit);
            if job.switches.timeout_checks.get(index).copied().unwrap_or(clock) {
                return Err(Stop::Error("timeout while deleting tags"));
            }
        }
        if tags.len().div_ceil(page_size) > MOST_PAGES {
            return Err(Stop::Raised("too many pages requested".to_owned()));
        }
        Ok(())
    }

    /// Path B: one list, cut to a random sample if it is long (gitlab-api reference 2.5).
    fn clean_list(&mut self, job: &JobReport, at: Timestamp, outcome: &mut Outcome) -> Result<(), Stop> {
        let version = self.settings.version;
        let filter = NameFilter::new(&job.params, version)?;
        let mut tags = self.candidates(job.repository, false);
        outcome.sizes.original = tags.len();
        tags.retain(|tag| filter.selects(&tag.name));
        if version < Version::new(12, 10) {
            let found = self.find_repository(job.repository);
            let has_manifest = |name: &str| {
                found.and_then(|found| found.tags().get(name)).is_some_and(crate::Tag::has_manifest_on_path_b)
            };
            tags.retain(|tag| has_manifest(&tag.name));
        }
        outcome.sizes.before_truncate = tags.len();
        let most = job.switches.max_list_size.unwrap_or(self.settings.max_list_size);
        let keep_n = usize::try_from(job.params.keep_n.unwrap_or_default()).unwrap_or_default();
        let limit = most.saturating_add(keep_n);
        if most > 0 && tags.len() > limit && version >= Version::new(13, 12) {
            tags = self.random.sample(tags, limit);
            outcome.truncated = true;
        }
        outcome.sizes.after_truncate = tags.len();
        let caching = self.settings.cache_creation_dates && job.params.container_expiration_policy;
        if caching && job.params.older_than.is_some() {
            outcome.sizes.cached = self.dates_from_cache(job.repository, &mut tags, at);
        }
        let (tags, newest) = outside_keep_n(tags, job.params.keep_n, at);
        let (tags, young) = older(tags, &job.params, at)?;
        if caching {
            self.cache_dates(job, newest.iter().chain(&young), at);
        }
        outcome.sizes.before_delete = tags.len();
        let mut spent = SignedDuration::ZERO;
        // Nothing raises here when every deletion fails: there is no accumulator.
        let _ = self.delete(job, tags, &mut spent, outcome);
        if outcome.truncated {
            outcome.status = JobStatus::Error;
        }
        Ok(())
    }

    /// The repository's tags as the job's listing gives them; an error of the registry is an empty list.
    fn candidates(&self, repository: u64, path_a: bool) -> Vec<Candidate> {
        let Some(found) = self.find_repository(repository) else { return Vec::new() };
        if self.settings.registry_lists_fail {
            return Vec::new();
        }
        let most = if path_a { usize::MAX } else { MOST_LISTED_TAGS };
        let tags = found.listed(self.settings.listing_order()).into_iter().take(most);
        tags.map(|tag| Candidate { name: tag.name.clone(), at: tag.ranked_at(path_a) }).collect()
    }

    /// Hands the rest to the delete service. The error is path A's accumulator, which adds nothing to a number when
    /// every deletion of a page failed (gitlab-api reference 2.4).
    fn delete(
        &mut self,
        job: &JobReport,
        tags: Vec<Candidate>,
        spent: &mut SignedDuration,
        outcome: &mut Outcome,
    ) -> Result<(), String> {
        let names = tags.into_iter().map(|tag| tag.name).collect();
        let removal = self.remove_tags(job.repository, job.user, names, job.switches.delete_fails, spent);
        if !removal.batch.is_empty() {
            outcome.batches.push(removal.batch);
        }
        if let Some(error) = removal.error {
            (outcome.status, outcome.message) = (JobStatus::Error, error);
        }
        match removal.deleted {
            Some(deleted) => outcome.deleted.extend(deleted),
            None => return Err("nil can't be coerced into Integer".to_owned()),
        }
        Ok(())
    }

    fn dates_from_cache(&self, repository: u64, tags: &mut [Candidate], at: Timestamp) -> usize {
        let Some(found) = self.find_repository(repository) else { return 0 };
        let mut count = 0;
        for tag in tags {
            if let Some((date, ends)) = found.cached_dates.get(&tag.name)
                && *ends > at
            {
                tag.at = Some(*date);
                count += 1;
            }
        }
        count
    }

    /// Remembers the dates of tags that stay, until they would be old enough to go.
    fn cache_dates<'c>(&mut self, job: &JobReport, tags: impl Iterator<Item = &'c Candidate>, at: Timestamp) {
        let Some(age) = job.params.older_than.as_deref().and_then(|text| older_than::seconds(text).ok()) else {
            return;
        };
        let age = SignedDuration::from_secs_f64(age.min(1e15));
        let Some(found) = self.repository_mut(job.repository) else { return };
        for tag in tags {
            if let Some(date) = tag.at {
                let ends = saturating_add(date, age);
                if ends > at {
                    found.cached_dates.insert(tag.name.clone(), (date, ends));
                }
            }
        }
    }
}

/// Steps 1 and 2: `latest`, then the delete and keep patterns (gitlab-api reference 2.1 and 2.2).
struct NameFilter {
    keep_latest: bool,
    delete: Pattern,
    keep: Pattern,
}

impl NameFilter {
    fn new(params: &CleanupParams, version: Version) -> Result<Self, Stop> {
        let given = [&params.name_regex_delete, &params.name_regex, &params.name_regex_keep];
        let invalid = given.into_iter().flatten().find_map(|pattern| Pattern::new(pattern).err());
        if let Some(error) = invalid {
            // Before 13.0 nothing checked the patterns, so that the job itself failed.
            let checked = version >= Version::new(13, 0);
            return Err(if checked { Stop::Error("invalid regex") } else { Stop::Raised(error.to_string()) });
        }
        let compile = |pattern: Option<&String>| {
            Pattern::anchored(pattern.map_or("", String::as_str)).map_err(|error| Stop::Raised(error.to_string()))
        };
        Ok(Self {
            keep_latest: params.keep_latest.unwrap_or(true),
            delete: compile(params.name_regex_delete.as_ref().or(params.name_regex.as_ref()))?,
            keep: compile(params.name_regex_keep.as_ref())?,
        })
    }

    fn selects(&self, name: &str) -> bool {
        !(self.keep_latest && name == "latest") && self.delete.is_found_in(name) && !self.keep.is_found_in(name)
    }
}

/// Step 3: what is left after the newest `keep_n`, and those. A tag without a time counts as now; equal times come out
/// in reverse order of the list (gitlab-api reference 2.3).
fn outside_keep_n(mut tags: Vec<Candidate>, keep_n: Option<i64>, now: Timestamp) -> (Vec<Candidate>, Vec<Candidate>) {
    let Some(keep_n) = keep_n else { return (tags, Vec::new()) };
    tags.sort_by_key(|tag| tag.at.unwrap_or(now));
    tags.reverse();
    let rest = tags.split_off(usize::try_from(keep_n).unwrap_or_default().min(tags.len()));
    (rest, tags)
}

/// Step 4: what is strictly older than `older_than`, and the others. Like GitLab it reads the duration only when there
/// is a time to compare with.
fn older(
    tags: Vec<Candidate>,
    params: &CleanupParams,
    now: Timestamp,
) -> Result<(Vec<Candidate>, Vec<Candidate>), Stop> {
    let Some(text) = &params.older_than else { return Ok((tags, Vec::new())) };
    if tags.iter().all(|tag| tag.at.is_none()) {
        return Ok((Vec::new(), tags));
    }
    let seconds = older_than::seconds(text).map_err(|error| Stop::Raised(error.to_string()))?;
    let limit = saturating_add(now, SignedDuration::from_secs_f64(-seconds.min(1e15)));
    Ok(tags.into_iter().partition(|tag| tag.at.is_some_and(|at| at < limit)))
}
