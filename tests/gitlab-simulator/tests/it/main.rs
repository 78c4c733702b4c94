//! The simulator as a client sees it, over HTTP.

// A test may fail by any of these; that is how it says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod shop;

mod admin;
mod binary;
mod bulk_deletion;
mod cases;
mod checks;
mod disturbances;
mod graphql_documents;
mod graphql_errors;
mod graphql_mutations;
mod graphql_pages;
mod graphql_queries;
mod pages;
mod permissions;
mod projects;
mod python;
mod rate_limits;
mod reading;
mod regexes;
mod removing;
mod tls;
mod versions;
