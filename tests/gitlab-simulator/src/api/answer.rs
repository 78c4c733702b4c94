//! Answers in GitLab's two error shapes, and its bare-number successes (gitlab-api reference 1, 1.4).

use serde_json::{Value, json};

/// A whole answer before it becomes HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn new(status: u16, content_type: &str, body: String) -> Self {
        Self { status, headers: vec![("content-type".to_owned(), content_type.to_owned())], body }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    /// A success whose body is the status itself.
    pub(crate) fn number(status: u16) -> Self {
        Self::json(status, &json!(status))
    }

    /// An error of the helpers: `{"message": …}`.
    pub(crate) fn message(status: u16, message: &str) -> Self {
        Self::json(status, &json!({ "message": message }))
    }

    /// An error of the parameters or of OAuth: `{"error": …}`.
    pub(crate) fn error(status: u16, error: &str) -> Self {
        Self::json(status, &json!({ "error": error }))
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn unauthorized() -> Self {
        Self::message(401, "401 Unauthorized")
    }

    pub(crate) fn forbidden() -> Self {
        Self::message(403, "403 Forbidden")
    }

    /// Something inside a visible project is missing; the lower-case f is GitLab's.
    pub(crate) fn not_found() -> Self {
        Self::message(404, "404 Not found")
    }

    pub(crate) fn not_found_of(kind: &str) -> Self {
        Self::message(404, &format!("404 {kind} Not Found"))
    }

    pub(crate) fn no_route() -> Self {
        Self::error(404, "404 Not Found")
    }

    /// The registry cannot be reached (status 503).
    pub(crate) fn registry_unreachable() -> Self {
        Self::message(
            503,
            "We are having trouble connecting to the Container Registry. If this error persists, please review the \
             troubleshooting documentation.",
        )
    }

    pub(crate) fn server_error() -> Self {
        Self::message(500, "500 Internal Server Error")
    }
}
