//! The rules by which a project protects tags from being removed, as far as GitLab tells them: by GraphQL (17.8), or by
//! the REST API (18.7) where there is no GraphQL.
//!
//! GitLab behaviour: a project has at most five, and they are for Maintainers to see. GraphQL shows others an empty
//! list without an error (`authorize :admin_container_image` of each rule), so an empty list is only believed together
//! with the role; the REST API refuses them, and leaves immutable rules out (`.mutable`).

use std::sync::Arc;

use serde::Deserialize;

use super::client::{Client, OBJECT_LIMIT, project_segment};
use super::error::{Class, Error, Operation};
use super::graphql;
use super::graphql_responses::{self, GraphqlFault, envelope, is_elsewhere};
use super::lenient::lenient;
use super::protection::{AccessLevel, TagRule, TagRules};
use super::responses::{invalid, read};
use super::transport::Answer;
use super::types::Repository;

const OPERATION: Operation = Operation::ReadTagRules;

impl Client {
    /// The rules that protect the tags of a repository's project; `None` where they are not known. Asked for once in
    /// the life of a connection.
    ///
    /// # Errors
    ///
    /// What concerns more than this question: [`ErrorKind::Unauthorized`](super::ErrorKind::Unauthorized), or a gate
    /// that closes.
    pub async fn tag_rules(&self, repository: &Repository) -> Result<Option<Arc<TagRules>>, Error> {
        let told = self.http.tag_rules.of(repository.project_path());
        let ask = async || match self.ask_for_rules(repository).await {
            Ok(rules) => Ok(rules.map(Arc::new)),
            Err(error)
                if matches!(error.class(), Class::Target | Class::Other | Class::Transient | Class::Throttled) =>
            {
                tracing::debug!(project = repository.project_path(), %error, "the tag protection rules are not known");
                Ok(None)
            }
            Err(error) => Err(error),
        };
        told.get_or_try_init(ask).await.cloned()
    }

    /// The role of the token in a repository's project, where GraphQL tells it (`maxAccessLevel`, as older
    /// versions do not); `None` where nothing is told.
    ///
    /// # Errors
    ///
    /// As [`Client::tag_rules`], and what a request for a page of tags fails with.
    pub async fn access_level(&self, repository: &Repository) -> Result<Option<AccessLevel>, Error> {
        if !self.capabilities(repository.id).await?.graphql {
            return Ok(None);
        }
        let body = graphql::access_level_body(repository.project_path());
        let answer = self.ask(OPERATION, body, graphql_responses::failure).await?;
        if is_elsewhere(&answer) {
            return Ok(None);
        }
        let data: Option<Data> = envelope(OPERATION, &answer)?.data.and_then(|data| serde_json::from_value(data).ok());
        let level = data.and_then(|data| data.project?.max_access_level);
        Ok(level.map(|level| AccessLevel::of(level.integer_value)))
    }

    async fn ask_for_rules(&self, repository: &Repository) -> Result<Option<TagRules>, Error> {
        if self.capabilities(repository.id).await?.graphql {
            let body = graphql::tag_rules_body(repository.project_path());
            let answer = self.ask(OPERATION, body, graphql_responses::failure).await?;
            if let ByGraphql::Told(rules) = by_graphql(&answer)? {
                return Ok(rules);
            }
        }
        let project = project_segment(OPERATION, &repository.reference().project)?;
        let url = self.url(&["projects", &project, "registry", "protection", "tag", "rules"]);
        by_rest(&self.get(OPERATION, url, OBJECT_LIMIT).await?).map(Some)
    }
}

/// What GraphQL says.
#[derive(Debug, Eq, PartialEq)]
enum ByGraphql {
    /// The rules, if it is certain that these are all.
    Told(Option<TagRules>),
    /// Nothing of the project: the REST API may.
    Hidden,
}

#[derive(Deserialize)]
struct Data {
    project: Option<ProjectShape>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProjectShape {
    #[serde(default, deserialize_with = "lenient")]
    max_access_level: Option<LevelShape>,
    #[serde(default, deserialize_with = "lenient")]
    container_protection_tag_rules: Option<RulesShape>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LevelShape {
    integer_value: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RulesShape {
    nodes: Vec<RuleShape>,
    page_info: PageInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
}

/// A rule as GraphQL or the REST API writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuleShape {
    #[serde(alias = "tag_name_pattern")]
    tag_name_pattern: String,
    #[serde(alias = "minimum_access_level_for_delete")]
    minimum_access_level_for_delete: Option<String>,
}

impl From<RuleShape> for TagRule {
    fn from(shape: RuleShape) -> Self {
        let delete_level = shape.minimum_access_level_for_delete.as_deref().map(AccessLevel::read);
        Self { pattern: shape.tag_name_pattern, delete_level }
    }
}

fn by_graphql(answer: &Answer) -> Result<ByGraphql, Error> {
    if is_elsewhere(answer) {
        return Ok(ByGraphql::Hidden);
    }
    let envelope = envelope(OPERATION, answer)?;
    match envelope.trouble() {
        // A server that knows no rules has none.
        Some(GraphqlFault::Missing | GraphqlFault::Unknown(_)) => {
            let none = TagRules { rules: Vec::new(), level: AccessLevel::MAINTAINER, immutable_told: true };
            return Ok(ByGraphql::Told(Some(none)));
        }
        Some(GraphqlFault::Hidden) => return Ok(ByGraphql::Hidden),
        Some(_) => return Err(invalid(OPERATION, "its errors are unknown")),
        None => {}
    }
    let data: Data = serde_json::from_value(envelope.data.unwrap_or_default())
        .map_err(|_| invalid(OPERATION, "it is not the expected JSON"))?;
    let Some(project) = data.project else { return Ok(ByGraphql::Hidden) };
    let Some(RulesShape { nodes, page_info: PageInfo { has_next_page: false } }) =
        project.container_protection_tag_rules
    else {
        return Ok(ByGraphql::Told(None));
    };
    let told = project.max_access_level.map(|level| AccessLevel::of(level.integer_value));
    // Whoever sees one may see all. An administrator need not be a member.
    let sees_all = !nodes.is_empty() || told >= Some(AccessLevel::MAINTAINER);
    let level = told.unwrap_or(AccessLevel::MAINTAINER).max(AccessLevel::MAINTAINER);
    let rules = nodes.into_iter().map(TagRule::from).collect();
    Ok(ByGraphql::Told(sees_all.then_some(TagRules { rules, level, immutable_told: true })))
}

fn by_rest(answer: &Answer) -> Result<TagRules, Error> {
    let rules: Vec<RuleShape> = read(OPERATION, answer)?;
    let rules = rules.into_iter().map(TagRule::from).collect();
    Ok(TagRules { rules, level: AccessLevel::MAINTAINER, immutable_told: false })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::super::graphql_responses::tests::answer;
    use super::*;

    fn project(level: u64, nodes: &Value, more: bool) -> Value {
        json!({"data": {"project": {
            "maxAccessLevel": {"integerValue": level},
            "containerProtectionTagRules": {"nodes": nodes, "pageInfo": {"hasNextPage": more}},
        }}})
    }

    fn rule(pattern: &str, level: Option<&str>) -> Value {
        json!({"tagNamePattern": pattern, "minimumAccessLevelForDelete": level})
    }

    fn told(body: &Value) -> ByGraphql {
        by_graphql(&answer(200, &body.to_string())).unwrap()
    }

    fn effective(told: ByGraphql) -> Option<Vec<String>> {
        let ByGraphql::Told(rules) = told else { panic!("nothing is told of the project") };
        rules.map(|rules| rules.effective().map(str::to_owned).collect())
    }

    #[rstest]
    #[case::of_a_maintainer(40, &["b", "c", "d", "e"])]
    #[case::of_an_owner(50, &["c", "d", "e"])]
    #[case::of_somebody_who_is_no_member_and_sees_them(0, &["b", "c", "d", "e"])]
    fn rules_are_effective_below_their_role(#[case] level: u64, #[case] expected: &[&str]) {
        let nodes = json!([
            rule("a", Some("MAINTAINER")),
            rule("b", Some("OWNER")),
            rule("c", Some("ADMIN")),
            rule("d", None),
            rule("e", Some("NEW")),
        ]);
        assert_eq!(effective(told(&project(level, &nodes, false))).unwrap(), expected);
    }

    #[rstest]
    #[case::to_a_maintainer(&project(40, &json!([]), false), Some(0))]
    #[case::to_a_developer(&project(30, &json!([]), false), None)]
    #[case::to_somebody_without_a_role(
        &json!({"data": {"project": {"containerProtectionTagRules": {"nodes": [], "pageInfo": {"hasNextPage": false}}}}}),
        None
    )]
    #[case::not_all_of_them(&project(40, &json!([rule("a", None)]), true), None)]
    #[case::nothing(&json!({"data": {"project": {"maxAccessLevel": {"integerValue": 40}, "containerProtectionTagRules": null}}}), None)]
    #[case::one_that_is_hidden(&project(40, &json!([null]), false), None)]
    #[case::by_a_server_that_knows_none(
        &json!({"errors": [{"message": "Field 'containerProtectionTagRules' doesn't exist on type 'Project'"}]}),
        Some(0)
    )]
    fn an_empty_list_is_believed_only_where_it_must_be_all(#[case] body: &Value, #[case] rules: Option<usize>) {
        assert_eq!(effective(told(body)).map(|rules| rules.len()), rules);
    }

    #[test]
    fn a_project_that_graphql_hides_is_asked_for_by_rest() {
        let hidden = "The resource that you are attempting to access does not exist or you don't have permission to perform this action";
        for body in
            [json!({"data": {"project": null}}), json!({"data": {"project": null}, "errors": [{"message": hidden}]})]
        {
            assert_eq!(told(&body), ByGraphql::Hidden);
        }
        assert_eq!(by_graphql(&answer(404, "")).unwrap(), ByGraphql::Hidden);
    }

    #[test]
    fn the_rest_api_tells_no_immutable_rules() {
        let body = json!([{"tag_name_pattern": "^v", "minimum_access_level_for_delete": "owner"}]);
        let rules = by_rest(&answer(200, &body.to_string())).unwrap();
        assert_eq!((rules.effective().collect::<Vec<_>>(), rules.immutable_told), (vec!["^v"], false));
        assert!(by_rest(&answer(403, "")).is_err() && by_rest(&answer(404, "")).is_err());
    }
}
