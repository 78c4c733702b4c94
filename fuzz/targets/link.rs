//! Fuzzes the readers of headers of paging.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| registry_cleanup_operator::gitlab::hostile::link(data));
