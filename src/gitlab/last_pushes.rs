//! Asks when repositories were last pushed to, many in one request.
//!
//! GitLab behaviour: only the details of a repository tell, `containerRepository(id:)`, with a metadata database and
//! from 17.2 on ([`lastPublishedAt`](https://docs.gitlab.com/api/graphql/reference/#containerrepositorydetails)). It is
//! null where that is not known. Each costs GitLab a question to its registry, so documents follow the time of the
//! answers.

use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;

use super::client::{Client, OBJECT_LIMIT};
use super::document_size::Seen;
use super::documents::{self, Parted};
use super::error::{Error, ErrorKind, Operation, Unreached};
use super::graphql_responses::of_repository;
use super::retry::{Failure, Repeat};
use super::transport::{Answer, Request, by_status};

const OPERATION: Operation = Operation::ReadTags;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    last_published_at: Option<Timestamp>,
}

/// What came of one document.
enum Told {
    /// The last pushes, as far as they are known.
    Dates(Vec<Option<Timestamp>>),
    /// Nobody knows, and further ones would not either.
    NotToBeHad,
}

/// What the answer to a document says: the last pushes, and whether some were not told in time; or nothing where GitLab
/// does not know the field.
fn read(answer: &Answer, repositories: usize) -> Option<(Vec<Option<Timestamp>>, bool)> {
    let (mut dates, mut late) = (Vec::new(), false);
    for part in documents::parted(Parted::Pages, answer, repositories) {
        dates.push(match of_repository::<Details>(OPERATION, &part) {
            Ok(details) => details?.last_published_at,
            Err(error) => {
                late |= error.is_too_much();
                None
            }
        });
    }
    Some((dates, late))
}

/// Only what says that it was not begun with is sent again as it is.
fn failure_of_document(answer: &Answer) -> Option<Failure> {
    by_status(answer).filter(|failure| failure.is_throttle())
}

impl Client {
    /// When repositories were last pushed to, in their order. `None` where GitLab does not tell, for whatever reason
    /// that is none to ask it for nothing else; all of them where each request is to have one part.
    ///
    /// # Errors
    /// When nothing may be sent, or GitLab does not take the token, or is not there.
    pub async fn last_pushes(&self, repositories: &[u64]) -> Result<Vec<Option<Timestamp>>, Error> {
        let (mut told, mut rest) = (Vec::new(), repositories);
        while !rest.is_empty() && !self.http.host.sizes().is_off() {
            let items = self.http.host.sizes().pushes().min(rest.len());
            let (some, left) = rest.split_at(items);
            rest = left;
            match self.some_pushes(some).await? {
                Told::Dates(dates) => told.extend(dates),
                Told::NotToBeHad => break,
            }
        }
        told.resize(repositories.len(), None);
        Ok(told)
    }

    async fn some_pushes(&self, repositories: &[u64]) -> Result<Told, Error> {
        let items = repositories.len();
        let Some(body) = documents::last_pushes_body(repositories) else { return Ok(Told::NotToBeHad) };
        let request = Request {
            operation: OPERATION,
            method: Method::POST,
            url: self.graphql_url(OPERATION)?,
            body: Some(body),
            repeat: Repeat::HarmlessInParts,
            limit: OBJECT_LIMIT,
            failure: failure_of_document,
        };
        let note = |seen| self.http.host.sizes().note_pushes(seen);
        let unknown = || Told::Dates(vec![None; items]);
        let answer = match self.http.send(&request).await {
            Ok(answer) => answer,
            Err(error) if error.is_too_much() || matches!(error.kind(), ErrorKind::Unreachable(Unreached::Broken)) => {
                note(Seen::TooMuch { items });
                return Ok(unknown());
            }
            Err(error) => return Err(error),
        };
        if answer.status.is_server_error() {
            note(Seen::TooMuch { items });
            return Ok(unknown());
        }
        if documents::is_too_complex(&answer) {
            note(Seen::Refused { items });
            return Ok(unknown());
        }
        let Some((dates, late)) = read(&answer, items) else { return Ok(Told::NotToBeHad) };
        note(if late { Seen::TooMuch { items } } else { Seen::Answered { items, took: answer.took } });
        Ok(Told::Dates(dates))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::graphql_responses::tests::answer;
    use super::*;

    fn read_body(body: &Value, repositories: usize) -> Option<(Vec<Option<Timestamp>>, bool)> {
        read(&answer(200, &body.to_string()), repositories)
    }

    #[test]
    fn each_repository_has_its_own_date_and_one_that_fails_has_none() {
        let at = "2026-03-01T12:00:00+00:00";
        let told = |date: Value| json!({ "lastPublishedAt": date });
        let data = json!({ "p0": told(json!(at)), "p1": told(Value::Null), "p2": null, "p3": told(json!("soon")) });
        let errors = json!([{ "message": "Timeout on ContainerRepositoryDetails.lastPublishedAt", "path": ["p2"] }]);
        let (dates, late) = read_body(&json!({ "data": data, "errors": errors }), 5).unwrap();
        assert_eq!(dates, [Some(at.parse().unwrap()), None, None, None, None]);
        assert!(late);
        let (dates, late) = read_body(&json!({ "data": { "p0": told(json!(at)) } }), 1).unwrap();
        assert_eq!((dates.len(), late), (1, false));
    }

    #[test]
    fn a_server_that_does_not_know_the_field_is_told_apart_from_one_that_fails() {
        let message = "Field 'lastPublishedAt' doesn't exist on type 'ContainerRepositoryDetails'";
        assert_eq!(read_body(&json!({ "errors": [{ "message": message }] }), 2), None);
        let failed = json!({ "errors": [{ "message": "Internal server error" }] });
        assert_eq!(read_body(&failed, 2), Some((vec![None, None], false)));
    }

    #[test]
    fn sixty_repositories_fit_into_one_document() {
        let ids: Vec<u64> = (0..60).map(|number| 10_000_000_000 + number).collect();
        let body: Value = serde_json::from_slice(&documents::last_pushes_body(&ids).unwrap()).unwrap();
        assert!(body["query"].as_str().unwrap().len() < 10_000);
        assert_eq!(body["variables"]["i59"], json!("gid://gitlab/ContainerRepository/10000000059"));
    }
}
