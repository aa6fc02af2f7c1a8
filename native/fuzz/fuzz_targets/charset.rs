//! libFuzzer drives `vna_fuzz::charset`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vna_fuzz::charset::check(data));
