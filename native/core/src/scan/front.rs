//! The front of a Part 10 file: preamble, prefix and file meta information (PS3.10 7.1), or what
//! there is of it.

use std::collections::BTreeMap;

use crate::charset::Charsets;
use crate::dictionary::Context;
use crate::element::{Syntax, Vr, decode_header, is_deflated};

use super::values::{Value, decode, value_vr};

const PREAMBLE: usize = 128;
const MAGIC: &[u8] = b"DICM";
const GROUP_LENGTH: u32 = 0x0002_0000;
/// Transfer Syntax UID.
const TRANSFER_SYNTAX: u32 = 0x0002_0010;

/// What the front needs to go on.
pub(super) enum Progress {
    /// The input to be this long.
    Need(usize),
    /// Nothing: the data set begins at this offset.
    Done(usize),
}

/// Reads the front, which is in memory from the first byte on.
#[derive(Default)]
pub(super) struct Front {
    /// Text values of the file meta information.
    pub(super) meta: BTreeMap<u32, String>,
    /// There was a prefix or file meta information.
    pub(super) is_dicom: bool,
    /// The file meta information is broken off.
    pub(super) is_cut: bool,
    at: Option<usize>,
    /// Where the group length says that file meta information ends.
    end: Option<usize>,
    /// Explicit little endian; but some writers use implicit.
    syntax: Option<Syntax>,
}

impl Front {
    /// The transfer syntax, if what stands there can be one: it becomes part of HTTP headers.
    pub(super) fn transfer_syntax(&self) -> Option<&str> {
        let of_uid = |byte: u8| byte.is_ascii_digit() || byte == b'.';
        self.meta
            .get(&TRANSFER_SYNTAX)
            .map(String::as_str)
            .filter(|uid| matches!(uid.len(), 1..=64) && uid.bytes().all(of_uid))
    }

    /// Read on in `bytes`, all of the input so far; `ended` says that there are no more.
    pub(super) fn read(&mut self, bytes: &[u8], ended: bool) -> Progress {
        let begin = PREAMBLE + MAGIC.len();
        let mut at = match self.at {
            Some(at) => at,
            None if bytes.len() < begin && !ended => return Progress::Need(begin),
            None => self.preamble(bytes),
        };
        loop {
            self.at = Some(at);
            if self.transfer_syntax().is_some_and(is_deflated) && self.end == Some(at) {
                return Progress::Done(at); // what follows is no element
            }
            match self.element(&bytes[at..], at, ended) {
                Ok(length) => at += length,
                Err(progress) => return progress,
            }
        }
    }

    /// Find where file meta information begins: after the prefix, or at the first byte.
    fn preamble(&mut self, bytes: &[u8]) -> usize {
        let at = [PREAMBLE, 0]
            .into_iter()
            .find(|&at| bytes.get(at..at + 4) == Some(MAGIC));
        self.is_dicom = at.is_some();
        at.map_or(0, |at| at + MAGIC.len())
    }

    /// Read the element at the front of `bytes`, `at` bytes into the input; return its length.
    fn element(&mut self, bytes: &[u8], at: usize, ended: bool) -> Result<usize, Progress> {
        let done = Err(Progress::Done(at));
        let need = |length: usize| match ended {
            true => Err(Progress::Done(at)),
            false => Err(Progress::Need(at + length)),
        };
        let Some(head) = bytes.first_chunk::<8>() else {
            return need(8);
        };
        if head[..2] != [2, 0] {
            return done;
        }
        let is_explicit = Vr([head[4], head[5]]).is_letters();
        let syntax = *self.syntax.get_or_insert(Syntax {
            explicit: is_explicit,
            big_endian: false,
        });
        let Some(header) = decode_header(bytes, syntax) else {
            return need(12);
        };
        if header.is_undefined() {
            return done;
        }
        self.is_dicom = true;
        let length = header.header_len + header.length as usize;
        if bytes.len() < length && !ended {
            return need(length);
        }
        self.is_cut = bytes.len() < length;
        let length = length.min(bytes.len());
        let raw = &bytes[header.header_len..length];
        if header.tag == GROUP_LENGTH {
            self.end = Some(at + length + syntax.u32(raw) as usize);
        }
        let vr = value_vr(header.tag, header.vr, syntax, &Context::default());
        let values = decode(vr, raw, syntax, &Charsets::default());
        if let Some(Value::Text(text)) = values.into_iter().next() {
            self.meta.insert(header.tag, text);
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const META: &[u8] = b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\0";

    fn read(bytes: &[u8]) -> (usize, Front) {
        let mut front = Front::default();
        let mut known = 0;
        loop {
            match front.read(&bytes[..known], known == bytes.len()) {
                Progress::Need(length) => known = length.min(bytes.len()),
                Progress::Done(at) => return (at, front),
            }
        }
    }

    #[test]
    fn with_and_without_preamble() {
        for lead in [
            [&[0; 128][..], b"DICM"].concat(),
            b"DICM".to_vec(),
            Vec::new(),
        ] {
            let bytes = [&lead[..], META, &[8, 0, 5, 0, b'C', b'S', 0, 0], &[0; 128]].concat();
            let (at, front) = read(&bytes);
            assert_eq!(at, lead.len() + META.len());
            assert_eq!(front.transfer_syntax(), Some("1.2.840.10008.1.2.1"));
            assert!(front.is_dicom && !front.is_cut);
        }
    }

    #[test]
    fn what_is_no_uid_is_no_transfer_syntax() {
        for uid in [&b"1.2\r\nX-Y: 1\0"[..], b"1.2;3\0", b"*\0", &[b'1'; 66]] {
            let head = [b"\x02\x00\x10\x00UI", &(uid.len() as u16).to_le_bytes()[..]].concat();
            let bytes = [&head[..], uid, &[8, 0, 5, 0, b'C', b'S', 0, 0], &[0; 128]].concat();
            let (at, front) = read(&bytes);
            assert_eq!((at, front.transfer_syntax()), (8 + uid.len(), None));
        }
    }

    #[test]
    fn none_at_all() {
        let (at, front) = read(&[8, 0, 5, 0, b'C', b'S', 0, 0]);
        assert_eq!(
            (at, front.is_dicom, front.transfer_syntax()),
            (0, false, None)
        );
    }

    #[test]
    fn implicit_meta_and_wrong_group_length() {
        let length = b"\x02\x00\x00\x00\x04\x00\x00\x00\x07\x00\x00\x00";
        let uid = b"\x02\x00\x10\x00\x12\x00\x00\x001.2.840.10008.1.2\0";
        let (at, front) = read(&[&length[..], uid, &[8, 0, 5, 0, 0, 0, 0, 0]].concat());
        assert_eq!(
            (at, front.transfer_syntax()),
            (38, Some("1.2.840.10008.1.2"))
        );
    }

    #[test]
    fn deflated_ends_where_the_group_length_says() {
        let uid = b"\x02\x00\x10\x00UI\x16\x001.2.840.10008.1.2.1.99";
        let length = b"\x02\x00\x00\x00UL\x04\x00\x1e\x00\x00\x00";
        // What follows looks like file meta information and is not.
        let (at, _) = read(&[&length[..], uid, META].concat());
        assert_eq!(at, 42);
    }

    #[test]
    fn cut_short() {
        let (at, front) = read(&META[..20]);
        assert_eq!((at, front.is_cut), (20, true));
    }
}
