//! Compiles policies off the threads that everything else runs on, one after another, and keeps what came of it.
//!
//! Any namespace may write policies that take long to compile. Meanwhile the probes are to answer, and runs to go on.

use std::sync::Arc;

use jiff::Timestamp;

use crate::api::RegistryCleanupPolicy;
use crate::policy::compiled_cache::{Outcome, SpecKey};
use crate::policy::{CompiledPolicy, compile, jitter};

use super::context::Context;

/// A policy as it is compiled, from the cache where it is there.
pub(super) async fn compiled(context: &Context, policy: &RegistryCleanupPolicy, now: Timestamp) -> Arc<Outcome> {
    let metadata = &policy.metadata;
    let key = SpecKey::new(metadata.uid.as_deref(), metadata.generation, &policy.spec);
    let known = key.as_ref().and_then(|key| context.compiled().get(key));
    if let Some(outcome) = known {
        return outcome;
    }
    // One at a time: what is compiled takes memory until it is known to be too large. Never closed.
    let _turn = context.compiling.acquire().await;
    let (spec, settings) = (policy.spec.clone(), context.settings.clone());
    let delay = jitter::share(metadata.uid.as_deref().unwrap_or_default(), settings.schedule_jitter);
    let outcome = match tokio::task::spawn_blocking(move || compile(&spec, &settings, now)).await {
        Ok(outcome) => {
            outcome.map(|policy| CompiledPolicy { schedule: policy.schedule.clone().delayed(delay), ..policy })
        }
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, and whoever waits here with it.
            Err(_) => std::future::pending().await,
        },
    };
    let outcome = Arc::new(outcome);
    if let Some(key) = key {
        context.compiled().put(key, Arc::clone(&outcome));
    }
    outcome
}
