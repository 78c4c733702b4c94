//! The way to the API server through a proxy, as the environment of the program names it: the real binary, a proxy and
//! the real API server behind it, under a name that only the proxy knows.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use rstest::rstest;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::support::eventually;
use crate::world::{cluster, output};

/// The API server's name in the kubeconfig.
const NAME: &str = "kubernetes.test";

/// A proxy that knows `CONNECT`, leads every tunnel to one server, and remembers what it was asked for.
struct Proxy {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(tunnel(stream, server.clone(), Arc::clone(&all)));
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn tunnel(mut client: TcpStream, server: String, asked: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    asked.lock().unwrap().push(head.lines().next().unwrap_or_default().to_owned());
    let mut server = TcpStream::connect(server).await.unwrap();
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

/// The administrator's kubeconfig with another address of the API server, and the address that it really has.
async fn kubeconfig(cluster_fields: &Value) -> (NamedTempFile, String) {
    let text = std::fs::read_to_string(cluster().await.kubeconfig()).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    let known = config["clusters"][0]["cluster"].as_object_mut().unwrap();
    let server = known["server"].as_str().unwrap().trim_start_matches("https://").to_owned();
    for (key, value) in cluster_fields.as_object().into_iter().flatten() {
        known.insert(key.clone(), value.clone());
    }
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config.to_string()).unwrap();
    (file, server)
}

/// Under a name that leads nowhere without the proxy.
fn by_name() -> Value {
    json!({"server": format!("https://{NAME}:6443"), "tls-server-name": "localhost"})
}

/// Runs `in-use` with these variables and no others, and answers whether it succeeded and what it printed.
async fn in_use(kubeconfig: &NamedTempFile, variables: &[(&str, String)]) -> (bool, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_registry-cleanup-operator"));
    program.args(["in-use", "--registry=proxy.example.com", "-o=json"]).env_clear();
    program.env("KUBECONFIG", kubeconfig.path()).envs(variables.iter().cloned());
    tokio::task::spawn_blocking(move || output(&mut program)).await.unwrap()
}

#[rstest]
#[case::https_proxy("HTTPS_PROXY", "http://", "")]
#[case::in_small_letters("https_proxy", "http://", "")]
#[case::without_a_scheme("HTTPS_PROXY", "", "")]
#[case::where_others_are_reached_directly("HTTPS_PROXY", "http://", "other.test,10.0.0.0/8")]
#[case::where_the_proxy_itself_is("HTTPS_PROXY", "http://", "127.0.0.1,localhost")]
#[case::with_a_comma_at_the_end("HTTPS_PROXY", "http://", "other.test,")]
#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_is_reached_through_the_proxy_of_the_environment(
    #[case] variable: &str,
    #[case] scheme: &str,
    #[case] no_proxy: &str,
) {
    let (kubeconfig, server) = kubeconfig(&by_name()).await;
    let proxy = Proxy::start(server).await;
    let variables = [(variable, format!("{scheme}{}", proxy.address)), ("NO_PROXY", no_proxy.to_owned())];
    let (ok, text) = in_use(&kubeconfig, &variables).await;
    assert!(ok, "{text}");
    assert!(!proxy.asked().is_empty());
    assert!(proxy.asked().iter().all(|asked| *asked == format!("CONNECT {NAME}:6443 HTTP/1.1")), "{:?}", proxy.asked());
}

#[rstest]
#[case::plan(&["plan", "-n", "default", "no-such-policy"])]
#[case::run(&["run", "--listen", "127.0.0.1:0", "--watch-namespace", "no-such-namespace"])]
#[tokio::test(flavor = "multi_thread")]
async fn every_command_takes_the_same_way(#[case] arguments: &[&str]) {
    let (kubeconfig, server) = kubeconfig(&by_name()).await;
    let proxy = Proxy::start(server).await;
    let mut program = Command::new(env!("CARGO_BIN_EXE_registry-cleanup-operator"));
    program.args(arguments).env_clear().env("KUBECONFIG", kubeconfig.path()).stdin(Stdio::null());
    program.env("HTTPS_PROXY", format!("http://{}", proxy.address)).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = program.spawn().unwrap();
    let asked = eventually("it asks the proxy", async || Some(proxy.asked()).filter(|asked| !asked.is_empty())).await;
    // One of them would go on for ever.
    let _ = child.kill();
    child.wait().unwrap();
    assert_eq!(asked[0], format!("CONNECT {NAME}:6443 HTTP/1.1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_of_the_kubeconfig_goes_before_that_of_the_environment_whatever_is_to_be_reached_directly() {
    let (_, server) = kubeconfig(&json!({})).await;
    let (own, other) = (Proxy::start(server.clone()).await, Proxy::start(server).await);
    let mut fields = by_name();
    fields["proxy-url"] = json!(format!("http://{}", own.address));
    let (kubeconfig, _) = kubeconfig(&fields).await;
    let variables = [("HTTPS_PROXY", format!("http://{}", other.address)), ("NO_PROXY", "*".to_owned())];
    let (ok, text) = in_use(&kubeconfig, &variables).await;
    assert!(ok, "{text}");
    assert!(!own.asked().is_empty() && other.asked().is_empty());
}

#[rstest]
#[case::by_its_name(NAME)]
#[case::by_its_domain(".test,")]
#[case::everything("*")]
#[tokio::test(flavor = "multi_thread")]
async fn what_no_proxy_names_never_asks_the_proxy(#[case] no_proxy: &str) {
    let (kubeconfig, server) = kubeconfig(&by_name()).await;
    let proxy = Proxy::start(server).await;
    let variables = [("HTTPS_PROXY", format!("http://{}", proxy.address)), ("NO_PROXY", no_proxy.to_owned())];
    let (ok, text) = in_use(&kubeconfig, &variables).await;
    assert!(!ok, "nobody but the proxy knows the name: {text}");
    assert_eq!(proxy.asked(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_on_the_same_machine_is_reached_directly() {
    let (kubeconfig, server) = kubeconfig(&json!({})).await;
    let proxy = Proxy::start(server).await;
    let (ok, text) = in_use(&kubeconfig, &[("HTTPS_PROXY", format!("http://{}", proxy.address))]).await;
    assert!(ok, "{text}");
    assert_eq!(proxy.asked(), [""; 0]);
}
