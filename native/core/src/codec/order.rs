//! The order of samples: which lane codes which sample at which step.
//!
//! Lane `k` codes rows `k`, `k + 32`, ... from left to right, one sample a step, starting at step
//! `2 k`. A row takes a period: its columns, or 80 steps if they are fewer, so that lane 31 is well
//! ahead of lane 0 in the row above it.

use super::lanes::LANES;

/// Steps between the starts of neighbouring lanes.
pub(super) const SKEW: usize = 2;

/// Steps that are decoded before they are put in place.
pub(super) const BLOCK: usize = 16;

/// The least period: the skew of all lanes, a column ahead, a block.
const LEAST_PERIOD: usize = 80;

/// How a plane is walked.
pub(super) struct Order {
    pub(super) columns: usize,
    pub(super) samples: usize,
    pub(super) period: usize,
    pub(super) steps: usize,
}

impl Order {
    /// `columns` is at least 1.
    pub(super) fn new(columns: usize, samples: usize) -> Self {
        let period = columns.max(LEAST_PERIOD);
        let end =
            |row: usize, columns: usize| row / LANES * period + SKEW * (row % LANES) + columns;
        let (rows, rest) = (samples / columns, samples % columns);
        // The last row of each lane ends it: 32 whole ones, and one that is not.
        let whole = (rows.saturating_sub(LANES)..rows).map(|row| end(row, columns));
        let steps = whole.chain([end(rows, rest)]).max().unwrap_or(0);
        Self {
            columns,
            samples,
            period,
            steps,
        }
    }

    /// Whether in the block of steps that begins here every lane has a sample away from the ends
    /// of its row.
    #[inline(always)]
    pub(super) fn inner(&self, group: usize, phase: usize) -> bool {
        phase > SKEW * (LANES - 1)
            && phase + BLOCK < self.columns
            && (group + 1) * LANES * self.columns <= self.samples
    }

    /// The row and the column of a lane; None before its first.
    #[inline(always)]
    pub(super) fn place(&self, lane: usize, group: usize, phase: usize) -> Option<(usize, usize)> {
        if phase >= SKEW * lane {
            return Some((group * LANES + lane, phase - SKEW * lane));
        }
        let group = group.checked_sub(1)?;
        Some((group * LANES + lane, phase + self.period - SKEW * lane))
    }

    /// The sample at a place, if there is one.
    #[inline(always)]
    pub(super) fn sample(&self, (row, column): (usize, usize)) -> Option<usize> {
        let sample = row * self.columns + column;
        (column < self.columns && sample < self.samples).then_some(sample)
    }
}
