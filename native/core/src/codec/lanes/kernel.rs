//! The decoder's loop: 32 rows side by side, each two columns behind the row above it.
//!
//! What a lane needs of the row above was decoded by the lane beside it one, two and three steps
//! ago, so neighbours come from registers. Lane 0 goes on below lane 31: what it needs of that row
//! is kept in `above`, one cell for each column.

use super::super::order::{BLOCK, Order, SKEW};
use super::super::predict::WEIGHT_BITS;
use super::super::sink::Sink;
use super::super::table::{DIRECT, EXTRA_BITS, LEVEL_BASE, LEVELS, RENORM};
use super::{LANES, Lanes, Slots, Words};

/// What lane 31 leaves for lane 0 at one column: a sample, the one above it, the residual.
#[derive(Clone, Copy, Default)]
pub(in super::super) struct Cell {
    pub(in super::super) sample: i32,
    pub(in super::super) north: i32,
    pub(in super::super) error: i32,
}

/// A plane to be decoded.
pub(in super::super) struct Job<'a, 'b> {
    pub(in super::super) linear: bool,
    /// Whether the left neighbour's residual counts for the choice of a table.
    pub(in super::super) left: bool,
    pub(in super::super) weights: [i32; 6],
    /// All bits of a sample.
    pub(in super::super) mask: i32,
    pub(in super::super) fill: i32,
    pub(in super::super) table_bits: u32,
    /// Where in `slots` the table of each level begins.
    pub(in super::super) tables: [i32; LEVELS],
    pub(in super::super) slots: &'a Slots,
    pub(in super::super) states: [i32; LANES],
    pub(in super::super) words: Words<'a>,
    /// One cell per period of the order.
    pub(in super::super) above: &'a mut [Cell],
    pub(in super::super) sink: Sink<'b>,
}

/// Decode a plane; false if the stream was not one that an encoder wrote.
#[inline(always)]
pub(super) fn decode<L: Lanes>(l: L, job: &mut Job, order: &Order) -> bool {
    match (job.linear, job.left) {
        (false, false) => run::<L, false, false>(l, job, order),
        (false, true) => run::<L, false, true>(l, job, order),
        (true, false) => run::<L, true, false>(l, job, order),
        (true, true) => run::<L, true, true>(l, job, order),
    }
}

/// What a step leaves for the next.
#[derive(Clone, Copy)]
struct Step<L: Lanes> {
    states: L::Vector,
    sample: L::Vector,
    west: L::Vector,
    north: L::Vector,
    before: L::Vector,
    north_east: L::Vector,
    error: L::Vector,
    error_north: L::Vector,
    error_north_east: L::Vector,
}

/// What stays the same through a plane.
#[derive(Clone, Copy)]
struct Fixed<L: Lanes> {
    weights: [L::Vector; 6],
    mask: L::Vector,
    table_mask: L::Vector,
    table_bits: L::Vector,
    /// 0, 1, ... 31.
    lane: L::Vector,
}

#[inline(always)]
fn run<L: Lanes, const LINEAR: bool, const LEFT: bool>(l: L, job: &mut Job, order: &Order) -> bool {
    job.above.fill(Cell {
        sample: job.fill,
        north: job.fill,
        error: 0,
    });
    let fixed = Fixed {
        weights: {
            let [w, n, nw, ne, ww, nn] = job.weights;
            [
                l.splat(w),
                l.splat(n),
                l.splat(nw),
                l.splat(ne),
                l.splat(ww),
                l.splat(nn),
            ]
        },
        mask: l.splat(job.mask),
        table_mask: l.splat((1 << job.table_bits) - 1),
        table_bits: l.splat(job.table_bits as i32),
        lane: l.load(&std::array::from_fn(|lane| lane as i32)),
    };
    let (zero, fill) = (l.splat(0), l.splat(job.fill));
    let mut step = Step {
        states: l.load(&job.states),
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
        if order.inner(group, phase) {
            for (at, samples) in block.iter_mut().enumerate() {
                let place = (group, phase + at);
                step = next::<L, LINEAR, LEFT, false>(l, job, order, &fixed, step, place, samples);
            }
            job.sink.block(&block, order, group, phase);
            phase += BLOCK;
        } else {
            let began = (group, phase);
            for samples in &mut block {
                let place = (group, phase);
                step = next::<L, LINEAR, LEFT, true>(l, job, order, &fixed, step, place, samples);
                phase += 1;
                if phase == order.period {
                    (group, phase) = (group + 1, 0);
                }
            }
            job.sink.block(&block, order, began.0, began.1);
        }
    }
    l.store(step.states) == [RENORM; LANES] && job.words.ended()
}

/// Decode a sample in every lane. `EDGE`: some lanes may be idle or at an end of their row.
#[inline(always)]
fn next<L: Lanes, const LINEAR: bool, const LEFT: bool, const EDGE: bool>(
    l: L,
    job: &mut Job,
    order: &Order,
    fixed: &Fixed<L>,
    s: Step<L>,
    (group, phase): (usize, usize),
    samples: &mut [u16; LANES],
) -> Step<L> {
    let east = if EDGE && phase + 1 == order.period {
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
    let mut active = l.equal(fixed.mask, fixed.mask);
    if EDGE {
        let (column, row) = place(l, order, fixed, group, phase);
        let first = l.equal(column, l.splat(0));
        west = l.select(first, north, west);
        west_west = l.select(first, north, west_west);
        north_west = l.select(first, north, north_west);
        error_west = l.select(first, error_north, error_west);
        error_north_west = l.select(first, error_north, error_north_west);
        let last = l.equal(column, l.splat(order.columns as i32 - 1));
        used_east = l.select(last, north, used_east);
        error_used_east = l.select(last, error_north, error_used_east);
        let columns = l.splat(order.columns as i32);
        let index = l.add(l.mul(row, columns), column);
        active = l.both(
            l.both(l.less(l.splat(-1), row), l.less(column, columns)),
            l.less(index, l.splat(order.samples as i32)),
        );
    }

    let predicted = if LINEAR {
        let north_north = l.shift_in(s.before, here.north);
        let [w, n, nw, ne, ww, nn] = fixed.weights;
        let known = l.add(
            l.add(l.mul(n, north), l.mul(nw, north_west)),
            l.add(
                l.add(l.mul(ne, used_east), l.mul(nn, north_north)),
                l.add(l.mul(ww, west_west), l.splat(1 << (WEIGHT_BITS - 1))),
            ),
        );
        let sum = l.sar(l.add(l.mul(w, west), known), l.splat(WEIGHT_BITS));
        let low = l.min(west, l.min(north, used_east));
        let high = l.max(west, l.max(north, used_east));
        l.min(l.max(sum, low), high)
    } else {
        let (low, high) = (l.min(west, north), l.max(west, north));
        l.sub(l.add(west, north), l.min(l.max(north_west, low), high))
    };

    let sides = l.add(error_north_west, error_used_east);
    let activity = if LEFT {
        l.add(l.add(sides, error_north), l.add(error_west, error_west))
    } else {
        l.add(sides, l.add(error_north, error_north))
    };
    let level = l.max(
        l.shr(l.float_bits(activity), l.splat(22)),
        l.splat(LEVEL_BASE),
    );
    let level = l.min(
        l.sub(level, l.splat(LEVEL_BASE)),
        l.splat(LEVELS as i32 - 1),
    );
    let slot = l.add(
        l.lookup(&job.tables, level),
        l.and(s.states, fixed.table_mask),
    );
    let entry = l.gather(job.slots, slot);
    let symbol = l.and(entry, l.splat(0xff));
    let frequency = l.and(l.shr(entry, l.splat(8)), l.splat(0xfff));
    let states = l.add(
        l.mul(frequency, l.shr(s.states, fixed.table_bits)),
        l.shr(entry, l.splat(20)),
    );
    let low = l.equal(l.shr(states, l.splat(16)), l.splat(0));
    let low = if EDGE { l.both(low, active) } else { low };
    let mut states = l.refill(states, low, &mut job.words);

    let mut coded = symbol;
    let wide = l.less(l.splat(DIRECT - 1), symbol);
    let wide = if EDGE { l.both(wide, active) } else { wide };
    if l.any(wide) {
        let token = l.sub(symbol, l.splat(DIRECT));
        let bits = l.add(l.shr(token, l.splat(2)), l.splat(EXTRA_BITS));
        let bits = l.select(wide, bits, l.splat(0));
        let base = l.shl(l.add(l.and(token, l.splat(3)), l.splat(4)), bits);
        let extra = l.and(states, l.sub(l.shl(l.splat(1), bits), l.splat(1)));
        let value = l.sub(l.add(base, extra), l.splat(256 - DIRECT));
        coded = l.select(wide, value, symbol);
        let rest = l.shr(states, bits);
        let low = l.both(wide, l.equal(l.shr(rest, l.splat(16)), l.splat(0)));
        states = l.refill(rest, low, &mut job.words);
    }

    let one = l.splat(1);
    let sign = l.sub(l.splat(0), l.and(coded, one));
    let residual = l.xor(l.shr(coded, one), sign);
    let sample = l.and(l.add(predicted, residual), fixed.mask);
    let error = l.shr(l.add(coded, one), one);
    l.narrow(sample, samples);
    if !EDGE || group > 0 || phase >= SKEW * (LANES - 1) {
        let behind = SKEW * (LANES - 1);
        let at = if phase >= behind {
            phase - behind
        } else {
            phase + order.period - behind
        };
        job.above[at] = Cell {
            sample: l.top(sample),
            north: if LINEAR { l.top(north) } else { 0 },
            error: l.top(error),
        };
    }
    Step {
        states: if EDGE {
            l.select(active, states, s.states)
        } else {
            states
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

/// The column and the row of each lane; rows before the first are negative.
#[inline(always)]
fn place<L: Lanes>(
    l: L,
    order: &Order,
    fixed: &Fixed<L>,
    group: usize,
    phase: usize,
) -> (L::Vector, L::Vector) {
    let column = l.sub(l.splat(phase as i32), l.add(fixed.lane, fixed.lane));
    let row = l.add(l.splat((group * LANES) as i32), fixed.lane);
    let behind = l.less(column, l.splat(0));
    (
        l.select(behind, l.add(column, l.splat(order.period as i32)), column),
        l.select(behind, l.sub(row, l.splat(LANES as i32)), row),
    )
}
