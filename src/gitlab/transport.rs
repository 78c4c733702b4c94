//! Sends one request: gate, pace, final check, attempts, redirects and the size limit are here and nowhere else.
//!
//! Knows HTTP but no endpoint. It may not read more of an answer than it was told to, send anything while the gate is
//! closed, or send to any origin but the API's.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use super::error::{Error, ErrorKind, Operation, Unreached};
use super::gate::{FinalCheck, Gate};
use super::host::Host;
use super::in_flight::{Condition, Place};
use super::maintenance::is_maintenance;
use super::page_queue::PageQueue;
use super::protection::ToldRules;
use super::queue::{self, NoTurn};
use super::rate_limit_headers::{Hints, until};
use super::retry::{self, Failure, MAX_WAIT, MOST_PATIENCE, Repeat};
use super::transport_error::Fault;
use crate::clock::Clock;

/// GitLab behaviour: takes personal, project and group access tokens.
const PRIVATE_TOKEN: HeaderName = HeaderName::from_static("private-token");

/// Redirects followed for one request. GitLab behaviour: a moved project is one.
const MOST_REDIRECTS: u32 = 3;

/// How much of an answer is read that is no success, in bytes. GitLab's errors are one line.
const ERROR_LIMIT: usize = 64 * 1024;

/// The way to one server with one token.
#[derive(Clone)]
pub(super) struct Http {
    pub(super) client: reqwest::Client,
    pub(super) host: Arc<Host>,
    /// The root of the API, with a slash at its end.
    pub(super) api: Url,
    /// Marked sensitive.
    pub(super) token: HeaderValue,
    pub(super) timeout: Duration,
    pub(super) proxied: bool,
    /// Requests that change something are not sent.
    pub(super) reads_only: bool,
    pub(super) gate: Arc<dyn Gate>,
    /// Whether the next request leaves without a turn of its own.
    pub(super) cuts_in: Arc<AtomicBool>,
    /// Whether its requests belong to one whose turn has come.
    pub(super) belongs: bool,
    /// Those who want a page of tags over this connection; `None` where each is asked for alone.
    pub(super) pages: Option<Arc<PageQueue>>,
    /// Asked before whatever removes something, if there is anything to ask.
    pub(super) final_check: Option<Arc<dyn FinalCheck>>,
    /// What was told of the rules by which projects protect tags.
    pub(super) tag_rules: ToldRules,
    /// How many requests were sent.
    pub(super) sent: Arc<AtomicU64>,
    pub(super) clock: Arc<dyn Clock>,
}

/// One request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) operation: Operation,
    pub(super) method: Method,
    pub(super) url: Url,
    /// JSON.
    pub(super) body: Option<Vec<u8>>,
    pub(super) repeat: Repeat,
    /// Bytes of a successful answer that are read at most.
    pub(super) limit: usize,
    /// What an answer says that may pass: [`by_status`], unless the body says more.
    pub(super) failure: fn(&Answer) -> Option<Failure>,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Complete for a success; possibly cut off for anything else.
    pub(super) body: Vec<u8>,
    pub(super) hints: Hints,
    /// The clock when the head of the answer had arrived.
    pub(super) at: Timestamp,
    /// From the beginning of the request to the end of the answer.
    pub(super) took: Duration,
}

impl Http {
    /// Sends a request, again where [`retry`] allows it, and returns the last answer whatever its status.
    pub(super) async fn send(&self, request: &Request) -> Result<Answer, Error> {
        if self.reads_only && !request.repeat.is_harmless() {
            let what = "this client only reads";
            return Err(Error::new(request.operation, ErrorKind::NotSent { what }));
        }
        let mut url = request.url.clone();
        let mut redirects = 0;
        let mut attempt = 1;
        let mut last = None;
        loop {
            if let Err(no_turn) = self.turn().await {
                return no_turn_for(request, no_turn, last, self.clock.now());
            }
            let Some((place, timeout)) = self.ready(request).await? else { continue };
            let (failure, result) = match self.measured(request, &url, timeout).await {
                Ok(answer) => {
                    if let Some(next) = self.redirect(request, &answer, &url)?
                        && redirects < MOST_REDIRECTS
                    {
                        redirects += 1;
                        url = next;
                        continue;
                    }
                    ((request.failure)(&answer), Ok(answer))
                }
                Err(fault) => (fault.failure, Err(Error::new(request.operation, fault.kind))),
            };
            drop(place);
            let failure = failure.filter(|failure| !(failure.is_throttle() && request.operation.is_courtesy()));
            let most = if self.gate.is_patient() { MOST_PATIENCE } else { MAX_WAIT };
            let delay = failure.and_then(|failure| retry::delay(failure, request.repeat, attempt, jitter(), most));
            let Some(delay) = delay else { return result };
            let now = self.clock.now();
            if self.gate.deadline().is_some_and(|deadline| until(deadline, now) <= delay) {
                let paused = delay > MAX_WAIT && failure.is_some_and(Failure::is_throttle);
                return if paused { Err(paused_until(request, now, delay)) } else { result };
            }
            queue::sleep(delay, &*self.clock, &*self.gate).await;
            attempt += 1;
            last = Some(result);
        }
    }

    async fn turn(&self) -> Result<(), NoTurn> {
        let (turns, clock, gate) = (&self.host.turns, &*self.clock, &*self.gate);
        if self.cuts_in.swap(false, Ordering::Relaxed) {
            turns.cut_in(clock, gate).await
        } else {
            turns.wait(clock, gate).await
        }
    }

    /// Waits for a place among the requests that may be under way, and looks at the request for the last time. Answers
    /// the place and how long the request may take; `None` where the turn was lost meanwhile, since the gate has closed
    /// or the host asked for a pause.
    async fn ready(&self, request: &Request) -> Result<Option<(Option<Place<'_>>, Duration)>, Error> {
        loop {
            let Some(place) = self.place(request).await? else { return Ok(None) };
            if let Some(timeout) = self.look(request).await? {
                // What belongs to a removal waits for no place, but counts.
                return Ok(Some((place.or_else(|| self.host.under_way.free_place()), timeout)));
            }
            // Others may use the place while the gate is closed.
            drop(place);
            self.gate.removals_opened().await;
            self.gate.may_send().map_err(|_| stopped(request))?;
        }
    }

    /// Waits until fewer requests are under way than may be. `None` where the turn was lost meanwhile.
    ///
    /// A removal waits before its last look, so that nothing lies between that and its leaving. What belongs to the
    /// look does not wait, or it would wait for the place that its removal has. Whoever has a place waits for no other,
    /// so all of this ends.
    async fn place(&self, request: &Request) -> Result<Option<Option<Place<'_>>>, Error> {
        if self.belongs {
            return Ok(Some(None));
        }
        if let Some(place) = self.host.under_way.free_place() {
            return Ok(Some(Some(place)));
        }
        let place = tokio::select! {
            biased;
            () = self.gate.stopped() => return Err(stopped(request)),
            place = self.host.under_way.place() => place,
        };
        let lost = self.gate.may_send().is_err() || self.host.turns.is_paused(self.clock.now());
        Ok(if lost { None } else { Some(Some(place)) })
    }

    /// The last look at a request before it leaves. Answers how long it may take; `None` where the gate is closed for a
    /// while, after which everything is to be looked at again.
    ///
    /// Reading ends with the deadline. What removes something is given its whole time, or its fate would be lost,
    /// unless somebody else may begin before it ends: then it is given what is left until then.
    ///
    /// The final check may take a while, so it ends with the gate, which is asked once more.
    async fn look(&self, request: &Request) -> Result<Option<Duration>, Error> {
        if request.repeat.is_harmless() {
            let left = self.gate.deadline().map_or(Duration::MAX, |deadline| until(deadline, self.clock.now()));
            return Ok(Some(self.timeout.min(left)));
        }
        if !self.still(request).await? {
            return Err(Error::new(request.operation, ErrorKind::Withdrawn));
        }
        let left = self.gate.may_send().ok().and_then(|()| self.gate.removal_time());
        Ok(left.map(|left| self.timeout.min(left)))
    }

    /// What the final check says of a request that removes something.
    async fn still(&self, request: &Request) -> Result<bool, Error> {
        let Some(check) = &self.final_check else { return Ok(true) };
        tokio::select! {
            biased;
            () = self.gate.stopped() => Err(stopped(request)),
            still = check.still() => Ok(still),
        }
    }

    /// The same as [`Self::exchange`], counted.
    async fn measured(&self, request: &Request, url: &Url, timeout: Duration) -> Result<Answer, Fault> {
        let begun = self.clock.elapsed();
        let result = self.exchange(request, url, timeout).await;
        let took = self.clock.elapsed().saturating_sub(begun);
        let status = result.as_ref().ok().map(|answer| answer.status);
        self.host.counts.requested(request.operation, status, took);
        // What the gate has ended says nothing of the host.
        if !matches!(&result, Err(fault) if matches!(fault.kind, ErrorKind::Stopped)) {
            self.host.under_way.note(Condition::of(status, took));
        }
        result.map(|answer| Answer { took, ..answer })
    }

    /// One request on the wire. Reading requests end when the gate closes; one that changes something is awaited to its
    /// end, since cutting it off would only hide what became of it.
    async fn exchange(&self, request: &Request, url: &Url, timeout: Duration) -> Result<Answer, Fault> {
        match request.repeat {
            Repeat::Harmless | Repeat::HarmlessInParts => tokio::select! {
                biased;
                () = self.gate.stopped() => Err(Fault::last(ErrorKind::Stopped)),
                result = self.round_trip(request, url, timeout) => result,
            },
            Repeat::OnlyUnprocessed => self
                .round_trip(request, url, timeout)
                .await
                .map_err(|fault| if fault.unsent { fault } else { Fault::last(ErrorKind::AnswerLost) }),
        }
    }

    async fn round_trip(&self, request: &Request, url: &Url, timeout: Duration) -> Result<Answer, Fault> {
        let mut builder = self
            .client
            .request(request.method.clone(), url.clone())
            .header(PRIVATE_TOKEN, self.token.clone())
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .timeout(timeout);
        if let Some(body) = &request.body {
            builder = builder.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body.clone());
        }
        let response = builder.send().await.map_err(|error| Fault::of(&error, self.proxied))?;

        let at = self.clock.now();
        let status = response.status();
        let headers = response.headers().clone();
        let hints = Hints::read(status, &headers, at);
        self.sent.fetch_add(1, Ordering::Relaxed);
        if !(hints.throttled && request.operation.is_courtesy()) {
            self.host.turns.observe(at, &hints);
            self.host.note_budget(at, &hints);
        }
        if let (true, Some(ahead)) = (status.is_success(), hints.ahead) {
            *self.host.ahead.lock().unwrap_or_else(PoisonError::into_inner) = Some(ahead);
        }
        if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            // Comes from the proxy, so GitLab saw nothing.
            let kind = ErrorKind::Unreachable(Unreached::Proxy);
            return Err(Fault { kind, failure: None, unsent: true });
        }
        let body = match (status.is_success(), request.repeat) {
            (true, Repeat::Harmless | Repeat::HarmlessInParts) => self.read(response, request.limit).await?,
            // What was removed is removed, also where its names break off.
            (true, Repeat::OnlyUnprocessed) => self.read_some(response, request.limit).await,
            // The status says it all; the text of an error only refines it.
            (false, _) => self.read_some(response, ERROR_LIMIT).await,
        };
        Ok(Answer { status, headers, body, hints, at, took: Duration::ZERO })
    }

    /// Reads a whole body of at most `limit` bytes, counted after decompression.
    async fn read(&self, mut response: Response, limit: usize) -> Result<Vec<u8>, Fault> {
        let announced = response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: usize| length > limit) {
            return Err(Fault::last(ErrorKind::TooLarge { limit }));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| Fault::of(&error, self.proxied))? {
            if body.len().saturating_add(chunk.len()) > limit {
                return Err(Fault::last(ErrorKind::TooLarge { limit }));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Reads the start of a body that may be lost.
    async fn read_some(&self, mut response: Response, limit: usize) -> Vec<u8> {
        let mut body = Vec::new();
        while body.len() < limit
            && let Ok(Some(chunk)) = response.chunk().await
        {
            // What does not fit is cut off, not left out: a long page is not to look like no body.
            let room = limit - body.len();
            body.extend(chunk.iter().copied().take(room));
        }
        body
    }

    /// Where a redirect leads that may be followed: for a GET, inside the API of the same origin.
    ///
    /// GitLab behaviour: a moved project's GET is redirected to its new id with all parameters; other methods get 405.
    /// Anything else would carry the token, or our trust, to another place.
    fn redirect(&self, request: &Request, answer: &Answer, from: &Url) -> Result<Option<Url>, Error> {
        let status = answer.status.as_u16();
        if !matches!(status, 301 | 302 | 307 | 308) {
            return Ok(None);
        }
        let target = answer.headers.get(LOCATION).and_then(|location| from.join(location.to_str().ok()?).ok());
        match target {
            Some(target) if request.method == Method::GET && within(&target, &self.api) => Ok(Some(target)),
            _ => Err(Error::new(request.operation, ErrorKind::Redirected { status })),
        }
    }
}

/// The failure that an answer's status stands for.
pub(super) fn by_status(answer: &Answer) -> Option<Failure> {
    let maintenance = || std::str::from_utf8(&answer.body).is_ok_and(is_maintenance);
    if answer.status == StatusCode::SERVICE_UNAVAILABLE && maintenance() {
        // Lasts longer than a request may.
        return None;
    }
    Failure::of_status(answer.status.as_u16(), answer.hints.asked_to_wait())
}

/// Whether `url` is below `root`: the same scheme, host and port, and its path inside.
fn within(url: &Url, root: &Url) -> bool {
    url.origin() == root.origin()
        && url.username().is_empty()
        && url.password().is_none()
        && url.path().starts_with(root.path())
}

fn stopped(request: &Request) -> Error {
    Error::new(request.operation, ErrorKind::Stopped)
}

/// The failure of a request for which a pause is too long.
fn paused_until(request: &Request, now: Timestamp, wait: Duration) -> Error {
    let until = now.saturating_add(wait).unwrap_or(Timestamp::MAX);
    Error::new(request.operation, ErrorKind::Paused { until })
}

fn no_turn_for(
    request: &Request,
    no_turn: NoTurn,
    last: Option<Result<Answer, Error>>,
    now: Timestamp,
) -> Result<Answer, Error> {
    let kind = match (no_turn, last) {
        (NoTurn::Stopped, _) => ErrorKind::Stopped,
        // Whatever an earlier attempt met, it is one that may be made again.
        (NoTurn::PausedBeyond(wait), _) => return Err(paused_until(request, now, wait)),
        // What the earlier attempt met is worth more than the fact that there was no time for another.
        (_, Some(result)) => return result,
        (NoTurn::Deadline, None) => ErrorKind::DeadlineReached,
        (NoTurn::TooFar(wait), None) => {
            let until = SignedDuration::try_from(wait).ok().and_then(|wait| now.checked_add(wait).ok());
            ErrorKind::RateLimited { retry_after: Some(wait), until }
        }
    };
    Err(Error::new(request.operation, kind))
}

/// A number between 0 and 1 that differs from call to call; the hasher's keys are random.
#[expect(clippy::disallowed_methods, reason = "retries of several operators have to differ")]
fn jitter() -> f64 {
    let random = RandomState::new().hash_one(());
    f64::from(u32::try_from(random >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::the_new_place_of_a_project("https://h.example/gitlab/api/v4/projects/7/x", true)]
    #[case::the_default_port("https://h.example:443/gitlab/api/v4/projects/7", true)]
    #[case::upper_case("https://H.EXAMPLE/gitlab/api/v4/projects/7", true)]
    #[case::another_host("https://other.example/gitlab/api/v4/projects/7", false)]
    #[case::a_host_that_starts_the_same("https://h.example.evil/gitlab/api/v4/", false)]
    #[case::another_port("https://h.example:8443/gitlab/api/v4/projects/7", false)]
    #[case::plain_text("http://h.example/gitlab/api/v4/projects/7", false)]
    #[case::a_sign_in_page("https://h.example/gitlab/users/sign_in", false)]
    #[case::another_application("https://h.example/other/api/v4/projects/7", false)]
    #[case::out_by_dots("https://h.example/gitlab/api/v4/../../x", false)]
    #[case::user_info("https://user@h.example/gitlab/api/v4/projects/7", false)]
    fn a_redirect_stays_inside_the_api(#[case] target: &str, #[case] inside: bool) {
        let api = Url::parse("https://h.example/gitlab/api/v4/").unwrap();
        assert_eq!(within(&target.parse().unwrap(), &api), inside);
    }

    #[test]
    fn jitter_is_between_zero_and_one_and_changes() {
        let some: Vec<_> = (0..100).map(|_| jitter()).collect();
        assert!(some.iter().all(|jitter| (0.0..=1.0).contains(jitter)));
        assert!(some.windows(2).any(|pair| pair[0].to_bits() != pair[1].to_bits()));
    }
}
