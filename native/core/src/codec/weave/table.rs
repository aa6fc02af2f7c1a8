//! Frequency tables: two of them, of 64 places, and how each level of activity uses them.

use super::super::Invalid;
use super::super::lanes::Looks;
use super::super::model::Tally;
use super::super::table::{Counts, DIRECT, LEVELS};

/// Symbols of a table.
pub(in super::super) const SYMBOLS: usize = 16;
/// Places of a table: frequencies sum to it.
pub(in super::super) const PLACE_BITS: u32 = 6;
/// The symbol of what no other one covers.
pub(in super::super) const ESCAPE: usize = SYMBOLS - 1;
/// Most bits of a coded residual that are stored as they are whatever its symbol.
pub(in super::super) const MOST_LOW: u32 = 6;
/// What each symbol begins with, above the low bits.
pub(in super::super) const BASES: [u32; SYMBOLS] =
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 24, 40, 0];
/// How many more bits are stored as they are.
pub(in super::super) const MORE: [u32; SYMBOLS] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 4, 0];
/// Where the escape begins.
pub(in super::super) const END: u32 = 56;

const PLACES: u32 = 1 << PLACE_BITS;
/// Lengths of low bits: 0 to 6.
const LOWS: usize = MOST_LOW as usize + 1;
/// Bits of what an escape stores apart.
const ESCAPED: f64 = 16.0;
/// The bits of symbols before any are counted: each half octave of them takes some more.
const START: [f64; SYMBOLS] = [
    2.0, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 6.0, 6.0, 6.0, 7.0, 8.0, 22.0,
];
/// Rounds of choosing tables for levels, and making tables of what chose them.
const ROUNDS: usize = 4;

/// How often each symbol comes: of 64, all of it none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shape(pub(super) [u8; SYMBOLS]);

/// What a level of activity uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Level {
    pub(super) table: u8,
    /// How many low bits of a coded residual are stored as they are.
    pub(super) low: u32,
}

impl Level {
    pub(super) fn read(byte: u8) -> Result<Self, Invalid> {
        let (table, low) = (byte >> 4, u32::from(byte & 15));
        if table > 1 || low > MOST_LOW {
            return Err(Invalid("a level of an unknown table"));
        }
        Ok(Self { table, low })
    }

    pub(super) fn byte(self) -> u8 {
        self.table << 4 | self.low as u8
    }
}

impl Shape {
    pub(super) fn read(bytes: [u8; SYMBOLS]) -> Result<Self, Invalid> {
        let sum: u32 = bytes.iter().copied().map(u32::from).sum();
        if sum != PLACES
            || bytes
                .iter()
                .any(|&frequency| u32::from(frequency) == PLACES)
        {
            return Err(Invalid("frequencies that do not sum up"));
        }
        Ok(Self(bytes))
    }

    /// The frequencies that fit `counts`; the escape has some always.
    fn fit(counts: &[f64; SYMBOLS]) -> Self {
        let total = counts.iter().sum::<f64>().max(1.0);
        let ideal = counts.map(|count| count / total * f64::from(PLACES));
        let mut each = ideal.map(|ideal| {
            if ideal > 0.0 {
                ideal.round().clamp(1.0, f64::from(PLACES - 1)) as i32
            } else {
                0
            }
        });
        each[ESCAPE] = each[ESCAPE].max(1);
        let mut left = PLACES as i32 - each.iter().sum::<i32>();
        while left != 0 {
            // What is too much comes from, or what is missing goes to where it is missed least.
            let step = left.signum();
            let gain = |symbol: usize| {
                let (now, then) = (f64::from(each[symbol]), f64::from(each[symbol] + step));
                if then < 1.0 || then >= f64::from(PLACES) {
                    f64::NEG_INFINITY
                } else {
                    ideal[symbol] * (then / now.max(0.5)).ln()
                }
            };
            let best = (0..SYMBOLS).max_by(|&a, &b| gain(a).total_cmp(&gain(b)));
            each[best.unwrap_or(ESCAPE)] += step;
            left -= step;
        }
        Self(each.map(|frequency| frequency as u8))
    }

    /// The bits that each symbol takes; one that is not there is escaped.
    fn prices(&self) -> [f64; SYMBOLS] {
        let price = |symbol: usize| f64::from(PLACE_BITS) - f64::from(self.0[symbol]).log2();
        std::array::from_fn(|symbol| match self.0[symbol] {
            0 => price(ESCAPE) + ESCAPED,
            _ => price(symbol),
        })
    }
}

/// Write the places of a decoder: symbol, frequency, place within the symbol.
pub(super) fn spread(shapes: &[Shape; 2], looks: &mut Looks) {
    let places = shapes.iter().flat_map(|shape| {
        shape.0.iter().enumerate().flat_map(|(symbol, &frequency)| {
            let first = u16::from(frequency) << 4 | symbol as u16;
            (0..u16::from(frequency)).map(move |place| place << 10 | first)
        })
    });
    for ((narrow, wide), place) in looks.narrow.iter_mut().zip(&mut looks.wide).zip(places) {
        (*narrow, *wide) = (place, u32::from(place));
    }
}

/// What an encoder needs of each symbol of each table: frequency, first place, further bits, base,
/// and a bit where it is an escape.
pub(super) fn codes(shapes: &[Shape; 2]) -> [u32; 2 * SYMBOLS] {
    std::array::from_fn(|at| {
        let shape = &shapes[at / SYMBOLS].0;
        let own = at % SYMBOLS;
        let symbol = if shape[own] == 0 { ESCAPE } else { own };
        let first: u32 = shape[..symbol].iter().copied().map(u32::from).sum();
        let escape = u32::from(symbol == ESCAPE);
        u32::from(shape[symbol])
            | first << 6
            | MORE[symbol] << 12
            | BASES[symbol] << 16
            | escape << 24
    })
}

/// A level's counts of symbols by low bits, and the bits stored as they are.
struct Seen {
    half: usize,
    level: usize,
    by_low: [([f64; SYMBOLS], f64); LOWS],
}

impl Seen {
    fn new(half: usize, level: usize, counts: &Counts) -> Self {
        let by_low = std::array::from_fn(|low| {
            let (mut each, mut bits) = ([0.0; SYMBOLS], 0.0);
            for (token, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                let symbol = symbol_of(about(token as u32) >> low);
                each[symbol] += f64::from(count);
                let apart = if symbol == ESCAPE { ESCAPED } else { 0.0 };
                bits += f64::from(count) * (f64::from(low as u32 + MORE[symbol]) + apart);
            }
            (each, bits)
        });
        Self {
            half,
            level,
            by_low,
        }
    }

    /// The least bits, and by which table with how many low bits.
    fn best(&self, prices: &[[f64; SYMBOLS]; 2]) -> (f64, Level) {
        let mut best = (f64::INFINITY, Level::default());
        for (table, prices) in prices.iter().enumerate() {
            for (low, (each, bits)) in self.by_low.iter().enumerate() {
                let symbols: f64 = each
                    .iter()
                    .zip(prices)
                    .map(|(count, price)| count * price)
                    .sum();
                if bits + symbols < best.0 {
                    best = (
                        bits + symbols,
                        Level {
                            table: table as u8,
                            low: low as u32,
                        },
                    );
                }
            }
        }
        best
    }
}

/// The symbol of a coded residual without its low bits.
fn symbol_of(value: u32) -> usize {
    if value >= END {
        return ESCAPE;
    }
    BASES[..ESCAPE].partition_point(|&base| base <= value) - 1
}

/// The middle of the coded residuals that the encoder's look counts as one.
fn about(token: u32) -> u32 {
    match token.checked_sub(DIRECT) {
        None => token,
        Some(wide) => {
            let bits = (wide >> 2) + 6;
            (((wide & 3 | 4) << bits) + (1 << (bits - 1))) - (256 - DIRECT)
        }
    }
}

/// Two tables, what each level of even and odd columns uses, and about how many bits that takes.
#[inline(never)]
pub(super) fn choose(tallies: &[Box<Tally>; 2]) -> ([Shape; 2], [[Level; LEVELS]; 2], f64) {
    let seen: Vec<Seen> = (0..2 * LEVELS)
        .filter_map(|at| {
            let (half, level) = (at / LEVELS, at % LEVELS);
            let counts = tallies[half].level(level);
            let some = counts.iter().any(|&count| count > 0);
            some.then(|| Seen::new(half, level, &counts))
        })
        .collect();
    // At first, levels of which most are about nothing, and others.
    let mut sums = [[0.0; SYMBOLS]; 2];
    for seen in &seen {
        let each = &seen.by_low[0].0;
        let flat = usize::from(2.0 * each[0] < each.iter().sum());
        let (_, level) = seen.best(&[START; 2]);
        add(&mut sums[flat], &seen.by_low[level.low as usize].0);
    }
    let mut levels = [[Level::default(); LEVELS]; 2];
    let (mut shapes, mut all) = ([Shape::fit(&sums[0]), Shape::fit(&sums[1])], 0.0);
    for round in 0..=ROUNDS {
        let prices = [shapes[0].prices(), shapes[1].prices()];
        (sums, all) = ([[0.0; SYMBOLS]; 2], 0.0);
        for seen in &seen {
            let (bits, level) = seen.best(&prices);
            levels[seen.half][seen.level] = level;
            add(
                &mut sums[usize::from(level.table)],
                &seen.by_low[level.low as usize].0,
            );
            all += bits;
        }
        if round < ROUNDS {
            shapes = [Shape::fit(&sums[0]), Shape::fit(&sums[1])];
        }
    }
    (shapes, levels, all)
}

fn add(sum: &mut [f64; SYMBOLS], each: &[f64; SYMBOLS]) {
    for (sum, each) in sum.iter_mut().zip(each) {
        *sum += each;
    }
}

#[cfg(test)]
#[test]
fn no_symbol_has_all_places() {
    for symbol in 0..SYMBOLS {
        for count in [0.0, 1.0, 1e9] {
            let mut counts = [0.0; SYMBOLS];
            counts[symbol] = count;
            let shape = Shape::fit(&counts);
            assert_eq!(Shape::read(shape.0), Ok(shape));
            assert!(shape.0[ESCAPE] > 0);
        }
    }
}
