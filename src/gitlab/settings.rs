//! What a connection to GitLab is made of.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{SecretSlice, SecretString};
use url::Url;

use crate::proxy::Proxy;

/// Settings for the whole process.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// The ceiling of requests per second to one host, from all policies together; values outside 0.01 to 1000 are
    /// moved to the nearer end.
    pub requests_per_second: f64,
    /// The `User-Agent` of every request.
    pub user_agent: String,
    /// Hosts and addresses that may be the operator's own machine or network segment; see
    /// [`may_be_reached`](crate::hosts::may_be_reached). Whether a token may be sent to a host at all is the caller's
    /// decision.
    pub allowed_hosts: Arc<[String]>,
}

/// One server, one token, and how to get there.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Where GitLab is: `https://gitlab.example.com`, also below a path. An http URL is used as it is: whether that is
    /// allowed is the caller's decision.
    pub base_url: Url,
    /// A personal, project or group access token; it is sent as it is, without trimming.
    pub token: SecretString,
    /// PEM certificates. With them **only** these authorities are trusted, not the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// A client certificate and its key, both PEM, one after the other.
    pub identity_pem: Option<SecretSlice<u8>>,
    /// A proxy for every request. Proxies from the environment are never used.
    pub proxy: Option<Proxy>,
    /// The time for one request from the connection to the last byte of the answer.
    pub timeout: Duration,
}
