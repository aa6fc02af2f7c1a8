//! The decoder's loop: 64 rows side by side, 32 of each band, each two columns behind the row above.
//!
//! What a lane needs of the row above was decoded by the lane beside it one, two and three steps
//! ago, so neighbours come from registers. Lane 0 goes on below lane 31: what it needs of that row
//! is kept in `above`, one cell for each column. The two bands know nothing of each other, so that
//! while one waits for its tables, the other is at work.

use super::super::order::{BLOCK, Order, Places, SKEW, Walk};
use super::super::sink::Sink;
use super::super::table::{DIRECT, EXTRA_BITS, LEVEL_BASE, LEVELS, RENORM};
use super::{BAND, Bits, LANES, Lanes, Slots, Words};

/// What lane 31 of each band leaves for lane 0 at one column: a sample, the one above it, what it
/// was missed by.
#[derive(Clone, Copy, Default)]
pub(in super::super) struct Cell {
    pub(in super::super) sample: [u16; 2],
    pub(in super::super) north: [u16; 2],
    pub(in super::super) error: [u16; 2],
}

/// A plane to be decoded. Samples are signed: those of 16 bits less 2^15.
pub(in super::super) struct Job<'a, 'b> {
    pub(in super::super) linear: bool,
    /// Whether the left neighbour's residual counts for the choice of a table.
    pub(in super::super) left: bool,
    pub(in super::super) weights: [i8; 6],
    /// All bits of a sample.
    pub(in super::super) mask: u16,
    pub(in super::super) fill: u16,
    pub(in super::super) table_bits: u32,
    /// Where in `slots` the table of each level begins.
    pub(in super::super) tables: [u32; LEVELS],
    pub(in super::super) slots: &'a Slots,
    /// In the order of words.
    pub(in super::super) states: [u32; LANES],
    pub(in super::super) words: Words<'a>,
    pub(in super::super) extra: Bits<'a>,
    /// One cell per period of the order.
    pub(in super::super) above: &'a mut [Cell],
    pub(in super::super) sink: Sink<'b>,
}

/// Decode a plane; false if the stream was not one that an encoder wrote.
#[inline(always)]
pub(super) fn decode<L: Lanes>(l: L, job: &mut Job, order: &Order) -> bool {
    if job.linear {
        run::<L, true>(l, job, order)
    } else {
        run::<L, false>(l, job, order)
    }
}

/// What a step leaves for the next.
#[derive(Clone, Copy)]
struct Step<L: Lanes> {
    states: L::Wide,
    sample: L::Narrow,
    west: L::Narrow,
    north: L::Narrow,
    before: L::Narrow,
    north_east: L::Narrow,
    error: L::Narrow,
    error_north: L::Narrow,
    error_north_east: L::Narrow,
}

/// What stays the same through a plane.
#[derive(Clone, Copy)]
struct Fixed {
    /// The weights of west and west-west, of north and north-north, of north-west and north-east.
    weights: [i32; 3],
    /// The tables of the levels, where the upper bits of an activity as a float point to.
    tables: [u32; LEVELS],
}

#[inline(always)]
fn run<L: Lanes, const LINEAR: bool>(l: L, job: &mut Job, order: &Order) -> bool {
    job.above.fill(Cell {
        sample: [job.fill; 2],
        north: [job.fill; 2],
        error: [0; 2],
    });
    let [w, n, nw, ne, ww, nn] = job.weights;
    let fixed = Fixed {
        weights: [(w, ww), (n, nn), (nw, ne)]
            .map(|(a, b)| i32::from(i16::from(a) as u16) | i32::from(b) << 16),
        tables: std::array::from_fn(|at| job.tables[(at + LEVELS - LEVEL_BASE % LEVELS) % LEVELS]),
    };
    let (zero, fill) = (l.splat(0), l.splat(job.fill));
    let mut step = Step {
        states: l.load_wide(&job.states),
        sample: fill,
        west: fill,
        north: fill,
        before: fill,
        north_east: fill,
        error: zero,
        error_north: zero,
        error_north_east: zero,
    };
    let mut block = [[0; LANES]; BLOCK];
    let (mut group, mut phase) = (0, 0);
    for _ in (0..order.steps).step_by(BLOCK) {
        let began = (group, phase);
        let walk = order.walk(group, phase);
        if walk == Walk::Inner {
            for (at, samples) in block.iter_mut().enumerate() {
                let at = (group, phase + at);
                if group == 0 {
                    stand_in(l, job, &step, at.1);
                }
                step = next::<L, LINEAR, true>(l, job, order, &fixed, step, at, samples);
            }
            phase += BLOCK;
        } else {
            for samples in &mut block {
                let at = (group, phase);
                if group == 0 {
                    stand_in(l, job, &step, phase);
                }
                step = next::<L, LINEAR, false>(l, job, order, &fixed, step, at, samples);
                phase += 1;
                if phase == order.period {
                    (group, phase) = (group + 1, 0);
                }
            }
        }
        job.sink.block(&block, order, began, walk);
    }
    l.store_wide(step.states) == [RENORM; LANES] && job.words.ended() && job.extra.ended()
}

/// Let the first row of each band stand for the one above it, two columns to the right.
#[inline(always)]
fn stand_in<L: Lanes>(l: L, job: &mut Job, step: &Step<L>, phase: usize) {
    if let Some(cell) = job.above.get_mut(phase + 1) {
        let sample = l.bottoms(step.sample);
        *cell = Cell {
            sample,
            north: sample,
            error: l.bottoms(step.error),
        };
    }
}

/// Decode a sample in every lane. `INNER`: all have one, away from the ends of its row.
#[inline(always)]
fn next<L: Lanes, const LINEAR: bool, const INNER: bool>(
    l: L,
    job: &mut Job,
    order: &Order,
    fixed: &Fixed,
    s: Step<L>,
    (group, phase): (usize, usize),
    samples: &mut [u16; LANES],
) -> Step<L> {
    let east = if !INNER && phase + 1 == order.period {
        0
    } else {
        phase + 1
    };
    let (here, east) = (job.above[phase], job.above[east]);
    let (north, error_north) = (s.north_east, s.error_north_east);
    let north_east = l.shift_in(s.sample, east.sample);
    let error_north_east = l.shift_in(s.error, east.error);

    let (mut west, mut west_west, mut north_west) = (s.sample, s.west, s.north);
    let (mut error_west, mut error_north_west) = (s.error, s.error_north);
    let (mut used_east, mut error_used_east) = (north_east, error_north_east);
    let mut active = [u32::MAX; 2];
    if !INNER {
        let Places {
            first,
            last,
            active: here,
        } = order.places(group, phase);
        active = here;
        let first = l.mask([first; 2]);
        west = l.select(first, north, west);
        west_west = l.select(first, north, west_west);
        north_west = l.select(first, north, north_west);
        error_west = l.select(first, error_north, error_west);
        error_north_west = l.select(first, error_north, error_north_west);
        let last = l.mask([last; 2]);
        used_east = l.select(last, north, used_east);
        error_used_east = l.select(last, error_north, error_used_east);
    }

    let predicted = if LINEAR {
        let north_north = l.shift_in(s.before, here.north);
        let pairs = [
            (west, west_west),
            (north, north_north),
            (north_west, used_east),
        ];
        let sum = l.linear(pairs, fixed.weights);
        let (low, high) = (l.min(north, used_east), l.max(north, used_east));
        l.min(l.max(sum, l.min(low, west)), l.max(high, west))
    } else {
        let (low, high) = (l.min(west, north), l.max(west, north));
        l.sub(l.add(west, north), l.min(l.max(north_west, low), high))
    };

    let sides = l.add_most(l.add_most(error_north_west, error_used_east), l.splat(1));
    let activity = if job.left {
        let known = l.add_most(sides, error_north);
        l.add_most(known, l.add_most(error_west, error_west))
    } else {
        l.add_most(sides, l.add_most(error_north, error_north))
    };
    let level = l.shr_wide(l.float_bits(l.widen(activity)), l.splat_wide(22));
    let slot = l.and_wide(s.states, l.splat_wide((1 << job.table_bits) - 1));
    let slot = l.add_wide(l.lookup(&fixed.tables, level), slot);
    let entry = l.gather(job.slots, slot);
    let symbol = l.and_wide(entry, l.splat_wide(0xff));
    let frequency = l.and_wide(l.shr_wide(entry, l.splat_wide(8)), l.splat_wide(0xfff));
    let states = l.add_wide(
        l.mul_wide(
            frequency,
            l.shr_wide(s.states, l.splat_wide(job.table_bits)),
        ),
        l.shr_wide(entry, l.splat_wide(20)),
    );
    let here_now = l.wide_mask(active);
    let low = l.less_wide(states, l.splat_wide(RENORM));
    let low = if INNER {
        low
    } else {
        l.both_wide(low, here_now)
    };
    let states = l.refill(states, low, &mut job.words);

    let mut coded = l.narrow(symbol);
    let mut wide = l.above(coded, DIRECT as i16 - 1);
    if !INNER {
        wide &= u64::from(active[0]) | u64::from(active[1]) << BAND;
    }
    if wide != 0 {
        let mut symbols = [0; LANES];
        l.store(coded, &mut symbols);
        while wide != 0 {
            let lane = wide.trailing_zeros() as usize % LANES;
            let token = u32::from(symbols[lane]) - DIRECT;
            let bits = (token >> 2) + EXTRA_BITS;
            let value = ((token & 3 | 4) << bits) + job.extra.take(bits);
            coded = l.put(coded, lane, (value - (256 - DIRECT)) as u16);
            wide &= wide - 1;
        }
    }

    let sign = l.sub(l.splat(0), l.and(coded, l.splat(1)));
    let residual = l.xor(l.half(coded), sign);
    let sample = l.and(l.add(predicted, residual), l.splat(job.mask));
    let error = l.average(coded, l.splat(0));
    l.store(sample, samples);
    let behind = SKEW * (BAND - 1);
    if INNER || group > 0 || phase >= behind {
        let at = if INNER || phase >= behind {
            phase - behind
        } else {
            phase + order.period - behind
        };
        job.above[at] = Cell {
            sample: l.tops(sample),
            north: l.tops(north),
            error: l.tops(error),
        };
    }
    Step {
        states: if INNER {
            states
        } else {
            l.select_wide(here_now, states, s.states)
        },
        sample,
        west,
        north,
        before: s.north,
        north_east,
        error,
        error_north,
        error_north_east,
    }
}
