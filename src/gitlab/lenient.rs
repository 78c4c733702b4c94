//! Reads parts of GitLab's JSON that differ between its versions.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

/// Reads a value that may be missing, null or of a shape we do not know: all of that is "unknown".
pub(super) fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}
