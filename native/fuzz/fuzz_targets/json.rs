//! libFuzzer drives `vna_fuzz::json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vna_fuzz::json::check(data));
