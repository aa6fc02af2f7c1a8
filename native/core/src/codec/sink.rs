//! Where decoded samples go: one plane of the chunk.

use super::lanes::{LANES, store_run, transpose};
use super::order::{BLOCK, Order, SKEW};

/// Puts the samples of a plane in their place among the bytes of the chunk.
pub(super) struct Sink<'a> {
    /// The chunk, without its tail.
    pub(super) bytes: &'a mut [u8],
    /// 1 or 2.
    pub(super) sample_bytes: usize,
    /// Samples from one of the plane to the next: samples per pixel.
    pub(super) stride: usize,
    /// Which sample of a pixel this plane is.
    pub(super) plane: usize,
    /// The plane whose samples are added: it is in `bytes` already.
    pub(super) plus: Option<usize>,
    /// What the samples of the chunk were changed by before they were coded.
    pub(super) flip: u16,
}

impl Sink<'_> {
    /// Put a block of steps, beginning at a phase of a group.
    #[inline(always)]
    pub(super) fn block(
        &mut self,
        steps: &[[u16; LANES]; BLOCK],
        order: &Order,
        group: usize,
        phase: usize,
    ) {
        let runs = transpose(steps);
        for (lane, run) in runs.iter().enumerate() {
            let Some((row, column)) = order.place(lane, group, phase) else {
                // The lane begins within this block, or later.
                let idle = SKEW * lane - phase;
                for (at, &sample) in run.iter().enumerate().skip(idle) {
                    self.put_within(order, lane, at - idle, sample);
                }
                continue;
            };
            let at = row * order.columns + column;
            if column + BLOCK <= order.columns && at + BLOCK <= order.samples {
                self.run(at, run);
                continue;
            }
            for (next, &sample) in run.iter().enumerate() {
                if column + next < order.period {
                    self.put_within(order, row, column + next, sample);
                } else {
                    self.put_within(order, row + LANES, column + next - order.period, sample);
                }
            }
        }
    }

    /// Set all samples of the plane to the same value.
    pub(super) fn fill(&mut self, samples: usize, value: u16) {
        for at in 0..samples {
            self.put(at, value);
        }
    }

    #[inline(always)]
    fn run(&mut self, at: usize, run: &[u16; BLOCK]) {
        if self.stride == 1 && self.sample_bytes == 2 {
            if let Some(to) = self.bytes[2 * at..].first_chunk_mut() {
                store_run(run, self.flip, to);
            }
        } else if self.stride == 1 {
            for (to, &sample) in self.bytes[at..][..BLOCK].iter_mut().zip(run) {
                *to = sample as u8;
            }
        } else {
            for (next, &sample) in run.iter().enumerate() {
                self.put(at + next, sample);
            }
        }
    }

    fn put_within(&mut self, order: &Order, row: usize, column: usize, sample: u16) {
        let at = row * order.columns + column;
        if column < order.columns && at < order.samples {
            self.put(at, sample);
        }
    }

    #[inline(always)]
    fn put(&mut self, at: usize, sample: u16) {
        let first = at * self.stride;
        if self.sample_bytes == 2 {
            let plus = self.plus.map_or(0, |plane| {
                let from = &self.bytes[2 * (first + plane)..];
                u16::from_le_bytes([from[0], from[1]]) ^ self.flip
            });
            let sample = sample.wrapping_add(plus) ^ self.flip;
            self.bytes[2 * (first + self.plane)..][..2].copy_from_slice(&sample.to_le_bytes());
        } else {
            let plus = self.plus.map_or(0, |plane| self.bytes[first + plane]);
            self.bytes[first + self.plane] = (sample as u8).wrapping_add(plus);
        }
    }
}
