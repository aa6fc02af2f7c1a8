//! The encoder's loop: 64 range coders (rANS) side by side, whose words share one stream.
//!
//! What is decoded first is encoded last, so this walks the order of samples backwards, and words
//! are written in the reverse of the order they are read in.

use super::super::model::Coding;
use super::super::order::{BLOCK, Order, SKEW, Walk};
use super::super::table::{DIRECT, Frequencies, LEVELS, RENORM, TABLES};
use super::{BAND, LANES, Lanes, load_tile, store_tile};

/// Symbols of 16 tables, each of which has room for 256.
const CODES: usize = TABLES << 8;

/// What encoding a symbol takes, for all tables.
pub(in super::super) struct Codes {
    /// Of each symbol of each table: the frequency in the lower 16 bits, the first place above.
    codes: Box<[u32; CODES]>,
    /// Where among the codes the table of each level begins.
    tables: [u32; LEVELS],
    /// 9 to 12.
    table_bits: u32,
}

impl Codes {
    /// `levels`: which table each has. `table_bits` is at least 9.
    pub(in super::super) fn new(
        tables: &[Frequencies],
        levels: &[u8; LEVELS],
        table_bits: u32,
    ) -> Self {
        let mut codes = Box::new([0; CODES]);
        for (table, codes) in tables.iter().zip(codes.chunks_exact_mut(256)) {
            let mut start = 0;
            for (frequency, code) in table.iter().zip(codes) {
                *code = start << 16 | frequency;
                start += frequency;
            }
        }
        Self {
            codes,
            tables: levels.map(|table| u32::from(table) << 8),
            table_bits,
        }
    }
}

/// A plane to be encoded.
pub(in super::super) struct Draft<'a> {
    pub(in super::super) order: &'a Order,
    pub(in super::super) coding: &'a Coding,
    pub(in super::super) codes: &'a Codes,
    pub(in super::super) output: Output<'a>,
    /// The coded residuals whose symbols have further bits, in the reverse of the order of reading.
    pub(in super::super) extra: &'a mut Vec<u16>,
}

/// Words, in the reverse of the order of reading.
pub(in super::super) struct Output<'a> {
    words: &'a mut [u16],
    at: usize,
}

impl<'a> Output<'a> {
    /// How many words may be written for so many samples, and of room beyond them.
    pub(in super::super) fn most(samples: usize) -> usize {
        2 * samples + LANES
    }

    /// `words` has room for the [`Self::most`] of what is to be encoded.
    pub(in super::super) fn new(words: &'a mut [u16]) -> Self {
        Self { words, at: 0 }
    }

    /// What was written.
    pub(in super::super) fn written(&self) -> &[u16] {
        &self.words[..self.at]
    }

    /// Where the next words go, the first `count` of which are to stay.
    #[inline(always)]
    pub(super) fn next<const ROOM: usize>(&mut self, count: u32) -> Option<&mut [u16; ROOM]> {
        let at = self.at;
        self.at += count as usize;
        self.words.get_mut(at..)?.first_chunk_mut()
    }
}

/// Encode a plane; return the states a decoder begins with, in the order of words.
#[inline(always)]
pub(super) fn encode<L: Lanes>(l: L, draft: &mut Draft) -> [u32; LANES] {
    let order = draft.order;
    let mut states = l.splat_wide(RENORM);
    let steps = order.steps.div_ceil(BLOCK) * BLOCK;
    let (mut group, mut phase) = (steps / order.period, steps % order.period);
    for _ in 0..steps / BLOCK {
        if phase < BLOCK {
            (group, phase) = (group.wrapping_sub(1), phase + order.period);
        }
        phase -= BLOCK;
        let walk = order.walk(group, phase);
        states = if walk == Walk::Any {
            block::<L, false>(l, draft, states, (group, phase), walk)
        } else {
            block::<L, true>(l, draft, states, (group, phase), walk)
        };
    }
    l.store_wide(states)
}

/// A block of steps. `ALL`: every lane has a sample in each.
#[inline(always)]
fn block<L: Lanes, const ALL: bool>(
    l: L,
    draft: &mut Draft,
    mut states: L::Wide,
    at: (usize, usize),
    walk: Walk,
) -> L::Wide {
    let order = draft.order;
    let symbols = steps(&draft.coding.symbols, order, at, walk);
    for step in (0..BLOCK).rev() {
        let place = match (at.1 + step).checked_sub(order.period) {
            None => (at.0, at.1 + step),
            Some(phase) => (at.0 + 1, phase),
        };
        let mut active = [u32::MAX; 2];
        if !ALL {
            active = order.places(place.0, place.1).active;
        }
        let narrow = l.load(&symbols[step]);
        let mut above = l.above(l.and(narrow, l.splat(0xff)), DIRECT as i16 - 1);
        while above != 0 {
            let lane = above.ilog2() as usize;
            let coded = order
                .place(lane, place.0, place.1)
                .map(|at| order.sample(at));
            if let Some(coded) = coded.flatten().map(|at| draft.coding.coded[at]) {
                draft.extra.push(coded);
            }
            above ^= 1 << lane;
        }
        let wide = l.widen(narrow);
        let symbol = l.and_wide(wide, l.splat_wide(0xff));
        let table = l.lookup(&draft.codes.tables, l.shr_wide(wide, l.splat_wide(8)));
        let code = l.gather(&draft.codes.codes, l.add_wide(table, symbol));
        let here = l.wide_mask(active);
        let before = states;
        states = put::<L, ALL>(l, draft, states, code, here);
        if !ALL {
            states = l.select_wide(here, states, before);
        }
    }
    states
}

/// Encode a symbol in every lane, or those of `here`.
#[inline(always)]
fn put<L: Lanes, const ALL: bool>(
    l: L,
    draft: &mut Draft,
    states: L::Wide,
    code: L::Wide,
    here: L::WideMask,
) -> L::Wide {
    let bits = draft.codes.table_bits;
    let frequency = l.and_wide(code, l.splat_wide(0xffff));
    let start = l.shr_wide(code, l.splat_wide(16));
    // States that would not fit give a word away first.
    let top = l.add_wide(l.shr_wide(states, l.splat_wide(32 - bits)), l.splat_wide(1));
    let full = l.less_wide(frequency, top);
    let full = if ALL { full } else { l.both_wide(full, here) };
    let states = l.give(states, full, &mut draft.output);
    let (quotient, rest) = l.divide(states, frequency);
    let shifted = l.shl_wide(quotient, l.splat_wide(bits));
    l.add_wide(shifted, l.add_wide(rest, start))
}

/// The block of values that begins at a group and a phase, by step and lane; 0 for idle lanes.
#[inline(never)]
fn steps(
    values: &[u16],
    order: &Order,
    (group, phase): (usize, usize),
    walk: Walk,
) -> [[u16; LANES]; BLOCK] {
    let mut steps = [[0; LANES]; BLOCK];
    if walk != Walk::Inner {
        for lane in 0..LANES {
            let run = run(values, order, lane, (group, phase));
            for (step, value) in steps.iter_mut().zip(run) {
                step[lane] = value;
            }
        }
        return steps;
    }
    let firsts = order.firsts(group, phase);
    for begin in (0..BLOCK).step_by(8) {
        for lane in (0..LANES).step_by(8) {
            let run = |at: usize| values[firsts[lane + at] + begin..].first_chunk();
            let tile = load_tile(|at| run(at).unwrap_or(&[0; 8]));
            for (step, values) in steps[begin..].iter_mut().zip(tile) {
                if let Some(to) = step[lane..].first_chunk_mut() {
                    store_tile(values, to);
                }
            }
        }
    }
    steps
}

/// What one lane has of a block.
#[inline(always)]
fn run(values: &[u16], order: &Order, lane: usize, (group, phase): (usize, usize)) -> [u16; BLOCK] {
    let mut run = [0; BLOCK];
    // A lane may begin within the first group's block.
    let idle = (SKEW * (lane % BAND)).saturating_sub(phase);
    let (idle, place) = match order.place(lane, group, phase) {
        Some(place) => (0, Some(place)),
        None => (idle, order.place(lane, group, phase + idle)),
    };
    let Some((row, column)) = place else {
        return run;
    };
    if idle == 0 && column + BLOCK <= order.columns && order.whole(row) {
        let at = row * order.columns + column;
        return *values[at..].first_chunk().unwrap_or(&run);
    }
    for (next, value) in run.iter_mut().skip(idle).enumerate() {
        let at = match (column + next).checked_sub(order.period) {
            None => order.sample((row, column + next)),
            Some(column) => order
                .below(lane, row)
                .and_then(|row| order.sample((row, column))),
        };
        if let Some(at) = at {
            *value = values[at];
        }
    }
    run
}
