//! Client certificates, and certificates whose time is over: against a TLS server of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use registry_cleanup_operator::clock::SystemClock;
use registry_cleanup_operator::gitlab::{
    AlwaysOpen, Class, Client, Connection, Error, ErrorKind, GitLab, Setting, TlsProblem, Version,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned, crypto::aws_lc_rs};

use super::{connection, full_speed, kind};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for loopback and its key, both DER.
fn certificate(authority: &Authority, expired: bool) -> (Vec<u8>, Vec<u8>) {
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    if expired {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, authority).unwrap().der().to_vec(), key.serialize_der())
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// An https server that tells everybody its version; with an authority only those who have a certificate of it.
fn serve(authority: &Authority, clients: Option<&Authority>, expired: bool) -> SocketAddr {
    serve_with(certificate(authority, expired), clients)
}

/// The same with this certificate and key, both DER.
fn serve_with((certificate, key): (Vec<u8>, Vec<u8>), clients: Option<&Authority>) -> SocketAddr {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key));
    let config = Arc::new(builder.with_single_cert(vec![certificate.into()], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
            // A guest that is refused is its own business.
            let _ = stream.read(&mut [0; 4096]).and_then(|_| {
                stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"version\":\"18.5.0\"}")?;
                stream.conn.send_close_notify();
                stream.flush()
            });
        }
    });
    address
}

fn client(address: SocketAddr, authority: &Authority, identity: Option<String>) -> Result<Client, Error> {
    client_trusting(address, authority.der(), identity)
}

fn client_trusting(address: SocketAddr, named: &[u8], identity: Option<String>) -> Result<Client, Error> {
    let connection = Connection {
        ca_pem: Some(pem("CERTIFICATE", named).into_bytes()),
        identity_pem: identity.map(|pem| pem.into_bytes().into()),
        timeout: Duration::from_secs(5),
        ..connection(&format!("https://{address}"), "token")
    };
    GitLab::new(full_speed(), Arc::new(SystemClock)).connect(&connection, Arc::new(AlwaysOpen))
}

async fn version(address: SocketAddr, authority: &Authority, identity: Option<String>) -> Result<Version, Error> {
    client(address, authority, identity)?.version().await
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_a_server_that_asks_for_it() {
    let (server, clients) = (authority(), authority());
    let address = serve(&server, Some(&clients), false);
    let (certificate, key) = certificate(&clients, false);
    let identity = pem("CERTIFICATE", &certificate) + &pem("PRIVATE KEY", &key);
    assert_eq!(version(address, &server, Some(identity)).await.unwrap().major, 18);
}

#[tokio::test]
async fn a_server_that_asks_for_a_client_certificate_in_vain_is_a_tls_failure() {
    let (server, clients) = (authority(), authority());
    let address = serve(&server, Some(&clients), false);
    let error = version(address, &server, None).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (&ErrorKind::Tls(TlsProblem::Alert), Class::Tls));
}

#[tokio::test]
async fn a_certificate_whose_time_is_over_is_refused() {
    let server = authority();
    let address = serve(&server, None, true);
    assert_eq!(kind(version(address, &server, None).await), ErrorKind::Tls(TlsProblem::Expired));
}

#[tokio::test]
async fn a_client_certificate_with_the_key_of_another_is_refused_before_anything_is_sent() {
    let server = authority();
    let address = serve(&server, None, false);
    let ((one, _), (_, other)) = (certificate(&server, false), certificate(&server, false));
    let identity = pem("CERTIFICATE", &one) + &pem("PRIVATE KEY", &other);
    let refused = kind(client(address, &server, Some(identity)));
    assert_eq!(refused, ErrorKind::Configuration(Setting::Identity));
}

/// A self-signed certificate as `openssl req -x509` makes it: that of an authority. Both DER.
fn self_signed(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (Vec<u8>, Vec<u8>) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().der().to_vec(), key.serialize_der())
}

#[tokio::test]
async fn a_self_signed_certificate_of_an_authority_is_taken_where_it_was_named_itself() {
    let own = self_signed(&["127.0.0.1"], |_| {});
    let address = serve_with(own.clone(), None);
    assert_eq!(client_trusting(address, &own.0, None).unwrap().version().await.unwrap().major, 18);
}

#[tokio::test]
async fn a_self_signed_certificate_fails_by_the_check_that_it_fails() {
    let own = self_signed(&["127.0.0.1"], |_| {});
    let another = self_signed(&["127.0.0.1"], |_| {});
    let elsewhere = self_signed(&["gitlab.example.com"], |_| {});
    let over = self_signed(&["127.0.0.1"], |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    let early = self_signed(&["127.0.0.1"], |params| params.not_before = rcgen::date_time_ymd(2090, 1, 1));
    for (shown, named, problem) in [
        (&own, &another, TlsProblem::Authority),
        (&elsewhere, &elsewhere, TlsProblem::OtherName),
        (&over, &over, TlsProblem::Expired),
        (&early, &early, TlsProblem::NotYetValid),
    ] {
        let address = serve_with(shown.clone(), None);
        let client = client_trusting(address, &named.0, None).unwrap();
        assert_eq!(kind(client.version().await), ErrorKind::Tls(problem), "{problem:?}");
    }
}

#[tokio::test]
async fn a_certificate_that_an_authority_signed_for_clients_alone_is_refused_by_its_purpose() {
    let authority = authority();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap().der().to_vec();
    let address = serve_with((certificate, key.serialize_der()), None);
    assert_eq!(kind(version(address, &authority, None).await), ErrorKind::Tls(TlsProblem::Purpose));
}
