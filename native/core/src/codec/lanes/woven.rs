//! The decoder's loop of the codec `weave`: a row at a time, its even columns and then its odd ones.
//!
//! A step is 64 samples of a half row, side by side. What they know of each other is nothing: all
//! they look at was decoded before, so neighbours are loads, and what is decoded is in its place.

use super::super::table::{LEVEL_BASE, LEVELS, RENORM};
use super::entropy::{self, Escapes, Looks, Streams};
use super::{LANES, Lanes, Words};

/// Steps that share a window of words.
const STEPS: usize = super::super::order::BLOCK;

/// What a sample of the row above the first was missed by.
pub(in super::super) const FIRST_MISS: u16 = 32;

/// Half a row and those above it; column `c` is at `c + 1`. The least first.
#[derive(Default)]
struct Half {
    samples: [Vec<u16>; 3],
    misses: [Vec<u16>; 2],
}

impl Half {
    fn begin(&mut self, columns: usize, fill: u16) {
        let length = columns.next_multiple_of(LANES) + 2;
        for row in &mut self.samples {
            row.clear();
            row.resize(length, fill);
        }
        for row in &mut self.misses {
            row.clear();
            row.resize(length, FIRST_MISS);
        }
    }

    /// Go on with the next row.
    fn next(&mut self) {
        self.samples.rotate_right(1);
        self.misses.rotate_right(1);
    }

    /// Let the first and the last of the row stand for those beside them.
    fn end(&mut self, columns: usize) {
        for row in [&mut self.samples[0], &mut self.misses[0]] {
            if columns > 0 {
                (row[0], row[columns + 1]) = (row[1], row[columns]);
            }
        }
    }
}

/// Rows that are kept while decoding: the even columns and the odd ones.
#[derive(Default)]
pub(in super::super) struct Woven([Half; 2]);

/// A chunk to be decoded. Samples are signed: less 2^15.
pub(in super::super) struct WovenJob<'a> {
    pub(in super::super) columns: usize,
    /// Of even and odd columns.
    pub(in super::super) weights: [[i8; 6]; 2],
    pub(in super::super) fill: u16,
    /// What samples are changed by on their way out.
    pub(in super::super) flip: u16,
    /// Of even and odd columns what each level uses: 64 for the second table, and above 16 bits how
    /// many low bits.
    pub(in super::super) uses: [[u32; LEVELS]; 2],
    pub(in super::super) looks: &'a Looks,
    /// In the order of words.
    pub(in super::super) states: [u32; LANES],
    pub(in super::super) words: Words<'a>,
    pub(in super::super) escapes: Escapes<'a>,
    pub(in super::super) rows: &'a mut Woven,
    pub(in super::super) bytes: &'a mut [u8],
}

/// What stays the same for all even, or all odd columns.
struct Fixed<'a> {
    weights: [i32; 3],
    /// What the levels use, where the upper bits of an activity as a float point to.
    levels: [u32; LEVELS],
    looks: &'a Looks,
}

/// Decode a chunk; false if the stream was not one that an encoder wrote.
#[inline(always)]
pub(super) fn decode<L: Lanes>(l: L, job: WovenJob) -> bool {
    let WovenJob {
        mut words,
        mut escapes,
        rows: Woven(rows),
        columns,
        ..
    } = job;
    let fixed = [0, 1].map(|odd| {
        let [a, b, c, d, e, f] = job.weights[odd];
        Fixed {
            weights: [(a, b), (c, d), (e, f)]
                .map(|(a, b)| i32::from(i16::from(a) as u16) | i32::from(b) << 16),
            levels: std::array::from_fn(|at| {
                job.uses[odd][(at + LEVELS - LEVEL_BASE % LEVELS) % LEVELS]
            }),
            looks: job.looks,
        }
    });
    let [even, odd] = rows;
    even.begin(columns.div_ceil(2), job.fill);
    odd.begin(columns.div_ceil(2), job.fill);
    let mut states = l.load_wide(&job.states);
    for row in job.bytes.chunks_mut(2 * columns) {
        let count = row.len() / 2;
        even.next();
        odd.next();
        let source = (&mut words, &mut escapes);
        states = half::<L, false>(l, &fixed[0], states, source, (even, odd), count.div_ceil(2));
        even.end(count.div_ceil(2));
        let source = (&mut words, &mut escapes);
        states = half::<L, true>(l, &fixed[1], states, source, (odd, even), count / 2);
        odd.end(count / 2);
        put(l, row, [&even.samples[0], &odd.samples[0]], job.flip);
    }
    l.store_wide(states) == [RENORM; LANES] && words.ended() && escapes.ended()
}

/// Decode the even or the odd columns of a row.
#[inline(always)]
fn half<L: Lanes, const ODD: bool>(
    l: L,
    fixed: &Fixed,
    mut states: L::Wide,
    (words, escapes): (&mut Words, &mut Escapes),
    (own, other): (&mut Half, &Half),
    count: usize,
) -> L::Wide {
    let mut at = 0;
    while at < count {
        let end = count.min(at + STEPS * LANES);
        let mut streams = Streams {
            words: words.block(),
            escapes: &mut *escapes,
        };
        while at + LANES <= end {
            states = step::<L, ODD, true>(l, fixed, states, &mut streams, own, other, at, LANES);
            at += LANES;
        }
        if at < end {
            let left = end - at;
            states = step::<L, ODD, false>(l, fixed, states, &mut streams, own, other, at, left);
            at = end;
        }
        let taken = streams.words.at;
        words.take(taken);
    }
    states
}

/// 64 samples of a row.
#[inline(always)]
fn load<L: Lanes>(l: L, row: &[u16], at: usize) -> L::Narrow {
    l.load(lanes(row, at))
}

/// 64 lanes of a row.
#[inline(always)]
fn lanes(row: &[u16], at: usize) -> &[u16; LANES] {
    row[at..].first_chunk().expect("rows have room for a step")
}

/// Decode a sample in every lane, or the first `count`.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn step<L: Lanes, const ODD: bool, const ALL: bool>(
    l: L,
    fixed: &Fixed,
    states: L::Wide,
    streams: &mut Streams,
    own: &mut Half,
    other: &Half,
    at: usize,
    count: usize,
) -> L::Wide {
    let side = at + usize::from(ODD);
    let [misses, misses_above] = &mut own.misses;
    let beside = &other.misses[usize::from(!ODD)];
    let sides = l.add_most(load(l, beside, side), load(l, beside, side + 1));
    let above = load(l, misses_above, at + 1);
    let activity = l.add_most(l.add_most(sides, l.splat(1)), l.add_most(above, above));
    let active = if ALL { u64::MAX } else { (1 << count) - 1 };
    let (states, coded) = entropy::next::<L, ALL>(
        l,
        (&fixed.levels, fixed.looks),
        states,
        activity,
        [active as u32, (active >> 32) as u32],
        streams,
    );

    let [samples, first, second] = &mut own.samples;
    let (north, north_north) = (load(l, first, at + 1), load(l, second, at + 1));
    let (north_west, north_east) = (
        load(l, &other.samples[1], side),
        load(l, &other.samples[1], side + 1),
    );
    let (left, right) = if ODD {
        (
            load(l, &other.samples[0], at + 1),
            load(l, &other.samples[0], at + 2),
        )
    } else {
        (load(l, first, at), load(l, first, at + 2))
    };
    let sum = l.linear(
        [
            (north, north_north),
            (north_west, north_east),
            (left, right),
        ],
        fixed.weights,
    );
    let (a, b) = if ODD {
        (left, right)
    } else {
        (north_west, north_east)
    };
    let low = l.min(north, l.min(a, b));
    let high = l.max(north, l.max(a, b));
    let predicted = l.min(l.max(sum, low), high);
    let sign = l.sub(l.splat(0), l.and(coded, l.splat(1)));
    let residual = l.xor(l.half(coded), sign);
    if let Some(to) = samples[at + 1..].first_chunk_mut() {
        l.store(l.add(predicted, residual), to);
    }
    if let Some(to) = misses[at + 1..].first_chunk_mut() {
        l.store(l.average(coded, l.splat(0)), to);
    }
    states
}

/// Put the even and the odd columns of a row in their place.
#[inline(always)]
fn put<L: Lanes>(l: L, row: &mut [u8], [even, odd]: [&[u16]; 2], flip: u16) {
    let (whole, rest) = row.as_chunks_mut::<{ 4 * LANES }>();
    let mut at = 1;
    for to in whole {
        l.weave(l.load(lanes(even, at)), l.load(lanes(odd, at)), flip, to);
        at += LANES;
    }
    if !rest.is_empty() {
        let mut last = [0; 4 * LANES];
        l.weave(
            l.load(lanes(even, at)),
            l.load(lanes(odd, at)),
            flip,
            &mut last,
        );
        rest.copy_from_slice(&last[..rest.len()]);
    }
}
