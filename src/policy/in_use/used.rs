//! An image in use as it comes in, and what it means: a name that somebody wrote, or what a node reports of it.

use super::registry::key;
use crate::api::conditions::shorten;
use crate::model::{Digest, UsedImage};
use crate::policy::image::{ImageId, ImageRef, RefError};

/// Longest text of something unreadable, in bytes.
pub(super) const MAX_TEXT: usize = 256;

/// What a used image means.
#[derive(Debug)]
pub(super) enum Meaning {
    /// These images: more than one where a node reports an image under another name than that of the specification. A
    /// digest counts for both.
    Images(Vec<ImageRef>),
    /// An image of this name, of which a node reports something that names no repository.
    Reported(ImageRef, Digest),
    /// Nothing, or nothing of which anything is known.
    Nothing,
}

impl UsedImage {
    /// The text in which everything else is looked for, for somebody who reads about it.
    pub(super) fn text(&self) -> &str {
        self.id.as_deref().unwrap_or(&self.image)
    }

    pub(super) fn read(&self) -> Result<Meaning, RefError> {
        let Some(id) = &self.id else { return ImageRef::parse(&self.image).map(|image| Meaning::Images(vec![image])) };
        // A name that cannot be read is told of where the name alone is.
        let own = ImageRef::parse(&self.image).ok();
        Ok(match (ImageId::parse(id)?, own) {
            (None, _) | (Some(ImageId::Digest(_)), None) => Meaning::Nothing,
            (Some(ImageId::Digest(digest)), Some(own)) => Meaning::Reported(own, digest),
            (Some(ImageId::In(image)), None) => Meaning::Images(vec![image]),
            (Some(ImageId::In(image)), Some(own)) => {
                let own = ImageRef { tag: None, digest: image.digest.clone(), ..own };
                let others = key(&own.name) != key(&image.name) && own.digest.is_some();
                Meaning::Images([Some(image), Some(own).filter(|_| others)].into_iter().flatten().collect())
            }
        })
    }

    /// Whether nobody knows what it means.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        self.read().is_err()
    }

    /// The same where the `imageID` cannot be read: the image is in use, and it is not known which that is.
    pub(super) fn unreadable_id(&self) -> Option<(ImageRef, Digest)> {
        let id = self.id.as_ref()?;
        ImageRef::parse(&self.image).ok().map(|image| (image, shorten(id, MAX_TEXT).into()))
    }
}
