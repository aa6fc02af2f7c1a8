//! The entropy coder: 32 range coders (rANS) whose words share one stream.
//!
//! What is decoded first is encoded last, so this walks the order of samples backwards.

use super::lanes::LANES;
use super::order::{BLOCK, Order};
use super::table::{Frequencies, LEVELS, RENORM, SYMBOLS, TABLES, token};

/// What encoding a symbol takes.
#[derive(Clone, Copy, Default)]
struct Code {
    /// 2^63 over the frequency, rounded up.
    reciprocal: u64,
    /// States from here on give a word away first.
    limit: u32,
    start: u16,
    /// `1 << table_bits` less the frequency.
    others: u16,
}

impl Code {
    /// The state after the symbol, from one that is below the limit.
    #[inline(always)]
    fn after(&self, state: u32) -> u32 {
        let quotient = ((u128::from(state) * 2 * u128::from(self.reciprocal)) >> 64) as u32;
        state
            .wrapping_add(u32::from(self.start))
            .wrapping_add(quotient.wrapping_mul(u32::from(self.others)))
    }
}

/// The codes of all tables.
pub(super) struct Codes(Box<[[Code; 256]; TABLES]>);

impl Codes {
    pub(super) fn new(tables: &[Frequencies], table_bits: u32) -> Self {
        let mut codes = Box::new([[Code::default(); 256]; TABLES]);
        for (table, codes) in tables.iter().zip(codes.iter_mut()) {
            let mut start = 0;
            for (frequency, code) in table.iter().zip(&mut codes[..SYMBOLS]) {
                if frequency > 0 {
                    *code = Code {
                        reciprocal: (1_u64 << 63).div_ceil(u64::from(frequency)),
                        limit: frequency << (32 - table_bits),
                        start: start as u16,
                        others: ((1 << table_bits) - frequency) as u16,
                    };
                }
                start += frequency;
            }
        }
        Self(codes)
    }
}

/// What is to be coded: for each sample its symbol with its level above it, and its residual.
pub(super) struct Symbols<'a> {
    pub(super) symbols: &'a [u16],
    pub(super) coded: &'a [u16],
}

/// Encode a plane; return the states a decoder begins with. The stream is at the end of `words`.
pub(super) fn encode(
    order: &Order,
    input: &Symbols,
    codes: &Codes,
    tables: &[u8; LEVELS],
    words: &mut Stream,
) -> [u32; LANES] {
    let mut coder = Coder {
        codes,
        tables,
        states: [RENORM as u32; LANES],
        words,
    };
    let steps = order.steps.div_ceil(BLOCK) * BLOCK;
    let (mut group, mut phase) = (steps / order.period, steps % order.period);
    for _ in 0..steps / BLOCK {
        if phase < BLOCK {
            (group, phase) = (group.wrapping_sub(1), phase + order.period);
        }
        phase -= BLOCK;
        if order.inner(group, phase) {
            coder.inner(order, input, group, phase);
        } else {
            coder.edge(order, input, group, phase);
        }
    }
    coder.states
}

struct Coder<'a, 'b> {
    codes: &'a Codes,
    tables: &'a [u8; LEVELS],
    states: [u32; LANES],
    words: &'a mut Stream<'b>,
}

impl Coder<'_, '_> {
    /// A block of steps in which every lane has a sample.
    #[inline(never)]
    fn inner(&mut self, order: &Order, input: &Symbols, group: usize, phase: usize) {
        let first: [usize; LANES] = std::array::from_fn(|lane| {
            order
                .place(lane, group, phase)
                .map_or(0, |(row, column)| row * order.columns + column)
        });
        let runs = first.map(|at| *input.symbols[at..].first_chunk().unwrap_or(&[0; BLOCK]));
        let steps = untranspose(&runs);
        for (step, symbols) in steps.iter().enumerate().rev() {
            let widest = symbols
                .iter()
                .map(|symbol| symbol & 0xff)
                .max()
                .unwrap_or(0);
            if widest >= super::table::DIRECT as u16 {
                for lane in (0..LANES).rev() {
                    self.extra(lane, input.coded[first[lane] + step]);
                }
            }
            self.step(symbols);
        }
    }

    /// A block of steps in which lanes may be idle.
    fn edge(&mut self, order: &Order, input: &Symbols, group: usize, phase: usize) {
        for step in (0..BLOCK).rev() {
            let now = phase + step;
            let (group, phase) = if now < order.period {
                (group, now)
            } else {
                (group + 1, now - order.period)
            };
            let at = |lane| order.sample(order.place(lane, group, phase)?);
            for lane in (0..LANES).rev() {
                if let Some(at) = at(lane) {
                    self.extra(lane, input.coded[at]);
                }
            }
            for lane in (0..LANES).rev() {
                if let Some(at) = at(lane) {
                    self.symbol(lane, input.symbols[at]);
                }
            }
        }
    }

    /// Encode a symbol in every lane.
    #[inline(always)]
    fn step(&mut self, symbols: &[u16; LANES]) {
        // Held apart from `self`, so that they stay in registers.
        let mut states = self.states;
        let mut at = self.words.at;
        let words = &mut *self.words.words;
        for lane in (0..LANES).rev() {
            let symbol = symbols[lane];
            let table = self.tables[usize::from(symbol >> 8) % LEVELS];
            let code = &self.codes.0[usize::from(table) % TABLES][usize::from(symbol & 0xff)];
            let state = states[lane];
            let full = state >= code.limit;
            words[at - 1] = state as u16;
            at -= usize::from(full);
            states[lane] = code.after(if full { state >> 16 } else { state });
        }
        self.states = states;
        self.words.at = at;
    }

    #[inline(always)]
    fn symbol(&mut self, lane: usize, symbol: u16) {
        let table = self.tables[usize::from(symbol >> 8) % LEVELS];
        let code = &self.codes.0[usize::from(table) % TABLES][usize::from(symbol & 0xff)];
        let state = self
            .words
            .give(self.states[lane], self.states[lane] >= code.limit);
        self.states[lane] = code.after(state);
    }

    #[inline(always)]
    fn extra(&mut self, lane: usize, coded: u16) {
        let (_, bits, extra) = token(coded);
        if bits > 0 {
            let state = self.states[lane];
            let state = self.words.give(state, state >> (32 - bits) != 0);
            self.states[lane] = state << bits | extra;
        }
    }
}

/// Words, written from the end to the beginning.
pub(super) struct Stream<'a> {
    words: &'a mut [u16],
    at: usize,
}

impl<'a> Stream<'a> {
    pub(super) fn new(words: &'a mut [u16]) -> Self {
        let at = words.len();
        Self { words, at }
    }

    /// What was written, in the order of reading.
    pub(super) fn written(&self) -> &[u16] {
        &self.words[self.at..]
    }

    /// Write the lower half of a state if `full`, and return what is left of it.
    #[inline(always)]
    fn give(&mut self, state: u32, full: bool) -> u32 {
        let next = self.at - usize::from(full);
        // Written either way: what is not taken is written over.
        self.words[self.at - 1] = state as u16;
        self.at = next;
        if full { state >> 16 } else { state }
    }
}

/// Turn `runs[lane][step]` into `steps[step][lane]`.
#[inline(always)]
fn untranspose(runs: &[[u16; BLOCK]; LANES]) -> [[u16; LANES]; BLOCK] {
    let mut steps = [[0; LANES]; BLOCK];
    for (lane, run) in runs.iter().enumerate() {
        for (step, &symbol) in run.iter().enumerate() {
            steps[step][lane] = symbol;
        }
    }
    steps
}
