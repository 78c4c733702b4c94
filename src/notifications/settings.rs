//! Who receives notifications, and what of that cannot be used. Nothing here is shown but the name of the host: the
//! rest of the address may be what lets a sender in.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use url::Url;

use super::signature::{KeyProblem, Keys};
use crate::gitlab::{Lookup, Setting, guarded_client};
use crate::hosts::may_be_asked;

/// Who receives notifications.
#[derive(Clone)]
pub struct Settings {
    /// The address, which begins with `https://`.
    pub url: String,
    /// The file with the keys that sign, one a line. It is read for each try, so that they can be replaced.
    pub secret_file: PathBuf,
    /// The file with the authorities of the receiver, as PEM; without it, those of the system.
    pub ca_file: Option<PathBuf>,
    /// Hosts that may receive; empty = any that is not local.
    pub allowed_hosts: Vec<String>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = Url::parse(&self.url).ok().and_then(|url| url.host_str().map(str::to_owned));
        f.debug_struct("Settings").field("host", &host).finish_non_exhaustive()
    }
}

/// Why notifications cannot be sent as they are configured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No https URL with a host, or one with a name or password.
    #[error("--notifications-url (chart: notifications.url) must be an https URL without user name and password")]
    Url,
    /// The host may not receive.
    #[error(
        "{0} may not receive notifications: --allowed-notification-hosts (chart: notifications.allowedHosts) does not \
         name it, or without that list it is a loopback, link-local, unspecified or metadata address"
    )]
    Host(String),
    /// A file cannot be read.
    #[error("failed to read {}", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// The file with the keys holds none.
    #[error("{}: {}", .0.display(), .1)]
    Keys(PathBuf, KeyProblem),
    /// The file with the authorities holds none.
    #[error("{} holds no usable certificate", .0.display())]
    Ca(PathBuf),
    /// The client cannot be made.
    #[error("the HTTP client could not be built, the system's certificate store may be missing")]
    Client,
}

impl Settings {
    /// The address of the receiver, if it may be used.
    pub(super) fn receiver(&self) -> Result<Url, Error> {
        let url = Url::parse(&self.url).map_err(|_| Error::Url)?;
        let plain = url.username().is_empty() && url.password().is_none() && url.has_host();
        if url.scheme() != "https" || !plain {
            return Err(Error::Url);
        }
        if !may_be_asked(&url, &self.allowed_hosts) {
            return Err(Error::Host(url.host_str().unwrap_or_default().to_owned()));
        }
        Ok(url)
    }

    /// The HTTP client for the receiver.
    pub(super) fn client(
        &self,
        url: &Url,
        user_agent: &str,
        lookup: &Arc<dyn Lookup>,
    ) -> Result<reqwest::Client, Error> {
        let ca = self.ca_file.as_ref().map(|file| read(file)).transpose()?;
        let allowed: Arc<[String]> = self.allowed_hosts.as_slice().into();
        guarded_client(url, ca, user_agent, &allowed, lookup).map_err(|setting| match (setting, &self.ca_file) {
            (Setting::Ca, Some(file)) => Error::Ca(file.clone()),
            (Setting::LocalAddress, _) => Error::Host(url.host_str().unwrap_or_default().to_owned()),
            _ => Error::Client,
        })
    }

    /// The keys as they are now.
    pub(super) fn keys(&self) -> Result<Keys, Error> {
        let text = String::from_utf8(read(&self.secret_file)?).unwrap_or_default();
        Keys::parse(&text).map_err(|problem| Error::Keys(self.secret_file.clone(), problem))
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(file).map_err(|error| Error::File(file.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn settings(url: &str, allowed: &[&str]) -> Settings {
        Settings {
            url: url.to_owned(),
            secret_file: PathBuf::from("/nowhere/secret"),
            ca_file: None,
            allowed_hosts: allowed.iter().map(ToString::to_string).collect(),
        }
    }

    #[rstest]
    #[case::a_host("https://hooks.example.com/registry", &[], true)]
    #[case::a_private_address("https://10.0.0.7:8443/", &[], true)]
    #[case::another_scheme("http://hooks.example.com/", &[], false)]
    #[case::a_password("https://user:pass@hooks.example.com/", &[], false)]
    #[case::no_url("hooks.example.com", &[], false)]
    #[case::loopback("https://127.0.0.1/", &[], false)]
    #[case::localhost("https://localhost/", &[], false)]
    #[case::metadata("https://169.254.169.254/", &[], false)]
    #[case::loopback_that_is_named("https://127.0.0.1/", &["127.0.0.1"], true)]
    #[case::a_host_that_is_named("https://hooks.example.com/", &["*.example.com"], true)]
    #[case::a_host_that_is_not_named("https://hooks.example.com/", &["other.example.com"], false)]
    fn only_a_host_that_is_allowed_receives(#[case] url: &str, #[case] allowed: &[&str], #[case] expected: bool) {
        assert_eq!(settings(url, allowed).receiver().is_ok(), expected);
    }

    #[test]
    fn nothing_of_the_address_but_the_host_is_shown() {
        for url in ["https://hooks.example.com/marker?key=marker", "http://hooks.example.com/marker", "marker"] {
            let settings = settings(url, &["other.example.com"]);
            let shown = format!("{settings:?} {:?} {}", settings.receiver(), settings.receiver().unwrap_err());
            assert!(!shown.contains("marker"), "{shown}");
        }
    }

    #[test]
    fn keys_that_are_not_there_are_told_by_the_name_of_their_file() {
        let error = settings("https://hooks.example.com", &[]).keys().err().unwrap();
        assert_eq!(error.to_string(), "failed to read /nowhere/secret");
    }
}
