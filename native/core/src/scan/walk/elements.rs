//! What the walk does at elements, items and delimiters (PS3.5 7).

use crate::dictionary::{self, Entry};
use crate::element::{
    ElementHeader, ITEM, ITEM_END, SEQUENCE_END, Syntax, UNDEFINED, Vr, decode_header,
};
use crate::frames::PIXEL_DATA;

use super::{Expected, Input, State, Walker};
use crate::scan::Hole;
use crate::scan::fragments::{Fragments, has_fragments};
use crate::scan::level::{Kind, OPEN};
use crate::scan::values::value_vr;

impl Walker {
    pub(super) fn element_or_item(&mut self, input: &mut Input<'_>) -> bool {
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
        let fits = |header: &ElementHeader| header.header_len as u64 <= available;
        let Some(header) = decode_header(bytes, syntax).filter(fits) else {
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
    pub(super) fn detect(&mut self, head: &[u8; 8]) -> bool {
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
    pub(super) fn delimiter(&mut self, header: &ElementHeader) {
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
    pub(super) fn item(&mut self) {
        let level = self.levels.top();
        let bytes = &self.header[self.at..];
        let flipped = Syntax {
            big_endian: !level.syntax.big_endian,
            ..level.syntax
        };
        if level.fresh && matches!(flipped.tag(bytes), ITEM | SEQUENCE_END) {
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
                self.collector.begin_item(self.levels.standing());
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
    pub(super) fn element(&mut self, header: &ElementHeader) {
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
    pub(super) fn undefined(&mut self, header: &ElementHeader, vr: Vr) {
        if self.levels.is_root() && header.tag == PIXEL_DATA {
            self.begin_fragments(vr);
        } else if vr == Vr::SQ || (vr == Vr::UN && header.has_vr && !has_fragments(header.tag)) {
            self.sequence(header.tag, None);
        } else if vr == Vr::UN && !header.has_vr {
            self.state = State::Peek;
        } else {
            self.fragments = Some(Fragments::new(self.levels.top().syntax));
            self.state = State::Fragments { hole: false };
        }
    }

    pub(super) fn peek(&mut self, input: &mut Input<'_>) -> bool {
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

    pub(super) fn sequence(&mut self, tag: u32, length: Option<u64>) {
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
}

/// True when `head` may well be the first element of a data set.
fn is_plausible(head: &[u8; 8], syntax: Syntax) -> bool {
    let tag = syntax.tag(head);
    let known = dictionary::lookup(tag) != Entry::Unknown;
    let early = (0x0002..=0x0040).contains(&(tag >> 16));
    known && early && (syntax.explicit || syntax.u32(&head[4..]) < 1 << 16)
}
