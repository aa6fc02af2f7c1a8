//! Lanes as arrays: the meaning of every operation, and what runs where nothing better does.

use std::array::from_fn;

use super::{LANES, Lanes, SLOTS, Slots, Words};

#[derive(Clone, Copy)]
pub(super) struct Scalar;

type Vector = [i32; LANES];

#[inline(always)]
fn each(a: Vector, b: Vector, f: impl Fn(i32, i32) -> i32) -> Vector {
    from_fn(|lane| f(a[lane], b[lane]))
}

#[allow(clippy::inline_always)]
impl Lanes for Scalar {
    type Vector = Vector;
    type Mask = [bool; LANES];

    #[inline(always)]
    fn load(self, lanes: &Vector) -> Vector {
        *lanes
    }

    #[inline(always)]
    fn store(self, vector: Vector) -> Vector {
        vector
    }

    #[inline(always)]
    fn splat(self, value: i32) -> Vector {
        [value; LANES]
    }

    #[inline(always)]
    fn narrow(self, vector: Vector, to: &mut [u16; LANES]) {
        for (to, from) in to.iter_mut().zip(vector) {
            *to = from as u16;
        }
    }

    #[inline(always)]
    fn add(self, a: Vector, b: Vector) -> Vector {
        each(a, b, i32::wrapping_add)
    }

    #[inline(always)]
    fn sub(self, a: Vector, b: Vector) -> Vector {
        each(a, b, i32::wrapping_sub)
    }

    #[inline(always)]
    fn mul(self, a: Vector, b: Vector) -> Vector {
        each(a, b, i32::wrapping_mul)
    }

    #[inline(always)]
    fn min(self, a: Vector, b: Vector) -> Vector {
        each(a, b, i32::min)
    }

    #[inline(always)]
    fn max(self, a: Vector, b: Vector) -> Vector {
        each(a, b, i32::max)
    }

    #[inline(always)]
    fn and(self, a: Vector, b: Vector) -> Vector {
        each(a, b, |a, b| a & b)
    }

    #[inline(always)]
    fn xor(self, a: Vector, b: Vector) -> Vector {
        each(a, b, |a, b| a ^ b)
    }

    #[inline(always)]
    fn shl(self, a: Vector, by: Vector) -> Vector {
        each(a, by, |a, by| a.wrapping_shl(by as u32))
    }

    #[inline(always)]
    fn shr(self, a: Vector, by: Vector) -> Vector {
        each(a, by, |a, by| (a as u32).wrapping_shr(by as u32) as i32)
    }

    #[inline(always)]
    fn sar(self, a: Vector, by: Vector) -> Vector {
        each(a, by, |a, by| a.wrapping_shr(by as u32))
    }

    #[inline(always)]
    fn float_bits(self, a: Vector) -> Vector {
        from_fn(|lane| (a[lane] as f32).to_bits() as i32)
    }

    #[inline(always)]
    fn equal(self, a: Vector, b: Vector) -> [bool; LANES] {
        from_fn(|lane| a[lane] == b[lane])
    }

    #[inline(always)]
    fn less(self, a: Vector, b: Vector) -> [bool; LANES] {
        from_fn(|lane| a[lane] < b[lane])
    }

    #[inline(always)]
    fn both(self, a: [bool; LANES], b: [bool; LANES]) -> [bool; LANES] {
        from_fn(|lane| a[lane] & b[lane])
    }

    #[inline(always)]
    fn any(self, a: [bool; LANES]) -> bool {
        a.iter().fold(false, |any, &one| any | one)
    }

    #[inline(always)]
    fn select(self, mask: [bool; LANES], yes: Vector, no: Vector) -> Vector {
        from_fn(|lane| if mask[lane] { yes[lane] } else { no[lane] })
    }

    #[inline(always)]
    fn shift_in(self, vector: Vector, first: i32) -> Vector {
        from_fn(|lane| if lane == 0 { first } else { vector[lane - 1] })
    }

    #[inline(always)]
    fn top(self, vector: Vector) -> i32 {
        vector[LANES - 1]
    }

    #[inline(always)]
    fn lookup(self, table: &[i32; 32], index: Vector) -> Vector {
        from_fn(|lane| table[index[lane] as usize & 31])
    }

    #[inline(always)]
    fn gather(self, slots: &Slots, index: Vector) -> Vector {
        from_fn(|lane| slots[index[lane] as usize & (SLOTS - 1)] as i32)
    }

    #[inline(always)]
    fn refill(self, states: Vector, mask: [bool; LANES], words: &mut Words) -> Vector {
        let mut spare = [0; 2 * LANES];
        let next = words.peek(&mut spare);
        let mut taken = 0;
        let filled = from_fn(|lane| {
            // At most `lane` words were taken by the lanes before.
            let at = 2 * (taken as usize & (LANES - 1));
            let word = i32::from(u16::from_le_bytes([next[at], next[at + 1]]));
            taken += u32::from(mask[lane]);
            if mask[lane] {
                states[lane] << 16 | word
            } else {
                states[lane]
            }
        });
        words.take(taken);
        filled
    }
}
