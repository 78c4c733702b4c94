//! Proxies: the one on the way to GitLab, as a policy's Secret names it and the HTTP client uses it, and in
//! `environment` the one on the way to the API server.

pub mod environment;

use std::fmt;

use secrecy::SecretString;
use url::Url;

/// An HTTP proxy. GitLab on https is reached by `CONNECT`, so the proxy never sees the token.
///
/// Its address may hold a password (`http://user:password@proxy`), so that nothing of it is ever printed.
#[derive(Clone)]
pub struct Proxy {
    /// An http or https URL.
    pub address: Url,
    /// For basic authentication; without it no credentials are sent but those of the address.
    pub username: Option<String>,
    /// For basic authentication; empty when missing.
    pub password: Option<SecretString>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proxy([REDACTED])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_proxy_is_printed() {
        let proxy = Proxy {
            address: "http://marker:marker@proxy.example:3128".parse().unwrap(),
            username: Some("marker".to_owned()),
            password: Some("marker".into()),
        };
        assert_eq!(format!("{proxy:?} {:#?}", Some(&proxy)).matches("marker").count(), 0);
    }
}
