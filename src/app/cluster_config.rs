//! The way to the API server: as kube finds it, with the proxy that kubectl would use.
//!
//! kube reads the variables as well, but holds `NO_PROXY` against the address of the proxy, and takes no entry that is
//! empty. So what it makes of them is replaced, and where it refuses them, the configuration is put together here.

use kube::config::{Cluster, ExecAuthCluster, InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use url::Url;

use crate::proxy::environment::{ProxyEnvironment, address};

/// Why the API server cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// No way to it.
    #[error("failed to find a way to the Kubernetes API server")]
    Config(#[from] InferConfigError),
    /// The client could not be made.
    #[error("failed to make a Kubernetes client")]
    Client(#[source] kube::Error),
}

/// A client for the API server of the current context, or of the Pod, and the configuration that it was made from.
///
/// # Errors
/// When there is no way to an API server.
pub(super) async fn reach(proxies: &ProxyEnvironment) -> Result<(Client, Config), Unreachable> {
    // Two libraries below use rustls; they are to agree on its provider.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config = infer(proxies).await?;
    let client = Client::try_from(config.clone()).map_err(Unreachable::Client)?;
    Ok((client, config))
}

/// The configuration of the current context, or that of the Pod. A Pod reaches its API server without a proxy.
///
/// # Errors
/// When there is neither.
async fn infer(proxies: &ProxyEnvironment) -> Result<Config, InferConfigError> {
    let Ok(kubeconfig) = Kubeconfig::read() else { return Config::infer().await };
    let own = current_cluster(&kubeconfig).and_then(|cluster| cluster.proxy_url.clone());
    let loaded = Config::from_custom_kubeconfig(kubeconfig.clone(), &KubeConfigOptions::default()).await;
    let config = match loaded {
        Ok(config) => Some(config),
        Err(KubeconfigError::ParseNoProxy(_) | KubeconfigError::ParseProxyUrl(_)) => assemble(&kubeconfig),
        Err(_) => None,
    };
    // Whatever is wrong, it is told as ever.
    let Some(mut config) = config else { return Config::infer().await };
    config.apply_debug_overrides();
    let proxy = match own.filter(|own| !own.is_empty()) {
        Some(own) => address(&own),
        None => Url::parse(&config.cluster_url.to_string()).ok().and_then(|url| proxies.proxy_for(&url).cloned()),
    };
    config.proxy_url = proxy.and_then(|proxy| understood(&proxy).parse().ok());
    Ok(config)
}

/// A proxy as kube understands it: both kinds of SOCKS let the proxy resolve names.
fn understood(proxy: &Url) -> String {
    let text = proxy.as_str();
    text.strip_prefix("socks5h:").map_or_else(|| text.to_owned(), |rest| format!("socks5:{rest}"))
}

fn current_cluster(kubeconfig: &Kubeconfig) -> Option<&Cluster> {
    let current = kubeconfig.current_context.as_ref()?;
    let context = kubeconfig.contexts.iter().find(|context| context.name == *current)?.context.as_ref()?;
    kubeconfig.clusters.iter().find(|cluster| cluster.name == context.cluster)?.cluster.as_ref()
}

/// The configuration of the current context as kube makes it, but for the proxy.
fn assemble(kubeconfig: &Kubeconfig) -> Option<Config> {
    let cluster = current_cluster(kubeconfig)?;
    let current = kubeconfig.current_context.as_ref()?;
    let context = kubeconfig.contexts.iter().find(|context| context.name == *current)?.context.as_ref()?;
    let user = context.user.as_ref().and_then(|user| kubeconfig.auth_infos.iter().find(|known| known.name == *user));
    let mut auth_info = user.and_then(|user| user.auth_info.clone()).unwrap_or_default();
    // It reads the certificates of the authority as well.
    let described = ExecAuthCluster::try_from(cluster).ok()?;
    let authority = described.certificate_authority_data.clone();
    if let Some(exec) = auth_info.exec.as_mut().filter(|exec| exec.provide_cluster_info) {
        exec.cluster = Some(described);
    }
    let certificates = |pem: Vec<u8>| {
        let all = CertificateDer::pem_slice_iter(&pem).map(|found| found.map(|certificate| certificate.to_vec()));
        all.collect::<Result<Vec<_>, _>>().ok()
    };
    let root_cert = match authority {
        Some(pem) => Some(certificates(pem)?),
        None => None,
    };
    let mut config = Config::new(cluster.server.as_ref()?.parse().ok()?);
    config.default_namespace = context.namespace.clone().unwrap_or_else(|| "default".to_owned());
    config.root_cert = root_cert;
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
    config.disable_compression = cluster.disable_compression.unwrap_or(false);
    config.auth_info = auth_info;
    config.tls_server_name.clone_from(&cluster.tls_server_name);
    Some(config)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const KUBECONFIG: &str = r"
apiVersion: v1
kind: Config
current-context: here
contexts:
- {name: here, context: {cluster: one, user: me, namespace: team-shop}}
clusters:
- name: one
  cluster: {server: 'https://api.test:6443', tls-server-name: kubernetes, disable-compression: true}
users:
- {name: me, user: {token: secret}}
";

    #[tokio::test]
    async fn what_is_put_together_here_is_what_kube_makes_of_it() {
        let kubeconfig = Kubeconfig::from_yaml(KUBECONFIG).unwrap();
        let kubes = Config::from_custom_kubeconfig(kubeconfig.clone(), &KubeConfigOptions::default()).await.unwrap();
        let mut ours = assemble(&kubeconfig).unwrap();
        ours.proxy_url.clone_from(&kubes.proxy_url);
        assert_eq!(format!("{ours:?}"), format!("{kubes:?}"));
    }

    #[rstest]
    #[case("http://proxy.test:3128/", "http://proxy.test:3128/")]
    #[case("socks5h://proxy.test:1080", "socks5://proxy.test:1080")]
    #[case("socks5://proxy.test:1080", "socks5://proxy.test:1080")]
    fn socks_is_one_to_kube(#[case] proxy: &str, #[case] expected: &str) {
        assert_eq!(understood(&proxy.parse().unwrap()), expected);
    }
}
