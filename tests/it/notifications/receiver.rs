//! Something outside of the cluster that receives notifications over https, and answers as a test wants it to.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use registry_cleanup_operator::notifications::Settings;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned, crypto::aws_lc_rs as provider};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::support::in_time;

/// What the receiver does with a request.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// Answers with this status and these header lines.
    Status(u16, &'static [&'static str]),
    /// Lets the sender wait until it has enough.
    Nothing,
    /// Hangs up.
    HangUp,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Received {
    /// Method and path.
    pub(super) line: String,
    headers: Vec<(String, String)>,
    raw: Vec<u8>,
}

/// The receiver. It is there until the test process ends.
pub(super) struct Receiver {
    address: SocketAddr,
    requests: watch::Receiver<Vec<Received>>,
    /// Keys and authority, as the operator gets them.
    files: TempDir,
}

/// A key, and how it is written.
pub(super) fn key(byte: u8) -> String {
    format!("whsec_{}", STANDARD.encode([byte; 32]))
}

impl Received {
    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or_else(|| panic!("no {name}: {self:?}"), |(_, value)| value.as_str())
    }

    pub(super) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub(super) fn body(&self) -> Value {
        serde_json::from_slice(&self.raw).unwrap()
    }

    /// Whether one of the signatures is by this key, over what has come.
    pub(super) fn is_signed_by(&self, byte: u8) -> bool {
        let content = [format!("{}.{}.", self.id(), self.header("webhook-timestamp")).as_bytes(), &self.raw].concat();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32]);
        self.header("webhook-signature").split(' ').any(|signature| {
            let tag = STANDARD.decode(signature.strip_prefix("v1,").unwrap()).unwrap();
            hmac::verify(&key, &content, &tag).is_ok()
        })
    }
}

impl Receiver {
    /// Answers each request with the next of these, and with 204 once there is none.
    pub(super) fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let own = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&own, &authority).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.serialize_der())),
            )
            .unwrap();
        let files = tempfile::tempdir().unwrap();
        let encoded = STANDARD.encode(authority.der());
        let pem = format!("-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n");
        std::fs::write(files.path().join("ca.crt"), pem).unwrap();
        std::fs::write(files.path().join("secret"), key(1)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(answers.into_iter().collect()));
        let (told, requests) = watch::channel(Vec::new());
        let (config, told) = (Arc::new(config), Arc::new(told));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, told, script) = (Arc::clone(&config), Arc::clone(&told), Arc::clone(&script));
                // A sender that hangs up is its own business.
                thread::spawn(move || serve(stream, config, &told, &script));
            }
        });
        Self { address, requests, files }
    }

    /// How to send to it, signed by the key 1.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            url: self.url(),
            secret_file: self.file("secret"),
            ca_file: Some(self.file("ca.crt")),
            allowed_hosts: vec!["127.0.0.1".to_owned()],
        }
    }

    pub(super) fn url(&self) -> String {
        format!("https://{}/registry?marker-in-url", self.address)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// All requests so far.
    pub(super) fn requests(&self) -> Vec<Received> {
        self.requests.borrow().clone()
    }

    /// Waits for so many requests, and answers all of them.
    pub(super) async fn received(&self, count: usize) -> Vec<Received> {
        let mut requests = self.requests.clone();
        let enough = async { requests.wait_for(|requests| requests.len() >= count).await.unwrap().clone() };
        in_time(&format!("{count} requests to the receiver"), enough).await
    }
}

fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    told: &watch::Sender<Vec<Received>>,
    script: &Mutex<VecDeque<Answer>>,
) -> Option<()> {
    let stream = StreamOwned::new(ServerConnection::new(config).ok()?, stream);
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            (reader.read_line(&mut head).ok()? > 0).then_some(())?;
        }
        let (line, rest) = head.split_once("\r\n")?;
        let headers: Vec<(String, String)> = rest
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
        let mut raw = vec![0; length];
        reader.read_exact(&mut raw).ok()?;
        let answer = script.lock().unwrap().pop_front().unwrap_or(Answer::Status(204, &[]));
        told.send_modify(|all| all.push(Received { line: line.to_owned(), headers, raw }));
        match answer {
            Answer::Status(code, lines) => {
                let lines = lines.iter().fold(String::new(), |lines, line| lines + line + "\r\n");
                let head = format!("HTTP/1.1 {code} As said\r\ncontent-length: 0\r\n{lines}\r\n");
                reader.get_mut().write_all(head.as_bytes()).ok()?;
                reader.get_mut().flush().ok()?;
            }
            Answer::HangUp => return None,
            Answer::Nothing => {
                // Until the sender hangs up.
                return reader.read(&mut [0]).ok().map(|_| ());
            }
        }
    }
}
