//! Which certificate of a server is taken where a user named authorities: one that they signed, and the server's own if
//! it is among them.
//!
//! A self-signed certificate made the usual way (`openssl req -x509`) is that of an authority (`CA:TRUE`). The verifier
//! of rustls refuses it as a server's, while curl and GitLab's runner take it where it was named. So a certificate that
//! fails in nothing but this, and is byte for byte one of those that were named, is taken for the names in it.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::error::Setting;

/// What rustls says of the certificate of an authority as a server's.
pub(super) const AUTHORITY: &str = "CaUsedAsEndEntity";

/// TLS with these authorities alone, and a client certificate with its key, if there is one.
pub(super) fn tls(pem: &[u8], identity: Option<&[u8]>) -> Result<ClientConfig, Setting> {
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()));
    let (named, roots) = authorities(pem)?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
    let verifier = Named { verifier: verifier.map_err(|_| Setting::Ca)?, named };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| Setting::Client)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let (chain, key) = client_certificate(pem)?;
            // Whether the two belong together shows here.
            builder.with_client_auth_cert(chain, key).map_err(|_| Setting::Identity)?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Reads the authorities, each of them tried, so that a bad one is not mistaken for another fault.
fn authorities(pem: &[u8]) -> Result<(Vec<CertificateDer<'static>>, RootCertStore), Setting> {
    let mut roots = RootCertStore::empty();
    let mut named = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| Setting::Ca)?;
        roots.add(certificate.clone()).map_err(|_| Setting::Ca)?;
        named.push(certificate);
    }
    if named.is_empty() { Err(Setting::Ca) } else { Ok((named, roots)) }
}

type ClientCertificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn client_certificate(pem: &[u8]) -> Result<ClientCertificate, Setting> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| Setting::Identity)?;
    match chain {
        Ok(chain) if !chain.is_empty() => Ok((chain, key)),
        _ => Err(Setting::Identity),
    }
}

/// Takes what the verifier of rustls takes, and what it refuses only as that of an authority, where it was named.
#[derive(Debug)]
struct Named {
    verifier: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // Its time is looked at before this.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(other)))
                if other.0.to_string() == AUTHORITY
                    && self.named.iter().any(|named| named.as_ref() == end_entity.as_ref()) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
