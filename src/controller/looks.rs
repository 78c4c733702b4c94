//! Looks at policies, each in a task of its own.
//!
//! kube's controller goes through all that it works on whenever one of them gets on, and thousands of policies may wait
//! for their turn. So it only begins looks here, and asks again what one came to once that has ended. What it tells of
//! a policy meanwhile makes it be looked at again, as the controller itself would do it.

use std::any::Any;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::future::BoxFuture;
use kube::ResourceExt;
use kube::runtime::controller::Action as Requeue;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::utils::Predicate;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::currency::Wakes;
use super::neighbours::Guarded;

/// Looks at a policy, and answers when to look again.
type Begin = dyn Fn(Arc<Guarded>) -> BoxFuture<'static, Requeue> + Send + Sync;

/// The looks at the policies of one watch. Two at one policy are never under way at the same time.
pub(crate) struct Looks {
    begin: Box<Begin>,
    wakes: Wakes,
    known: Mutex<HashMap<ObjectRef<Guarded>, Look>>,
    /// How often all policies were to be looked at.
    nudges: AtomicU64,
    tell: UnboundedSender<ObjectRef<Guarded>>,
    tasks: TaskTracker,
}

enum Look {
    UnderWay,
    /// It has ended, and nobody has asked yet what it came to.
    Ended(Sight, Result<Requeue, Panic>),
}

type Panic = Box<dyn Any + Send>;

/// What there was to see of a policy when a look at it began. Anything else is a reason to look again.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Sight {
    uid: Option<String>,
    version: Option<u64>,
    nudges: u64,
}

impl Looks {
    /// Looks that are begun so, and what names the policies of those that have ended.
    pub(crate) fn new(
        wakes: Wakes,
        begin: impl Fn(Arc<Guarded>) -> BoxFuture<'static, Requeue> + Send + Sync + 'static,
    ) -> (Arc<Self>, UnboundedReceiver<ObjectRef<Guarded>>) {
        let (tell, ended) = unbounded();
        let (known, nudges, tasks) = (Mutex::default(), AtomicU64::new(0), TaskTracker::new());
        (Arc::new(Self { begin: Box::new(begin), wakes, known, nudges, tell, tasks }), ended)
    }

    /// Begins a look at a policy, or answers what one came to that has ended, if nothing has changed since it began.
    ///
    /// # Panics
    /// As the look did.
    pub(crate) fn look(self: &Arc<Self>, policy: Arc<Guarded>) -> Requeue {
        let (of, sight) = (ObjectRef::from_obj(&*policy), self.sight(&policy));
        let before = self.known().insert(of.clone(), Look::UnderWay);
        match before {
            // Once it has ended, the policy is held against what there was to see.
            Some(Look::UnderWay) => return Requeue::await_change(),
            Some(Look::Ended(seen, Ok(requeue))) if seen == sight => {
                self.known().remove(&of);
                return requeue;
            }
            Some(Look::Ended(_, Err(panic))) => std::panic::resume_unwind(panic),
            Some(Look::Ended(..)) | None => {}
        }
        // On every line that is logged on its behalf.
        let span = tracing::error_span!("policy", namespace = policy.namespace(), policy = policy.name_any());
        let (looks, look) = (Arc::clone(self), AssertUnwindSafe((self.begin)(policy)));
        let task = async move {
            let came_to = look.catch_unwind().await;
            looks.known().insert(of.clone(), Look::Ended(sight, came_to));
            // Nobody listens any more once the operator ends.
            let _ = looks.tell.unbounded_send(of);
        };
        self.tasks.spawn(task.instrument(span));
        Requeue::await_change()
    }

    /// Every policy is to be looked at again, also those that are looked at just now.
    pub(crate) fn nudge(&self) {
        self.nudges.fetch_add(1, Ordering::SeqCst);
    }

    /// Forgets a policy that is gone.
    pub(crate) fn forget(&self, policy: &ObjectRef<Guarded>) {
        let mut known = self.known();
        if matches!(known.get(policy), Some(Look::Ended(..))) {
            known.remove(policy);
        }
    }

    /// Waits for the looks that are under way. None may begin any more.
    pub(crate) async fn end(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn sight(&self, policy: &Guarded) -> Sight {
        let nudges = self.nudges.load(Ordering::SeqCst);
        Sight { uid: policy.uid(), version: self.wakes.hash_property(policy), nudges }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<ObjectRef<Guarded>, Look>> {
        // The map is valid between any two statements.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::StreamExt;
    use kube::Resource;
    use serde_json::json;
    use tokio::sync::mpsc;

    use super::*;
    use crate::policy::label_selector::LabelSelector;

    fn policy(uid: &str, generation: i64) -> Arc<Guarded> {
        let metadata = json!({"name": "p", "namespace": "team", "uid": uid, "generation": generation});
        Arc::new(serde_json::from_value(json!({"metadata": metadata, "spec": {}})).unwrap())
    }

    /// What a look answers that has looked at this generation.
    fn after(generation: i64) -> Requeue {
        Requeue::requeue(Duration::from_secs(generation.unsigned_abs()))
    }

    /// Looks that end when they are told to, each with the generation that it looked at.
    struct Stage {
        looks: Arc<Looks>,
        ended: UnboundedReceiver<ObjectRef<Guarded>>,
        go_on: mpsc::UnboundedSender<()>,
        begun: mpsc::UnboundedReceiver<i64>,
    }

    impl Stage {
        fn new() -> Self {
            let (go_on, may_end) = mpsc::unbounded_channel();
            let (tell, begun) = mpsc::unbounded_channel();
            let may_end = Arc::new(tokio::sync::Mutex::new(may_end));
            let (looks, ended) = Looks::new(Wakes::new(LabelSelector::default()), move |policy| {
                let (tell, may_end) = (tell.clone(), Arc::clone(&may_end));
                Box::pin(async move {
                    let generation = policy.meta().generation.unwrap();
                    tell.send(generation).unwrap();
                    may_end.lock().await.recv().await.unwrap();
                    assert!(generation > 0, "this look panics");
                    after(generation)
                })
            });
            Self { looks, ended, go_on, begun }
        }

        async fn begins(&mut self, generation: i64) {
            assert_eq!(self.begun.recv().await, Some(generation));
        }

        /// Lets the look end that is under way, and waits until the controller would be told.
        async fn ends(&mut self) {
            self.go_on.send(()).unwrap();
            assert_eq!(self.ended.next().await.unwrap().name, "p");
        }
    }

    #[tokio::test]
    async fn a_look_is_begun_once_and_what_it_came_to_is_told_once() {
        let mut stage = Stage::new();
        assert_eq!(stage.looks.look(policy("a", 3)), Requeue::await_change());
        stage.begins(3).await;
        assert_eq!(stage.looks.look(policy("a", 3)), Requeue::await_change(), "it is under way");
        stage.ends().await;
        assert_eq!(stage.looks.look(policy("a", 3)), after(3));
        assert!(stage.looks.known().is_empty());
        assert_eq!(stage.looks.look(policy("a", 3)), Requeue::await_change());
        stage.begins(3).await;
        assert!(stage.begun.try_recv().is_err(), "two looks were begun for three calls while one was under way");
    }

    #[tokio::test]
    async fn what_changes_while_a_policy_is_looked_at_makes_it_be_looked_at_again() {
        let mut stage = Stage::new();
        stage.looks.look(policy("a", 1));
        stage.begins(1).await;
        // An edit, in whatever order the controller hears of it and of the end.
        stage.ends().await;
        assert_eq!(stage.looks.look(policy("a", 2)), Requeue::await_change());
        stage.begins(2).await;
        // Another policy of the same name.
        stage.ends().await;
        assert_eq!(stage.looks.look(policy("b", 2)), Requeue::await_change());
        stage.begins(2).await;
        // Something that concerns all of them.
        stage.looks.nudge();
        stage.ends().await;
        assert_eq!(stage.looks.look(policy("b", 2)), Requeue::await_change());
        stage.begins(2).await;
        stage.ends().await;
        assert_eq!(stage.looks.look(policy("b", 2)), after(2));
    }

    #[tokio::test]
    async fn a_policy_that_is_gone_is_forgotten_once_its_look_has_ended() {
        let mut stage = Stage::new();
        stage.looks.look(policy("a", 1));
        stage.begins(1).await;
        let gone = ObjectRef::from_obj(&*policy("a", 1));
        stage.looks.forget(&gone);
        assert_eq!(stage.looks.look(policy("b", 1)), Requeue::await_change());
        assert!(stage.begun.try_recv().is_err(), "the look at the other one is under way");
        stage.ends().await;
        stage.looks.forget(&gone);
        assert!(stage.looks.known().is_empty());
    }

    #[tokio::test]
    async fn the_end_waits_for_the_looks_that_are_under_way() {
        let mut stage = Stage::new();
        stage.looks.look(policy("a", 1));
        stage.begins(1).await;
        let looks = Arc::clone(&stage.looks);
        let mut end = Box::pin(looks.end());
        assert!(end.as_mut().now_or_never().is_none());
        stage.ends().await;
        end.await;
    }

    #[tokio::test]
    #[should_panic(expected = "this look panics")]
    async fn a_look_that_panics_is_not_lost() {
        let mut stage = Stage::new();
        stage.looks.look(policy("a", 0));
        stage.begins(0).await;
        stage.ends().await;
        stage.looks.look(policy("a", 0));
    }
}
