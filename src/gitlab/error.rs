//! What can go wrong with a request, in our own words.
//!
//! An error carries what was tried, what happened and a status code. It may not carry a URL, nor a token, nor anything
//! the server wrote but the reason of a refusal, cleaned ([`Said`]): its text ends up in statuses, events and logs, and
//! so does its Debug form. That is why no underlying error is kept as a source.
//!
//! Longer than 500 lines: one enum of everything that can go wrong, with the sentence for each.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;

use super::pagination::Gap;
use super::said::Said;

/// A failed call: what was tried and why it failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to {operation}: {kind}")]
pub struct Error {
    operation: Operation,
    kind: ErrorKind,
}

impl Error {
    pub(super) const fn new(operation: Operation, kind: ErrorKind) -> Self {
        Self { operation, kind }
    }

    /// What was tried.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// Why it failed.
    #[must_use]
    pub const fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// What kind of answer the caller owes this failure.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.kind.class()
    }

    /// Whether the request may have been accepted although no answer says so. The caller counts it as accepted.
    #[must_use]
    pub const fn is_answer_lost(&self) -> bool {
        matches!(self.kind, ErrorKind::AnswerLost | ErrorKind::ForeignAnswer(_))
    }

    /// Whether GitLab failed at what a smaller question may be answered to.
    ///
    /// GitLab behaviour: a page of tags with one whose manifest has no layers is a 500 where sizes are asked for; what
    /// is not told within 30 s is an error; a proxy may give up before that.
    #[must_use]
    pub const fn is_too_much(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Timeout
                | ErrorKind::Server { status: 500 | 502 | 504 | 524 }
                | ErrorKind::Proxy { status: 500 | 502 | 504 | 524 }
        )
    }

    /// Whether GitLab did nothing because it was asked for too much at once.
    #[must_use]
    pub const fn is_too_complex(&self) -> bool {
        matches!(self.kind, ErrorKind::TooComplex)
    }

    /// What gave the answer to a removal away as not GitLab's, if that is what happened.
    #[must_use]
    pub const fn foreign(&self) -> Option<Foreign> {
        match self.kind {
            ErrorKind::ForeignAnswer(foreign) => Some(foreign),
            _ => None,
        }
    }

    /// Whether the request did not leave because the final check said no.
    #[must_use]
    pub const fn is_withdrawn(&self) -> bool {
        matches!(self.kind, ErrorKind::Withdrawn)
    }

    /// Whether GitLab says that the thing does not exist, or hides it from this token (the answer is the same).
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(self.kind, ErrorKind::NotFound)
    }

    /// Whether a list could not be proven complete.
    #[must_use]
    pub const fn is_incomplete(&self) -> bool {
        matches!(self.kind, ErrorKind::Incomplete { .. })
    }

    /// How long GitLab asked to be left alone, where it said so.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self.kind {
            ErrorKind::RateLimited { retry_after, .. } => retry_after,
            _ => None,
        }
    }
}

/// What the client was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// [`GitLab::connect`](super::GitLab::connect); no request is sent.
    Connect,
    /// GET `/version`.
    ReadVersion,
    /// GET `/personal_access_tokens/self`.
    ReadToken,
    /// GET the repositories of a project or group.
    ListRepositories,
    /// GET `/registry/repositories/:id`.
    CountTags,
    /// GET the tags of a repository.
    ListTags,
    /// GET one tag.
    ReadTag,
    /// DELETE the tags of a repository, the bulk request.
    RequestBulkDelete,
    /// The GraphQL query of a repository's tags, and the one that finds out what it may ask for.
    ReadTags,
    /// The GraphQL mutation that removes tags by name.
    RemoveTags,
    /// DELETE one tag.
    RemoveTag,
    /// GET a project, for its own cleanup policy.
    ReadCleanupPolicy,
    /// GET a project.
    ReadProject,
    /// GET the rules by which a project protects tags, or the GraphQL query of them.
    ReadTagRules,
    /// DELETE a repository.
    DeleteRepository,
}

impl Operation {
    /// Whether it is done without where GitLab asks for fewer requests: nothing waits for it, and what it is told about
    /// pace is no word about the others.
    ///
    /// GitLab behaviour: GET `/projects/:id` has a limit of its own, and its 429 looks like that of the whole API.
    pub(super) const fn is_courtesy(self) -> bool {
        matches!(self, Self::ReadToken | Self::ReadProject | Self::ReadCleanupPolicy | Self::ReadTagRules)
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "prepare the connection to GitLab",
            Self::ReadVersion => "read the version of GitLab",
            Self::ReadToken => "read the token's own data",
            Self::ListRepositories => "list repositories",
            Self::CountTags => "count the tags of a repository",
            Self::ListTags => "list the tags of a repository",
            Self::ReadTag => "read a tag",
            Self::RequestBulkDelete => "request a bulk deletion",
            Self::ReadTags => "read a page of tags",
            Self::RemoveTags => "remove tags",
            Self::RemoveTag => "remove a tag",
            Self::ReadCleanupPolicy => "read the cleanup policy of the project",
            Self::ReadProject => "read the project",
            Self::ReadTagRules => "read the tag protection rules of the project",
            Self::DeleteRepository => "delete a repository",
        })
    }
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// 401.
    #[error("GitLab answered 401, the token {0}")]
    Unauthorized(TokenProblem),
    /// 403 because of the token's scopes.
    #[error("GitLab answered 403, the token lacks a scope (api, or read_api to read only)")]
    InsufficientScope,
    /// 403 because a fine-grained token was not granted what it takes, or because a group takes no other tokens.
    #[error(
        "GitLab answered 403: the token lacks the fine-grained permission {0}, or the group takes fine-grained tokens \
         only"
    )]
    MissingGrant(Grant),
    /// 403 because of the role: Reporter reads, Developer removes tags by name, Maintainer requests bulk deletions and
    /// deletes repositories.
    #[error(
        "GitLab answered 403: the role of the token's user may be too low, the registry of the project switched off, \
         or the user blocked"
    )]
    Forbidden,
    /// 404. GitLab answers the same for what does not exist and for what the token may not see.
    #[error("GitLab answered 404, it does not exist or is hidden from the token")]
    NotFound,
    /// A 4xx with a page for people, or the challenge of a firewall: GitLab's API sends JSON, so it was not GitLab, and
    /// says nothing of the token.
    #[error(
        "what answered with {status} is not GitLab but something in front of it: a proxy, a firewall or a sign-in page"
    )]
    Page {
        /// The HTTP status.
        status: u16,
    },
    /// The project is at another path: 405 to a deletion, or repositories with another path than was asked for. GitLab
    /// redirects reading requests only.
    #[error("the project has moved to another path: correct spec.target")]
    Moved,
    /// A redirect that is not followed: to another origin, out of the API, for a deletion, or one too many.
    #[error("GitLab answered {status}, a redirect that is not followed")]
    Redirected {
        /// The HTTP status.
        status: u16,
    },
    /// 429 until the attempts were used up, or a pause that is too long to wait for.
    #[error("too many requests for GitLab's limits (429){}", again(*until))]
    RateLimited {
        /// How long GitLab asked to wait, where it said so.
        retry_after: Option<Duration>,
        /// Until when.
        until: Option<Timestamp>,
    },
    /// GitLab asks for a pause that ends after the gate's deadline, of whoever is patient.
    #[error("GitLab asks for a pause until {until:.0}")]
    Paused {
        /// When it ends.
        until: Timestamp,
    },
    /// 5xx until the attempts were used up.
    #[error("GitLab answered {status}")]
    Server {
        /// The HTTP status.
        status: u16,
    },
    /// 5xx until the attempts were used up, with a page that does not come from GitLab's API: something in front of it
    /// does not reach it, or does not wait for it.
    #[error("a proxy in front of GitLab answered {status} with a page")]
    Proxy {
        /// The HTTP status.
        status: u16,
    },
    /// GitLab is under maintenance or read-only, and says that it did nothing.
    #[error("GitLab is under maintenance or read-only and did nothing{}", again(*until))]
    Maintenance {
        /// When it says that it may be asked again.
        until: Option<Timestamp>,
    },
    /// GitLab answered, but its registry did not do what GitLab asked of it.
    #[error("the registry behind GitLab failed or cannot be reached")]
    Registry,
    /// No connection, or one that broke before the answer was complete.
    #[error("GitLab cannot be reached, {0}")]
    Unreachable(Unreached),
    /// The host, or the proxy in front of it, resolves to addresses of the operator's own machine or network segment
    /// only.
    #[error(
        "{host} resolves to {address}, a loopback, link-local, unspecified or metadata address, to which the operator \
         may not connect unless its flag --allowed-gitlab-hosts (chart: gitlab.allowedHosts) names the host"
    )]
    LocalAddress {
        /// The name that was resolved; it is the policy's, not the server's.
        host: String,
        /// What it resolves to.
        address: IpAddr,
    },
    /// The answer was not complete within [`Connection::timeout`](super::Connection::timeout).
    #[error("GitLab did not answer in time")]
    Timeout,
    /// TLS failed; another attempt would fail the same way.
    #[error("the TLS connection to GitLab failed, {0}")]
    Tls(TlsProblem),
    /// The answer was longer than it can be; reading stopped there.
    #[error("the answer is longer than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// A 2xx answer that is not what GitLab sends.
    #[error("the answer is not one of GitLab's, {what}")]
    InvalidAnswer {
        /// What is wrong with it.
        what: &'static str,
    },
    /// A list that cannot be proven complete. Nothing may be decided from a part of it.
    #[error("the list may be incomplete, {why}")]
    Incomplete {
        /// What gave it away.
        why: Gap,
    },
    /// Another 4xx: GitLab did not do it, and would not the next time.
    #[error("GitLab refused with {status}{}", quoted(said.as_ref()))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it said.
        said: Option<Said>,
    },
    /// This server is too old for it, or it is switched off; what it can do is in
    /// [`Capabilities`](super::Capabilities).
    #[error("this GitLab does not offer it, {what}")]
    Unsupported {
        /// What it does not offer.
        what: &'static str,
    },
    /// GitLab did not begin with a document of GraphQL, since it asks for too much at once.
    #[error("GitLab refused the document as too large and did nothing with it")]
    TooComplex,
    /// The client does not send such a request.
    #[error("it was not sent, {what}")]
    NotSent {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The request was sent and may have been accepted, but no answer says so. Counts as accepted.
    #[error("the answer was lost, the request may have been accepted")]
    AnswerLost,
    /// A request that removes something was answered, but neither with GitLab's yes nor with its no. Counts as
    /// accepted.
    #[error("the answer is not GitLab's, {0}; nobody knows what became of the request, so it counts as accepted")]
    ForeignAnswer(Foreign),
    /// The [`FinalCheck`](super::FinalCheck) said no; it was not sent.
    #[error("it was withdrawn")]
    Withdrawn,
    /// The gate closed; nothing was sent after that.
    #[error("it was stopped")]
    Stopped,
    /// The gate's deadline would have passed before the request could be sent.
    #[error("the deadline has come")]
    DeadlineReached,
    /// A part of the connection cannot be used; no request was sent.
    #[error("{0}")]
    Configuration(Setting),
}

impl ErrorKind {
    /// What kind of answer the caller owes this failure.
    #[must_use]
    pub const fn class(&self) -> Class {
        match self {
            Self::Unauthorized(_) | Self::InsufficientScope | Self::Configuration(Setting::Token) => Class::Credentials,
            Self::MissingGrant(_) | Self::Forbidden | Self::NotFound | Self::Moved => Class::Target,
            Self::RateLimited { .. } => Class::Throttled,
            Self::Paused { .. } => Class::Paused,
            Self::Maintenance { .. } => Class::Maintenance,
            Self::Server { .. }
            | Self::Proxy { .. }
            | Self::Registry
            | Self::Unreachable(_)
            | Self::Timeout
            | Self::Incomplete { .. }
            | Self::AnswerLost
            | Self::ForeignAnswer(_) => Class::Transient,
            Self::Tls(_) | Self::Configuration(Setting::Ca | Setting::Identity) => Class::Tls,
            Self::LocalAddress { .. } | Self::Configuration(Setting::LocalAddress) => Class::Host,
            Self::Stopped | Self::DeadlineReached => Class::Stopped,
            Self::Redirected { .. }
            | Self::Page { .. }
            | Self::TooLarge { .. }
            | Self::TooComplex
            | Self::InvalidAnswer { .. }
            | Self::Refused { .. }
            | Self::Unsupported { .. }
            | Self::NotSent { .. }
            | Self::Withdrawn
            | Self::Configuration(_) => Class::Other,
        }
    }
}

/// A permission of a fine-grained token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Grant {
    /// What listing and reading takes.
    #[error("Container Repository: Read")]
    ReadRepositories,
    /// What removing takes.
    #[error("Container Repository: Delete")]
    DeleteRepositories,
    /// What telling the version takes.
    #[error("Metadata: Read")]
    ReadMetadata,
    /// Another one, by what was asked for.
    #[error("for this request")]
    Other,
}

fn again(until: Option<Timestamp>) -> String {
    until.map_or_else(String::new, |until| format!(": try again at {until:.0}, it says"))
}

fn quoted(said: Option<&Said>) -> String {
    said.map_or_else(String::new, |said| format!(": {said}"))
}

/// Kinds of failure that callers treat alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The token must be replaced or given other scopes.
    Credentials,
    /// The project, group or repository is gone, hidden or not allowed; others may work.
    Target,
    /// The whole host asks for fewer requests.
    Throttled,
    /// The whole host asks for a pause that is too long for this caller.
    Paused,
    /// Nothing can be changed just now, or nothing be read; the same holds for whatever else is asked.
    Maintenance,
    /// May be different the next time.
    Transient,
    /// Certificates must be changed.
    Tls,
    /// The operator may not connect to this host.
    Host,
    /// The caller itself wanted no more requests.
    Stopped,
    /// Needs a human to look at it.
    Other,
}

/// What gives an answer away as not GitLab's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Foreign {
    /// A success, but not the one that GitLab sends.
    #[error("it came with {status} where GitLab sends {expected}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The one of GitLab's yes.
        expected: u16,
    },
    /// A page for people, or another body that GitLab would not send.
    #[error("it is a page or another text, not JSON")]
    Page,
    /// A firewall that wants to see a browser first.
    #[error("it is the challenge of a firewall")]
    Challenge,
    /// JSON that does not say what was removed.
    #[error("it does not say which tags are gone")]
    Untold,
}

/// What GitLab says about a token it does not accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenProblem {
    /// No such token, or none that fits.
    #[error("is not accepted")]
    Rejected,
    /// Its last day has passed.
    #[error("has expired")]
    Expired,
    /// Somebody revoked it.
    #[error("was revoked")]
    Revoked,
}

/// Where a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unreached {
    /// The host name does not resolve.
    #[error("its host name does not resolve")]
    Name,
    /// The proxy did not answer, refused, or cannot reach GitLab.
    #[error("the proxy does not let the connection through")]
    Proxy,
    /// No connection could be opened.
    #[error("no connection could be opened")]
    Connect,
    /// The connection broke before the answer was complete.
    #[error("the connection broke")]
    Broken,
}

/// Why TLS failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TlsProblem {
    /// No trusted authority signed the certificate.
    #[error("its certificate is not signed by a trusted authority")]
    UnknownIssuer,
    /// The certificate names a trusted authority, which did not sign it.
    #[error("its certificate names a trusted authority as its issuer, but the signature is of another key")]
    OtherSignature,
    /// The certificate's time is over.
    #[error("its certificate has expired")]
    Expired,
    /// The certificate's time has not come.
    #[error("its certificate is not valid yet: one of the clocks may be wrong")]
    NotYetValid,
    /// The certificate is for other host names.
    #[error("its certificate is for another host name: the subject alternative names count, a common name does not")]
    OtherName,
    /// The certificate is that of an authority.
    #[error(
        "its certificate is that of an authority (CA:TRUE), which is taken for a server's only where certSecretRef has \
         this very certificate"
    )]
    Authority,
    /// A certificate in the chain is used as that of an authority and is none.
    #[error(
        "a certificate in its chain signed another one and is not that of an authority (CA:FALSE), or not of so many"
    )]
    NoAuthority,
    /// The certificate is not for servers.
    #[error("its certificate is not for servers (extended key usage)")]
    Purpose,
    /// The authority may not sign for this name.
    #[error("its certificate is of an authority that may not sign for this host (name constraints)")]
    NameConstraint,
    /// The signature is of a kind that is not accepted, such as SHA-1.
    #[error("its certificate is signed in a way that is not accepted, such as SHA-1")]
    Algorithm,
    /// The certificate was revoked, or it is not known whether it was.
    #[error("its certificate was revoked, or nobody says that it was not")]
    Revoked,
    /// The certificate is older than version 3.
    #[error("its certificate is of X.509 version 1 or 2, not 3: it has no subject alternative names")]
    OldVersion,
    /// The certificate cannot be read.
    #[error("its certificate cannot be read, or has a critical extension that nobody here knows")]
    Unreadable,
    /// Another fault of the certificate.
    #[error("its certificate failed another check")]
    BadCertificate,
    /// The server ended the handshake, for example because it wants a client certificate.
    #[error("the server ended the handshake")]
    Alert,
    /// Another failure, for example a server that does not speak TLS on this port.
    #[error("the handshake failed")]
    Handshake,
}

/// The part of a connection that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Setting {
    /// Not an absolute http or https URL, or one with user info, query or fragment.
    #[error("the GitLab URL must be an absolute http or https URL without user info, query and fragment")]
    BaseUrl,
    /// Empty, or with characters that no HTTP header can carry.
    #[error("the token is empty or has characters that no HTTP header can carry")]
    Token,
    /// Not PEM, or without a usable certificate.
    #[error("the certificate authority is not PEM or holds no usable certificate")]
    Ca,
    /// Not PEM, without certificate or key, or the two do not belong together.
    #[error("the client certificate is not PEM with a certificate and its key")]
    Identity,
    /// Not an http or https URL.
    #[error("the proxy address must be an http or https URL")]
    Proxy,
    /// The address of GitLab, or of the proxy, is one of the operator's own machine or network segment, and not
    /// allowed.
    #[error(
        "the address of GitLab or of the proxy is a loopback, link-local, unspecified or metadata address, to which \
         the operator may not connect unless its flag --allowed-gitlab-hosts (chart: gitlab.allowedHosts) names it"
    )]
    LocalAddress,
    /// Not a valid header value.
    #[error("the user agent has characters that no HTTP header can carry")]
    UserAgent,
    /// The HTTP client could not be built, for example because the system has no certificate store.
    #[error("the HTTP client could not be built, the system's certificate store may be missing")]
    Client,
}

#[cfg(test)]
mod tests;
