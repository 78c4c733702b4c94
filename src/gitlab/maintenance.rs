//! The sentences by which a GitLab that changes nothing just now is known.
//!
//! Pure. They are compared, never shown.

/// GitLab behaviour: said by REST and by GraphQL alike, before anything is done
/// (<https://docs.gitlab.com/administration/maintenance_mode/>; gitlab!251067 for organisations).
pub(super) fn is_maintenance(text: &str) -> bool {
    text.contains("write operations on a read-only instance")
        || text.contains("temporarily unavailable due to maintenance")
}
