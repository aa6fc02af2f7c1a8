//! The order of samples: which lane codes which sample at which step.
//!
//! The rows of a plane are two bands, the upper one as many or one more, and each band has 32 lanes.
//! Lane `k` of a band codes its rows `k`, `k + 32`, ... from left to right, one sample a step,
//! starting at step `2 k`. A row takes a period: its columns, or 80 steps if they are fewer, so that
//! lane 31 is well ahead of lane 0 in the row above it.

use super::lanes::{BAND, LANES};

/// Steps between the starts of neighbouring lanes.
pub(super) const SKEW: usize = 2;

/// Steps that are decoded before they are put in place: so that 16-bit samples fill a cache line.
pub(super) const BLOCK: usize = 32;

/// The least period: more than the skew of all lanes, a column ahead.
const LEAST_PERIOD: usize = 80;

/// How a plane is walked.
pub(super) struct Order {
    pub(super) columns: usize,
    pub(super) samples: usize,
    pub(super) period: usize,
    pub(super) steps: usize,
    /// Rows of each band; of the last one of all, only the first `rest` columns may be there.
    rows: [usize; 2],
    rest: usize,
}

/// What lanes are at in a step, a bit for each of a band's.
#[derive(Clone, Copy)]
pub(super) struct Places {
    /// At the first column of a row.
    pub(super) first: u32,
    /// At the last column of a row.
    pub(super) last: u32,
    /// At a sample, by band.
    pub(super) active: [u32; 2],
}

impl Places {
    /// Every lane at a sample away from the ends of its row.
    pub(super) const INNER: Self = Self {
        first: 0,
        last: 0,
        active: [u32::MAX; 2],
    };
}

/// How much there is to look at in a block of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walk {
    /// Every lane has a sample away from the ends of its row.
    Inner,
    /// Every lane has a sample.
    Full,
    /// Some lanes may be idle.
    Any,
}

impl Order {
    /// `columns` is at least 1.
    pub(super) fn new(columns: usize, samples: usize) -> Self {
        let period = columns.max(LEAST_PERIOD);
        let rows = samples.div_ceil(columns);
        let upper = rows.div_ceil(2);
        let end = |row: usize| row / BAND * period + SKEW * (row % BAND) + columns;
        let steps = (upper.saturating_sub(BAND)..upper).map(end).max();
        Self {
            columns,
            samples,
            period,
            steps: steps.unwrap_or(0),
            rows: [upper, rows - upper],
            rest: samples - rows.saturating_sub(1) * columns,
        }
    }

    /// How the block of steps that begins here is to be walked.
    #[inline(always)]
    pub(super) fn walk(&self, group: usize, phase: usize) -> Walk {
        let short = usize::from(self.rest < self.columns);
        let full = |group: usize| (group + 1) * BAND + short <= self.rows[1];
        let ahead = phase >= SKEW * (BAND - 1);
        if self.period > self.columns || !(group > 0 || ahead) || !full(group) {
            return Walk::Any;
        }
        if phase + BLOCK < self.columns {
            // At a first or last column there is a lane only where rows end and begin.
            return if phase > SKEW * (BAND - 1) {
                Walk::Inner
            } else {
                Walk::Full
            };
        }
        if phase + BLOCK <= self.period || full(group + 1) {
            Walk::Full
        } else {
            Walk::Any
        }
    }

    /// What the lanes are at in a step in which all have samples.
    #[inline(always)]
    pub(super) fn ends(&self, phase: usize) -> Places {
        let lane = |twice: usize| {
            let bit = 1_u64 << (twice / SKEW).min(BAND);
            if twice.is_multiple_of(SKEW) {
                bit as u32
            } else {
                0
            }
        };
        let begun = below(phase / SKEW + 1);
        let last = (phase + 1).checked_sub(self.columns).map_or(0, lane) & begun
            | lane(phase + self.period + 1 - self.columns) & !begun;
        Places {
            first: lane(phase),
            last,
            active: [u32::MAX; 2],
        }
    }

    /// What the lanes are at in a step.
    #[inline(always)]
    pub(super) fn places(&self, group: usize, phase: usize) -> Places {
        // Lanes that have begun with this group, and those that are still in the one before.
        let begun = below(phase / SKEW + 1);
        let within = |phase: usize| match phase.checked_sub(self.columns) {
            None => u32::MAX,
            Some(over) => !below(over / SKEW + 1),
        };
        let now = begun & within(phase);
        let then = !begun & within(phase + self.period);
        let active = std::array::from_fn(|band| {
            let rows = |group: usize, phase: usize| {
                let rows = self.rows[band].saturating_sub(group * BAND);
                let short = rows > 0 && band == usize::from(self.rows[1] > 0);
                // The last row may end early.
                let over = short
                    && rows <= BAND
                    && phase >= SKEW * (rows - 1)
                    && phase - SKEW * (rows - 1) >= self.rest;
                below(rows - usize::from(over))
            };
            let before = group.checked_sub(1);
            now & rows(group, phase)
                | before.map_or(0, |before| then & rows(before, phase + self.period))
        });
        Places {
            active,
            ..self.ends(phase)
        }
    }

    /// The row and the column of a lane; None where it has no row.
    #[inline(always)]
    pub(super) fn place(&self, lane: usize, group: usize, phase: usize) -> Option<(usize, usize)> {
        let (band, lane) = (lane / BAND % 2, lane % BAND);
        let (group, column) = match phase.checked_sub(SKEW * lane) {
            Some(column) => (group, column),
            None => (group.checked_sub(1)?, phase + self.period - SKEW * lane),
        };
        let row = group * BAND + lane;
        (row < self.rows[band]).then(|| (self.begin(band) + row, column))
    }

    /// The row below one in the same lane; None where there is none.
    #[inline(always)]
    pub(super) fn below(&self, lane: usize, row: usize) -> Option<usize> {
        let band = lane / BAND % 2;
        (row + BAND < self.begin(band) + self.rows[band]).then_some(row + BAND)
    }

    /// Whether all columns of a row are there.
    #[inline(always)]
    pub(super) fn whole(&self, row: usize) -> bool {
        row + 1 < self.rows[0] + self.rows[1] || self.rest == self.columns
    }

    /// How many columns of a row are there.
    #[inline(always)]
    pub(super) fn length(&self, row: usize) -> usize {
        if self.whole(row) {
            self.columns
        } else {
            self.rest
        }
    }

    /// The first row of a band.
    #[inline(always)]
    fn begin(&self, band: usize) -> usize {
        self.rows[0] * band
    }

    /// Whether a band begins with this row.
    pub(super) fn begins(&self, row: usize) -> bool {
        row == 0 || row == self.rows[0]
    }

    /// The first sample of each lane of an inner block.
    #[inline(always)]
    pub(super) fn firsts(&self, group: usize, phase: usize) -> [usize; LANES] {
        std::array::from_fn(|lane| {
            let (band, lane) = (lane / BAND, lane % BAND);
            (self.begin(band) + group * BAND + lane) * self.columns + phase - SKEW * lane
        })
    }

    /// The sample at a place, if there is one.
    #[inline(always)]
    pub(super) fn sample(&self, (row, column): (usize, usize)) -> Option<usize> {
        let sample = row * self.columns + column;
        (column < self.columns && sample < self.samples).then_some(sample)
    }
}

/// The lanes below one.
#[inline(always)]
fn below(lane: usize) -> u32 {
    ((1_u64 << lane.min(BAND)) - 1) as u32
}
