//! Hours that outlive what the rest of a status speaks of: the policy turns to another GitLab and perhaps back, or was
//! created anew, or its status was lost.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::conditions::shorten;
use crate::api::limits::{MAX_REPOSITORIES, MAX_REPOSITORY_PATH, MAX_RESERVED_HOURS};
use crate::api::{PolicyStatus, ReservedHour, ReservedHours};

use super::bulk_ledger::Hour;

/// Keeps the hours of the last run before one with another instance takes its place.
pub fn leave_instance(status: &mut PolicyStatus, next: &str) {
    let Some(run) = status.last_run.as_ref().filter(|run| run.gitlab != next) else { return };
    let (instance, registry) = (run.gitlab.clone(), run.registry.clone());
    let hour = |repository, until| Hour { instance: instance.clone(), registry: registry.clone(), repository, until };
    let mut hours = Vec::new();
    for repository in &mut status.repositories {
        let until = repository.next_eligible_time.take();
        hours.extend(until.map(|until| hour(Some((repository.id, repository.path.clone())), until.0)));
    }
    hours.extend(status.others_eligible_time.take().map(|until| hour(None, until.0)));
    for hour in hours {
        add(status, hour);
    }
}

/// Adds an hour, unless the status speaks of it already.
pub fn add(status: &mut PolicyStatus, hour: Hour) {
    if is_known(status, &hour) {
        return;
    }
    let Hour { instance, registry, repository, until } = hour;
    let index = index_of(status, &instance, registry);
    let Some(hours) = status.reserved_hours.get_mut(index) else { return };
    let full = hours.repositories.len() >= MAX_REPOSITORIES;
    let known = repository.as_ref().and_then(|(id, _)| hours.repositories.iter_mut().find(|known| known.id == *id));
    match (known, repository) {
        (Some(known), _) => known.next_eligible_time.0 = known.next_eligible_time.0.max(until),
        (None, Some((id, path))) if !full && !hours.gitlab.is_empty() => {
            let path = shorten(&path, MAX_REPOSITORY_PATH);
            hours.repositories.push(ReservedHour { path, id, next_eligible_time: Time(until) });
        }
        (None, _) => extend(hours, until),
    }
}

/// Keeps everything that the policy may request until then: what a former one requested is not known.
pub fn forgotten(status: &mut PolicyStatus, until: Timestamp) {
    add(status, Hour { instance: String::new(), registry: None, repository: None, until });
}

/// Leaves out what is over.
pub fn expire(status: &mut PolicyStatus, now: Timestamp) {
    for hours in &mut status.reserved_hours {
        hours.repositories.retain(|hour| hour.next_eligible_time.0 > now);
        hours.others_eligible_time = hours.others_eligible_time.take().filter(|time| time.0 > now);
    }
    status.reserved_hours.retain(|hours| !hours.repositories.is_empty() || hours.others_eligible_time.is_some());
}

/// Makes the hours take less room: one repository is not named any more. Answers whether there was one.
pub fn shrink(status: &mut PolicyStatus) -> bool {
    let longest = status.reserved_hours.iter_mut().max_by_key(|hours| hours.repositories.len());
    let Some(hours) = longest else { return false };
    let Some(dropped) = hours.repositories.pop() else { return false };
    extend(hours, dropped.next_eligible_time.0);
    true
}

/// Whether the status has the hour anyway.
fn is_known(status: &PolicyStatus, hour: &Hour) -> bool {
    let same = status.last_run.as_ref().is_some_and(|run| run.gitlab == hour.instance);
    let kept = status.reserved_hours.iter().find(|hours| hours.gitlab == hour.instance);
    let reaches = |time: &Option<Time>| time.as_ref().is_some_and(|time| time.0 >= hour.until);
    let Some((id, _)) = &hour.repository else {
        return (same && reaches(&status.others_eligible_time))
            || kept.is_some_and(|hours| reaches(&hours.others_eligible_time));
    };
    let named = status.repositories.iter().filter(|repository| same && repository.id == *id);
    let mut named = named.map(|repository| reaches(&repository.next_eligible_time));
    let kept = kept.into_iter().flat_map(|hours| &hours.repositories).filter(|kept| kept.id == *id);
    named.any(|known| known) || kept.into_iter().any(|kept| kept.next_eligible_time.0 >= hour.until)
}

/// The place of an instance. Where there are too many, all that is not named otherwise becomes one that may be any.
fn index_of(status: &mut PolicyStatus, instance: &str, registry: Option<String>) -> usize {
    let all = &mut status.reserved_hours;
    if let Some(index) = all.iter().position(|hours| hours.gitlab == instance) {
        if let Some(hours) = all.get_mut(index) {
            hours.registry = hours.registry.take().or(registry);
        }
        return index;
    }
    let any = all.iter().position(|hours| hours.gitlab.is_empty());
    // The last place is for the one that may be any.
    let taken = all.len() - usize::from(any.is_some());
    if !instance.is_empty() && taken + 1 >= MAX_RESERVED_HOURS {
        return index_of(status, "", None);
    }
    let hours = ReservedHours { gitlab: instance.to_owned(), registry, ..ReservedHours::default() };
    all.push(hours);
    all.len() - 1
}

fn extend(hours: &mut ReservedHours, until: Timestamp) {
    let known = hours.others_eligible_time.as_ref().map(|time| time.0);
    hours.others_eligible_time = known.max(Some(until)).map(Time);
}

#[cfg(test)]
mod tests;
