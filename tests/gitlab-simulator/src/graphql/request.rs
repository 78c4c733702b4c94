//! The body of a request, parsed once: for its answer, and for the log, which wants to know what it was about.

use graphql_parser::query::{
    self, Definition, Document, FragmentDefinition, OperationDefinition, Selection, SelectionSet,
};
use serde_json::{Map, Value, json};

use super::errors::GraphqlError;

pub(super) type AstValue = query::Value<'static, String>;

/// The prefix of a repository's id.
pub(super) const REPOSITORY_GID: &str = "gid://gitlab/ContainerRepository/";

/// A request and what the log says of it.
#[derive(Debug)]
pub(crate) struct Request {
    /// The document and the position of the operation to run.
    parsed: Result<(Document<'static, String>, usize), GraphqlError>,
    /// Values of variables, as sent.
    pub(super) variables: Map<String, Value>,
    /// Characters of the document.
    pub(super) length: usize,
    /// Fields at its root.
    pub(crate) fields: usize,
    pub(crate) mutation: bool,
    /// The name of the operation.
    pub(crate) name: Option<String>,
    /// The first repository that is named, by its number.
    pub(crate) repository: Option<String>,
    /// The first `fullPath`.
    pub(crate) namespace: Option<String>,
    /// The tags a mutation names.
    pub(crate) tag_names: Vec<String>,
}

/// The operation to run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation<'d> {
    pub(super) name: Option<&'d str>,
    pub(super) mutation: bool,
    pub(super) variables: &'d [query::VariableDefinition<'static, String>],
    pub(super) selection: &'d SelectionSet<'static, String>,
}

impl Operation<'_> {
    pub(super) fn kind(self) -> &'static str {
        if self.mutation { "mutation" } else { "query" }
    }
}

impl Request {
    /// Reads `query`, `variables` and `operationName`; the variables may be JSON text.
    pub(crate) fn read(params: &Map<String, Value>) -> Self {
        let variables = match params.get("variables") {
            Some(Value::Object(variables)) => variables.clone(),
            Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
            _ => Map::new(),
        };
        let text = |name: &str| params.get(name).and_then(Value::as_str).unwrap_or_default();
        let parsed = parse(text("query"), text("operationName"));
        let mut request = Self {
            parsed,
            variables,
            length: text("query").chars().count(),
            fields: 0,
            mutation: false,
            name: None,
            repository: None,
            namespace: None,
            tag_names: Vec::new(),
        };
        request.summarise();
        request
    }

    fn summarise(&mut self) {
        let Ok((operation, _)) = self.operation() else { return };
        let (mutation, name) = (operation.mutation, operation.name.map(str::to_owned));
        let fields = operation.selection.items.len();
        let defaults = operation.variables.iter();
        let mut variables: Map<String, Value> = defaults
            .filter_map(|defined| Some((defined.name.clone(), json_of(defined.default_value.as_ref()?, &Map::new()))))
            .collect();
        variables.extend(self.variables.clone());
        let (mut repository, mut namespace, mut tag_names) = (None, None, Vec::new());
        for selection in &operation.selection.items {
            let Selection::Field(field) = selection else { continue };
            for (name, value) in &field.arguments {
                let value = json_of(value, &variables);
                let id = value.pointer("/id").or((name == "id").then_some(&value)).and_then(Value::as_str);
                let id = id.and_then(|id| id.strip_prefix(REPOSITORY_GID)).map(str::to_owned);
                repository = repository.or(id);
                if name == "fullPath" {
                    namespace = namespace.or(value.as_str().map(str::to_owned));
                }
                let names = value.get("tagNames").and_then(Value::as_array).into_iter().flatten();
                tag_names.extend(names.filter_map(Value::as_str).map(str::to_owned));
            }
        }
        (self.mutation, self.name, self.fields) = (mutation, name, fields);
        (self.repository, self.namespace, self.tag_names) = (repository, namespace, tag_names);
    }

    /// The operation to run and the fragments it may use.
    pub(super) fn operation(&self) -> Result<(Operation<'_>, Vec<&FragmentDefinition<'static, String>>), GraphqlError> {
        let (document, index) = self.parsed.as_ref().map_err(Clone::clone)?;
        let fragments = document.definitions.iter().filter_map(|definition| match definition {
            Definition::Fragment(fragment) => Some(fragment),
            Definition::Operation(_) => None,
        });
        let operation = match document.definitions.get(*index) {
            Some(Definition::Operation(OperationDefinition::SelectionSet(selection))) => {
                Operation { name: None, mutation: false, variables: &[], selection }
            }
            Some(Definition::Operation(OperationDefinition::Query(query))) => Operation {
                name: query.name.as_deref(),
                mutation: false,
                variables: &query.variable_definitions,
                selection: &query.selection_set,
            },
            Some(Definition::Operation(OperationDefinition::Mutation(mutation))) => Operation {
                name: mutation.name.as_deref(),
                mutation: true,
                variables: &mutation.variable_definitions,
                selection: &mutation.selection_set,
            },
            _ => return Err(GraphqlError::new("Schema is not configured for subscriptions")),
        };
        Ok((operation, fragments.collect()))
    }
}

fn parse(text: &str, wanted: &str) -> Result<(Document<'static, String>, usize), GraphqlError> {
    if text.trim().is_empty() {
        return Err(GraphqlError::new("No query string was present"));
    }
    let document = graphql_parser::parse_query::<String>(text);
    let document = document.map_err(|error| GraphqlError::new(error.to_string().trim()))?.into_static();
    let operations: Vec<usize> = document
        .definitions
        .iter()
        .enumerate()
        .filter(|(_, definition)| matches!(definition, Definition::Operation(_)))
        .filter(|(_, definition)| wanted.is_empty() || name_of(definition) == Some(wanted))
        .map(|(index, _)| index)
        .collect();
    match operations.as_slice() {
        [index] => Ok((document, *index)),
        [] if !wanted.is_empty() => Err(GraphqlError::new(format!("No operation named \"{wanted}\""))),
        _ => Err(GraphqlError::new("An operation name is required")),
    }
}

fn name_of<'d>(definition: &'d Definition<'static, String>) -> Option<&'d str> {
    match definition {
        Definition::Operation(OperationDefinition::Query(query)) => query.name.as_deref(),
        Definition::Operation(OperationDefinition::Mutation(mutation)) => mutation.name.as_deref(),
        _ => None,
    }
}

/// A value as JSON, with variables put in.
pub(super) fn json_of(value: &AstValue, variables: &Map<String, Value>) -> Value {
    match value {
        AstValue::Variable(name) => variables.get(name).cloned().unwrap_or_default(),
        AstValue::Int(number) => json!(number.as_i64()),
        AstValue::Float(number) => json!(number),
        AstValue::String(text) | AstValue::Enum(text) => json!(text),
        AstValue::Boolean(flag) => json!(flag),
        AstValue::Null => Value::Null,
        AstValue::List(items) => items.iter().map(|item| json_of(item, variables)).collect(),
        AstValue::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), json_of(value, variables))).collect()
        }
    }
}
