//! GraphQL: what the answer about tags that were asked for by their names means.
//!
//! Pure. What all answers have in common is read in `graphql_answers`.

use std::collections::HashMap;

use super::error::{Error, ErrorKind, Operation};
use super::graphql::alias;
use super::graphql_responses::{Connection, Node, of_repository};
use super::responses::invalid;
use super::transport::Answer;
use super::types::{Tag, TagNow};

/// Reads the answer about tags that were asked for by these names.
pub(super) fn named(operation: Operation, answer: &Answer, names: &[&str]) -> Result<Vec<TagNow>, Error> {
    let unsupported = || Error::new(operation, ErrorKind::Unsupported { what: "reading tags by name" });
    let mut found: HashMap<String, Connection> = of_repository(operation, answer)?.ok_or_else(unsupported)?;
    let told = names.iter().enumerate().map(|(position, name)| {
        let Connection { nodes, page_info } = found.remove(&alias(position))?;
        if !nodes.iter().all(|node| node.name.contains(name)) {
            return None;
        }
        Some(match nodes.into_iter().find(|node| &*node.name == *name).map(Node::tag) {
            Some(Tag { digest, published_at, .. }) => TagNow::There { digest, published_at },
            None if page_info.has_next_page => TagNow::Crowded,
            None => TagNow::Missing,
        })
    });
    told.collect::<Option<_>>().ok_or_else(|| invalid(operation, "it is about other tags"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::super::graphql_responses::tests::answer;
    use super::*;

    const READ: Operation = Operation::ReadTags;

    #[rstest]
    #[case::there(
        json!([{ "name": "a-1", "digest": "x" }, { "name": "a", "digest": "y" }]),
        true,
        Some(TagNow::There { digest: Some("y".into()), published_at: None }),
    )]
    #[case::without_a_digest(
        json!([{ "name": "a", "digest": null }]),
        false,
        Some(TagNow::There { digest: None, published_at: None }),
    )]
    #[case::missing(json!([{ "name": "a-1", "digest": "x" }]), false, Some(TagNow::Missing))]
    #[case::behind_others(json!([{ "name": "0-a", "digest": "x" }]), true, Some(TagNow::Crowded))]
    #[case::of_another_name(json!([{ "name": "b", "digest": "x" }]), false, None)]
    fn what_a_tag_is_now_is_read_by_its_whole_name(
        #[case] nodes: Value,
        #[case] more: bool,
        #[case] expected: Option<TagNow>,
    ) {
        let tags = json!({ "nodes": nodes, "pageInfo": { "hasNextPage": more } });
        let body = |alias: &str| json!({ "data": { "containerRepository": { alias: tags } } }).to_string();
        assert_eq!(named(READ, &answer(200, &body("t0")), &["a"]).ok(), expected.map(|now| vec![now]));
        assert!(named(READ, &answer(200, &body("t1")), &["a"]).is_err(), "another was asked for");
        assert!(named(READ, &answer(200, &body("t0")), &["a", "b"]).is_err(), "one is not answered");
    }

    #[test]
    fn a_time_out_of_one_tag_is_an_error_of_all() {
        let there = json!({ "nodes": [{ "name": "a" }], "pageInfo": { "hasNextPage": false } });
        let errors =
            json!([{ "message": "Timeout on ContainerRepositoryDetails.tags", "path": ["containerRepository", "t1"] }]);
        let body = json!({ "data": { "containerRepository": { "t0": there, "t1": null } }, "errors": errors });
        assert!(named(READ, &answer(200, &body.to_string()), &["a", "b"]).is_err());
    }
}
