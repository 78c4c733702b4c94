//! Texts that cannot be read as images, and the repositories that each holds: those that it may mean, and no other.

use std::collections::BTreeMap;
use std::fmt;

use super::Users;
use super::list::names_registry;
use super::registry::{Registries, host_of, names_host_of, spellings};
use super::template::Template;
use super::used::MAX_TEXT;
use crate::api::conditions::shorten;
use crate::policy::image::RefError;

/// Most texts of which it is asked, repository by repository, what they may mean. Where there are more, one of them
/// holds everything.
const MAX_TEXTS: usize = 500;

/// A text that cannot be read and may mean images of the registry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unreadable {
    /// The text, shortened and on one line.
    pub text: String,
    /// What is wrong with it.
    pub error: RefError,
    /// Who uses it.
    pub users: Users,
}

impl fmt::Display for Unreadable {
    /// `registry.example.com/shop/api:${TAG} (used by prod/Deployment/api) cannot be read (the tag is not valid)`.
    /// Where nobody may be named who wrote the text, it is not quoted either.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, error, users } = self;
        let text = if users.are_hidden() { "an image" } else { text };
        write!(f, "{text} (used by {users}) cannot be read ({error})")
    }
}

/// All of them, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts(Vec<(Unreadable, Possible)>);

/// What may come of a text.
#[derive(Clone, Debug)]
enum Possible {
    /// What it may become.
    Template(Template),
    /// Any image of a registry of which it has the host, or with which it could begin: no reference comes of it as it
    /// stands, so nobody knows how it is to be mended.
    OfHost(Box<str>, Template),
    /// Any image.
    Everything,
}

/// Whether a text, which is no reference, may mean an image of one of the registries.
pub(super) fn may_mean(text: &str, registries: &Registries<'_>) -> bool {
    registries.may_be_meant_by(text, &Template::of(text)) || names_registry(text, registries)
}

impl Texts {
    /// From the texts with what is wrong with each and its users.
    pub(super) fn new(texts: BTreeMap<Box<str>, (RefError, Users)>, registries: &Registries<'_>) -> Self {
        let take = |(number, (text, (error, users))): (usize, (Box<str>, (RefError, Users)))| {
            let template = Template::of(&text);
            let told = shorten(&text.replace(char::is_control, " "), MAX_TEXT);
            let possible = if number == MAX_TEXTS || names_registry(&text, registries) {
                Possible::Everything
            } else if template.is_plausible() {
                Possible::Template(template)
            } else {
                Possible::OfHost(text, template)
            };
            (Unreadable { text: told, error, users }, possible)
        };
        Self(texts.into_iter().take(MAX_TEXTS + 1).enumerate().map(take).collect())
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Unreadable> {
        self.0.iter().map(|(text, _)| text)
    }

    /// The first that may mean an image of the repository with these keys.
    pub(super) fn that_may_name(&self, keys: &[String]) -> Option<&Unreadable> {
        self.0.iter().find(|(_, possible)| possible.may_name(keys)).map(|(text, _)| text)
    }
}

impl Possible {
    fn may_name(&self, keys: &[String]) -> bool {
        match self {
            Self::Everything => true,
            Self::Template(template) => keys.iter().flat_map(|key| spellings(key)).any(|name| template.may_name(&name)),
            Self::OfHost(text, template) => {
                keys.iter().any(|key| names_host_of(text, key) || template.may_begin(&format!("{}/", host_of(key))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::model::UsedImage;
    use crate::policy::in_use::tests::{SHA_1, some, used, with_aliases};
    use crate::policy::in_use::{Alias, How, InUse};

    const PATHS: [&str; 3] = ["shop/web", "shop/api", "team/web"];

    fn held(in_use: &InUse, path: &str) -> bool {
        in_use.repository(&format!("registry.example.com/{path}"), path).unreadable().is_some()
    }

    #[rstest]
    #[case::tag("registry.example.com/shop/web:${TAG}", &["shop/web"])]
    #[case::port("registry.example.com:443/shop/web:${TAG}", &["shop/web"])]
    #[case::host("${REGISTRY}/web", &["shop/web", "team/web"])]
    #[case::port_of_variable("registry.example.com:${PORT}/shop/web", &["shop/web"])]
    #[case::alias("mirror.example.com/gitlab/shop/web:${TAG}", &["shop/web"])]
    #[case::proxy("mirror.example.com/gitlab/registry.example.com/shop/web:${TAG}", &["shop/web"])]
    #[case::beside_the_alias("mirror.example.com/shop/web:${TAG}", &[])]
    #[case::scheme("https://registry.example.com/shop/web", &["shop/web"])]
    #[case::anything("${IMAGE}", &PATHS)]
    #[case::no_reference_at_all("registry.example.com//shop/web", &PATHS)]
    #[case::no_reference_of_an_alias("mirror.example.com/gitlab//shop/web", &PATHS)]
    #[case::no_reference_of_a_variable("${REGISTRY}//shop/web", &PATHS)]
    #[case::of_a_list_by_a_part_of_an_alias("proxy.${D}/shop/web:v1 (registry.example.com)", &PATHS)]
    #[case::of_another_registry("quay.io/shop/web:${TAG}", &[])]
    #[case::of_another_registry_and_no_reference("quay.io//shop/web", &[])]
    #[case::nothing("", &[])]
    fn a_text_holds_the_repositories_that_it_may_mean_and_no_other(#[case] text: &str, #[case] holds: &[&str]) {
        let in_use = with_aliases(&[text], "registry.example.com", &["mirror.example.com/gitlab"]);
        let found: Vec<&str> = PATHS.into_iter().filter(|path| held(&in_use, path)).collect();
        assert_eq!(found, holds);
        assert_eq!(in_use.unreadable().len() + in_use.ignored(), 1);
        for path in found {
            let used = in_use.repository(&format!("registry.example.com/{path}"), path);
            assert!(!used.is_empty() && used.any_users().is_some());
            assert_eq!(used.users_of_tag("v1", some(SHA_1)).unwrap().how, How::NotKnown);
        }
    }

    #[test]
    fn a_text_is_read_without_a_host_where_docker_hub_is_an_alias() {
        for text in ["shop/web:${TAG}", "shop/Web", "${GROUP}/web"] {
            let in_use = with_aliases(&[text], "registry.example.com", &["docker.io"]);
            assert!(held(&in_use, "shop/web") && !held(&in_use, "shop/api"), "{text}");
        }
    }

    #[test]
    fn more_texts_than_can_be_asked_about_hold_everything() {
        let texts = |number: usize| -> Vec<UsedImage> {
            (0..number).map(|n| used(&format!("registry.example.com/other/i{n:04}:${{TAG}}"), &[])).collect()
        };
        let few = InUse::new(texts(MAX_TEXTS), [], ["registry.example.com"], &[]);
        assert!(!held(&few, "shop/web") && held(&few, "other/i0499"));
        let many = InUse::new(texts(MAX_TEXTS + 1), [], ["registry.example.com"], &[]);
        assert!(held(&many, "shop/web"));
    }

    #[test]
    fn what_an_id_may_mean_is_held_beside_the_image_for_which_a_node_reports_it() {
        let id = Some("registry.example.com/shop/web@${DIGEST}".into());
        let image = UsedImage { id, ..used("registry.example.com/shop/api:v1", &["prod/Pod/a"]) };
        let in_use = InUse::new([image], [], ["registry.example.com"], &[]);
        assert!(held(&in_use, "shop/web") && !held(&in_use, "shop/api"));
        assert!(in_use.repository("registry.example.com/shop/api", "shop/api").by_digest());
    }

    #[test]
    fn a_text_is_told_with_its_users() {
        let images = [
            used("registry.example.com:5050/Shop/web:v1", &["prod/Deployment/web"]),
            used("registry.example.com:5050/Shop/web:v1", &["prod/CronJob/report"]),
            used("mirror.example.com/$(APP)", &["prod/Pod/a"]),
            used("quay.io/Shop/web", &["prod/Pod/b"]),
            used("", &["prod/Pod/c"]),
        ];
        let aliases = [Alias::parse("mirror.example.com").unwrap()];
        let in_use = InUse::new(images, [], ["registry.example.com:5050/shop/web"], &aliases);
        let told: Vec<String> = in_use.unreadable().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "mirror.example.com/$(APP) (used by prod/Pod/a) cannot be read (the path has upper-case letters)",
                "registry.example.com:5050/Shop/web:v1 (used by prod/CronJob/report and 1 more) cannot be read (the \
                 path has upper-case letters)",
            ]
        );
        assert_eq!(in_use.ignored(), 2);
    }

    #[test]
    fn a_text_of_which_no_user_may_be_named_is_not_quoted() {
        let others = vec![("Deployment".into(), 1)];
        let image = UsedImage { elsewhere: others, ..used("registry.example.com/shop/web:${SECRET}", &[]) };
        let in_use = InUse::new([image], [], ["registry.example.com"], &[]);
        let told = in_use.unreadable().next().unwrap().to_string();
        assert_eq!(told, "an image (used by 1 Deployment of other namespaces) cannot be read (the tag is not valid)");
    }

    #[test]
    fn a_text_that_is_wrong_in_two_ways_is_told_the_same_in_any_order() {
        let image = used("https://registry.example.com/Shop", &[]);
        let id = UsedImage { id: Some(image.image.clone()), ..used("", &[]) };
        for images in [[image.clone(), id.clone()], [id, image]] {
            let in_use = InUse::new(images, [], ["registry.example.com"], &[]);
            assert_eq!(in_use.unreadable().next().unwrap().error, RefError::Host);
        }
    }

    #[test]
    fn texts_are_told_on_short_lines() {
        let images = (0..50).map(|n| used(&format!("registry.example.com/{n:02}\n{}", "X".repeat(1000)), &[]));
        let in_use = InUse::new(images, [], ["registry.example.com"], &[]);
        assert_eq!(in_use.unreadable().len(), 50);
        for (n, unreadable) in in_use.unreadable().enumerate() {
            assert!(unreadable.text.starts_with(&format!("registry.example.com/{n:02} X")), "{}", unreadable.text);
            assert!(unreadable.text.len() <= MAX_TEXT);
        }
    }
}
