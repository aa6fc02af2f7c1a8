//! The command set of a DIMSE message (PS3.7 6.3 and E): Implicit VR Little Endian elements of
//! group 0000.

use crate::pdu::{ProtocolError, refuse};

/// Group, element, length.
const HEADER: usize = 8;

/// What the value of an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One number (US).
    Short,
    /// Any number of attribute tags (AT).
    Tags,
    /// Text padded with NUL (UI).
    Uid,
    /// Text padded with a space (AE, LO).
    Text,
}

/// A value as it is meant: no padding, ASCII text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of a [`Kind::Short`].
    Short(u16),
    /// Of a [`Kind::Tags`].
    Tags(Vec<u32>),
    /// Of a [`Kind::Uid`] or a [`Kind::Text`].
    Text(String),
}

impl Kind {
    /// Return what `raw` stands for, if it is a value of this kind. What is not ASCII becomes U+FFFD.
    pub fn read(self, raw: &[u8]) -> Option<Value> {
        Some(match self {
            Kind::Short => Value::Short(u16::from_le_bytes(raw.try_into().ok()?)),
            Kind::Tags => Value::Tags(raw.chunks_exact(4).map(tag).collect()),
            Kind::Uid | Kind::Text => {
                let text: String = raw.iter().map(|&byte| ascii(byte)).collect();
                Value::Text(text.trim_matches(['\0', ' ']).to_owned())
            }
        })
    }

    /// Append an element with this value. What is not ASCII becomes a question mark.
    fn write(self, element: u16, value: &Value, set: &mut Vec<u8>) {
        let begin = set.len();
        set.extend_from_slice(&[0; HEADER]);
        match value {
            Value::Short(number) => set.extend_from_slice(&number.to_le_bytes()),
            Value::Tags(tags) => tags.iter().for_each(|tag| {
                set.extend_from_slice(&((tag >> 16) as u16).to_le_bytes());
                set.extend_from_slice(&(*tag as u16).to_le_bytes());
            }),
            Value::Text(text) => set.extend(text.chars().map(|c| match c {
                '\0'..='\x7f' => c as u8,
                _ => b'?',
            })),
        }
        if set.len() % 2 == 1 {
            set.push(if self == Kind::Uid { 0 } else { b' ' });
        }
        let length = (set.len() - begin - HEADER) as u32;
        set[begin + 2..begin + 4].copy_from_slice(&element.to_le_bytes());
        set[begin + 4..begin + 8].copy_from_slice(&length.to_le_bytes());
    }
}

fn tag(raw: &[u8]) -> u32 {
    let half = |at| u32::from(u16::from_le_bytes([raw[at], raw[at + 1]]));
    half(0) << 16 | half(2)
}

fn ascii(byte: u8) -> char {
    if byte.is_ascii() {
        byte.into()
    } else {
        char::REPLACEMENT_CHARACTER
    }
}

/// Return the elements of a command set in order: each one's number and raw value.
pub fn elements(set: &[u8]) -> Result<Vec<(u16, &[u8])>, ProtocolError> {
    let mut found = Vec::with_capacity(12);
    let mut rest = set;
    while !rest.is_empty() {
        let Some((header, after)) = rest.split_first_chunk::<HEADER>() else {
            return refuse("command set is cut short");
        };
        let [g0, g1, e0, e1, length @ ..] = *header;
        let (group, element) = (u16::from_le_bytes([g0, g1]), u16::from_le_bytes([e0, e1]));
        let length = u32::from_le_bytes(length) as usize;
        if group != 0 || length > after.len() {
            return refuse(format!(
                "command set is broken at ({group:04X},{element:04X})"
            ));
        }
        let (value, next) = after.split_at(length);
        found.push((element, value));
        rest = next;
    }
    Ok(found)
}

/// Return the command set of `elements`, which ascend; Command Group Length (0000,0000) comes first.
pub fn encode<'a>(elements: impl IntoIterator<Item = (u16, Kind, &'a Value)>) -> Vec<u8> {
    let mut set = Vec::with_capacity(256);
    set.extend_from_slice(&[0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
    let begin = set.len();
    for (element, kind, value) in elements {
        kind.write(element, value, &mut set);
    }
    let length = (set.len() - begin) as u32;
    set[HEADER..begin].copy_from_slice(&length.to_le_bytes());
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back() {
        let values = [
            (0x0002, Kind::Uid, Value::Text("1.2.840.10008.1.1".into())),
            (0x0100, Kind::Short, Value::Short(0x8030)),
            (
                0x0901,
                Kind::Tags,
                Value::Tags(vec![0x0010_0020, 0x0008_0018]),
            ),
            (0x0902, Kind::Text, Value::Text("odd".into())),
        ];
        let set = encode(
            values
                .iter()
                .map(|(element, kind, value)| (*element, *kind, value)),
        );
        let found = elements(&set).unwrap();
        assert_eq!(found[0], (0, &(set.len() as u32 - 12).to_le_bytes()[..]));
        assert_eq!(found[1].1, b"1.2.840.10008.1.1\0");
        assert_eq!(found[4].1, b"odd ");
        for ((element, kind, value), (number, raw)) in values.iter().zip(&found[1..]) {
            assert_eq!((element, Some(value)), (number, kind.read(raw).as_ref()));
        }
    }

    #[test]
    fn text_is_ascii() {
        let read = Kind::Text.read(b" caf\xe9\0");
        assert_eq!(read, Some(Value::Text("caf\u{fffd}".into())));
        let set = encode([(1, Kind::Uid, &Value::Text("caf\u{e9}".into()))]);
        assert_eq!(&set[20..], b"caf?");
    }

    #[test]
    fn numbers_of_another_length_are_none() {
        assert_eq!(Kind::Short.read(b"\x01"), None);
        assert_eq!(Kind::Short.read(b"\x01\0\0\0"), None);
    }

    #[test]
    fn broken_sets_are_refused() {
        for (set, why) in [
            (&b"\0\0\x02\0"[..], "command set is cut short"),
            (
                b"\0\0\x02\0\x02\0\0\0\0",
                "command set is broken at (0000,0002)",
            ),
            (
                b"\x08\0\x18\0\0\0\0\0",
                "command set is broken at (0008,0018)",
            ),
        ] {
            assert_eq!(elements(set).unwrap_err().to_string(), why);
        }
    }
}
