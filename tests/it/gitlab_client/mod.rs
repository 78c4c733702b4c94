//! The GitLab client against a simulated GitLab, and against peers that are none.

mod bulk;
mod certificates;
mod contents;
mod credentials;
mod documents;
mod failures;
mod gate;
mod lists;
mod names;
mod pace;
mod removals;
mod repositories;
mod secrets;
mod tag_pages;
mod tags_now;
mod transport;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{self, BoxFuture, FutureExt};
use gitlab_simulator::{Action, Config, Endpoint, Fault, Matcher, Push, Role, Settings, Simulator};
use jiff::{SignedDuration, Timestamp};
use registry_cleanup_operator::clock::Clock;
use registry_cleanup_operator::gitlab::{
    self, AlwaysOpen, Client, Connection, ErrorKind, Gate, GitLab, Namespace, Project, RepositoryRef, RequestLimits,
    Stopped,
};
use tokio::sync::watch;

/// Where every test's time begins.
const START: &str = "2026-03-01T12:00:00Z";

/// The simulator's clock as the client's: whoever sleeps moves it forward and wakes at once.
#[derive(Debug)]
struct TestClock {
    time: gitlab_simulator::Clock,
    sleeps: Mutex<Vec<Duration>>,
}

impl TestClock {
    fn sleeps(&self) -> Vec<Duration> {
        self.sleeps.lock().unwrap().clone()
    }

    /// Waits of a second or more: those of the pace at full speed are shorter.
    fn long_sleeps(&self) -> Vec<Duration> {
        self.sleeps().into_iter().filter(|sleep| *sleep >= Duration::from_secs(1)).collect()
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.time.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.sleeps.lock().unwrap().push(duration);
        self.time.advance(SignedDuration::try_from(duration).unwrap());
        future::ready(()).boxed()
    }
}

/// A clock on which sleepers never wake.
#[derive(Debug)]
struct StandingClock {
    asleep: watch::Sender<bool>,
}

impl StandingClock {
    fn new() -> Arc<Self> {
        Arc::new(Self { asleep: watch::Sender::new(false) })
    }

    async fn somebody_sleeps(&self) {
        self.asleep.subscribe().wait_for(|asleep| *asleep).await.unwrap();
    }
}

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        START.parse().unwrap()
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        self.asleep.send_replace(true);
        future::pending().boxed()
    }
}

/// A gate that a test closes.
#[derive(Debug)]
struct TestGate {
    closed: watch::Sender<bool>,
    deadline: Option<Timestamp>,
    /// How long a removal may take; none may leave while there is none.
    removal_time: watch::Sender<Option<Duration>>,
}

impl TestGate {
    fn new(deadline: Option<Timestamp>) -> Arc<Self> {
        let (closed, removal_time) = (watch::Sender::new(false), watch::Sender::new(Some(Duration::MAX)));
        Arc::new(Self { closed, deadline, removal_time })
    }

    fn close(&self) {
        self.closed.send_replace(true);
    }
}

impl Gate for TestGate {
    fn may_send(&self) -> Result<(), Stopped> {
        if *self.closed.borrow() { Err(Stopped) } else { Ok(()) }
    }

    fn removal_time(&self) -> Option<Duration> {
        *self.removal_time.borrow()
    }

    fn removals_opened(&self) -> BoxFuture<'_, ()> {
        async {
            let _ = self.removal_time.subscribe().wait_for(Option::is_some).await;
        }
        .boxed()
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.deadline
    }

    fn stopped(&self) -> BoxFuture<'_, ()> {
        async {
            let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
        }
        .boxed()
    }
}

/// A simulated GitLab with one repository, a client of it, and the clock of both.
struct World {
    sim: Simulator,
    clock: Arc<TestClock>,
    gitlab: GitLab,
    token: String,
    repository: RepositoryRef,
}

impl World {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(settings: impl FnOnce(&mut Settings)) -> Self {
        let mut config = Config::default();
        settings(&mut config.settings);
        Self::from(config).await
    }

    async fn from(config: Config) -> Self {
        let time = gitlab_simulator::Clock::manual(START.parse().unwrap());
        let sim = Simulator::start(Config { clock: time.clone(), ..config }).await.unwrap();
        let clock = Arc::new(TestClock { time, sleeps: Mutex::default() });
        let (project, id, token) = sim.edit(|registry| {
            let project = registry.project("shop/backend");
            let id = registry.repository("shop/backend/web");
            (project, id, registry.access_token("shop", Role::Maintainer))
        });
        let repository = RepositoryRef { project: Project::Id(project), id };
        let gitlab = GitLab::new(full_speed(), clock.clone());
        Self { sim, clock, gitlab, token, repository }
    }

    fn connection(&self) -> Connection {
        connection(self.sim.url(), &self.token)
    }

    fn client(&self) -> Client {
        self.gitlab.connect(&self.connection(), Arc::new(AlwaysOpen)).unwrap()
    }

    /// A client that does not wait long for answers.
    fn hasty_client(&self) -> Client {
        let connection = Connection { timeout: Duration::from_millis(500), ..self.connection() };
        self.gitlab.connect(&connection, Arc::new(AlwaysOpen)).unwrap()
    }

    /// A client that would wait an hour for an answer, so that only something else can end its requests.
    fn patient_client_behind(&self, gate: Arc<TestGate>) -> Client {
        let connection = Connection { timeout: Duration::from_secs(3600), ..self.connection() };
        self.gitlab.connect(&connection, gate).unwrap()
    }

    fn client_behind(&self, gate: Arc<TestGate>) -> Client {
        self.gitlab.connect(&self.connection(), gate).unwrap()
    }

    /// Pushes tags `t-0`, `t-1`, … and returns all names, sorted byte by byte.
    fn push(&self, count: usize) -> Vec<Box<str>> {
        self.sim.edit(|registry| {
            for number in 0..count {
                registry.push(self.repository.id, &format!("t-{number}"), Push::default());
            }
            registry.tag_names(self.repository.id).into_iter().map(String::into_boxed_str).collect()
        })
    }

    fn fault(&self, endpoint: Endpoint, action: Action) {
        self.sim.fault(Fault::new(Matcher::endpoint(endpoint), action));
    }

    /// How many requests there were to an endpoint.
    fn count(&self, endpoint: Endpoint) -> usize {
        self.sim.requests_to(endpoint).len()
    }
}

/// Ends a test that would hang.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it ends")
}

fn full_speed() -> gitlab::ClientSettings {
    gitlab::ClientSettings {
        limits: RequestLimits { requests_per_second: 1000.0, graphql_batch: 25, requests_in_flight: 4 },
        user_agent: "registry-cleanup-operator/test".to_owned(),
        allowed_hosts: ["127.0.0.1", "127.0.0.2"].map(str::to_owned).into(),
    }
}

fn connection(url: &str, token: &str) -> Connection {
    Connection {
        base_url: url.parse().unwrap(),
        token: token.into(),
        ca_pem: None,
        identity_pem: None,
        proxy: None,
        timeout: Duration::from_secs(20),
    }
}

fn shop() -> Namespace {
    Namespace::Group { path: "shop".to_owned() }
}

fn project(path: &str) -> Namespace {
    Namespace::Project(path.into())
}

fn kind<T: std::fmt::Debug>(result: Result<T, gitlab::Error>) -> ErrorKind {
    result.unwrap_err().kind().clone()
}
