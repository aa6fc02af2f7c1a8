//! What the walk does in bulk: holes, fragments, frames.

use crate::element::Vr;
use crate::frames::{
    COMPRESSED_CHUNK, DOUBLE_PIXEL_DATA, EXTENDED_OFFSETS, FLOAT_PIXEL_DATA, PIXEL_DATA,
    plain_chunk_length,
};

use super::{Input, State, Walker};
use crate::scan::fragments::Fragments;
use crate::scan::{FrameTable, Hole, Run};

/// More bulk values than this stay in the header; a few of them are kept for pixel data.
const MAX_HOLES: usize = 256;
const KEPT_FOR_PIXELS: usize = 4;

const PIXELS: [u32; 3] = [PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_PIXEL_DATA];

impl Walker {
    pub(super) fn begin_fragments(&mut self, vr: Vr) {
        let hole = self.can_open(true);
        self.fragments = Some(Fragments::new(self.levels.top().syntax));
        self.state = State::Fragments { hole };
        if hole {
            let path = self.levels.path(PIXEL_DATA);
            self.opening = Some(Hole::new(self.at, path, vr, COMPRESSED_CHUNK, None));
        }
    }

    /// The length in which a value is chunked as a hole; None when it stays in the header.
    pub(super) fn chunk_length(&self, tag: u32, vr: Vr, length: u64) -> Option<u64> {
        let pixels = self.levels.is_root() && PIXELS.contains(&tag);
        let bulk = length > 0 && (pixels || vr.is_bulk() && length >= self.limits.bulk_threshold);
        if !bulk || !self.can_open(pixels) {
            None
        } else if pixels {
            Some(self.collector.image.chunk_length(tag, length))
        } else {
            Some(plain_chunk_length(length))
        }
    }

    /// True when there may be one more hole, here. Bytes that were looked at to find a preamble
    /// are in the header and stay there.
    pub(super) fn can_open(&self, pixels: bool) -> bool {
        let limit = if pixels {
            MAX_HOLES
        } else {
            MAX_HOLES - KEPT_FOR_PIXELS
        };
        self.holes.len() < limit && self.header.len() == self.at
    }

    pub(super) fn hole(&mut self, left: u64, input: &mut Input<'_>, runs: &mut Vec<Run>) -> bool {
        let (bytes, begin) = input.take(left);
        if bytes.is_empty() && left > 0 {
            return false;
        }
        self.bulk_bytes(bytes, begin, runs);
        if self.current.0 == EXTENDED_OFFSETS && self.levels.is_root() {
            self.collector.extended_offsets(bytes);
        }
        let left = left - bytes.len() as u64;
        self.state = State::Hole { left };
        if left == 0 {
            self.close_hole();
            self.state = State::Element;
        }
        true
    }

    pub(super) fn in_fragments(
        &mut self,
        hole: bool,
        input: &mut Input<'_>,
        runs: &mut Vec<Run>,
    ) -> bool {
        let Some(mut fragments) = self.fragments.take() else {
            return false;
        };
        let left = self.levels.top().bound - self.offset();
        let unread = (self.header.len() - self.at) as u64;
        let (used, ended, waits);
        if unread > 0 {
            let end = self.at + unread.min(left) as usize;
            (used, ended) = fragments.take(&self.header[self.at..end]);
            self.at += used;
            waits = false;
        } else {
            let rest = input.rest();
            (used, ended) = fragments.take(&rest[..left.min(rest.len() as u64) as usize]);
            if hole {
                let (bytes, begin) = input.take(used as u64);
                self.bulk_bytes(bytes, begin, runs);
            } else {
                self.absorb(used as u64, input);
                if self.is_dead() {
                    return true;
                }
                self.at += used;
            }
            waits = used == 0;
        }
        if ended || used as u64 == left {
            self.end_fragments(fragments, hole);
            return true;
        }
        self.fragments = Some(fragments);
        !waits
    }

    pub(super) fn end_fragments(&mut self, fragments: Fragments, hole: bool) {
        self.state = State::Element;
        if !hole || self.opening.is_some() {
            return;
        }
        let syntax = self.levels.top().syntax;
        let extended = self.collector.take_extended_offsets(syntax);
        let count = if self.is_video {
            Some(1)
        } else {
            self.collector.image.frames
        };
        let offsets = fragments
            .items()
            .and_then(|items| items.frame_offsets(count, &extended));
        if let Some(offsets) = offsets {
            let hole = self.holes.len() - 1;
            self.frames = self
                .frames
                .take()
                .or(Some(FrameTable::Encapsulated { hole, offsets }));
        }
        self.close_hole();
    }

    /// Pass bytes of the hole that is open, opening it with the first of them.
    pub(super) fn bulk_bytes(&mut self, bytes: &[u8], begin: usize, runs: &mut Vec<Run>) {
        if bytes.is_empty() {
            return;
        }
        if let Some(hole) = self.opening.take() {
            self.holes.push(hole);
        }
        let number = self.holes.len() - 1;
        if self.hashing {
            self.hasher.update(bytes);
        }
        self.bulk += bytes.len() as u64;
        self.holes[number].length += bytes.len() as u64;
        runs.push(Run {
            hole: number,
            begin,
            end: begin + bytes.len(),
        });
    }

    pub(super) fn close_hole(&mut self) {
        let number = self.holes.len() - 1;
        let hole = &mut self.holes[number];
        if self.hashing {
            hole.digest = self.hasher.finish();
        }
        if let [tag] = hole.path[..]
            && PIXELS.contains(&tag)
            && hole.declared.is_some()
            && self.frames.is_none()
        {
            let frames = self.collector.image.native_frames(tag, hole.length);
            self.frames = frames.map(|(count, bits)| FrameTable::Native {
                hole: number,
                count,
                bits,
            });
        }
    }

    pub(super) fn finish_hole(&mut self) {
        let begun = self.opening.is_none();
        let Some(hole) = self.opening.as_ref().or(self.holes.last()) else {
            return;
        };
        if hole.declared.is_some() {
            self.complain_short(hole.length);
        }
        if begun {
            self.close_hole();
        }
    }
}
