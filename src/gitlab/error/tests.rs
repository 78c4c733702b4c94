//! What errors say, and that they carry no word of a server.

use super::*;

#[test]
fn the_text_names_the_operation_and_the_status_in_our_words() {
    let error = Error::new(Operation::ListTags, ErrorKind::Server { status: 503 });
    assert_eq!(error.to_string(), "failed to list the tags of a repository: GitLab answered 503");
}

#[test]
fn only_a_throttled_call_has_a_time_to_wait() {
    let retry_after = Some(Duration::from_secs(7));
    let throttled = Error::new(Operation::ReadTag, ErrorKind::RateLimited { retry_after, until: None });
    assert_eq!((throttled.retry_after(), throttled.class()), (retry_after, Class::Throttled));
    assert_eq!(Error::new(Operation::ReadTag, ErrorKind::Timeout).retry_after(), None);
}

#[test]
fn certificates_that_cannot_be_read_count_as_tls_and_a_bad_token_as_credentials() {
    assert_eq!(ErrorKind::Configuration(Setting::Ca).class(), Class::Tls);
    assert_eq!(ErrorKind::Configuration(Setting::Identity).class(), Class::Tls);
    assert_eq!(ErrorKind::Configuration(Setting::Token).class(), Class::Credentials);
    assert_eq!(ErrorKind::Configuration(Setting::Proxy).class(), Class::Other);
    assert_eq!(ErrorKind::Configuration(Setting::LocalAddress).class(), Class::Host);
}
