//! Bytes to coded chunks.

use std::cell::RefCell;

use super::Geometry;
use super::header::{ChunkHeader, Coded, PLANES, PlaneHeader};
use super::order::Order;
use super::predict::{Fit, Predictor, Rows, levels, residuals};
use super::rans::{self, Codes, Stream, Symbols};
use super::table::{Counts, Frequencies, LEVELS, SYMBOLS, TABLES, cluster, first_levels, token};

/// How much to give for a small chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Few small tables, chosen by the row above alone: the quickest to decode.
    Fast,
    /// More and finer tables, chosen by the left neighbour too.
    Strong,
}

impl Form {
    fn left(self) -> bool {
        self == Self::Strong
    }

    fn table_bits(self) -> u32 {
        match self {
            Self::Fast => 10,
            Self::Strong => 11,
        }
    }

    fn tables(self) -> usize {
        match self {
            Self::Fast => 8,
            Self::Strong => TABLES,
        }
    }
}

/// What encoding needs beside the chunk, kept by each thread.
#[derive(Default)]
struct Scratch {
    planes: [Vec<u16>; PLANES],
    difference: Vec<u16>,
    coded: Vec<u16>,
    symbols: Vec<u16>,
    words: Vec<u16>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Rows that are looked at before a predictor is chosen.
const SAMPLED_ROWS: usize = 12;
/// Columns of them that are looked at, at least.
const SAMPLED_COLUMNS: usize = 170;

/// Return `raw` coded; None where it is not an image of this geometry, or does not shrink.
pub fn encode(raw: &[u8], geometry: Geometry, form: Form) -> Option<Vec<u8>> {
    SCRATCH.with_borrow_mut(|scratch| encode_chunk(raw, geometry, form, scratch))
}

fn encode_chunk(
    raw: &[u8],
    geometry: Geometry,
    form: Form,
    scratch: &mut Scratch,
) -> Option<Vec<u8>> {
    let Geometry {
        columns,
        sample_bytes,
        pixel_samples,
    } = geometry;
    let planes = usize::from(pixel_samples);
    if !(1..=2).contains(&sample_bytes) || !(1..=PLANES).contains(&planes) {
        return None;
    }
    if planes > 1 && apart(raw, geometry) {
        return encode_chunk(
            raw,
            Geometry {
                pixel_samples: 1,
                ..geometry
            },
            form,
            scratch,
        );
    }
    let pixel = usize::from(sample_bytes) * planes;
    let samples = raw.len() / pixel;
    let order = Order::new(usize::from(columns.max(1)), samples);
    if samples < 2 * usize::from(columns.max(1)) || i32::try_from(samples + order.period).is_err() {
        return None;
    }
    let (pixels, tail) = raw.split_at(samples * pixel);
    let flipped = sample_bytes == 2 && flips(pixels, pixel);
    split(pixels, geometry, flipped, &mut scratch.planes);
    let mut out = Vec::with_capacity(raw.len() / 2);
    ChunkHeader { geometry, flipped }.write(&mut out);
    // Colours differ less from green than from nothing, so green comes first.
    let first = planes / 2;
    for plane in std::iter::once(first).chain((0..planes).filter(|&plane| plane != first)) {
        let plus = plane != first && closer(&order, plane, first, sample_bytes, scratch);
        let scratch = &mut *scratch;
        let samples = if plus {
            &scratch.difference
        } else {
            &scratch.planes[plane]
        };
        let place = (plane as u8, plus.then_some(first as u8));
        let room = (&mut scratch.coded, &mut scratch.symbols, &mut scratch.words);
        encode_plane(
            samples,
            &order,
            u32::from(sample_bytes) * 8,
            form,
            place,
            room,
            &mut out,
        )?;
        if out.len() >= raw.len() {
            return None;
        }
    }
    out.extend(tail);
    Some(out)
}

/// Part pixels into planes of samples.
fn split(pixels: &[u8], geometry: Geometry, flipped: bool, planes: &mut [Vec<u16>; PLANES]) {
    let count = usize::from(geometry.pixel_samples);
    let flip = u16::from(flipped) << 15;
    for (index, plane) in planes[..count].iter_mut().enumerate() {
        plane.clear();
        match (geometry.sample_bytes, count) {
            (2, 1) => plane.extend(words(pixels).map(|sample| sample ^ flip)),
            (2, _) => plane.extend(words(pixels).skip(index).step_by(count).map(|s| s ^ flip)),
            (_, 1) => plane.extend(pixels.iter().map(|&sample| u16::from(sample))),
            (_, 3) => plane.extend(
                pixels
                    .as_chunks::<3>()
                    .0
                    .iter()
                    .map(|p| u16::from(p[index % 3])),
            ),
            _ => plane.extend(
                pixels
                    .iter()
                    .skip(index)
                    .step_by(count)
                    .map(|&s| u16::from(s)),
            ),
        }
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|&word| u16::from_le_bytes(word))
}

/// Whether neighbours differ less when samples are read as signed.
fn flips(pixels: &[u8], pixel: usize) -> bool {
    let step = (pixels.len() / pixel / 4096).max(1) * pixel;
    let (mut unsigned, mut signed) = (0_u64, 0_u64);
    for at in (pixel..pixels.len() - 1).step_by(step) {
        let a = u16::from_le_bytes([pixels[at - pixel], pixels[at - pixel + 1]]);
        let b = u16::from_le_bytes([pixels[at], pixels[at + 1]]);
        unsigned += u64::from(a.abs_diff(b));
        signed += u64::from((a ^ 0x8000).abs_diff(b ^ 0x8000));
    }
    signed < unsigned
}

/// Whether bytes next to each other are more alike than those of neighbouring pixels: then samples of
/// a pixel do not lie side by side, but planes apart (Planar Configuration 1).
fn apart(raw: &[u8], geometry: Geometry) -> bool {
    let bytes = usize::from(geometry.sample_bytes);
    let pixel = bytes * usize::from(geometry.pixel_samples);
    let top = |at: usize| raw[at * bytes + bytes - 1];
    let samples = raw.len() / bytes;
    let step = (samples / 4096).max(1);
    let differences = |by: usize| -> u64 {
        (by..samples)
            .step_by(step)
            .map(|at| u64::from(top(at).abs_diff(top(at - by))))
            .sum()
    };
    differences(1) < differences(pixel / bytes)
}

/// Whether a plane is better coded as its difference from `first`, which is then in `difference`.
fn closer(order: &Order, plane: usize, first: usize, bytes: u8, scratch: &mut Scratch) -> bool {
    let Scratch {
        planes, difference, ..
    } = scratch;
    let mask = if bytes == 2 { 0xffff } else { 0xff };
    difference.clear();
    difference.extend(
        planes[plane]
            .iter()
            .zip(&planes[first])
            .map(|(a, b)| a.wrapping_sub(*b) & mask),
    );
    let cost = |samples: &[u16]| {
        sampled(samples, order).fold(0, |sum, rows| {
            sum + misses(&Predictor::MEDIAN, &rows, u32::from(bytes) * 8, 1)
        })
    };
    cost(difference) < cost(&planes[plane])
}

/// Some rows of a plane, with the two above each.
fn sampled<'a>(samples: &'a [u16], order: &'a Order) -> impl Iterator<Item = Rows> + 'a {
    let rows = samples.len() / order.columns;
    let step = (rows / SAMPLED_ROWS).max(1);
    (step / 2..rows).step_by(step).map(move |row| {
        let mut kept = Rows::new(
            order.columns,
            samples[row.saturating_sub(2) * order.columns],
        );
        for row in row.saturating_sub(2)..=row {
            kept.push(&samples[row * order.columns..][..order.columns]);
        }
        kept
    })
}

/// About how many bits residuals take, in 2^-23 bits.
fn misses(predictor: &Predictor, rows: &Rows, bits: u32, step: usize) -> u64 {
    let row = rows.row();
    let mut predicted = vec![0; row.len()];
    let mut coded = vec![0; row.len()];
    predictor.predict(rows, &mut predicted);
    residuals(row, &predicted, bits, &mut coded);
    let one = u64::from(1_f32.to_bits());
    let float = |coded: u16| u64::from((f32::from(coded) + 1.0).to_bits()) - one;
    coded.iter().step_by(step).map(|&coded| float(coded)).sum()
}

/// Choose how the samples of a plane are predicted.
#[inline(never)]
fn choose(samples: &[u16], order: &Order, bits: u32) -> Predictor {
    let step = (order.columns / SAMPLED_COLUMNS).max(1);
    let rows: Vec<Rows> = sampled(samples, order).collect();
    let cost = |predictor: &Predictor| -> u64 {
        rows.iter()
            .map(|rows| misses(predictor, rows, bits, step))
            .sum()
    };
    let mut best = (cost(&Predictor::MEDIAN), Predictor::MEDIAN);
    let mut predicted = vec![0; order.columns];
    for _ in 0..2 {
        let mut fit = Fit::new();
        for rows in &rows {
            best.1.predict(rows, &mut predicted);
            fit.add(rows, step, &predicted);
        }
        let Some(linear) = fit.solve() else { break };
        let cost = cost(&linear);
        if cost >= best.0 {
            break;
        }
        best = (cost, linear);
    }
    best.1
}

/// Append a plane; None if it is not worth it.
fn encode_plane(
    samples: &[u16],
    order: &Order,
    bits: u32,
    form: Form,
    (plane, plus): (u8, Option<u8>),
    (coded, symbols, words): (&mut Vec<u16>, &mut Vec<u16>, &mut Vec<u16>),
    out: &mut Vec<u8>,
) -> Option<()> {
    let fill = samples[0];
    if samples.iter().all(|&sample| sample == fill) {
        PlaneHeader {
            plane,
            plus,
            fill,
            coded: None,
        }
        .write(out);
        return Some(());
    }
    let predictor = choose(samples, order, bits);
    let counts = model(
        samples,
        order,
        bits,
        fill,
        &predictor,
        form.left(),
        coded,
        symbols,
    );
    let (map, counts, expected) = cluster(&counts, form.tables());
    if expected > samples.len() as f64 * f64::from(bits) {
        return None;
    }
    let table_bits = form.table_bits();
    let tables: Vec<Frequencies> = counts
        .iter()
        .map(|counts| Frequencies::fit(counts, table_bits))
        .collect();
    words.resize(words.len().max(2 * samples.len() + 1), 0);
    let mut stream = Stream::new(words);
    let codes = Codes::new(&tables, table_bits);
    let input = Symbols { symbols, coded };
    let states = rans::encode(order, &input, &codes, &first_levels(map).ok()?, &mut stream);
    let written = stream.written();
    let words = u32::try_from(written.len()).ok()?;
    let left = form.left();
    let coded = Coded {
        predictor,
        left,
        table_bits,
        map,
        tables,
        states,
        words,
    };
    PlaneHeader {
        plane,
        plus,
        fill,
        coded: Some(coded),
    }
    .write(out);
    let at = out.len();
    out.resize(at + 2 * written.len(), 0);
    for (to, word) in out[at..].as_chunks_mut().0.iter_mut().zip(written) {
        *to = word.to_le_bytes();
    }
    Some(())
}

/// Write the coded residual and the symbol, with its level above it, of each sample; count them.
#[allow(clippy::too_many_arguments)]
#[inline(never)]
fn model(
    samples: &[u16],
    order: &Order,
    bits: u32,
    fill: u16,
    predictor: &Predictor,
    left: bool,
    coded: &mut Vec<u16>,
    symbols: &mut Vec<u16>,
) -> Box<[Counts; LEVELS]> {
    coded.resize(coded.len().max(samples.len()), 0);
    symbols.resize(symbols.len().max(samples.len()), 0);
    let mut counts = Box::new([[0; SYMBOLS]; LEVELS]);
    let mut pass = RowPass {
        rows: Rows::new(order.columns, fill),
        predicted: vec![0; order.columns],
        coded: vec![0; order.columns + 2],
        above: vec![0; order.columns + 2],
        levels: vec![0; order.columns],
    };
    let each = samples.chunks(order.columns);
    let to = coded
        .chunks_mut(order.columns)
        .zip(symbols.chunks_mut(order.columns));
    for (row, (coded, symbols)) in each.zip(to) {
        pass.run(row, predictor, bits, left);
        coded[..row.len()].copy_from_slice(&pass.coded[1..=row.len()]);
        for ((symbol, &coded), &level) in symbols[..row.len()]
            .iter_mut()
            .zip(&*coded)
            .zip(&pass.levels)
        {
            let (token, ..) = token(coded);
            *symbol = u16::from(level) << 8 | u16::from(token);
            counts[usize::from(level) % LEVELS][usize::from(token)] += 1;
        }
    }
    counts
}

/// One row after another; coded residuals of column `c` at `c + 1`.
struct RowPass {
    rows: Rows,
    predicted: Vec<i32>,
    coded: Vec<u16>,
    above: Vec<u16>,
    levels: Vec<u8>,
}

impl RowPass {
    fn run(&mut self, row: &[u16], predictor: &Predictor, bits: u32, left: bool) {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the instructions are there.
            #[allow(unsafe_code)]
            return unsafe { self.run_avx2(row, predictor, bits, left) };
        }
        self.run_any(row, predictor, bits, left);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn run_avx2(&mut self, row: &[u16], predictor: &Predictor, bits: u32, left: bool) {
        self.run_any(row, predictor, bits, left);
    }

    #[inline(always)]
    fn run_any(&mut self, row: &[u16], predictor: &Predictor, bits: u32, left: bool) {
        let columns = self.predicted.len();
        self.rows.push(row);
        std::mem::swap(&mut self.coded, &mut self.above);
        self.above[0] = self.above[1];
        self.above[columns + 1] = self.above[columns];
        predictor.predict(&self.rows, &mut self.predicted);
        residuals(
            self.rows.row(),
            &self.predicted,
            bits,
            &mut self.coded[1..=columns],
        );
        self.coded[0] = self.above[1];
        levels(&self.above, &self.coded, left, &mut self.levels);
    }
}
