//! Times the scan of a file beside BLAKE3 alone: `cargo run --release --example scan_speed FILE`.

use std::hint::black_box;
use std::time::Instant;

use vna_core::scan::{Form, Limits, Splitter};

/// The best time of many, in microseconds.
fn best(mut work: impl FnMut()) -> f64 {
    let times = (0..500).map(|_| {
        let begin = Instant::now();
        work();
        begin.elapsed().as_secs_f64() * 1e6
    });
    times.fold(f64::MAX, f64::min)
}

fn main() {
    let path = std::env::args().nth(1).expect("a file to scan");
    let bytes = std::fs::read(path).expect("a readable file");
    let interest: Vec<u64> = (0x0008_0000..0x0008_0060)
        .chain(0x0010_0000..0x0010_0040)
        .collect();
    let hash = best(|| {
        black_box(blake3::hash(&bytes));
    });
    println!("{} bytes, BLAKE3 alone {hash:.0} us", bytes.len());
    for size in [bytes.len(), 131_072, 16_378] {
        let scan = best(|| {
            let mut splitter = Splitter::new(Form::Part10, None, &interest, Limits::default());
            let mut runs = Vec::new();
            for piece in bytes.chunks(size) {
                splitter.feed(piece, &mut runs);
            }
            black_box(splitter.finish());
        });
        println!("scan in pieces of {size}: {scan:.0} us");
    }
}
