//! Fuzzes the readers of bodies of GitLab's REST API.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| registry_cleanup_operator::gitlab::hostile::rest(data));
