//! Fuzzes the readers of lists of images that other clusters use.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| registry_cleanup_operator::policy::hostile::list(data));
