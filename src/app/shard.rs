//! The policies that one of several installations looks after, and the Lease that it does not share with the others.

use sha2::{Digest, Sha256};

use crate::cluster::OPERATOR;
use crate::policy::label_selector::LabelSelector;

/// Which policies an installation looks after.
#[derive(Clone, Debug, Default)]
pub struct Shard {
    text: String,
    selector: LabelSelector,
}

impl Shard {
    /// Reads the labels of its policies, as `kubectl get --selector` has them; nothing = all policies.
    ///
    /// # Errors
    /// When that is no selector.
    pub fn parse(text: &str) -> Result<Self, String> {
        let selector = LabelSelector::parse(text).map_err(|error| error.to_string())?;
        Ok(Self { text: text.trim().to_owned(), selector })
    }

    pub(super) fn selector(&self) -> &LabelSelector {
        &self.selector
    }

    /// The name of its Lease, unless it was given one.
    pub(super) fn lease_name(&self) -> String {
        if self.selector.selects_everything() {
            return OPERATOR.to_owned();
        }
        let number = Sha256::digest(&self.text).first_chunk().copied().map_or(0, u32::from_be_bytes);
        format!("{OPERATOR}-{number:08x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installations_that_look_after_different_policies_have_different_leases() {
        let name = |text: &str| Shard::parse(text).unwrap().lease_name();
        assert_eq!((name("").as_str(), name(" ").as_str()), (OPERATOR, OPERATOR));
        let (a, b) = (name("shard=a"), name("shard=b"));
        assert!(a != b && a.starts_with("registry-cleanup-operator-") && a.len() == OPERATOR.len() + 9);
        assert_eq!(a, name("shard=a "));
        assert!(Shard::parse("shard in a").is_err());
    }
}
