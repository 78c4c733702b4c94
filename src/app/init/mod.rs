//! `init`: looks at the container repositories of groups and projects, with a bounded number of requests, and drafts a
//! first policy for them. It changes nothing.

mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::gitlab_reader::{Error, Request};
use super::progress::Progress;
use crate::api::manifest;
use crate::causes;
use crate::clock::{Clock, SystemClock};
use crate::gitlab::{self, Class, Client, ErrorKind, Repository, Tag, TagOrder};
use crate::plan_output::units;
use crate::policy::compile;
use crate::policy::families::draft::draft;
use crate::policy::families::{Families, Sample};
use crate::terminal::plain;
use text::Extent;

/// The names of a repository with more tags than this are not listed: a hundred of them take a request.
const MOST_TAGS: u64 = 2_000;
/// GitLab behaviour: it counts no further.
/// <https://docs.gitlab.com/api/container_registry/#get-details-of-a-single-repository>
const COUNTED: u64 = 10_000;
/// Tags of a page that tells dates and sizes.
const PAGE: usize = 20;

/// What there is to say.
#[derive(Debug)]
pub struct Found {
    /// What was seen, for people.
    pub summary: String,
    /// The policy, or why there is none.
    pub policy: Result<String, &'static str>,
}

/// What was read of a repository.
#[derive(Default)]
struct Contents {
    names: Vec<Box<str>>,
    sample: Vec<Tag>,
    bytes: Option<u64>,
    /// How many tags it has, in words, where their names were not listed.
    unlisted: Option<String>,
}

/// Looks at GitLab, at no more than so many repositories, and drafts the policy.
///
/// # Errors
/// When GitLab does not answer. A single repository that it does not tell about is left out, and named.
pub async fn look(request: &Request, most_repositories: usize) -> Result<Found, Error> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let options = request.options();
    let client = request.client(&options, &clock)?;
    let mut progress = Progress::new();
    let repositories = list(&client, request, &mut progress).await?;
    let mut families = Families::new().map_err(|error| Error::Shape(error.to_string()))?;
    let mut extent = Extent { repositories: repositories.len(), most_repositories, ..Extent::default() };
    for repository in repositories.values().take(most_repositories) {
        progress.show(&format!(
            "{}: {}",
            units::of(extent.read, "repository", "repositories"),
            plain(&repository.path)
        ));
        match contents(&client, repository).await {
            Ok(found) => count(&mut families, &mut extent, repository, &found),
            // The others may be read all the same.
            Err(error) if error.class() == Class::Target || error.is_incomplete() => {
                let why = causes::chain(&error);
                extent.remarks.push(format!("{} was not looked at: {why}", repository.path));
            }
            Err(error) => return Err(Error::GitLab(repository.path.clone(), error)),
        }
    }
    progress.clear();
    let (draft, now) = (draft(&families), clock.now());
    let summary = text::summary(&families, &draft, &extent, now);
    if draft.rules.is_empty() {
        let why = if extent.repositories == 0 {
            "there is no container repository"
        } else {
            "no family of tags that is understood is larger than what should stay anyway"
        };
        return Ok(Found { summary, policy: Err(why) });
    }
    let policy = text::policy(request, &families, &draft, &extent, now)?;
    // What is handed out is what the operator takes.
    let read = manifest::read(&policy, None).map_err(|error| Error::Shape(error.to_string()))?;
    compile(&read.spec, &options, now).map_err(Error::Address)?;
    Ok(Found { summary, policy: Ok(policy) })
}

/// All repositories, by their paths.
async fn list(
    client: &Client,
    request: &Request,
    progress: &mut Progress,
) -> Result<BTreeMap<String, Repository>, Error> {
    let mut repositories = BTreeMap::new();
    for (path, namespace) in request.namespaces() {
        progress.show(&format!("looking for repositories of {}", plain(path)));
        let listed = client.repositories(&namespace).await.map_err(|error| Error::GitLab(path.clone(), error))?;
        repositories.extend(listed.into_iter().map(|repository| (repository.path.clone(), repository)));
    }
    Ok(repositories)
}

/// What a few requests tell of a repository: how much it holds, the names of its tags if they are not too many, and its
/// first and last tags with dates and sizes.
async fn contents(client: &Client, repository: &Repository) -> Result<Contents, gitlab::Error> {
    let held = client.repository_contents(repository.id).await?.contents;
    let mut contents = Contents { bytes: held.bytes, ..Contents::default() };
    match held.tags {
        Some(0) => return Ok(contents),
        Some(tags) if tags <= MOST_TAGS => contents.names = client.tag_names(&repository.reference()).await?,
        Some(tags) if tags < COUNTED => contents.unlisted = Some(format!("{tags} tags")),
        Some(_) => contents.unlisted = Some(format!("{COUNTED} tags or more")),
        None => contents.unlisted = Some("an unknown number of tags".to_owned()),
    }
    contents.sample = match sample(client, repository.id, contents.names.len()).await {
        // Names are known, and that is what families are told apart by.
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported { .. }) => Vec::new(),
        sample => sample?,
    };
    Ok(contents)
}

/// The tags of the first and the last page, where the server dates tags; of one page otherwise, or if it has them all.
async fn sample(client: &Client, repository: u64, names: usize) -> Result<Vec<Tag>, gitlab::Error> {
    let can = client.capabilities(repository).await?;
    let orders: &[TagOrder] = match (can.graphql, can.sorts_by_push) {
        (false, _) => &[],
        (true, true) if !(1..=PAGE).contains(&names) => &[TagOrder::OldestPushFirst, TagOrder::NewestPushFirst],
        (true, _) => &[TagOrder::Name],
    };
    let mut tags = Vec::new();
    for order in orders {
        tags.extend(client.tag_page(repository, *order, None).await?.tags);
    }
    Ok(tags)
}

fn count(families: &mut Families, extent: &mut Extent, repository: &Repository, found: &Contents) {
    let mut sample: Vec<Sample<'_>> = found.sample.iter().map(looked_at).collect();
    sample.sort_by_key(|tag| tag.name);
    sample.dedup_by_key(|tag| tag.name);
    extent.read += 1;
    if let Some(bytes) = found.bytes {
        extent.sized = (extent.sized.0 + 1, extent.sized.1.saturating_add(bytes));
    }
    let Some(tags) = &found.unlisted else {
        return families.count(found.names.iter().map(AsRef::as_ref), &sample);
    };
    families.count(sample.iter().map(|tag| tag.name), &sample);
    extent.remarks.push(format!("{} has {tags}, of which {} were looked at", repository.path, sample.len()));
}

/// GitLab behaviour: neither date nor size is told of every tag, and 0 stands for a size that is not known.
/// <https://docs.gitlab.com/api/graphql/reference/#containerrepositorytag>
fn looked_at(tag: &Tag) -> Sample<'_> {
    let bytes = tag.total_size.filter(|bytes| *bytes > 0);
    Sample { name: &tag.name, at: tag.published_at.or(tag.created_at), bytes }
}
