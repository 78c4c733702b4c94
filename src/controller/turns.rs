//! A policy waits for its turn, before anything is begun for it: which permit it wants, and what ends the wait.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;
use url::Url;

use crate::api::Trigger;
use crate::cluster::status;
use crate::policy::next_action::Action;
use crate::policy::status_conditions;
use crate::policy::{CompiledPolicy, Problem};

use super::context::Context;
use super::currency::{AsShown, Currency};
use super::error::Error;
use super::notify::{Change, commit};
use super::permits::{Permit, Permits, Purpose};

/// How often a wait is looked at: whether its time has come, and whether it is long enough to be told.
const LOOK: Duration = Duration::from_secs(1);
/// How long before it would be too late a scheduled run is begun without its permit. It waits for it then.
const IN_TIME: SignedDuration = SignedDuration::from_secs(30);

/// The permit that an action needs.
pub(crate) struct Wanted {
    pub(crate) purpose: Purpose,
    host: String,
    /// When the wait is over also without the permit.
    until: Option<Timestamp>,
}

impl Wanted {
    /// `None` for what only needs the API server.
    pub(crate) fn of(action: &Action, policy: &Result<CompiledPolicy, Problem>) -> Option<Self> {
        let policy = policy.as_ref().ok()?;
        let (purpose, slot) = match action {
            Action::Check => (Purpose::Look, None),
            Action::Begin { trigger: Trigger::DryRunRequested, .. } => (Purpose::Preview, None),
            Action::Begin { slot, .. } => (Purpose::Run, *slot),
            _ => return None,
        };
        let latest = |slot: Timestamp| slot.checked_add(policy.starting_deadline).ok()?.checked_sub(IN_TIME).ok();
        Some(Self { purpose, host: host(&policy.base_url), until: slot.and_then(latest) })
    }
}

fn host(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default())
}

/// Waits for the turns of a policy.
pub(crate) struct Turns<'a> {
    pub(crate) context: &'a Context,
    pub(crate) permits: &'a Permits,
    pub(crate) currency: &'a Currency,
    pub(crate) policy: &'a AsShown,
}

impl Turns<'_> {
    /// The permit, or for a run whose time has come the wait for it. `None` where the policy was changed or asked for
    /// something else meanwhile, or the operator ends: it is to be looked at anew.
    ///
    /// # Errors
    /// When the status could not say that a run waits.
    pub(crate) async fn wait(&self, wanted: &Wanted) -> Result<Option<Permit>, Error> {
        let Self { context, permits, currency, policy } = self;
        let permit = permits.queue(wanted.purpose, &wanted.host, &policy.namespace);
        let untouched = currency.untouched(policy);
        let mut told = false;
        loop {
            tokio::select! {
                biased;
                () = permit.taken() => return Ok(Some(permit)),
                () = context.shutdown.cancelled() => return Ok(None),
                () = untouched.ended() => break,
                // Thousands may wait for a look, which is told nowhere and never too late.
                () = sleep(LOOK), if wanted.purpose != Purpose::Look => {}
            }
            if wanted.until.is_some_and(|until| context.clock.now() >= until) {
                return Ok(Some(permit));
            }
            if !told {
                told = true;
                Box::pin(self.tell(true)).await?;
            }
        }
        if told {
            Box::pin(self.tell(false)).await?;
        }
        Ok(None)
    }

    /// Says in the status whether a run waits for its turn.
    async fn tell(&self, queued: bool) -> Result<(), Error> {
        let policies = self.context.policies(&self.policy.namespace);
        // Never closed.
        let _turn = self.context.steps.acquire().await;
        let Some(live) = status::get_live(&policies, &self.policy.name).await? else { return Ok(()) };
        let mut status = live.status.clone().unwrap_or_default();
        if queued {
            let generation = live.metadata.generation.unwrap_or_default();
            status_conditions::queued(&mut status, self.permits.at_work(), generation, self.context.clock.now());
        } else {
            status_conditions::not_queued(&mut status);
        }
        let change = Change { live, status, events: Vec::new(), action: "Reconcile".to_owned() };
        commit(self.context, change).await.map(drop)
    }
}
