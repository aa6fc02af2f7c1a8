//! The DICOM JSON Model (PS3.18 F.2) of attributes that were read before: the answers of searches.

use super::{VALUE, value};
use crate::dictionary;
use crate::element::Vr;

/// One value of an attribute, as the index holds it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Held<'a> {
    /// Text of any VR, without padding.
    Text(&'a str),
    /// From a binary VR, or counted.
    Integer(i128),
    /// From FL and FD.
    Float(f64),
}

/// An attribute's path key and its values.
pub type Attribute<'a> = (u64, Vec<Held<'a>>);

/// Write the DICOM JSON Model of attributes, one object ordered by tag, as UTF-8.
///
/// Sequences are put together again from their path keys (`sequence tag << 32 | tag`). The index
/// runs items together: where all attributes of a sequence that have values have as many, value n
/// goes to item n; where the numbers differ, an item of its own holds what cannot be told apart.
pub fn attributes_json(attributes: &mut [Attribute]) -> Vec<u8> {
    attributes.sort_by_key(|(path, _)| place(*path));
    let mut out = Vec::with_capacity(64 * attributes.len() + 2);
    out.push(b'{');
    for group in attributes.chunk_by(|a, b| place(a.0).0 == place(b.0).0) {
        let (tag, member) = place(group[group.len() - 1].0);
        if member == 0 {
            element(&mut out, tag, &group[0].1);
        } else {
            let members = group.partition_point(|(path, _)| place(*path).1 == 0);
            sequence(&mut out, tag, &group[members..]);
        }
    }
    value::end(&mut out, b"}");
    out
}

/// Top-level tag, and the tag within its items or 0.
fn place(path: u64) -> (u32, u32) {
    match ((path >> 32) as u32, path as u32) {
        (0, tag) => (tag, 0),
        nested => nested,
    }
}

fn sequence(out: &mut Vec<u8>, tag: u32, members: &[Attribute]) {
    begin(out, tag, Vr::SQ);
    out.extend(VALUE);
    out.push(b'[');
    let lengths = members.iter().map(|(_, values)| values.len());
    let count = lengths.clone().max().unwrap_or(0);
    if count > 0
        && lengths
            .into_iter()
            .all(|length| length == count || length == 0)
    {
        for item in 0..count {
            items(out, members, |values| {
                values.get(item..=item).unwrap_or(&[])
            });
        }
    } else {
        items(out, members, |values| values);
    }
    value::end(out, b"]},");
}

/// Write an item that has of each member what `cut` leaves of its values.
fn items<'a>(
    out: &mut Vec<u8>,
    members: &'a [Attribute<'a>],
    cut: impl Fn(&'a [Held<'a>]) -> &'a [Held<'a>],
) {
    out.push(b'{');
    for (path, values) in members {
        element(out, *path as u32, cut(values));
    }
    value::end(out, b"},");
}

/// Write a member: its VR, and its values unless there are none (F.2.2), then a comma.
fn element(out: &mut Vec<u8>, tag: u32, values: &[Held]) {
    let vr = dictionary::lookup(tag).plain();
    begin(out, tag, vr);
    let head = out.len();
    out.extend(VALUE);
    out.push(b'[');
    let mut end = head;
    for held in values {
        if one(out, vr, *held) {
            end = out.len();
        } else {
            out.extend(b"null");
        }
        out.push(b',');
    }
    out.truncate(end); // no null stands last
    out.extend(if end == head { &b"},"[..] } else { b"]}," });
}

fn begin(out: &mut Vec<u8>, tag: u32, vr: Vr) {
    out.push(b'"');
    value::hexadecimal(out, tag);
    out.extend(br#"":{"vr":""#);
    out.extend(vr.0);
    out.push(b'"');
}

/// Write one value; false, and nothing written, for an empty one.
fn one(out: &mut Vec<u8>, vr: Vr, held: Held) -> bool {
    let is_number = matches!(
        vr,
        Vr::DS | Vr::FD | Vr::FL | Vr::IS | Vr::SL | Vr::SS | Vr::SV | Vr::UL | Vr::US | Vr::UV
    );
    match held {
        // The object has it in another VR than the dictionary.
        Held::Integer(number) if !is_number => {
            return one(out, vr, Held::Text(&number.to_string()));
        }
        Held::Float(number) if !is_number => return one(out, vr, Held::Text(&number.to_string())),
        Held::Integer(number) => value::integer(out, number),
        Held::Float(number) => value::float(out, number),
        Held::Text(text) => match vr {
            Vr::PN if is_nobody(text) => return false,
            Vr::PN => value::person_name(out, text),
            Vr::IS | Vr::DS => match text.trim_matches(' ') {
                "" => return false,
                text => value::number(out, text),
            },
            _ if text.is_empty() => return false,
            _ => value::string(out, text),
        },
    }
    true
}

/// Whether no component group of a name has text.
fn is_nobody(name: &str) -> bool {
    let mut groups = name.split('=').take(3);
    groups.all(|group| group.trim_matches(value::PADDING).is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(mut attributes: Vec<Attribute>) -> String {
        String::from_utf8(attributes_json(&mut attributes)).unwrap()
    }

    fn texts<'a>(values: &[&'a str]) -> Vec<Held<'a>> {
        values.iter().map(|text| Held::Text(text)).collect()
    }

    #[test]
    fn members_are_ordered_and_empty_ends_left_out() {
        let found = json(vec![
            (0x0028_0010, vec![Held::Integer(512)]),
            (0x0010_0020, vec![]),
            (0x0008_0061, texts(&["", "CT", ""])),
            (0x0010_0010, texts(&["A^B==C", "="])),
            (0x0020_0013, texts(&["+007 ", "x"])),
        ]);
        let expected = concat!(
            r#"{"00080061":{"vr":"CS","Value":[null,"CT"]},"#,
            r#""00100010":{"vr":"PN","Value":[{"Alphabetic":"A^B","Phonetic":"C"}]},"#,
            r#""00100020":{"vr":"LO"},"#,
            r#""00200013":{"vr":"IS","Value":[7,"x"]},"#,
            r#""00280010":{"vr":"US","Value":[512]}}"#,
        );
        assert_eq!(found, expected);
        assert_eq!(json(vec![]), "{}");
    }

    #[test]
    fn numbers_where_the_vr_has_text_are_text() {
        let found = json(vec![
            (0x0008_0020, vec![Held::Integer(20_260_102)]),
            (0x0010_0010, vec![Held::Float(1.5)]),
        ]);
        let expected = concat!(
            r#"{"00080020":{"vr":"DA","Value":["20260102"]},"#,
            r#""00100010":{"vr":"PN","Value":[{"Alphabetic":"1.5"}]}}"#,
        );
        assert_eq!(found, expected);
    }

    #[test]
    fn items_come_apart_where_values_are_as_many() {
        let sequence = 0x0040_0275 << 32;
        let (procedure, step) = (sequence | 0x0040_1001, sequence | 0x0040_0009);
        let even = json(vec![
            (procedure, texts(&["P1", "P2"])),
            (step, texts(&["S1", ""])),
        ]);
        let expected = concat!(
            r#"{"00400275":{"vr":"SQ","Value":["#,
            r#"{"00400009":{"vr":"SH","Value":["S1"]},"00401001":{"vr":"SH","Value":["P1"]}},"#,
            r#"{"00400009":{"vr":"SH"},"00401001":{"vr":"SH","Value":["P2"]}}]}}"#,
        );
        assert_eq!(even, expected);
        let bare = json(vec![(procedure, texts(&["P1", "P2"])), (step, vec![])]);
        let expected = concat!(
            r#"{"00400275":{"vr":"SQ","Value":["#,
            r#"{"00400009":{"vr":"SH"},"00401001":{"vr":"SH","Value":["P1"]}},"#,
            r#"{"00400009":{"vr":"SH"},"00401001":{"vr":"SH","Value":["P2"]}}]}}"#,
        );
        assert_eq!(bare, expected);
        let uneven = json(vec![
            (procedure, texts(&["P1", "P2"])),
            (step, texts(&["S"])),
        ]);
        let expected = concat!(
            r#"{"00400275":{"vr":"SQ","Value":["#,
            r#"{"00400009":{"vr":"SH","Value":["S"]},"#,
            r#""00401001":{"vr":"SH","Value":["P1","P2"]}}]}}"#,
        );
        assert_eq!(uneven, expected);
    }
}
