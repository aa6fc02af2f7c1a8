//! libFuzzer drives `vna_fuzz::lanes`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vna_fuzz::lanes::check(data));
