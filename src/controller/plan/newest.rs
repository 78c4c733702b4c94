//! Looks at a repository right before GitLab's bulk deletion is asked to clean it: whether the dates that GitLab goes
//! by say which tags are the newest. Where GitLab sorts by push a few pages tell, otherwise the dates are read as a
//! preview reads them.

use std::collections::BTreeSet;

use crate::gitlab::{Error, Repository, TagOrder};
use crate::policy::compile::Rule;
use crate::policy::inventory::ascends;
use crate::policy::of_age;
use crate::policy::plan::doubt::Doubt;
use crate::policy::plan::repository::RepositoryPlan;
use crate::policy::plan::ties::MOST_READ;
use crate::policy::plan::{bulk, decide_by_name};
use crate::policy::repository_outcome::OfAge;
use crate::policy::tag::{Ages, Tag, TagView, to_the_second};

use super::failure::Failure;
use super::list_repositories::concerns_all;
use super::newest_pages::NewestPages;
use super::planner::Planner;
use super::read_tags::known;

/// What the look came to.
#[derive(Default)]
pub(crate) struct Found {
    /// Why GitLab is not to be trusted with the repository, if it is not.
    pub(crate) doubt: Option<Doubt>,
    /// The tags of one moment that come of age soon.
    pub(crate) of_age: Option<OfAge>,
    /// What GitLab counts ages from, as far as dates were looked at.
    pub(crate) ages: Option<Ages>,
}

/// Looks at a repository with more candidates than stay by their number. `in_use` names the tags that GitLab is told to
/// keep.
pub(crate) async fn look(
    planner: &Planner<'_>,
    rule: &Rule,
    repository: &Repository,
    in_use: &BTreeSet<Box<str>>,
) -> Result<Found, Failure> {
    let ranked = rule.keep_n.is_some_and(|n| n > 0);
    if !ranked && rule.older_than.is_none() {
        return Ok(Found::default());
    }
    match by_push(planner, rule, repository, in_use).await {
        Ok(Some(found)) => return Ok(found),
        Ok(None) => {}
        Err(error) if concerns_all(&error) => return Err(error.into()),
        // What GraphQL does not tell, REST may.
        Err(error) => {
            tracing::debug!(repository = repository.path, %error, "the newest tags cannot be read by GraphQL");
        }
    }
    let plan = planner.bulk(rule, repository).await?;
    Ok(in_plan(planner, rule, repository, &plan).await?)
}

/// Looks at a repository of which there is a plan.
pub(crate) async fn in_plan(
    planner: &Planner<'_>,
    rule: &Rule,
    repository: &Repository,
    plan: &RepositoryPlan,
) -> Result<Found, Error> {
    let doubt = planner.doubt(rule, repository, &bulk::candidates(&plan.tags)).await?;
    let of_age = of_age::in_plan(&plan.tags, std::slice::from_ref(rule), planner.reader.clock.now());
    Ok(Found { doubt, of_age, ages: plan.source.ages })
}

/// By the newest and the oldest pages. `None` where they tell no pushes, or not for certain.
async fn by_push(
    planner: &Planner<'_>,
    rule: &Rule,
    repository: &Repository,
    in_use: &BTreeSet<Box<str>>,
) -> Result<Option<Found>, Error> {
    let capabilities = planner.reader.client.capabilities(repository.id).await?;
    if !(capabilities.sorts_by_push && capabilities.published_at) {
        return Ok(None);
    }
    let candidate = |name: &str| decide_by_name(name, rule, &planner.reader.policy.protect, in_use).is_none();
    let mut found = Found { ages: Some(Ages::LastPush), ..Found::default() };
    let keep_n = rule.keep_n.map_or(0, |n| usize::try_from(n).unwrap_or(usize::MAX));
    if keep_n > 0 {
        let Some(newest) = newest(planner, keep_n, repository, candidate).await? else { return Ok(None) };
        let views: Vec<TagView<'_>> = newest.iter().map(Tag::view).collect();
        found.doubt = planner.doubt(rule, repository, &views).await?;
    }
    if rule.older_than.is_some() {
        let page = planner.reader.client.tag_page(repository.id, TagOrder::OldestPushFirst, None).await?;
        if page.tags.is_empty() || !ascends(None, page.tags.iter().map(|tag| tag.published_at)) {
            return Ok(None);
        }
        let oldest = page.tags.iter().filter(|tag| candidate(&tag.name)).filter_map(|tag| tag.published_at);
        found.of_age = of_age::among(oldest.map(|pushed| (pushed, rule)), planner.reader.clock.now());
    }
    Ok(Some(found))
}

/// The newest candidates: one more than stay by their number, and all that share the date of the last that stays,
/// unless these are more than can be told apart. `None` where pages do not hold together, or end too early.
async fn newest(
    planner: &Planner<'_>,
    keep_n: usize,
    repository: &Repository,
    candidate: impl Fn(&str) -> bool,
) -> Result<Option<Vec<Tag>>, Error> {
    let mut pages = NewestPages::new(planner.reader.client, repository);
    let mut newest: Vec<Tag> = Vec::new();
    loop {
        let Some(page) = pages.next().await? else { return Ok(None) };
        let now = planner.reader.clock.now();
        newest.extend(page.into_iter().filter(|tag| candidate(&tag.name)).map(|tag| known(tag, now)));
        let enough = newest.len() > keep_n && (pages.have_ended() || shows_border(&newest, keep_n));
        if enough || pages.have_ended() {
            return Ok((enough && pages.are_right()).then_some(newest));
        }
    }
}

/// Whether candidates in the order of their pushes show everything that shares its date with the last that stays, or
/// more of it than can be told apart.
fn shows_border(newest: &[Tag], keep_n: usize) -> bool {
    let second = |tag: &Tag| tag.pushed.stated().map(to_the_second);
    let Some(border) = keep_n.checked_sub(1).and_then(|last| newest.get(last)).map(second) else { return false };
    let shared = newest.iter().filter(|tag| second(tag) == border).count();
    newest.last().map(second) != Some(border) || shared > MOST_READ
}
