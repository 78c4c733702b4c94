//! E5 to E8: listing, reading and deleting tags.

use serde_json::{Value, json};

use super::{
    Processed, Site,
    answer::Answer,
    auth::Caller,
    call::Call,
    check_repository_id, entities,
    pagination::{Counted, PageParams, keyset_link, offset_page},
    params::Params,
    readable_project,
    repositories::listed,
    repository_of,
};
use crate::{
    abilities::Ability,
    config::{TagOrder, Version},
    jobs::{CleanupParams, protects},
    state::{Project, Registry, Repository, Tag, locale_key},
};

/// Path A fetches pages of 100 and gives up after 2000 of them (gitlab-api reference 1.4, status 500).
const MOST_TAGS: usize = 200_000;

/// Matches of the substring search E6 looks at on path A (gitlab-api reference 7).
const MOST_MATCHES: usize = 100;

/// The text of a taken lease (gitlab-api reference 1.4).
const LEASE_TAKEN: &str =
    "This request has already been made. You can run this at most once an hour for a given container repository";

/// Steps 3 to 5 of every call here: project, parameters, repository.
fn located(registry: &Registry, call: &Call, caller: &Caller, site: &Site) -> Result<(Project, u64), Answer> {
    let project = readable_project(registry, call, caller, site)?;
    let mut params = Params::new(&call.params);
    check_repository_id(&mut params, call);
    params.checked()?;
    let repository = repository_of(registry, call, &project)?;
    Ok((project, repository))
}

fn reachable(registry: &Registry) -> Result<(), Answer> {
    if registry.settings.registry_unreachable { Err(Answer::registry_unreachable()) } else { Ok(()) }
}

pub(super) fn list(registry: &Registry, call: &Call, caller: &Caller, site: &Site) -> Result<Answer, Answer> {
    let project = readable_project(registry, call, caller, site)?;
    let settings = &registry.settings;
    let mut params = Params::new(&call.params);
    check_repository_id(&mut params, call);
    let page = PageParams::read(&mut params, settings);
    params.checked()?;
    let id = repository_of(registry, call, &project)?;
    let repository = registry.find_repository(id).ok_or_else(Answer::not_found)?;
    let given = |name: &str| call.params.get(name).and_then(Value::as_str);
    let keyset = given("pagination") == Some("keyset") && settings.version >= Version::new(16, 10);
    if keyset && !settings.path_a() {
        return Err(Answer::message(405, "405 Method Not Allowed"));
    }
    reachable(registry)?;
    let host = &settings.registry_host;
    let mut tags = listed(registry, call, repository);
    if !keyset {
        if settings.path_a() && tags.len() > MOST_TAGS {
            return Err(Answer::server_error());
        }
        return Ok(offset_page(&tags, Counted::Tags, page, call, site, |tag| entities::tag(repository, tag, host)));
    }
    if given("sort") == Some("desc") {
        tags.reverse();
    }
    let begin = given("last").map_or(0, |last| after(&tags, last, settings.tag_order, given("sort") == Some("desc")));
    let per_page = page.keyset_size();
    let shown: Vec<&Tag> = tags.iter().skip(begin).take(per_page).copied().collect();
    let body = shown.iter().map(|tag| entities::tag(repository, tag, host)).collect();
    let answer = Answer::json(200, &Value::Array(body));
    Ok(match shown.last() {
        Some(last) if begin + per_page < tags.len() => answer.header("link", keyset_link(call, site, &last.name)),
        _ => answer,
    })
}

/// The position after a keyset cursor, which need not be a tag that still exists.
pub(crate) fn after(tags: &[&Tag], last: &str, order: TagOrder, descending: bool) -> usize {
    let passed = |tag: &&Tag| {
        let ordering = match order {
            TagOrder::Bytewise => tag.name.as_str().cmp(last),
            TagOrder::Locale => locale_key(&tag.name).cmp(&locale_key(last)),
            TagOrder::Pushed => return false,
        };
        if descending { ordering.is_ge() } else { ordering.is_le() }
    };
    if order == TagOrder::Pushed {
        return tags.iter().position(|tag| tag.name == last).map_or(0, |position| position + 1);
    }
    tags.iter().take_while(|tag| passed(tag)).count()
}

/// The tag as this path finds it: path A takes the first 100 names that contain it and looks for it there; path B
/// asks for its manifest, which an OCI index does not have there (gitlab-api reference 7).
fn found<'r>(registry: &'r Registry, call: &Call, repository: &'r Repository) -> Option<&'r Tag> {
    let name = call.tag.as_str();
    if !registry.settings.path_a() {
        return repository.tags().get(name).filter(|tag| tag.has_manifest_on_path_b());
    }
    let tag = repository.tags().get(name)?;
    let whole = call.listed_tags.is_none() && !registry.settings.registry_lists_fail;
    // The tag itself is one of the matches.
    if whole && repository.names_with(name, MOST_MATCHES + 1) <= MOST_MATCHES {
        // It is among the first whatever their order is.
        return Some(tag);
    }
    let tags = listed(registry, call, repository);
    tags.into_iter().filter(|tag| tag.name.contains(name)).take(MOST_MATCHES).find(|tag| tag.name == name)
}

pub(super) fn get(registry: &Registry, call: &Call, caller: &Caller, site: &Site) -> Result<Answer, Answer> {
    let (_, id) = located(registry, call, caller, site)?;
    reachable(registry)?;
    let repository = registry.find_repository(id).ok_or_else(Answer::not_found)?;
    let tag = found(registry, call, repository).ok_or_else(|| Answer::not_found_of("Tag"))?;
    let settings = &registry.settings;
    Ok(Answer::json(200, &entities::tag_details(repository, tag, &settings.registry_host, settings.path_a())))
}

pub(super) fn delete(registry: &mut Registry, call: &Call, caller: &Caller, site: &Site) -> Result<Answer, Answer> {
    let (project, id) = located(registry, call, caller, site)?;
    if !registry.may_remove_tags(caller.user, &project) {
        return Err(Answer::forbidden());
    }
    let version = registry.settings.version;
    reachable(registry)?;
    let exists = registry.find_repository(id).is_some_and(|found_in| found(registry, call, found_in).is_some());
    // What a missing tag gets changed three times (gitlab-api reference 3).
    if !exists && version < Version::new(16, 0) {
        return Err(Answer::not_found_of("Tag"));
    }
    if !exists && version >= Version::new(18, 0) && registry.settings.path_a() {
        return Err(Answer::forbidden());
    }
    if protects(&registry.effective_rules(caller.user, project.id), &call.tag) {
        // By the policy in recent releases, by the service before.
        let by_policy = version >= Version::new(18, 0);
        let text = if by_policy { "403 Forbidden" } else { "403 Forbidden - cannot delete protected tag(s)" };
        return Err(Answer::message(403, text));
    }
    // The ability of the tag is there, that of the service behind it is not.
    if registry.settings.registry_deletes_fail || project.takes_no_changes() {
        let spoken = version >= Version::new(18, 0);
        return Err(if spoken { Answer::message(400, "400 Bad request") } else { Answer::number(400) });
    }
    if version < Version::new(12, 4) {
        remove_image(registry, id, &call.tag);
    } else {
        registry.remove_tag(id, &call.tag);
    }
    Ok(Answer::number(200))
}

/// Until 12.3 the image went, with every tag on it (gitlab-api reference 3).
fn remove_image(registry: &mut Registry, repository: u64, tag: &str) {
    let Some(digest) = registry.find_tag(repository, tag).map(|tag| tag.digest.clone()) else { return };
    for name in registry.tag_names(repository) {
        if registry.find_tag(repository, &name).is_some_and(|tag| tag.digest == digest) {
            registry.remove_tag(repository, &name);
        }
    }
}

pub(super) fn delete_in_bulk(registry: &mut Registry, call: &Call, caller: &Caller, site: &Site) -> Processed {
    let (id, params) = match accepted_bulk(registry, call, caller, site) {
        Ok(accepted) => accepted,
        Err(answer) => return answer.into(),
    };
    // The first releases looked at the lease inside the job and always said 202 (gitlab-api reference 1.5).
    let mut accepted = None;
    if registry.settings.version >= Version::new(12, 9) {
        let now = registry.now();
        let granted = registry.take_lease(id, now);
        accepted = Some(granted);
        if !granted {
            return Processed { answer: Answer::message(400, LEASE_TAKEN), accepted };
        }
    }
    if let Some(user) = caller.user {
        registry.enqueue_cleanup(id, user, params);
    }
    Processed { answer: Answer::json(202, &json!(202)), accepted }
}

/// E8 up to the lease.
fn accepted_bulk(
    registry: &Registry,
    call: &Call,
    caller: &Caller,
    site: &Site,
) -> Result<(u64, CleanupParams), Answer> {
    let project = readable_project(registry, call, caller, site)?;
    let params = bulk_params(call, registry.settings.version)?;
    let id = repository_of(registry, call, &project)?;
    if registry.may(caller.user, Ability::Administer, &project) { Ok((id, params)) } else { Err(Answer::forbidden()) }
}

/// The parameters of E8 in their declared order, which is the order of the problems.
fn bulk_params(call: &Call, version: Version) -> Result<CleanupParams, Answer> {
    let mut params = Params::new(&call.params);
    check_repository_id(&mut params, call);
    let mut read = CleanupParams::default();
    if version < Version::new(12, 9) {
        // Only these three existed; `name_regex_keep` and `name_regex_delete` are silently ignored.
        read.name_regex = params.pattern("name_regex", false);
        if !params.has("name_regex") {
            params.problem("name_regex is missing");
        }
    } else {
        let validated = version >= Version::new(13, 0);
        read.name_regex_delete = params.pattern("name_regex_delete", validated);
        read.name_regex = params.pattern("name_regex", validated);
        if !params.has("name_regex") && !params.has("name_regex_delete") {
            params.problem("name_regex, name_regex_delete are missing, at least one parameter must be provided");
        }
        read.name_regex_keep = params.pattern("name_regex_keep", validated);
    }
    read.keep_n = params.integer("keep_n");
    read.older_than = params.text("older_than");
    params.checked()?;
    Ok(read)
}
