//! Custom workloads: kinds that are named by configuration, with the paths at which their objects hold pods.

use std::fmt;
use std::str::FromStr;

use serde_json::value::RawValue;

use super::json_path::{Step, at_key};
use super::pod::PodSpec;
use super::unreadable::Unreadable;

/// A kind that is no part of Kubernetes itself but makes Pods, or runs images in another way that looks like a Pod.
///
/// Written as `group/version/Kind=path`, with more paths after commas. A path leads from the object to a pod template
/// (which has a `spec` with `containers`) or to a pod spec (which has `containers`). Its segments are separated by
/// dots; `*` stands for every value of a map and `name[*]` for every item of a list. A path that ends in `?` may lead
/// nowhere; without it an object that lacks the path cannot be read, so that a mistyped path does not look like a
/// workload without images.
///
/// - `argoproj.io/v1alpha1/Rollout=spec.template?` (a Rollout with `workloadRef` has no template)
/// - `serving.knative.dev/v1/Service=spec.template`
/// - `apps.openshift.io/v1/DeploymentConfig=spec.template`
/// - `jobset.x-k8s.io/v1alpha2/JobSet=spec.replicatedJobs[*].template.spec.template`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CustomWorkload {
    group: String,
    version: String,
    kind: String,
    paths: Vec<Path>,
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
        "{text:?} has a path that is not understood: {path:?} (names separated by dots, `*`, `name[*]`, `?` at the end)"
    )]
    Path {
        /// The whole text.
        text: String,
        /// The path.
        path: String,
    },
}

/// Where in an object pods are described.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Path {
    /// As it was written, for messages.
    text: String,
    steps: Vec<Step>,
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
        let [group, version, kind] = names[..] else { return Err(form()) };
        let part = |part, found: &str, valid: bool| {
            let error = || CustomWorkloadError::Part { text: text.to_owned(), part, found: found.to_owned() };
            valid.then(|| found.to_owned()).ok_or_else(error)
        };
        Ok(Self {
            group: part("group", group, group.split('.').all(is_label))?,
            version: part("version", version, is_label(version))?,
            kind: part("kind", kind, is_kind(kind))?,
            paths: paths
                .split(',')
                .map(|path| {
                    let error = || CustomWorkloadError::Path { text: text.to_owned(), path: path.to_owned() };
                    Path::parse(path).ok_or_else(error)
                })
                .collect::<Result<_, _>>()?,
        })
    }

    /// Its API group, such as `argoproj.io`.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The version of the group in which it is read.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Its kind, such as `Rollout`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The pods that an object describes.
    pub(super) fn pods<'a>(&self, object: &'a RawValue) -> Result<Vec<PodSpec<'a>>, Unreadable> {
        let mut pods = Vec::new();
        for path in &self.paths {
            for place in path.follow(object)? {
                pods.push(pod_at(place).ok_or_else(|| Unreadable::new(path.text.clone()))?);
            }
        }
        Ok(pods)
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
        write!(f, "{}/{}/{}=", self.group, self.version, self.kind)?;
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
        let mut steps = Vec::new();
        for segment in path.split('.') {
            let (name, each) = segment.strip_suffix("[*]").map_or((segment, false), |name| (name, true));
            steps.push(match name {
                "*" => Step::Each,
                name if is_name(name) => Step::Key(name.to_owned()),
                _ => return None,
            });
            if each {
                steps.push(Step::Each);
            }
        }
        Some(Self { text: path.to_owned(), steps, optional })
    }

    /// All the places that the path leads to.
    fn follow<'a>(&self, object: &'a RawValue) -> Result<Vec<&'a RawValue>, Unreadable> {
        let mut places = vec![object];
        for step in &self.steps {
            let mut next = Vec::new();
            for place in places {
                let found = step.take(place).ok_or_else(|| Unreadable::new(self.text.clone()))?;
                if found.is_empty() && *step != Step::Each && !self.optional {
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
        let pods = workload.pods(&object).map_err(|error| error.to_string())?;
        let text = |image| match image {
            Image::Named(text) | Image::Reported { id: text, .. } => text.into_owned(),
        };
        Ok(pods.iter().flat_map(PodSpec::images).map(text).collect())
    }

    fn pod(image: &str) -> Value {
        json!({"initContainers": [{"image": format!("{image}-init")}], "containers": [{"name": "c", "image": image}]})
    }

    #[test]
    fn a_text_is_read_into_its_parts_and_written_as_it_was() {
        let text = "argoproj.io/v1alpha1/Rollout=spec.template?,spec.jobs[*].*.template";
        let rollout = CustomWorkload::parse(text).unwrap();
        assert_eq!((rollout.group(), rollout.version(), rollout.kind()), ("argoproj.io", "v1alpha1", "Rollout"));
        assert_eq!(rollout.to_string(), text);
    }

    #[rstest]
    #[case::nothing("", "is not of the form group/version/Kind=path")]
    #[case::no_path("argoproj.io/v1alpha1/Rollout", "is not of the form")]
    #[case::core_group("v1/Pod=spec", "is not of the form")]
    #[case::too_much("a/b/c/D=spec", "is not of the form")]
    #[case::resource_for_kind("argoproj.io/v1/rollouts=spec", "no valid kind: \"rollouts\"")]
    #[case::empty_group("/v1/Rollout=spec", "no valid group: \"\"")]
    #[case::upper_case_group("Argo/v1/Rollout=spec", "no valid group: \"Argo\"")]
    #[case::empty_version("argoproj.io//Rollout=spec", "no valid version: \"\"")]
    #[case::empty_path("argoproj.io/v1/Rollout=", "not understood: \"\"")]
    #[case::empty_second_path("argoproj.io/v1/Rollout=spec,", "not understood: \"\"")]
    #[case::dot_first("argoproj.io/v1/Rollout=.spec", "not understood: \".spec\"")]
    #[case::dot_last("argoproj.io/v1/Rollout=spec.", "not understood: \"spec.\"")]
    #[case::index("argoproj.io/v1/Rollout=spec.a[0]", "not understood: \"spec.a[0]\"")]
    #[case::space("argoproj.io/v1/Rollout=spec. template", "not understood")]
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
    #[case::path_is_mistyped("spec.templte", json!({"spec": {"template": {"spec": pod("a")}}}), "spec.templte")]
    #[case::null("spec.template", json!({"spec": {"template": null}}), "spec.template")]
    #[case::text("spec.template", json!({"spec": {"template": "web"}}), "spec.template")]
    #[case::list_on_the_way("spec.template", json!({"spec": [{"template": {"spec": pod("a")}}]}), "spec.template")]
    #[case::something_else("spec", json!({"spec": {"template": {"spec": pod("a")}}}), "spec")]
    #[case::containers_are_none("spec", json!({"spec": {"containers": "web"}}), "spec")]
    #[case::image_is_none("spec", json!({"spec": {"containers": [{"image": 7}]}}), "spec")]
    #[case::optional_and_odd("spec.template?", json!({"spec": {"template": 7}}), "spec.template")]
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
