//! libFuzzer drives `vna_fuzz::weave`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vna_fuzz::weave::check(data));
