//! Custom workloads: kinds that are named by configuration or by the [catalogue](super::catalogue), with the paths at
//! which their objects hold pods or name images.

use std::fmt;
use std::str::FromStr;

use serde_json::value::RawValue;

use super::image_parts::{ImageParts, Odd};
use super::json_path::{Step, at_key};
use super::pod::{Image, PodSpec};
use super::unreadable::Unreadable;

/// A kind that is no part of Kubernetes itself but makes Pods, or runs images in another way that looks like a Pod.
///
/// Written as `group/version/Kind=path`, with more paths after commas; kinds of the core group as `v1/Kind=path`. A
/// path leads from the object to a pod template (which has a `spec` with `containers`) or to a pod spec (which has
/// `containers`). Its segments are separated by dots; `*` stands for every value of a map and `name[*]` for every item
/// of a list. A path that ends in `?` may lead nowhere; without it an object that lacks the path cannot be read, so
/// that a mistyped path does not look like a workload without images.
///
/// Braces at the end name the fields that an image is put together from, as they stand in a reference:
///
/// - `{image}`: a text; `{image.name}` for one that lies deeper.
/// - `{repository:tag}`, `{repository:tag@digest}`: parts. Of several tags, `{url:ref.semver~|ref.tag}`, the first that
///   is there counts. `~` says that it is a version or a range of versions. What is missing may be anything, and every
///   tag of the repository counts.
/// - `{url/chart}`: a name that has two parts; `{url/*}`: everything below the name.
/// - `{oci://url}`: only a text that begins like this, without it; `{[oci://]url}`: also one without any scheme.
///
/// - `argoproj.io/v1alpha1/Rollout=spec.template?` (a Rollout with `workloadRef` has no template)
/// - `serving.knative.dev/v1/Service=spec.template`
/// - `apps.openshift.io/v1/DeploymentConfig=spec.template`
/// - `jobset.x-k8s.io/v1alpha2/JobSet=spec.replicatedJobs[*].template.spec.template`
/// - `tekton.dev/v1/Task=spec.steps[*]{image}?`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CustomWorkload {
    group: String,
    /// All that may be read, the best first.
    versions: Vec<String>,
    kind: String,
    paths: Vec<Path>,
    origin: Origin,
}

/// Who named a kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Origin {
    /// Somebody who runs the operator.
    Configuration,
    /// The catalogue, which also knows whether its objects are in namespaces.
    Catalogue {
        /// Whether they are in none.
        cluster_wide: bool,
    },
}

/// Why a text names no custom workload.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum CustomWorkloadError {
    /// It does not have the form.
    #[error("{0:?} is not of the form group/version/Kind=path, such as argoproj.io/v1alpha1/Rollout=spec.template?")]
    Form(String),
    /// One of the parts before the equals sign is not what it has to be.
    #[error("{text:?} has no valid {part}: {found:?}")]
    Part {
        /// The whole text.
        text: String,
        /// Which part.
        part: &'static str,
        /// What stands there.
        found: String,
    },
    /// A path is none.
    #[error(
        "{text:?} has a path that is not understood: {path:?} (names separated by dots, `*`, `name[*]`; at the end fields of \
         an image in braces, such as {{image}} or {{repository:tag}}, and `?`)"
    )]
    Path {
        /// The whole text.
        text: String,
        /// The path.
        path: String,
    },
}

/// Where in an object pods are described or images are named.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Path {
    /// As it was written, for messages.
    text: String,
    steps: Vec<Step>,
    /// The fields of an image there; `None` where there is a pod.
    image: Option<ImageParts>,
    optional: bool,
}

impl CustomWorkload {
    /// Reads the text form.
    ///
    /// # Errors
    /// When the text does not have the form; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, CustomWorkloadError> {
        let form = || CustomWorkloadError::Form(text.to_owned());
        let (names, paths) = text.split_once('=').ok_or_else(form)?;
        let names: Vec<&str> = names.split('/').collect();
        let (group, version, kind) = match names[..] {
            [group, version, kind] if !group.is_empty() => (group, version, kind),
            [version, kind] => ("", version, kind),
            _ => return Err(form()),
        };
        let part = |part, found: &str, valid: bool| {
            let error = || CustomWorkloadError::Part { text: text.to_owned(), part, found: found.to_owned() };
            valid.then(|| found.to_owned()).ok_or_else(error)
        };
        Ok(Self {
            group: part("group", group, group.is_empty() || group.split('.').all(is_label))?,
            versions: vec![part("version", version, is_label(version))?],
            kind: part("kind", kind, is_kind(kind))?,
            paths: paths
                .split(',')
                .map(|path| {
                    let error = || CustomWorkloadError::Path { text: text.to_owned(), path: path.to_owned() };
                    Path::parse(path).ok_or_else(error)
                })
                .collect::<Result<_, _>>()?,
            origin: Origin::Configuration,
        })
    }

    /// The same for a kind of the catalogue, which may be read in these versions as well.
    pub(super) fn of_catalogue(mut self, other_versions: &[&str], cluster_wide: bool) -> Self {
        self.versions.extend(other_versions.iter().map(|version| (*version).to_owned()));
        self.origin = Origin::Catalogue { cluster_wide };
        self
    }

    /// Its API group, such as `argoproj.io`; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The versions of the group in which it may be read, the best first.
    pub fn versions(&self) -> impl Iterator<Item = &str> {
        self.versions.iter().map(String::as_str)
    }

    /// Its kind, such as `Rollout`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    pub(super) fn origin(&self) -> Origin {
        self.origin
    }

    /// What messages call many of it: its kind and group.
    #[must_use]
    pub fn label(&self) -> String {
        if self.group.is_empty() { self.kind.clone() } else { format!("{}.{}", self.kind, self.group) }
    }

    /// Whether this is the same kind, whatever the version and the paths.
    pub(super) fn is_same_kind(&self, other: &Self) -> bool {
        (&self.group, &self.kind) == (&other.group, &other.kind)
    }

    /// Whether it is known to be in no namespace.
    pub(super) fn is_cluster_wide(&self) -> bool {
        self.origin == Origin::Catalogue { cluster_wide: true }
    }

    /// The images that an object names.
    pub(super) fn images<'a>(&self, object: &'a RawValue) -> Result<Vec<Image<'a>>, Unreadable> {
        let mut images = Vec::new();
        for path in &self.paths {
            let unreadable = || Unreadable::new(path.text.clone());
            for place in path.follow(object)? {
                match &path.image {
                    None => images.extend(pod_at(place).ok_or_else(unreadable)?.images()),
                    Some(parts) => {
                        let named = parts.read(place, path.optional).map_err(|Odd| unreadable())?;
                        images.extend(named.into_iter().map(Image::Named));
                    }
                }
            }
        }
        Ok(images)
    }
}

impl FromStr for CustomWorkload {
    type Err = CustomWorkloadError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for CustomWorkload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.group.is_empty() { "" } else { "/" };
        let version = self.versions.first().map_or("", String::as_str);
        write!(f, "{}{slash}{version}/{}=", self.group, self.kind)?;
        for (position, path) in self.paths.iter().enumerate() {
            let (comma, mark) = (if position == 0 { "" } else { "," }, if path.optional { "?" } else { "" });
            write!(f, "{comma}{}{mark}", path.text)?;
        }
        Ok(())
    }
}

/// A label as in host names: what groups consist of, and versions are.
fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_kind(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase()) && text.chars().all(|c| c.is_ascii_alphanumeric())
}

impl Path {
    fn parse(text: &str) -> Option<Self> {
        let (path, optional) = text.strip_suffix('?').map_or((text, false), |path| (path, true));
        let (way, image) = match path.split_once('{') {
            Some((way, parts)) => (way, Some(ImageParts::parse(parts.strip_suffix('}')?)?)),
            None => (path, None),
        };
        let mut steps = Vec::new();
        for segment in way.split('.') {
            let (name, each) = segment.strip_suffix("[*]").map_or((segment, false), |name| (name, true));
            steps.push(match name {
                "*" => Step::Each,
                name if is_name(name) => Step::Key(name.to_owned()),
                _ => return None,
            });
            if each {
                steps.push(Step::Items);
            }
        }
        Some(Self { text: path.to_owned(), steps, image, optional })
    }

    /// All the places that the path leads to.
    fn follow<'a>(&self, object: &'a RawValue) -> Result<Vec<&'a RawValue>, Unreadable> {
        let mut places = vec![object];
        for step in &self.steps {
            let mut next = Vec::new();
            for place in places {
                let found = step.take(place).ok_or_else(|| Unreadable::new(self.text.clone()))?;
                if found.is_empty() && matches!(step, Step::Key(_)) && !self.optional {
                    return Err(Unreadable::new(self.text.clone()));
                }
                next.extend(found);
            }
            places = next;
        }
        Ok(places)
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

/// The pod that a pod template or a pod spec describes.
fn pod_at(place: &RawValue) -> Option<PodSpec<'_>> {
    let spec = at_key(place, "spec")?.unwrap_or(place);
    serde_json::from_str(spec.get()).ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::super::pod::Image;
    use super::*;

    fn images(workload: &str, object: &Value) -> Result<Vec<String>, String> {
        let object = serde_json::value::to_raw_value(object).unwrap();
        let workload = CustomWorkload::parse(workload).unwrap();
        let images = workload.images(&object).map_err(|error| error.to_string())?;
        let text = |image| match image {
            Image::Named(text) | Image::Reported { id: text, .. } => text.into_owned(),
        };
        Ok(images.into_iter().map(text).collect())
    }

    fn pod(image: &str) -> Value {
        json!({"initContainers": [{"image": format!("{image}-init")}], "containers": [{"name": "c", "image": image}]})
    }

    #[test]
    fn a_text_is_read_into_its_parts_and_written_as_it_was() {
        let text = "argoproj.io/v1alpha1/Rollout=spec.template?,spec.jobs[*].*.template,spec.tool{repository:tag}?";
        let rollout = CustomWorkload::parse(text).unwrap();
        assert_eq!((rollout.group(), rollout.kind()), ("argoproj.io", "Rollout"));
        assert!(rollout.versions().eq(["v1alpha1"]));
        assert_eq!(rollout.to_string(), text);
        let core = CustomWorkload::parse("v1/PodTemplate=template").unwrap();
        assert_eq!((core.group(), core.to_string().as_str()), ("", "v1/PodTemplate=template"));
    }

    #[rstest]
    #[case::nothing("", "is not of the form group/version/Kind=path")]
    #[case::no_path("argoproj.io/v1alpha1/Rollout", "is not of the form")]
    #[case::only_a_kind("Pod=spec", "is not of the form")]
    #[case::too_much("a/b/c/D=spec", "is not of the form")]
    #[case::resource_for_kind("argoproj.io/v1/rollouts=spec", "no valid kind: \"rollouts\"")]
    #[case::empty_group("/v1/Rollout=spec", "is not of the form")]
    #[case::upper_case_group("Argo/v1/Rollout=spec", "no valid group: \"Argo\"")]
    #[case::empty_version("argoproj.io//Rollout=spec", "no valid version: \"\"")]
    #[case::empty_path("argoproj.io/v1/Rollout=", "not understood: \"\"")]
    #[case::empty_second_path("argoproj.io/v1/Rollout=spec,", "not understood: \"\"")]
    #[case::dot_first("argoproj.io/v1/Rollout=.spec", "not understood: \".spec\"")]
    #[case::dot_last("argoproj.io/v1/Rollout=spec.", "not understood: \"spec.\"")]
    #[case::index("argoproj.io/v1/Rollout=spec.a[0]", "not understood: \"spec.a[0]\"")]
    #[case::space("argoproj.io/v1/Rollout=spec. template", "not understood")]
    #[case::no_fields("argoproj.io/v1/Rollout=spec{}", "not understood: \"spec{}\"")]
    #[case::brace_is_open("argoproj.io/v1/Rollout=spec{image", "not understood: \"spec{image\"")]
    #[case::fields_in_the_middle("argoproj.io/v1/Rollout=spec{image}.x", "not understood: \"spec{image}.x\"")]
    #[case::fields_of_nothing("argoproj.io/v1/Rollout={image}", "fields of an image in braces, such as {image} or")]
    fn a_text_that_is_none_is_refused_with_what_is_wrong(#[case] text: &str, #[case] words: &str) {
        let error = CustomWorkload::parse(text).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains(&format!("{text:?}")), "{error}");
    }

    #[rstest]
    #[case::template("g.io/v1/A=spec.template", json!({"spec": {"template": {"spec": pod("a")}}}))]
    #[case::pod_spec("g.io/v1/A=spec.pod", json!({"spec": {"pod": pod("a")}}))]
    #[case::spec_itself("g.io/v1/A=spec", json!({"spec": pod("a")}))]
    #[case::list("g.io/v1/A=spec.jobs[*].template", json!({"spec": {"jobs": [{"template": {"spec": pod("a")}}]}}))]
    #[case::map("g.io/v1/A=spec.jobs.*.template", json!({"spec": {"jobs": {"x": {"template": {"spec": pod("a")}}}}}))]
    #[case::two("g.io/v1/A=spec.gone?,spec.here", json!({"spec": {"here": pod("a")}}))]
    fn a_path_leads_to_templates_and_to_specs(#[case] workload: &str, #[case] object: Value) {
        let mut found = images(workload, &object).unwrap();
        found.sort();
        assert_eq!(found, ["a", "a-init"]);
    }

    #[rstest]
    #[case::text("spec{image}", json!({"spec": {"image": "a"}}), &["a"])]
    #[case::of_a_list("spec.steps[*]{image}", json!({"spec": {"steps": [{"image": "a"}, {"image": "b"}]}}), &["a", "b"])]
    #[case::some_of_a_list("spec.steps[*]{image}?", json!({"spec": {"steps": [{"ref": {}}, {"image": "b"}]}}), &["b"])]
    #[case::parts("spec.image{repository:tag}", json!({"spec": {"image": {"repository": "a", "tag": "1"}}}), &["a:1"])]
    #[case::none("spec.image{repository:tag}?", json!({"spec": {}}), &[])]
    #[case::beside_a_pod("spec{image}?,spec.pod?", json!({"spec": {"image": "x", "pod": pod("a")}}), &["x", "a", "a-init"])]
    fn a_path_with_fields_leads_to_an_image(#[case] path: &str, #[case] object: Value, #[case] found: &[&str]) {
        assert_eq!(images(&format!("g.io/v1/A={path}"), &object).unwrap(), found);
    }

    #[rstest]
    #[case::path_is_mistyped("spec.templte", json!({"spec": {"template": {"spec": pod("a")}}}), "spec.templte")]
    #[case::null("spec.template", json!({"spec": {"template": null}}), "spec.template")]
    #[case::text("spec.template", json!({"spec": {"template": "web"}}), "spec.template")]
    #[case::list_on_the_way("spec.template", json!({"spec": [{"template": {"spec": pod("a")}}]}), "spec.template")]
    #[case::something_else("spec", json!({"spec": {"template": {"spec": pod("a")}}}), "spec")]
    #[case::containers_are_none("spec", json!({"spec": {"containers": "web"}}), "spec")]
    #[case::image_is_none("spec", json!({"spec": {"containers": [{"image": 7}]}}), "spec")]
    #[case::odd_on_the_way("spec.template.spec?", json!({"spec": {"template": 7}}), "spec.template.spec")]
    #[case::no_list_on_the_way("spec.jobs[*].t?", json!({"spec": {"jobs": {"t": pod("a")}}}), "spec.jobs[*].t")]
    #[case::optional_and_odd("spec.template?", json!({"spec": {"template": 7}}), "spec.template")]
    #[case::no_image("spec{image}", json!({"spec": {}}), "spec{image}")]
    #[case::one_step_without("spec.steps[*]{image}", json!({"spec": {"steps": [{"image": "a"}, {}]}}), "spec.steps")]
    #[case::odd_image("spec{image}?", json!({"spec": {"image": {}}}), "spec{image}")]
    #[case::no_object("spec{image}?", json!({"spec": "a"}), "spec{image}")]
    #[case::one_of_many("spec.jobs[*].t", json!({"spec": {"jobs": [{"t": pod("a")}, {}]}}), "spec.jobs[*].t")]
    fn an_object_without_a_pod_where_the_path_leads_cannot_be_read(
        #[case] path: &str,
        #[case] object: Value,
        #[case] words: &str,
    ) {
        let error = images(&format!("g.io/v1/A={path}"), &object).unwrap_err();
        assert!(error.contains(words), "{error}");
    }

    #[rstest]
    #[case::absent("spec.template?", json!({"spec": {"workloadRef": {}}}))]
    #[case::null("spec.template?", json!({"spec": {"template": null}}))]
    #[case::no_spec("spec.template?", json!({}))]
    #[case::empty_list("spec.jobs[*].template", json!({"spec": {"jobs": []}}))]
    fn an_optional_path_and_an_empty_list_may_lead_nowhere(#[case] path: &str, #[case] object: Value) {
        assert_eq!(images(&format!("g.io/v1/A={path}"), &object), Ok(vec![]));
    }
}
