//! The decoder's loop: 64 rows side by side, 32 of each band, each two columns behind the row above.
//!
//! What a lane needs of the row above was decoded by the lane beside it one, two and three steps
//! ago, so neighbours come from registers. Lane 0 goes on below lane 31: what it needs of that row
//! is kept in `above`, one cell for each column. The two bands know nothing of each other, so that
//! while one waits for its tables, the other is at work.

use super::super::order::{BLOCK, Order, Places, SKEW, Walk};
use super::super::sink::Sink;
use super::super::table::{DIRECT, EXTRA_BITS, LEVEL_BASE, LEVELS, RENORM};
use super::{BAND, Bits, LANES, Lanes, Slots, Window, Words};

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
pub(super) fn decode<L: Lanes>(l: L, job: Job, order: &Order) -> bool {
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
struct Fixed<'a> {
    /// All lanes where the left neighbour's residual counts for the choice of a table.
    left: [u32; 2],
    /// All bits of a sample.
    mask: u16,
    table_bits: u32,
    slots: &'a Slots,
    /// The weights of west and west-west, of north and north-north, of north-west and north-east.
    weights: [i32; 3],
    /// The tables of the levels, where the upper bits of an activity as a float point to.
    tables: [u32; LEVELS],
}

/// What a block of steps reads and writes beside its samples.
struct Streams<'a, 'b> {
    words: Window<'a>,
    extra: &'a mut Bits<'b>,
    above: &'a mut [Cell],
}

#[inline(always)]
fn run<L: Lanes, const LINEAR: bool>(l: L, job: Job, order: &Order) -> bool {
    let Job {
        mut words,
        mut extra,
        mut sink,
        above,
        ..
    } = job;
    above.fill(Cell {
        sample: [job.fill; 2],
        north: [job.fill; 2],
        error: [0; 2],
    });
    let [w, n, nw, ne, ww, nn] = job.weights;
    let fixed = Fixed {
        left: [if job.left { u32::MAX } else { 0 }; 2],
        mask: job.mask,
        table_bits: job.table_bits,
        slots: job.slots,
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
    let mut samples = [[0; LANES]; BLOCK];
    let mut place = (0, 0);
    for _ in (0..order.steps).step_by(BLOCK) {
        let (group, phase) = place;
        let walk = order.walk(group, phase);
        let mut streams = Streams {
            words: words.block(),
            extra: &mut extra,
            above,
        };
        let from = (order, place, step);
        (place, step) = match walk {
            Walk::Inner => {
                block::<L, LINEAR, false, true>(l, &fixed, from, &mut streams, &mut samples)
            }
            Walk::Full => {
                block::<L, LINEAR, true, true>(l, &fixed, from, &mut streams, &mut samples)
            }
            Walk::Any => {
                block::<L, LINEAR, true, false>(l, &fixed, from, &mut streams, &mut samples)
            }
        };
        let taken = streams.words.at;
        words.take(taken);
        sink.block(&samples, order, (group, phase), walk);
    }
    l.store_wide(step.states) == [RENORM; LANES] && words.ended() && extra.ended()
}

/// Decode a block of steps. `ENDS`: rows begin or end in it. `ALL`: every lane has a sample in each.
#[inline(always)]
fn block<L: Lanes, const LINEAR: bool, const ENDS: bool, const ALL: bool>(
    l: L,
    fixed: &Fixed,
    (order, (mut group, mut phase), mut step): (&Order, (usize, usize), Step<L>),
    streams: &mut Streams,
    block: &mut [[u16; LANES]; BLOCK],
) -> ((usize, usize), Step<L>) {
    for samples in block {
        if group == 0 {
            stand_in(l, streams.above, &step, phase);
        }
        let at = At::new::<ENDS, ALL>(order, group, phase);
        step = next::<L, LINEAR, ENDS, ALL>(l, fixed, streams, step, &at, samples);
        phase += 1;
        if ENDS && phase == order.period {
            (group, phase) = (group + 1, 0);
        }
    }
    ((group, phase), step)
}

/// Where a step is.
struct At {
    /// The cell of lane 0, and the next one.
    here: usize,
    east: usize,
    /// The cell of lane 31. Before that has come to its first row, nobody looks at it.
    behind: usize,
    places: Places,
}

impl At {
    #[inline(always)]
    fn new<const ENDS: bool, const ALL: bool>(order: &Order, group: usize, phase: usize) -> Self {
        let behind = SKEW * (BAND - 1);
        Self {
            here: phase,
            east: if ENDS && phase + 1 == order.period {
                0
            } else {
                phase + 1
            },
            behind: if ENDS && phase < behind {
                phase + order.period - behind
            } else {
                phase - behind
            },
            places: match (ENDS, ALL) {
                (false, _) => Places::INNER,
                (true, true) => order.ends(phase),
                (true, false) => order.places(group, phase),
            },
        }
    }
}

/// Let the first row of each band stand for the one above it, two columns to the right.
#[inline(always)]
fn stand_in<L: Lanes>(l: L, above: &mut [Cell], step: &Step<L>, phase: usize) {
    if let Some(cell) = above.get_mut(phase + 1) {
        let sample = l.bottoms(step.sample);
        *cell = Cell {
            sample,
            north: sample,
            error: l.bottoms(step.error),
        };
    }
}

/// Decode a sample in every lane.
#[inline(always)]
fn next<L: Lanes, const LINEAR: bool, const ENDS: bool, const ALL: bool>(
    l: L,
    fixed: &Fixed,
    streams: &mut Streams,
    s: Step<L>,
    at: &At,
    samples: &mut [u16; LANES],
) -> Step<L> {
    let (here, east) = (streams.above[at.here], streams.above[at.east]);
    let (north, error_north) = (s.north_east, s.error_north_east);
    let north_east = l.shift_in(s.sample, east.sample);
    let error_north_east = l.shift_in(s.error, east.error);

    let (mut west, mut west_west, mut north_west) = (s.sample, s.west, s.north);
    let (mut error_west, mut error_north_west) = (s.error, s.error_north);
    let (mut used_east, mut error_used_east) = (north_east, error_north_east);
    if ENDS {
        let first = l.mask([at.places.first; 2]);
        west = l.select(first, north, west);
        west_west = l.select(first, north, west_west);
        north_west = l.select(first, north, north_west);
        error_west = l.select(first, error_north, error_west);
        error_north_west = l.select(first, error_north, error_north_west);
        let last = l.mask([at.places.last; 2]);
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
    let left = l.mask(fixed.left);
    let last = l.select(left, l.add_most(error_west, error_west), error_north);
    let activity = l.add_most(l.add_most(sides, error_north), last);
    let level = l.shr_wide(l.float_bits(l.widen(activity)), l.splat_wide(22));
    let slot = l.and_wide(s.states, l.splat_wide((1 << fixed.table_bits) - 1));
    let slot = l.add_wide(l.lookup(&fixed.tables, level), slot);
    let entry = l.gather(fixed.slots, slot);
    let symbol = l.and_wide(entry, l.splat_wide(0xff));
    let frequency = l.and_wide(l.shr_wide(entry, l.splat_wide(8)), l.splat_wide(0xfff));
    let states = l.add_wide(
        l.mul_wide(
            frequency,
            l.shr_wide(s.states, l.splat_wide(fixed.table_bits)),
        ),
        l.shr_wide(entry, l.splat_wide(20)),
    );
    let low = l.less_wide(states, l.splat_wide(RENORM));
    let mut coded = l.narrow(symbol);
    let mut wide = l.above(coded, DIRECT as i16 - 1);
    let states = if ALL {
        l.refill(states, low, &mut streams.words)
    } else {
        let active = at.places.active;
        wide &= u64::from(active[0]) | u64::from(active[1]) << BAND;
        let active = l.wide_mask(active);
        let states = l.refill(states, l.both_wide(low, active), &mut streams.words);
        l.select_wide(active, states, s.states)
    };
    if wide != 0 {
        let mut symbols = [0; LANES];
        l.store(coded, &mut symbols);
        while wide != 0 {
            let lane = wide.trailing_zeros() as usize % LANES;
            let token = u32::from(symbols[lane]) - DIRECT;
            let bits = (token >> 2) + EXTRA_BITS;
            let value = ((token & 3 | 4) << bits) + streams.extra.take(bits);
            coded = l.put(coded, lane, (value - (256 - DIRECT)) as u16);
            wide &= wide - 1;
        }
    }

    let sign = l.sub(l.splat(0), l.and(coded, l.splat(1)));
    let residual = l.xor(l.half(coded), sign);
    let sample = l.and(l.add(predicted, residual), l.splat(fixed.mask));
    let error = l.average(coded, l.splat(0));
    l.store(sample, samples);
    streams.above[at.behind] = Cell {
        sample: l.tops(sample),
        north: l.tops(north),
        error: l.tops(error),
    };
    Step {
        states,
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
