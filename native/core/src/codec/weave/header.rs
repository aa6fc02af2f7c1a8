//! What stands before the words of a chunk.

use super::super::Invalid;
use super::super::header::take;
use super::super::lanes::LANES;
use super::super::predict::{WEIGHT_BITS, Weights};
use super::super::table::LEVELS;
use super::table::{Level, Shape};

/// Signed samples: their top bit is inverted.
const FLIPPED: u8 = 1;

pub(super) struct Header {
    pub(super) flipped: bool,
    pub(super) columns: u16,
    /// What is above the first row.
    pub(super) fill: u16,
    /// Of even and odd columns: of north, north-north, north-west, north-east, and of what is
    /// beside north, or beside the sample.
    pub(super) weights: [Weights; 2],
    /// Of even and odd columns.
    pub(super) levels: [[Level; LEVELS]; 2],
    pub(super) shapes: [Shape; 2],
    /// In the order of words.
    pub(super) states: [u32; LANES],
    /// Words of the stream.
    pub(super) words: u32,
    /// Escapes, of 2 bytes each.
    pub(super) escapes: u32,
}

impl Header {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.flipped) * FLIPPED);
        out.extend(self.columns.to_le_bytes());
        out.extend(self.fill.to_le_bytes());
        out.extend(
            self.weights
                .as_flattened()
                .iter()
                .map(|&weight| weight as u8),
        );
        out.extend(self.levels.as_flattened().iter().map(|level| level.byte()));
        for shape in &self.shapes {
            out.extend(shape.0);
        }
        out.extend(self.states.iter().flat_map(|state| state.to_le_bytes()));
        out.extend(self.words.to_le_bytes());
        out.extend(self.escapes.to_le_bytes());
    }

    pub(super) fn read(bytes: &mut &[u8]) -> Result<Self, Invalid> {
        let [flags] = *take(bytes)?;
        let columns = u16::from_le_bytes(*take(bytes)?);
        let fill = u16::from_le_bytes(*take(bytes)?);
        if flags & !FLIPPED != 0 || columns < 2 {
            return Err(Invalid("a chunk of unknown samples"));
        }
        let weights = [weights(bytes)?, weights(bytes)?];
        let mut levels = [[Level::default(); LEVELS]; 2];
        for level in levels.as_flattened_mut() {
            *level = Level::read(take::<1>(bytes)?[0])?;
        }
        let shapes = [Shape::read(*take(bytes)?)?, Shape::read(*take(bytes)?)?];
        let mut states = [0; LANES];
        for state in &mut states {
            *state = u32::from_le_bytes(*take(bytes)?);
        }
        Ok(Self {
            flipped: flags & FLIPPED != 0,
            columns,
            fill,
            weights,
            levels,
            shapes,
            states,
            words: u32::from_le_bytes(*take(bytes)?),
            escapes: u32::from_le_bytes(*take(bytes)?),
        })
    }
}

fn weights(bytes: &mut &[u8]) -> Result<Weights, Invalid> {
    let weights = take::<6>(bytes)?.map(|weight| weight as i8);
    if weights.map(i32::from).iter().sum::<i32>() != 1 << WEIGHT_BITS {
        return Err(Invalid("a predictor whose weights do not sum up"));
    }
    Ok(weights)
}
