//! How an object names an image in fields of its own: in one text, or name, tag and digest apart.
//!
//! Written in braces behind a path, with the fields in the order in which they stand in a reference: `{image}`,
//! `{repository:tag}`, `{oci://url:ref.tag@ref.digest}`. What nobody wrote down becomes a placeholder of the text, so
//! that the text holds every repository that may come of it, and no other.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::json_path::{Text, at_key};

/// Stands in a text for what is not known.
const UNKNOWN: &str = "<unknown>";
/// How addresses of OCI registries begin where there are others as well.
const OCI: &str = "oci://";

/// Where the parts of an image's name are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ImageParts {
    scheme: Scheme,
    name: Field,
    below: Option<Below>,
    /// The first that is there counts.
    tags: Vec<Tag>,
    digest: Option<Field>,
}

/// Which texts are names of images.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Scheme {
    /// Every one.
    Any,
    /// Those that begin with `oci://`, which is left out.
    Oci,
    /// The same, and those that have no scheme.
    OciOrNone,
}

/// What comes behind the name and a slash.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Below {
    Field(Field),
    /// Everything below the name.
    Anything,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Tag {
    field: Field,
    /// Whether it holds a version or a range of versions, and not the tag as it is.
    version: bool,
}

/// The keys that lead to a field.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Field(Vec<String>);

/// The fields of an object are not what they should be.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Odd;

impl ImageParts {
    /// Reads what stands between the braces; `None`, if that is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, text) = if let Some(rest) = text.strip_prefix("[oci://]") {
            (Scheme::OciOrNone, rest)
        } else if let Some(rest) = text.strip_prefix(OCI) {
            (Scheme::Oci, rest)
        } else {
            (Scheme::Any, text)
        };
        let (text, digest) = match text.split_once('@') {
            Some((text, digest)) => (text, Some(Field::parse(digest)?)),
            None => (text, None),
        };
        let (text, tags) = match text.split_once(':') {
            Some((text, tags)) => (text, tags.split('|').map(Tag::parse).collect::<Option<_>>()?),
            None => (text, Vec::new()),
        };
        let (name, below) = match text.split_once('/') {
            Some((name, "*")) if tags.is_empty() && digest.is_none() => (name, Some(Below::Anything)),
            Some((name, field)) => (name, Some(Below::Field(Field::parse(field)?))),
            None => (text, None),
        };
        Some(Self { scheme, name: Field::parse(name)?, below, tags, digest })
    }

    /// The images that an object names. Where it names none, that is `None`, or odd if it is to name one.
    pub(super) fn read<'a>(&self, place: &'a RawValue, optional: bool) -> Result<Vec<Cow<'a, str>>, Odd> {
        let nothing = || if optional { Ok(Vec::new()) } else { Err(Odd) };
        let Some(name) = self.name.text(place)? else { return nothing() };
        let Some(name) = self.scheme.strip(name) else { return Ok(Vec::new()) };
        let name = match &self.below {
            None => name,
            Some(Below::Anything) => return Ok(vec![format!("{}/{UNKNOWN}", name.trim_end_matches('/')).into()]),
            Some(Below::Field(field)) => {
                let Some(below) = field.text(place)? else { return nothing() };
                format!("{}/{below}", name.trim_end_matches('/')).into()
            }
        };
        if self.tags.is_empty() && self.digest.is_none() {
            return Ok(vec![name]);
        }
        // Whatever is odd about tag and digest, it is about this repository.
        let digest = self.digest.as_ref().and_then(|field| field.text(place).ok().flatten());
        let tags = self.tags.iter().find_map(|tag| tag.read(place)).unwrap_or(TagText::Missing);
        Ok(put_together(name, &tags, digest.as_deref()))
    }
}

/// What is known of a tag.
enum TagText<'a> {
    /// One of these.
    OneOf(Vec<Cow<'a, str>>),
    /// It has one, which nobody can tell.
    Unknown,
    /// No field has one.
    Missing,
}

fn put_together<'a>(name: Cow<'a, str>, tag: &TagText<'_>, digest: Option<&str>) -> Vec<Cow<'a, str>> {
    let digest = digest.map(|digest| if digest.contains(':') { digest.to_owned() } else { format!("sha256:{digest}") });
    match (tag, digest) {
        (TagText::OneOf(tags), Some(digest)) => {
            tags.iter().map(|tag| Cow::Owned(format!("{name}:{tag}@{digest}"))).collect()
        }
        (_, Some(digest)) => vec![Cow::Owned(format!("{name}@{digest}"))],
        (TagText::OneOf(tags), None) => {
            // A digest stands there as well, for want of a field of its own.
            let mark = |tag: &str| if tag.contains(':') { '@' } else { ':' };
            tags.iter().map(|tag| Cow::Owned(format!("{name}{}{tag}", mark(tag)))).collect()
        }
        (TagText::Missing, None) if has_tag_or_digest(&name) => vec![name],
        // Whoever makes Pods of the object puts in a tag that nobody wrote down.
        (TagText::Missing | TagText::Unknown, None) => vec![Cow::Owned(format!("{name}:{UNKNOWN}"))],
    }
}

fn has_tag_or_digest(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    last.contains([':', '@'])
}

impl Scheme {
    fn strip(self, name: Cow<'_, str>) -> Option<Cow<'_, str>> {
        match self {
            Self::Any => Some(name),
            Self::Oci | Self::OciOrNone => match name.strip_prefix(OCI) {
                Some(rest) => Some(Cow::Owned(rest.to_owned())),
                None => (self == Self::OciOrNone && !name.contains("://")).then_some(name),
            },
        }
    }
}

impl Tag {
    fn parse(text: &str) -> Option<Self> {
        let (text, version) = text.strip_suffix('~').map_or((text, false), |text| (text, true));
        Some(Self { field: Field::parse(text)?, version })
    }

    /// What the field says, if it says anything.
    fn read<'a>(&self, place: &'a RawValue) -> Option<TagText<'a>> {
        match self.field.text(place) {
            Ok(None) => None,
            Ok(Some(text)) if self.version => Some(of_version(text)),
            Ok(Some(text)) => Some(TagText::OneOf(vec![text])),
            Err(Odd) => Some(TagText::Unknown),
        }
    }
}

/// The tags of a version. Versions are compared without the `v` that a tag may have, and a `+` is written as `_` there
/// (<https://helm.sh/docs/topics/registries/>).
fn of_version(text: Cow<'_, str>) -> TagText<'_> {
    let bare = text.strip_prefix('v').unwrap_or(&text);
    if semver::Version::parse(bare).is_ok() {
        let tag = bare.replace('+', "_");
        return TagText::OneOf(vec![format!("v{tag}").into(), tag.into()]);
    }
    let in_ranges = |c: char| matches!(c, '*' | '<' | '>' | '=' | '~' | '^' | '!' | '|' | ',' | ' ');
    let is_range =
        bare.starts_with(|c: char| c.is_ascii_digit()) || matches!(bare, "x" | "X") || bare.contains(in_ranges);
    if is_range { TagText::Unknown } else { TagText::OneOf(vec![text]) }
}

impl Field {
    fn parse(text: &str) -> Option<Self> {
        let is_name =
            |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        let names: Vec<&str> = text.split('.').collect();
        names.iter().all(|name| is_name(name)).then(|| Self(names.into_iter().map(str::to_owned).collect()))
    }

    /// The text of the field; `None` where it is missing or empty.
    fn text<'a>(&self, place: &'a RawValue) -> Result<Option<Cow<'a, str>>, Odd> {
        let mut place = place;
        for key in &self.0 {
            let Some(next) = at_key(place, key).ok_or(Odd)? else { return Ok(None) };
            place = next;
        }
        let Text(text) = serde_json::from_str(place.get()).map_err(|_| Odd)?;
        Ok((!text.is_empty()).then_some(text))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn read(parts: &str, object: &Value, optional: bool) -> Result<Vec<String>, Odd> {
        let object = serde_json::value::to_raw_value(object).unwrap();
        let found = ImageParts::parse(parts).unwrap().read(&object, optional)?;
        Ok(found.into_iter().map(Cow::into_owned).collect())
    }

    #[rstest]
    #[case::whole("image", json!({"image": "r.test/a:1"}), &["r.test/a:1"])]
    #[case::deeper("pooler.image", json!({"pooler": {"image": "r.test/a:1"}}), &["r.test/a:1"])]
    #[case::tag_apart("repository:tag", json!({"repository": "r.test/a", "tag": "1"}), &["r.test/a:1"])]
    #[case::digest_apart("a:t@d", json!({"a": "r.test/a", "t": "1", "d": "sha256:12"}), &["r.test/a:1@sha256:12"])]
    #[case::hash_apart("a:t@d", json!({"a": "r.test/a", "d": "12"}), &["r.test/a@sha256:12"])]
    #[case::first_of_two("a:s|t", json!({"a": "r.test/a", "s": "1", "t": "2"}), &["r.test/a:1"])]
    #[case::second_of_two("a:s|t", json!({"a": "r.test/a", "s": "", "t": "2"}), &["r.test/a:2"])]
    #[case::digest_for_a_tag("a:t", json!({"a": "r.test/a", "t": "sha256:12"}), &["r.test/a@sha256:12"])]
    #[case::chart("u/c:v~", json!({"u": "r.test/charts/", "c": "web", "v": "1.2.3+a"}),
        &["r.test/charts/web:v1.2.3_a", "r.test/charts/web:1.2.3_a"])]
    #[case::name_of_a_version("a:v~", json!({"a": "r.test/a", "v": "latest"}), &["r.test/a:latest"])]
    #[case::scheme("oci://u:t", json!({"u": "oci://r.test/a", "t": "1"}), &["r.test/a:1"])]
    #[case::scheme_left_out("[oci://]u:t", json!({"u": "r.test/a", "t": "1"}), &["r.test/a:1"])]
    #[case::tag_within_the_name("a:t", json!({"a": "r.test:5050/a:1"}), &["r.test:5050/a:1"])]
    fn an_image_is_put_together_from_its_fields(#[case] parts: &str, #[case] object: Value, #[case] images: &[&str]) {
        assert_eq!(read(parts, &object, false).unwrap(), images);
    }

    #[rstest]
    #[case::no_tag("a:t", json!({"a": "r.test:5050/a"}), "r.test:5050/a:<unknown>")]
    #[case::odd_tag("a:t", json!({"a": "r.test/a", "t": 15}), "r.test/a:<unknown>")]
    #[case::odd_tag_before_another("a:s|t", json!({"a": "r.test/a", "s": 15, "t": "2"}), "r.test/a:<unknown>")]
    #[case::odd_way_to_the_tag("a:b.t", json!({"a": "r.test/a", "b": "c"}), "r.test/a:<unknown>")]
    #[case::range("a:v~|t", json!({"a": "r.test/a", "v": ">=1.0.0", "t": "2"}), "r.test/a:<unknown>")]
    #[case::part_of_a_version("a:v~", json!({"a": "r.test/a", "v": "1.2"}), "r.test/a:<unknown>")]
    #[case::wildcard("a:v~", json!({"a": "r.test/a", "v": "1.x"}), "r.test/a:<unknown>")]
    #[case::any_version("a:v~", json!({"a": "r.test/a", "v": "*"}), "r.test/a:<unknown>")]
    #[case::everything_below("oci://u/*", json!({"u": "oci://r.test/charts/"}), "r.test/charts/<unknown>")]
    fn what_nobody_wrote_down_is_not_known(#[case] parts: &str, #[case] object: Value, #[case] text: &str) {
        assert_eq!(read(parts, &object, false).unwrap(), [text]);
    }

    #[rstest]
    #[case::other_scheme("oci://u:t", json!({"u": "https://charts.test", "t": "1"}))]
    #[case::no_scheme("oci://u:t", json!({"u": "git@git.test:a/b", "t": "1"}))]
    #[case::other_scheme_than_none("[oci://]u/c:t", json!({"u": "https://charts.test", "c": "web", "t": "1"}))]
    fn an_address_of_something_else_is_no_image(#[case] parts: &str, #[case] object: Value) {
        assert_eq!(read(parts, &object, false), Ok(vec![]));
    }

    #[rstest]
    #[case::missing("image", json!({}))]
    #[case::null("image", json!({"image": null}))]
    #[case::empty("image", json!({"image": ""}))]
    #[case::nothing_on_the_way("a.image", json!({"a": null}))]
    #[case::no_chart("[oci://]u/c:v~", json!({"u": "https://git.test/a.git", "v": "main"}))]
    #[case::no_chart_there("[oci://]u/c:v~", json!({"u": "r.test/a", "v": "main"}))]
    fn an_object_need_not_name_an_image_where_that_is_allowed(#[case] parts: &str, #[case] object: Value) {
        assert_eq!(read(parts, &object, true), Ok(vec![]));
        if !parts.starts_with('[') {
            assert_eq!(read(parts, &object, false), Err(Odd));
        }
    }

    #[rstest]
    #[case::number("image", json!({"image": 7}))]
    #[case::list("image", json!(["r.test/a"]))]
    #[case::text("image", json!("r.test/a"))]
    #[case::text_on_the_way("a.image", json!({"a": "r.test/a"}))]
    fn fields_that_are_no_texts_are_odd_also_where_none_need_be(#[case] parts: &str, #[case] object: Value) {
        assert_eq!(read(parts, &object, true), Err(Odd));
    }

    #[rstest]
    #[case("")]
    #[case(":tag")]
    #[case("image:")]
    #[case("image@")]
    #[case("image:a|")]
    #[case("a b")]
    #[case("a..b")]
    #[case("a/")]
    #[case("a/*:tag")]
    #[case("https://a")]
    #[case("a[*]")]
    #[case("~")]
    fn what_names_no_fields_is_refused(#[case] parts: &str) {
        assert_eq!(ImageParts::parse(parts), None);
    }
}
