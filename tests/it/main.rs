//! Integration tests, one binary: the operator with a real API server and a GitLab that behaves like one.

mod docs;
mod hour;
mod layers;
mod runs;
mod world;
