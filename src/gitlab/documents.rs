//! GraphQL: documents of several parts, and their answers taken apart.
//!
//! Pure. What a run costs is counted in requests, and one document may hold many fields under names of their own. So
//! pages of several repositories go into one query, and removals of several times 20 tags, of one repository or
//! several, into one mutation:
//!
//! ```text
//! [page, page, …]      → pages_body    → one request → parted → [Answer, Answer, …] → graphql_responses::page
//! [20 names, 20 names] → removals_body → one request → parted → [Answer, Answer, …] → graphql_removals::removed
//! ```
//!
//! Every part stands for itself. [`parted`] makes of the answer to a document the answers that its parts would have had
//! alone, by the path of each error; they are then read by the same functions as ever. So nothing that is believed of
//! an answer depends on how many parts its document had. An error that names no part is an error of each.
//!
//! GitLab behaviour: a document may have 10,000 characters, of which variables are none, and 250 points for all its
//! parts together ([limits](https://docs.gitlab.com/api/graphql/#limits)); beyond that it does nothing with it. Fields
//! of a mutation are carried out in the order in which they stand. It has 30 s; what is not told by then is null, each
//! for itself, with an error. The time is looked at before each field, also those of an answer to a removal: one that
//! is null may have been carried out.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::graphql::{MOST_NAMES, NamesOf, Page, Parts, body, global_id, page_fields, page_points};
use super::transport::Answer;

/// Points that a document asks for at most, of GitLab's 250: its formula differs a little from release to release.
const MOST_POINTS: usize = 230;

/// What kind of parts a document has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parted {
    Pages,
    Removals,
}

impl Parted {
    /// The field that each part is.
    const fn field(self) -> &'static str {
        match self {
            Self::Pages => "containerRepository",
            Self::Removals => "destroyContainerRepositoryTags",
        }
    }
}

/// What a part is called, by its position.
fn alias(position: usize) -> String {
    format!("p{position}")
}

/// How many pages one document may have, at least one.
pub(super) fn most_pages(parts: Parts) -> usize {
    (MOST_POINTS / page_points(parts)).max(1)
}

/// The request for several pages; `None` when the server does not know one of the orders.
pub(super) fn pages_body(parts: Parts, pages: &[Page]) -> Option<Vec<u8>> {
    let (mut declared, mut asked, mut variables) = (Vec::new(), Vec::new(), BTreeMap::new());
    for (position, page) in pages.iter().enumerate() {
        let fields = page_fields(parts, page, &format!("a{position}"))?;
        declared.push(format!("$i{position}: ContainerRepositoryID!, $a{position}: String"));
        asked.push(format!(" {}: containerRepository(id: $i{position}) {{ {fields} }}", alias(position)));
        variables.insert(format!("i{position}"), Some(global_id(page.repository)));
        variables.insert(format!("a{position}"), page.after.clone());
    }
    body(&format!("query tags({}) {{{} }}", declared.join(", "), asked.concat()), variables)
}

/// The request for the last pushes to several repositories.
pub(super) fn last_pushes_body(repositories: &[u64]) -> Option<Vec<u8>> {
    let (mut declared, mut asked, mut variables) = (Vec::new(), Vec::new(), BTreeMap::new());
    for (position, repository) in repositories.iter().enumerate() {
        declared.push(format!("$i{position}: ContainerRepositoryID!"));
        asked.push(format!(" {}: containerRepository(id: $i{position}) {{ lastPublishedAt }}", alias(position)));
        variables.insert(format!("i{position}"), json!(global_id(*repository)));
    }
    body(&format!("query pushes({}) {{{} }}", declared.join(", "), asked.concat()), variables)
}

/// The request that removes tags of some repositories, 20 a part, in the order of their names.
pub(super) fn removals_body(wanted: &[NamesOf<'_>]) -> Option<Vec<u8>> {
    let (mut declared, mut asked, mut variables) = (Vec::new(), Vec::new(), BTreeMap::new());
    let wanted = wanted.iter().filter(|of| !of.names.is_empty());
    for (number, NamesOf { repository, names }) in wanted.enumerate() {
        declared.push(format!("$i{number}: ContainerRepositoryID!"));
        variables.insert(format!("i{number}"), json!(global_id(*repository)));
        for names in names.chunks(MOST_NAMES) {
            let position = asked.len();
            let alias = alias(position);
            declared.push(format!("$n{position}: [String!]!"));
            asked.push(format!(
                " {alias}: destroyContainerRepositoryTags(input: {{ id: $i{number}, tagNames: $n{position} }}) {{ \
                 deletedTagNames errors }}"
            ));
            variables.insert(format!("n{position}"), json!(names));
        }
    }
    body(&format!("mutation remove({}) {{{} }}", declared.join(", "), asked.concat()), variables)
}

/// Whether GitLab did nothing with a document, because it has too many points or characters.
pub(super) fn is_too_complex(answer: &Answer) -> bool {
    let Ok(Value::Object(envelope)) = serde_json::from_slice(&answer.body) else { return false };
    let refused = |error: &Value| {
        let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
        message == "Query too large"
            || (message.starts_with("Query has complexity of ") && message.contains("exceeds max complexity"))
    };
    let mut errors = envelope.get("errors").and_then(Value::as_array).into_iter().flatten().peekable();
    // Where there is data, something was done.
    envelope.get("data").is_none_or(Value::is_null) && errors.peek().is_some() && errors.all(refused)
}

/// The answers that the parts of a document would have had alone, in their order.
///
/// What is no answer of GraphQL with data is the answer of each.
pub(super) fn parted(kind: Parted, answer: &Answer, parts: usize) -> Vec<Answer> {
    let envelope = match serde_json::from_slice(&answer.body) {
        Ok(Value::Object(envelope)) if answer.status.is_success() => envelope,
        _ => return vec![answer.clone(); parts],
    };
    let Some(Value::Object(data)) = envelope.get("data") else { return vec![answer.clone(); parts] };
    let errors = match envelope.get("errors") {
        None | Some(Value::Null) => &[],
        Some(Value::Array(errors)) => errors.as_slice(),
        // Nobody knows whose error it is.
        Some(_) => return vec![answer.clone(); parts],
    };
    (0..parts).map(|position| Answer { body: alone(kind, data, errors, parts, position), ..answer.clone() }).collect()
}

/// The body that one part would have had alone.
fn alone(kind: Parted, data: &Map<String, Value>, errors: &[Value], parts: usize, position: usize) -> Vec<u8> {
    // A part that is not mentioned is not answered.
    let Some(told) = data.get(&alias(position)) else { return Vec::new() };
    let own: Vec<&Value> =
        errors.iter().filter(|error| part_of(error, parts).is_none_or(|of| of == position)).collect();
    let mut body = Map::from_iter([("data".to_owned(), json!({ kind.field(): told }))]);
    if !own.is_empty() {
        body.insert("errors".to_owned(), json!(own));
    }
    serde_json::to_vec(&body).unwrap_or_default()
}

/// The part that an error is about; `None` where it does not say, and where it names something else.
fn part_of(error: &Value, parts: usize) -> Option<usize> {
    let named = error.get("path")?.get(0)?.as_str()?;
    (0..parts).find(|position| alias(*position) == named)
}

#[cfg(test)]
mod tests;
