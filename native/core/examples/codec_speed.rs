//! Times the codec `lanes` on images, by form, and `weave`: `cargo run --release --example codec_speed FILE...`.
//!
//! A file is a row of images: columns, bytes of a sample, samples of a pixel and bytes as 4 bytes each,
//! then the pixels.

use std::hint::black_box;
use std::time::Instant;

use vna_core::codec::{Form, Geometry, decode, encode, weave};

/// The best time of several, in seconds: of each item by itself, so that few are interrupted.
fn best<T>(items: impl IntoIterator<Item = T>, work: impl Fn(&mut T)) -> f64 {
    let time = |mut item: T| {
        let times = (0..40).map(|_| {
            let begin = Instant::now();
            work(&mut item);
            begin.elapsed().as_secs_f64()
        });
        times.fold(f64::MAX, f64::min)
    };
    items.into_iter().map(time).sum()
}

fn images(path: &str) -> Vec<(Geometry, Vec<u8>)> {
    let bytes = std::fs::read(path).expect("a readable file");
    let mut rest = bytes.as_slice();
    let mut images = Vec::new();
    while let Some((head, pixels)) = rest.split_at_checked(16) {
        let number = |at: usize| u32::from_le_bytes(head[4 * at..][..4].try_into().expect("4"));
        let (raw, next) = pixels.split_at(number(3) as usize);
        let geometry = Geometry {
            columns: number(0) as u16,
            sample_bytes: number(1) as u8,
            pixel_samples: number(2) as u8,
        };
        images.push((geometry, raw.to_vec()));
        rest = next;
    }
    images
}

fn main() {
    for path in std::env::args().skip(1) {
        let images = images(&path);
        let raw: usize = images.iter().map(|(_, raw)| raw.len()).sum();
        let samples: usize = images
            .iter()
            .map(|(geometry, raw)| raw.len() / usize::from(geometry.sample_bytes))
            .sum();
        for form in [Some(Form::Fast), Some(Form::Strong), None] {
            let code = |(geometry, raw): &(Geometry, Vec<u8>)| {
                let stored = match form {
                    Some(form) => encode(raw, *geometry, form),
                    None => weave::encode(raw, geometry.columns),
                };
                stored.unwrap_or_default()
            };
            let stored: Vec<Vec<u8>> = images.iter().map(code).collect();
            let size: usize = stored.iter().map(Vec::len).sum();
            let out = best(&images, |image| {
                black_box(code(image));
            });
            let rooms = images.iter().map(|(_, raw)| vec![0; raw.len()]);
            let back = best(stored.iter().zip(rooms), |(stored, raw)| {
                let back = match form {
                    Some(_) => decode(stored, raw),
                    None => weave::decode(stored, raw),
                };
                black_box(back).expect("what was coded");
            });
            println!(
                "{path} {}: ratio {:.3}, encode {:.0} MB/s, {:.2} ns a sample, decode {:.0} MB/s, {:.2} ns a sample",
                form.map_or("weave".into(), |form| format!("lanes {form:?}")),
                raw as f64 / size as f64,
                raw as f64 / out / 1e6,
                out * 1e9 / samples as f64,
                raw as f64 / back / 1e6,
                back * 1e9 / samples as f64,
            );
        }
    }
}
