//! Removes planned tags of several small repositories: the images of all in one request, and what is left of each by
//! itself.
//!
//! A repository's tags pass the same checks as alone (`check_together`), its parts of the answer are judged by
//! themselves, and its numbers are its own. Whatever does not go with the one request, since a tag was pushed again,
//! came into use, or GitLab refused something, goes on as if the repository were alone: `remove_tags`.

use std::sync::Arc;

use crate::gitlab::{FinalCheck, NamesOf, Repository};
use crate::policy::outcomes::plan::Removable;
use crate::policy::outcomes::removal::Tally;
use crate::policy::tag::Tag;

use super::check_tags::TagCheck;
use super::check_together::CheckTogether;
use super::job::Job;
use super::places::Place;
use super::remove_tags::{Removal, Request, fates, refuses_several};
use super::report::Halt;
use crate::controller::plan::list_repositories::concerns_all;

/// What is still to be requested in a repository, or what ends its removal.
type Left<'t> = Result<Vec<Request<'t>>, Halt>;

/// Removes the tags of each, and answers in their order what became of them. After what ends the whole run nothing is
/// begun any more.
pub(super) async fn run<'a>(
    job: &'a Job<'a>,
    wanted: &[(&'a Repository, &'a Removable)],
) -> Vec<(Tally, Option<Halt>)> {
    let removals: Vec<Removal<'_>> =
        wanted.iter().map(|(repository, removable)| Removal::of(job, repository, removable, true)).collect();
    let images = wanted.iter().map(|(_, removable)| removable.tags.images.iter().collect());
    let place = job.place().await;
    let tags: Vec<Vec<&Tag>> = images.collect();
    let left = if fit(job, &tags) {
        at_once(job, &removals, tags, &place).await
    } else {
        removals.iter().zip(tags).map(|(removal, tags)| Ok(vec![removal.request(tags)])).collect()
    };
    drop(place);
    let (mut done, mut over) = (Vec::new(), false);
    for ((mut removal, (_, removable)), left) in removals.into_iter().zip(wanted).zip(left) {
        let halt = match left {
            Err(halt) => Some(halt),
            Ok(_) if over => None,
            Ok(requests) => removal.rest(requests, &removable.tags).await.err(),
        };
        over |= halt.as_ref().is_some_and(|halt| !matches!(halt, Halt::GitLab(error) if !concerns_all(error)));
        done.push((removal.into_tally(), halt));
    }
    done
}

/// Whether one request still may have all of them: fewer fit into one when the server has become slower.
fn fit(job: &Job<'_>, tags: &[Vec<&Tag>]) -> bool {
    job.client.removable_together().is_some_and(|room| tags.iter().map(Vec::len).sum::<usize>() <= room.tags)
}

/// Requests the removal of all at once.
async fn at_once<'t>(
    job: &Job<'_>,
    removals: &[Removal<'_>],
    tags: Vec<Vec<&'t Tag>>,
    place: &Place<'_>,
) -> Vec<Left<'t>> {
    let requests: Vec<Request<'t>> = removals.iter().zip(tags).map(|(removal, tags)| removal.request(tags)).collect();
    let all = || removals.iter().zip(&requests);
    let checks: Vec<Arc<TagCheck>> = all().map(|(removal, request)| removal.check(request)).collect();
    let together = CheckTogether::of(job.client.clone(), checks.clone());
    let client = job.client.looking(together as Arc<dyn FinalCheck>);
    let names = |(removal, request): (&Removal<'_>, &Request<'t>)| NamesOf {
        repository: removal.repository.id,
        names: request.tags.iter().map(|tag| &*tag.name).collect(),
    };
    let wanted: Vec<NamesOf<'t>> = all().map(names).collect();
    let told = client.delete_tags_of(&wanted).await;
    match told {
        Ok(parts) => {
            place.answered();
            let told = all().zip(parts);
            told.map(|((removal, request), parts)| {
                Ok(removal.told(request, fates(&request.tags, parts))?.into_iter().collect())
            })
            .collect()
        }
        // Smaller ones are next, each of which is looked at anew.
        Err(error) if error.is_too_complex() => requests.into_iter().map(|request| Ok(vec![request])).collect(),
        Err(error) if refuses_several(&error) => {
            removals.iter().for_each(Removal::go_one_by_one);
            requests.into_iter().map(|request| Ok(vec![request])).collect()
        }
        Err(error) if error.is_withdrawn() => {
            let mut left = Vec::new();
            for ((removal, request), check) in removals.iter().zip(requests).zip(&checks) {
                left.push(match check.finding() {
                    None => Ok(vec![request]),
                    Some(found) => removal.held_back(request, found).await,
                });
            }
            left
        }
        Err(error) => all()
            .map(|(removal, request)| removal.unanswered(&request.tags, error.clone()).map(|()| Vec::new()))
            .collect(),
    }
}
