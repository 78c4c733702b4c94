//! The line of pages that concurrent readers want, out of which documents are made.
//!
//! Whoever wants a page stands in the line, and lets everybody who wants one at the same moment do so too. Then one of
//! them sends a document with as many of them as fit, and tells the others what it came to. There is nobody else to do
//! it: a sender that gives up leaves the pages that it took to those who want them.
//!
//! Few documents are under way that could have had more pages, and others only as many as there may be requests at all.
//! Meanwhile the line grows, and the next document has more pages. What a page comes to does not depend on its
//! neighbours: one that is not told is asked for alone, as ever.
//!
//! One line for each connection: those who stand in it have the same token, gate and deadline.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use super::error::Error;
use super::graphql::{Page, Parts};
use super::types::TagPage;

/// What a document said of one page; `None` where it said nothing that counts.
pub(super) type Told = Option<Result<TagPage, Error>>;

/// Those who want a page of tags.
#[derive(Debug)]
pub(super) struct PageQueue {
    line: Mutex<Line>,
    /// Documents that may be under way, however few pages they have.
    any: Semaphore,
    /// Those that may be under way besides, with as many pages as fit.
    full: Semaphore,
}

/// Documents that are under way at the same time although they could have had more pages: while one is answered, the
/// pages of the next are not kept waiting.
const NOT_FULL: usize = 2;

#[derive(Debug, Default)]
struct Line {
    next: u64,
    /// Those who stand in it, and those of whose pages it is not known yet what they came to.
    waiting: usize,
    wanted: VecDeque<Wanted>,
}

/// A page that somebody wants.
#[derive(Debug)]
pub(super) struct Wanted {
    id: u64,
    parts: Parts,
    pub(super) page: Page,
    told: oneshot::Sender<Told>,
}

impl Wanted {
    /// Tells what it came to. Whoever wanted it may have left.
    pub(super) fn tell(self, told: Told) {
        let _ = self.told.send(told);
    }
}

/// A place in the line; whoever drops it has left.
#[derive(Debug)]
pub(super) struct Place<'q> {
    queue: &'q PageQueue,
    id: u64,
    parts: Parts,
    told: oneshot::Receiver<Told>,
}

/// What becomes of somebody in the line.
#[derive(Debug)]
pub(super) enum Turn<'q> {
    /// It is to send the document with these pages, its own among them, and to keep the permit meanwhile.
    Send(Vec<Wanted>, SemaphorePermit<'q>),
    /// Somebody else has told it.
    Told(Told),
    /// Somebody else took its page and gave up.
    Again,
}

/// How often others are let come into the line before a document is made of it.
const YIELDS: usize = 3;

impl PageQueue {
    /// A line out of which so many documents are under way at the same time.
    pub(super) fn new(under_way: usize) -> Self {
        let any = under_way.clamp(1, NOT_FULL);
        let full = under_way.saturating_sub(any);
        Self { line: Mutex::default(), any: Semaphore::new(any), full: Semaphore::new(full) }
    }

    /// Stands in the line for a page.
    pub(super) fn stand(&self, parts: Parts, page: Page) -> Place<'_> {
        let (told, receiver) = oneshot::channel();
        let mut line = self.line();
        let id = line.next;
        line.next += 1;
        line.waiting += 1;
        line.wanted.push_back(Wanted { id, parts, page, told });
        Place { queue: self, id, parts, told: receiver }
    }

    /// How many pages are wanted, or on their way.
    pub(super) fn wanted(&self) -> usize {
        self.line().waiting
    }

    /// Waits until one more document may be under way.
    async fn permit(&self, full: bool) -> Option<SemaphorePermit<'_>> {
        let any = self.any.acquire();
        // Neither is ever closed.
        let permit = if full {
            tokio::select! {
                biased;
                permit = self.full.acquire() => permit,
                permit = any => permit,
            }
        } else {
            any.await
        };
        permit.ok()
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        // The line is valid between any two statements.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'q> Place<'q> {
    /// Waits for what becomes of it. `most` is how many pages a document has at most by then.
    pub(super) async fn turn(&mut self, most: impl Fn() -> usize) -> Turn<'q> {
        // Whoever wants a page at this moment comes into the line as well: those who were just told of one, for
        // example.
        for _ in 0..YIELDS {
            tokio::task::yield_now().await;
        }
        let queue = self.queue;
        let full = self.waiting() >= most();
        let permit = tokio::select! {
            biased;
            told = &mut self.told => return told.map_or(Turn::Again, Turn::Told),
            permit = queue.permit(full) => permit,
        };
        let Some(permit) = permit else { return Turn::Again };
        let document = self.take(most());
        if !document.is_empty() {
            return Turn::Send(document, permit);
        }
        drop(permit);
        (&mut self.told).await.map_or(Turn::Again, Turn::Told)
    }

    /// How many wait for pages that would fit into one document.
    fn waiting(&self) -> usize {
        self.queue.line().wanted.iter().filter(|wanted| wanted.parts == self.parts).count()
    }

    /// The pages of the next document: its own and those that have waited longest, in their order. None, if somebody
    /// else has taken its own.
    fn take(&self, most: usize) -> Vec<Wanted> {
        let mut line = self.queue.line();
        if !line.wanted.iter().any(|wanted| wanted.id == self.id) {
            return Vec::new();
        }
        let (mut document, mut others) = (Vec::new(), most.max(1) - 1);
        let mut rest = VecDeque::new();
        for wanted in line.wanted.drain(..) {
            let own = wanted.id == self.id;
            if own || (others > 0 && wanted.parts == self.parts) {
                others -= usize::from(!own);
                document.push(wanted);
            } else {
                rest.push_back(wanted);
            }
        }
        line.wanted = rest;
        document
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut line = self.queue.line();
        line.wanted.retain(|wanted| wanted.id != self.id);
        line.waiting = line.waiting.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use futures::future::{self, FutureExt};

    use super::super::graphql::Part;
    use super::super::types::TagOrder;
    use super::*;

    fn page(repository: u64) -> Page {
        Page { repository, order: TagOrder::Name, after: None, counted: false }
    }

    fn repositories(document: &[Wanted]) -> Vec<u64> {
        document.iter().map(|wanted| wanted.page.repository).collect()
    }

    /// Whoever sends answers with an empty page, whose cursor names its repository and how many pages the document had.
    async fn read(queue: &PageQueue, repository: u64, most: usize) -> String {
        let told = loop {
            match queue.stand(Parts::ALL, page(repository)).turn(|| most).await {
                Turn::Send(document, _permit) => {
                    // An answer takes a while.
                    tokio::task::yield_now().await;
                    let pages = document.len();
                    let mut own = None;
                    for wanted in document {
                        let repository_of = wanted.page.repository;
                        let next = Some(format!("{repository_of} of {pages}"));
                        let told = TagPage { tags: Vec::new(), next, count: None };
                        if repository_of == repository { own = Some(told) } else { wanted.tell(Some(Ok(told))) }
                    }
                    break own;
                }
                Turn::Told(told) => break told.and_then(Result::ok),
                Turn::Again => {}
            }
        };
        told.and_then(|page| page.next).unwrap()
    }

    #[tokio::test]
    async fn those_who_want_a_page_at_the_same_moment_share_documents() {
        let queue = PageQueue::new(4);
        let told = future::join_all((0..5).map(|repository| read(&queue, repository, 3))).await;
        assert_eq!(told, ["0 of 3", "1 of 3", "2 of 3", "3 of 2", "4 of 2"]);
        assert_eq!(read(&queue, 7, 3).await, "7 of 1", "whoever is alone waits for nobody");
        assert_eq!(queue.wanted(), 0);
        let _place = queue.stand(Parts::ALL, page(8));
        assert_eq!(queue.wanted(), 1);
    }

    #[tokio::test]
    async fn while_as_many_are_under_way_as_may_be_the_line_grows() {
        let queue = PageQueue::new(1);
        let mut first = queue.stand(Parts::ALL, page(0));
        let Turn::Send(document, permit) = first.turn(|| 3).await else { panic!("it is alone") };
        assert_eq!(repositories(&document), [0]);
        let mut waiting = Box::pin(future::join_all((1..4).map(|repository| read(&queue, repository, 3))));
        for _ in 0..10 {
            assert!((&mut waiting).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        drop(permit);
        assert_eq!(waiting.await, ["1 of 3", "2 of 3", "3 of 3"]);
    }

    #[tokio::test]
    async fn documents_that_could_have_more_pages_wait_for_them_while_two_are_under_way() {
        let queue = PageQueue::new(4);
        let mut places: Vec<_> = (0..2).map(|repository| queue.stand(Parts::ALL, page(repository))).collect();
        let mut under_way = Vec::new();
        for place in &mut places {
            let Turn::Send(document, permit) = place.turn(|| 1).await else { panic!("it fits") };
            under_way.push((document, permit));
        }
        // With one page each they were full, so that two more may leave that are not.
        let mut two = queue.stand(Parts::ALL, page(2));
        let Turn::Send(_, _permit) = two.turn(|| 3).await else { panic!("one may leave") };
        let mut four = queue.stand(Parts::ALL, page(4));
        let Turn::Send(_, _other) = four.turn(|| 3).await else { panic!("and another") };
        let mut waiting = Box::pin(future::join_all((5..7).map(|repository| read(&queue, repository, 3))));
        for _ in 0..10 {
            assert!((&mut waiting).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        drop(under_way.pop());
        for _ in 0..10 {
            assert!((&mut waiting).now_or_never().is_none(), "another may leave that is full, and they are not");
            tokio::task::yield_now().await;
        }
        assert_eq!(read(&queue, 7, 3).await, "7 of 3", "now it is full");
        assert_eq!(waiting.await, ["5 of 3", "6 of 3"]);
    }

    #[tokio::test]
    async fn what_a_sender_took_that_gave_up_is_asked_for_by_those_who_want_it() {
        let queue = PageQueue::new(1);
        let (mut one, mut two) = (queue.stand(Parts::ALL, page(1)), queue.stand(Parts::ALL, page(2)));
        let Turn::Send(document, permit) = one.turn(|| 2).await else { panic!("it is first") };
        assert_eq!(repositories(&document), [1, 2]);
        drop((document, permit));
        assert!(matches!(two.turn(|| 2).await, Turn::Again));
    }

    #[tokio::test]
    async fn whoever_has_left_is_not_asked_for_and_other_questions_go_elsewhere() {
        let queue = PageQueue::new(4);
        let mut one = queue.stand(Parts::ALL, page(1));
        drop(queue.stand(Parts::ALL, page(2)));
        let _other = queue.stand(Parts::ALL.without(Part::Sort), page(3));
        let _four = queue.stand(Parts::ALL, page(4));
        let Turn::Send(document, _) = one.turn(|| 9).await else { panic!("it is first") };
        assert_eq!(repositories(&document), [1, 4]);
    }
}
