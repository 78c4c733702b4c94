//! The binary: see `cli` for what it can do.

fn main() {}
