//! Lists the statuses of all policies for what they tell of the hour: at the start, and where several installations
//! share the policies, whenever a run begins that may ask for bulk deletions.
//!
//! Of two runs of two installations that begin at the same time, one must see the other. Each has written into its
//! status that it begins, with all hours that it may take; so each looks at all statuses **as of that write**. Writes
//! have an order, and the later one of two sees the earlier one, which does not see it: exactly one of them goes ahead.

use kube::api::{ListParams, VersionMatch};
use kube::{Resource, ResourceExt};

use crate::api::TargetSpec;
use crate::policy::bulk_ledger::Owner;

use super::context::Context;
use super::until_answered::until_answered;

/// Policies in one page of a list. A page is held whole while it is parsed, and others may make each object a megabyte
/// with annotations and what is recorded of them.
pub(super) const PAGE_SIZE: u32 = 10;

fn first_page(as_of: Option<&str>) -> ListParams {
    ListParams {
        resource_version: as_of.map(str::to_owned),
        version_match: as_of.map(|_| VersionMatch::Exact),
        ..ListParams::default().limit(PAGE_SIZE)
    }
}

/// Learns from the statuses of all policies what GitLab took within the last hour: now, or as of a version, and then
/// without what this process did itself. Read leniently: a policy whose spec cannot be read has a status all the same.
/// `None`, if the operator was told to stop before.
///
/// # Errors
/// When the API server refuses. While it does not answer, it is asked again.
pub(super) async fn remember(context: &Context, as_of: Option<&str>) -> Result<Option<()>, kube::Error> {
    let me = context.identity.as_str();
    for api in context.lists() {
        let mut parameters = first_page(as_of);
        loop {
            let ask = || {
                let (api, parameters) = (api.clone(), parameters.clone());
                async move { api.list(&parameters).await }
            };
            let page = match until_answered(&*context.clock, &context.shutdown, ask).await {
                Ok(Some(page)) => page,
                Ok(None) => return Ok(None),
                // So long after its beginning that it cannot be gone on with: from the beginning, then.
                Err(kube::Error::Api(status)) if status.code == 410 && parameters.continue_token.is_some() => {
                    parameters = first_page(as_of);
                    continue;
                }
                Err(error) => return Err(error),
            };
            for policy in &page.items {
                let (status, target) = match &policy.0 {
                    Ok(policy) => (policy.status.as_ref(), Some(&policy.spec.target)),
                    Err(unreadable) => (unreadable.status.as_ref(), unreadable.target.as_ref()),
                };
                let Some(status) = status else { continue };
                let holder = status.last_run.as_ref().and_then(|run| run.holder_identity.as_deref());
                if as_of.is_some() && holder == Some(me) {
                    continue;
                }
                let ran = status.last_run.as_ref().map(|run| run.observed_generation);
                let edited = target.is_none() || ran != policy.meta().generation;
                let name = format!("{}/{}", policy.namespace().unwrap_or_default(), policy.name_any());
                let owner = Owner { uid: policy.meta().uid.as_deref().unwrap_or(&name), name: &name };
                context.ledger().remember(owner, status, target.unwrap_or(&TargetSpec::default()), edited);
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters = ListParams::default().limit(PAGE_SIZE).continue_token(&token),
                None => break,
            }
        }
    }
    context.ledger().prune(context.clock.now());
    Ok(Some(()))
}
