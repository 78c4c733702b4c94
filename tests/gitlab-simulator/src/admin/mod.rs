//! The admin API for those who do not write Rust: JSON below `/-/simulator/`, without a token.

use hyper::Method;
use jiff::{SignedDuration, Timestamp};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{CleanupParams, Fault, JobSwitches, Push, Registry, Settings, TagKind, api::Answer, server::Shared};

/// Its prefix, which GitLab itself does not use.
pub(crate) const PREFIX: &str = "/-/simulator/";

/// A repository by id or by path.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Named {
    Id(u64),
    Path(String),
}

impl Named {
    fn id(&self, registry: &Registry) -> Result<u64, Answer> {
        let found = match self {
            Self::Id(id) => registry.find_repository(*id),
            Self::Path(path) => registry.repository_by_path(path),
        };
        found.map(|found| found.id).ok_or_else(|| Answer::error(404, "no such repository"))
    }
}

/// A user by id or by name.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Actor {
    Id(u64),
    Name(String),
}

impl Actor {
    fn id(&self, registry: &Registry) -> Result<u64, Answer> {
        let found = match self {
            Self::Id(id) => registry.find_user(*id),
            Self::Name(name) => registry.user_by_name(name),
        };
        found.map(|found| found.id).ok_or_else(|| Answer::error(404, "no such user"))
    }
}

#[derive(Debug, Deserialize)]
struct Advance {
    seconds: i64,
}

#[derive(Debug, Deserialize)]
struct PushBody {
    repository: Named,
    name: String,
    at: Option<Timestamp>,
    built: Option<Timestamp>,
    digest: Option<String>,
    kind: Option<TagKind>,
    children: Option<Vec<String>>,
    size: Option<u64>,
    subject: Option<String>,
}

#[derive(Debug, Deserialize)]
struct RunBody {
    repository: Named,
    user: Option<Actor>,
    #[serde(default)]
    params: CleanupParams,
    #[serde(default)]
    switches: JobSwitches,
}

/// Answers one admin request; `path` is below the prefix.
pub(crate) fn answer(shared: &Shared, method: &Method, path: &str, query: &str, body: &[u8]) -> Answer {
    route(shared, method.as_str(), path, query, body).unwrap_or_else(|refused| refused)
}

fn route(shared: &Shared, method: &str, path: &str, query: &str, body: &[u8]) -> Result<Answer, Answer> {
    let done = Ok(json!({ "done": true }));
    let answer = match (method, path) {
        ("GET", "health") => shared.with(|registry| {
            Ok(json!({ "status": "ok", "url": shared.site.url, "version": registry.settings.version }))
        }),
        ("GET", "clock") => Ok(clock(shared)),
        ("POST", "clock/advance") => {
            let Advance { seconds } = read(body)?;
            shared.clock.advance(SignedDuration::from_secs(seconds));
            shared.with(|_| Ok(clock(shared)))
        }
        ("GET", "requests") => write(&shared.log.all()),
        ("DELETE", "requests") => {
            shared.log.clear();
            done
        }
        ("POST", "faults") => {
            shared.rules.add(read::<Fault>(body)?);
            done
        }
        ("DELETE", "faults") => {
            shared.rules.clear();
            done
        }
        ("GET", "settings") => shared.with(|registry| write(&registry.settings)),
        ("POST", "settings") => shared.with(|registry| set(registry, read(body)?)),
        ("GET", "repositories") => shared.with(|registry| {
            let shown = |found: &crate::Repository| json!({ "id": found.id, "path": found.path });
            Ok(registry.repositories().map(shown).collect())
        }),
        ("GET", "tags") => shared.with(|registry| tags(registry, query)),
        ("POST", "push") => {
            let push = read(body)?;
            shared.with(|registry| pushed(registry, &push))
        }
        ("GET", "jobs") => shared.with(|registry| write(&registry.jobs())),
        ("POST", "jobs/run") => {
            let RunBody { repository, user, params, switches } = read(body)?;
            shared.with(|registry| {
                let id = repository.id(registry)?;
                let user = user.map(|user| user.id(registry)).transpose()?;
                write(&registry.run_cleanup(id, user, params, switches))
            })
        }
        _ => Err(Answer::no_route()),
    };
    answer.map(|body| Answer::json(200, &body))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Answer> {
    serde_json::from_slice(body).map_err(|error| Answer::error(400, &error.to_string()))
}

fn write(value: &impl serde::Serialize) -> Result<Value, Answer> {
    serde_json::to_value(value).map_err(|error| Answer::error(500, &error.to_string()))
}

fn clock(shared: &Shared) -> Value {
    json!({ "now": shared.clock.now() })
}

/// Replaces the settings that are named and leaves the others.
fn set(registry: &mut Registry, changes: serde_json::Map<String, Value>) -> Result<Value, Answer> {
    let mut all = write(&registry.settings)?;
    if let Some(all) = all.as_object_mut() {
        all.extend(changes);
    }
    registry.settings =
        serde_json::from_value::<Settings>(all).map_err(|error| Answer::error(400, &error.to_string()))?;
    write(&registry.settings)
}

fn tags(registry: &Registry, query: &str) -> Result<Value, Answer> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("repository=")).unwrap_or_default();
    let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
    let id = value.parse().map_or_else(|_| Named::Path(value), Named::Id).id(registry)?;
    let tags: Vec<_> = registry.find_repository(id).into_iter().flat_map(|found| found.tags().values()).collect();
    write(&tags)
}

fn pushed(registry: &mut Registry, body: &PushBody) -> Result<Value, Answer> {
    let id = body.repository.id(registry)?;
    let mut push = body.at.map_or_else(Push::default, Push::at);
    if let Some(built) = body.built {
        push = push.built(built);
    }
    if let Some(digest) = &body.digest {
        push = push.digest(digest);
    }
    if let Some(kind) = body.kind {
        push = push.kind(kind);
    }
    if let Some(children) = &body.children {
        push = push.children(&children.iter().map(String::as_str).collect::<Vec<_>>());
    }
    if let Some(subject) = &body.subject {
        push = push.subject(subject);
    }
    if let Some(size) = body.size {
        push = push.size(size);
    }
    registry.push(id, &body.name, push);
    write(&registry.find_tag(id, &body.name))
}
