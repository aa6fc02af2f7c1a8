//! Bytes to coded chunks.

use std::cell::RefCell;

use super::super::encode::{flips, sampled, words};
use super::super::lanes::{LANES, Machine, Output, WovenDraft};
use super::super::order::Order;
use super::super::predict::{Fit, Rows, WEIGHT_BITS, Weights};
use super::SAMPLE;
use super::header::Header;
use super::model::Coding;
use super::table;

/// Samples that are added to rows, beyond four times those of the chunk: as many as 65,535 rows of any
/// width take, the most that an image has.
const MOST_PADDING: usize = 1 << 24;

/// What encoding needs beside the chunk, kept by each thread.
#[derive(Default)]
struct Scratch {
    samples: Vec<u16>,
    coding: Coding,
    words: Vec<u16>,
    escapes: Vec<u16>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Return `raw`, 16-bit samples in rows of `columns`, coded; None where it is not that, or does not
/// shrink.
pub fn encode(raw: &[u8], columns: u16) -> Option<Vec<u8>> {
    encode_on(Machine::here().next()?, raw, columns)
}

/// Like [`encode`], on a machine of the caller's choice: all make the same bytes.
pub fn encode_on(machine: Machine, raw: &[u8], columns: u16) -> Option<Vec<u8>> {
    SCRATCH.with_borrow_mut(|scratch| encode_chunk(machine, raw, columns, scratch))
}

fn encode_chunk(
    machine: Machine,
    raw: &[u8],
    columns: u16,
    scratch: &mut Scratch,
) -> Option<Vec<u8>> {
    let width = usize::from(columns);
    let (pixels, tail) = raw.split_at(raw.len() / SAMPLE * SAMPLE);
    let count = pixels.len() / SAMPLE;
    if width < 2 || count < 2 * width || u32::try_from(raw.len()).is_err() {
        return None;
    }
    // Halves of rows are coded in steps: narrow images would take much memory.
    let padded = count.div_ceil(width) * 2 * width.div_ceil(2).next_multiple_of(LANES);
    if padded > 4 * count + MOST_PADDING {
        return None;
    }
    let Scratch {
        samples,
        coding,
        words: room,
        escapes,
    } = scratch;
    let flipped = flips(pixels, SAMPLE);
    samples.clear();
    samples.extend(words(pixels).map(|sample| sample ^ u16::from(flipped) << 15));
    let weights = choose(samples, width);
    let tallies = coding.make(samples, width, weights);
    let (shapes, levels, expected) = table::choose(&tallies);
    if expected > count as f64 * 16.0 {
        return None;
    }
    room.resize(room.len().max(Output::most(count)), 0);
    escapes.clear();
    let mut draft = WovenDraft {
        coded: &coding.coded,
        levels: &coding.symbols,
        columns: width,
        samples: count,
        uses: levels.map(|half| half.map(|level| level.low << 16 | u32::from(level.table) << 4)),
        codes: table::codes(&shapes),
        output: Output::new(room),
        escapes,
    };
    let states = machine.encode_woven(&mut draft);
    let written = draft.output.written();
    let header = Header {
        flipped,
        columns,
        fill: samples[0],
        weights,
        levels,
        shapes,
        states,
        words: u32::try_from(written.len()).ok()?,
        escapes: u32::try_from(draft.escapes.len()).ok()?,
    };
    let mut out = Vec::with_capacity(SAMPLE * (written.len() + draft.escapes.len()) + 512);
    header.write(&mut out);
    for words in [written, draft.escapes.as_slice()] {
        let at = out.len();
        out.resize(at + SAMPLE * words.len(), 0);
        for (to, word) in out[at..]
            .as_chunks_mut()
            .0
            .iter_mut()
            .zip(words.iter().rev())
        {
            *to = word.to_le_bytes();
        }
    }
    out.extend(tail);
    (out.len() < raw.len()).then_some(out)
}

/// Choose how even and odd columns are predicted.
#[inline(never)]
fn choose(samples: &[u16], columns: usize) -> [Weights; 2] {
    let order = Order::new(columns, samples.len());
    let rows: Vec<Rows> = sampled(samples, &order).collect();
    let step = (columns / 340).max(1);
    let around: Vec<_> = rows.iter().map(|rows| Around::new(rows, step)).collect();
    [0, 1].map(|odd| {
        let begin: Weights = if odd == 0 {
            [64, 0, 0, 0, 0, 0]
        } else {
            [0, 0, 0, 0, 32, 32]
        };
        let mut best = (cost(&around, odd, begin), begin);
        for _ in 0..2 {
            let mut fit = Fit::new();
            for around in &around {
                for (neighbours, sample) in &around.0[odd] {
                    fit.one(*neighbours, *sample, predict(*neighbours, odd, best.1));
                }
            }
            let Some(weights) = fit.solve() else { break };
            let cost = cost(&around, odd, weights);
            if cost >= best.0 {
                break;
            }
            best = (cost, weights);
        }
        best.1
    })
}

/// Samples of a row with their neighbours in the order of weights: of even and of odd columns.
struct Around([Vec<([i32; 6], i32)>; 2]);

impl Around {
    fn new(rows: &Rows, step: usize) -> Self {
        let [row, above, second] = rows.all();
        // Column `c` is at `c + 2`; those whose neighbours are all there.
        let of = |odd: usize| {
            let inner = (2 + odd..row.len().saturating_sub(5)).step_by(2 * step);
            inner
                .map(|column| {
                    let at = column + 2;
                    let beside = if odd == 0 {
                        [above[at - 2], above[at + 2]]
                    } else {
                        [row[at - 1], row[at + 1]]
                    };
                    let [left, right] = beside;
                    let near = [
                        above[at],
                        second[at],
                        above[at - 1],
                        above[at + 1],
                        left,
                        right,
                    ];
                    (near, row[at])
                })
                .collect()
        };
        Self([of(0), of(1)])
    }
}

fn predict([n, nn, nw, ne, left, right]: [i32; 6], odd: usize, weights: Weights) -> i32 {
    let [a, b, c, d, e, f] = weights.map(i32::from);
    let sum = a * n + b * nn + c * nw + d * ne + e * left + f * right + (1 << (WEIGHT_BITS - 1));
    let (one, other) = if odd == 0 { (nw, ne) } else { (left, right) };
    let (low, high) = (n.min(one.min(other)), n.max(one.max(other)));
    (sum >> WEIGHT_BITS).max(low).min(high)
}

/// About how many bits residuals take, in 2^-23 bits.
fn cost(around: &[Around], odd: usize, weights: Weights) -> u64 {
    let all = around.iter().flat_map(|around| &around.0[odd]);
    all.map(|&(neighbours, sample)| {
        let missed = (sample - predict(neighbours, odd, weights)).unsigned_abs();
        u64::from((missed as f32 + 0.5).to_bits() - 0.5_f32.to_bits())
    })
    .sum()
}
