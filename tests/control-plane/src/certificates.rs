//! The certificates and keys of one control plane. They live as long as its folder.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};

use crate::error::Result;
use crate::files::write_private;

/// The names under which the API server is reached; the last address is that of the service `kubernetes`.
const SERVER_NAMES: [&str; 5] = ["127.0.0.1", "localhost", "kubernetes.default", "kubernetes.default.svc", "10.0.0.1"];

/// A certificate with its key, both as PEM.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// What the programs are told to read, and what the kubeconfigs hold.
#[derive(Debug)]
pub(crate) struct Certificates {
    pub(crate) ca: String,
    pub(crate) admin: Identity,
    pub(crate) controller_manager: Identity,
    folder: PathBuf,
}

impl Certificates {
    /// Makes new ones and writes into `folder` what the programs read.
    pub(crate) fn create(folder: &Path) -> Result<Self> {
        let ca = authority()?;
        let server = serving(&ca)?;
        let service_accounts = KeyPair::generate()?;
        let made = Self {
            ca: pem("CERTIFICATE", ca.der()),
            // The group that RBAC lets do everything, as a cluster's own admin.conf has it.
            admin: client(&ca, "admin", Some("system:masters"))?,
            controller_manager: client(&ca, "system:kube-controller-manager", None)?,
            folder: folder.to_owned(),
        };
        write_private(&made.ca_file(), &made.ca)?;
        write_private(&made.server_file(), &server.certificate)?;
        write_private(&made.server_key_file(), &server.key)?;
        write_private(&made.token_key_file(), &pem("PRIVATE KEY", service_accounts.serialized_der()))?;
        write_private(&made.token_check_file(), &pem("PUBLIC KEY", &service_accounts.subject_public_key_info()))?;
        Ok(made)
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    pub(crate) fn server_file(&self) -> PathBuf {
        self.folder.join("server.crt")
    }

    pub(crate) fn server_key_file(&self) -> PathBuf {
        self.folder.join("server.key")
    }

    /// Signs the tokens of service accounts.
    pub(crate) fn token_key_file(&self) -> PathBuf {
        self.folder.join("service-accounts.key")
    }

    /// Verifies them.
    pub(crate) fn token_check_file(&self) -> PathBuf {
        self.folder.join("service-accounts.pub")
    }
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Result<Authority> {
    let mut params = named("control-plane", None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

fn serving(ca: &Authority) -> Result<Identity> {
    let mut params = CertificateParams::new(SERVER_NAMES.map(str::to_owned))?;
    params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    issue(params, ExtendedKeyUsagePurpose::ServerAuth, ca)
}

fn client(ca: &Authority, user: &str, group: Option<&str>) -> Result<Identity> {
    issue(named(user, group), ExtendedKeyUsagePurpose::ClientAuth, ca)
}

fn named(common_name: &str, organization: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    params
}

fn issue(mut params: CertificateParams, usage: ExtendedKeyUsagePurpose, ca: &Authority) -> Result<Identity> {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, ca)?;
    Ok(Identity { certificate: pem("CERTIFICATE", certificate.der()), key: pem("PRIVATE KEY", key.serialized_der()) })
}

/// The text form of RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    // 48 bytes make one line of 64 characters.
    let lines: Vec<_> = der.chunks(48).map(|line| STANDARD.encode(line)).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn pem_lines_have_64_characters() {
        let text = pem("TEST", &[0; 60]);
        let lines: Vec<_> = text.lines().map(str::len).collect();
        assert_eq!(lines, [20, 64, 16, 18]);
    }

    #[test]
    fn keys_can_be_read_by_their_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let certificates = Certificates::create(folder.path()).unwrap();
        let mode = fs::metadata(certificates.token_key_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
