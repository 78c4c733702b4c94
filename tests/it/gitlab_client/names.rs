//! Names that lead to the operator's own machine: judged where the connection is opened, each time one is.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, FutureExt};
use gitlab_simulator::{Action, Endpoint, Fault, Matcher};
use registry_cleanup_operator::gitlab::{
    AlwaysOpen, Class, Client, ClientSettings, Connection, ErrorKind, GitLab, Lookup, Proxy, Unreached,
};
use rstest::rstest;

use super::{World, bulk::everything, connection, full_speed, kind};

const NAME: &str = "gitlab.example.com";

/// A resolver that knows these addresses, one after the other, the last for ever; it keeps what it was asked.
struct Told {
    addresses: Vec<&'static str>,
    asked: Mutex<Vec<String>>,
}

impl Told {
    fn new(addresses: &[&'static str]) -> Arc<Self> {
        Arc::new(Self { addresses: addresses.to_vec(), asked: Mutex::default() })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Lookup for Told {
    fn addresses(&self, host: &str) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let mut asked = self.asked.lock().unwrap();
        let address = self.addresses[asked.len().min(self.addresses.len() - 1)];
        asked.push(host.to_owned());
        async move { Ok(vec![SocketAddr::new(address.parse().unwrap(), 0)]) }.boxed()
    }
}

fn gitlab(world: &World, told: &Arc<Told>, allowed: &[&str]) -> GitLab {
    let allowed_hosts = allowed.iter().map(ToString::to_string).collect();
    GitLab::with_lookup(ClientSettings { allowed_hosts, ..full_speed() }, world.clock.clone(), Arc::clone(told) as _)
}

/// The world's GitLab under a name.
fn by_name(world: &World) -> Connection {
    connection(&world.sim.url().replace("127.0.0.1", NAME), &world.token)
}

fn client(world: &World, told: &Arc<Told>, allowed: &[&str]) -> Client {
    gitlab(world, told, allowed).connect(&by_name(world), Arc::new(AlwaysOpen)).unwrap()
}

#[rstest]
#[case::loopback("127.0.0.1", &[])]
#[case::mapped("::ffff:127.0.0.1", &[])]
#[case::nat64("64:ff9b::7f00:1", &[])]
#[case::unspecified("0.0.0.0", &[])]
#[case::only_its_domain_is_allowed("127.0.0.1", &["*.example.com"])]
#[tokio::test]
async fn a_name_that_leads_to_the_own_machine_is_refused_before_anything_is_sent(
    #[case] address: &'static str,
    #[case] allowed: &[&str],
) {
    let world = World::new().await;
    let told = Told::new(&[address]);
    let client = client(&world, &told, allowed);
    let error = client.version().await.unwrap_err();
    let expected = ErrorKind::LocalAddress { host: NAME.to_owned(), address: address.parse().unwrap() };
    assert_eq!((error.kind(), error.class()), (&expected, Class::Host));
    assert!(error.to_string().contains(&format!("{NAME} resolves to {address}, a loopback, ")), "{error}");
    assert!(error.to_string().contains("--allowed-gitlab-hosts"), "{error}");
    assert_eq!(told.asked(), [NAME], "it is no fault of the network, which would be tried again");
    assert!(world.clock.long_sleeps().is_empty());

    assert_eq!(kind(client.bulk_delete(&world.repository, &everything()).await), expected);
    assert!(world.sim.requests().is_empty());
}

#[rstest]
#[case::the_name(&[NAME])]
#[case::the_address(&["127.0.0.1"])]
#[tokio::test]
async fn it_is_reached_where_the_name_or_the_address_is_allowed(#[case] allowed: &[&str]) {
    let world = World::new().await;
    let told = Told::new(&["127.0.0.1"]);
    client(&world, &told, allowed).version().await.unwrap();
    assert_eq!(world.count(Endpoint::Version), 1);
    assert_eq!(told.asked(), [NAME], "the address that was judged is the one that is connected to");
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_the_next_time_is_judged_again() {
    let world = World::new().await;
    let told = Told::new(&["127.0.0.1", "127.0.0.3"]);
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::Version), Action::DropConnection));
    let error = kind(client(&world, &told, &["127.0.0.1"]).version().await);
    let address = "127.0.0.3".parse().unwrap();
    assert_eq!(error, ErrorKind::LocalAddress { host: NAME.to_owned(), address });
    assert_eq!((world.count(Endpoint::Version), told.asked().len()), (1, 2));
}

/// A redirect inside the API goes through the same judge; one to another host is not followed at all.
#[tokio::test]
async fn a_redirect_is_no_way_around() {
    let world = World::new().await;
    let told = Told::new(&["127.0.0.1", "127.0.0.3"]);
    let answer = Action::Answer {
        status: 302,
        headers: vec![
            ("location".to_owned(), "/api/v4/version?again".to_owned()),
            ("connection".to_owned(), "close".to_owned()),
        ],
        body: String::new(),
    };
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::Version), answer));
    let error = kind(client(&world, &told, &["127.0.0.1"]).version().await);
    assert!(matches!(error, ErrorKind::LocalAddress { address, .. } if address.to_string() == "127.0.0.3"), "{error}");
    assert_eq!(world.count(Endpoint::Version), 1);
}

/// Who connects is judged: behind a proxy that is the proxy, and GitLab's name is the proxy's to resolve.
#[rstest]
#[case::not_allowed(&[], None)]
#[case::allowed(&["proxy.example.com"], Some(Unreached::Proxy))]
#[tokio::test]
async fn of_a_proxy_the_own_name_is_judged(#[case] allowed: &[&str], #[case] reached: Option<Unreached>) {
    let world = World::new().await;
    let told = Told::new(&["127.0.0.1"]);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://proxy.example.com:{}", listener.local_addr().unwrap().port());
    // Nobody answers there: whoever gets through meets a closed door.
    drop(listener);
    let proxy = Some(Proxy { address: address.parse().unwrap(), username: None, password: None });
    let connection = Connection { proxy, ..by_name(&world) };
    let client = gitlab(&world, &told, allowed).connect(&connection, Arc::new(AlwaysOpen)).unwrap();
    let local =
        || ErrorKind::LocalAddress { host: "proxy.example.com".to_owned(), address: "127.0.0.1".parse().unwrap() };
    assert_eq!(kind(client.version().await), reached.map_or_else(local, ErrorKind::Unreachable));
    assert!(told.asked().iter().all(|name| name == "proxy.example.com"), "{:?}", told.asked());
}
