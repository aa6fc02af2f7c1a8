//! A step of the entropy decoder of the codec `weave`: 64 states, and two tables that fit into
//! registers.

use super::super::table::{LEVELS, RENORM};
use super::super::weave::{BASES, ESCAPE, MORE, PLACE_BITS, SYMBOLS};
use super::{BAND, LANES, Lanes, Window};

/// Places of both tables: the symbol in the lowest 4 bits, its frequency in 6, the place within it
/// in 6.
#[derive(Clone)]
pub(in super::super) struct Looks {
    pub(in super::super) narrow: [u16; 128],
    /// The same.
    pub(in super::super) wide: [u32; 128],
}

impl Default for Looks {
    fn default() -> Self {
        Self {
            narrow: [0; 128],
            wide: [0; 128],
        }
    }
}

/// What the symbols stand for, twice: the base, and above it how many more bits.
const MEANING: [u32; 2 * SYMBOLS] = {
    let mut meaning = [0; 2 * SYMBOLS];
    let mut at = 0;
    while at < meaning.len() {
        meaning[at] = BASES[at % SYMBOLS] | MORE[at % SYMBOLS] << 16;
        at += 1;
    }
    meaning
};

/// Coded residuals that no symbol covers, little-endian; zeros follow their end.
pub(in super::super) struct Escapes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Escapes<'a> {
    pub(in super::super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Whether exactly all were taken.
    pub(super) fn ended(&self) -> bool {
        self.at == self.bytes.len()
    }

    #[inline(always)]
    fn take(&mut self) -> u16 {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at += 2;
        rest.first_chunk()
            .map_or(0, |&bytes| u16::from_le_bytes(bytes))
    }
}

/// What a block of steps reads.
pub(super) struct Streams<'a, 'b> {
    pub(super) words: Window<'a>,
    pub(super) escapes: &'a mut Escapes<'b>,
}

/// Decode what each lane's residual is coded as, of all lanes or the `active` ones of each band.
/// `levels`: what each uses, where the upper bits of an activity as a float point to: 64 for the
/// second table, and above 16 bits how many low bits.
#[inline(always)]
pub(super) fn next<L: Lanes, const ALL: bool>(
    l: L,
    (levels, looks): (&[u32; LEVELS], &Looks),
    before: L::Wide,
    activity: L::Narrow,
    active: [u32; 2],
    streams: &mut Streams,
) -> (L::Wide, L::Narrow) {
    let level = l.shr_wide(l.float_bits(l.widen(activity)), l.splat_wide(22));
    let level = l.lookup(levels, level);
    let place = l.and_wide(before, l.splat_wide((1 << PLACE_BITS) - 1));
    let entry = l.look(looks, l.add_wide(place, level));
    let frequency = l.and_wide(l.shr_wide(entry, l.splat_wide(4)), l.splat_wide(63));
    let states = l.add_wide(
        l.mul_wide(frequency, l.shr_wide(before, l.splat_wide(PLACE_BITS))),
        l.shr_wide(entry, l.splat_wide(10)),
    );
    let low = l.shr_wide(level, l.splat_wide(16));
    let meaning = l.lookup(&MEANING, entry);
    let count = l.add_wide(low, l.shr_wide(meaning, l.splat_wide(16)));
    let mask = l.add_wide(l.shl_wide(l.splat_wide(1), count), l.splat_wide(u32::MAX));
    let rest = l.and_wide(states, mask);
    let states = l.shr_wide(states, count);
    let base = l.shl_wide(l.and_wide(meaning, l.splat_wide(0xff)), low);
    let mut coded = l.narrow(l.add_wide(base, rest));
    let symbol = l.and(l.narrow(entry), l.splat(SYMBOLS as u16 - 1));
    let mut escaped = l.above(symbol, ESCAPE as i16 - 1);
    let few = l.less_wide(states, l.splat_wide(RENORM));
    let states = if ALL {
        l.refill(states, few, &mut streams.words)
    } else {
        escaped &= u64::from(active[0]) | u64::from(active[1]) << BAND;
        let active = l.wide_mask(active);
        let states = l.refill(states, l.both_wide(few, active), &mut streams.words);
        l.select_wide(active, states, before)
    };
    if escaped != 0 {
        let (mut rests, mut lows) = ([0; LANES], [0; LANES]);
        l.store(coded, &mut rests);
        l.store(l.narrow(low), &mut lows);
        while escaped != 0 {
            let lane = escaped.trailing_zeros() as usize % LANES;
            let value = u32::from(streams.escapes.take()) << lows[lane];
            coded = l.put(coded, lane, (value as u16).wrapping_add(rests[lane]));
            escaped &= escaped - 1;
        }
    }
    (states, coded)
}
