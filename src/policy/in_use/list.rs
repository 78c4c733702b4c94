//! The list by which one cluster tells another which images of a registry it uses.
//!
//! ```json
//! {
//!   "generatedAt": "2026-11-22T12:00:00Z",
//!   "registry": "registry.example.com:5050",
//!   "complete": true,
//!   "images": [
//!     {"image": "registry.example.com:5050/shop/api:v1", "usedBy": ["prod/Deployment/web"], "usedByMore": 2},
//!     {"image": "registry.example.com:5050/shop/db:v3", "imageID": "sha256:…", "usedBy": ["prod/Pod/db-0"]}
//!   ]
//! }
//! ```
//!
//! - `generatedAt` is when the cluster was looked at. A list counts for a limited time, since a cluster that stopped
//!   telling goes on using images.
//! - `registry` is the host the list is about. A list about another one says nothing, not that nothing is used.
//! - `complete` must be `true`: somebody looked everywhere. An empty list is an answer only with that.
//! - `images` are references as in a Pod, in any order. [`List::new`] writes the registry's own host where the cluster
//!   uses an alias. A reference that cannot be read stands there too, with the registry's host somewhere in it, so that
//!   the reader does not take what can be read for everything.
//! - `imageID` is what a node reports of that image where it names no repository: the digest of the image or of its
//!   configuration. A reader that does not know the field takes the image alone.
//! - `usedBy` names some users and `usedByMore` counts the others; both may be left out.
//!
//! Fields that are not known are ignored, for the sake of later versions.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::registry::{Registries, host_of};
use super::used::Meaning;
use super::{Alias, UsedImage, Users};
use crate::api::conditions::shorten;
use crate::policy::image::{ImageRef, host_in_names};

/// Most users that are named for an image: a list of 2,000 images has to fit into a `ConfigMap` (1 MiB).
pub const MAX_USERS: usize = 3;
/// How far ahead of ours the clock of the cluster that wrote a list may be.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);
/// Longest name of a user, in bytes; a namespace, a kind and a name come to less.
const MAX_USER: usize = 400;
/// Longest description of what is wrong with a list, in bytes.
const MAX_DETAIL: usize = 200;

/// The images of a registry that a cluster uses: all of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct List {
    /// When the cluster was looked at, to the second.
    pub generated_at: Timestamp,
    /// The registry's host, with its port if it has one.
    pub registry: String,
    images: BTreeMap<Written, Users>,
}

/// An image as it stands in the list, and what a node reports of it without a repository.
type Written = (String, Option<Box<str>>);

/// Why a list does not count.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ListError {
    /// No JSON.
    #[error("the list is not JSON (line {line}, column {column})")]
    NotJson {
        /// From 1.
        line: usize,
        /// From 0, as parsers count.
        column: usize,
    },
    /// JSON of another form.
    #[error("the list does not have the form of one: {0}")]
    WrongShape(String),
    /// It may be only a part of what is used.
    #[error("the list does not say that it is complete (\"complete\": true)")]
    Incomplete,
    /// It was made too long ago.
    #[error("the list is too old: it was made at {generated_at} and counts for {max_age:#}")]
    TooOld {
        /// When it was made.
        generated_at: Timestamp,
        /// For how long it counts.
        max_age: SignedDuration,
    },
    /// It cannot have been made yet.
    #[error("the list is dated {generated_at}, which is in the future")]
    FromTheFuture {
        /// When it says it was made.
        generated_at: Timestamp,
    },
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", expecting = "a list of images in use")]
struct Document {
    generated_at: Timestamp,
    registry: String,
    #[serde(default)]
    complete: bool,
    images: Vec<Entry>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", expecting = "an image and its users")]
struct Entry {
    image: String,
    #[serde(rename = "imageID", default, skip_serializing_if = "Option::is_none")]
    id: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    used_by: Vec<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    used_by_more: Option<u32>,
}

impl List {
    /// The images of a registry among all that a cluster uses: those that have its host (`registry.example.com:5050`)
    /// or an alias, and those that cannot be read and may mean it. What has an alias gets the registry's host, so that
    /// the reader need not know under which names this cluster pulls.
    ///
    /// To be made only when the cluster's answer is complete, because the list says that it is.
    #[must_use]
    pub fn new(
        registry: &str,
        aliases: &[Alias],
        images: impl IntoIterator<Item = UsedImage>,
        generated_at: Timestamp,
    ) -> Self {
        let registries = Registries::new([registry], aliases);
        let mut list =
            Self { generated_at: whole_seconds(generated_at), registry: registry.to_owned(), images: BTreeMap::new() };
        let host = host_in_names(registry);
        let there = |image: &ImageRef| -> Vec<String> {
            let paths = registries.paths(image).into_iter();
            paths.map(|path| ImageRef { name: format!("{host}/{path}"), ..image.clone() }.to_string()).collect()
        };
        let reported = |image: &ImageRef, id: &str| -> Vec<Written> {
            there(image).into_iter().map(|text| (text, Some(id.into()))).collect()
        };
        for image in images {
            let text = image.text();
            let written: Vec<Written> = match image.read() {
                Ok(Meaning::Nothing) => continue,
                Ok(Meaning::Images(images)) => images.iter().flat_map(there).map(|text| (text, None)).collect(),
                Ok(Meaning::Reported(image, id)) => reported(&image, &id),
                Err(_) if Registries::new([registry], &[]).may_be_meant_by(text) => vec![(text.to_owned(), None)],
                // The reader may not know the alias.
                Err(_) if registries.may_be_meant_by(text) => vec![(format!("{text} ({registry})"), None)],
                Err(_) => image.unreadable_id().map(|(image, id)| reported(&image, &id)).unwrap_or_default(),
            };
            let users = Users::new(image.users, image.more);
            for key in written {
                list.images.entry(key).or_default().join(&users);
            }
        }
        list
    }

    /// The images in order, each with its users. What a node reports of one without a repository stands behind it in
    /// brackets.
    pub fn images(&self) -> impl Iterator<Item = (Cow<'_, str>, &Users)> {
        self.images.iter().map(|((image, id), users)| match id {
            None => (Cow::Borrowed(image.as_str()), users),
            Some(id) => (Cow::Owned(format!("{image} ({id})")), users),
        })
    }

    /// Whether the cluster uses nothing of the registry, as far as names tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// The list as text: the same for the same images in any order, with at most [`MAX_USERS`] users each.
    ///
    /// # Errors
    /// None that is known; the serializer could have one.
    pub fn write(&self) -> Result<String, serde_json::Error> {
        let images = self.images.iter().map(|((image, id), users)| {
            let used_by: Vec<Box<str>> = users.names().take(MAX_USERS).map(Box::from).collect();
            let named = u32::try_from(used_by.len()).unwrap_or(u32::MAX);
            let more = users.total().saturating_sub(named);
            let used_by_more = Some(more).filter(|more| *more > 0);
            Entry { image: image.clone(), id: id.clone(), used_by, used_by_more }
        });
        let document = Document {
            generated_at: self.generated_at,
            registry: self.registry.clone(),
            complete: true,
            images: images.collect(),
        };
        serde_json::to_string_pretty(&document).map(|text| text + "\n")
    }

    /// Reads a list that is to count now.
    ///
    /// # Errors
    /// When it is none, is not complete, is older than `max_age`, or is dated more than five minutes ahead of `now`.
    pub fn read(text: &str, now: Timestamp, max_age: SignedDuration) -> Result<Self, ListError> {
        let document: Document = serde_json::from_str(text).map_err(|error| wrong(&error))?;
        if !document.complete {
            return Err(ListError::Incomplete);
        }
        let generated_at = document.generated_at;
        let age = now.duration_since(generated_at);
        if age < -CLOCK_TOLERANCE {
            return Err(ListError::FromTheFuture { generated_at });
        }
        if age > max_age {
            return Err(ListError::TooOld { generated_at, max_age });
        }
        let mut images: BTreeMap<Written, Users> = BTreeMap::new();
        for Entry { image, id, used_by, used_by_more } in document.images {
            let used_by = used_by.iter().map(|user| one_line(user));
            images.entry((image, id)).or_default().join(&Users::new(used_by, used_by_more.unwrap_or(0)));
        }
        Ok(Self { generated_at, registry: document.registry, images })
    }

    /// Whether the list is about the registry of a repository, given by its location or by the host alone.
    #[must_use]
    pub fn is_about(&self, location: &str) -> bool {
        host_of(&self.registry) == host_of(location)
    }

    /// The images, for [`InUse`](super::InUse) to sort together with others. The users are told with where the list
    /// comes from: `prod/Deployment/web (cluster-west)`.
    pub fn into_used(self, source: &str) -> impl Iterator<Item = UsedImage> {
        self.images.into_iter().map(move |((image, id), users)| {
            let named: Vec<Box<str>> =
                users.names().take(MAX_USERS).map(|user| format!("{user} ({source})").into_boxed_str()).collect();
            let more = users.total().saturating_sub(u32::try_from(named.len()).unwrap_or(u32::MAX));
            UsedImage { image: image.into_boxed_str(), id, users: named, more }
        })
    }
}

fn wrong(error: &serde_json::Error) -> ListError {
    if error.is_data() {
        ListError::WrongShape(shorten(&one_line(&error.to_string()), MAX_DETAIL))
    } else {
        ListError::NotJson { line: error.line(), column: error.column() }
    }
}

fn one_line(text: &str) -> Box<str> {
    shorten(&text.replace(char::is_control, " "), MAX_USER).into_boxed_str()
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::policy::in_use::InUse;
    use crate::policy::in_use::tests::{SHA_1, SHA_2, reported, some_images, used};

    const REGISTRY: &str = "registry.example.com:5050";

    fn now() -> Timestamp {
        "2026-11-22T12:00:00.75Z".parse().unwrap()
    }

    fn a_day() -> SignedDuration {
        SignedDuration::from_hours(24)
    }

    fn list(images: Vec<UsedImage>) -> List {
        List::new(REGISTRY, &[Alias::parse("mirror.example.com/gitlab").unwrap()], images, now())
    }

    fn read(document: &Value) -> Result<List, ListError> {
        List::read(&document.to_string(), now(), a_day())
    }

    fn document() -> Value {
        json!({"generatedAt": "2026-11-22T11:00:00Z", "registry": REGISTRY, "complete": true, "images": []})
    }

    #[test]
    fn a_list_has_what_is_of_the_registry_or_may_be() {
        let written = list(vec![
            used("registry.example.com:5050/shop/web:v2", &["prod/Deployment/web"]),
            used("registry.example.com:5050/shop/api", &["prod/Deployment/api", "prod/CronJob/report"]),
            used("nginx:1.27", &["prod/Deployment/proxy"]),
            used("registry.example.com:5050/Shop/api:v1", &[]),
            used("registry.example.com:5050/shop/web:v2", &["prod/Job/migrate"]),
            used("registry.example.com/shop/web:v2", &["prod/Pod/other-port"]),
            used("Broken", &["prod/Pod/broken"]),
            used("mirror.example.com/gitlab/Broken", &["prod/Pod/broken"]),
            used("mirror.example.com/gitlab/shop/web:v3", &["prod/Pod/mirrored"]),
            used("mirror.example.com/other/shop/web:v3", &["prod/Pod/other-mirror"]),
            used("mirror.example.com/gitlab2/shop/web:v3", &["prod/Pod/other-mirror"]),
            reported("nginx:1.27", &format!("docker-pullable://registry.example.com:5050/shop/web@{SHA_1}")),
            reported("mirror.example.com/gitlab/shop/web:v3", &format!("docker-pullable://quay.io/shop/web@{SHA_2}")),
            reported("mirror.example.com/gitlab/shop/web:v3", SHA_2),
            reported("registry.example.com:5050/shop/web:v2", "what is this"),
            reported("nginx:1.27", SHA_1),
            reported("", SHA_1),
        ])
        .write()
        .unwrap();
        let expected = json!({
            "generatedAt": "2026-11-22T12:00:00Z",
            "registry": "registry.example.com:5050",
            "complete": true,
            "images": [
                {
                    "image": "mirror.example.com/gitlab/Broken (registry.example.com:5050)",
                    "usedBy": ["prod/Pod/broken"]
                },
                {"image": "registry.example.com:5050/Shop/api:v1"},
                {
                    "image": "registry.example.com:5050/shop/api:latest",
                    "usedBy": ["prod/CronJob/report", "prod/Deployment/api"]
                },
                {
                    "image": "registry.example.com:5050/shop/web:v2",
                    "usedBy": ["prod/Deployment/web", "prod/Job/migrate"]
                },
                {"image": "registry.example.com:5050/shop/web:v2", "imageID": "what is this"},
                {"image": "registry.example.com:5050/shop/web:v3", "usedBy": ["prod/Pod/mirrored"]},
                {"image": "registry.example.com:5050/shop/web:v3", "imageID": SHA_2},
                {"image": format!("registry.example.com:5050/shop/web@{SHA_1}")},
                {"image": format!("registry.example.com:5050/shop/web@{SHA_2}")},
            ]
        });
        assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), expected);
        assert!(written.starts_with("{\n  \"generatedAt\"") && written.ends_with("}\n"), "{written}");
    }

    #[test]
    fn an_alias_is_written_in_every_way_it_may_be_meant() {
        let aliases = ["proxy.example.com", "proxy.example.com/gitlab"].map(|alias| Alias::parse(alias).unwrap());
        let images = ["proxy.example.com/gitlab/shop/web:v1", "proxy.example.com/registry.example.com/shop/web:v2"];
        let list = List::new(REGISTRY, &aliases, images.map(|image| used(image, &[])), now());
        let images: Vec<_> = list.images().map(|(image, _)| image).collect();
        assert_eq!(
            images,
            [
                "registry.example.com:5050/gitlab/shop/web:v1",
                "registry.example.com:5050/registry.example.com/shop/web:v2",
                "registry.example.com:5050/shop/web:v1",
                "registry.example.com:5050/shop/web:v2",
            ]
        );
    }

    #[test]
    fn users_are_named_up_to_a_point_and_counted_beyond_it() {
        let users: Vec<String> = (0..8).map(|n| format!("prod/Pod/{n}")).collect();
        let users: Vec<&str> = users.iter().map(String::as_str).collect();
        let image = UsedImage { more: 4, ..used("registry.example.com:5050/shop/web:v2", &users) };
        let text = list(vec![image]).write().unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["images"][0]["usedBy"], json!(["prod/Pod/0", "prod/Pod/1", "prod/Pod/2"]));
        assert_eq!(value["images"][0]["usedByMore"], json!(9));
        let mut used = List::read(&text, now(), a_day()).unwrap().into_used("west");
        let image = used.next().unwrap();
        assert_eq!((image.users[0].as_ref(), image.users.len(), image.more), ("prod/Pod/0 (west)", MAX_USERS, 9));
    }

    #[test]
    fn a_registry_that_is_a_single_word_is_written_as_pods_must_write_it() {
        let list = List::new("registry", &[], [used("REGISTRY/shop/web:v2", &[])], now());
        assert_eq!(list.images().map(|(image, _)| image).collect::<Vec<_>>(), ["REGISTRY/shop/web:v2"]);
        assert!(list.is_about("registry/shop/web"));
    }

    #[test]
    fn a_list_by_hand_needs_no_users() {
        let mut document = document();
        document["images"] = json!([{"image": "registry.example.com:5050/shop/web:v2", "since": "May"}]);
        let images: Vec<UsedImage> = read(&document).unwrap().into_used("west").collect();
        assert_eq!(images, [used("registry.example.com:5050/shop/web:v2", &[])]);
    }

    #[rstest]
    #[case("registry.example.com:5050/shop/web", true)]
    #[case("Registry.example.com:5050", true)]
    #[case("registry.example.com/shop/web", false)]
    #[case("registry.example.org:5050/shop/web", false)]
    fn a_list_is_about_one_registry(#[case] location: &str, #[case] about: bool) {
        assert_eq!(read(&document()).unwrap().is_about(location), about);
    }

    #[rstest]
    #[case("2026-11-21T12:00:00Z", "2026-11-22T12:00:00Z", true)]
    #[case("2026-11-21T12:00:00Z", "2026-11-22T12:00:01Z", false)]
    #[case("2026-11-22T12:05:00Z", "2026-11-22T12:00:00Z", true)]
    #[case("2026-11-22T12:05:01Z", "2026-11-22T12:00:00Z", false)]
    fn a_list_counts_for_its_time(#[case] generated_at: &str, #[case] now: &str, #[case] counts: bool) {
        let mut document = document();
        document["generatedAt"] = json!(generated_at);
        assert_eq!(List::read(&document.to_string(), now.parse().unwrap(), a_day()).is_ok(), counts);
    }

    #[rstest]
    #[case("", "the list is not JSON (line 1, column 0)")]
    #[case("images:\n- a", "the list is not JSON (line 1, column 1)")]
    #[case("{\"complete\": true", "the list is not JSON (line 1, column 17)")]
    #[case(
        "[]",
        "the list does not have the form of one: invalid length 0, expected a list of images in use at line 1 column 2"
    )]
    #[case(
        "null",
        "the list does not have the form of one: invalid type: null, expected a list of images in use at line 1 column 4"
    )]
    fn what_is_no_list_is_refused(#[case] text: &str, #[case] error: &str) {
        assert_eq!(List::read(text, now(), a_day()).unwrap_err().to_string(), error);
    }

    #[rstest]
    #[case("generatedAt", json!("yesterday"), "the list does not have the form of one: ")]
    #[case("generatedAt", json!("2026-11-22T12:00:00"), "the list does not have the form of one: ")]
    #[case("registry", json!(7), "the list does not have the form of one: invalid type: integer `7`, expected a string")]
    #[case("images", json!({}), "the list does not have the form of one: invalid type: map, expected a sequence")]
    #[case("images", json!(["a"]), "the list does not have the form of one: ")]
    #[case("images", json!([{"image": null}]), "the list does not have the form of one: ")]
    #[case("images", json!([{"usedBy": []}]), "the list does not have the form of one: missing field `image`")]
    #[case("images", json!([{"image": "a", "usedByMore": -1}]), "the list does not have the form of one: ")]
    #[case("complete", json!("true"), "the list does not have the form of one: ")]
    #[case("complete", json!(false), "the list does not say that it is complete (\"complete\": true)")]
    #[case("generatedAt", json!("2026-11-21T11:59:59Z"), "the list is too old: it was made at 2026-11-21T11:59:59Z and counts for 24h")]
    #[case("generatedAt", json!("2027-11-22T12:00:00Z"), "the list is dated 2027-11-22T12:00:00Z, which is in the future")]
    fn a_list_that_does_not_count_says_why(#[case] field: &str, #[case] value: Value, #[case] error: &str) {
        let mut document = document();
        assert!(read(&document).is_ok());
        document[field] = value;
        let text = read(&document).unwrap_err().to_string();
        assert!(text.starts_with(error), "{text}");
    }

    #[rstest]
    #[case("generatedAt")]
    #[case("registry")]
    #[case("images")]
    #[case("complete")]
    fn a_list_without_one_of_its_fields_is_refused(#[case] field: &str) {
        let mut document = document();
        document.as_object_mut().unwrap().remove(field);
        let error = read(&document).unwrap_err();
        assert_eq!(error == ListError::Incomplete, field == "complete", "{error}");
    }

    #[test]
    fn a_list_with_something_behind_it_is_refused() {
        let text = document().to_string() + "}";
        assert!(matches!(List::read(&text, now(), a_day()), Err(ListError::NotJson { line: 1, .. })));
    }

    #[test]
    fn an_error_is_one_short_line_whatever_the_list_says() {
        let mut document = document();
        document["images"] = json!("\n".repeat(9) + &"x".repeat(10_000));
        let text = read(&document).unwrap_err().to_string();
        assert!(text.len() < 300 && !text.contains('\n'), "{text}");
    }

    #[test]
    fn the_name_of_a_user_is_one_short_line() {
        let mut document = document();
        document["images"] = json!([{"image": "a.b/c", "usedBy": ["x\ny".repeat(1000)]}]);
        let image = read(&document).unwrap().into_used("west").next().unwrap();
        assert!(image.users[0].len() <= MAX_USER + " (west)".len() && !image.users[0].contains('\n'));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn what_another_cluster_reads_protects_what_it_protects_here(images in some_images()) {
            let aliases = [Alias::parse("mirror.example.com").unwrap()];
            let text = List::new(REGISTRY, &aliases, images.clone(), now()).write().unwrap();
            let mut reversed = images.clone();
            reversed.reverse();
            prop_assert_eq!(&text, &List::new(REGISTRY, &aliases, reversed, now()).write().unwrap());
            let list = List::read(&text, now(), a_day()).unwrap().into_used("west");
            let there = InUse::new([], list, [REGISTRY], &[]);
            let here = InUse::new(images, [], [REGISTRY], &aliases);
            for path in ["shop/a", "shop/b", "team/a"] {
                let location = format!("{REGISTRY}/{path}");
                let names = |in_use: &InUse| {
                    let repository = in_use.repository(&location, path);
                    let tags: Vec<String> = repository.tags().map(|(name, _)| name.to_owned()).collect();
                    let digests: Vec<String> = repository.digests().map(|(digest, _)| digest.to_owned()).collect();
                    let ids: Vec<String> = repository.ids().map(|(id, _)| id.to_owned()).collect();
                    (tags, digests, ids)
                };
                prop_assert_eq!(names(&there), names(&here));
            }
            prop_assert_eq!(there.unreadable().is_empty(), here.unreadable().is_empty());
        }
    }
}
