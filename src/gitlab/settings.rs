//! What a connection to GitLab is made of.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{SecretSlice, SecretString};
use url::Url;

use crate::proxy::Proxy;

/// What one host is asked at most, by all policies together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RequestLimits {
    /// Requests per second; values outside 0.01 to 1000 are moved to the nearer end.
    pub requests_per_second: f64,
    /// Parts that one document of GraphQL has: pages of tags, or removals of 20 tags. 1 = one of them a request.
    pub graphql_batch: u16,
    /// Requests that are under way at the same time, whatever they hold.
    pub requests_in_flight: u16,
}

/// Settings for the whole process.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// What one host is asked at most.
    pub limits: RequestLimits,
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
