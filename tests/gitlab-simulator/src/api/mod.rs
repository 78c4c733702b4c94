//! The REST API, and the way to GraphQL: each request goes through the checks in GitLab's order (gitlab-api reference
//! 1.3).

mod answer;
mod auth;
mod call;
mod entities;
mod maintenance;
mod meta;
mod pagination;
mod params;
mod projects;
mod rate_limit;
mod repositories;
mod tags;

pub(crate) use answer::Answer;
pub(crate) use auth::{Caller, token_name};
pub(crate) use call::Call;
pub(crate) use maintenance::READ_ONLY;
pub(crate) use rate_limit::too_many_requests;
pub(crate) use tags::after;

use crate::{
    Endpoint,
    abilities::Ability,
    config::{Backend, Version},
    graphql,
    state::Project,
    state::Registry,
};

/// What all requests share: the configured address.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// Address with the relative URL root, without a slash at the end.
    pub(crate) url: String,
}

impl Site {
    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

/// An answer and, for E8, what became of the lease.
pub(crate) struct Processed {
    pub(crate) answer: Answer,
    pub(crate) accepted: Option<bool>,
}

impl From<Answer> for Processed {
    fn from(answer: Answer) -> Self {
        Self { answer, accepted: None }
    }
}

/// Answers one request. `refusal` is what is wrong with its body, if anything.
pub(crate) fn process(registry: &mut Registry, call: &Call, refusal: Option<Answer>, site: &Site) -> Processed {
    let headers = match rate_limit::throttle(registry, call) {
        Ok(headers) => headers,
        Err(answer) => return answer.into(),
    };
    let backend = registry.settings.backend;
    if call.probe_fails {
        registry.settings.backend = Backend::PlainRegistry;
    }
    let mut processed = refusal.map_or_else(|| checked(registry, call, site), Processed::from);
    registry.settings.backend = backend;
    processed.answer.headers.extend(headers);
    processed
}

fn checked(registry: &mut Registry, call: &Call, site: &Site) -> Processed {
    if !exists(call.endpoint, registry.settings.version) {
        return Answer::no_route().into();
    }
    if call.graphql.is_some() && !registry.settings.graphql {
        return Answer::no_route().into();
    }
    if let Some(answer) = maintenance::refusal(registry, call) {
        return answer.into();
    }
    let caller = match auth::authenticate(registry, call) {
        Ok(caller) => caller,
        Err(_) if call.graphql.is_some() => return graphql::invalid_token().into(),
        Err(answer) => return answer.into(),
    };
    if let Some(answer) = auth::enforced(registry, call, &caller) {
        return answer.into();
    }
    if let Some(request) = &call.graphql {
        return graphql::answer(registry, request, &caller, call.listed_tags).into();
    }
    let answer = match call.endpoint {
        Endpoint::GetProject => projects::get(registry, call, &caller, site),
        Endpoint::ListTagRules => projects::tag_rules(registry, call, &caller, site),
        Endpoint::ListProjectRepositories => repositories::list_of_project(registry, call, &caller, site),
        Endpoint::ListGroupRepositories => repositories::list_of_group(registry, call, &caller, site),
        Endpoint::GetRepository => repositories::get(registry, call, &caller, site),
        Endpoint::DeleteRepository => repositories::delete(registry, call, &caller, site),
        Endpoint::ListTags => tags::list(registry, call, &caller, site),
        Endpoint::GetTag => tags::get(registry, call, &caller, site),
        Endpoint::DeleteTag => tags::delete(registry, call, &caller, site),
        Endpoint::BulkDeleteTags => return tags::delete_in_bulk(registry, call, &caller, site),
        Endpoint::Version => meta::version(registry, &caller),
        Endpoint::TokenSelf => meta::token_self(registry, call),
        Endpoint::Other | Endpoint::GraphqlQuery | Endpoint::GraphqlMutation => Err(Answer::no_route()),
    };
    answer.unwrap_or_else(|refused| refused).into()
}

/// Whether a release has the route (gitlab-api reference 3 and 8b).
fn exists(endpoint: Endpoint, version: Version) -> bool {
    match endpoint {
        Endpoint::ListGroupRepositories => version >= Version::new(12, 2),
        Endpoint::GetRepository => version >= Version::new(13, 6),
        Endpoint::TokenSelf => version >= Version::new(15, 5),
        Endpoint::ListTagRules => version >= Version::new(18, 7),
        Endpoint::GraphqlQuery | Endpoint::GraphqlMutation => version >= Version::new(12, 1),
        Endpoint::Other => false,
        _ => version >= Version::new(11, 8),
    }
}

/// The project of the path, if the caller may know of it.
fn visible_project(registry: &Registry, call: &Call, caller: &Caller, site: &Site) -> Result<Project, Answer> {
    let missing = || Answer::not_found_of("Project");
    let id = &call.namespace;
    let current = match id.parse::<u64>() {
        Ok(number) => registry.find_project(number),
        Err(_) => registry.project_by_path(id),
    };
    let moved = current.is_none();
    let project = current.or_else(|| registry.project_moved_from(id)).ok_or_else(missing)?;
    if caller.job_project.is_some_and(|own| own != project.id) {
        return Err(Answer::message(
            403,
            "403 Forbidden - This project's CI/CD job token cannot be used to authenticate with the container registry \
             of a different project.",
        ));
    }
    if !registry.may(caller.user, Ability::See, project) {
        return Err(missing());
    }
    if moved {
        return Err(moved_answer(call, project, site));
    }
    Ok(project.clone())
}

/// Step 3: the project of the path, visible and with a readable registry.
fn readable_project(registry: &Registry, call: &Call, caller: &Caller, site: &Site) -> Result<Project, Answer> {
    let project = visible_project(registry, call, caller, site)?;
    if registry.may(caller.user, Ability::Read, &project) { Ok(project) } else { Err(Answer::forbidden()) }
}

/// An old path: GET is redirected to the numeric id, anything else refused (gitlab-api reference 1.4).
fn moved_answer(call: &Call, project: &Project, site: &Site) -> Answer {
    if !call.get {
        return Answer::message(405, "Non GET methods are not allowed for moved projects");
    }
    // The namespace is the fourth segment: "", "api", "v4", "projects", id.
    let mut segments: Vec<String> = call.path.split('/').map(str::to_owned).collect();
    if let Some(segment) = segments.get_mut(4) {
        *segment = project.id.to_string();
    }
    let params: Vec<(String, String)> = call
        .params
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect();
    let query = if params.is_empty() { String::new() } else { format!("?{}", pagination::query(&params)) };
    let location = format!("{}{query}", site.address(&segments.join("/")));
    Answer::message(301, "301 Moved Permanently").header("location", location)
}

/// Step 5: the repository of the path, if it belongs to the project.
fn repository_of(registry: &Registry, call: &Call, project: &Project) -> Result<u64, Answer> {
    let found = call.repository_id().and_then(|id| registry.find_repository(id));
    found.filter(|found| found.project == project.id).map(|found| found.id).ok_or_else(Answer::not_found)
}

/// The check of `repository_id` among the parameters.
fn check_repository_id(params: &mut params::Params<'_>, call: &Call) {
    if call.repository.parse::<i64>().is_err() {
        params.problem("repository_id is invalid");
    }
}
