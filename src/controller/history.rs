//! Keeps what a run removed beside its policy, where the operator is told to. A record that cannot be written fails no
//! run: the audit trail tells the same.

use kube::{Client, ResourceExt};

use super::context::Context;
use crate::api::RegistryCleanupPolicy;
use crate::causes::chain;
use crate::cluster::history::{self, Error, Part};
use crate::policy::finished_run::FinishedRun;
use crate::policy::history::{Kept, name, surplus};

/// Writes the record of a run that ended, and removes those that are too many.
pub(crate) async fn keep(context: &Context, policy: &RegistryCleanupPolicy, run: &FinishedRun) {
    if context.history_limit == 0 || run.removed.is_empty() {
        return;
    }
    if let Err(error) = written(&context.kube, policy, run, context.history_limit).await {
        tracing::warn!(
            run = run.record.id, namespace = run.namespace, policy = run.name, error = %chain(&error),
            "the record of what the run removed is not kept; the audit trail tells it"
        );
    }
}

async fn written(
    client: &Client,
    policy: &RegistryCleanupPolicy,
    run: &FinishedRun,
    limit: usize,
) -> Result<(), Error> {
    let record = run.ended_record().unwrap_or_else(|| run.record.clone());
    let summary = serde_json::to_string(&run.removed.summary(&record, run.ended)).unwrap_or_default();
    for (number, part) in run.removed.parts.iter().enumerate() {
        let name = name(&policy.name_any(), &run.uid, &run.record.id, number);
        history::write(client, policy, Part { name, summary: summary.clone(), record: part.clone() }).await?;
    }
    let kept = history::list(client, &run.namespace, &run.uid).await?;
    let kept: Vec<Kept> = kept.into_iter().filter_map(|part| Kept::read(part.name, &part.summary)).collect();
    history::remove(client, &run.namespace, &surplus(&kept, limit)).await
}
