//! Why a pattern cannot be used, and what patterns may take.

/// Most that a pattern may take as compiled, in bytes. A legible pattern takes a few hundred, the longest that GitLab's
/// documentation has some thousands.
pub const MAX_PATTERN_BYTES: usize = 64 << 10;
/// Most that all patterns of a policy may take as compiled, in bytes.
pub(super) const MAX_POLICY_BYTES: usize = 256 << 10;

/// Why a pattern cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PatternError {
    /// No pattern at all.
    #[error("is no valid pattern: {0}")]
    Invalid(String),
    /// RE2 reads it differently or not at all.
    #[error("would be read differently by GitLab: {0}")]
    DiffersFromRe2(&'static str),
    /// It takes more than a pattern may.
    #[error("takes more than {} KiB of memory as compiled: {ADVICE}", MAX_PATTERN_BYTES >> 10)]
    TooLarge,
    /// It is to keep tags, and no tag name matches it.
    #[error("matches no tag name, so it keeps nothing: {TAG_NAMES}")]
    MatchesNoTag,
    /// The same for this alternative.
    #[error("keeps nothing by its part {0:?}, which matches no tag name: {TAG_NAMES}")]
    PartMatchesNoTag(String),
    /// It is to exclude repositories, and no path matches it.
    #[error(
        "matches no repository path, so it excludes nothing: GitLab writes paths in lower case, and they begin with the \
         group or the user, for example shop/backend/cache, without a slash"
    )]
    MatchesNoPath,
    /// With those before it, it takes more than the patterns of a policy may together.
    #[error(
        "brings the patterns of this policy above {} KiB of memory as compiled; the largest is {largest} with {} KiB: \
         {ADVICE}",
        MAX_POLICY_BYTES >> 10,
        bytes.div_ceil(1024)
    )]
    TooLargeTogether {
        /// The field with the largest pattern.
        largest: String,
        /// How much that takes, in bytes.
        bytes: usize,
    },
}

/// What a tag name is.
const TAG_NAMES: &str = "these have letters, digits, _, . and - only, at most 128, and begin with neither . nor -";

/// What makes a pattern smaller.
const ADVICE: &str = "repeat less often than {1,500} does, and write [a-z] instead of \\p{L}, since names are ASCII";
