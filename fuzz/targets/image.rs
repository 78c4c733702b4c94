//! Fuzzes the readers of references of images.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| registry_cleanup_operator::policy::hostile::image(data));
