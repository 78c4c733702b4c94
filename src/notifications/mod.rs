//! Sends notifications to one receiver outside of the cluster: failed runs, plans that wait, tokens that expire.
//!
//! What is told, in which words, and when it is tried again is decided in `policy::notifications`. Here it is signed as
//! [Standard Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md) has
//! it and sent over https, by the HTTP client that also reaches GitLab: connections go only to addresses that were
//! judged, and no redirect is followed.
//!
//! Nothing waits for it. What cannot be sent is counted, logged and forgotten: the statuses and events in the cluster
//! say the same.
//!
//! | file | what it does | pure |
//! |---|---|---|
//! | `settings` | who the receiver is, and what of that cannot be used | |
//! | `signature` | the keys of a receiver, and what they sign | yes |
//! | `notifier` | the messages on their way | |

mod notifier;
mod settings;
mod signature;

pub use notifier::Notifier;
pub use settings::{Error, Settings};
pub use signature::KeyProblem;
