//! One pass over an object as it arrives: header, bulk values, attributes of interest, frames.
//!
//! Glossary
//! - prefix: preamble and file meta information, at the front of the header
//! - header: the object without its bulk values
//! - hole: a place in the header where a bulk value was taken out
//! - run: bytes of a piece that belong to a hole
//!
//! [`Splitter`] is fed pieces of any size; the way the object is cut into pieces makes no
//! difference to the [`Scan`]. Bad data never fail: they are kept byte for byte, and the scan says
//! where and why reading stopped.

mod deflate;
mod digest;
mod fragments;
mod front;
mod level;
mod values;
mod walk;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

pub use deflate::inflate;
pub(crate) use fragments::{Fragments, has_fragments};
pub use values::Value;

use crate::element::{
    EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Syntax, Vr, is_deflated, is_video,
};

use deflate::Inflater;
use front::{Front, Progress};
use walk::{Expected, Input, Walker};

/// How the object begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A data set alone.
    DataSet,
    /// A Part 10 file: preamble and file meta information first, or what there is of them.
    Part10,
}

/// What a scan may take up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes from which a value of a bulk VR becomes a hole.
    pub bulk_threshold: u64,
    /// Bytes of header beyond which an object is refused.
    pub max_header: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            bulk_threshold: 4096,
            max_header: 256 << 20,
        }
    }
}

/// Bytes `begin..end` of a piece are the next ones of a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Number of the hole.
    pub hole: usize,
    /// First byte in the piece.
    pub begin: usize,
    /// Byte after the last.
    pub end: usize,
}

/// A bulk value, taken out of the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// Where in the header the value goes.
    pub offset: usize,
    /// Bytes of the value (that there are).
    pub length: u64,
    /// BLAKE3 of the value.
    pub digest: [u8; 32],
    /// `[tag]`, or `[tag, item, tag, ...]`; empty for a deflated data set.
    pub path: Vec<u32>,
    /// The element's VR.
    pub vr: Vr,
    /// The length in which the value is best chunked.
    pub chunk: u64,
    /// The length in the element's header; None when undefined.
    pub declared: Option<u64>,
}

impl Hole {
    fn new(offset: usize, path: Vec<u32>, vr: Vr, chunk: u64, declared: Option<u64>) -> Self {
        Hole {
            offset,
            length: 0,
            digest: [0; 32],
            path,
            vr,
            chunk,
            declared,
        }
    }
}

/// Where the frames of the pixel data are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameTable {
    /// Frames of `bits` bits, one after the other.
    Native {
        /// Number of the hole that is the pixel data.
        hole: usize,
        /// How many.
        count: u64,
        /// Bits of a frame; frames need not begin at bytes.
        bits: u64,
    },
    /// Frames made of items.
    Encapsulated {
        /// Number of the hole that is the pixel data.
        hole: usize,
        /// Where each frame's first item begins in the value, and where the last one ends.
        offsets: Vec<u64>,
    },
}

/// Where and why reading stopped, or what was the first thing wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Bytes of the object before it.
    pub at: u64,
    /// The element, where there is one.
    pub tag: Option<u32>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}", self.at)?;
        if let Some(tag) = self.tag {
            write!(f, ", in ({:04X},{:04X})", tag >> 16, tag & 0xFFFF)?;
        }
        write!(f, ": {}", self.what)
    }
}

/// What a pass over an object found.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// Where and why reading stopped, if it did.
    pub problem: Option<Problem>,
    /// Not even the container could be read; the rest is empty.
    pub fatal: bool,
    /// As declared; as found where nothing is declared.
    pub transfer_syntax: String,
    /// Bytes of preamble and file meta information in the header.
    pub prefix: usize,
    /// Bytes of the data set.
    pub length: u64,
    /// The object without its bulk values.
    pub header: Vec<u8>,
    /// The bulk values, ascending.
    pub holes: Vec<Hole>,
    /// The data set is deflated, and one hole.
    pub deflated: bool,
    /// Where the frames are, if they can be told apart.
    pub frames: Option<FrameTable>,
    /// BLAKE3 of the data set's header bytes and its holes' places and digests.
    pub digest: [u8; 32],
    /// The attributes of interest, by path key.
    pub values: BTreeMap<u64, Vec<Value>>,
    /// Text values of the file meta information.
    pub meta: BTreeMap<u32, String>,
}

enum Stage {
    Front,
    DataSet,
    Deflated(Box<Inflater>),
}

/// Parts an object into header and bulk as it arrives.
pub struct Splitter {
    declared: Option<String>,
    interest: Vec<u64>,
    limits: Limits,
    front: Front,
    prefix: usize,
    stage: Stage,
    walker: Walker,
}

impl Splitter {
    /// Begin an object. `transfer_syntax` is what it is said to be in; file meta information has
    /// the last word. `interest` lists path keys: `tag`, or `sequence << 32 | tag` for elements in
    /// items of a top-level sequence.
    pub fn new(
        form: Form,
        transfer_syntax: Option<&str>,
        interest: &[u64],
        limits: Limits,
    ) -> Self {
        let mut splitter = Splitter {
            declared: transfer_syntax.map(str::to_owned),
            interest: interest.to_vec(),
            limits,
            front: Front::default(),
            prefix: 0,
            stage: Stage::Front,
            walker: Walker::new(interest, limits, true),
        };
        if form == Form::DataSet {
            splitter.begin(0, Expected::Unknown);
        }
        splitter
    }

    /// Take the next piece; append its runs of bulk to `runs`.
    pub fn feed(&mut self, data: &[u8], runs: &mut Vec<Run>) {
        let mut input = Input::new(data);
        if matches!(self.stage, Stage::Front) && !self.read_front(&mut input, false) {
            return;
        }
        if let Stage::Deflated(inflater) = &mut self.stage {
            inflater.feed(input.rest());
        }
        self.walker.feed(&mut input, runs);
    }

    /// `(chunk length, declared length)` of a hole that has begun; see [`Hole`].
    pub fn hole_plan(&self, hole: usize) -> Option<(u64, Option<u64>)> {
        self.walker
            .holes
            .get(hole)
            .map(|hole| (hole.chunk, hole.declared))
    }

    /// Bytes of the header so far.
    pub fn header_length(&self) -> usize {
        self.walker.header.len()
    }

    /// Say that the object ends here.
    pub fn finish(mut self) -> Scan {
        if matches!(self.stage, Stage::Front) {
            // Too short to be sure of its front before: all of it is in the header.
            self.read_front(&mut Input::new(&[]), true);
            self.walker.feed(&mut Input::new(&[]), &mut Vec::new());
        }
        self.walker.finish();
        let mut problem = self.walker.problem.take();
        let fatal = self.walker.is_dead();
        let deflated = matches!(self.stage, Stage::Deflated(_));
        let mut frames = self.walker.frames.take();
        let transfer_syntax = self.transfer_syntax();
        let mut values = self.walker.collector.take_values();
        if let Stage::Deflated(inflater) = self.stage {
            let (mut inner, inner_problem) = inflater.finish();
            problem = problem.or(inner_problem);
            values = inner.collector.take_values();
            frames = None;
        }
        if self.front.is_cut && problem.is_none() {
            let what = "the file meta information is cut short".to_owned();
            problem = Some(Problem {
                at: self.prefix as u64,
                tag: None,
                what,
            });
        }
        let (header, holes) = (self.walker.header, self.walker.holes);
        let prefix = self.prefix.min(header.len());
        let bulk: u64 = holes.iter().map(|hole| hole.length).sum();
        Scan {
            problem,
            fatal,
            transfer_syntax,
            prefix,
            length: (header.len() - prefix) as u64 + bulk,
            digest: digest(&header, prefix, &holes),
            header,
            holes,
            deflated,
            frames,
            values,
            meta: self.front.meta,
        }
    }

    /// Read preamble and file meta information; false when they may go on after this piece.
    fn read_front(&mut self, input: &mut Input<'_>, ended: bool) -> bool {
        loop {
            match self.front.read(&self.walker.header, ended) {
                Progress::Need(length) => {
                    if !self.walker.fill_to(length, input) {
                        return self.walker.is_dead();
                    }
                }
                Progress::Done(at) => {
                    let bare = if self.front.is_dicom {
                        Expected::Unknown
                    } else {
                        Expected::Anything
                    };
                    self.begin(at, bare);
                    return true;
                }
            }
        }
    }

    /// Begin the data set, `at` bytes into the header.
    fn begin(&mut self, at: usize, otherwise: Expected) {
        self.prefix = at;
        self.stage = Stage::DataSet;
        let declared = self.front.transfer_syntax().or(self.declared.as_deref());
        self.walker.is_video = declared.is_some_and(is_video);
        match declared {
            Some(uid) if is_deflated(uid) => {
                let mut inflater = Inflater::new(&self.interest, self.limits);
                inflater.feed(&self.walker.header[at..]);
                self.stage = Stage::Deflated(Box::new(inflater));
                self.walker.begin_compressed(at);
            }
            Some(uid) => self.walker.begin(at, Expected::Declared(Syntax::of(uid))),
            None => self.walker.begin(at, otherwise),
        }
    }

    fn transfer_syntax(&self) -> String {
        let declared = self.front.transfer_syntax().or(self.declared.as_deref());
        let found = match self.walker.syntax() {
            Syntax {
                big_endian: true, ..
            } => EXPLICIT_BIG,
            Syntax { explicit: true, .. } => EXPLICIT_LITTLE,
            Syntax { .. } => IMPLICIT_LITTLE,
        };
        declared.unwrap_or(found).to_owned()
    }
}

/// Hash what makes the data set: its header bytes, and each hole's place, length and digest.
fn digest(header: &[u8], prefix: usize, holes: &[Hole]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&header[prefix..]);
    for hole in holes {
        hasher.update(&((hole.offset - prefix) as u64).to_le_bytes());
        hasher.update(&hole.length.to_le_bytes());
        hasher.update(&hole.digest);
    }
    *hasher.finalize().as_bytes()
}
