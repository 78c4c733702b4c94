//! Tells whoever works on a policy, or waits to, that the watch has shown something of it. Thousands may wait at the
//! same time, and the operator writes the status of one after another: nobody is woken for another's sake.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use tokio::sync::watch;

use super::neighbours::Guarded;

/// What one watch tells. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Changes(Arc<Mutex<Listeners>>);

/// By policy, those that somebody has listened to since something was last told of them.
type Listeners = HashMap<ObjectRef<Guarded>, watch::Sender<()>>;

impl Changes {
    /// What tells of a policy from now on.
    pub(crate) fn of(&self, policy: ObjectRef<Guarded>) -> watch::Receiver<()> {
        self.listeners().entry(policy).or_default().subscribe()
    }

    /// Tells what the watch has shown; a list tells of everything once it is whole, also of what is not in it any more.
    pub(crate) fn tell(&self, event: &Event<Guarded>) {
        let mut listeners = self.listeners();
        match event {
            Event::Apply(policy) => {
                let of = ObjectRef::from_obj(policy);
                if listeners.get(&of).is_some_and(|listener| !is_told(listener)) {
                    listeners.remove(&of);
                }
            }
            Event::Delete(policy) => _ = listeners.remove(&ObjectRef::from_obj(policy)).is_some_and(|it| is_told(&it)),
            Event::Init | Event::InitApply(_) => {}
            Event::InitDone => listeners.retain(|_, listener| is_told(listener)),
        }
    }

    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        // The map is valid between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells those who listen, if anybody still does.
fn is_told(listener: &watch::Sender<()>) -> bool {
    listener.send(()).is_ok()
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use serde_json::json;

    use super::*;

    fn policy(name: &str) -> Guarded {
        let metadata = json!({"name": name, "namespace": "team", "uid": "u-1", "resourceVersion": "7"});
        serde_json::from_value(json!({"metadata": metadata, "spec": {}})).unwrap()
    }

    fn listen(changes: &Changes, name: &str) -> watch::Receiver<()> {
        // By name alone: the object may have another version by now, or be another one.
        changes.of(ObjectRef::new(name).within("team"))
    }

    /// Which of these two were told something.
    fn told(listeners: [&mut watch::Receiver<()>; 2]) -> [bool; 2] {
        listeners.map(|listener| matches!(listener.changed().now_or_never(), Some(Ok(()))))
    }

    #[test]
    fn only_who_works_on_a_policy_is_told_of_it_and_a_list_tells_everybody() {
        let changes = Changes::default();
        let (mut shop, mut web) = (listen(&changes, "shop"), listen(&changes, "web"));
        assert_eq!(told([&mut shop, &mut web]), [false, false]);
        changes.tell(&Event::Apply(policy("shop")));
        assert_eq!(told([&mut shop, &mut web]), [true, false]);
        changes.tell(&Event::Init);
        changes.tell(&Event::InitApply(policy("shop")));
        assert_eq!(told([&mut shop, &mut web]), [false, false], "the list is not whole");
        changes.tell(&Event::InitDone);
        assert_eq!(told([&mut shop, &mut web]), [true, true]);
        changes.tell(&Event::Delete(policy("web")));
        assert_eq!(told([&mut shop, &mut web]), [false, true]);
    }

    #[test]
    fn a_policy_that_nobody_works_on_is_forgotten() {
        let changes = Changes::default();
        let kept = listen(&changes, "kept");
        drop((listen(&changes, "one"), listen(&changes, "two")));
        changes.tell(&Event::Apply(policy("one")));
        assert_eq!(changes.listeners().len(), 2);
        changes.tell(&Event::InitDone);
        assert_eq!(changes.listeners().len(), 1);
        drop(kept);
    }
}
