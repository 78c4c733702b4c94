//! The demo: the company `shop`, with the tags two years of pipelines leave behind.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::before;
use crate::{DeleteLevel, ProtectionRule, Push, Registry, TagKind, random::Random};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// What the pipelines of one repository push.
struct Profile {
    path: &'static str,
    /// Bytes of a typical image.
    size: u64,
    releases: u32,
    merge_requests: u32,
    commits: u32,
    nightlies: u32,
    /// Whether `main`, `latest` and `stable` are kept up to date.
    floating: bool,
}

const PROFILES: [Profile; 9] = [
    profile("shop/backend/api", 142_000_000, [30, 48, 40, 14]),
    profile("shop/backend/worker", 118_000_000, [18, 26, 24, 0]),
    profile("shop/frontend/web", 61_000_000, [24, 60, 32, 14]),
    profile("shop/payments/service", 187_000_000, [22, 18, 16, 0]),
    profile("shop/payments/ledger", 96_000_000, [12, 8, 8, 0]),
    profile("shop/platform/tools/ci-runner", 410_000_000, [14, 6, 10, 7]),
    profile("shop/platform/tools/linter", 233_000_000, [10, 4, 0, 0]),
    profile("shop/platform/base-images/jdk", 328_000_000, [16, 0, 0, 30]),
    profile("shop/platform/base-images/alpine", 9_400_000, [8, 0, 0, 30]),
];

const fn profile(path: &'static str, size: u64, counts: [u32; 4]) -> Profile {
    let [releases, merge_requests, commits, nightlies] = counts;
    Profile { path, size, releases, merge_requests, commits, nightlies, floating: true }
}

/// The repository of build caches, which nobody should clean by age alone.
const CACHE: &str = "shop/frontend/cache";

/// Fills a registry. The same clock gives the same data.
pub fn demo(registry: &mut Registry) {
    for path in ["shop/backend", "shop/frontend", "shop/payments", "shop/platform/tools", "shop/platform/base-images"] {
        registry.project(path);
    }
    for profile in &PROFILES {
        fill(registry, profile);
    }
    fill_cache(registry);
    let payments = registry.project("shop/payments");
    if let Some(project) = registry.project_mut(payments) {
        // The auditors ask for every release of the payments.
        project.protection_rules.push(ProtectionRule::mutable("^v[0-9]+\\.[0-9]+\\.[0-9]+$", DeleteLevel::Owner));
    }
}

fn fill(registry: &mut Registry, profile: &Profile) {
    let id = registry.repository(profile.path);
    let now = registry.now();
    let mut random = Random::for_text(11, profile.path);
    aged(registry, id, now, 735 * DAY);

    let releases = i64::from(profile.releases);
    let mut digests = Vec::new();
    for index in 0..releases {
        // From two years ago to three days ago, evenly but for some hours.
        let age = 3 * DAY + (releases - 1 - index) * 727 * DAY / (releases - 1).max(1) + jitter(&mut random, 9 * HOUR);
        let name = format!("v{}.{}.{}", 1 + index / 12, index % 12 / 3, index % 3);
        let kind = if index % 4 == 3 { TagKind::Index } else { TagKind::Image };
        digests.push(pushed(registry, id, &name, profile.size, now, age, kind, &mut random));
    }
    for index in 0..profile.merge_requests {
        let age = spread(index, profile.merge_requests, 20 * MINUTE, 120 * DAY) + jitter(&mut random, HOUR);
        let number = 1400 - index * 3;
        pushed_as(registry, id, &format!("mr-{number}-{}", random.hex(8)), profile.size, now, age, &mut random);
    }
    let mut newest = None;
    for index in 0..profile.commits {
        let age = spread(index, profile.commits, 2 * HOUR, 300 * DAY) + jitter(&mut random, HOUR);
        let name = random.hex(40);
        let digest = pushed(registry, id, &name, profile.size, now, age, TagKind::Image, &mut random);
        newest.get_or_insert((digest, age));
    }
    for index in 0..profile.nightlies {
        nightly(registry, id, profile.size, now, i64::from(index), &mut random);
    }
    if profile.floating {
        float(registry, id, now, profile.size, newest, &digests);
    }
}

/// `main` follows the newest commit, `latest` and `stable` the newest two releases.
fn float(
    registry: &mut Registry,
    id: u64,
    now: Timestamp,
    size: u64,
    newest: Option<(String, i64)>,
    releases: &[String],
) {
    let mut follow = |name: &str, age: i64, digest: Option<&String>| {
        registry.push(id, name, Push::at(before(now, SignedDuration::from_secs(730 * DAY))).size(size));
        let push = Push::at(before(now, SignedDuration::from_secs(age))).size(size);
        registry.push(id, name, digest.map_or(push.clone(), |digest| push.digest(digest)));
    };
    let (commit, age) = newest.map_or((None, 5 * DAY), |(digest, age)| (Some(digest), age));
    follow("main", age, commit.as_ref());
    follow("latest", 3 * DAY, releases.last());
    follow("stable", 17 * DAY, releases.len().checked_sub(2).and_then(|index| releases.get(index)));
}

fn nightly(registry: &mut Registry, id: u64, size: u64, now: Timestamp, ago: i64, random: &mut Random) {
    let night = before(now, SignedDuration::from_secs(ago * DAY)).to_zoned(TimeZone::UTC).date();
    // Built at a quarter past two; tonight's may not have been yet.
    let Ok(built) = night.at(2, 15, 0, 0).to_zoned(TimeZone::UTC).map(|at| at.timestamp()) else { return };
    let age = now.duration_since(built).as_secs();
    if age > 0 {
        pushed_as(registry, id, &night.strftime("nightly-%Y%m%d").to_string(), size, now, age, random);
    }
}

fn fill_cache(registry: &mut Registry) {
    let id = registry.repository(CACHE);
    let now = registry.now();
    let mut random = Random::for_text(11, CACHE);
    aged(registry, id, now, 500 * DAY);
    for name in ["buildcache-main", "buildcache-release", "pnpm-store"] {
        let age = HOUR + jitter(&mut random, 20 * HOUR);
        pushed(registry, id, name, 890_000_000, now, age, TagKind::Index, &mut random);
    }
    for index in 0..12 {
        let age = spread(index, 12, 3 * HOUR, 90 * DAY);
        let name = format!("buildcache-mr-{}", 1400 - index * 9);
        pushed(registry, id, &name, 640_000_000, now, age, TagKind::Index, &mut random);
    }
}

fn aged(registry: &mut Registry, id: u64, now: Timestamp, age: i64) {
    if let Some(repository) = registry.repository_mut(id) {
        repository.created_at = before(now, SignedDuration::from_secs(age));
    }
}

fn pushed_as(registry: &mut Registry, id: u64, name: &str, size: u64, now: Timestamp, age: i64, random: &mut Random) {
    pushed(registry, id, name, size, now, age, TagKind::Image, random);
}

/// Pushes an image built some minutes before its push; returns its digest.
#[allow(clippy::too_many_arguments)] // one call site per kind of tag, each naming all of them
fn pushed(
    registry: &mut Registry,
    id: u64,
    name: &str,
    size: u64,
    now: Timestamp,
    age: i64,
    kind: TagKind,
    random: &mut Random,
) -> String {
    let digest = format!("sha256:{}", random.hex(64));
    let at = before(now, SignedDuration::from_secs(age));
    let built = before(at, SignedDuration::from_secs(2 * MINUTE + jitter(random, 7 * MINUTE)));
    let bytes = size - size / 10 + random.below(size / 5);
    registry.push(id, name, Push::at(at).built(built).digest(&digest).kind(kind).size(bytes));
    digest
}

/// Ages of `count` pushes from newest to oldest: dense lately, sparse long ago.
fn spread(index: u32, count: u32, youngest: i64, oldest: i64) -> i64 {
    let (index, last) = (i64::from(index), i64::from(count.max(2) - 1));
    youngest + (oldest - youngest) * index * index / (last * last)
}

fn jitter(random: &mut Random, below: i64) -> i64 {
    i64::try_from(random.below(below.unsigned_abs())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clock, Settings};

    fn filled() -> Registry {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH + SignedDuration::from_hours(20 * 365 * 24));
        let mut registry = Registry::new(Settings::default(), clock, 7);
        demo(&mut registry);
        registry
    }

    #[test]
    fn the_demo_is_a_company_of_believable_size() {
        let registry = filled();
        let tags: usize = registry.repositories().map(|found| found.tags().len()).sum();
        assert!((6..=10).contains(&registry.repositories().count()));
        assert!((400..=600).contains(&tags), "{tags} tags");
        for repository in registry.repositories() {
            for tag in repository.tags().values() {
                let age = registry.now().duration_since(tag.created_at.unwrap_or_default());
                assert!(age.is_positive() && age < SignedDuration::from_hours(24 * 735), "{}: {age}", tag.name);
            }
        }
    }

    #[test]
    fn the_demo_is_the_same_for_the_same_time() {
        let digests = |registry: &Registry| {
            let tags = registry.repositories().flat_map(|found| found.tags().values());
            tags.map(|tag| (tag.name.clone(), tag.digest.clone(), tag.created_at)).collect::<Vec<_>>()
        };
        assert_eq!(digests(&filled()), digests(&filled()));
    }
}
