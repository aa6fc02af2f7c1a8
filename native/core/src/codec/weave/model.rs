//! The encoder's look at a chunk: what each sample is coded as, and how often what comes.

use super::super::lanes::{FIRST_MISS, LANES};
use super::super::model::Tally;
use super::super::predict::{WEIGHT_BITS, Weights};
use super::super::table::{DIRECT, LEVEL_BASE};

/// What a chunk is coded as, in steps of 64 samples: of each row its even columns, then its odd ones.
#[derive(Default)]
pub(super) struct Coding {
    /// The residual of each sample: 0, -1, 1, -2, ... as 0, 1, 2, 3, ....
    pub(super) coded: Vec<[u16; LANES]>,
    /// The symbol of each sample, with its level above it.
    pub(super) symbols: Vec<[u16; LANES]>,
}

impl Coding {
    /// Code samples, and count the symbols of even and odd columns by level.
    pub(super) fn make(
        &mut self,
        samples: &[u16],
        columns: usize,
        weights: [Weights; 2],
    ) -> [Box<Tally>; 2] {
        let steps = columns.div_ceil(2).div_ceil(LANES);
        let all = samples.len().div_ceil(columns) * 2 * steps;
        for room in [&mut self.coded, &mut self.symbols] {
            room.resize(room.len().max(all), [0; LANES]);
        }
        let mut tallies = [Tally::new(), Tally::new()];
        let mut pass = Pass::new(columns, samples[0], weights);
        let to = self
            .coded
            .chunks_mut(2 * steps)
            .zip(self.symbols.chunks_mut(2 * steps));
        for (row, (coded, symbols)) in samples.chunks(columns).zip(to) {
            pass.run(row);
            for (odd, half) in pass.halves.iter().enumerate() {
                let count = (row.len() + 1 - odd) / 2;
                let place = odd * steps..(odd + 1) * steps;
                let part = coded[place.clone()].as_flattened_mut();
                part[..count].copy_from_slice(&half.coded[0][1..=count]);
                symbols[place].as_flattened_mut()[..count].copy_from_slice(&half.symbols[..count]);
                tallies[odd].add(&half.symbols[..count]);
            }
        }
        tallies
    }
}

/// Half a row and those above it, the least first. Column `c` is at `c + 1`, its symbol at `c`.
struct Half {
    weights: [i32; 6],
    samples: [Vec<u16>; 3],
    coded: [Vec<u16>; 2],
    symbols: Vec<u16>,
}

/// One row after another: its even and its odd columns.
struct Pass {
    halves: [Half; 2],
}

impl Pass {
    fn new(columns: usize, fill: u16, weights: [Weights; 2]) -> Self {
        let length = columns.div_ceil(2);
        let halves = weights.map(|weights| Half {
            weights: weights.map(i32::from),
            samples: std::array::from_fn(|_| vec![fill; length + 2]),
            coded: std::array::from_fn(|_| vec![2 * FIRST_MISS; length + 2]),
            symbols: vec![0; length],
        });
        Self { halves }
    }

    /// Go on with a row.
    fn run(&mut self, row: &[u16]) {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl") {
            // SAFETY: the instructions are there.
            #[allow(unsafe_code)]
            return unsafe { self.run_avx512(row) };
        } else if is_x86_feature_detected!("avx2") {
            // SAFETY: the instructions are there.
            #[allow(unsafe_code)]
            return unsafe { self.run_avx2(row) };
        }
        self.run_any(row);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn run_avx512(&mut self, row: &[u16]) {
        self.run_any(row);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn run_avx2(&mut self, row: &[u16]) {
        self.run_any(row);
    }

    #[inline(always)]
    fn run_any(&mut self, row: &[u16]) {
        let (pairs, last) = row.as_chunks::<2>();
        let [even, odd] = &mut self.halves;
        for half in [&mut *even, &mut *odd] {
            half.samples.rotate_right(1);
            half.coded.rotate_right(1);
        }
        let [evens, odds] = [&mut even.samples[0][1..], &mut odd.samples[0][1..]];
        for ((&[a, b], even), odd) in pairs.iter().zip(&mut *evens).zip(odds) {
            (*even, *odd) = (a, b);
        }
        if let [last] = last {
            evens[pairs.len()] = *last;
        }
        let counts = [row.len().div_ceil(2), row.len() / 2];
        for (half, count) in [&mut *even, &mut *odd].into_iter().zip(counts) {
            extend(&mut half.samples[0], count);
        }
        even.code::<false>(odd, counts[0]);
        odd.code::<true>(even, counts[1]);
    }
}

/// Let the first and the last of half a row stand for those beside them.
#[inline(always)]
fn extend(row: &mut [u16], count: usize) {
    if count > 0 {
        (row[0], row[count + 1]) = (row[1], row[count]);
    }
}

impl Half {
    /// Code the first `count` samples of the half.
    #[inline(always)]
    fn code<const ODD: bool>(&mut self, other: &Self, count: usize) {
        let [row, above, second] = &self.samples;
        let (row, north, north_north) = (
            &row[1..][..count],
            &above[1..][..count],
            &second[1..][..count],
        );
        let side = usize::from(ODD);
        let north_west = &other.samples[1][side..][..count];
        let north_east = &other.samples[1][side + 1..][..count];
        let (left, right) = if ODD {
            (
                &other.samples[0][1..][..count],
                &other.samples[0][2..][..count],
            )
        } else {
            (&above[..count], &above[2..][..count])
        };
        let weights = self.weights;
        let coded = &mut self.coded[0];
        for (at, coded) in coded[1..][..count].iter_mut().enumerate() {
            let [n, nn, nw, ne] =
                [north[at], north_north[at], north_west[at], north_east[at]].map(i32::from);
            let [l, r] = [left[at], right[at]].map(i32::from);
            let sum = weights[0] * n
                + weights[1] * nn
                + weights[2] * nw
                + weights[3] * ne
                + weights[4] * l
                + weights[5] * r
                + (1 << (WEIGHT_BITS - 1));
            let (a, b) = if ODD { (l, r) } else { (nw, ne) };
            let (low, high) = (n.min(a.min(b)), n.max(a.max(b)));
            let predicted = (sum >> WEIGHT_BITS).max(low).min(high);
            let residual = i32::from(row[at].wrapping_sub(predicted as u16) as i16);
            *coded = (residual << 1 ^ residual >> 31) as u16;
        }
        extend(coded, count);
        self.tokens(&other.coded[1 - side][side..], count);
    }

    /// Write the symbol and the level of each column. `beside`: coded residuals to its left, to its
    /// right from the next one on.
    #[inline(always)]
    fn tokens(&mut self, beside: &[u16], count: usize) {
        let [coded, above] = &self.coded;
        let (coded, above) = (&coded[1..][..count], &above[1..][..count]);
        let (left, right) = (&beside[..count], &beside[1..][..count]);
        let size = |coded: u16| (i32::from(coded) + 1) >> 1;
        let upper = |value: i32, shift: u32| ((value as f32).to_bits() >> shift) as i32;
        for (at, symbol) in self.symbols[..count].iter_mut().enumerate() {
            let activity = size(left[at]) + size(right[at]) + 2 * size(above[at]) + 1;
            let level = upper(activity.min(0xffff), 22) - LEVEL_BASE as i32;
            let here = i32::from(coded[at]);
            let wide = upper(here + 256 - DIRECT as i32, 21) - (127 + 8) * 4 + DIRECT as i32;
            let own = if here < DIRECT as i32 { here } else { wide };
            *symbol = (level << 8 | own) as u16;
        }
    }
}
