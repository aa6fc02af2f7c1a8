//! The DICOM JSON Model (PS3.18 F.2) of a header, written straight to bytes.
//!
//! One pass with an explicit stack; nothing is built in between. Decisions where the standard or
//! its readers leave room:
//!
//! - Reading goes where `scan` goes, through what is broken too: what it found behind that is there,
//!   and each of its holes. What is open where a header breaks is closed, so that the result is
//!   always one well-formed object.
//! - Attributes come in ascending order, whatever the data set's (F.2.2); of a tag that occurs
//!   twice the last one counts. Group lengths are left out (F.2.2), and Data Set Trailing Padding,
//!   which means nothing (PS3.10 7.2).
//! - Text is UTF-8, the default repertoire of the model (F.2), so a Specific Character Set says
//!   ISO_IR 192.
//! - In implicit VR what an ambiguous VR depends on (Pixel Representation) counts from where it
//!   stands on, items after it included.

mod attributes;
mod value;

pub use attributes::{Attribute, Held, attributes_json};

use crate::charset::Charsets;
use crate::dictionary::{self, Context};
use crate::element::{
    ElementHeader, ITEM, ITEM_END, SEQUENCE_END, Syntax, UNDEFINED, Vr, decode_header,
};
use crate::scan::{Fragments, has_fragments};

/// Sequences nested deeper are not read into; two levels each, as `scan` counts.
const MAX_LEVELS: usize = 2 * 64 + 1;
/// The end of what ends with a delimiter, or with the header.
const OPEN: u64 = u64::MAX;
const VALUE: &[u8] = br#","Value":"#;
const SPECIFIC_CHARACTER_SET: u32 = 0x0008_0005;
const TRAILING_PADDING: u32 = 0xFFFC_FFFC;

/// Write the DICOM JSON Model of the data set that begins at `start` of `header`.
///
/// `holes` are `(offset, length)` of the values that are kept elsewhere, ascending: each becomes
/// `BulkDataURI`, `bulk_uri/path`.
pub fn dataset_json(
    header: &[u8],
    start: usize,
    transfer_syntax: &str,
    holes: &[(u64, u64)],
    bulk_uri: &str,
) -> Vec<u8> {
    written(header, start, transfer_syntax, holes, bulk_uri).out
}

/// Return how many holes are not met.
#[cfg(test)]
pub(crate) fn holes_missed(
    header: &[u8],
    start: usize,
    transfer_syntax: &str,
    holes: &[(u64, u64)],
) -> usize {
    written(header, start, transfer_syntax, holes, "")
        .holes
        .len()
}

fn written<'a>(
    header: &'a [u8],
    start: usize,
    transfer_syntax: &str,
    holes: &'a [(u64, u64)],
    bulk_uri: &'a str,
) -> Writer<'a> {
    let mut writer = Writer {
        header,
        at: start.min(header.len()),
        holes,
        bulk: 0,
        bulk_uri,
        levels: Vec::new(),
        members: Vec::new(),
        out: Vec::with_capacity(header.len() * 2),
    };
    writer.open(Level {
        kind: Kind::Elements,
        tag: 0,
        end: OPEN,
        bound: OPEN,
        syntax: Syntax::of(transfer_syntax),
        items: 0,
        fresh: true,
        context: Context::default(),
        charsets: Charsets::default(),
        first_member: 0,
    });
    while writer.step() {}
    while !writer.levels.is_empty() {
        writer.close();
    }
    writer
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The data set or an item: an object.
    Elements,
    /// A sequence: an array.
    Items,
}

#[derive(Clone, Copy)]
struct Level {
    kind: Kind,
    /// The sequence's tag; 0 for the data set.
    tag: u32,
    /// Where it ends, holes counted, or [`OPEN`].
    end: u64,
    /// Where the innermost sequence of defined length around it ends: nothing reaches beyond.
    bound: u64,
    syntax: Syntax,
    /// Items begun, in a sequence.
    items: u32,
    /// Nothing was met in it yet.
    fresh: bool,
    context: Context,
    charsets: Charsets,
    /// Where its attributes begin in `Writer::members`.
    first_member: usize,
}

struct Writer<'a> {
    header: &'a [u8],
    at: usize,
    holes: &'a [(u64, u64)],
    /// Bytes of the holes passed.
    bulk: u64,
    bulk_uri: &'a str,
    levels: Vec<Level>,
    /// Tag and place in `out` of the attributes of all open objects.
    members: Vec<(u32, usize)>,
    out: Vec<u8>,
}

impl Writer<'_> {
    /// Read one element, item or delimiter, or close what ended; false at the end.
    fn step(&mut self) -> bool {
        let Some(&level) = self.levels.last() else {
            return false;
        };
        let root = self.levels.len() == 1;
        if !root && self.offset() >= level.end.min(level.bound) {
            self.close();
            return true;
        }
        let left = level.bound - self.offset();
        if left < 8 {
            return self.skip(left);
        }
        let rest = &self.header[self.at..];
        let Some(head) = rest.first_chunk::<8>() else {
            return false;
        };
        if level.kind == Kind::Items {
            return self.item(head, level);
        }
        let mut syntax = level.syntax;
        if root && head[..2] == [0, 0] {
            if *head == [0; 8] {
                return false; // padding after the end
            }
            syntax = Syntax::IMPLICIT; // a stray command set (PS3.7 6.3.1)
        } else if level.fresh {
            syntax = if root {
                syntax.of_data_set(head)
            } else {
                syntax.of_item(head)
            };
            let level = self.top();
            (level.syntax, level.fresh) = (syntax, false);
        }
        let fits = |element: &ElementHeader| element.header_len as u64 <= left;
        match decode_header(rest, syntax).filter(fits) {
            Some(element) if element.vr == Vr::NONE => self.delimiter(element.tag),
            Some(element) => self.element(&element, syntax),
            None => left < 12 && self.skip(left),
        }
    }

    fn top(&mut self) -> &mut Level {
        self.levels
            .last_mut()
            .expect("never called without a level")
    }

    fn offset(&self) -> u64 {
        self.at as u64 + self.bulk
    }

    fn open(&mut self, level: Level) {
        self.out.extend(if level.kind == Kind::Items {
            b"["
        } else {
            b"{"
        });
        self.levels.push(level);
    }

    /// End the innermost object or array.
    fn close(&mut self) {
        let Some(level) = self.levels.pop() else {
            return;
        };
        if level.kind == Kind::Items {
            if level.items == 0 {
                // An empty sequence has no Value (F.2.5).
                self.out.truncate(self.out.len() - VALUE.len() - 1);
                self.out.extend(b"},");
            } else {
                value::end(&mut self.out, b"]},");
            }
            return;
        }
        self.order(level.first_member);
        value::end(&mut self.out, b"}");
        if !self.levels.is_empty() {
            self.out.push(b',');
        }
    }

    /// Bring the members of the object that ends into ascending order.
    fn order(&mut self, first: usize) {
        let members = &self.members[first..];
        if !members.is_sorted_by(|a, b| a.0 < b.0) {
            let begin = members[0].1;
            let ends = members[1..]
                .iter()
                .map(|member| member.1)
                .chain([self.out.len()]);
            let mut spans: Vec<_> = members
                .iter()
                .zip(ends)
                .map(|(m, e)| (m.0, m.1..e))
                .collect();
            spans.sort_by_key(|span| span.0);
            let mut ordered = Vec::with_capacity(self.out.len() - begin);
            for (n, (tag, span)) in spans.iter().enumerate() {
                if spans.get(n + 1).is_none_or(|next| next.0 != *tag) {
                    ordered.extend_from_slice(&self.out[span.clone()]);
                }
            }
            self.out.truncate(begin);
            self.out.extend(ordered);
        }
        self.members.truncate(first);
    }

    /// In a sequence: at an item, or its end.
    fn item(&mut self, head: &[u8; 8], mut level: Level) -> bool {
        let flipped = Syntax {
            big_endian: !level.syntax.big_endian,
            ..level.syntax
        };
        if level.fresh && matches!(flipped.tag(head), ITEM | SEQUENCE_END) {
            // UN of undefined length is little endian, whatever is around it (PS3.5 6.2.2 note 2).
            level.syntax = flipped;
        }
        self.at += 8;
        match level.syntax.tag(head) {
            ITEM => {
                level.items = level.items.saturating_add(1);
                level.fresh = false;
                *self.top() = level;
                let length = level.syntax.u32(&head[4..]);
                self.open(Level {
                    kind: Kind::Elements,
                    end: self.end(length, level.bound),
                    fresh: true,
                    first_member: self.members.len(),
                    ..level
                });
            }
            SEQUENCE_END if level.end == OPEN => self.close(),
            SEQUENCE_END | ITEM_END => {}
            _ if level.end == OPEN => {
                self.at -= 8;
                self.close();
            }
            _ => {
                self.at -= 8;
                return self.skip(level.end - self.offset());
            }
        }
        true
    }

    /// Where a value of `length` ends that begins here, in what reaches to `bound` at most.
    fn end(&self, length: u32, bound: u64) -> u64 {
        match length {
            UNDEFINED => OPEN,
            _ => bound.min(self.offset() + u64::from(length)),
        }
    }

    fn skip(&mut self, count: u64) -> bool {
        let left = (self.header.len() - self.at) as u64;
        self.at += count.min(left) as usize;
        count <= left
    }

    /// At `FFFE,xxxx` where an element is expected.
    fn delimiter(&mut self, tag: u32) -> bool {
        match (tag, &self.levels[..]) {
            (ITEM_END, [_, .., _]) => self.close(),
            (SEQUENCE_END, [.., sequence, _]) if sequence.end == OPEN => {
                // The item lacks its own delimiter.
                self.close();
                self.close();
            }
            _ => {}
        }
        self.at += 8;
        true
    }

    fn element(&mut self, element: &ElementHeader, syntax: Syntax) -> bool {
        let Level {
            context,
            charsets,
            bound,
            syntax: around,
            ..
        } = *self.top();
        let tag = element.tag;
        // UN holds implicit little endian, of whatever VR the tag has (PS3.5 6.2.2).
        let unknown = element.has_vr && element.vr == Vr::UN;
        let syntax = if unknown { Syntax::IMPLICIT } else { syntax };
        let vr = match element.vr {
            vr if element.has_vr && !unknown => value::known(vr),
            _ => dictionary::vr_of(tag, syntax.explicit, element.is_undefined(), &context),
        };
        self.at += element.header_len;
        if let Some((&(offset, length), holes)) = self.holes.split_first()
            && offset == self.at as u64
        {
            (self.holes, self.bulk) = (holes, self.bulk + length);
            if tag != TRAILING_PADDING {
                self.hole(tag, vr);
            }
            return true;
        }
        if element.is_undefined() {
            return self.undefined(element, vr, around);
        }
        if vr == Vr::SQ && element.length > 0 {
            return self.sequence(tag, syntax, element.length);
        }
        let begin = self.at;
        let length = u64::from(element.length).min(bound - self.offset());
        if !self.skip(length) {
            return false; // cut short
        }
        let raw = &self.header[begin..self.at];
        if tag & 0xFFFF == 0 || tag == TRAILING_PADDING {
            return true;
        }
        let level = self.top();
        level.context.note(tag, raw, syntax);
        if tag == SPECIFIC_CHARACTER_SET {
            level.charsets = Charsets::from_element(raw);
        }
        if tag == SPECIFIC_CHARACTER_SET && !raw.is_empty() {
            self.begin_member(tag, Vr::CS); // whatever it came as
            self.out.extend(br#","Value":["ISO_IR 192"]"#);
        } else {
            self.begin_member(tag, vr);
            value::write(&mut self.out, vr, raw, syntax, &charsets);
        }
        self.out.extend(b"},");
        true
    }

    /// At a value of undefined length that is in the header: a sequence, or fragments.
    fn undefined(&mut self, element: &ElementHeader, vr: Vr, syntax: Syntax) -> bool {
        let rest = &self.header[self.at..];
        let left = self.top().bound - self.offset();
        let unknown = element.vr == Vr::UN && !has_fragments(element.tag);
        let items = unknown && (element.has_vr || items_follow(rest, syntax));
        if vr == Vr::SQ || items {
            return self.sequence(element.tag, syntax, UNDEFINED);
        }
        let rest = &rest[..left.min(rest.len() as u64) as usize];
        let mut fragments = Fragments::new(syntax);
        let (used, ended) = fragments.take(rest);
        if ended && fragments.items().is_some() {
            // Up to and without the delimiter, as the Value Field is defined (PS3.5 A.4).
            self.begin_member(element.tag, vr);
            value::binary(&mut self.out, &rest[..used - 8]);
            self.out.extend(b"},");
        }
        self.skip(used as u64)
    }

    fn sequence(&mut self, tag: u32, syntax: Syntax, length: u32) -> bool {
        let level = *self.top();
        let end = self.end(length, level.bound);
        if self.levels.len() >= MAX_LEVELS {
            return end != OPEN && self.skip(end - self.offset());
        }
        self.begin_member(tag, Vr::SQ);
        self.out.extend(VALUE);
        self.open(Level {
            kind: Kind::Items,
            tag,
            end,
            bound: end.min(level.bound),
            syntax,
            items: 0,
            fresh: true,
            first_member: self.members.len(),
            ..level
        });
        true
    }

    fn hole(&mut self, tag: u32, vr: Vr) {
        // A sequence that came as UN is bulk as it stands; SQ has no BulkDataURI (F.2.2).
        self.begin_member(tag, if vr == Vr::SQ { Vr::UN } else { vr });
        self.out.extend(br#","BulkDataURI":""#);
        value::escape(&mut self.out, self.bulk_uri);
        self.out.push(b'/');
        for sequence in self.levels.iter().filter(|level| level.kind == Kind::Items) {
            value::hexadecimal(&mut self.out, sequence.tag);
            self.out.push(b'/');
            value::integer(&mut self.out, sequence.items - 1);
            self.out.push(b'/');
        }
        value::hexadecimal(&mut self.out, tag);
        self.out.extend(br#""},"#);
    }

    fn begin_member(&mut self, tag: u32, vr: Vr) {
        self.members.push((tag, self.out.len()));
        self.out.push(b'"');
        value::hexadecimal(&mut self.out, tag);
        self.out.extend(br#"":{"vr":""#);
        self.out.extend(vr.0);
        self.out.push(b'"');
    }
}

fn items_follow(rest: &[u8], syntax: Syntax) -> bool {
    let tag = syntax.tag(rest);
    rest.len() >= 8 && (tag == ITEM || tag == SEQUENCE_END)
}
