//! The part of GitLab's schema that is served: types, fields and arguments, each with the release it came with.
//!
//! The reference says that older servers lack some fields, not always since when (8a); where it does not, the release
//! is GitLab's milestone as far as known.

use std::collections::BTreeSet;

use crate::config::Version;

/// A field of an object type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) output: Output,
    pub(super) arguments: &'static [Argument],
    since: Version,
}

/// What a field returns.
#[derive(Clone, Copy, Debug)]
pub(super) enum Output {
    /// A scalar, enum, or list of them.
    Leaf(&'static str),
    /// An object, or a list of them.
    Object(&'static str),
    /// Pages of a list.
    Connection {
        /// The connection's type.
        name: &'static str,
        /// The largest page.
        most: u64,
    },
}

impl Output {
    /// The name of the type, without lists and exclamation marks.
    pub(super) fn type_name(self) -> &'static str {
        match self {
            Self::Leaf(name) | Self::Object(name) | Self::Connection { name, .. } => name,
        }
    }
}

/// An argument of a field, or a member of an input object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Argument {
    pub(super) name: &'static str,
    /// Its type as GraphQL writes it.
    pub(super) input: &'static str,
    since: Version,
}

/// Containers in GraphQL came with 13.7.
const BEGIN: Version = Version::new(13, 7);

const fn leaf(name: &'static str, output: &'static str) -> Field {
    Field { name, output: Output::Leaf(output), arguments: &[], since: BEGIN }
}

const fn object(name: &'static str, output: &'static str) -> Field {
    Field { name, output: Output::Object(output), arguments: &[], since: BEGIN }
}

const fn connection(name: &'static str, output: &'static str, most: u64) -> Field {
    Field { name, output: Output::Connection { name: output, most }, arguments: &[], since: BEGIN }
}

const fn argument(name: &'static str, input: &'static str) -> Argument {
    Argument { name, input, since: BEGIN }
}

impl Field {
    const fn since(mut self, major: u16, minor: u16) -> Self {
        self.since = Version::new(major, minor);
        self
    }

    const fn with(mut self, arguments: &'static [Argument]) -> Self {
        self.arguments = arguments;
        self
    }
}

impl Argument {
    const fn since(mut self, major: u16, minor: u16) -> Self {
        self.since = Version::new(major, minor);
        self
    }
}

/// The release whose enum has `PUBLISHED_AT_*`, and from which path A pages as the registry does.
pub(super) const REGISTRY_PAGES: Version = Version::new(17, 0);

const TAGS: &[Argument] = &[
    argument("after", "String"),
    argument("before", "String"),
    argument("first", "Int"),
    argument("last", "Int"),
    argument("sort", "ContainerRepositoryTagSort"),
    argument("name", "String"),
    argument("referrers", "Boolean").since(17, 0),
];

const REPOSITORIES: &[Argument] = &[
    argument("after", "String"),
    argument("before", "String"),
    argument("first", "Int"),
    argument("last", "Int"),
    argument("name", "String"),
    argument("sort", "ContainerRepositorySort"),
];

const PAGES: &[Argument] =
    &[argument("after", "String"), argument("before", "String"), argument("first", "Int"), argument("last", "Int")];

const FULL_PATH: &[Argument] = &[argument("fullPath", "ID!")];

const REPOSITORY: &[Field] = &[
    leaf("id", "ContainerRepositoryID"),
    leaf("name", "String"),
    leaf("path", "String"),
    leaf("location", "String"),
    leaf("canDelete", "Boolean"),
    leaf("createdAt", "Time"),
    leaf("updatedAt", "Time"),
    leaf("expirationPolicyStartedAt", "Time"),
    leaf("expirationPolicyCleanupStatus", "ContainerRepositoryCleanupStatus").since(13, 9),
    leaf("lastCleanupDeletedTagsCount", "Int").since(16, 6),
    leaf("status", "ContainerRepositoryStatus"),
    leaf("tagsCount", "Int"),
    object("project", "Project").since(13, 8),
    object("userPermissions", "ContainerRepositoryPermissions").since(16, 7),
];

const OBJECTS: &[(&str, &[Field])] = &[
    (
        "Query",
        &[
            object("containerRepository", "ContainerRepositoryDetails")
                .with(&[argument("id", "ContainerRepositoryID!")]),
            object("project", "Project").with(FULL_PATH).since(12, 1),
            object("group", "Group").with(FULL_PATH).since(12, 1),
        ],
    ),
    (
        "Mutation",
        &[object("destroyContainerRepositoryTags", "DestroyContainerRepositoryTagsPayload")
            .with(&[argument("input", "DestroyContainerRepositoryTagsInput!")])],
    ),
    (
        "DestroyContainerRepositoryTagsPayload",
        &[leaf("clientMutationId", "String"), leaf("deletedTagNames", "String"), leaf("errors", "String")],
    ),
    ("ContainerRepository", REPOSITORY),
    (
        "ContainerRepositoryDetails",
        &[
            connection("tags", "ContainerRepositoryTagConnection", 20).with(TAGS),
            object("tagDetails", "ContainerRepositoryTagDetails").with(&[argument("name", "String!")]).since(18, 10),
            leaf("manifest", "String").with(&[argument("reference", "String!")]).since(17, 1),
            leaf("size", "Float").since(14, 9),
            leaf("lastPublishedAt", "Time").since(16, 11),
        ],
    ),
    ("ContainerRepositoryPermissions", &[leaf("destroyContainerRepository", "Boolean")]),
    (
        "Project",
        &[
            leaf("id", "ID"),
            leaf("fullPath", "ID"),
            leaf("name", "String"),
            leaf("path", "String"),
            leaf("visibility", "String"),
            object("containerExpirationPolicy", "ContainerExpirationPolicy"),
            connection("containerRepositories", "ContainerRepositoryConnection", 100).with(REPOSITORIES),
            leaf("containerRepositoriesCount", "Int"),
            object("maxAccessLevel", "AccessLevel").since(16, 9),
            connection("containerProtectionTagRules", "ContainerProtectionTagRuleConnection", 100)
                .with(PAGES)
                .since(17, 8),
        ],
    ),
    ("AccessLevel", &[leaf("integerValue", "Int"), leaf("stringValue", "String")]),
    (
        "ContainerProtectionTagRuleConnection",
        &[object("nodes", "ContainerProtectionTagRule"), object("pageInfo", "PageInfo")],
    ),
    (
        "ContainerProtectionTagRule",
        &[
            leaf("id", "ID"),
            leaf("tagNamePattern", "String"),
            leaf("minimumAccessLevelForPush", "ContainerProtectionTagRuleAccessLevel"),
            leaf("minimumAccessLevelForDelete", "ContainerProtectionTagRuleAccessLevel"),
        ],
    ),
    (
        "Group",
        &[
            leaf("id", "ID"),
            leaf("fullPath", "ID"),
            leaf("name", "String"),
            leaf("path", "String"),
            leaf("visibility", "String"),
            connection("containerRepositories", "ContainerRepositoryConnection", 100).with(REPOSITORIES),
            leaf("containerRepositoriesCount", "Int"),
        ],
    ),
    (
        "ContainerExpirationPolicy",
        &[
            leaf("enabled", "Boolean"),
            leaf("cadence", "ContainerExpirationPolicyCadenceEnum"),
            leaf("keepN", "ContainerExpirationPolicyKeepEnum"),
            leaf("olderThan", "ContainerExpirationPolicyOlderThanEnum"),
            leaf("nameRegex", "UntrustedRegexp"),
            leaf("nameRegexKeep", "UntrustedRegexp"),
            leaf("nextRunAt", "Time"),
        ],
    ),
    (
        "ContainerRepositoryConnection",
        &[
            object("nodes", "ContainerRepository"),
            object("edges", "ContainerRepositoryEdge"),
            object("pageInfo", "PageInfo"),
        ],
    ),
    ("ContainerRepositoryEdge", &[object("node", "ContainerRepository"), leaf("cursor", "String")]),
    (
        "ContainerRepositoryTagConnection",
        &[
            object("nodes", "ContainerRepositoryTag"),
            object("edges", "ContainerRepositoryTagEdge"),
            object("pageInfo", "PageInfo"),
        ],
    ),
    ("ContainerRepositoryTagEdge", &[object("node", "ContainerRepositoryTag"), leaf("cursor", "String")]),
    (
        "PageInfo",
        &[
            leaf("hasNextPage", "Boolean"),
            leaf("hasPreviousPage", "Boolean"),
            leaf("startCursor", "String"),
            leaf("endCursor", "String"),
        ],
    ),
    (
        "ContainerRepositoryTag",
        &[
            leaf("name", "String"),
            leaf("path", "String"),
            leaf("location", "String"),
            leaf("digest", "String"),
            leaf("revision", "String"),
            leaf("shortRevision", "String"),
            leaf("totalSize", "BigInt"),
            leaf("canDelete", "Boolean"),
            leaf("createdAt", "Time"),
            leaf("publishedAt", "Time").since(16, 11),
            leaf("mediaType", "String").since(17, 1),
            object("referrers", "ContainerRepositoryReferrer").since(17, 0),
            object("protection", "ContainerProtectionAccessLevel").since(17, 9),
            object("userPermissions", "ContainerRepositoryTagPermissions").since(16, 7),
        ],
    ),
    (
        "ContainerRepositoryTagDetails",
        &[
            leaf("name", "String"),
            leaf("path", "String"),
            leaf("location", "String"),
            leaf("digest", "String"),
            leaf("mediaType", "String"),
            leaf("totalSize", "BigInt"),
            leaf("createdAt", "Time"),
            leaf("publishedAt", "Time"),
            object("platform", "ContainerRepositoryImagePlatform"),
            object("manifests", "ContainerRepositoryImageManifest"),
        ],
    ),
    (
        "ContainerRepositoryImageManifest",
        &[
            leaf("digest", "String"),
            leaf("mediaType", "String"),
            leaf("size", "BigInt"),
            object("platform", "ContainerRepositoryImagePlatform"),
        ],
    ),
    ("ContainerRepositoryImagePlatform", &[leaf("os", "String"), leaf("architecture", "String")]),
    ("ContainerRepositoryReferrer", &[leaf("artifactType", "String"), leaf("digest", "String")]),
    (
        "ContainerProtectionAccessLevel",
        &[
            leaf("minimumAccessLevelForPush", "ContainerProtectionTagRuleAccessLevel"),
            leaf("minimumAccessLevelForDelete", "ContainerProtectionTagRuleAccessLevel"),
            leaf("immutable", "Boolean").since(18, 1),
        ],
    ),
    ("ContainerRepositoryTagPermissions", &[leaf("destroyContainerRepositoryTag", "Boolean")]),
];

/// The members of the one input object.
pub(super) const DESTROY_TAGS_INPUT: &[Argument] = &[
    argument("clientMutationId", "String"),
    argument("id", "ContainerRepositoryID!"),
    argument("tagNames", "[String!]!"),
];

/// The scalars an argument or variable may have.
pub(super) const INPUT_SCALARS: [&str; 5] = ["Int", "String", "Boolean", "ID", "ContainerRepositoryID"];

/// The schema of one server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schema<'s> {
    pub(super) version: Version,
    /// Fields switched off, as `Type.field`.
    pub(super) hidden: &'s BTreeSet<String>,
}

impl Schema<'_> {
    /// A field of a type, if this server has it.
    pub(super) fn field(&self, of: &str, name: &str) -> Option<&'static Field> {
        // The details of a repository are a repository and some more.
        let also = (of == "ContainerRepositoryDetails").then_some("ContainerRepository");
        let fields = OBJECTS.iter().filter(|(object, _)| *object == of || Some(*object) == also);
        let found = fields.flat_map(|(_, fields)| fields.iter()).find(|field| field.name == name)?;
        let hidden = self.hidden.contains(&format!("{of}.{name}"));
        (found.since <= self.version && !hidden).then_some(found)
    }

    /// An argument of a field, if this server has it.
    pub(super) fn argument(&self, field: &Field, name: &str) -> Option<&'static Argument> {
        field.arguments.iter().find(|argument| argument.name == name && argument.since <= self.version)
    }

    /// The values of an enum; `None` for anything else.
    pub(super) fn values(&self, input: &str) -> Option<&'static [&'static str]> {
        match input {
            "ContainerRepositoryTagSort" if self.version < REGISTRY_PAGES => Some(&["NAME_ASC", "NAME_DESC"]),
            "ContainerRepositoryTagSort" => Some(&["NAME_ASC", "NAME_DESC", "PUBLISHED_AT_ASC", "PUBLISHED_AT_DESC"]),
            "ContainerRepositorySort" => {
                Some(&["UPDATED_DESC", "UPDATED_ASC", "CREATED_DESC", "CREATED_ASC", "NAME_ASC", "NAME_DESC"])
            }
            _ => None,
        }
    }
}

/// Whether an object type of this name exists.
pub(super) fn is_object(name: &str) -> bool {
    OBJECTS.iter().any(|(object, _)| *object == name)
}
