//! Holds what is in use of a repository against its tags, and looks up what decides which tags that are: digests of
//! tags that were not read, configurations that nodes report, and what is inside of indexes.
//!
//! Everything here only ever shows that a tag need not stay: what is not looked up, or not told, keeps more.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use crate::gitlab::{Error, Repository};
use crate::model::Digest;
use crate::policy::in_use::{Contents, RepositoryUse, names_subject};
use crate::policy::inventory::Inventory;
use crate::policy::source::Source;
use crate::policy::tag::Tag;
use crate::policy::tag_protection::Claims;

use super::list_repositories::concerns_all;
use super::planner::Planner;

/// Most tags that are read one by one, in one repository.
const MAX_LOOKED_UP: usize = 100;
/// Most pages of images that are read for their configurations, in one repository.
const MAX_IMAGE_PAGES: usize = 250;
/// Most indexes that GitLab is asked about, in one repository and run: each costs it a request to its registry.
const MAX_INDEXES: usize = 50;

/// What is known of a repository's tags while it is looked at.
struct Evidence<'a> {
    used: &'a RepositoryUse,
    repository: &'a Repository,
    inventory: &'a Inventory,
    source: Source,
    /// The names of the tags in use.
    names: HashSet<&'a str>,
    /// The tags of these names that were read, with their digests where those are known.
    read: HashMap<&'a str, Option<&'a Digest>>,
    /// Digests of tags in use that were not read.
    found: Vec<(&'a str, Digest)>,
    contents: Contents,
    /// The digest of some tag in use is not known.
    undigested: bool,
}

impl<'a> Evidence<'a> {
    /// What is known at first. There is no map of all tags, of which there may be many and few in use.
    fn new(used: &'a RepositoryUse, repository: &'a Repository, inventory: &'a Inventory, source: Source) -> Self {
        let names: HashSet<&str> = used.tags().map(|(name, _)| name).collect();
        let read = inventory.read.iter().filter(|tag| names.contains(&*tag.name));
        let read = read.map(|tag| (&*tag.name, tag.digest.as_ref())).collect();
        let (found, contents, undigested) = (Vec::new(), Contents::default(), false);
        Self { used, repository, inventory, source, names, read, found, contents, undigested }
    }

    fn digests(&self) -> impl Iterator<Item = &Digest> {
        let read = self.inventory.read.iter().filter_map(|tag| tag.digest.as_ref());
        read.chain(self.found.iter().map(|(_, digest)| digest)).chain(self.contents.digests())
    }

    /// Whether some digest in use is not known to be that of a tag.
    fn lacks_digests(&self) -> bool {
        !self.used.unresolved(self.digests()).is_empty()
    }

    /// Whether it is not known which image a node reports.
    fn lacks_ids(&self) -> bool {
        !self.used.unresolved_ids(self.digests()).is_empty()
    }

    /// Takes note of an image's configuration, if somebody may use it.
    fn note_configuration(&mut self, digest: &Digest, configuration: &Digest) {
        if self.used.ids().any(|(id, _)| id == configuration) {
            self.contents.note_configuration(digest, configuration);
        }
    }

    /// The tags that may be indexes, each digest once: those in use by name first, since they stay in any case, and
    /// then the newest.
    fn indexes(&self) -> Vec<(&'a str, Digest)> {
        let mut read: Vec<&'a Tag> = self.inventory.read.iter().filter(|tag| !tag.single_image).collect();
        read.sort_by_key(|tag| (!self.names.contains(&*tag.name), Reverse(tag.pushed)));
        let read = read.into_iter().filter_map(|tag| Some((&*tag.name, tag.digest.as_ref()?)));
        let mut digests = HashSet::new();
        let all = self.found.iter().map(|(name, digest)| (*name, digest)).chain(read);
        all.filter(|(_, digest)| digests.insert(*digest)).map(|(name, digest)| (name, digest.clone())).collect()
    }
}

impl Planner<'_> {
    /// Holds what is in use against the tags.
    pub(super) async fn claims(
        &self,
        used: RepositoryUse,
        inventory: &Inventory,
        source: Source,
        repository: &Repository,
    ) -> Result<Claims, Error> {
        let mut evidence = Evidence::new(&used, repository, inventory, source);
        // Boxed, since what is rarely needed would make every run's future larger.
        Box::pin(self.look_up_used_tags(&mut evidence)).await?;
        if evidence.lacks_ids() {
            Box::pin(self.look_for_configurations(&mut evidence)).await?;
        }
        if source.graphql && (evidence.lacks_digests() || evidence.lacks_ids()) {
            Box::pin(self.look_into_indexes(&mut evidence)).await?;
        }
        let Evidence { found, contents, undigested, .. } = evidence;
        let read = inventory.read.iter().map(|tag| (&*tag.name, tag.digest.as_ref()));
        let tags = read.chain(found.iter().map(|(name, digest)| (*name, Some(digest))));
        Ok(Claims::with(used.clone(), tags, contents, undigested))
    }

    /// Looks at tags that are in use by name: at those without a digest because a digest in use is that of none of the
    /// others (most are theirs), or because of signatures; at all for the configuration that a node reports.
    async fn look_up_used_tags(&self, evidence: &mut Evidence<'_>) -> Result<(), Error> {
        let Evidence { used, repository, inventory, source, .. } = *evidence;
        let newer = inventory.newer.iter().map(|name| &**name);
        let newer: HashSet<&str> = newer.filter(|name| evidence.names.contains(name)).collect();
        let signed = inventory.read.iter().any(|tag| names_subject(&tag.name));
        let mut looked_up = 0;
        for (name, _) in used.tags() {
            let known = evidence.read.get(name).copied();
            let unread = known.flatten().is_none();
            let exists = !source.extent.is_all() || known.is_some() || newer.contains(name);
            if !exists || !((unread && (signed || evidence.lacks_digests())) || evidence.lacks_ids()) {
                continue;
            }
            if looked_up == MAX_LOOKED_UP {
                evidence.undigested |= unread;
                continue;
            }
            looked_up += 1;
            let details = self.reader.client.tag(&repository.reference(), name).await?;
            let (digest, configuration) =
                details.map_or((None, None), |details| (details.digest, details.configuration));
            let Some(digest) = digest else {
                evidence.undigested |= unread;
                continue;
            };
            if let Some(configuration) = configuration {
                evidence.note_configuration(&digest, &configuration);
            }
            if unread {
                evidence.found.push((name, digest));
            }
        }
        Ok(())
    }

    /// Looks for the images that nodes report by their configuration.
    async fn look_for_configurations(&self, evidence: &mut Evidence<'_>) -> Result<(), Error> {
        if !evidence.source.graphql {
            let names = evidence.inventory.read.iter().filter(|tag| tag.digest.is_some()).take(MAX_LOOKED_UP);
            for tag in names {
                let details = self.reader.client.tag(&evidence.repository.reference(), &tag.name).await?;
                if let Some((digest, configuration)) =
                    details.and_then(|found| Some((found.digest?, found.configuration?)))
                {
                    evidence.note_configuration(&digest, &configuration);
                }
                if !evidence.lacks_ids() {
                    break;
                }
            }
            return Ok(());
        }
        let mut cursor = None;
        for _ in 0..MAX_IMAGE_PAGES {
            let Some(page) = self.reader.client.image_page(evidence.repository.id, cursor.as_deref()).await? else {
                break;
            };
            for (digest, configuration) in &page.images {
                evidence.note_configuration(digest, configuration);
            }
            cursor = page.next;
            if cursor.is_none() || !evidence.lacks_ids() {
                break;
            }
        }
        Ok(())
    }

    /// Looks into indexes until it is known where every digest in use is. What was told before costs nothing.
    async fn look_into_indexes(&self, evidence: &mut Evidence<'_>) -> Result<(), Error> {
        let mut unknown = Vec::new();
        for (name, digest) in evidence.indexes() {
            match self.reader.client.known_children(&digest) {
                Some(children) => evidence.contents.note_index(&digest, children),
                None => unknown.push((name, digest)),
            }
        }
        for (name, digest) in unknown.into_iter().take(MAX_INDEXES) {
            if !evidence.lacks_digests() && !evidence.lacks_ids() {
                break;
            }
            match self.reader.client.index_children(evidence.repository.id, name, &digest).await {
                Ok(Some(children)) => evidence.contents.note_index(&digest, children),
                Ok(None) => {}
                Err(error) if concerns_all(&error) => return Err(error),
                // The others would take as long to fail.
                Err(_) => break,
            }
        }
        Ok(())
    }
}
