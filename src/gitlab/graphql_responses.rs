//! GraphQL: what answers mean.
//!
//! Pure. Nearly every answer has status 200, so the errors inside are compared with known texts; nothing of them is
//! kept.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::error::{Error, ErrorKind, Operation};
use super::graphql::{PAGE, Part, Parts};
use super::lenient::lenient;
use super::maintenance::is_maintenance;
use super::pagination::Gap;
use super::responses::{configuration, incomplete, invalid, is_challenge, is_page, maintenance, refusal};
use super::retry::Failure;
use super::transport::{Answer, by_status};
use super::types::{ImagePage, Tag, TagPage, is_tag_name};
use crate::model::Digest;

/// What an answer to a query says that may pass: the registry may be back in a moment, like a server after a 503.
pub(super) fn failure(answer: &Answer) -> Option<Failure> {
    by_status(answer).or_else(|| {
        let trouble = Envelope::of(answer)?.trouble()?;
        (trouble == GraphqlFault::Registry).then_some(Failure::Status { status: 503, retry_after: None })
    })
}

/// The same of an answer to a question that may be asked in smaller parts: what GitLab failed at is not asked again as
/// it is.
pub(super) fn failure_of_large(answer: &Answer) -> Option<Failure> {
    if matches!(answer.status.as_u16(), 500 | 504 | 524) { None } else { failure(answer) }
}

/// An answer's outermost object.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope {
    pub(super) data: Option<Value>,
    errors: Option<Vec<Problem>>,
}

/// One of GraphQL's errors. Only compared with known texts, never shown.
#[derive(Debug, Deserialize)]
struct Problem {
    #[serde(default, deserialize_with = "lenient")]
    message: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    extensions: Option<Extensions>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Extensions {
    #[serde(default, deserialize_with = "lenient")]
    code: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    field_name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    argument_name: Option<String>,
}

/// What errors mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GraphqlFault {
    /// The server knows at most these parts. It has not done anything.
    Unknown(Parts),
    /// The server does not know the rest of the query either. It has not done anything.
    Missing,
    /// It does not exist, or the token may not.
    Hidden,
    /// The registry cannot be reached.
    Registry,
    /// GitLab changes nothing just now. It has not done anything.
    Maintenance,
    /// It was not told within GitLab's own time for an answer.
    Timeout,
    Other,
}

impl Problem {
    fn trouble(&self) -> GraphqlFault {
        let lacking = |part: Option<Part>| {
            part.map_or(GraphqlFault::Missing, |part| GraphqlFault::Unknown(Parts::ALL.without(part)))
        };
        let extensions = self.extensions.as_ref();
        let code = extensions.and_then(|extensions| extensions.code.as_deref());
        let field = extensions.and_then(|extensions| extensions.field_name.as_deref());
        let argument = extensions.and_then(|extensions| extensions.argument_name.as_deref());
        let message = self.message.as_deref().unwrap_or_default();
        match code {
            Some("undefinedField") if field.is_some() => return lacking(field.and_then(Part::of_field)),
            Some("argumentNotAccepted") => return lacking(argument.and_then(of_argument)),
            Some("argumentLiteralsIncompatible") if argument == Some("sort") => return lacking(Some(Part::PushOrder)),
            Some("variableRequiresValidType" | "undefinedType") => return GraphqlFault::Missing,
            _ => {}
        }
        // The same in words, for servers that say no more.
        if let Some((field, rest)) = message.strip_prefix("Field '").and_then(|rest| rest.split_once('\'')) {
            if rest.starts_with(" doesn't exist on type") {
                return lacking(Part::of_field(field));
            }
            if rest.starts_with(" doesn't accept argument") {
                return lacking(rest.split('\'').find_map(of_argument));
            }
        }
        if message.starts_with("Argument 'sort' on Field 'tags' has an invalid value") {
            return lacking(Some(Part::PushOrder));
        }
        if is_maintenance(message) {
            return GraphqlFault::Maintenance;
        }
        let message = message.to_lowercase();
        if message.contains("connect to the container registry") {
            GraphqlFault::Registry
        } else if message.contains("does not exist or you don't have permission") {
            GraphqlFault::Hidden
        } else if message.starts_with("timeout on ") {
            GraphqlFault::Timeout
        } else {
            GraphqlFault::Other
        }
    }
}

/// The part an unknown argument of tags belongs to.
fn of_argument(name: &str) -> Option<Part> {
    match name {
        "sort" => Some(Part::Sort),
        "referrers" => Some(Part::Referrers),
        _ => None,
    }
}

impl Envelope {
    /// `None` for what is no answer of GraphQL.
    pub(super) fn of(answer: &Answer) -> Option<Self> {
        let envelope: Self = serde_json::from_slice(&answer.body).ok()?;
        (answer.status.is_success() && (envelope.data.is_some() || envelope.errors.is_some())).then_some(envelope)
    }

    /// What the errors say together; `None` without any. Only what all of them agree on is believed, except that a
    /// query with something unknown in it is refused as a whole.
    pub(super) fn trouble(&self) -> Option<GraphqlFault> {
        let troubles = self.errors.iter().flatten().map(Problem::trouble);
        troubles.reduce(|one, other| match (one, other) {
            (one, other) if one == other => one,
            (GraphqlFault::Unknown(one), GraphqlFault::Unknown(other)) => GraphqlFault::Unknown(one.both(other)),
            (GraphqlFault::Missing, _) | (_, GraphqlFault::Missing) => GraphqlFault::Missing,
            _ => GraphqlFault::Other,
        })
    }
}

/// Whether the answer comes from something that is not GraphQL: no route, a gateway that does not let it through, or a
/// page for people. GitLab behaviour: what a token may not do is said with 200; 403 is for its scope alone.
pub(super) fn is_elsewhere(answer: &Answer) -> bool {
    let page = || answer.body.trim_ascii_start().starts_with(b"<");
    match answer.status.as_u16() {
        403 => !matches!(
            refusal(Operation::ReadTags, answer).kind(),
            ErrorKind::InsufficientScope | ErrorKind::Maintenance { .. }
        ),
        404 | 405 => true,
        429 => false,
        400..=499 => is_page(answer) || is_challenge(answer),
        200..=299 => page() || is_challenge(answer),
        _ => false,
    }
}

/// What an answer says about the parts that were asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Probed {
    /// The server knows them all.
    Known,
    /// It knows only these of them.
    Less(Parts),
    /// There is no GraphQL that knows container repositories.
    Nothing,
}

/// Reads the answer to `probe_query`. A query that was carried out is known, whatever came of it.
pub(super) fn probed(operation: Operation, answer: &Answer, asked: Parts) -> Result<Probed, Error> {
    if is_elsewhere(answer) {
        return Ok(Probed::Nothing);
    }
    let envelope = envelope(operation, answer)?;
    match envelope.trouble() {
        Some(GraphqlFault::Missing) => Ok(Probed::Nothing),
        // The query was taken.
        Some(GraphqlFault::Timeout) => Ok(Probed::Known),
        Some(GraphqlFault::Unknown(parts)) if asked.both(parts) != asked => Ok(Probed::Less(asked.both(parts))),
        _ if envelope.data.is_some_and(|data| data.is_object()) => Ok(Probed::Known),
        _ => Err(invalid(operation, "its errors are unknown")),
    }
}

pub(super) fn envelope(operation: Operation, answer: &Answer) -> Result<Envelope, Error> {
    if !answer.status.is_success() {
        return Err(refusal(operation, answer));
    }
    Envelope::of(answer).ok_or_else(|| invalid(operation, "it is not the expected JSON"))
}

/// The data of a page.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RepositoryAnswer<T> {
    container_repository: Option<T>,
}

#[derive(Debug, Deserialize)]
struct RepositoryPage {
    tags: Connection,
    #[serde(default, rename = "tagsCount", deserialize_with = "lenient")]
    count: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Connection {
    pub(super) nodes: Vec<Node>,
    pub(super) page_info: PageInfo,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageInfo {
    pub(super) has_next_page: bool,
    end_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Node {
    pub(super) name: Box<str>,
    #[serde(default, deserialize_with = "lenient")]
    digest: Option<Box<str>>,
    #[serde(default, deserialize_with = "lenient")]
    revision: Option<Box<str>>,
    #[serde(default, deserialize_with = "lenient")]
    published_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "lenient")]
    created_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "lenient")]
    total_size: Option<Value>,
    #[serde(default, deserialize_with = "lenient")]
    media_type: Option<Box<str>>,
    #[serde(default, deserialize_with = "lenient")]
    protection: Option<Protection>,
    #[serde(default, deserialize_with = "lenient")]
    user_permissions: Option<Permissions>,
    #[serde(default, deserialize_with = "lenient")]
    referrers: Option<Vec<Referrer>>,
}

#[derive(Debug, Deserialize)]
struct Referrer {
    digest: Digest,
}

#[derive(Debug, Deserialize)]
struct Protection {
    #[serde(default, deserialize_with = "lenient")]
    immutable: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Permissions {
    #[serde(default, deserialize_with = "lenient")]
    destroy_container_repository_tag: Option<bool>,
}

/// Media types of manifests that are an index of others.
const INDEXES: [&str; 2] =
    ["application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.oci.image.index.v1+json"];

/// Media types of manifests that are one image and contain no other.
pub(super) const SINGLE_IMAGES: [&str; 2] =
    ["application/vnd.docker.distribution.manifest.v2+json", "application/vnd.oci.image.manifest.v1+json"];

impl Node {
    pub(super) fn tag(self) -> Tag {
        // GitLab behaviour: a BigInt is written as text.
        let total_size = self.total_size.and_then(|size| match size {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        });
        let immutable = self.protection.and_then(|protection| protection.immutable) == Some(true);
        let permitted = self.user_permissions.and_then(|may| may.destroy_container_repository_tag) != Some(false);
        Tag {
            name: self.name,
            digest: self.digest.as_deref().and_then(Digest::told),
            published_at: self.published_at,
            created_at: self.created_at,
            total_size,
            single_image: self.media_type.as_deref().is_some_and(|media_type| SINGLE_IMAGES.contains(&media_type)),
            is_index: self.media_type.as_deref().is_some_and(|media_type| INDEXES.contains(&media_type)),
            referrers: self.referrers.into_iter().flatten().map(|referrer| referrer.digest).collect(),
            protected: immutable || !permitted,
        }
    }
}

/// Reads a page that was asked for after a cursor; `None` when the server does not know the query (any more).
pub(super) fn page(operation: Operation, answer: &Answer, after: Option<&str>) -> Result<Option<TagPage>, Error> {
    let nodes = nodes(operation, answer, after)?;
    Ok(nodes.map(|(nodes, next, count)| TagPage { tags: nodes.into_iter().map(Node::tag).collect(), next, count }))
}

/// The same of a page of images with their configurations.
pub(super) fn images(operation: Operation, answer: &Answer, after: Option<&str>) -> Result<Option<ImagePage>, Error> {
    let image = |node: Node| Some((Digest::told(&node.digest?)?, configuration(&node.revision?)?));
    let nodes = nodes(operation, answer, after)?;
    Ok(nodes.map(|(nodes, next, _)| ImagePage { images: nodes.into_iter().filter_map(image).collect(), next }))
}

/// The entries of a page, the next cursor, and how many tags there are, where that was asked for.
type Entries = (Vec<Node>, Option<String>, Option<u64>);

fn nodes(operation: Operation, answer: &Answer, after: Option<&str>) -> Result<Option<Entries>, Error> {
    let Some(RepositoryPage { tags, count }) = of_repository(operation, answer)? else { return Ok(None) };
    let (nodes, next) = accept_page(operation, tags, after)?;
    Ok(Some((nodes, next, count)))
}

/// What an answer tells of the one repository that was asked about; `None` when the server does not know the query (any
/// more).
pub(super) fn of_repository<T: DeserializeOwned>(operation: Operation, answer: &Answer) -> Result<Option<T>, Error> {
    if is_elsewhere(answer) {
        return Ok(None);
    }
    let envelope = envelope(operation, answer)?;
    match envelope.trouble() {
        Some(GraphqlFault::Unknown(_) | GraphqlFault::Missing) => return Ok(None),
        Some(GraphqlFault::Hidden) => return Err(Error::new(operation, ErrorKind::NotFound)),
        Some(GraphqlFault::Registry) => return Err(Error::new(operation, ErrorKind::Registry)),
        Some(GraphqlFault::Timeout) => return Err(Error::new(operation, ErrorKind::Timeout)),
        Some(GraphqlFault::Maintenance) => return Err(Error::new(operation, maintenance(answer))),
        Some(GraphqlFault::Other) => return Err(invalid(operation, "its errors are unknown")),
        None => {}
    }
    // The parser's own message would quote the body.
    let data: RepositoryAnswer<T> = serde_json::from_value(envelope.data.unwrap_or_default())
        .map_err(|_| invalid(operation, "it is not the expected JSON"))?;
    data.container_repository.map(Some).ok_or_else(|| Error::new(operation, ErrorKind::NotFound))
}

fn accept_page(
    operation: Operation,
    page: Connection,
    after: Option<&str>,
) -> Result<(Vec<Node>, Option<String>), Error> {
    let Connection { nodes, page_info } = page;
    if nodes.len() > PAGE {
        return Err(invalid(operation, "the page has more tags than were asked for"));
    }
    if !nodes.iter().all(|node| is_tag_name(&node.name)) {
        return Err(invalid(operation, "a tag has a name that no tag can have"));
    }
    let mut names = HashSet::new();
    if !nodes.iter().all(|node| names.insert(&node.name)) {
        return Err(incomplete(operation, Gap::Duplicate));
    }
    let next = match page_info.end_cursor.filter(|cursor| !cursor.is_empty()) {
        _ if !page_info.has_next_page => None,
        Some(cursor) if Some(cursor.as_str()) != after => Some(cursor),
        _ => return Err(incomplete(operation, Gap::BadCursor)),
    };
    if nodes.is_empty() && next.is_some() {
        return Err(incomplete(operation, Gap::ShortPage));
    }
    Ok((nodes, next))
}

#[cfg(test)]
pub(super) mod tests;
