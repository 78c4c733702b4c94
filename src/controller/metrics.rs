//! All that `/metrics` tells.

use kube::ResourceExt;

use crate::metrics::{Family, Format, write};
use crate::notifications::Notifier;
use crate::policy::metrics;
use crate::policy::pause::Pause;

use super::context::Context;

/// What `/metrics` tells. Policies that are gone take their series along.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
pub fn scrape(context: &Context, format: Format) -> String {
    let watched = context.watched();
    let readable: Vec<_> = watched.iter().filter_map(|object| object.0.as_ref().ok()).collect();
    let known = readable.iter().map(|policy| (policy.namespace().unwrap_or_default(), policy.name_any())).collect();
    context.counts.retain(&known);
    let mut invalid = Family::gauge("invalid_objects", "Objects that cannot be read as policies and are left alone");
    invalid.add(vec![], (watched.len() - readable.len()) as f64);
    let mut all = process(context.leads()).to_vec();
    all.push(invalid);
    all.extend(paused(&context.pause()));
    all.extend(context.counts.families());
    all.extend(context.notifier.iter().flat_map(Notifier::families));
    all.extend(context.gitlab.metrics().families());
    all.extend(metrics::families(readable, context.clock.now()));
    write(&all, format)
}

/// What `/metrics` tells of an operator that does not lead: it knows no policies.
#[must_use]
pub fn scrape_follower(format: Format) -> String {
    write(&process(false), format)
}

/// Whether the installation is paused, where that is known.
fn paused(pause: &Pause) -> Option<Family> {
    let mut family = Family::gauge("paused", "1 while an administrator has paused the operator");
    let value = match pause {
        Pause::On(_) => 1.0,
        Pause::Off => 0.0,
        Pause::Unknown(_) => return None,
    };
    family.add(vec![], value);
    Some(family)
}

/// What is told of the process.
fn process(leads: bool) -> [Family; 2] {
    let mut build =
        Family::gauge("build_info", "1, with the version of the operator and the commit that it is built from");
    let (version, commit) = (env!("CARGO_PKG_VERSION"), env!("REGISTRY_CLEANUP_COMMIT"));
    build.add(vec![("version", version.to_owned()), ("commit", commit.to_owned())], 1.0);
    let mut leader = Family::gauge("leader", "1 while this operator holds the Lease, 0 while it waits for it");
    leader.add(vec![], f64::from(u8::from(leads)));
    [build, leader]
}
