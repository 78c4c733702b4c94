//! A GitLab that only knows its container registry API, and behaves in it as the real server does.
//!
//! A [`Simulator`] listens on loopback and answers `/api/v4` and `/api/graphql`. Its state is a [`Registry`], filled
//! and read by [`Simulator::edit`] and [`Simulator::read`]; its [`Clock`] can stand still and be advanced. Background
//! jobs run when the clock has reached their time. Every request is in a log, [`Fault`]s disturb requests, and a
//! [`Hold`] keeps them open. Dropping the simulator stops it.
//!
//! ```
//! use gitlab_simulator::{Clock, Config, Endpoint, Push, Role, Simulator};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now = "2025-03-01T12:00:00Z".parse()?;
//! let sim = Simulator::start(Config { clock: Clock::manual(now), ..Config::default() }).await?;
//! let (repository, token) = sim.edit(|registry| {
//!     registry.project("shop/backend");
//!     let repository = registry.repository("shop/backend/api");
//!     registry.push(repository, "v1.2.3", Push::at("2025-01-01T00:00:00Z".parse()?));
//!     Ok::<_, jiff::Error>((repository, registry.access_token("shop", Role::Maintainer)))
//! })?;
//! // … point a client at `sim.url()` with that token …
//! sim.advance(jiff::SignedDuration::from_mins(5));
//! assert_eq!(sim.read(|registry| registry.tag_names(repository)), ["v1.2.3"]);
//! assert!(sim.requests_to(Endpoint::BulkDeleteTags).is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! The behaviour is that of "gitlab-api reference", the project's description of GitLab's server; comments name its
//! sections. What is not simulated is listed in this package's README.

mod abilities;
mod admin;
mod api;
mod body;
mod clock;
mod config;
mod faults;
mod graphql;
mod hold;
mod jobs;
mod log;
mod patience;
mod random;
pub mod re2;
pub mod seed;
mod server;
mod state;
mod tls;

use std::{collections::BTreeMap, io, sync::Arc};

use jiff::SignedDuration;
use tokio::{net::TcpListener, task::AbortHandle};
use tokio_rustls::TlsAcceptor;

pub use clock::Clock;
pub use config::{Backend, Config, Maintenance, RateLimit, Settings, StrangeCursors, TagCursors, TagOrder, Version};
pub use faults::{Action, Fault, HoldPoint, Matcher};
pub use hold::Hold;
pub use jobs::{CleanupParams, DurationError, JobKind, JobReport, JobStatus, JobSwitches, Outcome, Sizes};
pub use log::{Endpoint, RequestRecord};
pub use state::{
    CleanupPolicy, DeleteLevel, Group, Project, ProtectionRule, Push, Registry, RegistryAccess, Repository,
    RepositoryStatus, Role, Scope, Tag, TagKind, Token, TokenKind, User, Visibility,
};

use api::Site;
use faults::Rules;
use log::Log;
use server::Shared;
use tls::Identity;

/// Reads an `older_than` as the background job does (gitlab-api reference 2.8): its seconds.
///
/// # Errors
/// What the job raises; the request itself is accepted all the same.
pub fn older_than_seconds(text: &str) -> Result<f64, DurationError> {
    jobs::older_than::seconds(text)
}

/// A running GitLab on loopback.
#[derive(Debug)]
pub struct Simulator {
    shared: Arc<Shared>,
    url: String,
    ca_pem: Option<String>,
    server: AbortHandle,
}

impl Simulator {
    /// Binds and starts to answer.
    ///
    /// # Errors
    /// When the address cannot be bound or no certificate be made.
    pub async fn start(config: Config) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let identity = if config.tls { Some(Identity::generate(&config.tls_names)?) } else { None };
        let scheme = if config.tls { "https" } else { "http" };
        let root = config.relative_url_root.trim_end_matches('/').to_owned();
        let url = format!("{scheme}://{address}{root}");
        let site = Site { url: config.external_url.unwrap_or_else(|| url.clone()).trim_end_matches('/').to_owned() };
        let registry = Registry::new(config.settings, config.clock.clone(), config.random_seed);
        let shared = Arc::new(Shared {
            registry: registry.into(),
            clock: config.clock,
            log: Log::new(),
            rules: Rules::default(),
            site,
            relative_url_root: root,
        });
        let (acceptor, ca_pem) = match identity {
            Some(identity) => (Some(TlsAcceptor::from(identity.server)), Some(identity.ca_pem)),
            None => (None, None),
        };
        let server = tokio::spawn(server::serve(listener, acceptor, Arc::clone(&shared))).abort_handle();
        Ok(Self { shared, url, ca_pem, server })
    }

    /// The address to give to a client, with the relative URL root and without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate authority to trust, as PEM, when https is served.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// The clock everything reads.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.shared.clock.clone()
    }

    /// Advances the clock and runs what is due by then.
    pub fn advance(&self, by: SignedDuration) {
        self.shared.clock.advance(by);
        self.shared.with(|_| ());
    }

    /// Changes the state. Jobs that are due run first.
    pub fn edit<T>(&self, change: impl FnOnce(&mut Registry) -> T) -> T {
        self.shared.with(change)
    }

    /// Reads the state. Jobs that are due run first.
    pub fn read<T>(&self, look: impl FnOnce(&Registry) -> T) -> T {
        self.shared.with(|registry| look(registry))
    }

    /// Every job so far and what became of it; GitLab itself never tells.
    #[must_use]
    pub fn jobs(&self) -> Vec<JobReport> {
        self.read(Registry::jobs)
    }

    /// Adds a rule that disturbs requests.
    pub fn fault(&self, fault: Fault) {
        self.shared.rules.add(fault);
    }

    /// Removes all rules.
    pub fn clear_faults(&self) {
        self.shared.rules.clear();
    }

    /// Keeps matching requests open at a point until the returned handle is released or dropped.
    #[must_use = "dropping the handle releases the requests"]
    pub fn hold(&self, matcher: Matcher, point: HoldPoint) -> Hold {
        Hold::new(Arc::clone(&self.shared), self.shared.rules.hold(matcher, point))
    }

    /// The requests so far, in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.log.all()
    }

    /// The requests to one endpoint.
    #[must_use]
    pub fn requests_to(&self, endpoint: Endpoint) -> Vec<RequestRecord> {
        self.shared.log.to(endpoint)
    }

    /// How many requests each endpoint got since [`Simulator::clear_requests`], also those that the log, which keeps
    /// the last 200,000, has forgotten.
    #[must_use]
    pub fn request_counts(&self) -> BTreeMap<Endpoint, u64> {
        self.shared.log.counts()
    }

    /// Forgets the requests and their counts; their numbers go on.
    pub fn clear_requests(&self) {
        self.shared.log.clear();
    }

    /// Waits until a logged request satisfies the predicate. A record appears on arrival and gets its `status` when it
    /// is answered.
    ///
    /// # Panics
    /// If none comes for two minutes.
    pub async fn wait_for(&self, predicate: impl Fn(&RequestRecord) -> bool) -> RequestRecord {
        patience::in_time("a request that is waited for", self.shared.log.wait_for(predicate)).await
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}
