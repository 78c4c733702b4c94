//! What is looked at, and where.

use jiff::SignedDuration;

use super::custom::CustomWorkload;

/// How long finished Pods and Jobs count, unless somebody says otherwise.
pub const FINISHED_FOR: SignedDuration = SignedDuration::from_hours(24);

/// Where workloads are looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Scope {
    /// In all namespaces.
    All,
    /// In these namespaces only; what runs elsewhere is not seen.
    Namespaces(Vec<String>),
}

/// What is looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// Where.
    pub scope: Scope,
    /// Namespaces that can be looked into alone, where all of them may not be seen:
    /// [`Workloads::narrowed`](super::Workloads::narrowed).
    pub narrower: Vec<String>,
    /// Kinds besides those of Kubernetes itself.
    pub custom: Vec<CustomWorkload>,
    /// How long the images of a Pod or Job count after it has finished. If it is not known when that was, they count
    /// for as long as it exists.
    pub finished_for: SignedDuration,
}

impl Default for Options {
    fn default() -> Self {
        Self { scope: Scope::All, narrower: Vec::new(), custom: Vec::new(), finished_for: FINISHED_FOR }
    }
}

impl Options {
    /// The same for the narrower namespaces alone; `None` where there are none.
    #[must_use]
    pub fn narrowed(&self) -> Option<Self> {
        let names = self.narrower.clone();
        (!names.is_empty()).then(|| Self { scope: Scope::Namespaces(names), narrower: Vec::new(), ..self.clone() })
    }
}
