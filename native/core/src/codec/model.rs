//! The encoder's look at a plane: what each sample is coded as, and how often what comes.

use super::order::Order;
use super::predict::{MEDIAN, Predictor, WEIGHT_BITS};
use super::table::{Counts, DIRECT, EXTRA_BITS, LEVEL_BASE, LEVELS, SYMBOLS};

/// What a plane is coded as.
#[derive(Default)]
pub(super) struct Coding {
    /// The residual of each sample: 0, -1, 1, -2, ... as 0, 1, 2, 3, ....
    pub(super) coded: Vec<u16>,
    /// The symbol of each sample, with its level above it.
    pub(super) symbols: Vec<u16>,
}

/// How samples are looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) predictor: Predictor,
    /// 8 or 16.
    pub(super) bits: u32,
    /// What stands before the first sample.
    pub(super) fill: u16,
    /// Whether the left neighbour counts for the level.
    pub(super) left: bool,
}

impl Coding {
    /// Code the samples of a plane, and count their symbols by level.
    pub(super) fn make(&mut self, samples: &[u16], order: &Order, view: View) -> Box<Tally> {
        for room in [&mut self.coded, &mut self.symbols] {
            room.resize(room.len().max(samples.len()), 0);
        }
        let mut pass = RowPass::new(order.columns, view);
        let mut tally = Tally::new();
        let columns = order.columns;
        let to = self
            .coded
            .chunks_mut(columns)
            .zip(self.symbols.chunks_mut(columns));
        for (index, (row, (coded, symbols))) in samples.chunks(columns).zip(to).enumerate() {
            pass.run(row, order.begins(index));
            coded[..row.len()].copy_from_slice(&pass.coded[1..=row.len()]);
            symbols[..row.len()].copy_from_slice(&pass.symbols[..row.len()]);
            tally.add(&pass.symbols[..row.len()]);
        }
        tally
    }
}

/// Counts by level and symbol; two of them, so that a run of one symbol does not wait for itself.
pub(super) struct Tally([[u32; LEVELS << 8]; 2]);

impl Tally {
    pub(super) fn new() -> Box<Self> {
        Box::new(Self([[0; LEVELS << 8]; 2]))
    }

    #[inline(always)]
    pub(super) fn add(&mut self, symbols: &[u16]) {
        let [even, odd] = &mut self.0;
        let (pairs, rest) = symbols.as_chunks::<2>();
        for &[a, b] in pairs {
            even[usize::from(a) % (LEVELS << 8)] += 1;
            odd[usize::from(b) % (LEVELS << 8)] += 1;
        }
        for &a in rest {
            even[usize::from(a) % (LEVELS << 8)] += 1;
        }
    }

    /// How often each symbol comes at a level.
    pub(super) fn level(&self, level: usize) -> Counts {
        std::array::from_fn::<_, SYMBOLS, _>(|symbol| {
            self.0[0][level << 8 | symbol] + self.0[1][level << 8 | symbol]
        })
    }
}

/// One row after another. Samples of column `c` are at `c + 2`, coded residuals at `c + 1`.
struct RowPass {
    view: View,
    columns: usize,
    row: Vec<u16>,
    above: Vec<u16>,
    second: Vec<u16>,
    coded: Vec<u16>,
    coded_above: Vec<u16>,
    symbols: Vec<u16>,
}

impl RowPass {
    fn new(columns: usize, view: View) -> Self {
        let samples = vec![view.fill; columns + 3];
        Self {
            view,
            columns,
            row: samples.clone(),
            above: samples.clone(),
            second: samples,
            coded: vec![0; columns + 2],
            coded_above: vec![0; columns + 2],
            symbols: vec![0; columns],
        }
    }

    /// Go on with a row; a short one is completed with anything. `begins`: it has none above.
    fn run(&mut self, row: &[u16], begins: bool) {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl") {
            // SAFETY: the instructions are there.
            #[allow(unsafe_code)]
            return unsafe { self.run_avx512(row, begins) };
        } else if is_x86_feature_detected!("avx2") {
            // SAFETY: the instructions are there.
            #[allow(unsafe_code)]
            return unsafe { self.run_avx2(row, begins) };
        }
        self.run_any(row, begins);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn run_avx512(&mut self, row: &[u16], begins: bool) {
        self.run_any(row, begins);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn run_avx2(&mut self, row: &[u16], begins: bool) {
        self.run_any(row, begins);
    }

    #[inline(always)]
    fn run_any(&mut self, row: &[u16], begins: bool) {
        let columns = self.columns;
        std::mem::swap(&mut self.second, &mut self.above);
        std::mem::swap(&mut self.above, &mut self.row);
        self.row[2..2 + row.len()].copy_from_slice(row);
        if begins {
            // The row itself stands for it, two columns to the right.
            let (fill, rest) = self.above.split_at_mut(4.min(columns + 3));
            fill.fill(self.view.fill);
            let shown = columns.saturating_sub(2);
            rest[..shown].copy_from_slice(&self.row[2..2 + shown]);
            self.second.copy_from_slice(&self.above);
        }
        self.above[1] = self.above[2];
        self.above[columns + 2] = self.above[columns + 1];
        self.row[..2].fill(self.above[2]);
        std::mem::swap(&mut self.coded, &mut self.coded_above);
        self.residuals();
        if begins {
            let (none, rest) = self.coded_above.split_at_mut(3.min(columns + 2));
            none.fill(0);
            let shown = columns.saturating_sub(2);
            rest[..shown].copy_from_slice(&self.coded[1..=shown]);
        }
        self.coded_above[0] = self.coded_above[1];
        self.coded_above[columns + 1] = self.coded_above[columns];
        self.coded[0] = self.coded_above[1];
        if self.view.left {
            self.tokens::<true>();
        } else {
            self.tokens::<false>();
        }
    }

    /// Write what each column misses by.
    #[inline(always)]
    fn residuals(&mut self) {
        let columns = self.columns;
        let (row, above) = (&self.row[..columns + 3], &self.above[..columns + 3]);
        let (second, coded) = (&self.second[2..][..columns], &mut self.coded[1..=columns]);
        let shift = 32 - self.view.bits;
        let code = |sample: i32, predicted: i32| {
            let residual = (sample - predicted) << shift >> shift;
            (residual << 1 ^ residual >> 31) as u16
        };
        if self.view.predictor.kind == MEDIAN {
            for at in 0..columns {
                let [w, n, nw] = [row[at + 1], above[at + 2], above[at + 1]].map(i32::from);
                let (low, high) = (w.min(n), w.max(n));
                coded[at] = code(i32::from(row[at + 2]), w + n - nw.max(low).min(high));
            }
            return;
        }
        let weights = self.view.predictor.weights.map(i32::from);
        for at in 0..columns {
            let [w, n, ne] = [row[at + 1], above[at + 2], above[at + 3]].map(i32::from);
            let [nw, ww, nn] = [above[at + 1], row[at], second[at]].map(i32::from);
            let sum = weights[0] * w
                + weights[1] * n
                + weights[2] * nw
                + weights[3] * ne
                + weights[4] * ww
                + weights[5] * nn
                + (1 << (WEIGHT_BITS - 1));
            let (low, high) = (w.min(n.min(ne)), w.max(n.max(ne)));
            let predicted = (sum >> WEIGHT_BITS).max(low).min(high);
            coded[at] = code(i32::from(row[at + 2]), predicted);
        }
    }

    /// Write the symbol and the level of each column.
    #[inline(always)]
    fn tokens<const LEFT: bool>(&mut self) {
        let columns = self.columns;
        let (coded, above) = (&self.coded[..=columns], &self.coded_above[..columns + 2]);
        let symbols = &mut self.symbols[..columns];
        let size = |coded: u16| (i32::from(coded) + 1) >> 1;
        let upper = |value: i32, shift: u32| ((value as f32).to_bits() >> shift) as i32;
        for at in 0..columns {
            let (n, w, here) = (size(above[at + 1]), size(coded[at]), coded[at + 1]);
            let nearest = if LEFT { n + 2 * w } else { 2 * n };
            let activity = size(above[at]) + size(above[at + 2]) + nearest + 1;
            let level = upper(activity.min(0xffff), 22) - LEVEL_BASE as i32;
            let here = i32::from(here);
            let wide = upper(here + 256 - DIRECT as i32, 21) - (127 + 8) * 4 + DIRECT as i32;
            let symbol = if here < DIRECT as i32 { here } else { wide };
            symbols[at] = (level << 8 | symbol) as u16;
        }
    }
}

const _: () = assert!(
    EXTRA_BITS == 6,
    "the least symbol with further bits has the 6 after 2"
);
