//! An object of the cluster that names images in a way that is not understood.

use std::borrow::Cow;

/// An object whose uses cannot be told.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{place} is not understood")]
pub(super) struct Unreadable {
    place: Cow<'static, str>,
}

impl Unreadable {
    pub(super) fn new(place: impl Into<Cow<'static, str>>) -> Self {
        Self { place: place.into() }
    }
}
