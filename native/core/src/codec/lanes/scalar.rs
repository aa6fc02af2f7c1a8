//! Lanes as arrays: the meaning of every operation, and what runs where nothing better does.
//!
//! Nothing is inlined into the loops: 64 lanes written out there take the compiler a minute.

use std::array::from_fn;

use super::super::predict::WEIGHT_BITS;
use super::{BAND, LANES, Lanes, Output, Window, lane_of};

#[derive(Clone, Copy)]
pub(super) struct Scalar;

type Narrow = [u16; LANES];
type Wide = [u32; LANES];
type Mask = [bool; LANES];

#[inline]
fn each<T: Copy>(a: [T; LANES], b: [T; LANES], f: impl Fn(T, T) -> T) -> [T; LANES] {
    from_fn(|lane| f(a[lane], b[lane]))
}

#[inline]
fn signed(a: Narrow, b: Narrow, f: impl Fn(i16, i16) -> i16) -> Narrow {
    from_fn(|lane| f(a[lane] as i16, b[lane] as i16) as u16)
}

/// Whether a lane is among the bits of its band.
#[inline]
fn is_in(bits: [u32; 2], lane: usize) -> bool {
    bits[lane / BAND] >> (lane % BAND) & 1 == 1
}

impl Lanes for Scalar {
    type Narrow = Narrow;
    type Wide = Wide;
    type Mask = Mask;
    type WideMask = Mask;

    #[inline(never)]
    fn splat(self, value: u16) -> Narrow {
        [value; LANES]
    }

    #[inline(never)]
    fn load(self, lanes: &Narrow) -> Narrow {
        *lanes
    }

    #[inline(never)]
    fn store(self, vector: Narrow, to: &mut [u16; LANES]) {
        *to = vector;
    }

    #[inline(never)]
    fn add(self, a: Narrow, b: Narrow) -> Narrow {
        each(a, b, u16::wrapping_add)
    }

    #[inline(never)]
    fn sub(self, a: Narrow, b: Narrow) -> Narrow {
        each(a, b, u16::wrapping_sub)
    }

    #[inline(never)]
    fn add_most(self, a: Narrow, b: Narrow) -> Narrow {
        each(a, b, u16::saturating_add)
    }

    #[inline(never)]
    fn average(self, a: Narrow, b: Narrow) -> Narrow {
        each(a, b, |a, b| {
            (u32::from(a) + u32::from(b)).div_ceil(2) as u16
        })
    }

    #[inline(never)]
    fn min(self, a: Narrow, b: Narrow) -> Narrow {
        signed(a, b, i16::min)
    }

    #[inline(never)]
    fn max(self, a: Narrow, b: Narrow) -> Narrow {
        signed(a, b, i16::max)
    }

    #[inline(never)]
    fn and(self, a: Narrow, b: Narrow) -> Narrow {
        each(a, b, |a, b| a & b)
    }

    #[inline(never)]
    fn xor(self, a: Narrow, b: Narrow) -> Narrow {
        each(a, b, |a, b| a ^ b)
    }

    #[inline(never)]
    fn half(self, a: Narrow) -> Narrow {
        a.map(|a| a >> 1)
    }

    #[inline(never)]
    fn linear(self, pairs: [(Narrow, Narrow); 3], weights: [i32; 3]) -> Narrow {
        from_fn(|lane| {
            let products = pairs.iter().zip(weights).map(|((a, b), weights)| {
                let (a, b) = (i32::from(a[lane] as i16), i32::from(b[lane] as i16));
                a * i32::from(weights as i16) + b * (weights >> 16)
            });
            let sum = (products.sum::<i32>() + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS;
            sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as u16
        })
    }

    #[inline(never)]
    fn above(self, a: Narrow, than: i16) -> u64 {
        let bit = |(lane, one)| u64::from(one as i16 > than) << lane;
        a.into_iter().enumerate().map(bit).sum()
    }

    #[inline(never)]
    fn put(self, mut vector: Narrow, lane: usize, value: u16) -> Narrow {
        vector[lane % LANES] = value;
        vector
    }

    #[inline(never)]
    fn mask(self, bits: [u32; 2]) -> Mask {
        from_fn(|lane| is_in(bits, lane))
    }

    #[inline(never)]
    fn select(self, mask: Mask, yes: Narrow, no: Narrow) -> Narrow {
        from_fn(|lane| if mask[lane] { yes[lane] } else { no[lane] })
    }

    #[inline(never)]
    fn shift_in(self, vector: Narrow, first: [u16; 2]) -> Narrow {
        from_fn(|lane| match lane % BAND {
            0 => first[lane / BAND],
            _ => vector[lane - 1],
        })
    }

    #[inline(never)]
    fn bottoms(self, vector: Narrow) -> [u16; 2] {
        [vector[0], vector[BAND]]
    }

    #[inline(never)]
    fn tops(self, vector: Narrow) -> [u16; 2] {
        [vector[BAND - 1], vector[LANES - 1]]
    }

    #[inline(never)]
    fn weave(self, even: Narrow, odd: Narrow, flip: u16, to: &mut [u8; 4 * LANES]) {
        let pairs = even
            .into_iter()
            .zip(odd)
            .flat_map(|(even, odd)| [even, odd]);
        for (to, sample) in to.as_chunks_mut().0.iter_mut().zip(pairs) {
            *to = (sample ^ flip).to_le_bytes();
        }
    }

    #[inline(never)]
    fn widen(self, vector: Narrow) -> Wide {
        from_fn(|at| u32::from(vector[lane_of(at)]))
    }

    #[inline(never)]
    fn narrow(self, vector: Wide) -> Narrow {
        let mut lanes = [0; LANES];
        for (at, wide) in vector.into_iter().enumerate() {
            lanes[lane_of(at)] = wide as u16;
        }
        lanes
    }

    #[inline(never)]
    fn load_wide(self, lanes: &Wide) -> Wide {
        *lanes
    }

    #[inline(never)]
    fn store_wide(self, vector: Wide) -> Wide {
        vector
    }

    #[inline(never)]
    fn splat_wide(self, value: u32) -> Wide {
        [value; LANES]
    }

    #[inline(never)]
    fn add_wide(self, a: Wide, b: Wide) -> Wide {
        each(a, b, u32::wrapping_add)
    }

    #[inline(never)]
    fn sub_wide(self, a: Wide, b: Wide) -> Wide {
        each(a, b, u32::wrapping_sub)
    }

    #[inline(never)]
    fn mul_wide(self, a: Wide, b: Wide) -> Wide {
        each(a, b, u32::wrapping_mul)
    }

    #[inline(never)]
    fn and_wide(self, a: Wide, b: Wide) -> Wide {
        each(a, b, |a, b| a & b)
    }

    #[inline(never)]
    fn shl_wide(self, a: Wide, by: Wide) -> Wide {
        each(a, by, u32::wrapping_shl)
    }

    #[inline(never)]
    fn shr_wide(self, a: Wide, by: Wide) -> Wide {
        each(a, by, u32::wrapping_shr)
    }

    #[inline(never)]
    fn float_bits(self, a: Wide) -> Wide {
        a.map(|a| (a as f32).to_bits())
    }

    #[inline(never)]
    fn wide_mask(self, bits: [u32; 2]) -> Mask {
        from_fn(|at| is_in(bits, lane_of(at)))
    }

    #[inline(never)]
    fn less_wide(self, a: Wide, b: Wide) -> Mask {
        from_fn(|at| a[at] < b[at])
    }

    #[inline(never)]
    fn both_wide(self, a: Mask, b: Mask) -> Mask {
        from_fn(|at| a[at] & b[at])
    }

    #[inline(never)]
    fn select_wide(self, mask: Mask, yes: Wide, no: Wide) -> Wide {
        from_fn(|at| if mask[at] { yes[at] } else { no[at] })
    }

    #[inline(never)]
    fn lookup(self, table: &[u32; 32], index: Wide) -> Wide {
        index.map(|index| table[index as usize & 31])
    }

    #[inline(never)]
    fn gather<const N: usize>(self, table: &[u32; N], index: Wide) -> Wide {
        index.map(|index| table[index as usize & (N - 1)])
    }

    #[inline(never)]
    fn divide(self, a: Wide, by: Wide) -> (Wide, Wide) {
        let by = by.map(|by| by.max(1));
        (each(a, by, |a, by| a / by), each(a, by, |a, by| a % by))
    }

    #[inline(never)]
    fn refill(self, states: Wide, mask: Mask, words: &mut Window) -> Wide {
        let next = *words.peek();
        let mut taken = 0;
        let filled = from_fn(|at| {
            // At most `at` words were taken by the lanes before.
            let word = 2 * (taken as usize & (LANES - 1));
            let word = u32::from(u16::from_le_bytes([next[word], next[word + 1]]));
            taken += u32::from(mask[at]);
            if mask[at] {
                states[at] << 16 | word
            } else {
                states[at]
            }
        });
        words.take(taken);
        filled
    }

    #[inline(never)]
    fn give(self, mut states: Wide, mask: Mask, output: &mut Output) -> Wide {
        for at in (0..LANES).rev().filter(|&at| mask[at]) {
            if let Some(to) = output.next::<1>(1) {
                to[0] = states[at] as u16;
            }
            states[at] >>= 16;
        }
        states
    }
}
