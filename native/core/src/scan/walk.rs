//! The walk over a data set's elements, a state machine that is fed pieces.

mod bulk;
mod elements;

use crate::element::{Syntax, Vr};
use crate::frames::{COMPRESSED_CHUNK, FLOAT_PIXEL_DATA};

use super::digest::BulkHasher;
use super::fragments::Fragments;
use super::level::{Levels, OPEN};
use super::values::{Collector, decides};
use super::{FrameTable, Hole, Limits, Problem, Run};

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
    /// All fragments of the pixel data are one stream, whatever the Number of Frames.
    pub(super) is_video: bool,
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
            is_video: false,
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
