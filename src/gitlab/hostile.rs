//! What the readers of GitLab's answers must hold to, whatever answers. Fuzzing looks for an answer that breaks it, and
//! a test replays what is kept in `fuzz/corpus`.
//!
//! Each function panics where a reader does not hold. None of them is in the program.

use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LINK};

use super::documents::{Parted, is_too_complex, parted};
use super::error::{Error, Operation};
use super::graphql_named::named;
use super::graphql_removals::removed;
use super::graphql_responses::{failure, failure_of_large, images, page};
use super::pagination::{KEYSET_PAGE, Keyset, OFFSET_PAGE, Offset};
use super::rate_limit_headers::Hints;
use super::responses::{
    ContentsAnswer, RepositoryAnswer, TagAnswer, TagDetailsAnswer, accept, read, refusal, unfulfilled, yes,
};
use super::transport::Answer;
use super::types::{Namespace, Project};

/// The statuses that the first byte of the data chooses among.
const STATUSES: [u16; 12] = [200, 202, 204, 301, 400, 401, 403, 404, 405, 429, 500, 503];
/// The names that were asked for.
const ASKED: [&str; 2] = ["v1", "v2"];
/// Longest text of an error, in bytes.
const LONGEST: usize = 600;

/// An answer: a byte for its status, then the body.
fn answer(data: &[u8]) -> Option<Answer> {
    let (first, body) = data.split_first()?;
    let status = StatusCode::from_u16(*STATUSES.get(usize::from(*first) % STATUSES.len())?).ok()?;
    let (headers, at) = (HeaderMap::new(), Timestamp::UNIX_EPOCH);
    let hints = Hints::read(status, &headers, at);
    Some(Answer { status, headers, body: body.to_vec(), hints, at, took: std::time::Duration::ZERO })
}

/// An error ends up in statuses and logs: it is short, on one line, and of plain characters.
fn told<T>(result: Result<T, Error>) -> Option<T> {
    result.inspect_err(plain).ok()
}

fn plain(error: &Error) {
    let text = error.to_string();
    assert!(text.len() <= LONGEST && !text.contains(|c: char| c.is_control()), "{text:?}");
}

/// Bodies of the REST API.
///
/// # Panics
/// Where a reader takes what it must not, or tells too much.
pub fn rest(data: &[u8]) {
    let Some(answer) = answer(data) else { return };
    let operation = Operation::ListRepositories;
    let namespace = Namespace::Project(Project::Path("shop/backend".to_owned()));
    if let Some(repositories) = told(read::<Vec<RepositoryAnswer>>(operation, &answer)) {
        for repository in told(accept(operation, &namespace, repositories)).into_iter().flatten() {
            let path = &repository.path;
            assert!(path == "shop/backend" || path.starts_with("shop/backend/"), "{path:?} is elsewhere");
        }
    }
    let _ = told(read::<Vec<TagAnswer>>(Operation::ListTags, &answer));
    if let Some(details) = told(read::<TagDetailsAnswer>(Operation::ReadTag, &answer)).and_then(|it| it.accept("v1")) {
        assert_eq!(&*details.name, "v1");
    }
    let _ = told(read::<ContentsAnswer>(Operation::CountTags, &answer)).and_then(|contents| contents.accept(7));
    plain(&refusal(operation, &answer));
    plain(&unfulfilled(Operation::RequestBulkDelete, &answer));
    if told(yes(Operation::RequestBulkDelete, &answer, 202)).is_some() {
        assert_eq!(answer.status.as_u16(), 202);
    }
}

/// Bodies of GraphQL.
///
/// # Panics
/// Where a reader takes what it must not, or tells too much.
pub fn graphql(data: &[u8]) {
    let Some(answer) = answer(data) else { return };
    let _ = (failure(&answer), failure_of_large(&answer));
    if let Some(Some(page)) = told(page(Operation::ReadTags, &answer, Some("c"))) {
        assert!(page.tags.len() <= 20 && page.next.as_deref() != Some("c"));
    }
    let _ = told(images(Operation::ReadTags, &answer, None));
    let _ = told(named(Operation::ReadTags, &answer, &ASKED));
    if let Some(gone) = told(removed(Operation::RemoveTags, &answer, &ASKED)) {
        assert!(answer.status.is_success() && gone.iter().all(|name| ASKED.contains(&&**name)));
    }
    let parts = parted(Parted::Removals, &answer, 3);
    assert_eq!(parts.len(), 3);
    for part in &parts {
        let Some(gone) = told(removed(Operation::RemoveTags, part, &ASKED)) else { continue };
        assert!(answer.status.is_success() && gone.iter().all(|name| ASKED.contains(&&**name)));
        assert!(!is_too_complex(&answer), "a document was refused and carried out");
    }
}

/// Headers of paging, a line each: `link` without a name in front, others as `name: value`.
///
/// # Panics
/// Where a list could go round for ever.
pub fn link(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        let colon = line.iter().position(|byte| *byte == b':').filter(|_| line.starts_with(b"x-"));
        let (name, value) = match colon.and_then(|at| line.split_at_checked(at)) {
            Some((name, value)) => (HeaderName::from_bytes(name).ok(), value.get(1..).unwrap_or_default()),
            None => (Some(LINK), line),
        };
        if let (Some(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    let mut keyset = Keyset::default();
    let first = keyset.read(&headers, KEYSET_PAGE);
    if let Ok(Some(cursor)) = &first {
        assert!(!cursor.is_empty());
        assert!(keyset.read(&headers, KEYSET_PAGE).is_err(), "the same cursor again");
    }
    let mut offset = Offset::new();
    while let Some(asked) = offset.next_page() {
        if offset.read(&headers, OFFSET_PAGE).is_err() {
            break;
        }
        assert!(offset.next_page().is_none_or(|next| next == asked + 1));
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("rest", rest)]
    #[case("graphql", graphql)]
    #[case("link", link)]
    fn what_fuzzing_kept_is_held_to(#[case] target: &str, #[case] hold: fn(&[u8])) {
        let folder = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(files.len() >= 5, "{folder} has too little in it");
        for file in files {
            hold(&std::fs::read(file).unwrap());
        }
    }
}
