//! What stands before the words of a chunk and of each of its planes.

use super::lanes::LANES;
use super::predict::{CONSTANT, LINEAR, MEDIAN, Predictor};
use super::table::{BitReader, BitWriter, Frequencies, LEVELS, first_levels};
use super::{Geometry, Invalid};

/// Signed samples: their top bit is inverted.
const FLIPPED: u8 = 1;
/// Set in every chunk: there were others, of another layout, before a version was released.
const LAYOUT: u8 = 2;
/// The left neighbour counts for the choice of a table.
const LEFT: u8 = 1;
/// No plane is added to this one.
const NONE: u8 = 0xff;

/// Most samples per pixel.
pub(super) const PLANES: usize = 4;

/// The fixed part of a chunk: 5 bytes.
pub(super) struct ChunkHeader {
    pub(super) geometry: Geometry,
    pub(super) flipped: bool,
}

impl ChunkHeader {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let Geometry {
            columns,
            sample_bytes,
            pixel_samples,
        } = self.geometry;
        out.extend([
            LAYOUT | (u8::from(self.flipped) * FLIPPED),
            sample_bytes,
            pixel_samples,
        ]);
        out.extend(columns.to_le_bytes());
    }

    pub(super) fn read(bytes: &mut &[u8]) -> Result<Self, Invalid> {
        let [flags, sample_bytes, pixel_samples, columns @ ..] = *take::<5>(bytes)?;
        let columns = u16::from_le_bytes(columns);
        if flags & !FLIPPED != LAYOUT || !(1..=2).contains(&sample_bytes) {
            return Err(Invalid("a chunk of unknown samples"));
        }
        if flags & FLIPPED != 0 && sample_bytes == 1 {
            return Err(Invalid("a chunk of signed bytes"));
        }
        if columns == 0 || !(1..=PLANES).contains(&usize::from(pixel_samples)) {
            return Err(Invalid("a chunk without samples"));
        }
        let geometry = Geometry {
            columns,
            sample_bytes,
            pixel_samples,
        };
        Ok(Self {
            geometry,
            flipped: flags & FLIPPED != 0,
        })
    }
}

/// How a plane is coded.
pub(super) struct PlaneHeader {
    /// Which sample of a pixel.
    pub(super) plane: u8,
    /// The plane that is added to it.
    pub(super) plus: Option<u8>,
    /// What is above the first row; all there is to a constant plane.
    pub(super) fill: u16,
    /// None: a constant plane.
    pub(super) coded: Option<Coded>,
}

/// A plane that has a stream.
pub(super) struct Coded {
    pub(super) predictor: Predictor,
    pub(super) left: bool,
    pub(super) table_bits: u32,
    /// Bit `i`: a table begins with level `i`.
    pub(super) map: u32,
    pub(super) tables: Vec<Frequencies>,
    /// In the order of words.
    pub(super) states: [u32; LANES],
    /// Words of the stream.
    pub(super) words: u32,
    /// Bytes of further bits.
    pub(super) extra: u32,
}

impl PlaneHeader {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let kind = self
            .coded
            .as_ref()
            .map_or(CONSTANT, |coded| coded.predictor.kind);
        out.extend([self.plane, self.plus.unwrap_or(NONE), kind]);
        out.extend(self.fill.to_le_bytes());
        let Some(coded) = &self.coded else { return };
        if kind == LINEAR {
            out.extend(coded.predictor.weights.map(|weight| weight as u8));
        }
        out.extend([u8::from(coded.left) * LEFT, coded.table_bits as u8]);
        out.extend(coded.map.to_le_bytes());
        let mut bits = BitWriter::default();
        for table in &coded.tables {
            table.write(&mut bits);
        }
        out.extend(bits.finish());
        out.extend(coded.states.iter().flat_map(|state| state.to_le_bytes()));
        out.extend(coded.words.to_le_bytes());
        out.extend(coded.extra.to_le_bytes());
    }

    pub(super) fn read(bytes: &mut &[u8]) -> Result<Self, Invalid> {
        let [plane, plus, kind, fill @ ..] = *take::<5>(bytes)?;
        let plus = (plus != NONE).then_some(plus);
        let fill = u16::from_le_bytes(fill);
        let predictor = match kind {
            MEDIAN => Predictor::MEDIAN,
            LINEAR => Predictor {
                kind,
                weights: take::<6>(bytes)?.map(|weight| weight as i8),
            },
            CONSTANT => {
                return Ok(Self {
                    plane,
                    plus,
                    fill,
                    coded: None,
                });
            }
            _ => return Err(Invalid("a plane of an unknown predictor")),
        };
        if !predictor.is_fair() {
            return Err(Invalid("a predictor whose weights do not sum up"));
        }
        let [left, table_bits, map @ ..] = *take::<6>(bytes)?;
        let (table_bits, map) = (u32::from(table_bits), u32::from_le_bytes(map));
        if left & !LEFT != 0 || !(8..=12).contains(&table_bits) {
            return Err(Invalid("a plane of unknown tables"));
        }
        let count = 1 + usize::from(first_levels(map)?[LEVELS - 1]);
        let mut bits = BitReader::new(bytes);
        let tables: Result<Vec<_>, _> = (0..count)
            .map(|_| Frequencies::read(&mut bits, table_bits))
            .collect();
        *bytes = bits.rest();
        let mut states = [0; LANES];
        for state in &mut states {
            *state = u32::from_le_bytes(*take(bytes)?);
        }
        let words = u32::from_le_bytes(*take(bytes)?);
        let extra = u32::from_le_bytes(*take(bytes)?);
        let left = left == LEFT;
        let coded = Coded {
            predictor,
            left,
            table_bits,
            map,
            tables: tables?,
            states,
            words,
            extra,
        };
        Ok(Self {
            plane,
            plus,
            fill,
            coded: Some(coded),
        })
    }
}

/// Take the next `N` bytes.
pub(super) fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Result<&'a [u8; N], Invalid> {
    let (taken, rest) = bytes
        .split_first_chunk()
        .ok_or(Invalid("a header cut short"))?;
    *bytes = rest;
    Ok(taken)
}
