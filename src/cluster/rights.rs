//! Asks the API server who may do what: whoever asks, or a `ServiceAccount`. Nothing is changed by asking.

use futures::stream::{self, StreamExt};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};

use super::{ApiError, CALL_TIMEOUT};

/// How many questions are under way at the same time.
const AT_ONCE: usize = 8;

/// What somebody may be allowed to do.
#[derive(Clone, Debug)]
pub struct Question {
    /// The verb.
    pub verb: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource, with a subresource after a slash if one is meant.
    pub resource: String,
    /// The namespace; `None` is all of them.
    pub namespace: Option<String>,
    /// The object; `None` is any.
    pub name: Option<String>,
}

impl From<Question> for ResourceAttributes {
    fn from(asked: Question) -> Self {
        let (resource, subresource) = match asked.resource.split_once('/') {
            Some((resource, below)) => (resource.to_owned(), Some(below.to_owned())),
            None => (asked.resource, None),
        };
        Self {
            verb: Some(asked.verb),
            group: Some(asked.group),
            resource: Some(resource),
            subresource,
            namespace: asked.namespace,
            name: asked.name,
            ..Self::default()
        }
    }
}

/// What whoever asks may do, in the order of the questions; `None` where the API server does not say.
pub async fn of_caller(client: &Client, questions: Vec<Question>) -> Vec<Option<bool>> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let ask = |question: Question| {
        let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(question.into()), ..Default::default() };
        let review = SelfSubjectAccessReview { spec, ..Default::default() };
        let reviews = reviews.clone();
        async move {
            let answer = answered(reviews.create(&PostParams::default(), &review)).await;
            answer.ok().and_then(|review| review.status).map(|status| status.allowed)
        }
    };
    stream::iter(questions).map(ask).buffered(AT_ONCE).collect().await
}

/// What a `ServiceAccount` may do, in the order of the questions; `None` where the API server does not say.
///
/// # Errors
/// When whoever asks may not know, or the API server does not answer.
pub async fn of_account(
    client: &Client,
    (namespace, name): (&str, &str),
    questions: Vec<Question>,
) -> Result<Vec<Option<bool>>, ApiError> {
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    // What the authenticator makes of its token:
    // https://kubernetes.io/docs/reference/access-authn-authz/authentication/#service-account-tokens
    let user = format!("system:serviceaccount:{namespace}:{name}");
    let groups = ["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}"), "system:authenticated"];
    let groups: Vec<String> = groups.map(str::to_owned).to_vec();
    let ask = |question: Question| {
        let spec = SubjectAccessReviewSpec {
            user: Some(user.clone()),
            groups: Some(groups.clone()),
            resource_attributes: Some(question.into()),
            ..Default::default()
        };
        let review = SubjectAccessReview { spec, ..Default::default() };
        let reviews = reviews.clone();
        async move { answered(reviews.create(&PostParams::default(), &review)).await }
    };
    let answers: Vec<_> = stream::iter(questions).map(ask).buffered(AT_ONCE).collect().await;
    let allowed =
        |answer: Result<SubjectAccessReview, ApiError>| answer.map(|review| review.status.map(|status| status.allowed));
    answers.into_iter().map(allowed).collect()
}

async fn answered<T>(answer: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
    match tokio::time::timeout(CALL_TIMEOUT, answer).await {
        Err(_) => Err(ApiError::Timeout),
        Ok(answer) => answer.map_err(|error| ApiError::from(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subresource_is_asked_for_as_one() {
        let asked = Question {
            verb: "patch".to_owned(),
            group: "g".to_owned(),
            resource: "policies/status".to_owned(),
            namespace: None,
            name: None,
        };
        let attributes = ResourceAttributes::from(asked);
        assert_eq!(attributes.resource.as_deref(), Some("policies"));
        assert_eq!(attributes.subresource.as_deref(), Some("status"));
    }
}
