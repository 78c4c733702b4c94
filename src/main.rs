//! The binary.
fn main() {
    print!("{}", registry_cleanup_operator::api::crd::yaml().unwrap());
}
