//! The instance most tests use: project `shop/backend` with the repository `shop/backend/api`, and a maintainer.

use gitlab_simulator::{Clock, Config, Push, Role, Settings, Simulator};
use jiff::{SignedDuration, Timestamp};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

/// A running instance with its ids and a maintainer's token.
pub(crate) struct Shop {
    pub(crate) sim: Simulator,
    pub(crate) client: Client,
    /// The project's path, encoded.
    pub(crate) namespace: &'static str,
    pub(crate) project: u64,
    pub(crate) repository: u64,
    pub(crate) token: String,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The `name` of every item of a list.
    pub(crate) fn names(&self) -> Vec<String> {
        self.json().as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn is(&self, status: u16, body: &Value) {
        assert_eq!((self.status, self.json()), (status, body.clone()));
    }

    pub(crate) fn is_message(&self, status: u16, message: &str) {
        self.is(status, &json!({ "message": message }));
    }

    pub(crate) fn is_error(&self, status: u16, error: &str) {
        self.is(status, &json!({ "error": error }));
    }
}

/// Waits for what is sure to come; a test that waits in vain fails instead of hanging.
pub(crate) async fn soon<T>(awaited: impl Future<Output = T>) -> T {
    tokio::time::timeout(std::time::Duration::from_secs(60), awaited).await.expect("something that never came")
}

pub(crate) fn now() -> Timestamp {
    "2025-03-01T12:00:00Z".parse().unwrap()
}

pub(crate) fn days_ago(days: i64) -> Timestamp {
    now().checked_sub(SignedDuration::from_hours(24 * days)).unwrap()
}

pub(crate) async fn send(request: RequestBuilder) -> Reply {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Reply { status, headers, text: response.text().await.expect("a body") }
}

pub(crate) fn client() -> Client {
    Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn version(major: u16, minor: u16) -> Self {
        let version = gitlab_simulator::Version::new(major, minor);
        Self::with(Settings { version, ..Settings::default() }).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        Self::start(Config { settings, ..Config::default() }).await
    }

    /// Any instance, with a clock that stands still.
    pub(crate) async fn start(config: Config) -> Self {
        let sim = Simulator::start(Config { clock: Clock::manual(now()), ..config }).await.unwrap();
        let (project, repository, token) = sim.edit(|registry| {
            let project = registry.project("shop/backend");
            (project, registry.repository("shop/backend/api"), registry.access_token("shop", Role::Maintainer))
        });
        Self { sim, client: client(), namespace: "shop%2Fbackend", project, repository, token }
    }

    /// Pushes tags of an age in days.
    pub(crate) fn push(&self, tags: &[(&str, i64)]) {
        self.sim.edit(|registry| {
            for (name, days) in tags {
                registry.push(self.repository, name, Push::at(days_ago(*days)));
            }
        });
    }

    pub(crate) fn tags(&self) -> Vec<String> {
        self.sim.read(|registry| registry.tag_names(self.repository))
    }

    /// `below` is what follows `/api/v4/projects/:id/registry/repositories`.
    pub(crate) fn path(&self, below: &str) -> String {
        format!("/projects/{}/registry/repositories{below}", self.namespace)
    }

    pub(crate) fn tags_path(&self, below: &str) -> String {
        self.path(&format!("/{}/tags{below}", self.repository))
    }

    /// A request without a token.
    pub(crate) fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}/api/v4{path}", self.sim.url()))
    }

    /// A request of somebody.
    pub(crate) fn by(&self, token: &str, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).header("PRIVATE-TOKEN", token)
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        send(self.by(&self.token, Method::GET, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        send(self.by(&self.token, Method::DELETE, path)).await
    }

    /// E8 with a JSON body.
    pub(crate) async fn bulk(&self, params: &Value) -> Reply {
        send(self.by(&self.token, Method::DELETE, &self.tags_path("")).json(params)).await
    }

    /// E8 with an urlencoded body, as given.
    pub(crate) async fn bulk_form(&self, body: &str) -> Reply {
        let request = self.by(&self.token, Method::DELETE, &self.tags_path(""));
        send(request.header("content-type", "application/x-www-form-urlencoded").body(body.to_owned())).await
    }

    /// A GraphQL request of somebody.
    pub(crate) async fn graphql_by(&self, token: Option<&str>, query: &str, variables: &Value) -> Reply {
        let request = self.client.post(format!("{}/api/graphql", self.sim.url()));
        let request = token.into_iter().fold(request, RequestBuilder::bearer_auth);
        send(request.json(&json!({ "query": query, "variables": variables }))).await
    }

    /// A GraphQL request of the maintainer: its body, sent with status 200.
    pub(crate) async fn graphql(&self, query: &str, variables: &Value) -> Value {
        let reply = self.graphql_by(Some(&self.token), query, variables).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.json()
    }

    /// The repository's id in GraphQL.
    pub(crate) fn gid(&self) -> String {
        format!("gid://gitlab/ContainerRepository/{}", self.repository)
    }

    /// Makes a user with a role at `shop/backend` and returns its token.
    pub(crate) fn member(&self, role: Option<Role>) -> String {
        self.sim.edit(|registry| {
            let user = registry.user(&format!("user-{role:?}"));
            registry.set_role("shop/backend", user, role);
            registry.personal_token(user, &[gitlab_simulator::Scope::Api])
        })
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.sim.advance(SignedDuration::from_secs(seconds));
    }
}
