//! The walk over a data set's elements, a state machine that is fed pieces.

use crate::dictionary;
use crate::element::{
    ElementHeader, ITEM, ITEM_END, SEQUENCE_END, Syntax, UNDEFINED, Vr, decode_header,
};
use crate::frames::{
    COMPRESSED_CHUNK, DOUBLE_PIXEL_DATA, EXTENDED_OFFSETS, FLOAT_PIXEL_DATA, PIXEL_DATA,
    plain_chunk_length,
};

use super::digest::BulkHasher;
use super::fragments::Fragments;
use super::level::{Kind, Levels, OPEN};
use super::values::{Collector, decides, value_vr};
use super::{FrameTable, Hole, Limits, Problem, Run};

/// More bulk values than this stay in the header; a few of them are kept for pixel data.
const MAX_HOLES: usize = 256;
const KEPT_FOR_PIXELS: usize = 4;

/// A piece of the input, and how much of it is used up.
pub(super) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Input { bytes, at: 0 }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// Use up to `count` bytes; return them and where they begin in the piece.
    fn take(&mut self, count: u64) -> (&'a [u8], usize) {
        let begin = self.at;
        let count = count.min((self.bytes.len() - begin) as u64) as usize;
        self.at += count;
        (&self.bytes[begin..self.at], begin)
    }
}

/// What the data set is known to be encoded in before its first element is seen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// As the transfer syntax has it; the first element may show otherwise.
    Declared(Syntax),
    /// Whatever the first element looks like.
    Unknown,
    /// The same, but nothing so far says that this is DICOM at all.
    Anything,
}

#[derive(Clone, Copy)]
enum State {
    /// At an element, an item or a delimiter.
    Element,
    /// In the value of undefined length of an unknown element: are there items in it?
    Peek,
    /// In a value that stays in the header.
    Value {
        left: u64,
        wanted: Option<Vr>,
        begin: usize,
    },
    /// In the value of the hole that is last, or that `opening` becomes.
    Hole { left: u64 },
    /// In fragments, in a hole or in the header.
    Fragments { hole: bool },
    /// After the data set, or where it can be read no further.
    Rest { padding: bool },
    /// Over the header's cap, or not DICOM.
    Dead,
}

/// Walks over a data set: parts it into header and holes, collects values, notes a problem.
pub(super) struct Walker {
    /// All bytes so far that are in no hole, beginning with the prefix.
    pub(super) header: Vec<u8>,
    pub(super) holes: Vec<Hole>,
    pub(super) problem: Option<Problem>,
    pub(super) collector: Collector,
    pub(super) frames: Option<FrameTable>,
    limits: Limits,
    /// Whether digests of holes are wanted.
    hashing: bool,
    expected: Expected,
    /// Bytes of `header` that have been read.
    at: usize,
    /// Bytes of holes so far.
    bulk: u64,
    state: State,
    levels: Levels,
    /// The last element met, and the length that it declares.
    current: (u32, u32),
    opening: Option<Hole>,
    hasher: BulkHasher,
    fragments: Option<Fragments>,
}

impl Walker {
    pub(super) fn new(interest: &[u64], limits: Limits, hashing: bool) -> Self {
        Walker {
            header: Vec::new(),
            holes: Vec::new(),
            problem: None,
            collector: Collector::new(interest),
            frames: None,
            limits,
            hashing,
            expected: Expected::Unknown,
            at: 0,
            bulk: 0,
            state: State::Element,
            levels: Levels::new(Syntax::EXPLICIT),
            current: (0, 0),
            opening: None,
            hasher: BulkHasher::default(),
            fragments: None,
        }
    }

    /// Say that the data set begins `at` bytes into the header.
    pub(super) fn begin(&mut self, at: usize, expected: Expected) {
        self.at = at;
        self.expected = expected;
        if let Expected::Declared(syntax) = expected {
            self.levels = Levels::new(syntax);
        }
    }

    /// Say that all from `at` on is one value, known to be compressed.
    pub(super) fn begin_compressed(&mut self, at: usize) {
        debug_assert!(at <= self.header.len());
        self.at = self.header.len();
        self.state = State::Hole { left: OPEN };
        self.opening = Some(Hole::new(
            self.at,
            Vec::new(),
            Vr::OB,
            COMPRESSED_CHUNK,
            None,
        ));
    }

    /// Read `input` to its end; append the runs of it that are bulk.
    pub(super) fn feed(&mut self, input: &mut Input<'_>, runs: &mut Vec<Run>) {
        while self.step(input, runs) {}
    }

    /// Bring the header to `length` bytes; false when the input does not suffice.
    pub(super) fn fill_to(&mut self, length: usize, input: &mut Input<'_>) -> bool {
        let missing = length.saturating_sub(self.header.len());
        self.absorb(missing as u64, input);
        self.header.len() >= length
    }

    /// The encoding of the top level, as found.
    pub(super) fn syntax(&self) -> Syntax {
        self.levels.root().syntax
    }

    pub(super) fn is_dead(&self) -> bool {
        matches!(self.state, State::Dead)
    }

    /// Bytes read so far.
    pub(super) fn passed(&self) -> u64 {
        self.header.len() as u64 + self.bulk
    }

    /// True once the top-level pixel data began: nothing of interest comes after.
    pub(super) fn has_met_pixels(&self) -> bool {
        self.levels.is_root() && self.current.0 >= FLOAT_PIXEL_DATA
    }

    /// Refuse the object.
    pub(super) fn die(&mut self, what: String) {
        self.problem = None;
        self.complain(what);
        self.state = State::Dead;
        self.header = Vec::new();
    }

    fn offset(&self) -> u64 {
        self.at as u64 + self.bulk
    }

    fn complain(&mut self, what: String) {
        if self.problem.is_none() {
            let tag = Some(self.current.0).filter(|&tag| tag != 0);
            self.problem = Some(Problem {
                at: self.offset(),
                tag,
                what,
            });
        }
    }

    /// Move up to `count` bytes of the input to the header; return how many.
    fn absorb(&mut self, count: u64, input: &mut Input<'_>) -> u64 {
        let room = self.limits.max_header.saturating_sub(self.header.len());
        let (bytes, _) = input.take(count);
        if bytes.len() > room {
            self.at = self.limits.max_header;
            self.die(format!(
                "the header is over {} bytes",
                self.limits.max_header
            ));
            return 0;
        }
        self.header.extend_from_slice(bytes);
        bytes.len() as u64
    }

    /// Bring `count` unread bytes into the header.
    fn fill(&mut self, count: usize, input: &mut Input<'_>) -> bool {
        self.fill_to(self.at + count, input)
    }

    /// Do one thing; false when the input is used up.
    fn step(&mut self, input: &mut Input<'_>, runs: &mut Vec<Run>) -> bool {
        match self.state {
            State::Element => self.element_or_item(input),
            State::Peek => self.peek(input),
            State::Value {
                left,
                wanted,
                begin,
            } => self.value(left, wanted, begin, input),
            State::Hole { left } => self.hole(left, input, runs),
            State::Fragments { hole } => self.in_fragments(hole, input, runs),
            State::Rest { padding } => self.rest(padding, input),
            State::Dead => {
                input.take(OPEN);
                false
            }
        }
    }

    fn element_or_item(&mut self, input: &mut Input<'_>) -> bool {
        self.levels.close_ended(self.offset());
        let level = self.levels.top();
        let available = level.bound - self.offset();
        if available < 8 {
            self.skip(available);
            return true;
        }
        if !self.fill(8, input) {
            return false;
        }
        if level.kind == Kind::Items {
            self.item();
            return true;
        }
        let Some(&head) = self.header[self.at..].first_chunk() else {
            return false;
        };
        if level.fresh && !self.detect(&head) {
            return true;
        }
        let bytes = &self.header[self.at..];
        let mut syntax = self.levels.top().syntax;
        if self.levels.is_root() && head[..2] == [0, 0] {
            if head == [0; 8] {
                self.state = State::Rest { padding: true };
                return true;
            }
            syntax = Syntax::IMPLICIT; // a command set, PS3.7 6.3.1
        }
        let Some(header) = decode_header(bytes, syntax) else {
            if available < 12 {
                self.skip(available);
                return true;
            }
            return self.fill(12, input);
        };
        if header.vr == Vr::NONE {
            self.delimiter(&header);
        } else {
            self.element(&header);
        }
        true
    }

    /// Find out from its first element how a data set or item is encoded, as other readers do.
    /// False when this is not DICOM.
    fn detect(&mut self, head: &[u8; 8]) -> bool {
        let root = self.levels.is_root();
        if root && head[..2] == [0, 0] {
            return true; // a command set or padding: what follows will show it
        }
        let level = self.levels.top_mut();
        level.syntax = if root {
            level.syntax.of_data_set(head)
        } else {
            level.syntax.of_item(head)
        };
        level.fresh = false;
        if root && self.expected == Expected::Anything && !is_plausible(head, level.syntax) {
            self.die("not DICOM: no preamble, no file meta information, no data set".into());
            return false;
        }
        true
    }

    /// At `FFFE,xxxx` where an element is expected.
    fn delimiter(&mut self, header: &ElementHeader) {
        let root = self.levels.is_root();
        if header.tag == ITEM_END && !root {
            self.levels.close();
        } else if header.tag == SEQUENCE_END && self.levels.close_open_sequence() {
            self.complain("an item lacks its delimitation item".into());
        } else {
            self.current.0 = header.tag;
            self.complain("an item or delimiter where an element should be".into());
        }
        self.at += header.header_len;
    }

    /// In a sequence: at an item, or the end.
    fn item(&mut self) {
        let level = self.levels.top();
        let bytes = &self.header[self.at..];
        let flipped = Syntax {
            big_endian: !level.syntax.big_endian,
            ..level.syntax
        };
        if level.fresh && flipped.tag(bytes) == ITEM {
            // UN of undefined length is little endian, whatever is around it (PS3.5 6.2.2 note 2).
            self.levels.top_mut().syntax = flipped;
        }
        let syntax = self.levels.top().syntax;
        let length = syntax.u32(&bytes[4..]);
        match syntax.tag(bytes) {
            ITEM => {
                self.at += 8;
                let length = Some(u64::from(length)).filter(|_| length != UNDEFINED);
                self.levels.open_item(self.offset(), length);
                self.collector.begin_item();
            }
            SEQUENCE_END => {
                self.at += 8;
                if level.end == OPEN {
                    self.levels.close();
                }
            }
            ITEM_END => self.at += 8,
            _ => {
                self.current.0 = level.tag;
                self.complain("no item where one should be".into());
                if level.end == OPEN {
                    self.levels.close();
                } else {
                    self.skip(level.end - self.offset());
                }
            }
        }
    }

    /// At an element: read past its header and decide what becomes of its value.
    fn element(&mut self, header: &ElementHeader) {
        let level = self.levels.top();
        let (tag, undefined) = (header.tag, header.is_undefined());
        let vr = if header.has_vr {
            header.vr
        } else {
            dictionary::vr_of(tag, level.syntax.explicit, undefined, &level.context)
        };
        self.at += header.header_len;
        self.current = (tag, header.length);
        if undefined {
            self.undefined(header, vr);
            return;
        }
        let length = u64::from(header.length).min(level.bound - self.offset());
        if vr == Vr::SQ {
            self.sequence(tag, Some(length));
        } else if let Some(chunk) = self.chunk_length(tag, vr, length) {
            let path = self.levels.path(tag);
            self.opening = Some(Hole::new(self.at, path, vr, chunk, Some(length)));
            self.state = State::Hole { left: length };
        } else {
            let wanted = self.collector.wants(self.levels.standing(), tag);
            let vr = wanted.then(|| value_vr(tag, vr, level.syntax, &level.context));
            self.state = State::Value {
                left: length,
                wanted: vr,
                begin: self.at,
            };
        }
    }

    /// At a value of undefined length: items of a sequence, or fragments.
    fn undefined(&mut self, header: &ElementHeader, vr: Vr) {
        if self.levels.is_root() && header.tag == PIXEL_DATA {
            self.begin_fragments(vr);
        } else if vr == Vr::SQ || (vr == Vr::UN && header.has_vr) {
            self.sequence(header.tag, None);
        } else if vr == Vr::UN {
            self.state = State::Peek;
        } else {
            self.fragments = Some(Fragments::new(self.levels.top().syntax));
            self.state = State::Fragments { hole: false };
        }
    }

    fn peek(&mut self, input: &mut Input<'_>) -> bool {
        let level = self.levels.top();
        if level.bound - self.offset() >= 4 && !self.fill(4, input) {
            return false;
        }
        let is_item = level.syntax.tag(&self.header[self.at..]) == ITEM;
        if is_item {
            self.state = State::Element;
            self.sequence(self.current.0, None);
        } else {
            self.fragments = Some(Fragments::new(level.syntax));
            self.state = State::Fragments { hole: false };
        }
        true
    }

    fn sequence(&mut self, tag: u32, length: Option<u64>) {
        self.state = State::Element;
        if length == Some(0) {
            return;
        }
        if !self.levels.is_full() {
            self.levels.open_sequence(tag, self.offset(), length);
            return;
        }
        self.complain("sequences are nested too deep".into());
        match length {
            Some(length) => self.skip(length),
            None => self.state = State::Rest { padding: false },
        }
    }

    fn begin_fragments(&mut self, vr: Vr) {
        let hole = self.can_open(true);
        self.fragments = Some(Fragments::new(self.levels.top().syntax));
        self.state = State::Fragments { hole };
        if hole {
            let path = self.levels.path(PIXEL_DATA);
            self.opening = Some(Hole::new(self.at, path, vr, COMPRESSED_CHUNK, None));
        }
    }

    /// The length in which a value is chunked as a hole; None when it stays in the header.
    fn chunk_length(&self, tag: u32, vr: Vr, length: u64) -> Option<u64> {
        let pixels = self.levels.is_root()
            && [PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_PIXEL_DATA].contains(&tag);
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
    fn can_open(&self, pixels: bool) -> bool {
        let limit = if pixels {
            MAX_HOLES
        } else {
            MAX_HOLES - KEPT_FOR_PIXELS
        };
        self.holes.len() < limit && self.header.len() == self.at
    }

    fn skip(&mut self, left: u64) {
        self.state = State::Value {
            left,
            wanted: None,
            begin: self.at,
        };
    }

    fn value(
        &mut self,
        left: u64,
        wanted: Option<Vr>,
        begin: usize,
        input: &mut Input<'_>,
    ) -> bool {
        let unread = (self.header.len() - self.at) as u64;
        let mut now = unread.min(left);
        now += self.absorb(left - now, input);
        if self.is_dead() {
            return true;
        }
        self.at += now as usize;
        if now < left {
            self.state = State::Value {
                left: left - now,
                wanted,
                begin,
            };
            return false;
        }
        self.keep(wanted, begin);
        self.state = State::Element;
        true
    }

    /// Hand a value in the header to the collector.
    fn keep(&mut self, wanted: Option<Vr>, begin: usize) {
        let Some(vr) = wanted else { return };
        let tag = self.current.0;
        let raw = &self.header[begin..self.at];
        let level = self.levels.top_mut();
        if decides(tag) {
            level.context.note(tag, raw, level.syntax);
        }
        let syntax = level.syntax;
        self.collector
            .element(self.levels.standing(), tag, vr, raw, syntax);
    }

    fn hole(&mut self, left: u64, input: &mut Input<'_>, runs: &mut Vec<Run>) -> bool {
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

    fn in_fragments(&mut self, hole: bool, input: &mut Input<'_>, runs: &mut Vec<Run>) -> bool {
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

    fn end_fragments(&mut self, fragments: Fragments, hole: bool) {
        self.state = State::Element;
        if !hole || self.opening.is_some() {
            return;
        }
        let syntax = self.levels.top().syntax;
        let extended = self.collector.take_extended_offsets(syntax);
        let count = self.collector.image.frames;
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
    fn bulk_bytes(&mut self, bytes: &[u8], begin: usize, runs: &mut Vec<Run>) {
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

    fn close_hole(&mut self) {
        let number = self.holes.len() - 1;
        let hole = &mut self.holes[number];
        if self.hashing {
            hole.digest = self.hasher.finish();
        }
        let pixels = [PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_PIXEL_DATA];
        if let [tag] = hole.path[..]
            && pixels.contains(&tag)
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

    fn rest(&mut self, padding: bool, input: &mut Input<'_>) -> bool {
        self.absorb(OPEN, input);
        if self.is_dead() {
            return true;
        }
        let unread = &self.header[self.at..];
        if padding && let Some(zeros) = unread.iter().position(|&byte| byte != 0) {
            self.at += zeros;
            self.current.0 = 0;
            self.complain("bytes after the end of the data set".into());
            self.state = State::Rest { padding: false };
        }
        self.at = self.header.len();
        false
    }

    /// Say that the input ends here.
    pub(super) fn finish(&mut self) {
        match self.state {
            State::Element | State::Peek => self.finish_between(),
            State::Value { wanted, begin, .. } => {
                self.complain_short((self.at - begin) as u64);
                self.keep(wanted, begin);
            }
            State::Hole { .. } => self.finish_hole(),
            State::Fragments { hole } => {
                self.complain("the value has no sequence delimitation item".into());
                if let Some(fragments) = self.fragments.take() {
                    self.end_fragments(fragments, hole);
                }
            }
            State::Rest { .. } | State::Dead => {}
        }
    }

    fn finish_hole(&mut self) {
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

    fn finish_between(&mut self) {
        let unread = &self.header[self.at..];
        if unread.iter().any(|&byte| byte != 0) {
            self.complain("an element header is cut short".into());
            return;
        }
        self.levels.close_ended(self.offset());
        if !self.levels.is_root() {
            self.current.0 = self.levels.top().tag;
            self.complain("the sequence does not end".into());
        }
    }

    fn complain_short(&mut self, got: u64) {
        let (_, declared) = self.current;
        self.complain(format!("the value ends after {got} of {declared} bytes"));
    }
}

/// True when `head` may well be the first element of a data set.
fn is_plausible(head: &[u8; 8], syntax: Syntax) -> bool {
    let tag = syntax.tag(head);
    let known = dictionary::lookup(tag) != dictionary::Entry::Unknown;
    let early = (0x0002..=0x0040).contains(&(tag >> 16));
    known && early && (syntax.explicit || syntax.u32(&head[4..]) < 1 << 16)
}
