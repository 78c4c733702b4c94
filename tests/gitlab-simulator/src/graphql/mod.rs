//! GraphQL over the same state, tokens and scopes as REST (gitlab-api reference 8a).
//!
//! A request is parsed ([`request`]), validated against the part of the schema that is served ([`schema`], [`plan`]),
//! weighed, and only then resolved ([`resolve`], [`mutation`]), field after field, until the time of a request is spent
//! ([`time`]). Errors of a query are answers with status 200; a document that is too long is a 422.

mod entities;
mod errors;
mod mutation;
mod pages;
mod plan;
mod request;
mod resolve;
mod schema;
mod time;
mod values;

pub(crate) use request::Request;

use serde_json::{Map, Value, json};

use crate::{
    api::{Answer, Caller},
    state::Registry,
};
use errors::{GraphqlError, shown};
use plan::Planned;
use resolve::Resolver;
use schema::Schema;
use time::Time;

/// Points a query of a signed-in user may have.
const MOST_POINTS: u64 = 250;

/// Points an anonymous query may have.
const MOST_ANONYMOUS_POINTS: u64 = 200;

/// Characters a document may have (`GraphqlController::MAX_QUERY_SIZE`); variables do not count.
const MOST_CHARACTERS: usize = 10_000;

/// A token that is not good: unlike REST, whatever is wrong with it.
pub(crate) fn invalid_token() -> Answer {
    Answer::json(401, &json!({ "errors": [{ "message": "Invalid token" }] }))
}

/// Answers a request whose caller is known.
pub(crate) fn answer(
    registry: &mut Registry,
    request: &Request,
    caller: &Caller,
    listed_tags: Option<usize>,
) -> Answer {
    if request.length > MOST_CHARACTERS {
        return Answer::json(422, &json!({ "errors": [{ "message": "Query too large" }] }));
    }
    let schema = Schema { version: registry.settings.version, hidden: &registry.settings.graphql_hidden_fields };
    let fields = plan::plan(request, schema).and_then(|fields| weighed(fields, caller));
    let fields = match fields {
        Ok(fields) => fields,
        Err(errors) => return Answer::json(200, &json!({ "errors": shown(&errors) })),
    };
    let mut time = Time::default();
    let (data, errors) = if request.mutation {
        mutation::run(registry, caller, &fields, &mut time)
    } else {
        let mut resolver = Resolver {
            registry,
            user: caller.user,
            listed_tags,
            errors: Vec::new(),
            path: Vec::new(),
            failed: false,
            time: &mut time,
        };
        if caller.granular {
            // No type of a query can be granted: what it asks for is null, without an error.
            let nulls = fields.iter().map(|field| (field.key.clone(), Value::Null)).collect();
            return Answer::json(200, &json!({ "data": Value::Object(nulls) }));
        }
        let data = resolver.query(&fields);
        if resolver.failed {
            return Answer::json(500, &json!({ "errors": [{ "message": "Internal server error" }] }));
        }
        (data, resolver.errors)
    };
    registry.pass(time.spent());
    let mut body = Map::from_iter([("data".to_owned(), data)]);
    if !errors.is_empty() {
        body.insert("errors".to_owned(), shown(&errors));
    }
    Answer::json(200, &Value::Object(body))
}

fn weighed(fields: Vec<Planned>, caller: &Caller) -> Result<Vec<Planned>, Vec<GraphqlError>> {
    let most = if caller.user.is_some() { MOST_POINTS } else { MOST_ANONYMOUS_POINTS };
    let points: u64 = fields.iter().map(Planned::points).sum();
    if points <= most {
        return Ok(fields);
    }
    let text = format!("Query has complexity of {points}, which exceeds max complexity of {most}");
    Err(vec![GraphqlError::new(text)])
}
