//! What outlives a connection: HTTP clients and the lines in front of hosts.
//!
//! [`GitLab`] is the only thing here with state. It may not keep a token: tokens live in a [`Client`] and end with it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use secrecy::ExposeSecret;
use url::Url;

use super::client::Client;
use super::error::{Error, ErrorKind, Operation, Setting};
use super::gate::Gate;
use super::host::Host;
use super::http_client::{Common, api_url, build, token_header};
use super::metrics::RequestMetrics;
use super::page_queue::PageQueue;
use super::protection::ToldRules;
use super::resolve::{Lookup, SystemLookup};
use super::settings::{ClientSettings, Connection};
use super::transport::Http;
use crate::clock::Clock;

/// HTTP clients kept at most; the one unused for longest goes first. Clients differ by server and certificates, so
/// there are few; the bound is for certificates that change every day.
const MOST_CLIENTS: usize = 32;

/// Hosts from which on idle ones are forgotten.
const MOST_HOSTS: usize = 256;

/// The HTTP clients and the pace of one process; make it once and share it.
pub struct GitLab {
    settings: ClientSettings,
    clock: Arc<dyn Clock>,
    lookup: Arc<dyn Lookup>,
    kept: Mutex<Kept>,
    metrics: RequestMetrics,
    /// Keys the cache below by hash, with a secret of this process: a key cannot be aimed at.
    hasher: RandomState,
}

#[derive(Default)]
struct Kept {
    clients: HashMap<u64, KeptClient>,
    hosts: HashMap<String, Arc<Host>>,
    uses: u64,
}

struct KeptClient {
    client: reqwest::Client,
    last_use: u64,
}

impl GitLab {
    /// Makes the one instance of this process.
    #[must_use]
    pub fn new(settings: ClientSettings, clock: Arc<dyn Clock>) -> Self {
        Self::with_lookup(settings, clock, Arc::new(SystemLookup))
    }

    /// The same, with something else than the system's resolver to find the addresses of names.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "a key of the cache cannot be guessed outside this process")]
    pub fn with_lookup(settings: ClientSettings, clock: Arc<dyn Clock>, lookup: Arc<dyn Lookup>) -> Self {
        Self {
            settings,
            clock,
            lookup,
            kept: Mutex::default(),
            metrics: RequestMetrics::default(),
            hasher: RandomState::new(),
        }
    }

    /// What its requests cost.
    #[must_use]
    pub fn metrics(&self) -> &RequestMetrics {
        &self.metrics
    }

    /// A client for one connection. Sends nothing; connections are opened with the first request.
    ///
    /// Clients of the same server, certificates and proxy share their HTTP connections whatever their tokens, and all
    /// clients of one host share its pace.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] when a part of the connection cannot be used.
    pub fn connect(&self, connection: &Connection, gate: Arc<dyn Gate>) -> Result<Client, Error> {
        self.http(connection, gate)
            .map(Client::new)
            .map_err(|setting| Error::new(Operation::Connect, ErrorKind::Configuration(setting)))
    }

    fn http(&self, connection: &Connection, gate: Arc<dyn Gate>) -> Result<Http, Setting> {
        let api = api_url(&connection.base_url)?;
        let token = token_header(connection.token.expose_secret())?;
        let client = self.client(connection)?;
        Ok(Http {
            client,
            host: self.host(&api),
            api,
            token,
            timeout: connection.timeout,
            proxied: connection.proxy.is_some(),
            reads_only: false,
            gate,
            cuts_in: Arc::default(),
            belongs: false,
            pages: Some(Arc::new(PageQueue::new(self.settings.limits.requests_in_flight.into()))),
            final_check: None,
            tag_rules: ToldRules::default(),
            sent: Arc::default(),
            clock: Arc::clone(&self.clock),
        })
    }

    fn client(&self, connection: &Connection) -> Result<reqwest::Client, Setting> {
        let key = self.key(connection);
        let mut kept = self.kept();
        kept.uses = kept.uses.wrapping_add(1);
        let last_use = kept.uses;
        if let Some(found) = kept.clients.get_mut(&key) {
            found.last_use = last_use;
            return Ok(found.client.clone());
        }
        let ClientSettings { user_agent, allowed_hosts, .. } = &self.settings;
        let client = build(connection, &Common { user_agent, allowed_hosts, lookup: &self.lookup })?;
        if kept.clients.len() >= MOST_CLIENTS
            && let Some(oldest) = kept.clients.iter().min_by_key(|(_, kept)| kept.last_use).map(|(key, _)| *key)
        {
            kept.clients.remove(&oldest);
        }
        kept.clients.insert(key, KeptClient { client: client.clone(), last_use });
        Ok(client)
    }

    /// Everything an HTTP client is built from. The token is not part of it, and the time-out is set per request.
    fn key(&self, connection: &Connection) -> u64 {
        let proxy = connection.proxy.as_ref().map(|proxy| {
            let password = proxy.password.as_ref().map(ExposeSecret::expose_secret);
            (&proxy.address, &proxy.username, password)
        });
        let identity = connection.identity_pem.as_ref().map(ExposeSecret::expose_secret);
        self.hasher.hash_one((&connection.base_url, &connection.ca_pem, identity, proxy))
    }

    /// What a connection is known by in this process, its token included: two with the same one get the same answers.
    /// It tells nothing of the token.
    #[must_use]
    pub fn fingerprint(&self, connection: &Connection) -> u64 {
        self.hasher.hash_one((self.key(connection), connection.token.expose_secret()))
    }

    fn host(&self, api: &Url) -> Arc<Host> {
        let name =
            format!("{}:{}", api.host_str().unwrap_or_default(), api.port_or_known_default().unwrap_or_default());
        let now = self.clock.now();
        let mut kept = self.kept();
        if kept.hosts.len() >= MOST_HOSTS {
            kept.hosts.retain(|_, host| Arc::strong_count(host) > 1 || !host.turns.is_idle(now));
        }
        let counts = || self.metrics.of(api.host_str().unwrap_or_default());
        let new = || Arc::new(Host::new(self.settings.limits, now, counts()));
        Arc::clone(kept.hosts.entry(name).or_insert_with(new))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // The maps are valid between any two statements.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for GitLab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GitLab").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::gate::AlwaysOpen;
    use std::time::Duration;

    use super::*;
    use crate::clock::SystemClock;
    use crate::gitlab::RequestLimits;
    use crate::proxy::Proxy;

    fn connection(base_url: &str) -> Connection {
        Connection {
            base_url: base_url.parse().unwrap(),
            token: "glpat-marker".into(),
            ca_pem: None,
            identity_pem: None,
            proxy: None,
            timeout: Duration::from_secs(1),
        }
    }

    fn gitlab() -> GitLab {
        let settings = ClientSettings {
            limits: RequestLimits { requests_per_second: 1.0, graphql_batch: 1, requests_in_flight: 4 },
            user_agent: "test".to_owned(),
            allowed_hosts: Arc::default(),
        };
        GitLab::new(settings, Arc::new(SystemClock))
    }

    #[test]
    fn clients_are_kept_by_what_they_are_built_from_and_never_by_token() {
        let gitlab = gitlab();
        let connect = |connection: Connection| gitlab.connect(&connection, Arc::new(AlwaysOpen)).unwrap();
        let first = connection("https://a.example");
        connect(first.clone());
        connect(Connection { token: "another".into(), timeout: Duration::from_secs(9), ..first.clone() });
        assert_eq!(gitlab.kept().clients.len(), 1);
        let proxy = |password: &str| Proxy {
            address: "http://proxy.example:3128".parse().unwrap(),
            username: Some("user".to_owned()),
            password: Some(password.into()),
        };
        connect(Connection { proxy: Some(proxy("one")), ..first.clone() });
        connect(Connection { proxy: Some(proxy("two")), ..first });
        assert_eq!(gitlab.kept().clients.len(), 3);
    }

    #[test]
    fn only_so_many_clients_are_kept_and_the_oldest_goes_first() {
        let gitlab = gitlab();
        let connect = |host: usize| {
            let connection = connection(&format!("http://host{host}.example"));
            gitlab.connect(&connection, Arc::new(AlwaysOpen)).unwrap();
            gitlab.key(&connection)
        };
        let keys: Vec<_> = (0..MOST_CLIENTS).map(connect).collect();
        connect(0);
        connect(MOST_CLIENTS);
        assert_eq!(gitlab.kept().clients.len(), MOST_CLIENTS);
        assert!(gitlab.kept().clients.contains_key(&keys[0]));
        assert!(!gitlab.kept().clients.contains_key(&keys[1]));
    }

    #[test]
    fn all_clients_of_a_host_share_its_pace() {
        let gitlab = gitlab();
        let host = |url: &str| gitlab.host(&api_url(&url.parse().unwrap()).unwrap());
        assert!(Arc::ptr_eq(&host("https://a.example"), &host("https://A.example:443/gitlab")));
        assert!(!Arc::ptr_eq(&host("https://a.example"), &host("https://a.example:8443")));
    }

    #[test]
    fn hosts_that_nobody_uses_are_forgotten_when_there_are_too_many() {
        let gitlab = gitlab();
        let host = |name: usize| gitlab.host(&format!("https://host{name}.example/api/v4/").parse().unwrap());
        let used = host(0);
        for name in 1..=MOST_HOSTS {
            host(name);
        }
        assert!(gitlab.kept().hosts.len() < MOST_HOSTS);
        assert!(Arc::ptr_eq(&used, &host(0)));
    }

    #[test]
    fn no_secret_is_in_a_debug_form() {
        let connection = Connection {
            identity_pem: Some(b"marker".to_vec().into()),
            proxy: Some(Proxy {
                address: "http://proxy.example".parse().unwrap(),
                username: Some("user".to_owned()),
                password: Some("marker".into()),
            }),
            ..connection("https://a.example")
        };
        assert!(!format!("{connection:?}").contains("marker"));
    }
}
