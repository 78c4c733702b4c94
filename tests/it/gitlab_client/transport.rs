//! TLS, proxies and peers that are no GitLab.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gitlab_simulator::{Action, Config, Endpoint, Fault, Matcher};
use registry_cleanup_operator::gitlab::{
    AlwaysOpen, Class, Client, Connection, ErrorKind, Proxy, TlsProblem, Unreached,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::{World, bulk::everything, connection, kind, shop};

async fn over_tls() -> World {
    World::from(Config { tls: true, ..Config::default() }).await
}

fn trusting(world: &World, ca_pem: Option<&str>) -> Connection {
    Connection { ca_pem: ca_pem.map(|pem| pem.as_bytes().to_vec()), ..world.connection() }
}

fn connect(world: &World, connection: &Connection) -> Client {
    world.gitlab.connect(connection, Arc::new(AlwaysOpen)).unwrap()
}

#[tokio::test]
async fn a_certificate_of_the_given_authority_is_accepted() {
    let world = over_tls().await;
    let names = world.push(2500);
    let client = connect(&world, &trusting(&world, world.sim.ca_pem()));
    assert_eq!(client.repositories(&shop()).await.unwrap().len(), 1);
    assert_eq!(client.tag_names(&world.repository).await.unwrap(), names);
    assert!(client.bulk_delete(&world.repository, &everything()).await.is_ok());
}

#[tokio::test]
async fn one_authority_among_several_is_enough() {
    let (world, other) = (over_tls().await, over_tls().await);
    let both = format!("{}{}", other.sim.ca_pem().unwrap(), world.sim.ca_pem().unwrap());
    assert!(connect(&world, &trusting(&world, Some(&both))).version().await.is_ok());
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_and_not_tried_again() {
    let (world, other) = (over_tls().await, over_tls().await);
    // The other one has the same name.
    let named = (other.sim.ca_pem(), TlsProblem::OtherSignature);
    for (ca_pem, problem) in [named, (None, TlsProblem::UnknownIssuer)] {
        let client = connect(&world, &trusting(&world, ca_pem));
        let error = client.version().await.unwrap_err();
        assert_eq!((error.kind(), error.class()), (&ErrorKind::Tls(problem), Class::Tls));
        let refused = kind(client.bulk_delete(&world.repository, &everything()).await);
        assert_eq!(refused, ErrorKind::Tls(problem));
    }
    assert!(world.sim.requests().is_empty());
    assert!(world.clock.long_sleeps().is_empty());
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let world = over_tls().await;
    // The certificate is for 127.0.0.1; all of 127.0.0.0/8 leads to the same listener only if it listens there.
    let config = Config { tls: true, listen: SocketAddr::from(([127, 0, 0, 2], 0)), ..Config::default() };
    let elsewhere = World::from(config).await;
    let client = connect(&world, &trusting(&elsewhere, elsewhere.sim.ca_pem()));
    assert_eq!(kind(client.version().await), ErrorKind::Tls(TlsProblem::OtherName));
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_a_tls_failure() {
    let world = World::new().await;
    let url = world.sim.url().replace("http://", "https://");
    let client = connect(&world, &connection(&url, &world.token));
    assert_eq!(client.version().await.unwrap_err().class(), Class::Tls);
    assert!(world.sim.requests().is_empty());
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_unreachable() {
    let world = World::new().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let client = connect(&world, &connection(&format!("http://{nobody}"), "token"));
    let error = client.version().await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (&ErrorKind::Unreachable(Unreached::Connect), Class::Transient));
    assert_eq!(world.clock.long_sleeps().len(), 3);
}

#[tokio::test]
async fn https_is_never_left_for_http() {
    let (world, plain) = (over_tls().await, World::new().await);
    let location = format!("{}/api/v4/version", plain.sim.url());
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::Version), Action::Redirect { location }));
    let client = connect(&world, &trusting(&world, world.sim.ca_pem()));
    assert_eq!(kind(client.version().await), ErrorKind::Redirected { status: 302 });
    assert!(plain.sim.requests().is_empty());
}

#[tokio::test]
async fn over_http2_reading_is_tried_again_and_a_lost_bulk_request_is_not() {
    let world = over_tls().await;
    let client = connect(&world, &trusting(&world, world.sim.ca_pem()));
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::Version).times(2), Action::DropConnection));
    assert!(client.version().await.is_ok());
    let bulk = Matcher::endpoint(Endpoint::BulkDeleteTags);
    world.sim.fault(Fault::new(bulk, Action::DropConnection).after_processing());
    assert_eq!(kind(client.bulk_delete(&world.repository, &everything()).await), ErrorKind::AnswerLost);
    assert_eq!((world.count(Endpoint::Version), world.count(Endpoint::BulkDeleteTags)), (3, 1));
}

/// A peer that says the same to everybody, whatever they ask, and counts them.
async fn peer(says: &'static [u8]) -> (SocketAddr, Arc<Mutex<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let guests = Arc::new(Mutex::new(0));
    let count = Arc::clone(&guests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            *count.lock().unwrap() += 1;
            read_head(&mut stream).await;
            let _ = stream.write_all(says).await;
        }
    });
    (address, guests)
}

/// Reads up to the empty line that ends the head of a request.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

#[tokio::test]
async fn an_answer_shorter_than_announced_is_a_broken_connection() {
    let (address, guests) = peer(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"version\":\"18.5.0\"}").await;
    let world = World::new().await;
    let client = connect(&world, &connection(&format!("http://{address}"), "token"));
    assert_eq!(kind(client.version().await), ErrorKind::Unreachable(Unreached::Broken));
    assert_eq!(*guests.lock().unwrap(), 4);
}

#[tokio::test]
async fn an_announced_gigabyte_is_not_read_at_all() {
    let (address, guests) = peer(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n").await;
    let world = World::new().await;
    let client = connect(&world, &connection(&format!("http://{address}"), "token"));
    assert_eq!(kind(client.version().await), ErrorKind::TooLarge { limit: 1 << 20 });
    assert_eq!(*guests.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_chunked_answer_that_breaks_off_is_a_broken_connection() {
    let (address, _) = peer(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n[]\r\n").await;
    let world = World::new().await;
    let client = connect(&world, &connection(&format!("http://{address}"), "token"));
    assert_eq!(kind(client.check(&shop()).await), ErrorKind::Unreachable(Unreached::Broken));
}

#[tokio::test]
async fn a_peer_that_does_not_speak_http_loses_a_bulk_request() {
    let (address, guests) = peer(b"SSH-2.0-OpenSSH_9.9\r\n").await;
    let world = World::new().await;
    let client = connect(&world, &connection(&format!("http://{address}"), "token"));
    assert_eq!(kind(client.version().await), ErrorKind::Unreachable(Unreached::Broken));
    let before = *guests.lock().unwrap();
    assert_eq!(kind(client.bulk_delete(&world.repository, &everything()).await), ErrorKind::AnswerLost);
    assert_eq!(*guests.lock().unwrap(), before + 1);
}

#[tokio::test]
async fn a_small_answer_that_unpacks_to_a_large_one_is_cut_off() {
    // 16 MiB of zeros, packed: what is counted is what comes out.
    let packed: &'static [u8] = include_bytes!("zeros.gz");
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", packed.len());
    let says: &'static [u8] = Box::leak([head.as_bytes(), packed].concat().into_boxed_slice());
    let (address, guests) = peer(says).await;
    let world = World::new().await;
    let client = connect(&world, &connection(&format!("http://{address}"), "token"));
    assert_eq!(kind(client.check(&shop()).await), ErrorKind::TooLarge { limit: 8 << 20 });
    assert_eq!(*guests.lock().unwrap(), 1);
}

/// A proxy that takes `CONNECT` with these credentials and keeps what it was asked.
async fn proxy(credentials: &'static str) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((mut guest, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let head = read_head(&mut guest).await;
                let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).map(str::to_owned);
                let allowed =
                    head.to_lowercase().contains(&format!("proxy-authorization: {credentials}").to_lowercase());
                seen.lock().unwrap().push(head);
                match (allowed, target) {
                    (true, Some(target)) => {
                        let mut host = TcpStream::connect(target).await.unwrap();
                        guest.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                        let _ = copy_bidirectional(&mut guest, &mut host).await;
                    }
                    _ => {
                        let _ = guest
                            .write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
                            .await;
                    }
                }
            });
        }
    });
    (address, heads)
}

fn through(address: SocketAddr, password: &str, connection: Connection) -> Connection {
    let proxy = Proxy {
        address: format!("http://{address}").parse().unwrap(),
        username: Some("anna".to_owned()),
        password: Some(password.into()),
    };
    Connection { proxy: Some(proxy), ..connection }
}

#[tokio::test]
async fn a_proxy_is_used_with_its_credentials_and_sees_no_token() {
    let world = over_tls().await;
    // anna:pass:word
    let (address, heads) = proxy("basic YW5uYTpwYXNzOndvcmQ=").await;
    let connection = through(address, "pass:word", trusting(&world, world.sim.ca_pem()));
    let client = connect(&world, &connection);
    assert_eq!(client.repositories(&shop()).await.unwrap().len(), 1);
    let heads = heads.lock().unwrap();
    let host = world.sim.url().trim_start_matches("https://");
    assert!(heads[0].starts_with(&format!("CONNECT {host} ")), "{heads:?}");
    assert!(!heads.concat().contains(&world.token));
    assert_eq!(world.count(Endpoint::ListGroupRepositories), 1);
}

#[tokio::test]
async fn a_proxy_that_refuses_the_credentials_is_named_as_the_cause() {
    let world = over_tls().await;
    let (address, _) = proxy("basic YW5uYTpwYXNzOndvcmQ=").await;
    let connection = through(address, "wrong", trusting(&world, world.sim.ca_pem()));
    let client = connect(&world, &connection);
    assert_eq!(kind(client.version().await), ErrorKind::Unreachable(Unreached::Proxy));
    let refused = kind(client.bulk_delete(&world.repository, &everything()).await);
    assert_eq!(refused, ErrorKind::Unreachable(Unreached::Proxy));
    assert!(world.sim.requests().is_empty());
}

#[tokio::test]
async fn a_proxy_in_front_of_plain_http_that_refuses_is_named_as_the_cause() {
    let world = World::new().await;
    let (address, heads) = proxy("basic YW5uYTpwYXNzOndvcmQ=").await;
    let client = connect(&world, &through(address, "wrong", world.connection()));
    let refused = kind(client.bulk_delete(&world.repository, &everything()).await);
    assert_eq!(refused, ErrorKind::Unreachable(Unreached::Proxy));
    assert_eq!(heads.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named_as_the_cause() {
    let world = over_tls().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let connection = through(nobody, "pass:word", trusting(&world, world.sim.ca_pem()));
    let client = connect(&world, &Connection { timeout: Duration::from_secs(5), ..connection });
    assert_eq!(kind(client.version().await), ErrorKind::Unreachable(Unreached::Proxy));
}
