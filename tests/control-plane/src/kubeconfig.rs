//! Kubeconfig files. They are written as JSON, which is YAML, so that nothing has to be quoted by hand.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::certificates::Identity;
use crate::error::{Error, Result};
use crate::files::write_private;

/// One cluster and one user, with everything inside and nothing in other files.
#[derive(Debug, Clone)]
pub(crate) struct Kubeconfig {
    cluster: Value,
    user: Value,
    namespace: String,
}

impl Kubeconfig {
    /// For somebody with a client certificate.
    pub(crate) fn with_certificate(url: &str, ca: &str, identity: &Identity) -> Self {
        let cluster = json!({ "server": url, "certificate-authority-data": STANDARD.encode(ca) });
        let user = json!({
            "client-certificate-data": STANDARD.encode(&identity.certificate),
            "client-key-data": STANDARD.encode(&identity.key),
        });
        Self { cluster, user, namespace: "default".to_owned() }
    }

    /// For a service account on the same cluster; nothing of the other user stays in it.
    pub(crate) fn with_token(&self, namespace: &str, token: &str) -> Self {
        Self { cluster: self.cluster.clone(), user: json!({ "token": token }), namespace: namespace.to_owned() }
    }

    /// Reads what `kubectl config view --raw --flatten --minify -o json` prints.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let unexpected = |problem: String| Error::Unexpected { what: "the kubeconfig".to_owned(), problem };
        let document: Value = serde_json::from_str(text).map_err(|error| unexpected(error.to_string()))?;
        let part = |pointer: &str| {
            document.pointer(pointer).cloned().ok_or_else(|| unexpected(format!("it has no {pointer}")))
        };
        let namespace = document.pointer("/contexts/0/context/namespace").and_then(Value::as_str);
        let namespace = namespace.unwrap_or("default").to_owned();
        Ok(Self { cluster: part("/clusters/0/cluster")?, user: part("/users/0/user")?, namespace })
    }

    /// Where the API server is.
    pub(crate) fn url(&self) -> &str {
        self.cluster.get("server").and_then(Value::as_str).unwrap_or_default()
    }

    /// The certificates to trust, empty if the kubeconfig names none.
    pub(crate) fn ca(&self) -> String {
        let encoded = self.cluster.get("certificate-authority-data").and_then(Value::as_str).unwrap_or_default();
        String::from_utf8(STANDARD.decode(encoded).unwrap_or_default()).unwrap_or_default()
    }

    /// Writes the file, readable for its owner only.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        write_private(path, &format!("{:#}\n", self.document()))
    }

    fn document(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "control-plane", "cluster": self.cluster }],
            "users": [{ "name": "user", "user": self.user }],
            "contexts": [{
                "name": "control-plane",
                "context": { "cluster": "control-plane", "user": "user", "namespace": self.namespace },
            }],
            "current-context": "control-plane",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn admin() -> Kubeconfig {
        let identity = Identity { certificate: "C".to_owned(), key: "K".to_owned() };
        Kubeconfig::with_certificate("https://127.0.0.1:6443", "CA", &identity)
    }

    #[test]
    fn the_context_joins_the_only_cluster_and_the_only_user() {
        let document = admin().document();
        assert_eq!(document.pointer("/clusters/0/cluster/server").unwrap(), "https://127.0.0.1:6443");
        assert_eq!(document.pointer("/users/0/user/client-key-data").unwrap(), "Sw==");
        assert_eq!(document.pointer("/current-context"), document.pointer("/contexts/0/name"));
    }

    #[test]
    fn a_service_account_gets_its_token_and_no_certificate() {
        let document = admin().with_token("shop", "secret").document();
        assert_eq!(document.pointer("/users/0/user").unwrap(), &json!({ "token": "secret" }));
        assert_eq!(document.pointer("/contexts/0/context/namespace").unwrap(), "shop");
        assert_eq!(document.pointer("/clusters/0/cluster"), admin().document().pointer("/clusters/0/cluster"));
    }

    #[test]
    fn what_is_written_can_be_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        fs::write(&path, "was readable for all").unwrap();
        admin().write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = Kubeconfig::parse(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!((read.url(), read.ca().as_str()), ("https://127.0.0.1:6443", "CA"));
    }

    #[test]
    fn a_kubeconfig_without_a_cluster_is_refused() {
        let error = Kubeconfig::parse(r#"{"clusters": null, "users": []}"#).unwrap_err();
        assert!(error.to_string().contains("/clusters/0/cluster"), "{error}");
    }
}
