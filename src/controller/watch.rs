//! Watches policies and reconciles them: one controller for the whole cluster, or one per namespace.
//!
//! The watch is guarded (an object that does not parse is an error of that object only), backs off when it fails, and
//! lets through only what matters: a new generation, a new value of one of the annotations, or labels by which another
//! installation looks after the policy. The operator's own status
//! writes do not wake it.

use std::collections::{BTreeSet, HashSet};
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{self, FutureExt};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use jiff::SignedDuration;
use kube::runtime::controller::{Action as Requeue, Error as ControllerError};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{Controller, WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio_util::sync::CancellationToken;

use crate::policy::next_action::forget_details;

use super::changes::Changes;
use super::context::Context;
use super::currency::{Currency, Wakes};
use super::definition;
use super::error::Error;
use super::looks::Looks;
use super::neighbours::{Guarded, are_ready};
use super::notify;
use super::permits::Permits;
use super::reconcile::{longest_wait, reconcile};
use super::sightings::Shown;
use super::statuses;
use crate::causes::chain;

/// Each item makes every policy of a watch be looked at.
pub type Nudges = BoxStream<'static, ()>;

/// Where policies are watched.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Scope {
    /// In all namespaces.
    Cluster,
    /// In these namespaces only; the operator needs no permission elsewhere.
    Namespaces(Vec<String>),
}

impl Scope {
    fn apis<T>(&self, one: impl Fn(Option<&str>) -> T) -> Vec<T> {
        match self {
            Self::Cluster => vec![one(None)],
            // Each once: two watches of one namespace would run the same policies side by side.
            Self::Namespaces(names) => {
                names.iter().collect::<BTreeSet<_>>().into_iter().map(|name| one(Some(name))).collect()
            }
        }
    }
}

/// Watches and reconciles until the context's shutdown token is cancelled; runs under way end between two requests
/// first.
///
/// `concurrency` bounds how many runs hold lists of tags at the same time. `nudges` makes every policy be
/// looked at whenever a stream that it makes yields: the tests, which turn the clock, need that. `on_ready` is called
/// once all policies are known.
///
/// # Errors
/// When the API server refuses to list the policies at the start: what GitLab took within the last hour would not be
/// known. While it does not answer, it is asked again.
pub async fn run(
    context: Arc<Context>,
    scope: Scope,
    concurrency: u16,
    nudges: impl Fn() -> Nudges + Send,
    on_ready: impl FnOnce() + Send,
) -> Result<(), kube::Error> {
    context.list_from(scope.apis(|namespace| scoped(&context.kube, namespace)));
    if statuses::remember(&context, None).await?.is_none() {
        return Ok(());
    }
    definition::refresh(&context).await;
    follow_pause(&context).await;
    let permits = Permits::new(concurrency);
    let (controllers, stores): (Vec<_>, Vec<_>) = scope
        .apis(|namespace| {
            let api = scoped(&context.kube, namespace);
            let (reader, writer) = reflector::store();
            let wakes = wakes(&context, nudges());
            (controller(Arc::clone(&context), api, permits.clone(), wakes, (reader.clone(), writer)), reader)
        })
        .into_iter()
        .unzip();
    context.know_policies(stores.clone());
    let ready = async {
        // A store ends its wait with an error when its watch is over, and then there is nothing to be ready for.
        if future::try_join_all(stores.iter().map(Store::wait_until_ready)).await.is_ok() {
            on_ready();
        }
    };
    future::join(future::join_all(controllers), ready).await;
    notify::commit_rest(&context).await;
    Ok(())
}

/// How long the start waits until it is known whether the installation is paused. While it is not, nothing is removed.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// Keeps what is known of the pause of the installation up to date until the operator ends.
async fn follow_pause(context: &Arc<Context>) {
    let Some(pause) = context.pause_switch() else { return };
    let (switch, of) = (Arc::clone(pause), Arc::clone(context));
    tokio::spawn(async move { switch.follow(&*of.clock, &of.shutdown).await });
    let known = tokio::time::timeout(FIRST_LOOK, pause.known(&*context.clock));
    // Whoever is told to end meanwhile gives the Lease back at once.
    let _ = context.shutdown.run_until_cancelled(known).await;
}

/// What makes every policy be looked at.
fn wakes(context: &Context, nudges: Nudges) -> Nudges {
    match context.pause_switch() {
        Some(pause) => stream::select(nudges, pause.changes()).boxed(),
        None => nudges,
    }
}

fn scoped(client: &Client, namespace: Option<&str>) -> Api<Guarded> {
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

async fn controller(
    context: Arc<Context>,
    api: Api<Guarded>,
    permits: Permits,
    nudges: Nudges,
    (reader, writer): (Store<Guarded>, Writer<Guarded>),
) {
    let (mut changes, watching) = (Shown::default(), Arc::clone(&context));
    let matters = Wakes::new(context.shard().clone());
    let config = watcher::Config::default().any_semantic().page_size(statuses::PAGE_SIZE);
    let told = Changes::default();
    let tell = told.clone();
    let policies = watcher(api, config)
        .default_backoff()
        .modify(keep_little(&context))
        .reflect(writer)
        .inspect_ok(move |event| {
            if changes.changes(event) {
                watching.sightings.changed();
            }
        })
        // The store shows it by now.
        .inspect_ok(move |event| tell.tell(event))
        .applied_objects()
        .predicate_filter(matters.clone(), kube::runtime::PredicateConfig::default());
    let currency = Currency::new(reader.clone(), told, context.shard().clone());
    let of = Arc::clone(&context);
    let (looks, ended) =
        Looks::new(matters, move |object| look(object, Arc::clone(&of), currency.clone(), permits.clone()).boxed());
    let (begin, all) = (Arc::clone(&looks), Arc::clone(&looks));
    let (forget, shown) = (reader.clone(), reader.clone());
    let running = Controller::for_stream(policies, reader)
        .reconcile_on(ended)
        .reconcile_all_on(nudges.inspect(move |()| all.nudge()))
        .graceful_shutdown_on(context.shutdown.clone().cancelled_owned())
        .run(
            move |object, _| future::ready(Ok(begin.look(object))),
            |_, never: &Infallible, _| match *never {},
            Arc::new(()),
        )
        .for_each(|result| {
            report(&context, &looks, &forget, result);
            future::ready(())
        });
    tokio::select! {
        () = running => {}
        () = ended_before(&context.shutdown, &shown) => {}
    }
    looks.end().await;
}

/// Looks at a policy, and answers when to look again, whatever came of it.
async fn look(object: Arc<Guarded>, context: Arc<Context>, currency: Currency, permits: Permits) -> Requeue {
    let (uid, begun) = (object.uid().unwrap_or_default(), context.clock.elapsed());
    let result = reconcile(object, Arc::clone(&context), &currency, &permits).await;
    let took = context.clock.elapsed().saturating_sub(begun);
    context.counts.looked(result.is_ok(), took);
    match result {
        Ok(requeue) => {
            context.memory().succeeded(&uid);
            tracing::debug!(action = ?requeue, "looked at a policy");
            requeue
        }
        Err(error) => put_off(&uid, &error, &context),
    }
}

/// Takes off a policy the labels that do not say whose it is, and the details of its status: all are kept.
fn keep_little(context: &Context) -> impl FnMut(&mut Guarded) + use<> {
    let shard = context.shard().clone();
    move |policy| {
        policy.keep_labels(|key| shard.names(key));
        policy.status_mut().map(forget_details);
    }
}

/// Resolves if the operator is told to stop before a watch has shown what there is. Nothing was begun then, and the
/// controller would wait for the rest of a list that nobody reads any more.
async fn ended_before(shutdown: &CancellationToken, store: &Store<Guarded>) {
    shutdown.cancelled().await;
    if are_ready(std::slice::from_ref(store)) {
        future::pending::<()>().await;
    }
}

/// When to look again at a policy that could not be looked at.
fn put_off(uid: &str, error: &Error, context: &Context) -> Requeue {
    let pause = context.memory().failed(uid);
    tracing::warn!(error = %chain(error), retry_in_seconds = pause.as_secs(), "failed to look at a policy");
    Requeue::requeue(jitter(pause, uid).min(longest_wait()))
}

/// Spreads retries of different policies apart by up to a fifth, always the same way for the same policy.
fn jitter(pause: SignedDuration, uid: &str) -> Duration {
    let mut hasher = DefaultHasher::new();
    uid.hash(&mut hasher);
    let pause = Duration::try_from(pause).unwrap_or_default();
    pause + pause.mul_f64(f64::from(u8::try_from(hasher.finish() % 200).unwrap_or_default()) / 1000.0)
}

type Outcome = Result<(ObjectRef<Guarded>, Requeue), ControllerError<Infallible, watcher::Error>>;

fn report(context: &Context, looks: &Looks, store: &Store<Guarded>, outcome: Outcome) {
    match outcome {
        // It has begun a look, or was told of the end of one.
        Ok(_) => {}
        Err(ControllerError::ObjectNotFound(policy)) => {
            tracing::debug!(namespace = policy.namespace, policy = policy.name, "a policy is gone");
            looks.forget(&ObjectRef::new(&policy.name).within(policy.namespace.as_deref().unwrap_or_default()));
            let known: HashSet<String> = store.state().iter().filter_map(|policy| policy.uid()).collect();
            context.memory().retain(|uid| known.contains(uid));
            context.compiled().retain(|uid| known.contains(uid));
            context.sightings.retain(|uid| known.contains(uid));
        }
        Err(ControllerError::QueueError(error)) => {
            tracing::warn!(error = %chain(&error), "the watch of policies failed and is tried again");
        }
        Err(error) => tracing::error!(error = %chain(&error), "the controller failed"),
    }
}
