//! Watches the registry itself and says which tag went that had to stay.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::content::{Content, Facts, PROTECTED};
use crate::disturb::LONGEST_DELAY;

/// How often the registry is looked at.
const LOOK: Duration = Duration::from_millis(25);
/// After a workload names a tag, the request that removes it may be under way already for so long: docs/in-use.md says
/// three seconds, GitLab may take its time for the request, and two seconds are for this machine.
const USE_WINDOW: Duration = Duration::from_secs(3 + 2);
/// The same after a push: docs/methods.md says half a minute.
const PUSH_WINDOW: Duration = Duration::from_secs(30 + 2);

/// What the watcher saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Tags that went.
    pub(crate) removed: u64,
    /// What must not have gone.
    pub(crate) wrong: Vec<String>,
}

/// A watcher at work.
pub(crate) struct Watcher {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Seen>,
}

impl Watcher {
    /// Stops watching.
    pub(crate) async fn finish(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap_or_else(|error| Seen { removed: 0, wrong: vec![format!("the watcher died: {error}")] })
    }
}

/// Starts to watch.
pub(crate) fn watch(content: Arc<Content>) -> Watcher {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let task = tokio::spawn(async move {
        let mut seen = Seen::default();
        let mut before = BTreeSet::new();
        while !stopped.load(Ordering::Relaxed) {
            before = content.look(|there, known| {
                for gone in before.difference(&there) {
                    seen.removed += 1;
                    let facts = known.get(gone).copied();
                    if let Some(why) = must_stay(&gone.1, facts, Instant::now()) {
                        seen.wrong.push(format!("repository {}, tag {}: {why}", gone.0, gone.1));
                    }
                }
                there
            });
            tokio::time::sleep(LOOK).await;
        }
        seen
    });
    Watcher { stop, task }
}

/// Why a tag that is gone had to stay.
fn must_stay(name: &str, facts: Option<Facts>, now: Instant) -> Option<String> {
    if name.starts_with(PROTECTED) {
        return Some("its name is protected".to_owned());
    }
    let Some(facts) = facts else { return Some("nobody knows of it".to_owned()) };
    let pushed = now.duration_since(facts.pushed);
    if facts.young && pushed > PUSH_WINDOW + LONGEST_DELAY {
        return Some(format!("it was pushed again {} s before", pushed.as_secs()));
    }
    let used = facts.used.map(|since| now.duration_since(since));
    let used = used.filter(|used| *used > USE_WINDOW + LONGEST_DELAY)?;
    Some(format!("a workload had named it for {} s", used.as_secs()))
}
