//! Why the API server did not do what it was asked, in words that go into a status: they quote nothing of its answer,
//! which may be that of a proxy, or hold what is in a Secret.

use super::CALL_TIMEOUT;

/// Why there is no answer that can be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ApiError {
    /// It answered with an error: the HTTP status, and the reason that Kubernetes has for it, such as `InternalError`.
    #[error("the API server answered {code} ({reason})")]
    Refused {
        /// The HTTP status.
        code: u16,
        /// One word of Kubernetes', or the client's own where the answer is none of Kubernetes'.
        reason: String,
    },
    /// It does not know who asks.
    #[error("there are no credentials for the API server")]
    Credentials,
    /// Its answer is not what was asked for.
    #[error("the API server's answer is not understood")]
    NotUnderstood,
    /// There is no way to it, or none just now.
    #[error("the API server cannot be reached")]
    Unreached,
    /// It did not answer in time.
    #[error("the API server does not answer within {} seconds", CALL_TIMEOUT.as_secs())]
    Timeout,
}

impl From<&kube::Error> for ApiError {
    fn from(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused { code: status.code, reason: status.reason.clone() },
            kube::Error::Auth(_) => Self::Credentials,
            kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => Self::NotUnderstood,
            _ => Self::Unreached,
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn an_answer_is_told_by_its_status_and_reason_and_never_quoted() {
        let of = |status: Status| ApiError::from(&kube::Error::Api(Box::new(status))).to_string();
        let refused = of(Status::failure("etcdserver: marker", "InternalError").with_code(500));
        assert_eq!(refused, "the API server answered 500 (InternalError)");
        let of_a_proxy = of(Status::failure("<html>marker</html>", "Failed to parse error data").with_code(502));
        assert!(of_a_proxy.contains("502") && !of_a_proxy.contains("marker"), "{of_a_proxy}");
    }

    #[test]
    fn an_answer_that_cannot_be_read_is_not_quoted() {
        let unreadable = serde_json::from_str::<u8>("\"marker\"").unwrap_err();
        let trouble = ApiError::from(&kube::Error::SerdeError(unreadable));
        assert_eq!(trouble, ApiError::NotUnderstood);
        assert!(!trouble.to_string().contains("marker"), "{trouble}");
    }
}
