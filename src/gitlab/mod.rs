//! GitLab's container registry API, as one client.
//!
//! [`GitLab`] is made once per process; [`GitLab::connect`] gives a [`Client`] for one server and token. The client
//! knows how GitLab answers, how fast it may be asked and when an answer cannot be trusted. It knows nothing of
//! Kubernetes or policies, and it decides nothing about tags.
//!
//! | file | what it does | pure |
//! |---|---|---|
//! | `settings` | what a connection is made of | yes |
//! | `connection` | HTTP clients and hosts, kept for the process | |
//! | `host` | what is known of one host: its pace, and what was told of it | |
//! | `client` | the endpoints of reading, and the bulk request | |
//! | `tags` | the endpoints of exact deletion | |
//! | `shared_pages` | pages of tags in documents that several readers share | |
//! | `page_queue` | the line of those who want a page | |
//! | `cursors` | cursors of pages in the order of pushes, read and written | yes |
//! | `removals` | the endpoint that removes many tags at once | |
//! | `tag_rules` | the question for the rules by which projects protect tags | |
//! | `protection` | what is known of the rules by which projects protect tags | yes |
//! | `age` | how old the server is | |
//! | `contents` | what images are made of: those inside of an index, and configurations | |
//! | `repositories` | the endpoints about a repository as a whole | |
//! | `graphql` | what GraphQL is asked, by what a server knows | yes |
//! | `graphql_responses` | what GraphQL's answers mean | yes |
//! | `graphql_removals` | what its answers to removals mean | yes |
//! | `graphql_named` | what its answer about tags by name means | yes |
//! | `documents` | documents of GraphQL with several parts, and their answers taken apart | yes |
//! | `document_size` | how much one of them asks for, by the time that answers took | yes |
//! | `in_flight` | how many requests may be under way at the same time | |
//! | `sizes` | the same for what reads and what removes | yes |
//! | `remembered` | what was told of them | yes |
//! | `contents_responses` | the same of what is inside of images | yes |
//! | `responses` | GitLab's JSON, and what each status means | yes |
//! | `maintenance` | the sentences of a GitLab that changes nothing just now | yes |
//! | `http_client` | HTTP clients from what a user configured | |
//! | `certificates` | which certificate of a server is taken | yes |
//! | `resolve` | names into addresses that may be connected to | |
//! | `transport` | sends one request: gate, pace, final check, attempts, redirects, size limit | |
//! | `transport_error` | what a broken connection means | yes |
//! | `pagination` | completeness of lists | yes |
//! | `pacer` | when the next request may leave | yes |
//! | `queue` | waits for that | |
//! | `rate_limit_headers` | rate-limit headers | yes |
//! | `retry` | whether to try again | yes |
//! | `gate` | the caller's permission to send | |
//! | `hostile` | what the readers of answers must hold to, for fuzzing and its test | yes |
//! | `types`, `error`, `lenient` | shapes and failures | yes |
//!
//! What the rest of the operator relies on:
//!
//! - **A list is complete or an error.** Short, empty or inconsistent pages are [`ErrorKind::Incomplete`].
//! - **What removes tags is sent once.** It is repeated only after a proof that GitLab did nothing with it; when its
//!   fate is unknown the error is [`ErrorKind::AnswerLost`].
//! - **The gate is asked before every request**, and everything that waits stops with it. Before one that removes
//!   something, the [`FinalCheck`] is asked as well, after every wait.
//! - **The token goes to one origin**, and neither it nor anything GitLab wrote is in an error.
//! - **A connection is opened only to an address that was judged**: a name that leads to the operator's own machine or
//!   network segment is [`ErrorKind::LocalAddress`], unless it is allowed by name.
//!
//! All waiting goes through [`Clock`](crate::clock::Clock). Only the time-outs of a request on its way are tokio's,
//! since they belong to the connection.

mod age;
mod certificates;
mod client;
mod connection;
mod contents;
mod contents_responses;
mod cursors;
mod document_size;
mod documents;
mod error;
mod gate;
mod graphql;
mod graphql_named;
mod graphql_removals;
mod graphql_responses;
mod host;
#[cfg(any(test, fuzzing))]
pub mod hostile;
mod http_client;
mod in_flight;
mod last_pushes;
mod lenient;
mod maintenance;
mod metrics;
mod pacer;
mod page_queue;
mod pagination;
mod protection;
mod queue;
mod rate_limit_headers;
mod remembered;
mod removals;
mod repositories;
mod resolve;
mod responses;
mod retry;
mod said;
mod settings;
mod shared_pages;
mod sizes;
mod tag_rules;
mod tags;
mod transport;
mod transport_error;
mod types;

pub use crate::proxy::Proxy;
pub use age::Age;
pub use client::Client;
pub use connection::GitLab;
pub use cursors::PushCursor;
pub use error::{Class, Error, ErrorKind, Foreign, Grant, Operation, Setting, TlsProblem, TokenProblem, Unreached};
pub use gate::{AlwaysOpen, FinalCheck, Gate, Stopped};
pub use graphql::NamesOf;
pub use graphql_removals::RemovedPart;
pub use http_client::guarded_client;
pub use metrics::RequestMetrics;
pub use pagination::Gap;
pub use protection::{AccessLevel, TagRule, TagRules};
pub use rate_limit_headers::retry_after;
pub use removals::Together;
pub use resolve::{Lookup, SystemLookup};
pub use said::Said;
pub use settings::{ClientSettings, Connection, RequestLimits};
pub use shared_pages::PagesWanted;
pub use types::{
    Budget, BulkAnswer, Capabilities, Closed, ImagePage, Namespace, Project, Repository, RepositoryDeletion,
    RepositoryNow, RepositoryRef, RepositoryStatus, Tag, TagDetails, TagNow, TagOrder, TagPage, TagRemoval, TokenInfo,
    Version,
};
