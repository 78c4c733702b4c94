//! What may happen, and in which proportion.

use proptest::collection::vec;
use proptest::prelude::*;

/// One of the two operators.
pub(crate) type Who = usize;

/// What becomes of a write to the API server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// Nothing befalls it.
    None,
    /// It does not arrive.
    Before,
    /// It arrives, and its answer is lost.
    After,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    /// So many seconds go by.
    Pass(u16),
    /// So much time goes by that the hour of the last request that GitLab took ends in so many seconds.
    AlmostAnHour(u8),
    /// The watch of an operator shows the newest policy.
    Show(Who),
    /// An operator looks at the policy and does the next thing about it.
    Look(Who, Fault),
    /// The run of an operator goes on by one request or one answer.
    Work(Who, Fault),
    /// The record of the run is written if it is time to.
    Renew(Who, Fault),
    /// A request reaches GitLab, and its answer arrives or is lost.
    Deliver { which: u8, answered: bool },
    /// An operator is gone without a word, and another process takes its place.
    Crash(Who),
    /// An operator is told to stop, and another process takes its place.
    Terminate(Who),
    /// A process stands still (SIGSTOP), or goes on.
    Freeze(Who),
    /// A process is cut off from the API server, or no longer.
    Cut(Who),
    /// An operator tries for the Lease, or renews it.
    Elect(Who, Fault),
    /// A machine is suspended for so many seconds: the clock that nobody sets stands still.
    Suspend(Who, u16),
    /// Somebody edits the policy.
    Edit,
    /// Somebody asks for a run.
    Request,
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![8 => Just(Fault::None), 1 => Just(Fault::Before), 1 => Just(Fault::After)]
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 0..2_usize;
    prop_oneof![
        6 => prop_oneof![1..30_u16, 1..200_u16, 1..4000_u16].prop_map(Step::Pass),
        2 => (0..180_u8).prop_map(Step::AlmostAnHour),
        8 => who().prop_map(Step::Show),
        14 => (who(), fault()).prop_map(|(who, fault)| Step::Look(who, fault)),
        14 => (who(), fault()).prop_map(|(who, fault)| Step::Work(who, fault)),
        6 => (who(), fault()).prop_map(|(who, fault)| Step::Renew(who, fault)),
        8 => (any::<u8>(), prop::bool::weighted(0.8)).prop_map(|(which, answered)| Step::Deliver { which, answered }),
        2 => who().prop_map(Step::Crash),
        1 => who().prop_map(Step::Terminate),
        2 => who().prop_map(Step::Freeze),
        2 => who().prop_map(Step::Cut),
        3 => (who(), fault()).prop_map(|(who, fault)| Step::Elect(who, fault)),
        1 => (who(), 1..5000_u16).prop_map(|(who, seconds)| Step::Suspend(who, seconds)),
        1 => Just(Step::Edit),
        3 => Just(Step::Request),
    ]
}

/// By how many seconds the clock of each operator is off, and what happens.
pub(crate) fn schedule() -> impl Strategy<Value = ([i64; 2], Vec<Step>)> {
    let skew = || -2..=2_i64;
    ((skew(), skew()).prop_map(|(one, other)| [one, other]), vec(step(), 40..120))
}
