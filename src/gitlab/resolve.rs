//! Turns a host's name into the addresses that a connection may be opened to.
//!
//! The HTTP client connects to what comes out of here and asks nobody else, so the address that was judged is the one
//! connected to: a name that resolves differently the next time is judged again.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::error::Setting;
use crate::hosts::may_be_reached;

/// What knows the addresses of a name.
pub trait Lookup: Send + Sync {
    /// All addresses of a name.
    ///
    /// # Errors
    /// When the name does not resolve, or it cannot be found out.
    fn addresses(&self, host: &str) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// The system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn addresses(&self, host: &str) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let host = host.to_owned();
        async move { Ok(tokio::net::lookup_host((host, 0)).await?.collect()) }.boxed()
    }
}

/// The addresses that a connection may be opened to, of one host: GitLab's own, or the proxy's in front of it.
pub(super) struct Judge {
    pub(super) lookup: Arc<dyn Lookup>,
    pub(super) allowed: Arc<[String]>,
    pub(super) port: Option<u16>,
}

/// A name leads only to addresses that no connection may be opened to.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{host} resolves to {address}, which may not be connected to")]
pub(super) struct OnlyLocal {
    pub(super) host: String,
    pub(super) address: IpAddr,
}

impl Resolve for Judge {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let (allowed, port) = (Arc::clone(&self.allowed), self.port);
        let addresses = self.lookup.addresses(&host);
        async move {
            let (may, may_not): (Vec<_>, Vec<_>) =
                addresses.await?.into_iter().partition(|address| may_be_reached(address.ip(), &host, port, &allowed));
            match may_not.first() {
                Some(address) if may.is_empty() => Err(OnlyLocal { host, address: address.ip() }.into()),
                _ => Ok(Box::new(may.into_iter()) as Addrs),
            }
        }
        .boxed()
    }
}

/// Judges a host that is written as an address, which is never resolved.
pub(super) fn judge_literal(url: &Url, allowed: &[String]) -> Result<(), Setting> {
    let address = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(_)) | None => return Ok(()),
    };
    let host = url.host_str().unwrap_or_default();
    let may = may_be_reached(address, host, url.port_or_known_default(), allowed);
    if may { Ok(()) } else { Err(Setting::LocalAddress) }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    struct Fixed(Vec<SocketAddr>);

    impl Lookup for Fixed {
        fn addresses(&self, _: &str) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
            let addresses = self.0.clone();
            async move { Ok(addresses) }.boxed()
        }
    }

    async fn resolve(addresses: &[&str], allowed: &[&str]) -> Result<Vec<String>, String> {
        let addresses = addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect();
        let judge = Judge {
            lookup: Arc::new(Fixed(addresses)),
            allowed: allowed.iter().map(ToString::to_string).collect(),
            port: Some(443),
        };
        match judge.resolve("gitlab.example.com".parse().unwrap()).await {
            Ok(found) => Ok(found.map(|address| address.ip().to_string()).collect()),
            Err(error) => Err(error.downcast_ref::<OnlyLocal>().unwrap().address.to_string()),
        }
    }

    #[rstest]
    #[case::public(&["203.0.113.7"], &[], Ok("203.0.113.7"))]
    #[case::private(&["10.1.2.3"], &[], Ok("10.1.2.3"))]
    #[case::loopback(&["127.0.0.1"], &[], Err("127.0.0.1"))]
    #[case::loopback_beside_another(&["127.0.0.1", "203.0.113.7"], &[], Ok("203.0.113.7"))]
    #[case::nothing_but_local(&["169.254.169.254", "::1"], &[], Err("169.254.169.254"))]
    #[case::named(&["127.0.0.1"], &["gitlab.example.com"], Ok("127.0.0.1"))]
    #[case::only_its_domain_is_named(&["127.0.0.1"], &["*.example.com"], Err("127.0.0.1"))]
    #[tokio::test]
    async fn only_what_may_be_connected_to_comes_out(
        #[case] addresses: &[&str],
        #[case] allowed: &[&str],
        #[case] expected: Result<&str, &str>,
    ) {
        let expected = expected.map(|found| vec![found.to_owned()]).map_err(str::to_owned);
        assert_eq!(resolve(addresses, allowed).await, expected);
    }
}
