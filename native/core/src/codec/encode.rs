//! Bytes to coded chunks.

use std::cell::RefCell;

use super::Geometry;
use super::header::{ChunkHeader, Coded, PLANES, PlaneHeader};
use super::lanes::{Codes, Draft, Machine, Output};
use super::model::{Coding, View};
use super::order::Order;
use super::predict::{Fit, LINEAR, Predictor, Rows, residuals};
use super::table::{BitWriter, Frequencies, TABLES, cluster, first_levels};

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

    /// What all tables take together is to stay in the first cache, or near it.
    pub(super) fn table_bits(self) -> u32 {
        match self {
            Self::Fast => 9,
            Self::Strong => 10,
        }
    }

    pub(super) fn tables(self) -> usize {
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
    coding: Coding,
    words: Vec<u16>,
    extra: Vec<u16>,
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
    encode_on(Machine::here().next()?, raw, geometry, form)
}

/// Like [`encode`], on a machine of the caller's choice: all make the same bytes.
pub fn encode_on(machine: Machine, raw: &[u8], geometry: Geometry, form: Form) -> Option<Vec<u8>> {
    SCRATCH.with_borrow_mut(|scratch| encode_chunk(raw, geometry, (form, machine), scratch))
}

fn encode_chunk(
    raw: &[u8],
    geometry: Geometry,
    how: (Form, Machine),
    scratch: &mut Scratch,
) -> Option<Vec<u8>> {
    let Geometry {
        columns,
        sample_bytes,
        pixel_samples,
    } = geometry;
    let planes = usize::from(pixel_samples);
    if columns == 0 || !(1..=2).contains(&sample_bytes) || !(1..=PLANES).contains(&planes) {
        return None;
    }
    if planes > 1 && apart(raw, geometry) {
        return encode_chunk(
            raw,
            Geometry {
                pixel_samples: 1,
                ..geometry
            },
            how,
            scratch,
        );
    }
    let pixel = usize::from(sample_bytes) * planes;
    let samples = raw.len() / pixel;
    let order = Order::new(usize::from(columns), samples);
    if samples < 2 * usize::from(columns) || i32::try_from(samples + order.period).is_err() {
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
        let room = (&mut scratch.coding, &mut scratch.words, &mut scratch.extra);
        encode_plane(
            samples,
            &order,
            u32::from(sample_bytes) * 8,
            how,
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

pub(super) fn words(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|&word| u16::from_le_bytes(word))
}

/// Whether neighbours differ less when samples are read as signed.
pub(super) fn flips(pixels: &[u8], pixel: usize) -> bool {
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
pub(super) fn sampled<'a>(samples: &'a [u16], order: &'a Order) -> impl Iterator<Item = Rows> + 'a {
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
        let Some(weights) = fit.solve() else { break };
        let linear = Predictor {
            kind: LINEAR,
            weights,
        };
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
    (form, machine): (Form, Machine),
    (plane, plus): (u8, Option<u8>),
    (coding, words, extra): (&mut Coding, &mut Vec<u16>, &mut Vec<u16>),
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
    let view = View {
        predictor,
        bits,
        fill,
        left: form.left(),
    };
    let tally = coding.make(samples, order, view);
    let (map, counts, expected) = cluster(&tally, form.tables());
    if expected > samples.len() as f64 * f64::from(bits) {
        return None;
    }
    let table_bits = form.table_bits();
    let tables: Vec<Frequencies> = counts
        .iter()
        .map(|counts| Frequencies::fit(counts, table_bits))
        .collect();
    words.resize(words.len().max(Output::most(samples.len())), 0);
    extra.clear();
    let mut draft = Draft {
        order,
        coding,
        codes: &Codes::new(&tables, &first_levels(map).ok()?, table_bits),
        output: Output::new(words),
        extra,
    };
    let states = machine.encode(&mut draft);
    let written = draft.output.written();
    let mut bits = BitWriter::default();
    for &coded in draft.extra.iter().rev() {
        bits.put_extra(coded);
    }
    let extra = bits.finish();
    let coded = Coded {
        predictor,
        left: view.left,
        table_bits,
        map,
        tables,
        states,
        words: u32::try_from(written.len()).ok()?,
        extra: u32::try_from(extra.len()).ok()?,
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
    for (to, word) in out[at..]
        .as_chunks_mut()
        .0
        .iter_mut()
        .zip(written.iter().rev())
    {
        *to = word.to_le_bytes();
    }
    out.extend(extra);
    Some(())
}
