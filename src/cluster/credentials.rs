//! Reads what a policy's Secrets hold. They are read at every use and never kept or watched: a rotated token works at
//! once, and the operator needs no permission to list Secrets.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use secrecy::{SecretSlice, SecretString};
use url::Url;

use crate::api::{GitLabSpec, Reason};
use crate::proxy::Proxy;

use super::{ApiError, CALL_TIMEOUT};

/// Key of the token when the policy names none.
const DEFAULT_KEY: &str = "token";

/// What a policy needs to get to its GitLab instance.
#[derive(Debug)]
pub struct Credentials {
    /// The access token.
    pub token: SecretString,
    /// PEM certificates of the authorities to trust instead of the usual ones.
    pub ca_pem: Option<Vec<u8>>,
    /// A client certificate and its key, PEM.
    pub identity_pem: Option<SecretSlice<u8>>,
    /// The proxy to use.
    pub proxy: Option<Proxy>,
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such Secret.
    #[error("Secret {0} does not exist")]
    NotFound(String),
    /// The operator may not read it.
    #[error("reading Secret {0} is not allowed")]
    Forbidden(String),
    /// It lacks a key, or holds something that cannot be used.
    #[error("Secret {name} {problem}")]
    Invalid {
        /// The Secret.
        name: String,
        /// What is wrong with it, without its contents.
        problem: String,
    },
    /// It belongs to another GitLab instance.
    #[error("the key url of Secret {0} is not the policy's gitlab.url, so the token is not sent")]
    UrlMismatch(String),
    /// The API server did not answer as it should; worth another try.
    #[error("failed to read Secret {name}")]
    Cluster {
        /// The Secret.
        name: String,
        /// What went wrong.
        source: ApiError,
    },
}

impl Error {
    /// The reason of the condition `CredentialsValid`, or `None` where nothing is known about the Secret.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::NotFound(_) => Some(Reason::SecretNotFound),
            Self::Forbidden(_) => Some(Reason::SecretForbidden),
            Self::Invalid { .. } => Some(Reason::SecretInvalid),
            Self::UrlMismatch(_) => Some(Reason::SecretURLMismatch),
            Self::Cluster { .. } => None,
        }
    }
}

/// Reads the Secrets that a policy names, all in the policy's own namespace. `base_url` is the policy's address.
///
/// # Errors
/// When a Secret is missing or not usable, or the API server does not answer.
pub async fn read(client: &Client, namespace: &str, spec: &GitLabSpec, base_url: &Url) -> Result<Credentials, Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let main = get(&secrets, &spec.secret_ref.name).await?;
    if let Some(pinned) = main.text("url")? {
        let same = Url::parse(pinned).is_ok_and(|pinned| same_address(&pinned, base_url));
        if !same {
            return Err(Error::UrlMismatch(main.name));
        }
    }
    let key = spec.secret_ref.key.as_deref().unwrap_or(DEFAULT_KEY);
    let token =
        main.text(key)?.filter(|token| !token.is_empty()).ok_or_else(|| main.invalid(format!("has no {key}")))?;

    let (ca_pem, identity_pem) = match &spec.cert_secret_ref {
        Some(reference) => certificates(&get(&secrets, &reference.name).await?)?,
        None => (None, None),
    };
    let proxy = match &spec.proxy_secret_ref {
        Some(reference) => Some(proxy(&get(&secrets, &reference.name).await?)?),
        None => None,
    };
    Ok(Credentials { token: SecretString::from(token), ca_pem, identity_pem, proxy })
}

type Certificates = (Option<Vec<u8>>, Option<SecretSlice<u8>>);

fn certificates(secret: &Contents) -> Result<Certificates, Error> {
    let ca = secret.bytes("ca.crt").map(<[u8]>::to_vec);
    let identity = match (secret.bytes("tls.crt"), secret.bytes("tls.key")) {
        (Some(certificate), Some(key)) => Some([certificate, b"\n", key].concat().into()),
        (None, None) => None,
        _ => return Err(secret.invalid("has only one of tls.crt and tls.key".to_owned())),
    };
    if ca.is_none() && identity.is_none() {
        return Err(secret.invalid("has neither ca.crt nor tls.crt".to_owned()));
    }
    Ok((ca, identity))
}

fn proxy(secret: &Contents) -> Result<Proxy, Error> {
    let address = secret.text("address")?.ok_or_else(|| secret.invalid("has no address".to_owned()))?;
    // The address may hold a password, so it is not quoted.
    let address = Url::parse(address)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| secret.invalid("has an address that is no http:// or https:// URL".to_owned()))?;
    let username = secret.text("username")?.map(str::to_owned);
    let password = secret.text("password")?.map(SecretString::from);
    Ok(Proxy { address, username, password })
}

/// Whether two addresses are the same but for a trailing slash.
fn same_address(a: &Url, b: &Url) -> bool {
    a.as_str().trim_end_matches('/') == b.as_str().trim_end_matches('/')
}

/// A Secret's data with its name, for messages.
struct Contents {
    name: String,
    secret: Secret,
}

impl Contents {
    fn bytes(&self, key: &str) -> Option<&[u8]> {
        self.secret.data.as_ref()?.get(key).map(|value| value.0.as_slice())
    }

    /// A value as text, without the white space around it: a token read from a file ends in a line break.
    fn text(&self, key: &str) -> Result<Option<&str>, Error> {
        self.bytes(key)
            .map(|bytes| {
                std::str::from_utf8(bytes)
                    .map(str::trim)
                    .map_err(|_| self.invalid(format!("has a {key} that is no text")))
            })
            .transpose()
    }

    fn invalid(&self, problem: String) -> Error {
        Error::Invalid { name: self.name.clone(), problem }
    }
}

async fn get(secrets: &Api<Secret>, name: &str) -> Result<Contents, Error> {
    let failed = |source| Error::Cluster { name: name.to_owned(), source };
    match tokio::time::timeout(CALL_TIMEOUT, secrets.get(name)).await.map_err(|_| failed(ApiError::Timeout))? {
        Ok(secret) => Ok(Contents { name: name.to_owned(), secret }),
        Err(kube::Error::Api(status)) if status.code == 404 => Err(Error::NotFound(name.to_owned())),
        Err(kube::Error::Api(status)) if status.code == 403 => Err(Error::Forbidden(name.to_owned())),
        Err(error) => Err(failed(ApiError::from(&error))),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use secrecy::ExposeSecret;

    use super::*;

    fn contents(data: &[(&str, &str)]) -> Contents {
        let data = data.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())));
        Contents { name: "s".to_owned(), secret: Secret { data: Some(data.collect()), ..Secret::default() } }
    }

    #[test]
    fn text_comes_without_the_line_break_of_the_file_it_was_made_from() {
        assert_eq!(contents(&[("token", "glpat-1\n")]).text("token").unwrap(), Some("glpat-1"));
    }

    #[test]
    fn a_client_certificate_needs_its_key() {
        assert!(certificates(&contents(&[("tls.crt", "c")])).is_err());
        let (ca, identity) = certificates(&contents(&[("tls.crt", "c"), ("tls.key", "k"), ("ca.crt", "a")])).unwrap();
        assert_eq!(ca.as_deref(), Some(b"a".as_slice()));
        assert_eq!(identity.unwrap().expose_secret(), b"c\nk");
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_refused_without_quoting_its_password() {
        let error = proxy(&contents(&[("address", "ftp://user:marker@proxy")])).unwrap_err();
        assert!(!error.to_string().contains("marker"), "{error}");
        assert!(proxy(&contents(&[("address", "http://proxy:3128"), ("username", "u")])).is_ok());
    }

    #[test]
    fn an_address_is_the_same_with_and_without_a_trailing_slash() {
        let url = |text: &str| Url::parse(text).unwrap();
        assert!(same_address(&url("https://Git.test/sub/"), &url("https://git.test/sub")));
        assert!(!same_address(&url("https://git.test"), &url("https://git.test:8443")));
    }
}
