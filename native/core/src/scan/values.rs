//! Values of the attributes of interest, and of those that describe the pixel data.

use std::collections::BTreeMap;

use crate::charset::{Charsets, decode_text};
use crate::dictionary::{self, Context};
use crate::element::{Syntax, Vr};
use crate::frames::{EXTENDED_OFFSETS, Image};

/// A longer value is cut off.
const MAX_BYTES: usize = 64 << 10;
/// A value of more items is cut off, and so is what a sequence's items add up to.
const MAX_ITEMS: usize = 1024;
/// Entries of an Extended Offset Table that are kept.
const MAX_OFFSETS: usize = 1 << 22;

const SPECIFIC_CHARACTER_SET: u32 = 0x0008_0005;

/// One value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Decoded, without padding. AT are eight hexadecimal digits.
    Text(String),
    /// From a binary VR.
    Integer(i128),
    /// From FL and FD.
    Float(f64),
}

/// What is kept of the elements that pass.
#[derive(Default)]
pub(super) struct Collector {
    interest: Vec<u64>,
    pub(super) values: BTreeMap<u64, Vec<Value>>,
    charsets: Charsets,
    item_charsets: Option<Charsets>,
    /// Values that each attribute has from the items before, where it has any.
    before_item: usize,
    pub(super) image: Image,
    extended_offsets: Vec<u8>,
}

/// Where an element stands, as far as interest goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// At the top level.
    Top,
    /// In an item of this top-level sequence.
    Item(u32),
    Deeper,
}

impl Collector {
    pub(super) fn new(interest: &[u64]) -> Self {
        let mut interest = interest.to_vec();
        interest.sort_unstable();
        interest.dedup();
        Collector {
            interest,
            ..Collector::default()
        }
    }

    /// An item begins. One of a top-level sequence has the data set's character sets until it says
    /// otherwise, and its values stand behind those of all items before it: where one of these
    /// lacks an attribute that another has, an empty value stands for it.
    pub(super) fn begin_item(&mut self, standing: Standing) {
        if let Standing::Item(sequence) = standing {
            self.item_charsets = None;
            self.before_item = self.level_out(sequence);
        }
    }

    /// Take what was kept.
    pub(super) fn take_values(&mut self) -> BTreeMap<u64, Vec<Value>> {
        let paths = self.values.keys().filter(|&&path| path >> 32 != 0);
        let mut sequences: Vec<u32> = paths.map(|&path| (path >> 32) as u32).collect();
        sequences.dedup();
        for sequence in sequences {
            self.level_out(sequence);
        }
        std::mem::take(&mut self.values)
    }

    /// Give all attributes of a sequence that have values as many; return how many.
    fn level_out(&mut self, sequence: u32) -> usize {
        let first = u64::from(sequence) << 32;
        let members = first..=first | u64::from(u32::MAX);
        let of_members = self.values.range(members.clone());
        let most = of_members
            .map(|(_, values)| values.len())
            .max()
            .unwrap_or(0);
        for (_, values) in self.values.range_mut(members) {
            if !values.is_empty() {
                values.resize(most, Value::Text(String::new()));
            }
        }
        most
    }

    /// True when `element` wants this element's value.
    pub(super) fn wants(&self, standing: Standing, tag: u32) -> bool {
        let of_image =
            standing == Standing::Top && (tag >> 16 == 0x0028 || tag == EXTENDED_OFFSETS);
        of_image
            || tag == SPECIFIC_CHARACTER_SET
            || decides(tag)
            || self.key(standing, tag).is_some()
    }

    fn key(&self, standing: Standing, tag: u32) -> Option<u64> {
        let key = match standing {
            Standing::Top => u64::from(tag),
            Standing::Item(sequence) => u64::from(sequence) << 32 | u64::from(tag),
            Standing::Deeper => return None,
        };
        self.interest.binary_search(&key).is_ok().then_some(key)
    }

    /// Take an element's value, in the header.
    pub(super) fn element(
        &mut self,
        standing: Standing,
        tag: u32,
        vr: Vr,
        raw: &[u8],
        syntax: Syntax,
    ) {
        match (standing, tag) {
            (Standing::Top, SPECIFIC_CHARACTER_SET) => {
                self.charsets = Charsets::from_element(raw);
            }
            (Standing::Item(_), SPECIFIC_CHARACTER_SET) => {
                self.item_charsets = Some(Charsets::from_element(raw));
            }
            (Standing::Top, EXTENDED_OFFSETS) => self.extended_offsets(raw),
            _ => {}
        }
        let of_image = standing == Standing::Top && tag >> 16 == 0x0028;
        let key = self.key(standing, tag);
        if !of_image && key.is_none() {
            return;
        }
        let charsets = match standing {
            Standing::Top => &self.charsets,
            _ => self.item_charsets.as_ref().unwrap_or(&self.charsets),
        };
        let raw = &raw[..raw.len().min(MAX_BYTES)];
        let values = decode(vr, raw, syntax, charsets);
        if of_image {
            self.image_attribute(tag, &values);
        }
        match key {
            Some(key) if standing == Standing::Top => {
                self.values.insert(key, values);
            }
            Some(key) => {
                let gathered = self.values.entry(key).or_default();
                if !values.is_empty() && gathered.len() < self.before_item {
                    gathered.resize(self.before_item, Value::Text(String::new()));
                }
                let room = MAX_ITEMS - gathered.len().min(MAX_ITEMS);
                gathered.extend(values.into_iter().take(room));
            }
            None => {}
        }
    }

    /// Take a part of the Extended Offset Table.
    pub(super) fn extended_offsets(&mut self, raw: &[u8]) {
        let room = 8 * MAX_OFFSETS - self.extended_offsets.len();
        self.extended_offsets
            .extend_from_slice(&raw[..raw.len().min(room)]);
    }

    pub(super) fn take_extended_offsets(&mut self, syntax: Syntax) -> Vec<u64> {
        let raw = std::mem::take(&mut self.extended_offsets);
        raw.chunks_exact(8).map(|entry| syntax.u64(entry)).collect()
    }

    fn image_attribute(&mut self, tag: u32, values: &[Value]) {
        let text = match values.first() {
            Some(Value::Text(text)) => text.as_str(),
            _ => "",
        };
        let number = match values.first() {
            Some(Value::Integer(number)) => u64::try_from(*number).unwrap_or(0),
            _ => text.parse().unwrap_or(0),
        };
        let image = &mut self.image;
        match tag {
            0x0028_0002 => image.samples = number,
            0x0028_0004 => image.halved_chrominance = text.ends_with("_422"),
            0x0028_0008 => image.set_frames(if values.len() > 1 { "several" } else { text }),
            0x0028_0010 => image.rows = number,
            0x0028_0011 => image.columns = number,
            dictionary::BITS_ALLOCATED => image.bits_allocated = number,
            _ => {}
        }
    }
}

/// True for elements whose value decides on the VR of others.
pub(super) fn decides(tag: u32) -> bool {
    matches!(
        tag,
        dictionary::PIXEL_REPRESENTATION
            | dictionary::BITS_ALLOCATED
            | dictionary::LUT_DESCRIPTOR
            | dictionary::WAVEFORM_BITS_ALLOCATED
    )
}

/// The VR to read a value with: the dictionary's where the header's says nothing.
pub(super) fn value_vr(tag: u32, vr: Vr, syntax: Syntax, context: &Context) -> Vr {
    let known = vr != Vr::UN && (vr.has_long_length() || is_short(vr));
    if known {
        vr
    } else {
        dictionary::vr_of(tag, syntax.explicit, false, context)
    }
}

fn is_short(vr: Vr) -> bool {
    vr.is_localized()
        || matches!(
            vr,
            Vr::AE | Vr::AS | Vr::AT | Vr::CS | Vr::DA | Vr::DS | Vr::DT | Vr::FD | Vr::FL
        )
        || matches!(
            vr,
            Vr::IS | Vr::SL | Vr::SS | Vr::TM | Vr::UI | Vr::UL | Vr::US
        )
}

/// Decode a value; empty for VRs that are neither text nor numbers.
pub(super) fn decode(vr: Vr, raw: &[u8], syntax: Syntax, charsets: &Charsets) -> Vec<Value> {
    let integers = |size: usize, convert: &dyn Fn(u64) -> i128| {
        let wide = |bytes: &[u8]| match bytes.len() {
            2 => u64::from(syntax.u16(bytes)),
            4 => u64::from(syntax.u32(bytes)),
            _ => syntax.u64(bytes),
        };
        let values = raw.chunks_exact(size).take(MAX_ITEMS);
        values
            .map(|bytes| Value::Integer(convert(wide(bytes))))
            .collect()
    };
    match vr {
        Vr::US => integers(2, &|value| i128::from(value)),
        Vr::SS => integers(2, &|value| i128::from(value as i16)),
        Vr::UL => integers(4, &|value| i128::from(value)),
        Vr::SL => integers(4, &|value| i128::from(value as i32)),
        Vr::UV => integers(8, &|value| i128::from(value)),
        Vr::SV => integers(8, &|value| i128::from(value as i64)),
        Vr::FL => {
            let single = |bytes| Value::Float(f64::from(f32::from_bits(syntax.u32(bytes))));
            raw.chunks_exact(4).take(MAX_ITEMS).map(single).collect()
        }
        Vr::FD => {
            let double = |bytes| Value::Float(f64::from_bits(syntax.u64(bytes)));
            raw.chunks_exact(8).take(MAX_ITEMS).map(double).collect()
        }
        Vr::AT => {
            let tag = |bytes: &[u8]| Value::Text(format!("{:08X}", syntax.tag(bytes)));
            raw.chunks_exact(4).take(MAX_ITEMS).map(tag).collect()
        }
        Vr::OB | Vr::OD | Vr::OF | Vr::OL | Vr::OV | Vr::OW | Vr::SQ | Vr::UN => Vec::new(),
        _ => texts(vr, &decode_text(raw, vr, charsets)),
    }
}

/// Split text at backslashes where its VR has multiple values, and strip what only pads
/// (PS3.5 6.2, 6.4). Nothing but padding is no value.
fn texts(vr: Vr, text: &str) -> Vec<Value> {
    const PADDING: [char; 2] = [' ', '\0'];
    if text.trim_end_matches(PADDING).is_empty() {
        return Vec::new();
    }
    if matches!(vr, Vr::LT | Vr::ST | Vr::UR | Vr::UT) {
        return vec![Value::Text(text.trim_end_matches(PADDING).to_owned())];
    }
    let values = text.split('\\').take(MAX_ITEMS);
    values
        .map(|value| Value::Text(value.trim_matches(PADDING).to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(values: &[&str]) -> Vec<Value> {
        values
            .iter()
            .map(|&value| Value::Text(value.to_owned()))
            .collect()
    }

    fn plain(vr: Vr, raw: &[u8]) -> Vec<Value> {
        decode(vr, raw, Syntax::EXPLICIT, &Charsets::default())
    }

    #[test]
    fn padding_and_splitting() {
        assert_eq!(
            plain(Vr::CS, b"ORIGINAL\\ PRIMARY "),
            text(&["ORIGINAL", "PRIMARY"])
        );
        assert_eq!(plain(Vr::UI, b"1.2\0"), text(&["1.2"]));
        assert_eq!(plain(Vr::LT, b" a\\b "), text(&[" a\\b"]));
        assert_eq!(plain(Vr::LO, b"a\\\\b"), text(&["a", "", "b"]));
        assert_eq!(plain(Vr::PN, b"A^B=C\\D "), text(&["A^B=C", "D"]));
        assert_eq!(plain(Vr::LO, b"  \0"), []);
        assert_eq!(plain(Vr::LO, b""), []);
    }

    #[test]
    fn numbers() {
        let integers = |vr, raw: &[u8]| plain(vr, raw);
        assert_eq!(integers(Vr::US, b"\xff\xff\x01"), [Value::Integer(65535)]);
        assert_eq!(integers(Vr::SS, b"\xff\xff"), [Value::Integer(-1)]);
        assert_eq!(integers(Vr::SL, &[0xff; 4]), [Value::Integer(-1)]);
        assert_eq!(
            integers(Vr::UV, &[0xff; 8]),
            [Value::Integer(i128::from(u64::MAX))]
        );
        assert_eq!(integers(Vr::SV, &[0xff; 8]), [Value::Integer(-1)]);
        assert_eq!(plain(Vr::FL, &1.5f32.to_le_bytes()), [Value::Float(1.5)]);
        assert_eq!(plain(Vr::FD, &0.1f64.to_le_bytes()), [Value::Float(0.1)]);
        assert_eq!(plain(Vr::AT, b"\x10\x00\x20\x00"), text(&["00100020"]));
    }

    #[test]
    fn items_run_together_up_to_a_limit() {
        let key = 0x0040_0275u64 << 32 | 0x0040_1001;
        let mut collector = Collector::new(&[key]);
        let standing = Standing::Item(0x0040_0275);
        for _ in 0..2 * MAX_ITEMS {
            collector.begin_item(standing);
            collector.element(standing, 0x0040_1001, Vr::SH, b"a\\b", Syntax::EXPLICIT);
        }
        assert_eq!(collector.values[&key].len(), MAX_ITEMS);
    }

    #[test]
    fn long_values_are_cut() {
        let mut collector = Collector::new(&[0x0010_4000]);
        let long = vec![b'x'; MAX_BYTES + 1];
        collector.element(Standing::Top, 0x0010_4000, Vr::LT, &long, Syntax::EXPLICIT);
        assert_eq!(
            collector.values[&0x0010_4000],
            text(&["x".repeat(MAX_BYTES).as_str()])
        );
        let many = vec![b'\\'; 2 * MAX_ITEMS];
        collector.element(Standing::Top, 0x0010_4000, Vr::LO, &many, Syntax::EXPLICIT);
        assert_eq!(collector.values[&0x0010_4000].len(), MAX_ITEMS);
    }

    #[test]
    fn an_item_has_its_own_character_set() {
        let key = 0x0040_0275u64 << 32 | 0x0040_1001;
        let mut collector = Collector::new(&[0x0010_0020, key]);
        let item = Standing::Item(0x0040_0275);
        let mut give = |standing, tag, raw: &[u8]| {
            collector.element(standing, tag, Vr::LO, raw, Syntax::EXPLICIT);
        };
        give(Standing::Top, SPECIFIC_CHARACTER_SET, b"ISO_IR 192");
        give(item, SPECIFIC_CHARACTER_SET, b"ISO_IR 100");
        give(item, 0x0040_1001, b"\xe4");
        give(Standing::Top, 0x0010_0020, b"\xc3\xb6");
        collector.begin_item(Standing::Deeper);
        collector.element(item, 0x0040_1001, Vr::LO, b"\xe4", Syntax::EXPLICIT);
        collector.begin_item(item);
        collector.element(item, 0x0040_1001, Vr::LO, b"\xc3\xbc", Syntax::EXPLICIT);
        assert_eq!(collector.values[&key], text(&["ä", "ä", "ü"]));
        assert_eq!(collector.values[&0x0010_0020], text(&["ö"]));
    }

    #[test]
    fn values_stand_where_their_items_do() {
        let key = |tag| 0x0010_1002u64 << 32 | tag;
        let (id, issuer, kind) = (key(0x0010_0020), key(0x0010_0021), key(0x0010_0022));
        let mut collector = Collector::new(&[id, issuer, kind]);
        let item = Standing::Item(0x0010_1002);
        for values in [
            ["A", "", ""],
            ["", "", ""],
            ["B\\C", "", ""],
            ["D", "X", ""],
            ["E", "", ""],
        ] {
            collector.begin_item(item);
            for (tag, value) in (0x0010_0020..).zip(values) {
                let raw = value.as_bytes();
                collector.element(item, tag, Vr::LO, raw, Syntax::EXPLICIT);
            }
        }
        let values = collector.take_values();
        assert_eq!(values[&id], text(&["A", "B", "C", "D", "E"]));
        assert_eq!(values[&issuer], text(&["", "", "", "X", ""]));
        assert_eq!(values[&kind], []);
    }
}
