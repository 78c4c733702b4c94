//! One request, read: its route with decoded path segments, its parameters and its credentials.

use hyper::{HeaderMap, Method, header};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::answer::Answer;
use crate::{Endpoint, graphql};

/// The base of all paths.
const BASE: &str = "/api/v4";

/// The one path of GraphQL.
const GRAPHQL: &str = "/api/graphql";

/// Parameters that carry a token; they never reach the log.
const SECRET_PARAMS: [&str; 3] = ["private_token", "access_token", "job_token"];

/// A request as the endpoints see it.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) get: bool,
    pub(crate) method: String,
    /// Raw path without the query.
    pub(crate) path: String,
    pub(crate) endpoint: Endpoint,
    /// The decoded `:id` of a project or group.
    pub(crate) namespace: String,
    /// The decoded `:repository_id`, or `:id` of E3.
    pub(crate) repository: String,
    pub(crate) tag: String,
    pub(crate) params: Map<String, Value>,
    pub(crate) credentials: Credentials,
    pub(crate) user_agent: Option<String>,
    /// Tags the registry still lists for this request, when a fault says so.
    pub(crate) listed_tags: Option<usize>,
    /// The registry is taken for one without metadata database, when a fault says so.
    pub(crate) probe_fails: bool,
    /// What GraphQL is asked, if it is asked.
    pub(crate) graphql: Option<graphql::Request>,
}

/// What the request brings to identify itself (gitlab-api reference 5).
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) private: Option<String>,
    pub(crate) bearer: Option<String>,
    pub(crate) job: Option<String>,
}

impl Call {
    /// Reads a request. `path` is below the relative URL root. A body that cannot be read is an answer of its own.
    pub(crate) fn read(
        method: &Method,
        path: &str,
        query: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> (Self, Option<Answer>) {
        let mut params = form(query.as_bytes());
        let mut refusal = None;
        match body_params(headers, body) {
            Ok(found) => params.extend(found),
            Err(answer) => refusal = Some(answer),
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let param = |name: &str| params.get(name).and_then(Value::as_str).map(str::to_owned);
        let authorization = text("authorization");
        let bearer = authorization.as_deref().and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned);
        let credentials = Credentials {
            private: text("private-token").or_else(|| param("private_token")),
            bearer: bearer.or_else(|| param("access_token")),
            job: text("job-token").or_else(|| param("job_token")),
        };
        // HEAD is answered like GET, without its body.
        let get = method == Method::GET || method == Method::HEAD;
        let mut call = Self {
            get,
            method: method.as_str().to_owned(),
            path: path.to_owned(),
            endpoint: Endpoint::Other,
            namespace: String::new(),
            repository: String::new(),
            tag: String::new(),
            params,
            credentials,
            user_agent: text(header::USER_AGENT.as_str()),
            listed_tags: None,
            probe_fails: false,
            graphql: None,
        };
        call.route(method);
        (call, refusal)
    }

    fn route(&mut self, method: &Method) {
        if self.path.trim_end_matches('/') == GRAPHQL && method == Method::POST {
            return self.route_graphql();
        }
        let Some(path) = self.path.strip_prefix(BASE) else { return };
        // Split before decoding: `shop%2Fbackend` is one segment.
        let segments: Vec<String> = path.trim_end_matches('/').split('/').skip(1).map(decoded).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let delete = method == Method::DELETE;
        let (get, delete) = (self.get.then_some(()), delete.then_some(()));
        let (endpoint, namespace, repository, tag) = match (segments.as_slice(), get, delete) {
            (["version"], Some(()), _) => (Endpoint::Version, "", "", ""),
            (["personal_access_tokens", "self"], Some(()), _) => (Endpoint::TokenSelf, "", "", ""),
            (["projects", id], Some(()), _) => (Endpoint::GetProject, *id, "", ""),
            (["projects", id, "registry", "protection", "tag", "rules"], Some(()), _) => {
                (Endpoint::ListTagRules, *id, "", "")
            }
            (["groups", id, "registry", "repositories"], Some(()), _) => (Endpoint::ListGroupRepositories, *id, "", ""),
            (["registry", "repositories", id], Some(()), _) if is_digits(id) => (Endpoint::GetRepository, "", *id, ""),
            (["projects", id, "registry", "repositories", rest @ ..], get, delete) => {
                let (endpoint, repository, tag) = match (rest, get, delete) {
                    ([], Some(()), _) => (Endpoint::ListProjectRepositories, "", ""),
                    ([repository], _, Some(())) => (Endpoint::DeleteRepository, *repository, ""),
                    ([repository, "tags"], Some(()), _) => (Endpoint::ListTags, *repository, ""),
                    ([repository, "tags"], _, Some(())) => (Endpoint::BulkDeleteTags, *repository, ""),
                    ([repository, "tags", tag], Some(()), _) => (Endpoint::GetTag, *repository, *tag),
                    ([repository, "tags", tag], _, Some(())) => (Endpoint::DeleteTag, *repository, *tag),
                    _ => return,
                };
                (endpoint, *id, repository, tag)
            }
            _ => return,
        };
        let owned = (namespace.to_owned(), repository.to_owned(), tag.to_owned());
        self.endpoint = endpoint;
        (self.namespace, self.repository, self.tag) = owned;
    }

    fn route_graphql(&mut self) {
        let request = graphql::Request::read(&self.params);
        self.endpoint = if request.mutation { Endpoint::GraphqlMutation } else { Endpoint::GraphqlQuery };
        self.repository = request.repository.clone().unwrap_or_default();
        self.namespace = request.namespace.clone().unwrap_or_default();
        self.graphql = Some(request);
    }

    /// The repository id of the path, if it is a number.
    pub(crate) fn repository_id(&self) -> Option<u64> {
        self.repository.parse().ok()
    }

    /// The parameters without tokens.
    pub(crate) fn public_params(&self) -> Map<String, Value> {
        let keep = |name: &String| !SECRET_PARAMS.contains(&name.as_str());
        self.params.iter().filter(|(name, _)| keep(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Names and values of a query or urlencoded body; a literal `+` is a space (gitlab-api reference 1.1).
fn form(text: &[u8]) -> Map<String, Value> {
    let mut params = Map::new();
    for pair in String::from_utf8_lossy(text).split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decoded(&name.replace('+', " ")), decoded(&value.replace('+', " ")));
        match name.strip_suffix("[]") {
            // Rails collects `name[]=…` in a list.
            Some(name) => match params.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
                Value::Array(list) => list.push(Value::String(value)),
                other => *other = Value::Array(vec![Value::String(value)]),
            },
            None => {
                params.insert(name, Value::String(value));
            }
        }
    }
    params
}

fn body_params(headers: &HeaderMap, body: &[u8]) -> Result<Map<String, Value>, Answer> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        "application/json" => match serde_json::from_slice(body) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => Ok(Map::new()),
            Err(_) => Err(Answer::error(400, "message body does not match declared format")),
        },
        "application/x-www-form-urlencoded" | "" => Ok(form(body)),
        "multipart/form-data" => Ok(multipart(content_type, &String::from_utf8_lossy(body))),
        other => Err(Answer::error(415, &format!("The provided content-type '{other}' is not supported."))),
    }
}

/// The plain fields of a multipart body.
fn multipart(content_type: &str, body: &str) -> Map<String, Value> {
    let Some((_, boundary)) = content_type.split_once("boundary=") else { return Map::new() };
    let boundary = format!("--{}", boundary.split(';').next().unwrap_or_default().trim().trim_matches('"'));
    let mut params = Map::new();
    for part in body.split(boundary.as_str()).skip(1) {
        let Some((head, value)) = part.split_once("\r\n\r\n") else { continue };
        let name = head.split("name=\"").nth(1).and_then(|rest| rest.split('"').next());
        if let Some(name) = name {
            let value = value.strip_suffix("\r\n").unwrap_or(value);
            params.insert(name.to_owned(), Value::String(value.to_owned()));
        }
    }
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &Method, path: &str) -> Call {
        Call::read(method, path, "", &HeaderMap::new(), b"").0
    }

    #[test]
    fn encoded_slashes_stay_in_their_segment() {
        let list = call(&Method::GET, "/api/v4/projects/shop%2Fbackend/registry/repositories/7/tags");
        assert_eq!(
            (list.endpoint, list.namespace.as_str(), list.repository_id()),
            (Endpoint::ListTags, "shop/backend", Some(7))
        );
        assert_eq!(call(&Method::GET, "/api/v4/projects/shop/backend/registry/repositories").endpoint, Endpoint::Other);
    }

    #[test]
    fn methods_choose_between_calls_of_one_path() {
        let path = "/api/v4/projects/1/registry/repositories/7/tags";
        assert_eq!(call(&Method::DELETE, path).endpoint, Endpoint::BulkDeleteTags);
        assert_eq!(call(&Method::HEAD, path).endpoint, Endpoint::ListTags);
        assert_eq!(call(&Method::PUT, path).endpoint, Endpoint::Other);
        let tag = call(&Method::DELETE, "/api/v4/projects/1/registry/repositories/7/tags/v1.2%2B3");
        assert_eq!((tag.endpoint, tag.tag.as_str()), (Endpoint::DeleteTag, "v1.2+3"));
        assert_eq!(call(&Method::GET, "/api/v4/registry/repositories/x").endpoint, Endpoint::Other);
    }

    #[test]
    fn a_plus_in_a_form_is_a_space() {
        assert_eq!(
            form(b"a=x.+&b=x.%2B&c[]=1&c[]=2"),
            *serde_json::json!({"a": "x. ", "b": "x.+", "c": ["1", "2"]}).as_object().unwrap()
        );
    }

    #[test]
    fn multipart_fields_are_read() {
        let body = "--xx\r\nContent-Disposition: form-data; name=\"keep_n\"\r\n\r\n5\r\n--xx--\r\n";
        assert_eq!(multipart("multipart/form-data; boundary=xx", body)["keep_n"], "5");
    }
}
