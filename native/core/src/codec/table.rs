//! Frequency tables: how often each symbol comes at each level of activity.

use super::Invalid;
use super::lanes::{SLOTS, Slots};
use super::model::Tally;

/// Levels of activity: half octaves.
pub(super) const LEVELS: usize = 32;
/// The upper bits of the least activity as a float: 1.0.
pub(super) const LEVEL_BASE: usize = 254;
/// At most so many tables share the levels.
pub(super) const TABLES: usize = 16;

/// Symbols below this are coded residuals; from here on they carry further bits.
pub(super) const DIRECT: u32 = 192;
/// The further bits of symbols 192 to 195; one more for each four after them.
pub(super) const EXTRA_BITS: u32 = 6;
/// One more than the largest symbol: that of a coded residual of 65535.
pub(super) const SYMBOLS: usize = 225;

/// The least state of the entropy coder; below it a word is taken in.
pub(super) const RENORM: u32 = 1 << 16;

/// Bits of a frequency after its first that are stored.
const MANTISSA: u32 = 2;

/// A length of 12 bits differs from the one before by 12 at most, which is 24 ones.
const MOST_ONES: u32 = 2 * 12;

/// Counts of symbols.
pub(super) type Counts = [u32; SYMBOLS];

/// Frequencies that sum to `1 << bits`, none of them all of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Frequencies {
    each: [u16; SYMBOLS],
    /// The symbol that has what the others leave; its frequency is not stored.
    rest: usize,
}

impl Frequencies {
    /// The frequencies that fit `counts` within what can be stored.
    pub(super) fn fit(counts: &Counts, bits: u32) -> Self {
        let whole = 1_u32 << bits;
        let total = counts
            .iter()
            .map(|&count| u64::from(count))
            .sum::<u64>()
            .max(1);
        let rest = (0..SYMBOLS)
            .max_by_key(|&symbol| counts[symbol])
            .unwrap_or(0);
        let mut scale = f64::from(whole) / total as f64;
        loop {
            let mut frequencies = counts.map(|count| match count {
                0 => 0,
                count => storable((f64::from(count) * scale).round().max(1.0) as u32) as u16,
            });
            frequencies[rest] = 0;
            if frequencies.iter().all(|&frequency| frequency == 0) {
                // A lone symbol leaves a little to another, which never comes.
                frequencies[usize::from(rest == 0)] = 1;
            }
            let others: u32 = frequencies
                .iter()
                .map(|&frequency| u32::from(frequency))
                .sum();
            if others < whole {
                frequencies[rest] = (whole - others) as u16;
                return Self {
                    each: frequencies,
                    rest,
                };
            }
            scale *= 0.96;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.each.iter().map(|&frequency| u32::from(frequency))
    }

    /// Write the slots of a decoder: symbol, frequency, place within the symbol.
    pub(super) fn spread(&self, slots: &mut [u32]) {
        let mut rest = slots;
        for (symbol, frequency) in self.iter().enumerate() {
            let Some((own, others)) = rest.split_at_mut_checked(frequency as usize) else {
                return;
            };
            let first = frequency << 8 | symbol as u32;
            for (place, slot) in own.iter_mut().enumerate() {
                *slot = (place as u32) << 20 | first;
            }
            rest = others;
        }
    }

    pub(super) fn write(&self, bits: &mut BitWriter) {
        let last = (0..SYMBOLS)
            .rev()
            .find(|&symbol| self.each[symbol] > 0)
            .unwrap_or(0);
        bits.put(last as u32, 8);
        bits.put(self.rest as u32, 8);
        let mut before = 0;
        for (symbol, frequency) in self.iter().enumerate().take(last + 1) {
            if symbol == self.rest {
                continue;
            }
            let length = u32::BITS - frequency.leading_zeros();
            // 0 for the same length, then -1, 1, -2, 2, ...: that many ones, and a zero.
            let (up, down) = (length.saturating_sub(before), before.saturating_sub(length));
            let ones = if up > 0 {
                2 * up
            } else {
                (2 * down).saturating_sub(1)
            };
            bits.put((1 << ones) - 1, ones);
            bits.put(0, 1);
            if length > 1 {
                let kept = MANTISSA.min(length - 1);
                bits.put(frequency >> (length - 1 - kept) & ((1 << kept) - 1), kept);
            }
            before = length;
        }
    }

    pub(super) fn read(bits: &mut BitReader, table_bits: u32) -> Result<Self, Invalid> {
        let (last, rest) = (bits.take(8)? as usize, bits.take(8)? as usize);
        if last >= SYMBOLS || rest > last {
            return Err(Invalid("a frequency table of too many symbols"));
        }
        let whole = 1_u32 << table_bits;
        let mut frequencies = [0; SYMBOLS];
        let (mut before, mut others) = (0_i32, 0_u32);
        for (symbol, frequency) in frequencies.iter_mut().enumerate().take(last + 1) {
            if symbol == rest {
                continue;
            }
            let ones = bits.ones()?;
            if ones > 2 * table_bits {
                return Err(Invalid("a frequency out of bounds"));
            }
            let step = (ones as i32 + 1) / 2;
            let length = if ones % 2 == 0 {
                before + step
            } else {
                before - step
            };
            if !(0..=table_bits as i32).contains(&length) {
                return Err(Invalid("a frequency out of bounds"));
            }
            before = length;
            if length > 0 {
                let kept = MANTISSA.min(length as u32 - 1);
                let top = 1 << kept | bits.take(kept)?;
                let value = top << (length as u32 - 1 - kept);
                *frequency = value as u16;
                others += value;
            }
        }
        // Neither nothing nor all of it is left to the most frequent one.
        if others == 0 || others >= whole {
            return Err(Invalid("frequencies that do not sum up"));
        }
        frequencies[rest] = (whole - others) as u16;
        Ok(Self {
            each: frequencies,
            rest,
        })
    }
}

/// The next lower number that can be stored: its first bit and two after it.
fn storable(frequency: u32) -> u32 {
    let length = u32::BITS - frequency.leading_zeros();
    let dropped = length.saturating_sub(1 + MANTISSA);
    // Rounded, which may carry into one more bit: that is storable too.
    let half = if dropped > 0 { 1 << (dropped - 1) } else { 0 };
    (frequency + half) >> dropped << dropped
}

/// Which levels share a table: bit `i` is set where level `i` begins a new one.
pub(super) fn first_levels(map: u32) -> Result<[u8; LEVELS], Invalid> {
    let mut table = 0_u8;
    let mut tables = [0; LEVELS];
    for (level, tables) in tables.iter_mut().enumerate().skip(1) {
        table += (map >> level & 1) as u8;
        *tables = table;
    }
    if usize::from(table) >= TABLES || map & 1 == 1 {
        return Err(Invalid("levels in too many tables"));
    }
    Ok(tables)
}

/// Merge the counts of neighbouring levels while that pays; `most` tables at last.
///
/// Returns the map of levels, the counts of each table, and about how many bits they will take.
#[inline(never)]
pub(super) fn cluster(tally: &Tally, most: usize) -> (u32, Vec<Counts>, f64) {
    let used = (0..LEVELS)
        .map(|level| (level, tally.level(level)))
        .filter(|(_, counts)| counts.iter().any(|&n| n > 0));
    let mut groups: Vec<(usize, Counts, f64)> = used
        .map(|(level, counts)| (level, counts, bits_of(&counts)))
        .collect();
    let join = |a: &Counts, b: &Counts| -> Counts { std::array::from_fn(|at| a[at] + b[at]) };
    let loss = |pair: &[(usize, Counts, f64)]| {
        bits_of(&join(&pair[0].1, &pair[1].1)) - pair[0].2 - pair[1].2
    };
    let mut losses: Vec<f64> = groups.windows(2).map(loss).collect();
    while let Some((at, &least)) = losses.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)) {
        if least > 0.0 && groups.len() <= most {
            break;
        }
        let (_, counts, _) = groups.remove(at + 1);
        groups[at].1 = join(&groups[at].1, &counts);
        groups[at].2 = bits_of(&groups[at].1);
        losses.remove(at);
        if at < losses.len() {
            losses[at] = loss(&groups[at..at + 2]);
        }
        if at > 0 {
            losses[at - 1] = loss(&groups[at - 1..at + 1]);
        }
    }
    let map = groups
        .iter()
        .skip(1)
        .fold(0, |map, (level, ..)| map | 1 << level);
    let bits = groups.iter().map(|group| group.2).sum();
    let counts = groups.into_iter().map(|(_, counts, _)| counts).collect();
    (map, counts, bits)
}

/// About the bits that symbols of these counts take, with their table.
fn bits_of(counts: &Counts) -> f64 {
    let (mut total, mut used, mut sum) = (0_u32, 0, 0.0);
    for &count in counts.iter().filter(|&&count| count > 0) {
        total += count;
        used += 1;
        sum += times_log(count);
    }
    (times_log(total) - sum) + f64::from(4 * used + 24)
}

/// `count * log2(count)`.
fn times_log(count: u32) -> f64 {
    let count = count as f32;
    f64::from(count * count.max(1.0).log2())
}

/// Bits into bytes, the lowest first.
#[derive(Default)]
pub(super) struct BitWriter {
    pub(super) bytes: Vec<u8>,
    held: u64,
    count: u32,
}

impl BitWriter {
    /// What the symbols of coded residuals do not say.
    pub(super) fn put_extra(&mut self, coded: u16) {
        let value = u32::from(coded) + 256 - DIRECT;
        let bits = value.ilog2() - 2;
        self.put(value & ((1 << bits) - 1), bits);
    }

    fn put(&mut self, value: u32, count: u32) {
        self.held |= u64::from(value) << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.held as u8);
            self.held >>= 8;
            self.count -= 8;
        }
    }

    /// Complete the last byte with zeros.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.bytes.push(self.held as u8);
        }
        self.bytes
    }
}

/// Bits out of bytes, the lowest first.
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    held: u32,
    count: u32,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            held: 0,
            count: 0,
        }
    }

    /// At most 8 bits.
    #[inline(always)]
    fn take(&mut self, count: u32) -> Result<u32, Invalid> {
        while self.count < count {
            self.more()?;
        }
        let value = self.held & ((1 << count) - 1);
        self.held >>= count;
        self.count -= count;
        Ok(value)
    }

    /// How many ones come before a zero, which is taken too.
    #[inline(always)]
    fn ones(&mut self) -> Result<u32, Invalid> {
        loop {
            let ones = self.held.trailing_ones();
            if ones > MOST_ONES {
                return Err(Invalid("a frequency out of bounds"));
            }
            if ones < self.count {
                self.held >>= ones + 1;
                self.count -= ones + 1;
                return Ok(ones);
            }
            self.more()?;
        }
    }

    /// Take a byte in.
    #[inline(always)]
    fn more(&mut self) -> Result<(), Invalid> {
        let (&byte, rest) = self
            .bytes
            .split_first()
            .ok_or(Invalid("tables cut short"))?;
        self.bytes = rest;
        self.held |= u32::from(byte) << self.count;
        self.count += 8;
        Ok(())
    }

    /// What follows the last byte that was begun.
    pub(super) fn rest(self) -> &'a [u8] {
        self.bytes
    }
}

/// Make all-zero slots.
pub(super) fn new_slots() -> Box<Slots> {
    vec![0; SLOTS]
        .into_boxed_slice()
        .try_into()
        .unwrap_or_else(|_| unreachable!())
}
