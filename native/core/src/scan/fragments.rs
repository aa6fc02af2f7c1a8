//! Values of undefined length that are not sequences of data sets: encapsulated pixel data, met in
//! pieces (PS3.5 A.4).

use crate::dictionary::{self, Entry};
use crate::element::{ITEM, SEQUENCE_END, Syntax, UNDEFINED};
use crate::frames::{ENDS_IMAGE, Items};

/// More fragments than this are passed over without a frame table.
const MAX_FRAGMENTS: usize = 1 << 22;
/// A longer Basic Offset Table is passed over.
const MAX_TABLE: u64 = 4 * MAX_FRAGMENTS as u64;
/// An end of image marker counts within this many bytes of a fragment's end.
const TAIL: u64 = 10;

/// True for elements whose value of undefined length is fragments even where its VR is UN: pixel data
/// and their like, of icons too.
pub(crate) fn has_fragments(tag: u32) -> bool {
    dictionary::lookup(tag) == Entry::ObOrOw
}

/// Follows the items of a value up to its sequence delimitation item.
pub(crate) struct Fragments {
    syntax: Syntax,
    /// Bytes of the value that have passed.
    passed: u64,
    place: Place,
    /// Bytes of the item header that is being met; at its end the last bytes of a fragment.
    window: Vec<u8>,
    first: bool,
    /// None once the value turned out not to be orderly, or too long to note.
    fragments: Option<Vec<u64>>,
    table: Vec<u8>,
    end: Option<u64>,
}

#[derive(Clone, Copy)]
enum Place {
    Header,
    Table {
        left: u64,
    },
    Fragment {
        left: u64,
    },
    /// The items are broken: look for the delimiter byte by byte, as other readers do.
    Search {
        recent: u32,
    },
    /// In the delimiter's length.
    Delimiter {
        left: u8,
    },
    End,
}

impl Fragments {
    pub(crate) fn new(syntax: Syntax) -> Self {
        Fragments {
            syntax,
            passed: 0,
            place: Place::Header,
            window: Vec::with_capacity(16),
            first: true,
            fragments: Some(Vec::new()),
            table: Vec::new(),
            end: None,
        }
    }

    /// Take the next bytes; return how many belong to the value, and whether it ended with them.
    pub(crate) fn take(&mut self, data: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while at < data.len() && !matches!(self.place, Place::End) {
            let used = self.step(&data[at..]);
            at += used;
            self.passed += used as u64;
        }
        (at, matches!(self.place, Place::End))
    }

    /// What was found; None when the items are not orderly.
    pub(crate) fn items(self) -> Option<Items> {
        let partial = if matches!(self.place, Place::Header) {
            self.window.len() as u64
        } else {
            0
        };
        let table = if self.table.len().is_multiple_of(4) {
            &self.table[..]
        } else {
            &[]
        };
        Some(Items {
            fragments: self.fragments?,
            end: self.end.unwrap_or(self.passed - partial),
            basic_offsets: table
                .chunks_exact(4)
                .map(|entry| self.syntax.u32(entry))
                .collect(),
        })
    }

    fn step(&mut self, data: &[u8]) -> usize {
        match self.place {
            Place::Header => self.header(data),
            Place::Table { left } => {
                let used = left.min(data.len() as u64);
                if left + self.table.len() as u64 <= MAX_TABLE {
                    self.table.extend_from_slice(&data[..used as usize]);
                }
                let left = left - used;
                self.place = if left == 0 {
                    Place::Header
                } else {
                    Place::Table { left }
                };
                used as usize
            }
            Place::Fragment { left } => self.fragment(data, left),
            Place::Search { recent } => {
                let mut recent = recent;
                for (index, &byte) in data.iter().enumerate() {
                    recent = recent << 8 | u32::from(byte);
                    if self.syntax.tag(&recent.to_be_bytes()) == SEQUENCE_END {
                        self.place = Place::Delimiter { left: 4 };
                        return index + 1;
                    }
                }
                self.place = Place::Search { recent };
                data.len()
            }
            Place::Delimiter { left } => {
                let used = data.len().min(usize::from(left));
                let left = left - used as u8;
                self.place = if left == 0 {
                    Place::End
                } else {
                    Place::Delimiter { left }
                };
                used
            }
            Place::End => 0,
        }
    }

    fn header(&mut self, data: &[u8]) -> usize {
        let used = data.len().min(8 - self.window.len());
        self.window.extend_from_slice(&data[..used]);
        if self.window.len() < 8 {
            return used;
        }
        let begin = self.passed + used as u64 - 8;
        let length = self.syntax.u32(&self.window[4..]);
        match self.syntax.tag(&self.window) {
            ITEM if length != UNDEFINED => self.item(begin, u64::from(length)),
            SEQUENCE_END => {
                self.end = Some(begin);
                self.place = Place::End;
            }
            _ => self.search(),
        }
        self.window.clear();
        used
    }

    /// An item begins: the Basic Offset Table if it is the first one, else a fragment.
    fn item(&mut self, begin: u64, length: u64) {
        if std::mem::take(&mut self.first) {
            self.place = if length == 0 {
                Place::Header
            } else {
                Place::Table { left: length }
            };
            return;
        }
        self.place = if length == 0 {
            Place::Header
        } else {
            Place::Fragment { left: length }
        };
        match &mut self.fragments {
            Some(fragments) if fragments.len() < MAX_FRAGMENTS => fragments.push(begin),
            _ => self.fragments = None,
        }
    }

    /// Give the items up; a delimiter may have begun in the header that is none.
    fn search(&mut self) {
        self.fragments = None;
        self.place = Place::Search { recent: 0 };
        for index in 1..=4 {
            if self.syntax.tag(&self.window[index..]) == SEQUENCE_END {
                self.place = Place::Delimiter { left: index as u8 };
                return;
            }
        }
        let last = [5, 6, 7].map(|index| u32::from(self.window[index]));
        self.place = Place::Search {
            recent: last[0] << 16 | last[1] << 8 | last[2],
        };
    }

    /// In a fragment, `left` bytes before its end. Keeps its last bytes to look for the marker.
    fn fragment(&mut self, data: &[u8], left: u64) -> usize {
        let used = left.min(data.len() as u64);
        let tail_begin = left.saturating_sub(TAIL).min(used);
        self.window
            .extend_from_slice(&data[tail_begin as usize..used as usize]);
        if used < left {
            self.place = Place::Fragment { left: left - used };
            return used as usize;
        }
        if self.window.windows(2).any(|pair| pair == [0xFF, 0xD9])
            && let Some(last) = self
                .fragments
                .as_mut()
                .and_then(|fragments| fragments.last_mut())
        {
            *last |= ENDS_IMAGE;
        }
        self.window.clear();
        self.place = Place::Header;
        used as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LITTLE: Syntax = Syntax::EXPLICIT;

    fn item(value: &[u8]) -> Vec<u8> {
        [
            b"\xfe\xff\x00\xe0",
            &(value.len() as u32).to_le_bytes()[..],
            value,
        ]
        .concat()
    }

    fn end() -> Vec<u8> {
        b"\xfe\xff\xdd\xe0\0\0\0\0".to_vec()
    }

    /// Feed in pieces of `size`; return the bytes taken, whether it ended, and the items.
    fn run(bytes: &[u8], size: usize) -> (usize, bool, Option<Items>) {
        let mut fragments = Fragments::new(LITTLE);
        let (mut taken, mut ended) = (0, false);
        for piece in bytes.chunks(size) {
            if ended {
                break;
            }
            let (used, end) = fragments.take(piece);
            taken += used;
            ended = end;
        }
        (taken, ended, fragments.items())
    }

    #[test]
    fn orderly() {
        let value = [
            item(&[0, 0, 0, 0, 12, 0, 0, 0]),
            item(b"abcd"),
            item(b"a\xff\xd9\0"),
            end(),
        ];
        let bytes = [&value.concat()[..], b"next"].concat();
        for size in [1, 2, 3, 5, 7, 8, 9, 1000] {
            let (taken, ended, items) = run(&bytes, size);
            assert_eq!((taken, ended), (bytes.len() - 4, true));
            let items = items.unwrap();
            assert_eq!(items.fragments, [16, 28 | ENDS_IMAGE]);
            assert_eq!((items.end, &items.basic_offsets[..]), (40, &[0, 12][..]));
        }
    }

    #[test]
    fn marker_far_from_the_end_does_not_count() {
        let value = [item(b""), item(b"\xff\xd90123456789"), end()].concat();
        assert_eq!(run(&value, 3).2.unwrap().fragments, [8]);
    }

    #[test]
    fn broken_items_end_at_the_delimiter() {
        for shift in 0..9 {
            let junk = vec![b'j'; shift];
            let value = [item(b""), item(b"ab"), junk, end()].concat();
            let bytes = [&value[..], b"next"].concat();
            for size in [1, 3, 1000] {
                let (taken, ended, items) = run(&bytes, size);
                assert_eq!(
                    (taken, ended, items.is_some()),
                    (value.len(), true, shift == 0)
                );
            }
        }
    }

    #[test]
    fn cut_short() {
        let value = [item(b""), item(b"abcd"), end()].concat();
        let (taken, ended, items) = run(&value[..value.len() - 3], 4);
        assert_eq!(
            (taken, ended, items.unwrap().end),
            (value.len() - 3, false, 20)
        );
        let (_, _, items) = run(&value[..18], 4);
        assert_eq!(items.unwrap().end, 18);
    }

    #[test]
    fn odd_table_is_ignored() {
        let value = [item(&[0, 0, 0, 0, 9]), item(b"ab"), end()].concat();
        assert!(run(&value, 4).2.unwrap().basic_offsets.is_empty());
    }
}
