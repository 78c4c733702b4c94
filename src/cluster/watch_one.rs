//! Watches one object by its name, of whatever kind.

use kube::api::{WatchEvent, WatchParams};

/// The watch has ended, as watches do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended;

/// Asks for the object of this name alone, for so many seconds.
pub(super) fn parameters(name: &str, seconds: u32) -> WatchParams {
    WatchParams::default().fields(&field_selector(name)).timeout(seconds)
}

/// Selects the object of this name.
pub(super) fn field_selector(name: &str) -> String {
    format!("metadata.name={name}")
}

/// What the object is after an event: `None` once it is deleted.
pub(super) fn state<K>(event: WatchEvent<K>) -> Result<Option<K>, Ended> {
    match event {
        WatchEvent::Added(object) | WatchEvent::Modified(object) => Ok(Some(object)),
        WatchEvent::Deleted(_) => Ok(None),
        WatchEvent::Bookmark(_) | WatchEvent::Error(_) => Err(Ended),
    }
}
