//! Fuzzes the readers of patterns.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| registry_cleanup_operator::policy::hostile::pattern(data));
