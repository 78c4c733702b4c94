//! A notification as a [CloudEvent](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md) in the
//! structured mode of HTTP, cut to what a receiver takes.

use jiff::Timestamp;
use serde_json::{Value, json};

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

impl CloudEvent<'_> {
    /// The body: the whole event, with as many of the named repositories as fit, and how many are left out.
    pub(super) fn into_body(self) -> Vec<u8> {
        let named = self.named;
        let all = self.all.max(count(&named));
        let metadata = &self.live.metadata;
        let of = |name: &Option<String>| text(name.as_deref().unwrap_or_default(), MAX_NAME);
        let (namespace, name) = (of(&metadata.namespace), of(&metadata.name));
        let mut data = self.data;
        data["policy"] = json!({"namespace": namespace, "name": name, "uid": of(&metadata.uid)});
        let mut event = json!({
            "specversion": "1.0",
            "id": self.id,
            "source": format!(
                "/apis/registrycleanup.dev/v1alpha1/namespaces/{namespace}/registrycleanuppolicies/{name}"
            ),
            "type": self.type_,
            "time": self.time.to_string(),
            "datacontenttype": "application/json",
            "data": data,
        });
        if all > 0 {
            // The longest number first, so that the body is not longer than was reckoned.
            event["data"]["repositories"] = json!([]);
            event["data"]["repositoriesOmitted"] = json!(u32::MAX);
            let room = MAX_BODY.saturating_sub(event.to_string().len());
            let fitting = fitting(&named, room);
            event["data"]["repositoriesOmitted"] = json!(all.saturating_sub(count(fitting)));
            event["data"]["repositories"] = json!(fitting);
        }
        event.to_string().into_bytes()
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
