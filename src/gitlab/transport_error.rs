//! What a failed exchange means, read from the HTTP client's error.
//!
//! Pure. The texts of the underlying errors are not used: they can hold URLs, and their wording is not ours.

use std::error::Error as StdError;
use std::io;

use rustls::CertificateError;

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
        rustls::Error::InvalidCertificate(problem) => match problem {
            // A bad signature is what an authority makes that only has the name of a trusted one.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsProblem::UnknownIssuer,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => TlsProblem::OutOfDate,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsProblem::OtherName
            }
            _ => TlsProblem::BadCertificate,
        },
        rustls::Error::AlertReceived(_) => TlsProblem::Alert,
        _ => TlsProblem::Handshake,
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
    #[case(rustls::Error::InvalidCertificate(CertificateError::BadSignature), TlsProblem::UnknownIssuer)]
    #[case(rustls::Error::InvalidCertificate(CertificateError::Expired), TlsProblem::OutOfDate)]
    #[case(rustls::Error::InvalidCertificate(CertificateError::NotValidYet), TlsProblem::OutOfDate)]
    #[case(rustls::Error::InvalidCertificate(CertificateError::NotValidForName), TlsProblem::OtherName)]
    #[case(rustls::Error::InvalidCertificate(CertificateError::Revoked), TlsProblem::BadCertificate)]
    #[case(rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired), TlsProblem::Alert)]
    #[case(rustls::Error::DecryptError, TlsProblem::Handshake)]
    fn tls_errors_are_told_in_our_words(#[case] error: rustls::Error, #[case] problem: TlsProblem) {
        assert_eq!(tls_problem(&error), problem);
    }
}
