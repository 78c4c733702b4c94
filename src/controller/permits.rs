//! Who may work now: permits for looks at policies and for runs, given out by `policy::fair_queue`.
//!
//! A look (a check of credentials and targets) holds no list of tags; what bounds looks is that thousands of policies
//! are not to connect all at once. A run holds lists of tags, so what bounds runs is memory, and previews have permits
//! of their own that no long run takes. A permit is given back while its run waits for something: the gate of the run
//! does that, in one way for every wait.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::Shared;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::policy::fair_queue::{FairQueue, Limits, Ticket};

/// Looks at the same time, in all and at one GitLab.
const LOOKS: usize = 64;
const LOOKS_PER_HOST: usize = 10;
/// An answer that takes longer is slow: whoever waits for it is in nobody's way meanwhile.
pub(crate) const SLOW: Duration = Duration::from_secs(2);
/// Names of tags that runs may hold altogether without a permit while they wait: some 20 MiB. A run that holds more
/// than what is left keeps its permit.
const MOST_PARKED: usize = 200_000;

/// All permits of the process. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct Permits(Arc<Lines>);

struct Lines {
    looks: Arc<Line>,
    previews: Arc<Line>,
    runs: Arc<Line>,
    /// Names of tags that are held without a permit.
    parked: AtomicUsize,
}

/// What a permit is wanted for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Purpose {
    /// A look at credentials and targets.
    Look,
    /// A dry run that somebody asked for.
    Preview,
    /// Any other run.
    Run,
}

impl Permits {
    /// As many runs as this hold lists of tags at the same time, at least two.
    pub(crate) fn new(runs: u16) -> Self {
        let all = usize::from(runs).max(2);
        let previews = all / 2;
        let looks = Limits { total: LOOKS, per_host: LOOKS_PER_HOST, per_namespace: LOOKS * 3 / 4, slow: LOOKS };
        Self(Arc::new(Lines {
            looks: Line::new(looks),
            previews: Line::new(limits(previews)),
            runs: Line::new(limits(all - previews)),
            parked: AtomicUsize::new(0),
        }))
    }

    /// A permit, which waits in line until it is granted, for a policy of this namespace with this GitLab. Dropping it
    /// leaves the line.
    pub(crate) fn queue(&self, purpose: Purpose, host: &str, namespace: &str) -> Permit {
        let lines = Arc::clone(&self.0);
        let held = Mutex::new(Some(lines.of(purpose).join(host, namespace, false)));
        Permit { lines, purpose, host: host.to_owned(), namespace: namespace.to_owned(), held }
    }

    /// How many runs hold a permit, previews among them.
    pub(crate) fn at_work(&self) -> usize {
        self.0.previews.waiting().queue.held() + self.0.runs.waiting().queue.held()
    }
}

/// One host leaves two permits to others, so that one is left in its namespace as well, which leaves one to others.
/// Slow hosts leave half.
fn limits(total: usize) -> Limits {
    let but = |others: usize| total.saturating_sub(others).max(1);
    Limits { total, per_host: but(2), per_namespace: but(1), slow: (total / 2).max(1) }
}

impl Lines {
    fn of(&self, purpose: Purpose) -> &Arc<Line> {
        match purpose {
            Purpose::Look => &self.looks,
            Purpose::Preview => &self.previews,
            Purpose::Run => &self.runs,
        }
    }
}

/// A permit, or the wait for one.
pub(crate) struct Permit {
    lines: Arc<Lines>,
    purpose: Purpose,
    host: String,
    namespace: String,
    /// `None` while it is given back.
    held: Mutex<Option<Held>>,
}

/// Lists that are held without a permit. Dropping it says that they are not any more.
pub(crate) struct Parked {
    names: usize,
    lines: Arc<Lines>,
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.lines.parked.fetch_sub(self.names, Ordering::Relaxed);
    }
}

impl Permit {
    pub(crate) fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Waits for the permit, and takes it again where it was given back. May be dropped and called again without losing
    /// the turn.
    pub(crate) async fn taken(&self) {
        let granted = {
            let mut held = self.held();
            let line = self.lines.of(self.purpose);
            held.get_or_insert_with(|| line.join(&self.host, &self.namespace, true)).granted.clone()
        };
        // The sender is kept until it was used.
        let _ = granted.await;
    }

    /// Gives the permit back for as long as something is waited for, while lists with so many names are held. If they
    /// are too many, the permit is kept.
    pub(crate) fn give_back(&self, names: usize) -> Option<Parked> {
        let fits = |parked: usize| parked.checked_add(names).filter(|all| *all <= MOST_PARKED);
        self.lines.parked.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        self.held().take();
        Some(Parked { names, lines: Arc::clone(&self.lines) })
    }

    /// Takes note of whether its GitLab answers slowly.
    pub(crate) fn note(&self, slow: bool) {
        for line in [&self.lines.looks, &self.lines.previews, &self.lines.runs] {
            line.change(|queue| queue.note(&self.host, slow));
        }
    }

    /// Asks a GitLab something, as a look does. While it takes long, the permit is in nobody's way but of those who
    /// want the same GitLab.
    pub(crate) async fn look<T>(&self, ask: impl Future<Output = T>) -> T {
        let mut ask = std::pin::pin!(ask);
        let quick = tokio::select! {
            biased;
            answer = &mut ask => Some(answer),
            () = sleep(SLOW) => None,
        };
        self.note(quick.is_none());
        if let Some(answer) = quick {
            return answer;
        }
        if let Some(held) = &*self.held() {
            held.line.change(|queue| queue.set_aside(held.ticket));
        }
        ask.await
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line of those who wait.
struct Line(Mutex<Waiting>);

struct Waiting {
    queue: FairQueue,
    /// Who is to be told that its turn has come.
    told: HashMap<Ticket, oneshot::Sender<()>>,
}

/// A ticket of a line. Dropping it leaves the line.
struct Held {
    line: Arc<Line>,
    ticket: Ticket,
    /// Resolves once it is the turn, for everybody who asks.
    granted: Shared<oneshot::Receiver<()>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let ticket = self.ticket;
        self.line.waiting().told.remove(&ticket);
        self.line.change(|queue| queue.leave(ticket));
    }
}

impl Line {
    fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Waiting { queue: FairQueue::new(limits), told: HashMap::new() })))
    }

    fn join(self: &Arc<Self>, host: &str, namespace: &str, returning: bool) -> Held {
        let (tell, told) = oneshot::channel();
        let ticket = {
            let mut waiting = self.waiting();
            let ticket = waiting.queue.join(host, namespace, returning);
            waiting.told.insert(ticket, tell);
            ticket
        };
        self.change(|_| {});
        Held { line: Arc::clone(self), ticket, granted: told.shared() }
    }

    /// Changes something, and tells those whose turn has come by it.
    fn change(&self, change: impl FnOnce(&mut FairQueue)) {
        let mut waiting = self.waiting();
        change(&mut waiting.queue);
        for ticket in waiting.queue.grant() {
            if let Some(tell) = waiting.told.remove(&ticket) {
                // Who does not listen any more is about to leave.
                let _ = tell.send(());
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Valid between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::pending;

    use super::*;

    fn is_taken(permit: &Permit) -> bool {
        permit.taken().now_or_never().is_some()
    }

    #[tokio::test]
    async fn previews_have_places_that_no_run_takes() {
        let permits = Permits::new(2);
        let runs = ["a", "b"].map(|host| permits.queue(Purpose::Run, host, host));
        assert_eq!(runs.each_ref().map(is_taken), [true, false]);
        let preview = permits.queue(Purpose::Preview, "a", "a");
        assert!(is_taken(&preview));
        assert_eq!(permits.at_work(), 2);
    }

    #[tokio::test]
    async fn a_place_is_free_while_its_run_waits_and_is_taken_again_afterwards() {
        let permits = Permits::new(2);
        let [first, second] = ["a", "b"].map(|host| permits.queue(Purpose::Run, host, host));
        assert!(is_taken(&first) && !is_taken(&second));
        let parked = first.give_back(10);
        assert!(parked.is_some() && is_taken(&second));
        assert!(!is_taken(&first), "the other one works");
        let third = permits.queue(Purpose::Run, "c", "c");
        drop(second);
        assert!(is_taken(&first) && !is_taken(&third), "whoever returns is first");
    }

    #[tokio::test]
    async fn whoever_holds_too_much_keeps_its_place() {
        let permits = Permits::new(2);
        let [first, second] = ["a", "b"].map(|host| permits.queue(Purpose::Run, host, host));
        assert!(is_taken(&first));
        assert!(first.give_back(MOST_PARKED + 1).is_none());
        assert!(!is_taken(&second));
        let parked = first.give_back(MOST_PARKED);
        assert!(parked.is_some() && is_taken(&second));
        assert!(second.give_back(1).is_none(), "that much is held without a permit already");
        drop(parked);
        assert!(second.give_back(1).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_waits_long_for_an_answer_is_in_the_way_of_its_own_gitlab_alone() {
        let permits = Permits::new(2);
        let look = |host: &str, namespace: &str| permits.queue(Purpose::Look, host, namespace);
        let first = look("0", "0");
        let others: Vec<Permit> = (1..=LOOKS).map(|it| it.to_string()).map(|name| look(&name, &name)).collect();
        assert!(is_taken(&first) && !is_taken(&others[LOOKS - 1]));
        let same: Vec<Permit> = (0..LOOKS_PER_HOST).map(|_| look("0", "x")).collect();
        let mut slow = Box::pin(first.look(pending::<()>()));
        assert!(slow.as_mut().now_or_never().is_none());
        sleep(SLOW * 2).await;
        assert!(slow.as_mut().now_or_never().is_none());
        assert!(is_taken(&others[LOOKS - 1]));
        drop(others);
        let taken = same.iter().filter(|look| is_taken(look)).count();
        assert_eq!(taken, LOOKS_PER_HOST - 1, "the slow one counts for its own GitLab");
    }
}
