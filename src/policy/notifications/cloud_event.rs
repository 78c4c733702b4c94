//! A notification as a [CloudEvent](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md) in the
//! structured mode of HTTP, cut to what a receiver takes.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::api::RegistryCleanupPolicy;
use crate::api::conditions::shorten;

/// Longest body, in bytes.
/// [CloudEvents](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#size-limits) are passed on up to
/// this size by whatever is between sender and receiver.
pub const MAX_BODY: usize = 64_000;
/// Longest name of an object, in bytes.
const MAX_NAME: usize = 253;

/// An event before it is text.
pub(super) struct CloudEvent<'a> {
    pub(super) live: &'a RegistryCleanupPolicy,
    pub(super) id: &'a str,
    pub(super) type_: &'static str,
    pub(super) time: Timestamp,
    /// An object. Its texts are bounded, see [`text`].
    pub(super) data: Value,
    /// Repositories, those first that matter most.
    pub(super) named: Vec<Value>,
    /// How many there are, named or not.
    pub(super) all: u32,
}

#[derive(Serialize)]
struct Envelope<'a> {
    specversion: &'static str,
    id: &'a str,
    source: String,
    #[serde(rename = "type")]
    type_: &'static str,
    time: String,
    datacontenttype: &'static str,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    policy: Policy<'a>,
    #[serde(flatten)]
    of_its_type: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    repositories: Option<&'a [Value]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repositories_omitted: Option<u32>,
}

#[derive(Clone, Copy, Serialize)]
struct Policy<'a> {
    namespace: &'a str,
    name: &'a str,
    uid: &'a str,
}

impl CloudEvent<'_> {
    /// The body: the whole event, with as many of the named repositories as fit, and how many are left out.
    pub(super) fn into_body(self) -> Vec<u8> {
        let all = self.all.max(count(&self.named));
        if all == 0 {
            return self.body(None, None);
        }
        // With the longest number, so that the body is not longer than was reckoned.
        let room = MAX_BODY.saturating_sub(self.body(Some(&[]), Some(u32::MAX)).len());
        let fitting = fitting(&self.named, room);
        self.body(Some(fitting), Some(all.saturating_sub(count(fitting))))
    }

    fn body(&self, repositories: Option<&[Value]>, repositories_omitted: Option<u32>) -> Vec<u8> {
        let metadata = &self.live.metadata;
        let of = |name: &Option<String>| text(name.as_deref().unwrap_or_default(), MAX_NAME);
        let (namespace, name, uid) = (of(&metadata.namespace), of(&metadata.name), of(&metadata.uid));
        let policy = Policy { namespace: &namespace, name: &name, uid: &uid };
        let envelope = Envelope {
            specversion: "1.0",
            id: self.id,
            source: format!("/apis/registrycleanup.dev/v1alpha1/namespaces/{namespace}/registrycleanuppolicies/{name}"),
            type_: self.type_,
            time: self.time.to_string(),
            datacontenttype: "application/json",
            data: Data { policy, of_its_type: &self.data, repositories, repositories_omitted },
        };
        // Texts, numbers and lists of them, which can always be written.
        serde_json::to_vec(&envelope).unwrap_or_default()
    }
}

fn count(repositories: &[Value]) -> u32 {
    u32::try_from(repositories.len()).unwrap_or(u32::MAX)
}

/// As many from the beginning as have room, each with a comma behind it.
fn fitting(named: &[Value], room: usize) -> &[Value] {
    let ends = named.iter().scan(0_usize, |end, repository| {
        *end = end.saturating_add(repository.to_string().len() + 1);
        Some(*end)
    });
    let count = ends.take_while(|end| *end <= room).count();
    named.get(..count).unwrap_or(named)
}

/// A text of at most so many bytes. All texts of an event together are far below [`MAX_BODY`], also where JSON writes
/// each of their characters as six.
pub(super) fn text(text: &str, limit: usize) -> String {
    shorten(text, limit)
}
