//! Reads parts of GitLab's JSON that differ between its versions.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::model::Digest;

/// Reads a value that may be missing, null or of a shape we do not know: all of that is "unknown".
pub(super) fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// Reads a digest in the same way; an empty text is "unknown" as well.
pub(super) fn lenient_digest<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Digest>, D::Error> {
    let text: Option<Box<str>> = lenient(deserializer)?;
    Ok(text.as_deref().and_then(Digest::told))
}
