//! How seeds become hostile: what breaks parsers of binary formats, drawn from one number.

/// Bytes of the longest input that mutation makes.
pub const LONGEST: usize = 64 << 10;

/// A source of chance that is the same everywhere (splitmix64).
pub struct Chance(u64);

impl Chance {
    /// Begin from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, 0 where there is none.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % (end as u64).max(1)) as usize
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// A part of what has `length` bytes, most often a short one.
    fn run(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let longest = self.one_of(&[4, 16, 64, length]);
        start..length.min(start + self.below(longest + 1))
    }
}

/// A seed with one or a few mutations.
pub fn mutated(seeds: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut data = seeds[chance.below(seeds.len())].clone();
    for _ in 0..chance.one_of(&[1, 1, 1, 2, 2, 4, 8]) {
        mutate(&mut data, seeds, chance);
        data.truncate(LONGEST);
    }
    data
}

fn mutate(data: &mut Vec<u8>, seeds: &[Vec<u8>], chance: &mut Chance) {
    let at = chance.below(data.len());
    let run = chance.run(data.len());
    let other = &seeds[chance.below(seeds.len())];
    match chance.below(12) {
        0 => data
            .iter_mut()
            .skip(at)
            .take(1)
            .for_each(|byte| *byte ^= 1 << chance.below(8)),
        1 => data
            .iter_mut()
            .skip(at)
            .take(1)
            .for_each(|byte| *byte = chance.one_of(&[0, 1, 0x7F, 0x80, 0xFE, 0xFF, 0x1B, 0x5C])),
        2..=4 => set_number(data, at, chance),
        5 => data[run].fill(chance.one_of(&[0, 0xFF, 0x20, 0x41])),
        6 => data.truncate(at),
        7 => drop(data.drain(run)),
        8 => {
            let part = data[run.clone()].to_vec();
            let times = chance.one_of(&[1, 2, 3, 16, 1000]);
            let most = LONGEST / part.len().max(1);
            data.splice(run.end..run.end, part.repeat(times.min(most)));
        }
        9 => {
            let part = other[chance.run(other.len())].to_vec();
            data.splice(at..at, part);
        }
        10 => {
            let part = &other[chance.run(other.len())];
            let end = data.len().min(at + part.len());
            data.splice(at..end, part.iter().copied());
        }
        _ => {
            data.truncate(at);
            data.extend(other.get(at..).unwrap_or_default());
        }
    }
}

/// Write a number that lengths and counts should not be, or hardly ever are.
fn set_number(data: &mut [u8], at: usize, chance: &mut Chance) {
    let size = chance
        .one_of(&[1, 2, 4, 4, 4, 8])
        .min(data.len() - at.min(data.len()));
    let at = if chance.below(2) == 0 { at & !1 } else { at };
    let left = (data.len() - at - size) as u64;
    let most = u64::MAX.checked_shr(64 - 8 * size as u32).unwrap_or(0);
    let (half, all) = (most >> 1, data.len() as u64);
    let some = [
        0,
        1,
        2,
        most,
        most.wrapping_sub(1),
        half,
        half + 1,
        left,
        left + 1,
        all,
    ];
    let number = chance.one_of(&some);
    let bytes = &mut data[at..at + size];
    if chance.below(2) == 0 {
        bytes.copy_from_slice(&number.to_le_bytes()[..size]);
    } else {
        bytes.copy_from_slice(&number.to_be_bytes()[8 - size..]);
    }
}
