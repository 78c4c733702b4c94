//! Errors in GraphQL's shape.

use graphql_parser::Pos;
use serde_json::{Map, Value, json};

/// What a caller gets for things that are missing as well as for those it may not have (gitlab-api reference 8a).
const NOT_AVAILABLE: &str = "The resource that you are attempting to access does not exist or you don't have \
                             permission to perform this action";

/// The registry is down (gitlab-api reference 8a).
const UNREACHABLE: &str = "Can't connect to the container registry. If this error persists, please review the \
                           troubleshooting documentation.";

/// One entry of `errors`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GraphqlError {
    message: String,
    at: Option<Pos>,
    path: Vec<Value>,
    extensions: Value,
}

impl GraphqlError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), at: None, path: Vec::new(), extensions: Value::Null }
    }

    pub(super) fn not_available() -> Self {
        Self::new(NOT_AVAILABLE)
    }

    pub(super) fn unreachable() -> Self {
        Self::new(UNREACHABLE)
    }

    /// What is not told because the time for the request ran out (gitlab-api reference 11).
    pub(super) fn timeout(parent: &str, field: &str) -> Self {
        Self::new(format!("Timeout on {parent}.{field}"))
    }

    pub(super) fn at(mut self, at: Pos) -> Self {
        self.at = Some(at);
        self
    }

    pub(super) fn path(mut self, path: &[Value]) -> Self {
        self.path = path.to_vec();
        self
    }

    pub(super) fn extensions(mut self, extensions: Value) -> Self {
        self.extensions = extensions;
        self
    }

    fn shown(&self) -> Value {
        let mut shown = Map::from_iter([("message".to_owned(), json!(self.message))]);
        if let Some(at) = self.at {
            shown.insert("locations".to_owned(), json!([{ "line": at.line, "column": at.column }]));
        }
        if !self.path.is_empty() {
            shown.insert("path".to_owned(), json!(self.path));
        }
        if !self.extensions.is_null() {
            shown.insert("extensions".to_owned(), self.extensions.clone());
        }
        Value::Object(shown)
    }
}

/// The `errors` of an answer.
pub(super) fn shown(errors: &[GraphqlError]) -> Value {
    errors.iter().map(GraphqlError::shown).collect()
}
