//! Validation: what a query asks for, with fragments and variables put in, or everything that is wrong with it.

use std::collections::BTreeSet;

use graphql_parser::{
    Pos,
    query::{Directive, Field as AstField, FragmentDefinition, Selection, SelectionSet, TypeCondition},
};
use serde_json::{Map, Value, json};

use super::{
    errors::GraphqlError,
    request::{AstValue, Operation, Request, json_of},
    schema::{Field, Output, Schema, is_object},
    values::{bare, fits, is_input, item, literal_fits, members},
};

/// A field to resolve.
#[derive(Debug)]
pub(super) struct Planned {
    /// Its name in the answer.
    pub(super) key: String,
    pub(super) name: String,
    /// The type it is a field of.
    pub(super) parent: &'static str,
    /// `None` is `__typename`.
    pub(super) output: Option<Output>,
    pub(super) arguments: Map<String, Value>,
    pub(super) children: Vec<Planned>,
    pub(super) at: Pos,
}

impl Planned {
    /// An argument with a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.arguments.get(name).and_then(Value::as_str)
    }

    /// An argument with a number.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.arguments.get(name).and_then(Value::as_i64)
    }

    /// The points of this field: one each, and for a connection those of its fields (and one more for itself, and one
    /// for a sort) times a hundredth more for each item of a page.
    pub(super) fn points(&self) -> u64 {
        let below: u64 = self.children.iter().map(Self::points).sum();
        let Some(Output::Connection { most, .. }) = self.output else { return 1 + below };
        let asked = [self.number("first"), self.number("last")].into_iter().flatten();
        let size = asked.filter_map(|size| u64::try_from(size).ok()).chain([most]).min().unwrap_or(most);
        let sorted = u64::from(self.arguments.contains_key("sort"));
        (1 + sorted + below) * (100 + size) / 100
    }
}

/// Validates a request; the plan is of its root fields.
pub(super) fn plan(request: &Request, schema: Schema<'_>) -> Result<Vec<Planned>, Vec<GraphqlError>> {
    let (operation, fragments) = request.operation().map_err(|error| vec![error])?;
    let mut variables: Map<String, Value> = Map::new();
    for defined in operation.variables {
        let default = defined.default_value.as_ref().map(|value| json_of(value, &Map::new()));
        if let Some(value) = request.variables.get(&defined.name).cloned().or(default) {
            variables.insert(defined.name.clone(), value);
        }
    }
    let mut validator = Validator {
        schema,
        operation,
        fragments,
        variables,
        errors: Vec::new(),
        used: BTreeSet::new(),
        open: Vec::new(),
        path: Vec::new(),
    };
    let kind = operation.kind();
    let root = if operation.mutation { "Mutation" } else { "Query" };
    validator.path.push(json!(operation.name.map_or_else(|| kind.to_owned(), |name| format!("{kind} {name}"))));
    let mut planned = Vec::new();
    validator.select(operation.selection, root, &mut planned);
    validator.check_variables();
    if validator.errors.is_empty() { Ok(planned) } else { Err(validator.errors) }
}

struct Validator<'d> {
    schema: Schema<'d>,
    operation: Operation<'d>,
    fragments: Vec<&'d FragmentDefinition<'static, String>>,
    variables: Map<String, Value>,
    errors: Vec<GraphqlError>,
    used: BTreeSet<String>,
    /// Fragments that are being put in.
    open: Vec<&'d str>,
    path: Vec<Value>,
}

impl<'d> Validator<'d> {
    fn refuse(&mut self, at: Pos, message: String, extensions: Value) {
        self.errors.push(GraphqlError::new(message).at(at).path(&self.path).extensions(extensions));
    }

    fn select(&mut self, set: &'d SelectionSet<'static, String>, parent: &'static str, into: &mut Vec<Planned>) {
        for selection in &set.items {
            match selection {
                Selection::Field(field) if self.included(&field.directives) => self.field(field, parent, into),
                Selection::InlineFragment(fragment) if self.included(&fragment.directives) => {
                    let on = fragment.type_condition.as_ref();
                    self.spread(on, &fragment.selection_set, parent, fragment.position, into);
                }
                Selection::FragmentSpread(spread) if self.included(&spread.directives) => {
                    let name = &spread.fragment_name;
                    let found = self.fragments.iter().find(|fragment| fragment.name == *name).copied();
                    let Some(found) = found else {
                        let code = json!({ "code": "useAndDefineFragment", "fragmentName": name });
                        self.refuse(spread.position, format!("Fragment {name} was used, but not defined"), code);
                        continue;
                    };
                    if self.open.contains(&found.name.as_str()) {
                        let code = json!({ "code": "infiniteLoop", "fragmentName": name });
                        self.refuse(spread.position, format!("Fragment {name} contains an infinite loop"), code);
                        continue;
                    }
                    self.open.push(&found.name);
                    let on = Some(&found.type_condition);
                    self.spread(on, &found.selection_set, parent, spread.position, into);
                    self.open.pop();
                }
                _ => {}
            }
        }
    }

    fn spread(
        &mut self,
        on: Option<&TypeCondition<'static, String>>,
        set: &'d SelectionSet<'static, String>,
        parent: &'static str,
        at: Pos,
        into: &mut Vec<Planned>,
    ) {
        match on {
            Some(TypeCondition::On(name)) if !is_object(name) => {
                let code = json!({ "code": "undefinedType", "typeName": name });
                self.refuse(at, format!("No such type {name}, so it can't be a fragment condition"), code);
            }
            Some(TypeCondition::On(name)) if name != parent => {
                let code = json!({ "code": "cannotSpreadFragment", "typeName": name, "parentName": parent });
                self.refuse(at, format!("Fragment on {name} can't be spread inside {parent}"), code);
            }
            _ => self.select(set, parent, into),
        }
    }

    /// `@include` and `@skip`; every other directive is ignored.
    fn included(&mut self, directives: &[Directive<'static, String>]) -> bool {
        let mut included = true;
        for directive in directives {
            let Some((_, value)) = directive.arguments.iter().find(|(name, _)| name == "if") else { continue };
            self.use_variables(value, "Boolean!", "if", directive.position);
            let set = json_of(value, &self.variables) == json!(true);
            match directive.name.as_str() {
                "include" => included &= set,
                "skip" => included &= !set,
                _ => {}
            }
        }
        included
    }

    fn field(&mut self, asked: &'d AstField<'static, String>, parent: &'static str, into: &mut Vec<Planned>) {
        let key = asked.alias.clone().unwrap_or_else(|| asked.name.clone());
        self.path.push(json!(key));
        if let Some(mut planned) = self.planned(asked, parent, key) {
            // What is asked for twice is one field with the fields of both.
            match into.iter().position(|other| other.key == planned.key) {
                Some(twin) => {
                    if let Some(twin) = into.get_mut(twin) {
                        merge(&mut twin.children, &mut planned.children);
                    }
                }
                None => into.push(planned),
            }
        }
        self.path.pop();
    }

    fn planned(&mut self, asked: &'d AstField<'static, String>, parent: &'static str, key: String) -> Option<Planned> {
        let mut planned = Planned {
            key,
            name: asked.name.clone(),
            parent,
            output: None,
            arguments: Map::new(),
            children: Vec::new(),
            at: asked.position,
        };
        if asked.name == "__typename" {
            return Some(planned);
        }
        let Some(field) = self.schema.field(parent, &asked.name) else {
            let code = json!({ "code": "undefinedField", "typeName": parent, "fieldName": asked.name });
            self.refuse(asked.position, format!("Field '{}' doesn't exist on type '{parent}'", asked.name), code);
            return None;
        };
        planned.output = Some(field.output);
        planned.arguments = self.arguments(asked, field);
        let (name, output) = (&asked.name, field.output.type_name());
        match (field.output, asked.selection_set.items.is_empty()) {
            (Output::Leaf(_), false) => {
                let code =
                    json!({ "code": "selectionMismatch", "nodeName": format!("field '{name}'"), "typeName": output });
                let text = format!("Selections can't be made on scalars (field '{name}' returns {output})");
                self.refuse(asked.position, text, code);
            }
            (Output::Object(_) | Output::Connection { .. }, true) => {
                let code =
                    json!({ "code": "selectionMismatch", "nodeName": format!("field '{name}'"), "typeName": output });
                let text = format!(
                    "Field must have selections (field '{name}' returns {output} but has no selections. Did you mean \
                     '{name} {{ ... }}'?)"
                );
                self.refuse(asked.position, text, code);
            }
            (Output::Leaf(_), true) => {}
            _ => {
                let mut children = Vec::new();
                self.select(&asked.selection_set, output, &mut children);
                planned.children = children;
            }
        }
        Some(planned)
    }

    fn arguments(&mut self, asked: &AstField<'static, String>, field: &Field) -> Map<String, Value> {
        let mut arguments = Map::new();
        for (name, value) in &asked.arguments {
            let Some(argument) = self.schema.argument(field, name) else {
                let code = json!({
                    "code": "argumentNotAccepted",
                    "name": field.name,
                    "typeName": "Field",
                    "argumentName": name,
                });
                let text = format!("Field '{}' doesn't accept argument '{name}'", field.name);
                self.refuse(asked.position, text, code);
                continue;
            };
            self.use_variables(value, argument.input, name, asked.position);
            if let Err(problem) = literal_fits(&self.schema, value, argument.input) {
                let own = problem.is_some();
                let text = problem.unwrap_or_else(|| {
                    let expected = argument.input;
                    format!(
                        "Argument '{name}' on Field '{}' has an invalid value ({value}). Expected type '{expected}'.",
                        field.name
                    )
                });
                let type_name = if own { "CoercionError" } else { "Field" };
                let code =
                    json!({ "code": "argumentLiteralsIncompatible", "typeName": type_name, "argumentName": name });
                self.refuse(asked.position, text, code);
            }
            // A variable that was not sent is an argument that was not given.
            let sent = match value {
                AstValue::Variable(variable) => self.variables.contains_key(variable),
                _ => true,
            };
            if sent {
                arguments.insert(name.clone(), json_of(value, &self.variables));
            }
        }
        let missing = field.arguments.iter().filter(|argument| argument.input.ends_with('!'));
        let missing: Vec<&str> = missing
            .map(|argument| argument.name)
            .filter(|name| asked.arguments.iter().all(|(given, _)| given != name))
            .collect();
        if !missing.is_empty() {
            let missing = missing.join(", ");
            let code = json!({
                "code": "missingRequiredArguments",
                "className": "Field",
                "name": field.name,
                "arguments": missing,
            });
            let text = format!("Field '{}' is missing required arguments: {missing}", field.name);
            self.refuse(asked.position, text, code);
        }
        arguments
    }

    /// Checks the declared type of every variable in a value against the type of its place.
    fn use_variables(&mut self, value: &AstValue, input: &str, argument: &str, at: Pos) {
        match value {
            AstValue::Variable(name) => self.use_variable(name, input, argument, at),
            AstValue::List(values) => {
                let item = item(input).unwrap_or(input);
                for value in values {
                    self.use_variables(value, item, argument, at);
                }
            }
            AstValue::Object(given) => {
                for member in members(input).into_iter().flatten() {
                    if let Some(value) = given.get(member.name) {
                        self.use_variables(value, member.input, member.name, at);
                    }
                }
            }
            _ => {}
        }
    }

    fn use_variable(&mut self, name: &str, input: &str, argument: &str, at: Pos) {
        self.used.insert(name.to_owned());
        let Some(defined) = self.operation.variables.iter().find(|defined| defined.name == name) else {
            let code = json!({ "code": "variableNotDefined", "variableName": name });
            self.refuse(at, format!("Variable ${name} is used by {} but not declared", self.label()), code);
            return;
        };
        let declared = defined.var_type.to_string();
        let dimensions = |input: &str| input.replace('!', "");
        let nullable = |input: &str| !input.ends_with('!');
        let problem = if bare(&declared) != bare(input) {
            "Type"
        } else if dimensions(&declared) != dimensions(input) {
            "List dimension"
        } else if (nullable(&declared) && defined.default_value.is_none() && !nullable(input))
            || item(&declared).is_some_and(nullable) && !item(input).is_some_and(nullable)
        {
            "Nullability"
        } else {
            return;
        };
        let code = json!({
            "code": "variableMismatch",
            "variableName": name,
            "typeName": declared,
            "argumentName": argument,
            "errorMessage": format!("{problem} mismatch"),
        });
        let text = format!("{problem} mismatch on variable ${name} and argument {argument} ({declared} / {input})");
        self.refuse(at, text, code);
    }

    fn label(&self) -> String {
        self.operation.name.map_or_else(|| format!("anonymous {}", self.operation.kind()), str::to_owned)
    }

    /// Declared but unused variables, unknown types, and last the values that were sent.
    fn check_variables(&mut self) {
        self.path.truncate(1);
        for defined in self.operation.variables {
            let (name, input) = (&defined.name, defined.var_type.to_string());
            if !is_input(&self.schema, &input) {
                let code =
                    json!({ "code": "variableRequiresValidType", "typeName": bare(&input), "variableName": name });
                let text = format!("{} isn't a defined input type (on ${name})", bare(&input));
                self.refuse(defined.position, text, code);
            } else if !self.used.contains(name) {
                let code = json!({ "code": "variableNotUsed", "variableName": name });
                let text = format!("Variable ${name} is declared by {} but not used", self.label());
                self.refuse(defined.position, text, code);
            }
        }
        if !self.errors.is_empty() {
            return;
        }
        for defined in self.operation.variables {
            let (name, input) = (&defined.name, defined.var_type.to_string());
            let value = self.variables.get(name).unwrap_or(&Value::Null);
            if let Err(explanation) = fits(&self.schema, value, &input) {
                let problem = json!({
                    "value": value,
                    "problems": [{ "path": [], "explanation": explanation }],
                });
                let text = format!("Variable ${name} of type {input} was provided invalid value");
                self.errors.push(GraphqlError::new(text).at(defined.position).extensions(problem));
            }
        }
    }
}

fn merge(into: &mut Vec<Planned>, from: &mut Vec<Planned>) {
    for mut planned in from.drain(..) {
        match into.iter().position(|other| other.key == planned.key).and_then(|twin| into.get_mut(twin)) {
            Some(twin) => merge(&mut twin.children, &mut planned.children),
            None => into.push(planned),
        }
    }
}
