//! Builds HTTP clients from what a user configured, or says which part of it cannot be used.
//!
//! Sends nothing and keeps nothing.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::redirect;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::certificates;
use super::error::Setting;
use super::resolve::{Judge, Lookup, judge_literal};
use super::settings::Connection;
use crate::proxy::Proxy;

/// The time to open a connection, TLS included. GitLab answers handshakes at once even when it is slow.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an unused connection stays open: below the 75 s after which nginx closes it, so that a request seldom meets
/// a connection that is just being closed.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The root of the API: below the base URL's path, with a slash at the end.
pub(super) fn api_url(base: &Url) -> Result<Url, Setting> {
    let plain = base.username().is_empty()
        && base.password().is_none()
        && base.query().is_none()
        && base.fragment().is_none()
        && base.has_host();
    if !plain || !matches!(base.scheme(), "http" | "https") {
        return Err(Setting::BaseUrl);
    }
    let mut api = base.clone();
    api.path_segments_mut().map_err(|()| Setting::BaseUrl)?.pop_if_empty().extend(["api", "v4", ""]);
    Ok(api)
}

/// The token as a header that is left out of every Debug form.
///
/// An empty token is refused: GitLab would answer as to an anonymous visitor, with the public part of the truth.
pub(super) fn token_header(token: &str) -> Result<HeaderValue, Setting> {
    if token.is_empty() {
        return Err(Setting::Token);
    }
    let mut value = HeaderValue::from_str(token).map_err(|_| Setting::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

/// What the process gives to all its HTTP clients.
pub(super) struct Common<'a> {
    pub(super) user_agent: &'a str,
    /// Hosts and addresses that may be local.
    pub(super) allowed_hosts: &'a Arc<[String]>,
    pub(super) lookup: &'a Arc<dyn Lookup>,
}

pub(super) fn build(connection: &Connection, common: &Common<'_>) -> Result<reqwest::Client, Setting> {
    let user_agent = HeaderValue::from_str(common.user_agent).map_err(|_| Setting::UserAgent)?;
    // With a proxy it is the proxy who resolves GitLab's name and connects to it.
    let reached = connection.proxy.as_ref().map_or(&connection.base_url, |proxy| &proxy.address);
    judge_literal(reached, common.allowed_hosts)?;
    let judge = Judge {
        lookup: Arc::clone(common.lookup),
        allowed: Arc::clone(common.allowed_hosts),
        port: reached.port_or_known_default(),
    };
    let mut builder = reqwest::Client::builder()
        .user_agent(user_agent)
        .dns_resolver(Arc::new(judge))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .https_only(connection.base_url.scheme() == "https")
        // Redirects and attempts are decided in `http`, where the gate is asked; the library would send on its own.
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        // Also drops proxies set before it, so it comes first.
        .no_proxy();
    if let Some(proxy) = &connection.proxy {
        builder = builder.proxy(build_proxy(proxy)?);
    }
    let identity = connection.identity_pem.as_ref();
    if let Some(pem) = &connection.ca_pem {
        builder = builder.tls_backend_preconfigured(certificates::tls(pem, identity.map(ExposeSecret::expose_secret))?);
        return builder.build().map_err(|_| Setting::Client);
    }
    if !needs_authorities(connection) {
        // Reading the system's store takes time and fails where there is none, for nothing.
        builder = builder.tls_certs_only([]);
    }
    if let Some(pem) = identity {
        let identity = reqwest::Identity::from_pem(pem.expose_secret()).map_err(|_| Setting::Identity)?;
        builder = builder.identity(identity);
    }
    // Whether key and certificate belong together shows only here.
    let fault = if identity.is_some() { Setting::Identity } else { Setting::Client };
    builder.build().map_err(|_| fault)
}

/// A client for a server that is no GitLab, with the same care: TLS by these authorities alone, where there are any, no
/// redirects, and connections only to addresses that may be reached.
///
/// # Errors
/// The part that cannot be used.
pub fn guarded_client(
    url: &Url,
    ca_pem: Option<Vec<u8>>,
    user_agent: &str,
    allowed_hosts: &Arc<[String]>,
    lookup: &Arc<dyn Lookup>,
) -> Result<reqwest::Client, Setting> {
    let connection = Connection {
        base_url: url.clone(),
        // There is none, and nothing here sends one.
        token: SecretString::from(""),
        ca_pem,
        identity_pem: None,
        proxy: None,
        // Each request has its own.
        timeout: Duration::ZERO,
    };
    build(&connection, &Common { user_agent, allowed_hosts, lookup })
}

/// Whether any connection is made over TLS: to GitLab, or to the proxy.
fn needs_authorities(connection: &Connection) -> bool {
    let proxy = connection.proxy.as_ref().map(|proxy| proxy.address.scheme());
    connection.base_url.scheme() == "https" || proxy == Some("https")
}

fn build_proxy(proxy: &Proxy) -> Result<reqwest::Proxy, Setting> {
    if !matches!(proxy.address.scheme(), "http" | "https") || !proxy.address.has_host() {
        return Err(Setting::Proxy);
    }
    let built = reqwest::Proxy::all(proxy.address.clone()).map_err(|_| Setting::Proxy)?;
    Ok(match &proxy.username {
        Some(username) => {
            let password = proxy.password.as_ref().map_or("", ExposeSecret::expose_secret);
            built.basic_auth(username, password)
        }
        None => built,
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::resolve::SystemLookup;
    use super::*;

    fn connection(base_url: &str) -> Connection {
        Connection {
            base_url: base_url.parse().unwrap(),
            token: "glpat-marker".into(),
            ca_pem: None,
            identity_pem: None,
            proxy: None,
            timeout: Duration::from_secs(1),
        }
    }

    fn built(connection: &Connection, user_agent: &str, allowed: &[&str]) -> Option<Setting> {
        let lookup: Arc<dyn Lookup> = Arc::new(SystemLookup);
        let allowed_hosts = allowed.iter().map(ToString::to_string).collect();
        build(connection, &Common { user_agent, allowed_hosts: &allowed_hosts, lookup: &lookup }).err()
    }

    fn refused(connection: &Connection) -> Option<Setting> {
        built(connection, "test", &[])
    }

    #[rstest]
    #[case("https://gitlab.example.com", "https://gitlab.example.com/api/v4/")]
    #[case("https://gitlab.example.com/", "https://gitlab.example.com/api/v4/")]
    #[case("https://example.com:8443/gitlab", "https://example.com:8443/gitlab/api/v4/")]
    #[case("https://example.com/gitlab/", "https://example.com/gitlab/api/v4/")]
    #[case("http://[::1]:8080", "http://[::1]:8080/api/v4/")]
    fn the_api_is_below_the_base_url(#[case] base: &str, #[case] api: &str) {
        assert_eq!(api_url(&base.parse().unwrap()).unwrap().as_str(), api);
    }

    #[rstest]
    #[case("https://user@gitlab.example.com")]
    #[case("https://:secret@gitlab.example.com")]
    #[case("https://gitlab.example.com?private_token=x")]
    #[case("https://gitlab.example.com#top")]
    #[case("ftp://gitlab.example.com")]
    #[case("file:///etc/passwd")]
    #[case("mailto:root@example.com")]
    fn a_base_url_that_is_more_or_less_than_an_address_is_refused(#[case] base: &str) {
        assert_eq!(api_url(&base.parse().unwrap()).err(), Some(Setting::BaseUrl));
    }

    #[rstest]
    #[case::empty("")]
    #[case::a_line_break_at_its_end("glpat-marker\n")]
    #[case::a_control_character("glpat-\u{7}marker")]
    fn a_token_that_cannot_travel_is_refused(#[case] token: &str) {
        assert_eq!(token_header(token).err(), Some(Setting::Token));
    }

    #[test]
    fn a_token_is_left_out_of_the_debug_form_of_its_header() {
        assert!(!format!("{:?}", token_header("glpat-marker").unwrap()).contains("marker"));
    }

    #[rstest]
    #[case::nothing("")]
    #[case::no_pem("certificate")]
    #[case::not_a_certificate("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")]
    #[case::cut_off("-----BEGIN CERTIFICATE-----\nAAAA\n")]
    fn an_authority_that_cannot_be_read_is_refused(#[case] pem: &str) {
        let ca_pem = Some(pem.as_bytes().to_vec());
        assert_eq!(refused(&Connection { ca_pem, ..connection("https://a.example") }), Some(Setting::Ca));
    }

    #[rstest]
    #[case::nothing("")]
    #[case::no_key("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")]
    fn a_client_certificate_that_cannot_be_read_is_refused(#[case] pem: &str) {
        let identity_pem = Some(pem.as_bytes().to_vec().into());
        assert_eq!(refused(&Connection { identity_pem, ..connection("https://a.example") }), Some(Setting::Identity));
    }

    #[rstest]
    #[case("socks5://proxy.example:1080", Some(Setting::Proxy))]
    #[case("file:///tmp/socket", Some(Setting::Proxy))]
    #[case("http://proxy.example:3128", None)]
    fn a_proxy_is_an_http_url(#[case] address: &str, #[case] setting: Option<Setting>) {
        let proxy = Some(Proxy { address: address.parse().unwrap(), username: None, password: None });
        assert_eq!(refused(&Connection { proxy, ..connection("https://a.example") }), setting);
    }

    #[test]
    fn a_user_agent_with_a_line_break_is_refused() {
        assert_eq!(built(&connection("https://a.example"), "a\r\nb", &[]), Some(Setting::UserAgent));
    }

    #[rstest]
    #[case::gitlab("https://127.0.0.1", None, &[], Some(Setting::LocalAddress))]
    #[case::gitlab_by_another_form("https://[64:ff9b::7f00:1]", None, &[], Some(Setting::LocalAddress))]
    #[case::gitlab_by_name_of_the_flag("https://127.0.0.1", None, &["127.0.0.1"], None)]
    #[case::gitlab_on_a_private_network("https://10.0.0.1", None, &[], None)]
    #[case::the_proxy("https://a.example", Some("http://169.254.169.254"), &[], Some(Setting::LocalAddress))]
    #[case::the_proxy_by_name_of_the_flag("https://a.example", Some("http://[::1]:3128"), &["::1"], None)]
    #[case::behind_a_proxy_that_goes_there_itself("https://127.0.0.1", Some("http://10.0.0.1:3128"), &[], None)]
    fn no_client_is_made_for_a_local_address(
        #[case] url: &str,
        #[case] proxy: Option<&str>,
        #[case] allowed: &[&str],
        #[case] expected: Option<Setting>,
    ) {
        let proxy = proxy.map(|url| Proxy { address: url.parse().unwrap(), username: None, password: None });
        let connection = Connection { proxy, ..connection(url) };
        assert_eq!(built(&connection, "test", allowed), expected);
    }
}
