//! How messages are tried: against a receiver that refuses, redirects, asks to wait or does not answer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use gitlab_simulator::Clock as WorldClock;
use jiff::{SignedDuration, Timestamp};
use registry_cleanup_operator::clock::Clock;
use registry_cleanup_operator::gitlab::{Lookup, SystemLookup};
use registry_cleanup_operator::metrics::{Format, write};
use registry_cleanup_operator::notifications::{Notifier, Settings};
use registry_cleanup_operator::policy::notifications::{Notification, Subject};

use super::receiver::{Answer, Received, Receiver, key};
use crate::support::eventually;
use crate::world::START;

const OK: Answer = Answer::Status(204, &[]);

/// A clock on which every wait is over at once.
struct Hurried(WorldClock);

impl Clock for Hurried {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let clock = self.0.clone();
        async move { clock.advance(SignedDuration::try_from(duration).unwrap()) }.boxed()
    }
}

/// A clock on which no wait ends.
struct Standing(WorldClock);

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        futures::future::pending().boxed()
    }
}

fn clock() -> WorldClock {
    WorldClock::manual(START.parse().unwrap())
}

fn notifier(settings: Settings, clock: impl Clock) -> Notifier {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let lookup: Arc<dyn Lookup> = Arc::new(SystemLookup);
    Notifier::new(settings, "test", Arc::new(clock), &lookup).unwrap()
}

fn message(id: &str) -> Notification {
    Notification { id: id.to_owned(), subject: Subject::RunFailed, body: br#"{"specversion":"1.0"}"#.to_vec() }
}

fn count(notifier: &Notifier, result: &str) -> u32 {
    let text = write(&notifier.families(), Format::Classic);
    let start = format!("registry_cleanup_notifications_total{{result=\"{result}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&start)).unwrap().parse().unwrap()
}

async fn until_counted(notifier: &Notifier, result: &str, number: u32) {
    eventually(result, async || (count(notifier, result) >= number).then_some(())).await;
}

/// Seconds after the start of the world at which the requests were made, by their own timestamps.
fn seconds(requests: &[Received]) -> Vec<i64> {
    let start = START.parse::<Timestamp>().unwrap().as_second();
    requests.iter().map(|request| request.header("webhook-timestamp").parse::<i64>().unwrap() - start).collect()
}

#[tokio::test]
async fn a_receiver_that_is_away_is_tried_five_times_within_an_hour_each_time_signed_anew() {
    let receiver = Receiver::start(vec![Answer::Status(503, &[]); 9]);
    let notifier = notifier(receiver.settings(), Hurried(clock()));
    notifier.send(message("one"));
    until_counted(&notifier, "failed", 1).await;
    let all = receiver.requests();
    let seconds = seconds(&all);
    assert_eq!(all.len(), 5);
    assert!(seconds.is_sorted() && seconds[0] == 0 && (2550..=3600).contains(&seconds[4]), "{seconds:?}");
    assert!(all.iter().all(|request| request.id() == "one" && request.is_signed_by(1)));
}

#[tokio::test]
async fn a_message_arrives_once_the_receiver_is_back_and_not_before_it_asked_to_be_left_alone() {
    let receiver = Receiver::start([Answer::Status(429, &["retry-after: 900"]), OK]);
    let notifier = notifier(receiver.settings(), Hurried(clock()));
    notifier.send(message("one"));
    until_counted(&notifier, "delivered", 1).await;
    let seconds = seconds(&receiver.requests());
    assert!(seconds.len() == 2 && (900..=1125).contains(&seconds[1]), "{seconds:?}");
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_a_refusal_is_not_tried_again() {
    let elsewhere = Receiver::start([]);
    let location: &'static str = Box::leak(format!("location: {}", elsewhere.url()).into_boxed_str());
    let lines: &'static [&'static str] = Box::leak(Box::new([location]));
    let receiver = Receiver::start([Answer::Status(307, lines), Answer::Status(401, &[])]);
    // The same authority is no excuse: both are trusted.
    let both =
        [&receiver, &elsewhere].map(|receiver| std::fs::read_to_string(receiver.file("ca.crt")).unwrap()).concat();
    std::fs::write(receiver.file("ca.crt"), both).unwrap();
    let notifier = notifier(receiver.settings(), Hurried(clock()));
    notifier.send(message("one"));
    until_counted(&notifier, "refused", 1).await;
    notifier.send(message("two"));
    until_counted(&notifier, "refused", 2).await;
    assert_eq!((receiver.requests().len(), elsewhere.requests().len()), (2, 0));
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_left_alone() {
    let receiver = Receiver::start([Answer::Status(410, &[])]);
    let notifier = notifier(receiver.settings(), Hurried(clock()));
    notifier.send(message("one"));
    until_counted(&notifier, "refused", 1).await;
    notifier.send(message("two"));
    assert_eq!((count(&notifier, "dropped"), receiver.requests().len()), (1, 1));
}

#[tokio::test]
async fn a_message_is_sent_once_however_often_it_is_handed_over() {
    let receiver = Receiver::start([]);
    let notifier = notifier(receiver.settings(), Hurried(clock()));
    for _ in 0..3 {
        notifier.send(message("one"));
    }
    notifier.send(message("two"));
    until_counted(&notifier, "delivered", 2).await;
    notifier.finish().await;
    let ids: Vec<String> = receiver.requests().iter().map(|request| request.id().to_owned()).collect();
    assert_eq!(ids.len(), 2, "{ids:?}");
}

#[tokio::test]
async fn only_so_many_messages_are_on_their_way_and_what_is_dropped_is_counted() {
    let receiver = Receiver::start(vec![Answer::Nothing; 100]);
    let notifier = notifier(receiver.settings(), Standing(clock()));
    for number in 0..100 {
        notifier.send(message(&number.to_string()));
    }
    assert_eq!(count(&notifier, "dropped"), 100 - 64);
}

#[tokio::test]
async fn an_operator_that_ends_gives_what_waits_one_more_try() {
    let receiver = Receiver::start([Answer::Status(503, &[]), OK]);
    let sender = notifier(receiver.settings(), Standing(clock()));
    sender.send(message("one"));
    receiver.received(1).await;
    sender.finish().await;
    assert_eq!((count(&sender, "delivered"), receiver.requests().len()), (1, 2));

    let receiver = Receiver::start(vec![Answer::Status(503, &[]); 9]);
    let sender = notifier(receiver.settings(), Standing(clock()));
    sender.send(message("one"));
    receiver.received(1).await;
    sender.finish().await;
    assert_eq!((count(&sender, "dropped"), receiver.requests().len()), (1, 2));
}

fn write_key(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
}

#[tokio::test]
async fn a_key_is_replaced_without_a_restart_and_both_sign_meanwhile() {
    let receiver = Receiver::start([]);
    let notifier = notifier(receiver.settings(), Hurried(clock()));
    for (number, keys, signed) in
        [(1, key(1), [true, false]), (2, key(1) + "\n" + &key(2), [true, true]), (3, key(2), [false, true])]
    {
        write_key(&receiver.file("secret"), &keys);
        notifier.send(message(&format!("message-{number}")));
        let last = receiver.received(number).await.pop().unwrap();
        assert_eq!([1, 2].map(|byte| last.is_signed_by(byte)), signed);
    }
    // A key that cannot be read is a try that failed: nothing leaves without a signature.
    write_key(&receiver.file("secret"), "nothing");
    notifier.send(message("unsigned"));
    until_counted(&notifier, "failed", 1).await;
    assert_eq!(receiver.requests().len(), 3);
}
