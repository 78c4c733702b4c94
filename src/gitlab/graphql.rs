//! GraphQL: the text of requests by what a server knows.
//!
//! Pure. One unknown field fails a whole query, so a request has only what the server is known to have. What comes back
//! is read in `graphql_answers`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::types::{Capabilities, TagOrder};

/// Tags of one page. GitLab behaviour: with a metadata database the number goes to the registry as it is, of which 20
/// are shown, so that asking for more loses tags without a word; and without a number there is none.
pub(super) const PAGE: usize = 20;

/// Tags that one mutation may name. GitLab behaviour: more are refused as a whole.
pub(super) const MOST_NAMES: usize = 20;

/// Removals of 20 names in one document.
pub(super) const MOST_REMOVALS: usize = 25;

/// Removals in one document, however many names they have. GitLab counts three points for each, of 250, and some 130
/// characters, of 10,000.
pub(super) const MOST_PARTS: usize = 40;

/// Repositories that one document asks about at most: each costs GitLab a question to its registry.
pub(super) const MOST_REPOSITORIES: usize = 60;

/// Tags that are shown of those whose names contain a name that is asked for. The name itself usually comes first of
/// them in the order of names; without a metadata database each that is shown takes GitLab a request to its registry.
const NAMESAKES: usize = 5;

/// A part of the query that not every server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Digest,
    TotalSize,
    CreatedAt,
    PublishedAt,
    MediaType,
    Immutable,
    Permission,
    /// The field `referrers`, and the argument without which it is empty.
    Referrers,
    /// The argument `sort`.
    Sort,
    /// Its values for the last push.
    PushOrder,
}

impl Part {
    /// Those that are fields of a tag, and how they are asked for.
    const FIELDS: [(Self, &'static str); 8] = [
        (Self::Digest, "digest"),
        (Self::TotalSize, "totalSize"),
        (Self::CreatedAt, "createdAt"),
        (Self::PublishedAt, "publishedAt"),
        (Self::MediaType, "mediaType"),
        (Self::Immutable, "protection { immutable }"),
        (Self::Permission, "userPermissions { destroyContainerRepositoryTag }"),
        (Self::Referrers, "referrers { digest }"),
    ];

    /// The part an unknown field belongs to; `None` for fields without which there are no tags.
    pub(super) fn of_field(name: &str) -> Option<Self> {
        let word = |text: &str| text.split(' ').any(|word| word == name);
        Self::FIELDS.into_iter().find(|(_, text)| word(text)).map(|(part, _)| part)
    }
}

/// The parts that a server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts(u16);

impl Parts {
    pub(super) const ALL: Self = Self(u16::MAX);

    pub(super) const fn has(self, part: Part) -> bool {
        self.0 & (1 << part as u8) != 0
    }

    pub(super) const fn without(self, part: Part) -> Self {
        Self(self.0 & !(1 << part as u8))
    }

    pub(super) const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// A page that is to be read in full: the first of a repository's tags, or the one after a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) repository: u64,
    pub(super) order: TagOrder,
    pub(super) after: Option<String>,
    /// Ask for the registry's own count of the repository's tags as well.
    pub(super) counted: bool,
}

/// Tags of one repository that are to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamesOf<'n> {
    /// The repository's id.
    pub repository: u64,
    /// The names of the tags.
    pub names: Vec<&'n str>,
}

/// What callers are told about it.
pub(super) fn capabilities(parts: Option<Parts>) -> Capabilities {
    let has = |part| parts.is_some_and(|parts| parts.has(part));
    Capabilities {
        graphql: parts.is_some(),
        published_at: has(Part::PublishedAt),
        sorts_by_push: has(Part::Sort) && has(Part::PushOrder),
        // GitLab behaviour: what the user may do takes every rule into account; servers that tell it and know no rules
        // have none.
        protection: has(Part::Permission),
    }
}

/// The body of a request.
#[derive(Debug, Serialize)]
struct Body<'a, V> {
    query: &'a str,
    variables: V,
}

#[derive(Debug, Serialize)]
struct PageVariables<'a> {
    id: String,
    after: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct RemovalVariables<'a> {
    id: String,
    names: &'a [&'a str],
}

pub(super) fn global_id(repository: u64) -> String {
    format!("gid://gitlab/ContainerRepository/{repository}")
}

pub(super) fn body(query: &str, variables: impl Serialize) -> Option<Vec<u8>> {
    serde_json::to_vec(&Body { query, variables }).ok()
}

/// The query of one page of at most `first` tags, with their count or without; `None` when the server does not know the
/// order.
pub(super) fn page_query(parts: Parts, order: TagOrder, first: usize, counted: bool) -> Option<String> {
    Some(query(parts, first, sort(parts, order)?, counted))
}

/// The argument for an order of tags, which may be none; `None` when the server does not know the order.
fn sort(parts: Parts, order: TagOrder) -> Option<&'static str> {
    match order {
        TagOrder::Name if !parts.has(Part::Sort) => Some(""),
        TagOrder::Name => Some(", sort: NAME_ASC"),
        _ if !capabilities(Some(parts)).sorts_by_push => None,
        TagOrder::OldestPushFirst => Some(", sort: PUBLISHED_AT_ASC"),
        TagOrder::NewestPushFirst => Some(", sort: PUBLISHED_AT_DESC"),
    }
}

/// The fields of one full page after the cursor in a variable; `None` when the server does not know the order.
pub(super) fn page_fields(parts: Parts, page: &Page, after: &str) -> Option<String> {
    Some(format!("{}{}", count(page.counted), tags(parts, PAGE, after, sort(parts, page.order)?)))
}

/// The field that counts tags. Every server that sorts tags by push knows it, and it is asked for of no other.
const fn count(counted: bool) -> &'static str {
    if counted { "tagsCount " } else { "" }
}

/// The most points that GitLab counts for a page, its repository and the count of tags: one for each field; what is in
/// the page, itself and its order count a hundredth more for each of its tags.
pub(super) fn page_points(parts: Parts) -> usize {
    let asked = Part::FIELDS.into_iter().filter(|(part, _)| parts.has(*part));
    let fields: usize = asked.map(|(_, text)| text.split(' ').filter(|word| !matches!(*word, "{" | "}")).count()).sum();
    let (nodes, page_info, page, order, repository, count) = (2, 3, 1, 1, 1, 1);
    (fields + nodes + page_info + page + order) * (100 + PAGE) / 100 + repository + count
}

/// The query that finds out whether a server knows these parts: it uses all of them, for one tag.
pub(super) fn probe_query(parts: Parts) -> String {
    let sort = match (parts.has(Part::Sort), parts.has(Part::PushOrder)) {
        (false, _) => "",
        (true, false) => ", sort: NAME_ASC",
        (true, true) => ", sort: PUBLISHED_AT_ASC",
    };
    query(parts, 1, sort, false)
}

fn query(parts: Parts, first: usize, sort: &str, counted: bool) -> String {
    let (count, tags) = (count(counted), tags(parts, first, "after", sort));
    format!(
        "query tags($id: ContainerRepositoryID!, $after: String) {{ containerRepository(id: $id) {{ {count}{tags} }} }}"
    )
}

fn tags(parts: Parts, first: usize, after: &str, sort: &str) -> String {
    let fields = Part::FIELDS.into_iter().filter(|(part, _)| parts.has(*part));
    let fields: String = fields.flat_map(|(_, text)| [" ", text]).collect();
    let referrers = if parts.has(Part::Referrers) { ", referrers: true" } else { "" };
    format!(
        "tags(first: {first}, after: ${after}{sort}{referrers}) {{ nodes {{ name{fields} }} pageInfo {{ hasNextPage \
         endCursor }} }}"
    )
}

/// The query of one page of tags with the configurations of their images. Every server knows these fields.
pub(super) fn image_query(parts: Parts) -> String {
    let sort = if parts.has(Part::Sort) { ", sort: NAME_ASC" } else { "" };
    format!(
        "query images($id: ContainerRepositoryID!, $after: String) {{ containerRepository(id: $id) {{ \
         tags(first: {PAGE}, after: $after{sort}) {{ nodes {{ name digest revision }} \
         pageInfo {{ hasNextPage endCursor }} }} }} }}"
    )
}

/// The request for what a tag contains, where the server knows the field.
pub(super) fn tag_details_body(repository: u64, name: &str) -> Option<Vec<u8>> {
    let query = "query tagDetails($id: ContainerRepositoryID!, $name: String!) { containerRepository(id: $id) { \
                 tagDetails(name: $name) { digest manifests { digest mediaType } } } }";
    body(query, serde_json::json!({ "id": global_id(repository), "name": name }))
}

/// The request for a manifest as the registry has it, where the server knows the field. By digest: GitLab's registry
/// answers the name of a list with one of its images.
pub(super) fn manifest_body(repository: u64, digest: &str) -> Option<Vec<u8>> {
    let query = "query manifest($id: ContainerRepositoryID!, $reference: String!) { containerRepository(id: $id) { \
                 manifest(reference: $reference) } }";
    body(query, serde_json::json!({ "id": global_id(repository), "reference": digest }))
}

/// The request for the rules by which a project protects tags, with the role of whoever asks: rules are shown to
/// Maintainers only.
pub(super) fn tag_rules_body(project: &str) -> Option<Vec<u8>> {
    let query = "query tagRules($path: ID!) { project(fullPath: $path) { maxAccessLevel { integerValue } \
                 containerProtectionTagRules(first: 20) { nodes { tagNamePattern minimumAccessLevelForDelete } \
                 pageInfo { hasNextPage } } } }";
    body(query, serde_json::json!({ "path": project }))
}

/// The request for the role in a project.
pub(super) fn access_level_body(project: &str) -> Option<Vec<u8>> {
    let query = "query role($path: ID!) { project(fullPath: $path) { maxAccessLevel { integerValue } } }";
    body(query, serde_json::json!({ "path": project }))
}

/// The request for a page, or for finding out.
pub(super) fn page_body(query: &str, repository: u64, after: Option<&str>) -> Option<Vec<u8>> {
    body(query, PageVariables { id: global_id(repository), after })
}

/// What the answer about the tag at a position is called.
pub(super) fn alias(position: usize) -> String {
    format!("t{position}")
}

/// The request that asks for each of these tags by its name. By GitLab's formula its complexity is below 160 for 20
/// names, of 250.
///
/// All are fields of one repository, since a server that has no other way lists all tags for the first and remembers
/// the list.
pub(super) fn names_body(parts: Parts, repository: u64, names: &[&str]) -> Option<Vec<u8>> {
    let fields = Part::FIELDS.into_iter().filter(|(part, _)| matches!(part, Part::Digest | Part::PublishedAt));
    let fields: String = fields.filter(|(part, _)| parts.has(*part)).flat_map(|(_, text)| [" ", text]).collect();
    let tag = |position| {
        let alias = alias(position);
        format!(
            " {alias}: tags(first: {NAMESAKES}, name: ${alias}) {{ nodes {{ name{fields} }} pageInfo {{ hasNextPage }} \
             }}"
        )
    };
    let declared: Vec<String> = (0..names.len()).map(|position| format!(", ${}: String", alias(position))).collect();
    let asked: Vec<String> = (0..names.len()).map(tag).collect();
    let query = format!(
        "query named($id: ContainerRepositoryID!{}) {{ containerRepository(id: $id) {{{} }} }}",
        declared.concat(),
        asked.concat()
    );
    let id = ("id".to_owned(), global_id(repository));
    let texts = names.iter().enumerate().map(|(position, name)| (alias(position), (*name).to_owned()));
    let variables: BTreeMap<String, String> = texts.chain([id]).collect();
    body(&query, variables)
}

/// The request that removes tags.
pub(super) fn removal_body(repository: u64, names: &[&str]) -> Option<Vec<u8>> {
    let query = "mutation remove($id: ContainerRepositoryID!, $names: [String!]!) { \
                 destroyContainerRepositoryTags(input: { id: $id, tagNames: $names }) { deletedTagNames errors } }";
    body(query, RemovalVariables { id: global_id(repository), names })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_page_is_asked_for_with_exactly_twenty_and_all_that_is_known() {
        let query = page_query(Parts::ALL, TagOrder::OldestPushFirst, PAGE, false).unwrap();
        assert_eq!(
            query,
            "query tags($id: ContainerRepositoryID!, $after: String) { containerRepository(id: $id) { tags(first: 20, \
             after: $after, sort: PUBLISHED_AT_ASC, referrers: true) { nodes { name digest totalSize createdAt \
             publishedAt mediaType protection { immutable } userPermissions { destroyContainerRepositoryTag } \
             referrers { digest } } pageInfo { hasNextPage endCursor } } } }"
        );
    }

    #[test]
    fn tags_are_counted_only_where_that_is_asked_for() {
        for counted in [false, true] {
            let query = page_query(Parts::ALL, TagOrder::OldestPushFirst, PAGE, counted).unwrap();
            assert_eq!(query.contains("{ tagsCount tags("), counted, "{query}");
            let page = Page { repository: 7, order: TagOrder::OldestPushFirst, after: None, counted };
            assert_eq!(page_fields(Parts::ALL, &page, "a0").unwrap().starts_with("tagsCount tags("), counted);
        }
    }

    #[test]
    fn what_a_server_does_not_know_is_not_asked_for() {
        for (part, text) in Part::FIELDS {
            let query = page_query(Parts::ALL.without(part), TagOrder::Name, PAGE, false).unwrap();
            // The digests of referrers are not those of tags.
            let of_tags = |text: &str| text.replace("{ digest }", "{}");
            let asks = |text: &str| of_tags(&query).contains(&of_tags(text));
            assert!(!asks(text), "{query}");
            let others = Part::FIELDS.into_iter().filter(|(other, _)| *other != part);
            assert!(others.into_iter().all(|(_, text)| asks(text)), "{query}");
        }
    }

    #[test]
    fn an_order_by_push_is_never_replaced_by_another() {
        for lacking in [Part::Sort, Part::PushOrder] {
            let parts = Parts::ALL.without(lacking);
            assert_eq!(page_query(parts, TagOrder::OldestPushFirst, PAGE, false), None);
            assert_eq!(page_query(parts, TagOrder::NewestPushFirst, PAGE, false), None);
            assert!(!capabilities(Some(parts)).sorts_by_push);
        }
        let by_name = |parts| page_query(parts, TagOrder::Name, PAGE, false).unwrap();
        assert!(by_name(Parts::ALL.without(Part::PushOrder)).contains("sort: NAME_ASC"));
        assert!(!by_name(Parts::ALL.without(Part::Sort)).contains("sort"));
    }

    #[test]
    fn without_graphql_there_is_nothing() {
        assert_eq!(capabilities(None), Capabilities::default());
        let all = Capabilities { graphql: true, published_at: true, sorts_by_push: true, protection: true };
        assert_eq!(capabilities(Some(Parts::ALL)), all);
    }

    #[test]
    fn ids_names_and_cursors_travel_as_variables() {
        let read = |body: Option<Vec<u8>>| serde_json::from_slice::<Value>(&body.unwrap()).unwrap();
        let page = read(page_body("query", 7, Some("\"}")));
        let id = "gid://gitlab/ContainerRepository/7";
        assert_eq!(page, json!({ "query": "query", "variables": { "id": id, "after": "\"}" } }));
        let removal = read(removal_body(7, &["a", "b"]));
        assert_eq!(removal["variables"], json!({ "id": id, "names": ["a", "b"] }));
    }

    #[test]
    fn tags_are_asked_for_by_name_in_one_document() {
        let parts = Parts::ALL.without(Part::PublishedAt);
        let read: Value = serde_json::from_slice(&names_body(parts, 7, &["a", "b"]).unwrap()).unwrap();
        assert_eq!(
            read["query"],
            "query named($id: ContainerRepositoryID!, $t0: String, $t1: String) { containerRepository(id: $id) { \
             t0: tags(first: 5, name: $t0) { nodes { name digest } pageInfo { hasNextPage } } \
             t1: tags(first: 5, name: $t1) { nodes { name digest } pageInfo { hasNextPage } } } }"
        );
        let id = "gid://gitlab/ContainerRepository/7";
        assert_eq!(read["variables"], json!({ "id": id, "t0": "a", "t1": "b" }));
        let names = ["x"; MOST_NAMES];
        let longest: Value = serde_json::from_slice(&names_body(Parts::ALL, 7, &names).unwrap()).unwrap();
        assert!(longest["query"].as_str().unwrap().len() < 10_000, "GitLab takes no longer document");
    }

    #[test]
    fn an_unknown_field_is_told_from_one_that_every_server_has() {
        assert_eq!(Part::of_field("publishedAt"), Some(Part::PublishedAt));
        assert_eq!(Part::of_field("protection"), Some(Part::Immutable));
        assert_eq!(Part::of_field("immutable"), Some(Part::Immutable));
        assert_eq!(Part::of_field("destroyContainerRepositoryTag"), Some(Part::Permission));
        for name in ["name", "nodes", "pageInfo", "containerRepository", "tags", ""] {
            assert_eq!(Part::of_field(name), None);
        }
    }
}
