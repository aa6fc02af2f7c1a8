//! The encoder's loop of the codec `weave`: the samples of a chunk backwards, 64 of a half row a step.

use super::super::table::{LEVELS, RENORM};
use super::super::weave::{BASES, END, PLACE_BITS, SYMBOLS};
use super::coder::Output;
use super::{LANES, Lanes};

/// A chunk to be encoded: steps of 64 samples, of a row its even and then its odd columns.
pub(in super::super) struct WovenDraft<'a> {
    /// What each sample is coded as; anything in lanes that are idle.
    pub(in super::super) coded: &'a [[u16; LANES]],
    /// The level of each sample in the upper byte.
    pub(in super::super) levels: &'a [[u16; LANES]],
    pub(in super::super) columns: usize,
    pub(in super::super) samples: usize,
    /// Of even and odd columns what each level uses: 16 for the second table, and above 16 bits how
    /// many low bits.
    pub(in super::super) uses: [[u32; LEVELS]; 2],
    /// What encoding each symbol of each table takes.
    pub(in super::super) codes: [u32; 2 * SYMBOLS],
    pub(in super::super) output: Output<'a>,
    /// Coded residuals without their low bits, in the reverse of the order of reading.
    pub(in super::super) escapes: &'a mut Vec<u16>,
}

/// Encode a chunk; return the states a decoder begins with, in the order of words.
#[inline(always)]
pub(super) fn encode<L: Lanes>(l: L, draft: &mut WovenDraft) -> [u32; LANES] {
    let columns = draft.columns;
    let steps = columns.div_ceil(2).div_ceil(LANES);
    let mut states = l.splat_wide(RENORM);
    for row in (0..draft.samples.div_ceil(columns)).rev() {
        let length = columns.min(draft.samples - row * columns);
        for odd in [1, 0] {
            let count = (length + 1 - odd) / 2;
            for step in (0..count.div_ceil(LANES)).rev() {
                let at = (2 * row + odd) * steps + step;
                let left = count - step * LANES;
                let active = if left >= LANES {
                    u64::MAX
                } else {
                    (1 << left) - 1
                };
                states = self::step(l, draft, states, (at, odd), active);
            }
        }
    }
    l.store_wide(states)
}

/// Encode a step.
#[inline(always)]
fn step<L: Lanes>(
    l: L,
    draft: &mut WovenDraft,
    before: L::Wide,
    (at, odd): (usize, usize),
    active: u64,
) -> L::Wide {
    let levels = l.shr_wide(l.widen(l.load(&draft.levels[at])), l.splat_wide(8));
    let uses = l.lookup(&draft.uses[odd], levels);
    let low = l.shr_wide(uses, l.splat_wide(16));
    let coded = l.widen(l.load(&draft.coded[at]));
    let value = l.shr_wide(coded, low);
    // Up to the tenth, each symbol is a value.
    let mut symbol = l.select_wide(
        l.less_wide(value, l.splat_wide(10)),
        value,
        l.splat_wide(10),
    );
    let later = [BASES[11], BASES[12], BASES[13], BASES[14], END];
    for (begins, least) in (11..).zip(later) {
        let below = l.less_wide(value, l.splat_wide(least));
        symbol = l.select_wide(below, symbol, l.splat_wide(begins));
    }
    let code = l.lookup(&draft.codes, l.add_wide(symbol, uses));
    let part = |by: u32, bits: u32| {
        l.and_wide(
            l.shr_wide(code, l.splat_wide(by)),
            l.splat_wide((1 << bits) - 1),
        )
    };
    let (frequency, start) = (part(0, 6), part(6, 6));
    let count = l.add_wide(low, part(12, 4));
    let base = l.shl_wide(part(16, 8), low);
    let escape = l.narrow(part(24, 1));
    let mut escaped = l.above(escape, 0) & active;
    while escaped != 0 {
        let lane = escaped.ilog2() as usize;
        let level = usize::from(draft.levels[at][lane] >> 8) % LEVELS;
        draft
            .escapes
            .push(draft.coded[at][lane] >> (draft.uses[odd][level] >> 16));
        escaped ^= 1 << lane;
    }
    // States that would not fit give a word away first.
    let here = l.wide_mask([active as u32, (active >> 32) as u32]);
    let one = l.splat_wide(1);
    let room = l.sub_wide(l.splat_wide(32 - PLACE_BITS), count);
    let top = l.add_wide(l.shr_wide(before, room), one);
    let full = l.both_wide(l.less_wide(frequency, top), here);
    let states = l.give(before, full, &mut draft.output);
    let mask = l.sub_wide(l.shl_wide(one, count), one);
    let rest = l.and_wide(l.sub_wide(coded, base), mask);
    let states = l.add_wide(l.shl_wide(states, count), rest);
    // In two parts: neither quotient is too large.
    let half = l.splat_wide(12);
    let (upper, left) = l.divide(l.shr_wide(states, half), frequency);
    let lower = l.and_wide(states, l.splat_wide((1 << 12) - 1));
    let (lower, left) = l.divide(l.add_wide(l.shl_wide(left, half), lower), frequency);
    let quotient = l.add_wide(l.shl_wide(upper, half), lower);
    let shifted = l.shl_wide(quotient, l.splat_wide(PLACE_BITS));
    let next = l.add_wide(shifted, l.add_wide(left, start));
    l.select_wide(here, next, before)
}
