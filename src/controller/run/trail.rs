//! What a run leaves of each tag: a line of the audit trail and, of what it removed, an entry of its record.

use std::sync::{Mutex, PoisonError};

use crate::api::Mode;
use crate::gitlab::Repository;
use crate::model::Digest;
use crate::policy::audit::AuditVerdict;
use crate::policy::history::{Fate, Record, Removed};
use crate::policy::repository_outcome::RepositoryReason;

/// The trail of a run.
pub(crate) struct Trail<'a> {
    pub(super) id: &'a str,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) mode: Mode,
    /// What the run removed, where that is kept.
    pub(super) record: Option<&'a Mutex<Record>>,
}

/// What there is to say of a tag.
#[derive(Clone, Copy)]
pub(crate) struct Line<'l> {
    pub(crate) tag: &'l str,
    pub(crate) digest: Option<&'l Digest>,
    pub(crate) bytes: Option<u64>,
    pub(crate) verdict: AuditVerdict,
    pub(crate) reason: &'static str,
    pub(crate) rule: Option<&'l str>,
    pub(crate) used_by: Option<&'l str>,
}

impl<'l> Line<'l> {
    /// A tag of which nothing but its name is known.
    pub(crate) fn new(tag: &'l str, verdict: AuditVerdict, reason: &'static str) -> Self {
        Self { tag, digest: None, bytes: None, verdict, reason, rule: None, used_by: None }
    }
}

impl Trail<'_> {
    /// Notes what becomes, or became, of a tag.
    pub(crate) fn tag(&self, repository: &Repository, line: Line<'_>) {
        let Line { tag, digest, bytes, verdict, reason, rule, used_by } = line;
        let text = digest.map(Digest::text);
        tracing::info!(
            target: "audit",
            run = self.id,
            namespace = self.namespace,
            policy = self.name,
            project = repository.project_path(),
            repository = repository.path,
            tag,
            digest = text.as_deref(),
            bytes,
            mode = self.mode.as_str(),
            verdict = verdict.as_str(),
            reason,
            rule,
            used_by,
            "tag"
        );
        let fate = match verdict {
            AuditVerdict::Remove => Fate::Removed,
            AuditVerdict::Unknown => Fate::Unknown,
            AuditVerdict::Keep | AuditVerdict::Candidate | AuditVerdict::Delete => return,
        };
        let (tag, digest) = (Some(tag.into()), digest.cloned());
        self.record(&Removed { repository: repository.path.as_str().into(), tag, digest, bytes, fate });
    }

    /// Notes that a repository as a whole goes.
    pub(crate) fn repository(&self, repository: &Repository) {
        tracing::info!(
            target: "audit",
            run = self.id,
            namespace = self.namespace,
            policy = self.name,
            project = repository.project_path(),
            repository = repository.path,
            mode = self.mode.as_str(),
            verdict = AuditVerdict::Delete.as_str(),
            reason = RepositoryReason::RepositoryEmpty.as_str(),
            "repository"
        );
        let path = repository.path.as_str().into();
        self.record(&Removed { repository: path, tag: None, digest: None, bytes: None, fate: Fate::Removed });
    }

    fn record(&self, removed: &Removed) {
        if let Some(record) = self.record {
            // It is whole between any two entries.
            record.lock().unwrap_or_else(PoisonError::into_inner).note(removed);
        }
    }
}
