//! GraphQL: what is inside of an index, as answers tell it.
//!
//! Pure. What is not told as a whole counts as not told.

use serde::Deserialize;
use serde_json::Value;

use super::error::{Error, Operation};
use super::graphql_responses::{GraphqlFault, SINGLE_IMAGES, envelope, is_elsewhere};
use super::lenient::{lenient, lenient_digest};
use super::transport::Answer;
use crate::model::Digest;

/// What an answer tells of the images in an index.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Inside {
    /// The server does not know the question.
    NoSuchField,
    /// It does not tell, or not everything.
    Untold,
    /// The digests of all of them; each is a single image.
    Told(Vec<Digest>),
}

/// A manifest as far as it lists others.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    #[serde(default, deserialize_with = "lenient_digest")]
    digest: Option<Digest>,
    #[serde(default, deserialize_with = "lenient")]
    media_type: Option<Box<str>>,
    /// GitLab behaviour: null for what is no index.
    #[serde(default, deserialize_with = "lenient")]
    manifests: Option<Vec<Self>>,
}

impl Listed {
    /// An index inside of an index may contain anything, and so may what does not say what it is.
    fn inside(self) -> Inside {
        let single = |listed: Self| {
            let single = listed.media_type.is_some_and(|media_type| SINGLE_IMAGES.contains(&&*media_type));
            listed.digest.filter(|_| single)
        };
        let digests = self.manifests.and_then(|manifests| manifests.into_iter().map(single).collect());
        digests.filter(|digests: &Vec<_>| !digests.is_empty()).map_or(Inside::Untold, Inside::Told)
    }
}

/// Reads what a tag contains, if it still points at this digest.
pub(super) fn tag_details(operation: Operation, answer: &Answer, digest: &Digest) -> Result<Inside, Error> {
    inside(operation, answer, "tagDetails", |found| {
        let listed: Listed = serde_json::from_value(found).ok()?;
        (listed.digest.as_ref() == Some(digest)).then(|| listed.inside())
    })
}

/// Reads a manifest that was asked for by its digest.
///
/// GitLab behaviour: it is text; of lists of Docker's kind it is the list, of OCI indexes there is none, since GitLab
/// does not ask its registry for them.
pub(super) fn manifest(operation: Operation, answer: &Answer) -> Result<Inside, Error> {
    inside(operation, answer, "manifest", |found| {
        let listed: Listed = serde_json::from_str(found.as_str()?).ok()?;
        Some(listed.inside())
    })
}

fn inside(
    operation: Operation,
    answer: &Answer,
    field: &str,
    read: impl FnOnce(Value) -> Option<Inside>,
) -> Result<Inside, Error> {
    if is_elsewhere(answer) {
        return Ok(Inside::NoSuchField);
    }
    let envelope = envelope(operation, answer)?;
    match envelope.trouble() {
        Some(GraphqlFault::Unknown(_) | GraphqlFault::Missing) => return Ok(Inside::NoSuchField),
        Some(_) => return Ok(Inside::Untold),
        None => {}
    }
    let mut data = envelope.data.unwrap_or_default();
    let found = data.get_mut("containerRepository").and_then(|repository| repository.get_mut(field)).map(Value::take);
    Ok(found.and_then(read).unwrap_or(Inside::Untold))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::super::error::ErrorKind;
    use super::super::graphql_responses::tests::{DOWN, HIDDEN, answer, errors};
    use super::*;

    const READ: Operation = Operation::ReadTag;

    fn told(digests: &[&str]) -> Inside {
        Inside::Told(digests.iter().map(|digest| Digest::new(digest)).collect())
    }

    const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";

    #[rstest]
    #[case::an_index(
        json!({"digest": "d", "manifests": [{"digest": "a", "mediaType": IMAGE}, {"digest": "b", "mediaType": IMAGE}]}),
        told(&["a", "b"]),
    )]
    #[case::pushed_again(json!({"digest": "e", "manifests": [{"digest": "a", "mediaType": IMAGE}]}), Inside::Untold)]
    #[case::an_index_inside(
        json!({"digest": "d", "manifests": [{"digest": "a", "mediaType": IMAGE}, {"digest": "b", "mediaType": INDEX}]}),
        Inside::Untold,
    )]
    #[case::of_unknown_type(json!({"digest": "d", "manifests": [{"digest": "a"}]}), Inside::Untold)]
    #[case::without_a_digest(json!({"digest": "d", "manifests": [{"mediaType": IMAGE}]}), Inside::Untold)]
    #[case::no_index(json!({"digest": "d", "manifests": null}), Inside::Untold)]
    #[case::nothing_inside(json!({"digest": "d", "manifests": []}), Inside::Untold)]
    #[case::no_such_tag(json!(null), Inside::Untold)]
    fn what_is_inside_of_a_tag_is_told_as_a_whole_or_not_at_all(#[case] found: Value, #[case] expected: Inside) {
        let body = json!({"data": {"containerRepository": {"tagDetails": found}}}).to_string();
        assert_eq!(tag_details(READ, &answer(200, &body), &"d".into()).unwrap(), expected);
    }

    #[rstest]
    #[case::a_list(json!(json!({"manifests": [{"digest": "a", "mediaType": IMAGE}]}).to_string()), told(&["a"]))]
    #[case::an_image(json!(json!({"config": {"digest": "c"}, "layers": []}).to_string()), Inside::Untold)]
    #[case::no_json(json!("{\"schemaVersion\"=>2}"), Inside::Untold)]
    #[case::no_text(json!({"manifests": [{"digest": "a", "mediaType": IMAGE}]}), Inside::Untold)]
    #[case::none(json!(null), Inside::Untold)]
    fn a_manifest_tells_what_is_inside_of_a_list(#[case] found: Value, #[case] expected: Inside) {
        let body = json!({"data": {"containerRepository": {"manifest": found}}}).to_string();
        assert_eq!(manifest(READ, &answer(200, &body)).unwrap(), expected);
    }

    #[test]
    fn a_field_that_a_server_does_not_know_is_told_from_one_that_fails() {
        let unknown = errors(&["Field 'tagDetails' doesn't exist on type 'ContainerRepositoryDetails'"]);
        assert_eq!(tag_details(READ, &answer(200, &unknown), &"d".into()).unwrap(), Inside::NoSuchField);
        assert_eq!(tag_details(READ, &answer(404, ""), &"d".into()).unwrap(), Inside::NoSuchField);
        for text in [HIDDEN, DOWN, "Timeout on ContainerRepositoryDetails.tagDetails"] {
            assert_eq!(tag_details(READ, &answer(200, &errors(&[text])), &"d".into()).unwrap(), Inside::Untold);
        }
        let refused = tag_details(READ, &answer(401, "{}"), &"d".into()).unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::Unauthorized(_)));
    }
}
