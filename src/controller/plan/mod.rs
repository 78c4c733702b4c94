//! Finds out which tags would be removed: lists the repositories of a policy, reads their tags, knows which images are
//! in use, and plans one repository at a time. Nothing here removes anything, and nothing here knows of runs.

pub(super) mod archived;
pub(super) mod effects;
pub(super) mod failure;
pub(super) mod in_use;
mod in_use_lists;
mod indexes;
pub(super) mod list_repositories;
pub(super) mod newest;
mod newest_pages;
mod pages;
pub(super) mod planner;
pub(super) mod read_tags;
mod tag_protection;
pub(super) mod tag_reader;
