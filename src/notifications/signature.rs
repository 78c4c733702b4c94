//! The keys that a receiver knows, and the signature of a message by them.

use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What a key begins with.
const PREFIX: &str = "whsec_";
/// How long a key is, in bytes, by the specification: 192 to 512 bits.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// The keys of a receiver: one, or, while it is being replaced, the old and the new one.
pub(super) struct Keys(Vec<Key>);

/// Why a text holds no keys. Says nothing of the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyProblem {
    /// There is nothing in it.
    #[error("there is no key in it")]
    Missing,
    /// A line is no key.
    #[error("a key is whsec_ and base64")]
    Malformed,
    /// A key is too short or too long.
    #[error("a key has 24 to 64 bytes")]
    Length,
}

impl Keys {
    /// Reads keys, one a line.
    ///
    /// # Errors
    /// When one of them is none, or there is none.
    pub(super) fn parse(text: &str) -> Result<Self, KeyProblem> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let keys: Vec<Key> = lines.map(key).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(KeyProblem::Missing) } else { Ok(Self(keys)) }
    }

    /// The value of `webhook-signature`: a signature by each key, so that a receiver who knows one of them can verify
    /// it.
    pub(super) fn sign(&self, content: &[u8]) -> String {
        let sign = |key: &Key| format!("v1,{}", STANDARD.encode(hmac::sign(key, content)));
        self.0.iter().map(sign).collect::<Vec<_>>().join(" ")
    }
}

fn key(line: &str) -> Result<Key, KeyProblem> {
    let encoded = line.strip_prefix(PREFIX).ok_or(KeyProblem::Malformed)?;
    let bytes = STANDARD.decode(encoded).map_err(|_| KeyProblem::Malformed)?;
    if LENGTHS.contains(&bytes.len()) { Ok(Key::new(HMAC_SHA256, &bytes)) } else { Err(KeyProblem::Length) }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::policy::notifications::tries::signed_content;

    /// The key of the test vector in the
    /// [libraries](https://github.com/standard-webhooks/standard-webhooks/blob/main/libraries/python/tests/test_webhooks.py)
    /// of the specification.
    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn a_message_is_signed_as_the_vector_of_the_specification_is() {
        let content = signed_content("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(Keys::parse(KEY).unwrap().sign(&content), signature);
        let other = format!("{PREFIX}{}", STANDARD.encode([7_u8; 32]));
        let both = Keys::parse(&format!("{other}\n{KEY}\n")).unwrap().sign(&content);
        assert!(both.starts_with("v1,") && both.ends_with(&format!(" {signature}")), "{both}");
    }

    #[rstest]
    #[case::nothing("", KeyProblem::Missing)]
    #[case::blank_lines(" \n\n", KeyProblem::Missing)]
    #[case::without_prefix("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", KeyProblem::Malformed)]
    #[case::no_base64("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa?!", KeyProblem::Malformed)]
    #[case::too_short("whsec_c2hvcnQ=", KeyProblem::Length)]
    #[case::a_second_that_is_none("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\nsecret", KeyProblem::Malformed)]
    fn what_is_no_key_is_refused_without_being_shown(#[case] text: &str, #[case] expected: KeyProblem) {
        let problem = Keys::parse(text).err().unwrap();
        assert_eq!(problem, expected);
        let last = text.trim().lines().next_back().unwrap_or_default();
        assert!(last.is_empty() || !problem.to_string().contains(last), "{problem}");
    }
}
