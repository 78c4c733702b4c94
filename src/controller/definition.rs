//! Keeps what is known of the definition of policies in the cluster up to date.

use serde_json::Value;

use crate::api::crd;
use crate::cluster;
use crate::policy::definition::missing;

use super::context::Context;
use crate::causes::chain;

/// Why it is not known what the definition lacks.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server's schema cannot be had.
    #[error(transparent)]
    Served(#[from] cluster::definition::Error),
    /// The operator's own cannot be made, which a test excludes.
    #[error(transparent)]
    Own(#[from] crd::Error),
}

/// The fields that the API server drops because the definition in the cluster is older than this operator.
///
/// # Errors
/// When that cannot be found out.
pub async fn dropped_fields(kube: &kube::Client) -> Result<Vec<String>, Error> {
    let served = cluster::definition::read(kube).await?;
    let own = crd::definition()?;
    let own = own.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap_or(&Value::Null);
    Ok(missing(own, &served))
}

/// Reads the definition if it is time to. Not being able to stops nothing.
pub(super) async fn refresh(context: &Context) {
    {
        let now = context.clock.now();
        let mut definition = context.definition();
        if !definition.is_due(now) {
            return;
        }
        definition.claim(now);
    }
    let dropped = dropped_fields(&context.kube).await;
    let now = context.clock.now();
    let mut definition = context.definition();
    match dropped {
        Ok(fields) => {
            let was_outdated = definition.remark().is_some();
            if definition.note(fields, now) {
                match definition.remark() {
                    Some(remark) => tracing::warn!(detail = remark, "the CRD has to be upgraded"),
                    None if was_outdated => tracing::info!("the CRD is as new as the operator again"),
                    None => {}
                }
            }
        }
        Err(error) => {
            definition.note_unreadable(now);
            tracing::warn!(error = %chain(&error), "it is not known whether the CRD is as new as the operator");
        }
    }
}
