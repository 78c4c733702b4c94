//! What a failed exchange means, read from the HTTP client's error.
//!
//! Pure. The texts of the underlying errors are not used: they can hold URLs, and their wording is not ours.

use std::error::Error as StdError;
use std::io;

use rustls::CertificateError;

use super::certificates::AUTHORITY;
use super::error::{ErrorKind, Setting, TlsProblem, Unreached};
use super::resolve::OnlyLocal;
use super::retry::Failure;

/// An exchange that gave no complete answer.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) kind: ErrorKind,
    /// Set when another attempt may go better.
    pub(super) failure: Option<Failure>,
    /// Whether it is certain that the server got nothing of the request.
    pub(super) unsent: bool,
}

impl Fault {
    /// Reads an error of the HTTP client; `proxied` when the connection goes through a proxy.
    pub(super) fn of(error: &reqwest::Error, proxied: bool) -> Self {
        let unsent = error.is_connect() || error.is_builder();
        if let Some(tls) = causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
            return Self { kind: ErrorKind::Tls(tls_problem(tls)), failure: None, unsent };
        }
        if let Some(OnlyLocal { host, address }) = causes(error).find_map(|cause| cause.downcast_ref()) {
            let kind = ErrorKind::LocalAddress { host: host.clone(), address: *address };
            return Self { kind, failure: None, unsent };
        }
        if error.is_builder() {
            return Self { kind: ErrorKind::Configuration(Setting::Client), failure: None, unsent };
        }
        if error.is_connect() {
            let unreached = match (proxied, error.is_dns()) {
                (true, _) => Unreached::Proxy,
                (false, true) => Unreached::Name,
                (false, false) => Unreached::Connect,
            };
            return Self { kind: ErrorKind::Unreachable(unreached), failure: Some(Failure::Unsent), unsent };
        }
        let kind = if error.is_timeout() { ErrorKind::Timeout } else { ErrorKind::Unreachable(Unreached::Broken) };
        Self { kind, failure: Some(Failure::Unanswered), unsent }
    }

    /// A fault that ends the call at once.
    pub(super) const fn last(kind: ErrorKind) -> Self {
        Self { kind, failure: None, unsent: false }
    }
}

/// The chain of errors below `error`.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| {
        // `io::Error::source` skips the error it wraps, and TLS errors travel in exactly that place.
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        }
    })
}

fn tls_problem(error: &rustls::Error) -> TlsProblem {
    match error {
        rustls::Error::InvalidCertificate(problem) => certificate_problem(problem),
        rustls::Error::AlertReceived(_) => TlsProblem::Alert,
        _ => TlsProblem::Handshake,
    }
}

/// Which check of a certificate failed.
#[expect(deprecated, reason = "a verifier may still say so")]
fn certificate_problem(problem: &CertificateError) -> TlsProblem {
    match problem {
        CertificateError::UnknownIssuer => TlsProblem::UnknownIssuer,
        CertificateError::BadSignature => TlsProblem::OtherSignature,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsProblem::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => TlsProblem::NotYetValid,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => TlsProblem::OtherName,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => TlsProblem::Purpose,
        CertificateError::Revoked | CertificateError::UnknownRevocationStatus => TlsProblem::Revoked,
        CertificateError::UnsupportedSignatureAlgorithm
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => TlsProblem::Algorithm,
        CertificateError::BadEncoding | CertificateError::UnhandledCriticalExtension => TlsProblem::Unreadable,
        // The names of the verifier's own errors: it tells them in no other way.
        CertificateError::Other(other) => match other.0.to_string().as_str() {
            AUTHORITY => TlsProblem::Authority,
            "EndEntityUsedAsCa" | "PathLenConstraintViolated" => TlsProblem::NoAuthority,
            "NameConstraintViolation" => TlsProblem::NameConstraint,
            "UnsupportedCertVersion" => TlsProblem::OldVersion,
            "UnsupportedCriticalExtension" => TlsProblem::Unreadable,
            _ => TlsProblem::BadCertificate,
        },
        _ => TlsProblem::BadCertificate,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_tls_error_is_found_inside_io_errors() {
        let inner = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, inner));
        assert!(causes(&wrapped).any(<dyn StdError + 'static>::is::<rustls::Error>));
    }

    #[rstest]
    #[case(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer), TlsProblem::UnknownIssuer)]
    #[case(rustls::Error::InvalidCertificate(CertificateError::BadSignature), TlsProblem::OtherSignature)]
    #[case(rustls::Error::InvalidCertificate(CertificateError::Expired), TlsProblem::Expired)]
    #[case(rustls::Error::InvalidCertificate(CertificateError::NotValidYet), TlsProblem::NotYetValid)]
    #[case(rustls::Error::InvalidCertificate(CertificateError::NotValidForName), TlsProblem::OtherName)]
    #[case(rustls::Error::InvalidCertificate(CertificateError::Revoked), TlsProblem::Revoked)]
    #[case(rustls::Error::InvalidCertificate(CertificateError::InvalidPurpose), TlsProblem::Purpose)]
    #[case(rustls::Error::InvalidCertificate(CertificateError::BadEncoding), TlsProblem::Unreadable)]
    #[case(
        rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure),
        TlsProblem::BadCertificate
    )]
    #[case(rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired), TlsProblem::Alert)]
    #[case(rustls::Error::DecryptError, TlsProblem::Handshake)]
    fn tls_errors_are_told_in_our_words(#[case] error: rustls::Error, #[case] problem: TlsProblem) {
        assert_eq!(tls_problem(&error), problem);
    }
}
