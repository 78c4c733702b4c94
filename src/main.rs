//! The binary; `cli` says what it can do.

use std::process::ExitCode;

fn main() -> ExitCode {
    registry_cleanup_operator::cli::main()
}
