//! Looks at the names of tags that a plan had no need of, where it is not clear yet whether the patterns do anything.

use crate::gitlab::{Client, Repository};
use crate::policy::CompiledPolicy;
use crate::policy::effect::{Effect, Seen};

/// Repositories whose names are listed for it. What they leave open is told as not known.
const MOST_LISTED: usize = 20;

/// Lists names until it is clear, or enough were listed. What cannot be listed stays open.
pub(crate) async fn complete(client: &Client, repositories: &[Repository], seen: &mut Seen, policy: &CompiledPolicy) {
    for _ in 0..MOST_LISTED {
        let open = seen.open();
        let Some(repository) = repositories.iter().find(|repository| open.contains(&repository.id)) else { return };
        let Ok(names) = client.tag_names(&repository.reference()).await else { return };
        seen.complete(repository.id, &Effect::of_names(names.iter().map(AsRef::as_ref), policy));
    }
}
