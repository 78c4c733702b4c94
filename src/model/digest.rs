//! A digest, as registries write it, in less memory than its text takes.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What begins nearly every digest.
const SHA256: &str = "sha256:";
/// How long such a digest is as text.
const SHA256_LENGTH: usize = SHA256.len() + 64;

/// A digest of a manifest or of an image's configuration: `sha256:…`, or whatever a server says instead. Nothing is
/// corrected, so two digests are equal if their texts are, and they are in the order of their texts.
///
/// There is one for each tag of a repository, and as text it would be the largest part of what is known of a tag.
/// Format: <https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests>.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Digest(Form);

/// Each text has one form.
#[derive(Clone, Eq, Hash, PartialEq)]
enum Form {
    /// `sha256:` and 64 digits, lower case.
    Sha256([u8; 32]),
    /// Any other text.
    Other(Box<str>),
}

/// The text of a digest.
#[derive(Clone, Copy, Debug)]
pub enum DigestText<'d> {
    /// Made for whoever reads it.
    Made([u8; SHA256_LENGTH]),
    /// As it is kept.
    Kept(&'d str),
}

impl Digest {
    /// The digest with this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut bytes = [0; 32];
        let digits = text.strip_prefix(SHA256).filter(|digits| digits.len() == 2 * bytes.len());
        let read = digits.and_then(|digits| HEXLOWER.decode_mut(digits.as_bytes(), &mut bytes).ok());
        Self(read.map_or_else(|| Form::Other(text.into()), |_| Form::Sha256(bytes)))
    }

    /// What a server told, where an empty text is nothing.
    #[must_use]
    pub fn told(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self::new(text))
    }

    /// What its text says of its algorithm, before the colon: `sha256`. Empty where there is none.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        match &self.0 {
            Form::Sha256(_) => SHA256.trim_end_matches(':'),
            Form::Other(text) => text.split_once(':').map_or("", |(algorithm, _)| algorithm),
        }
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> DigestText<'_> {
        match &self.0 {
            Form::Sha256(bytes) => {
                let mut text = [0; SHA256_LENGTH];
                let (algorithm, digits) = text.split_at_mut(SHA256.len());
                algorithm.copy_from_slice(SHA256.as_bytes());
                HEXLOWER.encode_mut(bytes, digits);
                DigestText::Made(text)
            }
            Form::Other(text) => DigestText::Kept(text),
        }
    }
}

impl Deref for DigestText<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            // It is all ASCII.
            Self::Made(text) => str::from_utf8(text).unwrap_or_default(),
            Self::Kept(text) => text,
        }
    }
}

impl From<&str> for Digest {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Digest {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl Ord for Digest {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            // Digits are in the order of their values.
            (Form::Sha256(one), Form::Sha256(other)) => one.cmp(other),
            _ => (*self.text()).cmp(&*other.text()),
        }
    }
}

impl PartialOrd for Digest {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text(), f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'_, str>::deserialize(deserializer).map(|text| Self::new(&text))
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

    use proptest::prelude::*;

    use super::*;

    fn texts() -> impl Strategy<Value = String> {
        let digits = prop_oneof!["[0-9a-f]{64}", "[0-9a-fA-F]{64}", "[0-9a-f]{63,66}", "[0-9a-g]{64}", "[0a]{1,3}"];
        let algorithm = prop_oneof![3 => Just("sha256:"), 1 => Just("sha512:"), 1 => Just("SHA256:"), 1 => Just("")];
        prop_oneof![4 => (algorithm, digits).prop_map(|(algorithm, digits)| format!("{algorithm}{digits}")), 1 => ".*"]
    }

    proptest! {
        #[test]
        fn a_digest_says_what_was_read_and_is_equal_and_in_order_as_texts_are(one in texts(), other in texts()) {
            let (first, second) = (Digest::new(&one), Digest::new(&other));
            prop_assert_eq!(&*first.text(), &one);
            prop_assert_eq!(first.to_string(), one.clone());
            prop_assert_eq!(first == second, one == other);
            prop_assert_eq!(first.cmp(&second), one.cmp(&other));
            let hashes = BuildHasherDefault::<DefaultHasher>::default();
            prop_assert!(one != other || hashes.hash_one(&first) == hashes.hash_one(&second));
            prop_assert_eq!(Digest::told(&one).is_none(), one.is_empty());
            prop_assert_eq!(first.algorithm(), one.split_once(':').map_or("", |(algorithm, _)| algorithm));
        }

        #[test]
        fn a_digest_is_read_and_written_as_its_text(text in texts()) {
            let json = serde_json::to_string(&text).unwrap();
            let digest: Digest = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(&digest, &Digest::new(&text));
            prop_assert_eq!(serde_json::to_string(&digest).unwrap(), json);
        }
    }

    #[test]
    fn digests_of_the_usual_algorithm_take_no_memory_of_their_own() {
        let digest = Digest::new(&format!("sha256:{}", "0af9".repeat(16)));
        assert!(matches!(digest.0, Form::Sha256(_)));
        assert!(size_of::<Option<Digest>>() <= 40, "{} bytes", size_of::<Option<Digest>>());
    }
}
