//! Registries to clean: how many repositories with how many tags of what age.

use std::time::Duration;

use gitlab_simulator::{Push, Registry};
use jiff::{SignedDuration, Timestamp};

use crate::names::{scrambled, tag_name};

/// The group that everything is in.
pub(crate) const GROUP: &str = "bench";
/// The age from which on the rule removes.
pub(crate) const OLDER_THAN_DAYS: u64 = 30;

const DAY: u64 = 86_400;
/// Old tags are from a day above the age to two years old, young ones up to a day below it.
const OLDEST_DAYS: u64 = 730;

/// A size of registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    S,
    M,
    L,
    Xl,
    /// Many repositories of a group, which are cleaned night by night.
    W,
    /// One repository that nobody has ever cleaned: most of it is old.
    D,
    /// One with a million tags.
    Xxl,
}

impl Shape {
    pub(crate) const ALL: [Self; 7] = [Self::S, Self::M, Self::L, Self::Xl, Self::W, Self::D, Self::Xxl];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::S => "S",
            Self::M => "M",
            Self::L => "L",
            Self::Xl => "XL",
            Self::W => "W",
            Self::D => "D",
            Self::Xxl => "XXL",
        }
    }

    /// Projects, repositories of each, tags of each.
    fn size(self) -> (u64, u64, u64) {
        match self {
            Self::S => (1, 3, 100),
            Self::M => (50, 5, 500),
            Self::L | Self::D => (1, 1, 26_788),
            Self::Xl => (1, 1, 135_000),
            Self::W => (60, 100, 40),
            Self::Xxl => (1, 1, 1_000_000),
        }
    }

    /// How many of a repository's tags are old: 40 to 60 % in small ones, each another number, a third in
    /// large ones.
    fn old(self, repository: u64, tags: u64) -> u64 {
        match self {
            Self::S | Self::M | Self::W => tags * (40 + repository * 7 % 21) / 100,
            Self::L | Self::Xl | Self::Xxl => tags / 3,
            Self::D => 21_711,
        }
    }

    /// Fills a registry.
    pub(crate) fn fill(self, registry: &mut Registry) -> Content {
        let (projects, repositories, tags) = self.size();
        let now = registry.now();
        let mut content = Content::default();
        for number in 0..projects * repositories {
            let project = format!("{GROUP}/project-{}", number / repositories);
            registry.project(&project);
            let id = registry.repository(&format!("{project}/image-{}", number % repositories));
            let old = self.old(number, tags);
            for tag in 0..tags {
                let name = if tag + 1 == tags { "latest".to_owned() } else { tag_name(number * tags + tag) };
                registry.push(id, &name, Push::at(pushed(now, tag, tags, old)));
            }
            content.repositories.push(Repository { tags, old });
        }
        content
    }
}

/// When a tag was pushed: the lower its number, the longer ago, at distances that look like chance.
fn pushed(now: Timestamp, tag: u64, tags: u64, old: u64) -> Timestamp {
    let (youngest, oldest, newer, of) = if tag < old {
        (OLDER_THAN_DAYS + 1, OLDEST_DAYS, old - 1 - tag, old)
    } else {
        (0, OLDER_THAN_DAYS - 1, tags - 1 - tag, tags - old)
    };
    let distance = ((oldest - youngest) * DAY / of).max(1);
    let age = youngest * DAY + newer * distance + scrambled(tag) % distance;
    let age = SignedDuration::try_from(Duration::from_secs(age)).unwrap_or_default();
    now.checked_sub(age).unwrap_or(now)
}

/// What a registry was filled with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    repositories: Vec<Repository>,
}

/// A repository. The newest of its tags is `latest`, which no rule removes.
#[derive(Clone, Copy, Debug)]
struct Repository {
    tags: u64,
    old: u64,
}

impl Content {
    pub(crate) fn tags(&self) -> u64 {
        self.repositories.iter().map(|repository| repository.tags).sum()
    }

    /// Tags whose date decides: all but `latest`.
    pub(crate) fn candidates(&self) -> u64 {
        self.repositories.iter().map(|repository| repository.tags - 1).sum()
    }

    /// Tags that the rule removes: old, and not among the newest.
    pub(crate) fn to_remove(&self, keep_n: u64) -> u64 {
        self.repositories
            .iter()
            .map(|repository| {
                repository.old.saturating_sub(keep_n.saturating_sub(repository.tags - 1 - repository.old))
            })
            .sum()
    }
}
