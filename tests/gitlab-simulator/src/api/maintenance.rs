//! What a GitLab under maintenance answers (gitlab-api reference 10).
//!
//! Maintenance mode and its 403: <https://docs.gitlab.com/administration/maintenance_mode/>; the 503 with `Retry-After`
//! came with gitlab!195835 (18.2). Organisations: gitlab!251067 (19.x).

use super::{answer::Answer, call::Call};
use crate::{
    config::{Maintenance, Version},
    state::Registry,
};

/// What writes are refused with, by REST and GraphQL alike.
pub(crate) const READ_ONLY: &str = "You cannot perform write operations on a read-only instance";

const ORGANIZATION: &str = "This organization is temporarily unavailable due to maintenance.";

/// What REST answers instead, if it is refused. GraphQL refuses its mutations itself.
pub(super) fn refusal(registry: &Registry, call: &Call) -> Option<Answer> {
    let settings = &registry.settings;
    match settings.maintenance {
        Maintenance::Off => None,
        Maintenance::Organization => Some(Answer::message(503, ORGANIZATION).header("retry-after", "60".to_owned())),
        Maintenance::ReadOnly if call.get || call.graphql.is_some() => None,
        Maintenance::ReadOnly if settings.version < Version::new(18, 2) => Some(Answer::message(403, READ_ONLY)),
        Maintenance::ReadOnly => Some(Answer::message(503, READ_ONLY).header("retry-after", "60".to_owned())),
    }
}
