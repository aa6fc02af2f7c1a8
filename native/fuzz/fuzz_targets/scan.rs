//! libFuzzer drives `vna_fuzz::scan`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vna_fuzz::scan::check(data));
