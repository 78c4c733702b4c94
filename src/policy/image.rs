//! References to images as Kubernetes takes them: the grammar of the distribution project, with Docker's short forms.
//!
//! The kubelet reads `image` with `github.com/distribution/reference` (`ParseNormalizedNamed`, v0.6), the container
//! runtimes do the same. What is read here is what they read, so that two texts for one image come to the same name.
//! One thing is added: the host is compared as DNS does, without regard to case.

use std::fmt;

use crate::api::limits::MAX_TAG;
use crate::model::Digest;

/// Docker Hub, which every name without a host means.
pub const DOCKER_HUB: &str = "docker.io";

/// Another host of Docker Hub, from its first years.
const OLD_DOCKER_HUB: &str = "index.docker.io";
/// Longest path of a repository, in characters, the host not counted.
const MAX_PATH: usize = 255;
/// Algorithms of digests and how many characters their hexadecimal form has (OCI image specification, go-digest).
pub(super) const ALGORITHMS: [(&str, usize); 4] = [("sha256", 64), ("sha384", 96), ("sha512", 128), ("blake3", 64)];

/// A reference to an image. It has a tag, a digest or both.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ImageRef {
    /// `host[:port]/path`: complete, and the same for every way to write it. `nginx` is `docker.io/library/nginx`. The
    /// host is in lower case, unless it is a single word that only upper case makes a host (`REGISTRY/app`).
    pub name: String,
    /// The tag; `latest` where the text has neither tag nor digest.
    pub tag: Option<String>,
    /// The digest, `sha256:…`.
    pub digest: Option<Digest>,
}

/// What an `imageID` tells of the image behind a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ImageId {
    /// In which repository it is, as a rule with its digest. The repository need not be that of the name: kubelets
    /// report the first name under which a node got to know the digest.
    In(ImageRef),
    /// A digest, `sha256:…`, of the image or of its configuration, and no repository.
    Digest(Digest),
}

/// Why a text is no reference to an image.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, thiserror::Error)]
pub enum RefError {
    /// Nothing at all.
    #[error("there is no image name")]
    Empty,
    /// White space somewhere.
    #[error("an image name has no white space")]
    WhiteSpace,
    /// 64 hexadecimal digits, which Docker takes for an image id.
    #[error("it is an image id, not a name")]
    ImageId,
    /// The part before the first slash.
    #[error("the registry host is not valid")]
    Host,
    /// Upper case in the path.
    #[error("the path has upper-case letters")]
    UpperCase,
    /// Anything else about the path.
    #[error("the path is not valid")]
    Path,
    /// More than 255 characters.
    #[error("the path is longer than 255 characters")]
    TooLong,
    /// The part behind the colon.
    #[error("the tag is not valid")]
    Tag,
    /// The part behind the at sign.
    #[error("the digest is not valid")]
    Digest,
}

impl ImageRef {
    /// Reads the field `image` of a container or of an image volume.
    ///
    /// # Errors
    /// When the kubelet could not read it either, and the container would not start.
    pub fn parse(text: &str) -> Result<Self, RefError> {
        if text.is_empty() {
            return Err(RefError::Empty);
        }
        if text.contains(char::is_whitespace) {
            return Err(RefError::WhiteSpace);
        }
        if is_hex(text, 64) {
            return Err(RefError::ImageId);
        }
        let (host, rest) = split_host(text)?;
        let (rest, digest) = split_at(rest, '@');
        let (path, tag) = split_at(rest, ':');
        let library = host == DOCKER_HUB && !path.contains('/');
        let path = if library { format!("library/{path}") } else { path.to_owned() };
        check_path(&path)?;
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(RefError::Tag);
        }
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(RefError::Digest);
        }
        let tag = if digest.is_none() { tag.or(Some("latest")) } else { tag };
        Ok(Self { name: format!("{host}/{path}"), tag: tag.map(ToOwned::to_owned), digest: digest.map(Digest::new) })
    }

    /// The registry: `host[:port]`.
    #[must_use]
    pub fn host(&self) -> &str {
        self.name.split_once('/').map_or(self.name.as_str(), |(host, _)| host)
    }

    /// The repository's path in its registry.
    #[must_use]
    pub fn path(&self) -> &str {
        self.name.split_once('/').map_or("", |(_, path)| path)
    }
}

impl ImageId {
    /// Reads `imageID` of a container's status, which every runtime writes in its own way: a reference with or without
    /// a scheme (`docker-pullable://`), or a bare digest. `None` is nothing at all: the container has not started.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(text: &str) -> Result<Option<Self>, RefError> {
        let text = text.split_once("://").map_or(text, |(_, rest)| rest);
        if text.is_empty() {
            Ok(None)
        } else if is_hex(text, 64) {
            Ok(Some(Self::Digest(format!("sha256:{text}").into())))
        } else if is_digest(text) {
            Ok(Some(Self::Digest(Digest::new(text))))
        } else {
            ImageRef::parse(text).map(|reference| Some(Self::In(reference)))
        }
    }
}

impl fmt::Display for ImageRef {
    /// In full; reading it again gives the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Whether a text without a registry means Docker Hub: nothing before the first slash looks like a host.
#[must_use]
pub fn means_docker_hub(text: &str) -> bool {
    !text.split_once('/').is_some_and(|(first, _)| looks_like_a_host(first))
}

/// The host in its normal form, and what follows it.
fn split_host(text: &str) -> Result<(String, &str), RefError> {
    let Some((first, rest)) = text.split_once('/').filter(|(first, _)| looks_like_a_host(first)) else {
        return Ok((DOCKER_HUB.to_owned(), text));
    };
    // Names such as my_host.internal are no host by the grammar, but a path, and so the runtimes let them through.
    if !is_host(first) && !is_path(first) {
        return Err(RefError::Host);
    }
    Ok((host_in_names(first), rest))
}

/// A registry's host as it stands in [`ImageRef::name`].
#[must_use]
pub fn host_in_names(host: &str) -> String {
    let lower = host.to_ascii_lowercase();
    match lower.as_str() {
        OLD_DOCKER_HUB => DOCKER_HUB.to_owned(),
        name if looks_like_a_host(name) => lower,
        _ => host.to_ascii_uppercase(),
    }
}

fn looks_like_a_host(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn split_at(text: &str, separator: char) -> (&str, Option<&str>) {
    text.split_once(separator).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn is_host(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, port)| {
            !address.is_empty()
                && address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':')
                && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
        });
    }
    let (name, port) = split_at(text, ':');
    port.is_none_or(is_port) && name.split('.').all(is_label)
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_label(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn check_path(path: &str) -> Result<(), RefError> {
    if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Err(RefError::UpperCase)
    } else if !is_path(path) {
        Err(RefError::Path)
    } else if path.len() > MAX_PATH {
        Err(RefError::TooLong)
    } else {
        Ok(())
    }
}

fn is_path(path: &str) -> bool {
    path.split('/').all(is_path_component)
}

/// Lower-case words with one separator between two of them: a dot, one or two underscores, or any number of dashes.
fn is_path_component(text: &str) -> bool {
    let mut rest = text;
    loop {
        let after_word = rest.trim_start_matches(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        if after_word.len() == rest.len() {
            return false;
        }
        if after_word.is_empty() {
            return true;
        }
        rest = after_word.trim_start_matches(['.', '_', '-']);
        let separator = after_word.strip_suffix(rest).unwrap_or_default();
        let dashes = !separator.is_empty() && separator.bytes().all(|byte| byte == b'-');
        if !dashes && !matches!(separator, "." | "_" | "__") {
            return false;
        }
    }
}

/// Whether a text is a tag by the grammar of the distribution project.
fn is_tag(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_TAG
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// Whether a text is a digest of a registered algorithm, in lower case and of the right length.
fn is_digest(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, encoded)| {
        ALGORITHMS.iter().any(|(name, length)| *name == algorithm && is_hex(encoded, *length))
    })
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const HEX: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    const SHA256: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn parsed(text: &str) -> (String, Option<String>, Option<String>) {
        let reference = ImageRef::parse(text).unwrap();
        (reference.name, reference.tag, reference.digest.map(|digest| digest.to_string()))
    }

    #[rstest]
    #[case("nginx", "docker.io/library/nginx", "latest")]
    #[case("nginx:1.27", "docker.io/library/nginx", "1.27")]
    #[case("library/nginx", "docker.io/library/nginx", "latest")]
    #[case("user/app", "docker.io/user/app", "latest")]
    #[case("user/team/app:v1", "docker.io/user/team/app", "v1")]
    #[case("docker.io/nginx", "docker.io/library/nginx", "latest")]
    #[case("docker.io/user/app", "docker.io/user/app", "latest")]
    #[case("index.docker.io/nginx:1", "docker.io/library/nginx", "1")]
    #[case("Docker.IO/nginx", "docker.io/library/nginx", "latest")]
    #[case("docker.io:443/nginx", "docker.io:443/nginx", "latest")]
    #[case("localhost/app", "localhost/app", "latest")]
    #[case("localhost:5000/app:v1", "localhost:5000/app", "v1")]
    #[case("localhost", "docker.io/library/localhost", "latest")]
    #[case("localhost:5000", "docker.io/library/localhost", "5000")]
    #[case("registry:5000/app", "registry:5000/app", "latest")]
    #[case("registry.example.com/shop/backend/api:v1", "registry.example.com/shop/backend/api", "v1")]
    #[case("registry.example.com:5050/shop/api", "registry.example.com:5050/shop/api", "latest")]
    #[case("Registry.Example.COM:5050/shop/api:V1", "registry.example.com:5050/shop/api", "V1")]
    #[case("10.0.0.1/app", "10.0.0.1/app", "latest")]
    #[case("[2001:DB8::1]/app:v1", "[2001:db8::1]/app", "v1")]
    #[case("[::1]:5000/app", "[::1]:5000/app", "latest")]
    #[case("Registry/app", "REGISTRY/app", "latest")]
    #[case("my_host.internal/app", "my_host.internal/app", "latest")]
    #[case("a.b/c.d_e__f---g", "a.b/c.d_e__f---g", "latest")]
    #[case("a.b/0/1:_", "a.b/0/1", "_")]
    #[case("sha256:abc", "docker.io/library/sha256", "abc")]
    fn a_tag_belongs_to_a_complete_name(#[case] text: &str, #[case] name: &str, #[case] tag: &str) {
        assert_eq!(parsed(text), (name.to_owned(), Some(tag.to_owned()), None));
    }

    #[rstest]
    #[case("nginx@{}", "docker.io/library/nginx", None)]
    #[case("a.b/c@{}", "a.b/c", None)]
    #[case("a.b:5050/c/d:v1@{}", "a.b:5050/c/d", Some("v1"))]
    fn a_digest_implies_no_tag(#[case] text: &str, #[case] name: &str, #[case] tag: Option<&str>) {
        let expected = (name.to_owned(), tag.map(ToOwned::to_owned), Some(SHA256.to_owned()));
        assert_eq!(parsed(&text.replace("{}", SHA256)), expected);
    }

    #[rstest]
    #[case::sha384("sha384", 96)]
    #[case::sha512("sha512", 128)]
    #[case::blake3("blake3", 64)]
    fn a_digest_may_be_of_another_algorithm(#[case] algorithm: &str, #[case] length: usize) {
        let digest = |length| format!("{algorithm}:{}", "a".repeat(length));
        assert_eq!(parsed(&format!("a.b/c@{}", digest(length))).2, Some(digest(length)));
        for wrong in [length - 1, length + 1] {
            assert_eq!(ImageRef::parse(&format!("a.b/c@{}", digest(wrong))), Err(RefError::Digest));
        }
    }

    #[rstest]
    #[case("", RefError::Empty)]
    #[case(" nginx", RefError::WhiteSpace)]
    #[case("nginx\n", RefError::WhiteSpace)]
    #[case("a.b/c d", RefError::WhiteSpace)]
    #[case(HEX, RefError::ImageId)]
    #[case("Nginx", RefError::UpperCase)]
    #[case("a.b/Shop/api", RefError::UpperCase)]
    #[case("user/App:v1", RefError::UpperCase)]
    #[case("/app", RefError::Path)]
    #[case("a.b/", RefError::Path)]
    #[case("a.b//c", RefError::Path)]
    #[case("a.b/c/", RefError::Path)]
    #[case("a.b/.c", RefError::Path)]
    #[case("a.b/c.", RefError::Path)]
    #[case("a.b/c..d", RefError::Path)]
    #[case("a.b/c___d", RefError::Path)]
    #[case("a.b/c._d", RefError::Path)]
    #[case("a.b/c-.d", RefError::Path)]
    #[case("a.b/-c", RefError::Path)]
    #[case("a.b/caf\u{e9}", RefError::Path)]
    #[case("a.b/$IMAGE", RefError::UpperCase)]
    #[case("a.b/{{ image }}", RefError::WhiteSpace)]
    #[case("-a.b/c", RefError::Host)]
    #[case("a-.b/c", RefError::Host)]
    #[case("a..b/c", RefError::Host)]
    #[case("a.b./c", RefError::Host)]
    #[case("a.b:/c", RefError::Host)]
    #[case("a.b:http/c", RefError::Host)]
    #[case("a_b:5000/c", RefError::Host)]
    #[case("https://a.b/c", RefError::Host)]
    #[case("[::1/c", RefError::Host)]
    #[case("[]:1/c", RefError::Host)]
    #[case("[::g]/c", RefError::Host)]
    #[case("[::1]x/c", RefError::Host)]
    #[case("user@a.b/c", RefError::Host)]
    #[case("nginx:", RefError::Tag)]
    #[case("a.b/c:.v", RefError::Tag)]
    #[case("a.b/c:-v", RefError::Tag)]
    #[case("a.b/c:v1:v2", RefError::Tag)]
    #[case("a.b/c:v1/d", RefError::Tag)]
    #[case("a.b/c:v+1", RefError::Tag)]
    #[case("nginx@", RefError::Digest)]
    #[case("a.b/c@sha256:", RefError::Digest)]
    #[case("a.b/c@sha256:abc", RefError::Digest)]
    #[case("a.b/c@:abc", RefError::Digest)]
    #[case("a.b/c@x", RefError::Digest)]
    #[case("a.b/c@md5:d41d8cd98f00b204e9800998ecf8427e", RefError::Digest)]
    #[case("a.b/c@sha256:9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08", RefError::Digest)]
    fn what_the_kubelet_does_not_take_is_refused(#[case] text: &str, #[case] error: RefError) {
        assert_eq!(ImageRef::parse(text), Err(error));
    }

    #[test]
    fn lengths_end_where_the_kubelets_end() {
        assert!(ImageRef::parse(&format!("a.b/{}:{}", "c".repeat(255), "d".repeat(128))).is_ok());
        assert_eq!(ImageRef::parse(&format!("a.b/{}", "c".repeat(256))), Err(RefError::TooLong));
        assert_eq!(ImageRef::parse(&format!("a.b/c:{}", "d".repeat(129))), Err(RefError::Tag));
    }

    #[rstest]
    #[case::containerd("a.b:5050/c/d@{}", "a.b:5050/c/d", None)]
    #[case::docker("docker-pullable://a.b/c@{}", "a.b/c", None)]
    #[case::docker_hub("docker-pullable://nginx@{}", "docker.io/library/nginx", None)]
    #[case::with_a_tag("a.b/c:v1@{}", "a.b/c", Some("v1"))]
    fn an_image_id_names_a_repository_and_a_digest(#[case] id: &str, #[case] name: &str, #[case] tag: Option<&str>) {
        let read = ImageId::parse(&id.replace("{}", SHA256)).unwrap().unwrap();
        let ImageId::In(reference) = read else { panic!("{read:?}") };
        assert_eq!((reference.name.as_str(), reference.tag.as_deref()), (name, tag));
        assert_eq!(reference.digest, Some(SHA256.into()));
    }

    #[rstest]
    #[case::containerd(SHA256)]
    #[case::cri_o(HEX)]
    #[case::docker("docker://sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    fn an_image_id_may_be_a_digest_without_a_repository(#[case] id: &str) {
        assert_eq!(ImageId::parse(id), Ok(Some(ImageId::Digest(SHA256.into()))));
    }

    #[rstest]
    #[case::not_started("")]
    #[case::empty_docker("docker://")]
    fn an_image_id_may_be_nothing_yet(#[case] id: &str) {
        assert_eq!(ImageId::parse(id), Ok(None));
    }

    #[rstest]
    #[case("docker-pullable://a.b/C@sha256:abc", RefError::UpperCase)]
    #[case("a.b/c@sha256:abc", RefError::Digest)]
    fn an_image_id_that_is_neither_is_an_error(#[case] id: &str, #[case] error: RefError) {
        assert_eq!(ImageId::parse(id), Err(error));
    }

    #[rstest]
    #[case("nginx", true)]
    #[case("Shop:v1", true)]
    #[case("shop/App", true)]
    #[case("a.b/C", false)]
    #[case("localhost/C", false)]
    #[case("Registry/C", false)]
    fn docker_hub_is_meant_where_no_host_is_named(#[case] text: &str, #[case] hub: bool) {
        assert_eq!(means_docker_hub(text), hub);
    }

    /// Texts that are references, or nearly.
    fn nearly_a_reference() -> impl Strategy<Value = String> {
        "(([a-zA-Z]{1,4}([._-][a-z]{1,3})?(:[0-9]{1,3})?|\\[[0-9a-fA-F:]{1,4}\\]|docker\\.io|localhost)/)?\
         [a-zA-C0-1]{1,2}((\\.|_{1,3}|-{1,2}|/)[a-c]{1,2}){0,2}(:[a-zA-Z_.-]{1,4})?(@sha256:[0-9a-f]{64})?"
    }

    proptest! {
        #[test]
        fn what_is_read_prints_and_reads_the_same(text in nearly_a_reference()) {
            if let Ok(reference) = ImageRef::parse(&text) {
                prop_assert_eq!(ImageRef::parse(&reference.to_string()), Ok(reference.clone()));
                prop_assert_eq!(format!("{}/{}", reference.host(), reference.path()), reference.name);
                prop_assert!(reference.tag.is_some() || reference.digest.is_some());
            }
        }

        #[test]
        fn no_text_is_too_odd(text in ".{0,40}") {
            if let Ok(reference) = ImageRef::parse(&text) {
                prop_assert_eq!(ImageRef::parse(&reference.to_string()), Ok(reference));
            }
            let _ = ImageId::parse(&text);
        }
    }
}
