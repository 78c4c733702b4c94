//! What documents of several parts say, and that their parts are told what they would have been told alone.

use proptest::prelude::*;
use rstest::rstest;

use super::super::error::{Error, ErrorKind, Operation};
use super::super::graphql::{MOST_PARTS, MOST_REMOVALS, Part};
use super::super::graphql_removals::removed;
use super::super::graphql_responses::{page, tests::answer};
use super::super::types::{TagOrder, TagPage};
use super::*;

const READ: Operation = Operation::ReadTags;
const REMOVE: Operation = Operation::RemoveTags;

fn read(body: Option<Vec<u8>>) -> Value {
    serde_json::from_slice(&body.unwrap()).unwrap()
}

fn wanted(repository: u64, order: TagOrder, after: Option<&str>) -> Page {
    Page { repository, order, after: after.map(str::to_owned), counted: false }
}

#[test]
fn pages_of_any_repositories_cursors_and_orders_go_into_one_query() {
    let mut parts = Parts::ALL;
    for part in [Part::TotalSize, Part::CreatedAt, Part::MediaType, Part::Immutable, Part::Permission, Part::Referrers]
    {
        parts = parts.without(part);
    }
    let pages = [wanted(7, TagOrder::Name, None), wanted(8, TagOrder::OldestPushFirst, Some("\"}"))];
    let read = read(pages_body(parts, &pages));
    assert_eq!(
        read["query"],
        "query tags($i0: ContainerRepositoryID!, $a0: String, $i1: ContainerRepositoryID!, $a1: String) { \
         p0: containerRepository(id: $i0) { tags(first: 20, after: $a0, sort: NAME_ASC) { nodes { name digest \
         publishedAt } pageInfo { hasNextPage endCursor } } } \
         p1: containerRepository(id: $i1) { tags(first: 20, after: $a1, sort: PUBLISHED_AT_ASC) { nodes { name digest \
         publishedAt } pageInfo { hasNextPage endCursor } } } }"
    );
    let id = |repository: u64| format!("gid://gitlab/ContainerRepository/{repository}");
    assert_eq!(read["variables"], json!({ "i0": id(7), "a0": null, "i1": id(8), "a1": "\"}" }));
    assert_eq!(pages_body(parts.without(Part::Sort), &pages), None, "one of the orders is not known");
}

#[test]
fn names_go_into_one_mutation_twenty_a_part() {
    let names: Vec<String> = (0..25).map(|number| format!("t{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let none = NamesOf { repository: 9, names: Vec::new() };
    let other = NamesOf { repository: 8, names: vec!["x"] };
    let read = read(removals_body(&[NamesOf { repository: 7, names: names.clone() }, none, other]));
    assert_eq!(
        read["query"],
        "mutation remove($i0: ContainerRepositoryID!, $n0: [String!]!, $n1: [String!]!, $i1: ContainerRepositoryID!, \
         $n2: [String!]!) { \
         p0: destroyContainerRepositoryTags(input: { id: $i0, tagNames: $n0 }) { deletedTagNames errors } \
         p1: destroyContainerRepositoryTags(input: { id: $i0, tagNames: $n1 }) { deletedTagNames errors } \
         p2: destroyContainerRepositoryTags(input: { id: $i1, tagNames: $n2 }) { deletedTagNames errors } }"
    );
    let id = |id: u8| format!("gid://gitlab/ContainerRepository/{id}");
    assert_eq!(
        read["variables"],
        json!({ "i0": id(7), "i1": id(8), "n0": names[..20], "n1": names[20..], "n2": ["x"] })
    );
}

/// Characters of a document.
fn length(body: Option<Vec<u8>>) -> usize {
    read(body)["query"].as_str().unwrap().chars().count()
}

#[test]
fn the_largest_documents_are_within_the_limits_of_gitlab() {
    // Twelve fields of tags, the nodes, three of the page: 18 with the page and its order, and a fifth more; the
    // repository and the count.
    assert_eq!(page_points(Parts::ALL), 23);
    assert_eq!(most_pages(Parts::ALL), 10);
    let page = Page { counted: true, ..wanted(u64::MAX, TagOrder::OldestPushFirst, None) };
    let pages = vec![page; most_pages(Parts::ALL)];
    assert!(length(pages_body(Parts::ALL, &pages)) < 9000);
    let names = vec!["x"; MOST_REMOVALS * MOST_NAMES];
    assert!(length(removals_body(&[NamesOf { repository: u64::MAX, names }])) < 9000);
    // At worst each part is another repository's.
    let alone = || NamesOf { repository: u64::MAX, names: vec!["x"] };
    assert!(length(removals_body(&std::iter::repeat_with(alone).take(MOST_PARTS).collect::<Vec<_>>())) < 9000);
    const { assert!(3 * MOST_PARTS <= MOST_POINTS) };
}

#[rstest]
#[case::complexity(200, json!({ "errors": [{ "message": "Query has complexity of 300, which exceeds max complexity of 250" }] }), true)]
#[case::length(422, json!({ "errors": [{ "message": "Query too large" }] }), true)]
#[case::something_else_as_well(200, json!({ "errors": [{ "message": "Query too large" }, { "message": "no" }] }), false)]
#[case::beside_data(200, json!({ "data": { "p0": null }, "errors": [{ "message": "Query too large" }] }), false)]
#[case::another_error(200, json!({ "errors": [{ "message": "Internal server error" }] }), false)]
#[case::no_error(200, json!({ "errors": [] }), false)]
#[case::nothing(200, json!({}), false)]
fn only_known_sentences_say_that_a_document_was_too_large(
    #[case] status: u16,
    #[case] body: Value,
    #[case] refused: bool,
) {
    assert_eq!(is_too_complex(&answer(status, &body.to_string())), refused);
}

#[test]
fn an_error_is_that_of_its_part_and_of_each_where_it_names_none() {
    let told = json!({ "deletedTagNames": ["a"], "errors": [] });
    let timeout = json!({ "message": "Timeout on Mutation.destroyContainerRepositoryTags", "path": ["p1"] });
    let results = |errors: Value| -> Vec<bool> {
        let body = json!({ "data": { "p0": told, "p1": null, "p2": told }, "errors": errors });
        let answers = parted(Parted::Removals, &answer(200, &body.to_string()), 3);
        answers.iter().map(|answer| removed(REMOVE, answer, &["a"]).is_ok()).collect()
    };
    assert_eq!(results(json!([timeout])), [true, false, true]);
    for unclear in [json!({ "message": "x" }), json!({ "message": "x", "path": ["q"] }), json!({ "path": 7 }), json!(3)]
    {
        assert_eq!(results(json!([timeout, unclear])), [false; 3]);
    }
    assert_eq!(results(json!("no list")), [false; 3]);
}

/// What one part is told: its data, and whether it has an error of its own.
#[derive(Clone, Debug)]
struct Told {
    data: Option<Value>,
    error: Option<&'static str>,
}

/// How a whole answer is spoilt.
#[derive(Clone, Debug)]
enum Spoilt {
    Not,
    /// It breaks off after so many bytes.
    Cut(usize),
    Status(u16),
    /// It has an error that names no part.
    Unclear(&'static str),
}

const SENTENCES: [&str; 6] = [
    "The resource that you are attempting to access does not exist or you don't have permission to perform this action",
    "Can't connect to the container registry.",
    "Timeout on Mutation.destroyContainerRepositoryTags",
    "You cannot perform write operations on a read-only instance",
    "Internal server error",
    "Field 'publishedAt' doesn't exist on type 'ContainerRepositoryTag'",
];

fn spoilt() -> impl Strategy<Value = Spoilt> {
    prop_oneof![
        6 => Just(Spoilt::Not),
        2 => prop_oneof![1 => Just(0), 5 => 1_usize..4000].prop_map(Spoilt::Cut),
        1 => prop_oneof![Just(502), Just(503), Just(500), Just(403), Just(408)].prop_map(Spoilt::Status),
        1 => proptest::sample::select(SENTENCES.to_vec()).prop_map(Spoilt::Unclear),
    ]
}

/// The names of a part: three for each.
fn names_of(part: usize) -> [String; 3] {
    [0, 1, 2].map(|number| format!("t{part}-{number}"))
}

fn removal(part: usize) -> impl Strategy<Value = Told> {
    let gone = proptest::sample::subsequence(names_of(part).to_vec(), 0..=3);
    let texts =
        ["cannot delete protected tag(s)", "error while deleting tags", "access denied", "could not delete tags: x"];
    let errors = proptest::sample::subsequence(texts.to_vec(), 0..=1);
    let data = prop_oneof![
        6 => (gone, errors).prop_map(|(gone, errors)| Some(json!({ "deletedTagNames": gone, "errors": errors }))),
        1 => Just(Some(json!({ "deletedTagNames": null, "errors": [] }))),
        1 => Just(Some(json!({ "deletedTagNames": ["of another"], "errors": [] }))),
        1 => Just(Some(Value::Null)),
        1 => Just(None),
    ];
    told(data)
}

fn of_page(part: usize) -> impl Strategy<Value = Told> {
    let nodes = proptest::sample::subsequence(names_of(part).to_vec(), 0..=3);
    let data = prop_oneof![
        6 => (nodes, any::<bool>(), proptest::option::of("[a-z]{0,3}")).prop_map(|(names, more, cursor)| {
            let nodes: Vec<Value> = names.iter().map(|name| json!({ "name": name, "digest": "sha256:1" })).collect();
            let info = json!({ "hasNextPage": more, "endCursor": cursor });
            Some(json!({ "tags": { "nodes": nodes, "pageInfo": info } }))
        }),
        1 => Just(Some(json!({ "tags": null }))),
        1 => Just(Some(Value::Null)),
        1 => Just(None),
    ];
    told(data)
}

fn told(data: impl Strategy<Value = Option<Value>>) -> impl Strategy<Value = Told> {
    let error = proptest::option::weighted(0.3, proptest::sample::select(SENTENCES.to_vec()));
    (data, error).prop_map(|(data, error)| Told { data, error })
}

/// The answer to a document, and those that its parts would have had alone.
fn answers(kind: Parted, all: &[Told], spoilt: &Spoilt) -> (Answer, Vec<Answer>) {
    let unclear = match spoilt {
        Spoilt::Unclear(text) => Some(json!({ "message": text })),
        _ => None,
    };
    let whole = |data: Value, errors: Vec<Value>| {
        let body = if errors.is_empty() { json!({ "data": data }) } else { json!({ "data": data, "errors": errors }) };
        match spoilt {
            Spoilt::Status(status) => answer(*status, &body.to_string()),
            _ => answer(200, &body.to_string()),
        }
    };
    let (mut data, mut errors, mut singles) = (Map::new(), Vec::from_iter(unclear.clone()), Vec::new());
    for (position, Told { data: told, error }) in all.iter().enumerate() {
        let own = error.map(|text| json!({ "message": text, "path": [format!("p{position}"), "x"] }));
        if let Some(told) = told {
            data.insert(format!("p{position}"), told.clone());
        }
        errors.extend(own.clone());
        singles.push(match told {
            Some(told) => whole(json!({ kind.field(): told }), unclear.iter().cloned().chain(own).collect()),
            None => answer(200, ""),
        });
    }
    let mut document = whole(Value::Object(data), errors);
    match spoilt {
        Spoilt::Cut(length) if *length < document.body.len() => {
            document.body.truncate(*length);
            // Nothing at all is another error than half an object, for a part as for a document.
            let rest = &"{\"data\":{"[..(*length).min(9)];
            singles = vec![answer(200, rest); all.len()];
        }
        Spoilt::Status(status) => singles = vec![answer(*status, "{\"data\":{}}"); all.len()],
        _ => {}
    }
    (document, singles)
}

type Gone = Result<Vec<Box<str>>, ErrorKind>;

fn gone(answer: &Answer, part: usize) -> Gone {
    let names = names_of(part);
    removed(REMOVE, answer, &names.each_ref().map(String::as_str)).map_err(|error| error.kind().clone())
}

fn shown(answer: &Answer) -> Result<Option<TagPage>, Error> {
    page(READ, answer, Some("after"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// What is believed to be gone, to be still there, and to be unknown, is the same as with one part a document.
    #[test]
    fn each_part_of_a_removal_comes_to_what_it_would_have_come_to_alone(
        all in (1_usize..6).prop_flat_map(|parts| (0..parts).map(removal).collect::<Vec<_>>()), spoilt in spoilt(),
    ) {
        let (document, singles) = answers(Parted::Removals, &all, &spoilt);
        let together: Vec<Gone> =
            parted(Parted::Removals, &document, all.len()).iter().enumerate().map(|(part, told)| gone(told, part)).collect();
        let alone: Vec<Gone> = singles.iter().enumerate().map(|(part, told)| gone(told, part)).collect();
        prop_assert_eq!(&together, &alone);
        for (part, gone) in together.iter().enumerate() {
            let Ok(gone) = gone else { continue };
            let data = all[part].data.as_ref().unwrap();
            prop_assert!(all[part].error.is_none(), "a part with an error is not known");
            prop_assert!(gone.iter().all(|name| data["deletedTagNames"].as_array().unwrap().contains(&json!(name))));
        }
    }

    #[test]
    fn each_page_of_a_document_is_the_page_that_it_would_have_been_alone(
        all in (1_usize..6).prop_flat_map(|parts| (0..parts).map(of_page).collect::<Vec<_>>()), spoilt in spoilt(),
    ) {
        let (document, singles) = answers(Parted::Pages, &all, &spoilt);
        let together: Vec<_> = parted(Parted::Pages, &document, all.len()).iter().map(shown).collect();
        let alone: Vec<_> = singles.iter().map(shown).collect();
        prop_assert_eq!(together, alone);
    }
}
