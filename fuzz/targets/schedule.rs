//! Fuzzes the readers of schedules.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| registry_cleanup_operator::policy::hostile::schedule(data));
