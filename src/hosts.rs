//! Which hosts the operator may connect to: local addresses in every form, and the list of allowed hosts.
//!
//! Pure, and the one judge of addresses: `policy` asks it about addresses as they are written, `gitlab` about those
//! that a name resolves to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Addresses at which clouds give credentials and user data to whoever asks from the machine, besides the link-local
/// ones: [Alibaba Cloud](https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata),
/// [Azure](https://learn.microsoft.com/en-us/azure/virtual-network/what-is-ip-address-168-63-129-16), Oracle Cloud
/// (Classic).
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];

/// The same as IPv6, by its first 32 bits:
/// [Amazon](https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html) (also the agent that
/// gives Pods of EKS their credentials), [Google](https://cloud.google.com/compute/docs/metadata/querying-metadata),
/// Scaleway.
const METADATA_V6: [[u16; 2]; 3] = [[0xfd00, 0x0ec2], [0xfd20, 0x00ce], [0xfd00, 0x0042]];

/// Whether an address only makes sense from the operator's own machine or network segment, or is where a cloud gives
/// out credentials: loopback, link-local, unspecified, metadata; also where IPv6 carries such an address in itself.
/// Private networks are none of these.
#[must_use]
pub fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_local_v4(v4),
        IpAddr::V6(v6) => is_local_v6(v6) || carried(v6).into_iter().flatten().any(is_local_v4),
    }
}

fn is_local_v4(address: Ipv4Addr) -> bool {
    // All of 0.0.0.0/8 is "this network" (RFC 1122); Linux takes 0.0.0.0 for the machine itself.
    let this_network = address.octets().first() == Some(&0);
    this_network || address.is_loopback() || address.is_link_local() || METADATA_V4.contains(&address)
}

fn is_local_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let metadata = METADATA_V6.contains(&[first, second]);
    address.is_loopback() || address.is_unspecified() || address.is_unicast_link_local() || metadata
}

/// The IPv4 addresses that an IPv6 address leads to, in all the forms in which one is carried.
fn carried(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let segments = address.segments();
    let at = |index: usize| {
        let half = |index: usize| segments.get(index).copied().unwrap_or_default();
        Some(Ipv4Addr::from((u32::from(half(index)) << 16) | u32::from(half(index + 1))))
    };
    match segments {
        // ::a.b.c.d, ::ffff:a.b.c.d and ::ffff:0:a.b.c.d: compatible, mapped (RFC 4291), translated (RFC 2765). Then
        // NAT64 by its well-known prefix (RFC 6052).
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => {
            [at(6), None]
        }
        // NAT64 by the local prefix (RFC 8215), whose longest and shortest forms are read.
        [0x64, 0xff9b, 1, high, low, last, _, _] => {
            // After a prefix of 48 bits the address goes around the ninth byte, which is zero.
            let ([a, b], [_, c], [d, _]) = (high.to_be_bytes(), low.to_be_bytes(), last.to_be_bytes());
            [at(6), Some(Ipv4Addr::new(a, b, c, d))]
        }
        // 6to4 (RFC 3056).
        [0x2002, ..] => [at(1), None],
        // Teredo (RFC 4380): the server, and the client with all bits turned.
        [0x2001, 0, ..] => [at(2), at(6).map(|client| Ipv4Addr::from(!u32::from(client)))],
        _ => [None, None],
    }
}

/// Whether a name means the machine itself wherever it is resolved (RFC 6761).
fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether a token may be sent to a host, by its name alone. Without a list every host is allowed but local ones: a
/// policy could otherwise make the operator talk to a neighbour that its author cannot reach.
///
/// The list has names, addresses, or `*.` and a domain, each with a port where only that one is meant.
#[must_use]
pub fn may_be_asked(url: &Url, allowed: &[String]) -> bool {
    let Some(host) = url.host() else { return false };
    if !allowed.is_empty() {
        return allowed.iter().any(|entry| fits(entry, &host.to_string(), url.port_or_known_default(), true));
    }
    match host {
        Host::Domain(name) => !is_local_name(name),
        Host::Ipv4(address) => !is_local(address.into()),
        Host::Ipv6(address) => !is_local(address.into()),
    }
}

/// Whether a connection may be opened to an address that a host of this name resolves to: a local one only where the
/// list names the host or the address. `*.` and a domain names no host of it, but those that are local by their name.
#[must_use]
pub fn may_be_reached(address: IpAddr, host: &str, port: Option<u16>, allowed: &[String]) -> bool {
    let named = |entry: &String| {
        fits(entry, host, port, is_local_name(host)) || fits(entry, &address.to_canonical().to_string(), port, false)
    };
    !is_local(address) || allowed.iter().any(named)
}

fn fits(entry: &str, host: &str, port: Option<u16>, wildcards: bool) -> bool {
    let (name, only_port) = split_port(entry);
    if only_port.is_some() && only_port != port {
        return false;
    }
    match name.strip_prefix("*.") {
        Some(domain) => {
            wildcards && host.strip_suffix(&domain.to_ascii_lowercase()).is_some_and(|rest| rest.ends_with('.'))
        }
        None => bare(host).eq_ignore_ascii_case(bare(name)),
    }
}

/// Takes an entry such as `gitlab.example.com:8443` or `[::1]:8443` apart. `::1` has no port.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    match entry.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => {
            port.parse().map_or((entry, None), |port| (name, Some(port)))
        }
        _ => (entry, None),
    }
}

/// A host without the brackets of an IPv6 address.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::loopback("127.0.0.1")]
    #[case::the_rest_of_loopback("127.255.3.1")]
    #[case::loopback_v6("::1")]
    #[case::unspecified("0.0.0.0")]
    #[case::this_network("0.1.2.3")]
    #[case::unspecified_v6("::")]
    #[case::link_local("169.254.0.1")]
    #[case::link_local_v6("fe80::1")]
    #[case::the_end_of_link_local_v6("febf::1")]
    #[case::metadata("169.254.169.254")]
    #[case::credentials_of_tasks_at_amazon("169.254.170.2")]
    #[case::metadata_at_amazon_v6("fd00:ec2::254")]
    #[case::credentials_of_pods_at_amazon("fd00:ec2::23")]
    #[case::metadata_at_google_v6("fd20:ce::254")]
    #[case::metadata_at_scaleway_v6("fd00:42::42")]
    #[case::metadata_at_alibaba("100.100.100.200")]
    #[case::azure("168.63.129.16")]
    #[case::oracle_classic("192.0.0.192")]
    #[case::mapped("::ffff:127.0.0.1")]
    #[case::mapped_metadata("::ffff:a9fe:a9fe")]
    #[case::compatible("::127.0.0.1")]
    #[case::translated("::ffff:0:127.0.0.1")]
    #[case::nat64("64:ff9b::127.0.0.1")]
    #[case::nat64_metadata("64:ff9b::169.254.169.254")]
    #[case::local_nat64("64:ff9b:1::169.254.169.254")]
    #[case::local_nat64_around_the_ninth_byte("64:ff9b:1:a9fe:a9:fe00::")]
    #[case::six_to_four("2002:7f00:1::1")]
    #[case::teredo_client("2001:0:4136:e378:8000:63bf:80ff:fffe")]
    #[case::teredo_server("2001:0:7f00:1::1")]
    fn an_address_of_the_own_machine_or_segment_is_local_in_every_form(#[case] address: &str) {
        assert!(is_local(address.parse().unwrap()));
    }

    #[rstest]
    #[case::public("203.0.113.7")]
    #[case::private_ten("10.0.0.1")]
    #[case::private_172("172.16.0.1")]
    #[case::private_192("192.168.1.1")]
    #[case::shared("100.64.0.1")]
    #[case::next_to_metadata("100.100.100.201")]
    #[case::next_to_link_local("169.253.255.255")]
    #[case::public_v6("2001:db8::1")]
    #[case::unique_local("fd12:3456::1")]
    #[case::site_local("fec0::1")]
    #[case::mapped_private("::ffff:10.0.0.1")]
    #[case::nat64_of_a_public_one("64:ff9b::203.0.113.7")]
    #[case::six_to_four_of_a_public_one("2002:cb00:7107::1")]
    fn private_and_public_addresses_are_not(#[case] address: &str) {
        assert!(!is_local(address.parse().unwrap()));
    }

    #[rstest]
    #[case::nothing_is_named(&[], false)]
    #[case::the_host(&["gitlab.example.com"], true)]
    #[case::the_host_in_other_letters(&["GitLab.Example.com"], true)]
    #[case::the_host_with_its_port(&["gitlab.example.com:8443"], true)]
    #[case::the_host_with_another_port(&["gitlab.example.com:443"], false)]
    #[case::another_host(&["other.example.com"], false)]
    #[case::a_domain_names_no_host(&["*.example.com"], false)]
    #[case::the_address(&["*.example.com", "127.0.0.1"], true)]
    #[case::another_address(&["*.example.com", "127.0.0.2"], false)]
    fn a_name_leads_to_a_local_address_only_if_it_is_named(#[case] allowed: &[&str], #[case] expected: bool) {
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        for address in ["127.0.0.1", "::ffff:127.0.0.1"] {
            let reached = may_be_reached(address.parse().unwrap(), "gitlab.example.com", Some(8443), &allowed);
            assert_eq!(reached, expected, "{address}");
        }
        assert!(may_be_reached("10.0.0.1".parse().unwrap(), "gitlab.example.com", Some(8443), &allowed));
    }

    #[test]
    fn a_name_that_is_local_by_itself_may_be_allowed_with_its_domain() {
        let address = "127.0.0.1".parse().unwrap();
        assert!(may_be_reached(address, "gitlab.localhost", Some(443), &["*.localhost".to_owned()]));
        assert!(!may_be_reached(address, "gitlab.localhost", Some(443), &[]));
    }

    #[rstest]
    #[case("https://127.1")]
    #[case("https://0x7f.0.0.1")]
    #[case("https://2130706433")]
    #[case("https://127.0.0.1.")]
    #[case("https://LOCALHOST.")]
    #[case("https://[64:ff9b::7f00:1]")]
    #[case("https://100.100.100.200")]
    fn another_spelling_of_a_local_address_is_local_too(#[case] url: &str) {
        assert!(!may_be_asked(&url.parse().unwrap(), &[]));
    }
}
