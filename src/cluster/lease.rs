//! Reads, writes and watches one Lease. Every write names the version that was read, so whoever wrote in between wins.
//!
//! The client for it is one of its own (see [`without_retries`]): an answer that comes late is worth less than none.

use std::pin::Pin;
use std::time::Duration;

use futures::stream::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, Client, Config, ResourceExt};

use super::{ApiError, OPERATOR, watch_one};
use crate::leadership::record::Record;

/// How long the API server keeps one watch open, in seconds. A connection that was cut off silently is noticed after
/// it.
const WATCH_SECONDS: u32 = 60;

/// Why a Lease could not be read or written.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// Somebody wrote, made or removed it since it was read.
    #[error("the Lease was written by somebody else")]
    Conflict,
    /// The API server did not do it.
    #[error(transparent)]
    Api(ApiError),
    /// It did not answer in time.
    #[error("the API server did not answer in time")]
    Timeout,
    /// The watch ended, as watches do.
    #[error("the watch of the Lease ended")]
    Ended,
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) if status.code == 409 => Self::Conflict,
            other => Self::Api(ApiError::from(other)),
        }
    }
}

/// The same way to the API server without repeated calls, and with little patience for connections.
#[must_use]
pub fn without_retries(mut config: Config, connect_timeout: Duration) -> Config {
    config.default_retry = false;
    config.connect_timeout = Some(connect_timeout);
    config
}

/// A Lease as the API server has it.
#[derive(Clone, Debug)]
pub struct Stored(Lease);

impl Stored {
    /// What it says.
    #[must_use]
    pub fn record(&self) -> Record {
        let spec = self.0.spec.clone().unwrap_or_default();
        let time = |time: Option<MicroTime>| time.map(|time| time.0);
        let seconds = |seconds: i32| u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
        Record {
            holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
            duration: spec.lease_duration_seconds.and_then(seconds).map(Duration::from_secs),
            transitions: spec.lease_transitions.and_then(|count| u32::try_from(count).ok()).unwrap_or_default(),
            acquired: time(spec.acquire_time),
            renewed: time(spec.renew_time),
        }
    }

    /// The same object, saying something else. Labels and annotations of others stay.
    fn saying(&self, record: &Record) -> Lease {
        Lease { spec: Some(spec(record)), ..self.0.clone() }
    }
}

fn spec(record: &Record) -> LeaseSpec {
    // Kubernetes keeps microseconds, and what is finer would not compare equal when it comes back.
    let time = |time: Timestamp| MicroTime(Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time));
    LeaseSpec {
        // Empty, not left out: that is how others release a Lease, too.
        holder_identity: Some(record.holder.clone().unwrap_or_default()),
        lease_duration_seconds: record.duration.and_then(|duration| i32::try_from(duration.as_secs()).ok()),
        lease_transitions: Some(i32::try_from(record.transitions).unwrap_or(i32::MAX)),
        acquire_time: record.acquired.map(time),
        renew_time: record.renewed.map(time),
        ..LeaseSpec::default()
    }
}

/// What the Lease came to, as it changes: `None` once somebody has removed it.
pub type Changes = Pin<Box<dyn Stream<Item = Result<Option<Stored>, Error>> + Send>>;

/// One Lease.
#[derive(Clone, Debug)]
pub struct Leases {
    api: Api<Lease>,
    name: String,
    /// How long a call may take.
    timeout: Duration,
}

impl Leases {
    /// The Lease of this name. A call may take as long as `timeout`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: String, timeout: Duration) -> Self {
        Self { api: Api::namespaced(client, namespace), name, timeout }
    }

    /// Reads it.
    ///
    /// # Errors
    /// When the API server does not answer as it should. That there is none is no error.
    pub async fn read(&self) -> Result<Option<Stored>, Error> {
        Ok(self.call(self.api.get_opt(&self.name)).await?.map(Stored))
    }

    /// Makes it.
    ///
    /// # Errors
    /// When there is one by now, or the API server does not answer as it should.
    pub async fn create(&self, record: &Record) -> Result<Stored, Error> {
        let mut lease = Lease { spec: Some(spec(record)), ..Lease::default() };
        lease.metadata.name = Some(self.name.clone());
        lease.labels_mut().insert("app.kubernetes.io/name".to_owned(), OPERATOR.to_owned());
        Ok(Stored(self.call(self.api.create(&parameters(), &lease)).await?))
    }

    /// Writes it, if it still is what was read.
    ///
    /// # Errors
    /// When it is not, or the API server does not answer as it should: then nobody knows what became of it.
    pub async fn replace(&self, stored: &Stored, record: &Record) -> Result<Stored, Error> {
        let lease = stored.saying(record);
        match self.call(self.api.replace(&self.name, &parameters(), &lease)).await {
            Err(Error::Api(ApiError::Refused { code: 404, .. })) => Err(Error::Conflict),
            answer => Ok(Stored(answer?)),
        }
    }

    /// Shows it each time that it changes from what was read. Ends after a minute, or with an error.
    ///
    /// # Errors
    /// When the API server does not answer as it should.
    pub async fn changes(&self, stored: &Stored) -> Result<Changes, Error> {
        let parameters = watch_one::parameters(&self.name, WATCH_SECONDS);
        let version = stored.0.resource_version().unwrap_or_default();
        let events = self.call(self.api.watch(&parameters, &version)).await?;
        let state = |event| Ok(watch_one::state(event?).map_err(|_| Error::Ended)?.map(Stored));
        Ok(events.map(state).boxed())
    }

    async fn call<T>(&self, answer: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Error> {
        Ok(tokio::time::timeout(self.timeout, answer).await.map_err(|_| Error::Timeout)??)
    }
}

fn parameters() -> PostParams {
    PostParams { field_manager: Some(OPERATOR.to_owned()), ..PostParams::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stored(spec: &serde_json::Value) -> Stored {
        let metadata = json!({"name": "lease", "resourceVersion": "7", "annotations": {"owner": "somebody"}});
        Stored(serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap())
    }

    #[test]
    fn what_is_written_reads_the_same_and_leaves_what_others_wrote() {
        let nobody = stored(&json!({"holderIdentity": "", "leaseDurationSeconds": 1}));
        let record = Record {
            holder: Some("me".to_owned()),
            duration: Some(Duration::from_secs(60)),
            transitions: 2,
            acquired: Some("2026-01-01T00:00:00.123456Z".parse().unwrap()),
            renewed: Some("2026-01-01T00:00:00.123456789Z".parse().unwrap()),
        };
        let lease = nobody.saying(&record);
        assert_eq!(lease.metadata, nobody.0.metadata, "the version that guards it included");
        let to_the_microsecond = Some("2026-01-01T00:00:00.123456Z".parse().unwrap());
        assert_eq!(Stored(lease).record(), Record { renewed: to_the_microsecond, ..record });
    }

    #[test]
    fn a_lease_that_was_released_or_says_nonsense_has_no_holder_and_no_duration() {
        for spec in
            [json!({"holderIdentity": "", "leaseDurationSeconds": 0}), json!({"leaseDurationSeconds": -5}), json!({})]
        {
            let record = stored(&spec).record();
            assert_eq!((record.holder, record.duration, record.transitions), (None, None, 0), "{spec}");
        }
    }

    #[test]
    fn a_released_lease_names_an_empty_holder() {
        let record = Record { holder: None, ..stored(&json!({})).record() };
        assert_eq!(spec(&record).holder_identity.as_deref(), Some(""));
    }
}
