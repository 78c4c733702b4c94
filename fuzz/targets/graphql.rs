//! Fuzzes the readers of bodies of GitLab's GraphQL API.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| registry_cleanup_operator::gitlab::hostile::graphql(data));
