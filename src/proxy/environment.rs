//! The proxy that the environment names for the way to the API server, as kubectl reads it: by the rules of Go's
//! `golang.org/x/net/http/httpproxy`. Pure: whoever reads the environment hands it in.

use std::net::IpAddr;

use url::{Host, Url};

/// What the environment says of proxies.
#[derive(Clone, Debug, Default)]
pub struct ProxyEnvironment {
    http: Option<Url>,
    https: Option<Url>,
    direct: Vec<Direct>,
}

/// What is reached without a proxy: an entry of `NO_PROXY`.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Direct {
    /// `*`.
    Everything,
    /// `10.0.0.0/8`: an address of a network, and how many bits of it count.
    Network(IpAddr, u8),
    /// `10.0.0.1` or `10.0.0.1:6443`.
    Address(IpAddr, Option<String>),
    /// `example.com`, `.example.com` or `*.example.com`, with a port or without: a suffix that begins with a dot, and
    /// whether the domain itself is meant as well.
    Domain { suffix: String, itself: bool, port: Option<String> },
}

impl ProxyEnvironment {
    /// Takes the variables from `variable`. Those in capital letters go first, and empty ones are not there.
    pub fn new(variable: impl Fn(&str) -> Option<String>) -> Self {
        let any = |names: [&str; 2]| names.iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
        let no_proxy = any(["NO_PROXY", "no_proxy"]).unwrap_or_default();
        Self {
            http: any(["HTTP_PROXY", "http_proxy"]).and_then(|text| address(&text)),
            https: any(["HTTPS_PROXY", "https_proxy"]).and_then(|text| address(&text)),
            direct: no_proxy.split(',').filter_map(Direct::parse).collect(),
        }
    }

    /// The proxy on the way to a server; `None` where it is reached without one. The machine itself always is.
    #[must_use]
    pub fn proxy_for(&self, server: &Url) -> Option<&Url> {
        let proxy = match server.scheme() {
            "https" => self.https.as_ref(),
            "http" => self.http.as_ref(),
            _ => None,
        }?;
        let port = server.port_or_known_default()?.to_string();
        let is_direct = match server.host()? {
            Host::Domain(name) => {
                let name = name.to_lowercase();
                name == "localhost" || self.direct.iter().any(|direct| direct.is_domain(&name, &port))
            }
            Host::Ipv4(address) => self.is_direct_address(address.into(), &port),
            Host::Ipv6(address) => self.is_direct_address(address.into(), &port),
        };
        (!is_direct).then_some(proxy)
    }

    fn is_direct_address(&self, address: IpAddr, port: &str) -> bool {
        let (address, text) = (address.to_canonical(), address.to_string());
        let named = |direct: &Direct| direct.is_address(address, port) || direct.is_domain(&text, port);
        address.is_loopback() || self.direct.iter().any(named)
    }
}

/// The address of a proxy. Without a scheme it is http; what cannot be read is no proxy.
#[must_use]
pub fn address(text: &str) -> Option<Url> {
    let with_host = |text: &str| Url::parse(text).ok().filter(Url::has_host);
    if text.contains("://") { with_host(text) } else { with_host(&format!("http://{text}")) }
}

impl Direct {
    /// Entries that mean nothing are passed over.
    fn parse(entry: &str) -> Option<Self> {
        let entry = entry.trim().to_lowercase();
        if entry == "*" {
            return Some(Self::Everything);
        }
        if let Some((address, bits)) = network(&entry) {
            return Some(Self::Network(address, bits));
        }
        let (host, port) = match split_port(&entry) {
            Some((host, port)) => (host, Some(port.to_owned()).filter(|port| !port.is_empty())),
            None => (entry.as_str(), None),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = host.parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical(), port));
        }
        let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
        let (itself, bare) = host.strip_prefix('.').map_or((true, host), |bare| (false, bare));
        if bare.is_empty() {
            return None;
        }
        let ascii = if bare.is_ascii() { bare.to_owned() } else { Host::parse(bare).ok()?.to_string() };
        Some(Self::Domain { suffix: format!(".{ascii}"), itself, port })
    }

    fn is_address(&self, address: IpAddr, port: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Network(network, bits) => contains(*network, *bits, address),
            Self::Address(named, only) => *named == address && fits(only.as_deref(), port),
            Self::Domain { .. } => false,
        }
    }

    fn is_domain(&self, name: &str, port: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Network(..) | Self::Address(..) => false,
            Self::Domain { suffix, itself, port: only } => {
                let same = *itself && suffix.strip_prefix('.') == Some(name);
                (same || name.ends_with(suffix)) && fits(only.as_deref(), port)
            }
        }
    }
}

fn fits(only: Option<&str>, port: &str) -> bool {
    only.is_none_or(|only| only == port)
}

/// `host:port`, the host in brackets where it has colons of its own. Without a host it is nothing.
fn split_port(entry: &str) -> Option<(&str, &str)> {
    let (host, port) = entry.rsplit_once(':')?;
    let whole = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
    whole.then_some((host, port))
}

fn network(entry: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = entry.split_once('/')?;
    let (address, bits) = (address.parse::<IpAddr>().ok()?, bits.parse().ok()?);
    (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, bits))
}

fn contains(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let differ = network.to_bits() ^ address.to_bits();
            differ.leading_zeros() >= u32::from(bits)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let differ = network.to_bits() ^ address.to_bits();
            differ.leading_zeros() >= u32::from(bits)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn environment(variables: &[(&str, &str)]) -> ProxyEnvironment {
        let find =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        ProxyEnvironment::new(find)
    }

    fn proxied(no_proxy: &str, server: &str) -> bool {
        let environment = environment(&[
            ("HTTPS_PROXY", "http://proxy.test:3128"),
            ("HTTP_PROXY", "http://proxy.test:3128"),
            ("NO_PROXY", no_proxy),
        ]);
        environment.proxy_for(&server.parse().unwrap()).is_some()
    }

    /// The rules of Go's httpproxy, which kubectl goes by.
    #[rstest]
    #[case::nothing("", "https://api.test:6443", true)]
    #[case::the_host("api.test", "https://api.test:6443", false)]
    #[case::a_host_below_it("api.test", "https://a.api.test:6443", false)]
    #[case::a_host_that_ends_the_same("api.test", "https://myapi.test", true)]
    #[case::a_suffix(".test", "https://api.test", false)]
    #[case::a_suffix_is_not_the_domain_itself(".api.test", "https://api.test", true)]
    #[case::a_star_and_a_suffix("*.test", "https://api.test", false)]
    #[case::a_star_and_a_suffix_is_not_the_domain_itself("*.api.test", "https://api.test", true)]
    #[case::its_port("api.test:6443", "https://api.test:6443", false)]
    #[case::another_port("api.test:6443", "https://api.test", true)]
    #[case::the_usual_port("api.test:443", "https://api.test", false)]
    #[case::the_usual_port_of_http("api.test:80", "http://api.test", false)]
    #[case::upper_case("API.Test", "https://api.TEST", false)]
    #[case::everything("*", "https://api.test", false)]
    #[case::everything_among_others("a.test, * ,b.test", "https://10.0.0.1", false)]
    #[case::no_pattern("ap*.test", "https://api.test", true)]
    #[case::blanks_and_commas(" , other.test,, api.test ,", "https://api.test", false)]
    #[case::a_trailing_comma("other.test,", "https://api.test", true)]
    #[case::not_split_at_blanks("other.test api.test", "https://api.test", true)]
    #[case::the_address("10.0.0.1", "https://10.0.0.1:6443", false)]
    #[case::another_address("10.0.0.2", "https://10.0.0.1:6443", true)]
    #[case::the_address_and_its_port("10.0.0.1:6443", "https://10.0.0.1:6443", false)]
    #[case::the_address_and_another_port("10.0.0.1:443", "https://10.0.0.1:6443", true)]
    #[case::the_network("10.0.0.0/8", "https://10.1.2.3", false)]
    #[case::another_network("10.0.0.0/16", "https://10.1.2.3", true)]
    #[case::every_network("0.0.0.0/0", "https://10.1.2.3", false)]
    #[case::a_network_and_a_name("10.0.0.0/8", "https://api.test", true)]
    #[case::too_many_bits("10.0.0.0/33", "https://10.0.0.0", true)]
    #[case::v6("fd00::1", "https://[fd00::1]:6443", false)]
    #[case::v6_and_its_port("[fd00::1]:6443", "https://[fd00::1]:6443", false)]
    #[case::v6_and_another_port("[fd00::1]:443", "https://[fd00::1]:6443", true)]
    #[case::v6_network("fd00::/8", "https://[fd12::1]", false)]
    #[case::v4_in_v6("10.0.0.1", "https://[::ffff:10.0.0.1]", false)]
    #[case::a_name_in_other_letters("bücher.test", "https://api.xn--bcher-kva.test", false)]
    #[case::no_host(":443", "https://api.test", true)]
    #[case::the_machine_itself("", "https://localhost:6443", false)]
    #[case::the_machine_itself_by_address("", "https://127.0.0.1:6443", false)]
    #[case::the_machine_itself_by_another_address("", "https://127.8.9.1", false)]
    #[case::the_machine_itself_by_v6("", "https://[::1]:6443", false)]
    #[case::a_name_below_localhost("", "https://kind.localhost", true)]
    fn a_proxy_is_used_as_kubectl_does(#[case] no_proxy: &str, #[case] server: &str, #[case] through: bool) {
        assert_eq!(proxied(no_proxy, server), through);
    }

    #[rstest]
    #[case::of_https(&[("HTTPS_PROXY", "http://a.test:1"), ("HTTP_PROXY", "http://b.test:2")], Some("http://a.test:1/"))]
    #[case::in_small_letters(&[("https_proxy", "http://a.test:1")], Some("http://a.test:1/"))]
    #[case::capital_letters_first(&[("https_proxy", "http://b.test"), ("HTTPS_PROXY", "http://a.test")], Some("http://a.test/"))]
    #[case::an_empty_one_is_not_there(&[("HTTPS_PROXY", ""), ("https_proxy", "http://a.test")], Some("http://a.test/"))]
    #[case::without_a_scheme(&[("HTTPS_PROXY", "a.test:3128")], Some("http://a.test:3128/"))]
    #[case::an_address_without_a_scheme(&[("HTTPS_PROXY", "10.0.0.9:3128")], Some("http://10.0.0.9:3128/"))]
    #[case::socks(&[("HTTPS_PROXY", "socks5://a.test:1080")], Some("socks5://a.test:1080"))]
    #[case::of_http_only(&[("HTTP_PROXY", "http://a.test")], None)]
    #[case::for_everything(&[("ALL_PROXY", "http://a.test")], None)]
    #[case::unreadable(&[("HTTPS_PROXY", "http://")], None)]
    #[case::none(&[], None)]
    fn the_proxy_is_that_of_the_scheme(#[case] variables: &[(&str, &str)], #[case] expected: Option<&str>) {
        let environment = environment(variables);
        let proxy = environment.proxy_for(&"https://api.test:6443".parse().unwrap());
        assert_eq!(proxy.map(Url::as_str), expected);
    }
}
