//! The words of the audit trail.

use crate::words::words;

words! {
/// What a line of the audit trail says of a tag or a repository. `docs/logs.md` explains each.
pub enum AuditVerdict {
    /// It would go, or it is gone.
    Remove,
    /// It stays.
    Keep,
    /// GitLab's bulk deletion was asked for, and may take it.
    Candidate,
    /// The request was sent, and nobody knows what became of it.
    Unknown,
    /// The repository as a whole would go, or GitLab was asked to delete it.
    Delete,
}
}
