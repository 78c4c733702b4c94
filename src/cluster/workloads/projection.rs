//! What is read of each kind: its name, its version and the images it names. Nothing else is kept or even parsed, least
//! of all managedFields and annotations, which are most of an object (160 kB of memory for a Pod of 13 kB, against 1 kB
//! for this).

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::json_path::{Text, at_key};
use super::kind::Kind;
use super::pod::{Image, PodSpec, PodStatus};
use super::unreadable::Unreadable;

/// An object as the index needs it.
#[derive(Debug)]
pub(super) struct Object<'a> {
    pub(super) meta: Meta<'a>,
    /// What it uses, or that it cannot be told.
    pub(super) uses: Result<Uses<'a>, Unreadable>,
}

/// What an object uses.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Uses<'a> {
    pub(super) images: Vec<Image<'a>>,
    /// When it finished for good, if it did and that is known.
    pub(super) finished: Option<Timestamp>,
}

/// Something that is no Kubernetes object at all.
#[derive(Debug)]
pub(super) struct NoObject;

/// The part of an object's metadata that matters.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default)]
    namespace: Text<'a>,
    #[serde(borrow)]
    resource_version: Text<'a>,
}

impl Meta<'_> {
    /// Namespace and name; cluster-wide objects have an empty namespace. Two objects of a kind never share it at the
    /// same time, and a list or a watch tells of the old one's end before it tells of the new one, so the uid is not
    /// needed.
    pub(super) fn key(&self) -> String {
        format!("{}/{}", self.namespace.0, self.name.0)
    }

    /// The version. Kubernetes promises since 1.35 that these are numbers that grow, and they never were anything else
    /// where objects are in etcd.
    pub(super) fn version(&self) -> Result<u64, NoObject> {
        self.resource_version.0.parse().map_err(|_| NoObject)
    }
}

/// Reads the metadata of an object of any kind.
pub(super) fn meta(object: &RawValue) -> Result<Meta<'_>, NoObject> {
    let only: OnlyMeta<'_> = serde_json::from_str(object.get()).map_err(|_| NoObject)?;
    Ok(only.metadata)
}

/// Reads an object of a kind.
pub(super) fn read<'a>(kind: &Kind, object: &'a RawValue) -> Result<Object<'a>, NoObject> {
    fn parse<'a, T: serde::Deserialize<'a> + Into<Object<'a>>>(object: &'a RawValue) -> Option<Object<'a>> {
        serde_json::from_str::<T>(object.get()).ok().map(T::into)
    }
    let whole = match kind {
        Kind::Pod => parse::<LeanPod<'_>>(object),
        Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet | Kind::ReplicationController => {
            parse::<LeanTemplated<'_>>(object)
        }
        Kind::ControllerRevision => parse::<LeanRevision<'_>>(object),
        Kind::Job => parse::<LeanJob<'_>>(object),
        Kind::CronJob => parse::<LeanCronJob<'_>>(object),
        Kind::Custom(workload) => {
            let uses = workload.images(object).map(|images| Uses { images, finished: None });
            return Ok(Object { meta: meta(object)?, uses });
        }
    };
    match whole {
        Some(whole) => Ok(whole),
        None => Ok(Object { meta: meta(object)?, uses: Err(Unreadable::new(kind.pod_path())) }),
    }
}

#[derive(serde::Deserialize)]
struct OnlyMeta<'a> {
    #[serde(borrow)]
    metadata: Meta<'a>,
}

#[derive(serde::Deserialize)]
struct LeanPod<'a> {
    #[serde(borrow)]
    metadata: Meta<'a>,
    #[serde(borrow)]
    spec: PodSpec<'a>,
    #[serde(borrow, default)]
    status: Option<PodStatus<'a>>,
}

#[derive(serde::Deserialize)]
struct LeanTemplated<'a> {
    #[serde(borrow)]
    metadata: Meta<'a>,
    #[serde(borrow)]
    spec: Templated<'a>,
}

#[derive(serde::Deserialize)]
struct Templated<'a> {
    #[serde(borrow)]
    template: Template<'a>,
}

#[derive(serde::Deserialize)]
struct Template<'a> {
    #[serde(borrow)]
    spec: PodSpec<'a>,
}

#[derive(serde::Deserialize)]
struct LeanJob<'a> {
    #[serde(borrow)]
    metadata: Meta<'a>,
    #[serde(borrow)]
    spec: Templated<'a>,
    #[serde(borrow, default)]
    status: Option<JobStatus<'a>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobStatus<'a> {
    #[serde(borrow, default)]
    conditions: Option<Vec<Condition<'a>>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition<'a> {
    #[serde(rename = "type", borrow, default)]
    type_: Text<'a>,
    #[serde(borrow, default)]
    status: Text<'a>,
    #[serde(borrow, default)]
    last_transition_time: Text<'a>,
}

#[derive(serde::Deserialize)]
struct LeanCronJob<'a> {
    #[serde(borrow)]
    metadata: Meta<'a>,
    #[serde(borrow)]
    spec: CronJobSpec<'a>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct CronJobSpec<'a> {
    #[serde(borrow)]
    job_template: JobTemplate<'a>,
}

#[derive(serde::Deserialize)]
struct JobTemplate<'a> {
    #[serde(borrow)]
    spec: Templated<'a>,
}

/// Holds a patch of the `spec.template` of a `StatefulSet` or `DaemonSet`.
#[derive(serde::Deserialize)]
struct LeanRevision<'a> {
    #[serde(borrow)]
    metadata: Meta<'a>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

impl JobStatus<'_> {
    fn finished(&self) -> Option<Timestamp> {
        let mut over =
            self.conditions.iter().flatten().filter(|condition| {
                matches!(&*condition.type_.0, "Complete" | "Failed") && condition.status.0 == "True"
            });
        over.next().and_then(|condition| condition.last_transition_time.time())
    }
}

impl<'a> Uses<'a> {
    fn of<'s>(pods: impl Iterator<Item = &'s PodSpec<'a>>) -> Self
    where
        'a: 's,
    {
        Self { images: pods.flat_map(PodSpec::images).collect(), finished: None }
    }
}

impl<'a> From<LeanPod<'a>> for Object<'a> {
    fn from(pod: LeanPod<'a>) -> Self {
        let reported = pod.status.iter().flat_map(|status| status.images(&pod.spec));
        let uses = Uses {
            images: pod.spec.images().chain(reported).collect(),
            finished: pod.status.as_ref().and_then(PodStatus::finished),
        };
        Object { meta: pod.metadata, uses: Ok(uses) }
    }
}

impl<'a> From<LeanTemplated<'a>> for Object<'a> {
    fn from(object: LeanTemplated<'a>) -> Self {
        Object { meta: object.metadata, uses: Ok(Uses::of([&object.spec.template.spec].into_iter())) }
    }
}

impl<'a> From<LeanJob<'a>> for Object<'a> {
    fn from(job: LeanJob<'a>) -> Self {
        let uses = Uses::of([&job.spec.template.spec].into_iter());
        let finished = job.status.as_ref().and_then(JobStatus::finished);
        Object { meta: job.metadata, uses: Ok(Uses { finished, ..uses }) }
    }
}

impl<'a> From<LeanCronJob<'a>> for Object<'a> {
    fn from(job: LeanCronJob<'a>) -> Self {
        let uses = Uses::of([&job.spec.job_template.spec.template.spec].into_iter());
        Object { meta: job.metadata, uses: Ok(uses) }
    }
}

impl<'a> From<LeanRevision<'a>> for Object<'a> {
    fn from(revision: LeanRevision<'a>) -> Self {
        let inside = |place: &'a RawValue, key| at_key(place, key).flatten();
        // Other controllers than Kubernetes' own keep other things in their revisions (KubeVirt: virtual machines), so
        // what has no containers at this place is no history of Pods.
        let keys = ["spec", "template", "spec"];
        let spec = revision.data.and_then(|data| keys.into_iter().try_fold(data, inside));
        let uses = match spec.filter(|spec| inside(spec, "containers").is_some()) {
            None => Ok(Uses::default()),
            Some(spec) => serde_json::from_str::<PodSpec<'_>>(spec.get())
                .map(|spec| Uses::of([&spec].into_iter()))
                .map_err(|_| Unreadable::new(Kind::ControllerRevision.pod_path())),
        };
        Object { meta: revision.metadata, uses }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::value::to_raw_value;
    use serde_json::{Value, json};

    use super::*;

    /// Names, image ids each with the name it is reported for, and when it finished.
    type Told = (Vec<String>, Vec<(String, String)>, Option<String>);

    fn uses(kind: &Kind, object: &Value) -> Result<Told, String> {
        let mut object = object.clone();
        object["metadata"] = json!({"name": "web", "namespace": "prod", "resourceVersion": "7", "managedFields": [{}]});
        let object = to_raw_value(&object).unwrap();
        let object = read(kind, &object).unwrap();
        assert_eq!((object.meta.key().as_str(), object.meta.version().unwrap()), ("prod/web", 7));
        let uses = object.uses.map_err(|error| error.to_string())?;
        let (mut names, mut ids) = (Vec::new(), Vec::new());
        for image in uses.images {
            match image {
                Image::Named(name) => names.push(name.into_owned()),
                Image::Reported { id, name } => ids.push((id.into_owned(), name.into_owned())),
            }
        }
        Ok((names, ids, uses.finished.map(|time| time.to_string())))
    }

    fn spec() -> Value {
        json!({
            "containers": [{"name": "a", "image": "a"},
                {"name": "b", "image": "b", "env": [{"name": "image", "value": "not"}]}],
            "initContainers": [{"name": "i", "image": "i", "restartPolicy": "Always"}],
            "volumes": [{"name": "v", "image": {"reference": "v"}}, {"name": "e", "emptyDir": {}}, {"name": "w", "image": {}}],
        })
    }

    #[rstest]
    #[case(Kind::Deployment, json!({"spec": {"template": {"spec": spec()}}}))]
    #[case(Kind::ReplicaSet, json!({"spec": {"template": {"spec": spec()}}}))]
    #[case(Kind::StatefulSet, json!({"spec": {"template": {"spec": spec()}}}))]
    #[case(Kind::DaemonSet, json!({"spec": {"template": {"spec": spec()}}}))]
    #[case(Kind::ReplicationController, json!({"spec": {"template": {"spec": spec()}}}))]
    #[case(Kind::Job, json!({"spec": {"template": {"spec": spec()}}}))]
    #[case(Kind::CronJob, json!({"spec": {"suspend": true, "jobTemplate": {"spec": {"template": {"spec": spec()}}}}}))]
    #[case(Kind::ControllerRevision, json!({"data": {"spec": {"template": {"$patch": "replace", "spec": spec()}}}}))]
    #[case(Kind::Pod, json!({"spec": spec()}))]
    fn every_kind_names_the_images_of_its_containers_and_volumes(#[case] kind: Kind, #[case] object: Value) {
        let names = ["a", "b", "i", "v"].map(str::to_owned).to_vec();
        assert_eq!(uses(&kind, &object), Ok((names, vec![], None)));
    }

    #[test]
    fn a_pod_has_ephemeral_containers_and_image_ids_of_containers_and_volumes() {
        let volume =
            json!([{"name": "v", "mountPath": "/v", "volumeStatus": {"image": {"imageRef": "v@1"}}}, {"name": "e"}]);
        let pod = json!({
            "spec": {
                "containers": [{"name": "main", "image": "a"}, {"name": "other", "image": "b"}],
                "initContainers": [{"name": "init", "image": "i"}],
                "ephemeralContainers": [{"name": "debug", "image": "debug"}],
                "volumes": [{"name": "v", "image": {"reference": "volume"}}, {"name": "e", "emptyDir": {}}],
            },
            "status": {
                "phase": "Running",
                "containerStatuses": [
                    {"name": "main", "imageID": "a@1", "volumeMounts": volume},
                    {"name": "other", "imageID": ""},
                    {"name": "nowhere", "imageID": "n@1"},
                ],
                "initContainerStatuses": [{"name": "init", "imageID": "other-name@1"}],
                "ephemeralContainerStatuses": [{"name": "debug", "imageID": "sha256:1"}],
            },
        });
        let names = ["a", "b", "i", "debug", "volume"].map(str::to_owned).to_vec();
        let ids = [("v@1", "volume"), ("a@1", "a"), ("n@1", ""), ("other-name@1", "i"), ("sha256:1", "debug")];
        let ids = ids.map(|(id, name)| (id.to_owned(), name.to_owned())).to_vec();
        assert_eq!(uses(&Kind::Pod, &pod), Ok((names, ids, None)));
    }

    fn ended(time: &str) -> Value {
        json!({"state": {"terminated": {"exitCode": 0, "finishedAt": time}}})
    }

    const EARLY: &str = "2026-11-22T12:00:00Z";
    const LATE: &str = "2026-11-22T13:00:00Z";

    #[rstest]
    #[case::succeeded("Succeeded", json!([ended(EARLY), ended(LATE)]), Some(LATE))]
    #[case::failed("Failed", json!([ended(EARLY)]), Some(EARLY))]
    #[case::one_never_began(
        "Failed",
        json!([ended(EARLY), {"state": {"waiting": {}}}, {"state": {}}, {}]),
        Some(EARLY),
    )]
    #[case::still_runs("Running", json!([ended(EARLY)]), None)]
    #[case::evicted("Failed", json!([]), None)]
    #[case::on_a_lost_node("Failed", json!([ended(EARLY), {"state": {"running": {"startedAt": EARLY}}}]), None)]
    #[case::no_time("Succeeded", json!([{"state": {"terminated": {"finishedAt": null}}}]), None)]
    #[case::no_phase("", json!([ended(EARLY)]), None)]
    fn a_pod_has_finished_when_its_last_container_ended(
        #[case] phase: &str,
        #[case] statuses: Value,
        #[case] finished: Option<&str>,
    ) {
        let pod = json!({"spec": {"containers": []}, "status": {"phase": phase, "containerStatuses": statuses}});
        assert_eq!(uses(&Kind::Pod, &pod).unwrap().2.as_deref(), finished);
    }

    #[rstest]
    #[case::complete(json!([{"type": "Complete", "status": "True", "lastTransitionTime": EARLY}]), Some(EARLY))]
    #[case::failed(json!([{"type": "FailureTarget", "status": "True", "lastTransitionTime": EARLY},
        {"type": "Failed", "status": "True", "lastTransitionTime": LATE}]), Some(LATE))]
    #[case::not_yet(json!([{"type": "Complete", "status": "False", "lastTransitionTime": EARLY}]), None)]
    #[case::suspended(json!([{"type": "Suspended", "status": "True", "lastTransitionTime": EARLY}]), None)]
    #[case::no_time(json!([{"type": "Complete", "status": "True"}]), None)]
    #[case::none(json!(null), None)]
    fn a_job_has_finished_when_its_conditions_say_so(#[case] conditions: Value, #[case] finished: Option<&str>) {
        let job = json!({"spec": {"template": {"spec": {"containers": []}}}, "status": {"conditions": conditions}});
        assert_eq!(uses(&Kind::Job, &job).unwrap().2.as_deref(), finished);
    }

    #[rstest]
    #[case::pod_without_spec(Kind::Pod, json!({}), "its spec or status")]
    #[case::pod_without_containers(Kind::Pod, json!({"spec": {}}), "its spec or status")]
    #[case::odd_status(Kind::Pod, json!({"spec": {"containers": []}, "status": 7}), "its spec or status")]
    #[case::no_template(Kind::Deployment, json!({"spec": {}}), "spec.template")]
    #[case::metadata_only(Kind::ReplicaSet, json!({}), "spec.template")]
    #[case::odd_image(
        Kind::Job,
        json!({"spec": {"template": {"spec": {"containers": [{"image": []}]}}}}),
        "spec.template",
    )]
    #[case::odd_job(Kind::CronJob, json!({"spec": {"jobTemplate": {}}}), "spec.jobTemplate")]
    #[case::odd_revision(
        Kind::ControllerRevision,
        json!({"data": {"spec": {"template": {"spec": {"containers": 7}}}}}),
        "data.spec.template",
    )]
    fn an_object_that_is_not_as_expected_is_unreadable_and_has_its_name_all_the_same(
        #[case] kind: Kind,
        #[case] object: Value,
        #[case] place: &str,
    ) {
        assert_eq!(uses(&kind, &object), Err(format!("{place} is not understood")));
    }

    #[rstest]
    #[case::virtual_machine(json!({"spec": {"template": {"spec": {"domain": {}}}}}))]
    #[case::other_template(json!({"spec": {"template": "v1"}}))]
    #[case::list(json!([1]))]
    #[case::nothing(json!(null))]
    fn a_revision_of_something_that_makes_no_pods_has_no_images(#[case] data: Value) {
        assert_eq!(uses(&Kind::ControllerRevision, &json!({"data": data})), Ok((vec![], vec![], None)));
    }

    #[rstest]
    #[case::no_metadata(json!({"spec": {"containers": []}}))]
    #[case::no_version(json!({"metadata": {"name": "a"}}))]
    #[case::version_is_no_number(json!({"metadata": {"name": "a", "resourceVersion": "x"}}))]
    fn what_has_no_version_is_no_object(#[case] object: Value) {
        let object = to_raw_value(&object).unwrap();
        assert!(meta(&object).and_then(|meta| meta.version()).is_err());
    }

    #[test]
    fn texts_with_escapes_are_read_as_what_they_mean() {
        let pod = RawValue::from_string(
            r#"{"metadata":{"name":"a","resourceVersion":"1"},"spec":{"containers":[{"image":"a\u002fb"}]}}"#
                .to_owned(),
        );
        let pod = pod.unwrap();
        assert_eq!(read(&Kind::Pod, &pod).unwrap().uses.unwrap().images, [Image::Named("a/b".into())]);
    }
}
