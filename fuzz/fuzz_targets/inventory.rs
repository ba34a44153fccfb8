#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mini_play::strangers::inventory(data));
