//! A race of a thousand: Deployments are created for tags that are about to go, while a run removes them.
//!
//! What is promised: an image whose Deployment the API server had acknowledged before the last look at a request began
//! is not in that request. From outside, a look cannot be seen. But when as many requests wait in GitLab as a run has
//! at a time, no other is being prepared; so whatever was acknowledged by then may not be in any request that arrives
//! later. Between two such moments everything happens at the same time, and there a Deployment may come too late: for
//! the requests that arrive before the next one of these moments, no more.

use std::collections::BTreeSet;

use futures::future::join_all;
use gitlab_simulator::{Endpoint, Hold, HoldPoint, Matcher, Push, RequestRecord};
use jiff::SignedDuration;
use registry_cleanup_operator::api::{PolicyStatus, RUN_REQUESTED_AT, RunResult};
use rstest::rstest;
use serde_json::json;

use super::{REGISTRY, Scene, pod};
use crate::support::{eventually, in_time};
use crate::world::{Between, Operator, Setup};

/// How many requests a run has on their way at the same time, in one repository: one at first, and one more with each
/// that was answered.
const AT_ONCE: u64 = 4;
/// How a run of Exact removes tags.
#[derive(Clone, Copy)]
struct Removal {
    endpoint: Endpoint,
    /// Tags in one part of a request.
    batch: usize,
    /// Parts of a request at most.
    graphql_batch: u16,
    /// Tags of the repository: so many that they are removed in one go, without a look at what was pushed meanwhile.
    tags: usize,
    /// How many of the last nobody uses: so many that the run comes to its end without being stopped with fewer
    /// requests.
    unused: usize,
    /// Deployments that are created each time the run is stopped, and, twice as many as this, while it goes on.
    created: [usize; 2],
}

const BY_GRAPHQL: Removal = Removal {
    endpoint: Endpoint::GraphqlMutation,
    batch: 20,
    graphql_batch: 1,
    tags: 480,
    unused: 0,
    created: [28, 14],
};
/// As many tags a request as GitLab removes quickly, so that a run is stopped less often.
const IN_DOCUMENTS: Removal = Removal { graphql_batch: 25, ..BY_GRAPHQL };
/// One tag a request, so that a run is stopped more often.
const BY_REST: Removal =
    Removal { endpoint: Endpoint::DeleteTag, batch: 1, graphql_batch: 25, tags: 240, unused: 16, created: [1, 1] };

/// The tags that a request removes.
fn removed(request: &RequestRecord) -> impl Iterator<Item = &String> {
    request.tag_names.iter().chain(&request.tag)
}

/// A Deployment that was acknowledged, and how many requests had arrived when no other was being prepared any more.
struct Created {
    name: String,
    settled: usize,
}

/// A run that is stopped whenever all that it has prepared has arrived in GitLab.
struct Race {
    scene: Scene,
    operator: Operator,
    policy: &'static str,
    removal: Endpoint,
    hold: Hold,
}

impl Race {
    async fn begin(scene: Scene, policy: &'static str, removal: Endpoint, lags: bool, graphql_batch: u16) -> Self {
        scene.apply(&json!({})).await;
        let between = lags.then(Between::with_reluctant_watches);
        let operator = scene.operator_as(Setup { between, graphql_batch, ..Setup::of(&scene.world) }).await;
        let hold = scene.world.sim.hold(Matcher::endpoint(removal), HoldPoint::BeforeProcessing);
        scene.world.annotate(policy, RUN_REQUESTED_AT, "one").await;
        Self { scene, operator, policy, removal, hold }
    }

    /// Waits until so many requests wait in GitLab; answers false when the run is over instead.
    async fn stops(&self, requests: u64) -> bool {
        tokio::select! {
            () = eventually("requests", async || (self.hold.count() == requests).then_some(())) => true,
            () = self.over() => false,
        }
    }

    /// Stops it no more, and waits until it is over.
    async fn ends(&mut self) {
        let none = self.scene.world.sim.hold(Matcher::endpoint(self.removal).times(0), HoldPoint::BeforeProcessing);
        std::mem::replace(&mut self.hold, none).release();
        self.over().await;
    }

    async fn over(&self) {
        let over = |status: &PolicyStatus| status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some());
        let status = self.scene.world.until(self.policy, over).await;
        assert_eq!(status.last_run.as_ref().unwrap().result, RunResult::Succeeded, "{status:#?}");
    }

    /// Lets those that wait go on, and stops the next.
    fn go_on(&mut self) {
        let next = self.scene.world.sim.hold(Matcher::endpoint(self.removal), HoldPoint::BeforeProcessing);
        std::mem::replace(&mut self.hold, next).release();
    }

    /// How many requests have arrived.
    fn arrived(&self) -> usize {
        self.scene.world.sim.requests_to(self.removal).len()
    }

    /// Creates a Deployment for each of these images, at the same time.
    async fn deploy(&self, images: &[String]) {
        let all = images.iter().map(|image| async move {
            let name = image.rsplit('/').next().unwrap().replace(':', "-");
            let image = format!("{REGISTRY}/{image}");
            let mut deployment = super::replicated(&pod(&[image.clone(), image]));
            // The controllers have no part in this.
            deployment["spec"]["paused"] = json!(true);
            self.scene.place.create("apps/v1/Deployment", &name, &deployment).await;
        });
        join_all(all).await;
    }
}

fn tag(position: usize) -> String {
    format!("t{position:03}")
}

/// Some tags of those that come next, evenly spread and each only once.
fn some_of(range: std::ops::Range<usize>, number: usize, taken: &mut BTreeSet<usize>) -> Vec<String> {
    let step = (range.len() / number).max(1);
    let free: Vec<usize> = range.filter(|position| !taken.contains(position)).step_by(step).take(number).collect();
    taken.extend(&free);
    free.into_iter().map(tag).collect()
}

/// One run of Exact over one repository. Answers how many Deployments were created before all requests for their tags,
/// and how many while those were prepared, with how many of the latter came too late.
async fn exact(lags: bool, removal: Removal) -> (usize, usize, usize) {
    let Removal { endpoint, batch, graphql_batch, tags, unused, created: [in_time, meanwhile] } = removal;
    let graphql = endpoint == Endpoint::GraphqlMutation;
    let scene = Scene::set_up(|config| config.settings.graphql = graphql, &[]).await;
    let (now, repository) = (scene.world.now(), scene.repositories[1]);
    scene.world.sim.edit(|registry| {
        for position in 0..tags {
            let days = 24 * (tags - position + 10);
            let at = now - SignedDuration::from_hours(i64::try_from(days).unwrap());
            registry.push(repository, &tag(position), Push::at(at));
        }
    });
    let mut race = Race::begin(scene, "exact", endpoint, lags, graphql_batch).await;
    let (mut created, mut racing) = (Vec::<Created>::new(), Vec::<String>::new());
    let mut taken = BTreeSet::new();
    let (mut before, mut at_once) = (0, 1);
    let image = |tag: &String| format!("shop/exact/app:{tag}");
    while race.stops(at_once).await {
        at_once = (2 * at_once).min(AT_ONCE);
        let settled = race.arrived();
        let settle = |name: String| Created { name, settled };
        created.extend(racing.drain(..).map(settle));
        let requests = race.scene.world.sim.requests_to(endpoint);
        let last = requests.iter().flat_map(removed).max().unwrap();
        let next = (last[1..].parse::<usize>().unwrap() / batch + 1) * batch;
        if next + unused >= tags {
            break;
        }
        let size = batch * usize::try_from(AT_ONCE).unwrap();
        let group = |number: usize| (next + number * size).min(tags)..(next + (number + 1) * size).min(tags);

        let in_time = some_of(group(0), in_time, &mut taken);
        race.deploy(&in_time.iter().map(image).collect::<Vec<_>>()).await;
        assert_eq!(race.arrived(), settled, "nothing was being prepared");
        before += in_time.len();
        created.extend(in_time.into_iter().map(settle));

        racing = some_of(group(0), meanwhile, &mut taken);
        racing.extend(some_of(group(1), meanwhile, &mut taken));
        race.go_on();
        race.deploy(&racing.iter().map(image).collect::<Vec<_>>()).await;
    }
    race.ends().await;
    let requests = race.scene.world.sim.requests_to(endpoint);
    let left: BTreeSet<String> = race.scene.world.tags(repository).into_iter().collect();
    let settled = requests.len();
    created.extend(racing.into_iter().map(|name| Created { name, settled }));
    let mut late = 0;
    for Created { name, settled } in &created {
        let request = requests.iter().position(|request| removed(request).any(|removed| removed == name));
        assert!(
            request.is_none_or(|position| position < *settled),
            "{name} is in use since request {settled}, and request {request:?} removed it"
        );
        assert_eq!(left.contains(name), request.is_none(), "{name}");
        late += usize::from(request.is_some());
    }
    assert_eq!(left.len(), created.len() - late, "what nobody uses goes");
    race.operator.stop().await;
    (before, created.len() - before, late)
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_deployments_created_while_exact_removes_save_their_images(
    #[values(false, true)] watches_lag_behind: bool,
) {
    let (mut all, mut saved_for_certain) = (0, 0);
    while all < 1000 {
        let (before, racing, late) = exact(watches_lag_behind, BY_GRAPHQL).await;
        assert!(before >= 100 && late <= racing, "{before} before all, {late} of {racing} too late");
        all += before + racing;
        saved_for_certain += before;
    }
    assert!(saved_for_certain >= 400);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn deployments_created_while_exact_removes_hundreds_of_tags_a_request_save_their_images(
    #[values(false, true)] watches_lag_behind: bool,
) {
    for _ in 0..3 {
        let (before, racing, late) = exact(watches_lag_behind, IN_DOCUMENTS).await;
        assert!(before >= 28 && late <= racing, "{before} before all, {late} of {racing} too late");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_created_while_exact_removes_tag_by_tag_save_their_images() {
    let (before, racing, late) = exact(true, BY_REST).await;
    assert!(before >= 20 && racing >= 40 && late <= racing, "{before} before all, {late} of {racing} too late");
}

/// Repositories that one run of Bulk asks GitLab to clean, one after the other.
const REPOSITORIES: usize = 40;

/// One run of Bulk over all of them. Answers how many Deployments were created.
async fn bulk(lags: bool) -> usize {
    let scene = Scene::with(&[]).await;
    let path = |number: usize| format!("shop/bulk/r{number:02}");
    let tags: Vec<String> = (0..12).map(|number| format!("tag-{number:02}")).collect();
    let tags_and_ages: Vec<(&str, i64)> = tags.iter().map(|tag| (tag.as_str(), 30)).chain([("young", 1)]).collect();
    let repositories: Vec<u64> =
        (0..REPOSITORIES).map(|number| scene.world.repository(&path(number), &tags_and_ages)).collect();
    let mut race = Race::begin(scene, "bulk", Endpoint::BulkDeleteTags, lags, 25).await;
    let mut created: Vec<(usize, usize, Created)> = Vec::new();
    let mut racing: Vec<(usize, usize)> = Vec::new();
    // Requests leave one by one.
    while race.stops(1).await {
        let settled = race.arrived();
        let image = |(number, tag): &(usize, usize)| format!("{}:{}", path(*number), tags[*tag]);
        let settle = |at: (usize, usize)| (at.0, at.1, Created { name: image(&at), settled });
        created.extend(racing.drain(..).map(settle));
        let requests = race.scene.world.sim.requests_to(Endpoint::BulkDeleteTags);
        let last = requests.last().unwrap().repository.unwrap();
        let next = repositories.iter().position(|id| *id == last).unwrap() + 1;
        let of = |number: usize, tags: std::ops::Range<usize>| {
            tags.filter(move |_| number < REPOSITORIES).map(move |tag| (number, tag)).collect::<Vec<_>>()
        };
        let in_time = of(next, 0..4);
        race.deploy(&in_time.iter().map(image).collect::<Vec<_>>()).await;
        created.extend(in_time.into_iter().map(settle));
        racing = [of(next, 4..7), of(next + 1, 7..10)].concat();
        race.go_on();
        race.deploy(&racing.iter().map(image).collect::<Vec<_>>()).await;
    }
    let requests = race.scene.world.sim.requests_to(Endpoint::BulkDeleteTags);
    assert!(requests.len() > REPOSITORIES / 2, "{}", requests.len());
    let left: Vec<Vec<String>> = repositories.iter().map(|id| race.scene.world.tags(*id)).collect();
    for (number, tag, Created { name, settled }) in &created {
        let gone = !left[*number].contains(&tags[*tag]);
        let request = requests.iter().position(|request| request.repository == Some(repositories[*number]));
        assert!(
            !gone || request.is_some_and(|position| position < *settled),
            "{name} is in use since request {settled}, and request {request:?} removed it"
        );
    }
    in_time("the end", race.operator.stop()).await;
    created.len()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_deployments_created_while_bulk_requests_save_their_images(
    #[values(false, true)] watches_lag_behind: bool,
) {
    let created = bulk(watches_lag_behind).await;
    assert!(created > 300, "{created}");
}
