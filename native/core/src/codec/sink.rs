//! Where decoded samples go: one plane of the chunk.

use super::lanes::{BAND, LANES, load_tile, pack_run, store_run, store_tile};
use super::order::{BLOCK, Order, SKEW, Walk};

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
    /// What the lanes' samples differ from the plane's by: they are signed.
    pub(super) bias: u16,
}

impl Sink<'_> {
    /// Put a block of steps, beginning at a phase of a group.
    #[inline(always)]
    pub(super) fn block(
        &mut self,
        steps: &[[u16; LANES]; BLOCK],
        order: &Order,
        (group, phase): (usize, usize),
        walk: Walk,
    ) {
        if walk == Walk::Inner && self.stride == 1 {
            self.inner(steps, &order.firsts(group, phase));
            return;
        }
        let mut runs = [[0; BLOCK]; LANES];
        for first in (0..LANES).step_by(8) {
            for begin in (0..BLOCK).step_by(8) {
                let tile = load_tile(|step| eight(&steps[begin + step], first));
                for (run, values) in runs[first..].iter_mut().zip(tile) {
                    if let Some(to) = run[begin..].first_chunk_mut() {
                        store_tile(values, to);
                    }
                }
            }
        }
        for (lane, run) in runs.iter().enumerate() {
            self.lane(run, order, lane, (group, phase));
        }
    }

    /// Put a block of which every lane's run of samples lies in a row.
    #[inline(always)]
    fn inner(&mut self, steps: &[[u16; LANES]; BLOCK], firsts: &[usize; LANES]) {
        let flip = self.flip ^ self.bias;
        for first in (0..LANES).step_by(8) {
            for begin in (0..BLOCK).step_by(8) {
                let runs = load_tile(|step| eight(&steps[begin + step], first));
                for (run, at) in runs.into_iter().zip(&firsts[first..]) {
                    let at = at + begin;
                    if self.sample_bytes == 2 {
                        if let Some(to) = self.bytes[2 * at..].first_chunk_mut() {
                            store_run(run, flip, to);
                        }
                    } else if let Some(to) = self.bytes[at..].first_chunk_mut() {
                        pack_run(run, to);
                    }
                }
            }
        }
    }

    /// Put what one lane has of a block: of a row, and of the one below it in the lane.
    #[inline(always)]
    fn lane(
        &mut self,
        run: &[u16; BLOCK],
        order: &Order,
        lane: usize,
        (group, phase): (usize, usize),
    ) {
        // The lane may begin within this block.
        let idle = (SKEW * (lane % BAND)).saturating_sub(phase);
        let (idle, place) = match order.place(lane, group, phase) {
            Some(place) => (0, Some(place)),
            None => (idle.min(BLOCK), order.place(lane, group, phase + idle)),
        };
        let Some((row, column)) = place else { return };
        let run = &run[idle..];
        let (here, below) = run.split_at(run.len().min(order.period.saturating_sub(column)));
        self.piece(order, (row, column), here);
        if let (false, Some(row)) = (below.is_empty(), order.below(lane, row)) {
            self.piece(order, (row, 0), below);
        }
    }

    /// Put samples that begin at a place of a row; those beyond its end are none.
    #[inline(always)]
    fn piece(&mut self, order: &Order, (row, column): (usize, usize), samples: &[u16]) {
        let samples = &samples[..order.length(row).saturating_sub(column).min(samples.len())];
        let at = row * order.columns + column;
        match samples.first_chunk::<BLOCK>() {
            Some(samples) => self.run(at, samples),
            None if samples.is_empty() => {}
            None => self.run(at, samples),
        }
    }

    /// Put samples that follow one another in a row.
    #[inline(always)]
    fn run(&mut self, at: usize, samples: &[u16]) {
        if self.stride > 1 {
            for (next, &sample) in samples.iter().enumerate() {
                self.put(at + next, sample);
            }
        } else if self.sample_bytes == 2 {
            let flip = self.flip ^ self.bias;
            let to = self.bytes[2 * at..][..2 * samples.len()].as_chunks_mut().0;
            for (to, sample) in to.iter_mut().zip(samples) {
                *to = (sample ^ flip).to_le_bytes();
            }
        } else {
            for (to, &sample) in self.bytes[at..][..samples.len()].iter_mut().zip(samples) {
                *to = sample as u8;
            }
        }
    }

    /// Set all samples of the plane to the same value.
    pub(super) fn fill(&mut self, samples: usize, value: u16) {
        for at in 0..samples {
            self.put(at, value ^ self.bias);
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
            let sample = (sample ^ self.bias).wrapping_add(plus) ^ self.flip;
            self.bytes[2 * (first + self.plane)..][..2].copy_from_slice(&sample.to_le_bytes());
        } else {
            let plus = self.plus.map_or(0, |plane| self.bytes[first + plane]);
            self.bytes[first + self.plane] = (sample as u8).wrapping_add(plus);
        }
    }
}

/// Eight lanes of a step.
#[inline(always)]
fn eight(step: &[u16; LANES], first: usize) -> &[u16; 8] {
    step[first..].first_chunk().unwrap_or(&[0; 8])
}
