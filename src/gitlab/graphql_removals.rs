//! What GraphQL's answers to removals of tags mean. Pure.

use serde::Deserialize;

use super::documents::{Parted, parted};
use super::error::{Error, ErrorKind, Foreign, Operation};
use super::graphql_responses::{Envelope, GraphqlFault, is_elsewhere};
use super::responses::{invalid, maintenance, unfulfilled, yes};
use super::transport::Answer;

/// What became of one part of a request: the names that GitLab says are gone.
pub type RemovedPart = Result<Vec<Box<str>>, Error>;

/// The data of the mutation.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RemovalAnswer {
    destroy_container_repository_tags: Option<Removal>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Removal {
    deleted_tag_names: Option<Vec<Box<str>>>,
    #[serde(default)]
    errors: Option<Vec<String>>,
}

/// Reads which of the tags that were asked for are gone.
pub(super) fn removed(operation: Operation, answer: &Answer, asked: &[&str]) -> Result<Vec<Box<str>>, Error> {
    let unsupported = || Error::new(operation, ErrorKind::Unsupported { what: "removing several tags by GraphQL" });
    let lost = || Error::new(operation, ErrorKind::AnswerLost);
    let foreign = |what| Error::new(operation, ErrorKind::ForeignAnswer(what));
    match answer.status.as_u16() {
        200..=299 => yes(operation, answer, 200)?,
        _ if is_elsewhere(answer) && !answer.status.is_success() => return Err(unsupported()),
        _ => return Err(unfulfilled(operation, answer)),
    }
    let envelope = Envelope::of(answer).ok_or_else(|| foreign(Foreign::Untold))?;
    match envelope.trouble() {
        Some(GraphqlFault::Unknown(_) | GraphqlFault::Missing) => return Err(unsupported()),
        // GitLab behaviour: checked before anything is done.
        Some(GraphqlFault::Hidden) => return Err(Error::new(operation, ErrorKind::NotFound)),
        Some(GraphqlFault::Maintenance) => return Err(Error::new(operation, maintenance(answer))),
        Some(GraphqlFault::Registry | GraphqlFault::Timeout | GraphqlFault::Other) => return Err(lost()),
        None => {}
    }
    let untold = || foreign(Foreign::Untold);
    let data: RemovalAnswer = serde_json::from_value(envelope.data.unwrap_or_default()).map_err(|_| untold())?;
    let removal = data.destroy_container_repository_tags.ok_or_else(untold)?;
    let refusals = removal.errors.unwrap_or_default();
    // GitLab behaviour: a list without names where it removed none; nothing only beside an error.
    let gone = match removal.deleted_tag_names {
        None if refusals.is_empty() => return Err(untold()),
        names => names.unwrap_or_default(),
    };
    if !gone.iter().all(|name| asked.contains(&&**name)) {
        return Err(invalid(operation, "it names a tag that was not asked for"));
    }
    let complete = asked.iter().all(|name| gone.iter().any(|gone| &**gone == *name));
    if complete || refusals.iter().all(|text| text.contains("protected")) {
        return Ok(gone);
    }
    Err(Error::new(operation, unfinished(&refusals, gone.is_empty())))
}

/// The same for each part of a document.
pub(super) fn removed_together(operation: Operation, answer: &Answer, asked: &[&[&str]]) -> Vec<RemovedPart> {
    if let [names] = asked {
        return vec![removed(operation, answer, names)];
    }
    let told = parted(Parted::Removals, answer, asked.len());
    asked.iter().zip(&told).map(|(names, answer)| removed(operation, answer, names)).collect()
}

/// What the mutation's own errors mean.
///
/// GitLab behaviour: "access denied" before anything is done; "could not delete tags: …" when the registry refused each
/// of them; "error while deleting tags" when the registry stopped answering, which leaves some removed and some not.
fn unfinished(texts: &[String], nothing_gone: bool) -> ErrorKind {
    let all = |known: &str| nothing_gone && texts.iter().all(|text| text.starts_with(known));
    if all("access denied") {
        ErrorKind::Forbidden
    } else if all("could not delete tags") {
        ErrorKind::Registry
    } else {
        ErrorKind::AnswerLost
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::super::graphql_responses::tests::answer;
    use super::*;

    fn removal(gone: &Value, errors: &Value) -> Result<Vec<Box<str>>, ErrorKind> {
        let payload = json!({ "deletedTagNames": gone, "errors": errors });
        let answer = answer(200, &json!({ "data": { "destroyContainerRepositoryTags": payload } }).to_string());
        removed(Operation::RemoveTags, &answer, &["a", "b"]).map_err(|error| error.kind().clone())
    }

    #[rstest]
    #[case::all(json!(["b", "a"]), json!([]), Ok(vec!["b", "a"]))]
    #[case::all_whatever_the_errors(json!(["b", "a"]), json!(["error while deleting tags"]), Ok(vec!["b", "a"]))]
    #[case::a_part_without_a_word(json!(["a"]), json!([]), Ok(vec!["a"]))]
    #[case::none_without_a_word(json!([]), json!(null), Ok(vec![]))]
    #[case::nothing_without_a_word(json!(null), json!(null), Err(ErrorKind::ForeignAnswer(Foreign::Untold)))]
    #[case::nothing_beside_no_errors(json!(null), json!([]), Err(ErrorKind::ForeignAnswer(Foreign::Untold)))]
    #[case::nothing_beside_an_error(json!(null), json!(["access denied"]), Err(ErrorKind::Forbidden))]
    #[case::protected(json!([]), json!(["cannot delete protected tag(s)"]), Ok(vec![]))]
    #[case::not_allowed(json!([]), json!(["access denied"]), Err(ErrorKind::Forbidden))]
    #[case::refused_by_the_registry(json!([]), json!(["could not delete tags: a, b"]), Err(ErrorKind::Registry))]
    #[case::ended_in_the_middle(json!(["a"]), json!(["error while deleting tags"]), Err(ErrorKind::AnswerLost))]
    #[case::ended_at_once(json!([]), json!(["error while deleting tags"]), Err(ErrorKind::AnswerLost))]
    #[case::errors_of_later_versions(json!([]), json!(["no"]), Err(ErrorKind::AnswerLost))]
    #[case::another_tag(
        json!(["c"]),
        json!([]),
        Err(ErrorKind::InvalidAnswer { what: "it names a tag that was not asked for" }),
    )]
    fn what_is_gone_is_what_gitlab_says(
        #[case] gone: Value,
        #[case] errors: Value,
        #[case] expected: Result<Vec<&str>, ErrorKind>,
    ) {
        let expected = expected.map(|names| names.into_iter().map(Box::from).collect());
        assert_eq!(removal(&gone, &errors), expected);
    }

    #[rstest]
    #[case::nothing(200, "")]
    #[case::a_proxy(204, "")]
    #[case::an_object_of_others(200, r#"{"ok":true}"#)]
    #[case::cut_off(200, r#"{"data":{"destroyContainerRepositoryTags":{"deletedTagNames":["a"#)]
    #[case::a_page_for_people(200, "<html>")]
    #[case::no_payload(200, r#"{"data":{"destroyContainerRepositoryTags":null}}"#)]
    #[case::an_unknown_error(200, r#"{"errors":[{"message":"Internal server error"}]}"#)]
    #[case::a_registry_error(200, r#"{"errors":[{"message":"Can't connect to the container registry."}]}"#)]
    #[case::a_gateway(502, "")]
    #[case::a_redirect(303, "")]
    #[case::a_time_out(408, "")]
    fn an_answer_to_a_removal_that_tells_nothing_is_lost(#[case] status: u16, #[case] body: &str) {
        assert!(removed(Operation::RemoveTags, &answer(status, body), &["a"]).unwrap_err().is_answer_lost());
    }
}
