//! Predictors: what a sample is expected to be from its neighbours, and how many bits it misses by.
//!
//! The encoder's side: rows from left to right, so that the compiler can do many columns at once.
//! The decoder's side is in `lanes/kernel.rs`; the format page says what both compute.

/// The median of west, north and west + north - north-west.
pub(super) const MEDIAN: u8 = 0;
/// A weighted sum of six neighbours, kept between the three nearest.
pub(super) const LINEAR: u8 = 1;
/// All samples are the same.
pub(super) const CONSTANT: u8 = 2;

/// Weights are sixty-fourths.
pub(super) const WEIGHT_BITS: i32 = 6;

/// Weights of west, north, north-west, north-east, west-west, north-north.
pub(super) type Weights = [i8; 6];

/// How the samples of a plane are predicted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Predictor {
    /// MEDIAN or LINEAR.
    pub(super) kind: u8,
    pub(super) weights: Weights,
}

/// A row with its neighbours to the left and right: column `c` is at `c + 2`.
pub(super) struct Rows {
    columns: usize,
    /// This row, the one above, the one above that.
    rows: [Vec<i32>; 3],
}

impl Rows {
    pub(super) fn new(columns: usize, fill: u16) -> Self {
        let row = vec![i32::from(fill); columns + 3];
        Self {
            columns,
            rows: [row.clone(), row.clone(), row],
        }
    }

    /// Go on with the next row; a short one is completed with anything.
    pub(super) fn push(&mut self, samples: &[u16]) {
        self.rows.rotate_right(1);
        let [row, above, _] = &mut self.rows;
        above[1] = above[2];
        above[self.columns + 2] = above[self.columns + 1];
        row[..2].fill(above[2]);
        for (to, &sample) in row[2..].iter_mut().zip(samples) {
            *to = i32::from(sample);
        }
    }

    /// West, north, north-west, north-east, west-west, north-north of each column.
    pub(super) fn neighbours(&self) -> [&[i32]; 6] {
        let [row, above, second] = &self.rows;
        let columns = self.columns;
        [
            &row[1..][..columns],
            &above[2..][..columns],
            &above[1..][..columns],
            &above[3..][..columns],
            &row[..columns],
            &second[2..][..columns],
        ]
    }

    /// This row, the one above, the one above that; column `c` is at `c + 2`.
    pub(super) fn all(&self) -> &[Vec<i32>; 3] {
        &self.rows
    }

    pub(super) fn row(&self) -> &[i32] {
        &self.rows[0][2..][..self.columns]
    }
}

impl Predictor {
    pub(super) const MEDIAN: Self = Self {
        kind: MEDIAN,
        weights: [0; 6],
    };

    /// Whether equal neighbours predict the same again.
    pub(super) fn is_fair(&self) -> bool {
        let sum: i32 = self.weights.map(i32::from).iter().sum();
        self.kind != LINEAR || sum == 1 << WEIGHT_BITS
    }

    /// Write what each column of the row is predicted as.
    #[inline(always)]
    pub(super) fn predict(&self, rows: &Rows, predicted: &mut [i32]) {
        let [w, n, nw, ne, ww, nn] = rows.neighbours();
        let columns = predicted.len();
        let (w, n, nw, ne) = (&w[..columns], &n[..columns], &nw[..columns], &ne[..columns]);
        let (ww, nn) = (&ww[..columns], &nn[..columns]);
        if self.kind == MEDIAN {
            for at in 0..columns {
                let (low, high) = (w[at].min(n[at]), w[at].max(n[at]));
                predicted[at] = w[at] + n[at] - nw[at].max(low).min(high);
            }
            return;
        }
        let weights = self.weights.map(i32::from);
        for at in 0..columns {
            let sum = weights[0] * w[at]
                + weights[1] * n[at]
                + weights[2] * nw[at]
                + weights[3] * ne[at]
                + weights[4] * ww[at]
                + weights[5] * nn[at]
                + (1 << (WEIGHT_BITS - 1));
            let low = w[at].min(n[at].min(ne[at]));
            let high = w[at].max(n[at].max(ne[at]));
            predicted[at] = (sum >> WEIGHT_BITS).max(low).min(high);
        }
    }
}

/// The residuals of a row as they are coded (0, -1, 1, -2, ...): `bits` is 8 or 16.
#[inline(always)]
pub(super) fn residuals(row: &[i32], predicted: &[i32], bits: u32, coded: &mut [u16]) {
    let shift = 32 - bits;
    for ((&sample, &predicted), coded) in row.iter().zip(predicted).zip(coded) {
        let residual = (sample - predicted) << shift >> shift;
        *coded = (residual << 1 ^ residual >> 31) as u16;
    }
}

/// Weights that predict the sampled rows well, by least squares; robust against edges.
pub(super) struct Fit {
    normal: [[f64; 5]; 5],
    right: [f64; 5],
}

impl Fit {
    pub(super) fn new() -> Self {
        Self {
            normal: [[0.0; 5]; 5],
            right: [0.0; 5],
        }
    }

    /// Take every `step`-th column of a row. `misses`: the error so far, which weighs it down.
    pub(super) fn add(&mut self, rows: &Rows, step: usize, predicted: &[i32]) {
        let neighbours = rows.neighbours();
        let row = rows.row();
        for at in (0..row.len()).step_by(step) {
            self.one(neighbours.map(|each| each[at]), row[at], predicted[at]);
        }
    }

    /// Take a sample with its neighbours, in the order of the weights.
    #[inline(always)]
    pub(super) fn one(&mut self, neighbours: [i32; 6], sample: i32, predicted: i32) {
        let [first, others @ ..] = neighbours;
        let difference = others.map(|other| f64::from(other - first));
        let wanted = f64::from(sample - first);
        let weight = 1.0 / (1.0 + f64::from((sample - predicted).abs()));
        for (index, &one) in difference.iter().enumerate() {
            for (sum, &other) in self.normal[index][..=index].iter_mut().zip(&difference) {
                *sum += weight * one * other;
            }
            self.right[index] += weight * one * wanted;
        }
    }

    /// The weights; None where the equations have no sensible answer.
    pub(super) fn solve(mut self) -> Option<Weights> {
        // Cholesky, with a little added to the diagonal so that flat images have an answer.
        let a = &mut self.normal;
        for index in 0..5 {
            a[index][index] = a[index][index] * (1.0 + 1e-6) + 1e-3;
            for column in 0..=index {
                let done: f64 = (0..column).map(|k| a[index][k] * a[column][k]).sum();
                let rest = a[index][column] - done;
                a[index][column] = if column == index {
                    rest.max(1e-9).sqrt()
                } else {
                    rest / a[column][column]
                };
            }
        }
        let mut x = self.right;
        for index in 0..5 {
            let done: f64 = (0..index).map(|k| a[index][k] * x[k]).sum();
            x[index] = (x[index] - done) / a[index][index];
        }
        for index in (0..5).rev() {
            let done: f64 = (index + 1..5).map(|k| a[k][index] * x[k]).sum();
            x[index] = (x[index] - done) / a[index][index];
        }
        let whole = f64::from(1 << WEIGHT_BITS);
        let rounded = x.map(|weight| (weight * whole).round());
        let west = whole - rounded.iter().sum::<f64>();
        let all = [
            west, rounded[0], rounded[1], rounded[2], rounded[3], rounded[4],
        ];
        all.iter()
            .all(|weight| (-128.0..=127.0).contains(weight))
            .then(|| all.map(|weight| weight as i8))
    }
}
