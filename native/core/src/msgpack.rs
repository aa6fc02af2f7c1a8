//! MessagePack, as far as commits and values of the index go (docs/format/index.md): read in slices
//! that are carried on as they are, written in the shortest form, which is what the rest of the
//! archive writes too.

/// Values within one another: those of a commit are seven.
const DEEPEST: usize = 64;

/// What is left of a run of values; each call takes one from the front, or gives None and is of no
/// use any more.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// An unsigned number of so many bytes, most significant first.
    fn number(&mut self, bytes: usize) -> Option<u64> {
        let taken = self.take(bytes)?;
        Some(
            taken
                .iter()
                .fold(0, |all, &byte| all << 8 | u64::from(byte)),
        )
    }

    fn length(&mut self, bytes: usize) -> Option<usize> {
        usize::try_from(self.number(bytes)?).ok()
    }

    /// How many values an array has.
    pub fn array(&mut self) -> Option<usize> {
        match self.byte()? {
            short @ 0x90..=0x9f => Some(usize::from(short & 0x0f)),
            0xdc => self.length(2),
            0xdd => self.length(4),
            _ => None,
        }
    }

    /// Go into an array of exactly so many values.
    pub fn array_of(&mut self, length: usize) -> Option<()> {
        (self.array()? == length).then_some(())
    }

    /// How many pairs a map has.
    pub fn map(&mut self) -> Option<usize> {
        match self.byte()? {
            short @ 0x80..=0x8f => Some(usize::from(short & 0x0f)),
            0xde => self.length(2),
            0xdf => self.length(4),
            _ => None,
        }
    }

    /// A whole number, if it is not negative.
    pub fn uint(&mut self) -> Option<u64> {
        match self.byte()? {
            short @ 0..=0x7f => Some(u64::from(short)),
            0xcc => self.number(1),
            0xcd => self.number(2),
            0xce => self.number(4),
            0xcf => self.number(8),
            _ => None,
        }
    }

    /// The bytes of a text.
    pub fn text(&mut self) -> Option<&'a [u8]> {
        let length = match self.byte()? {
            short @ 0xa0..=0xbf => usize::from(short & 0x1f),
            0xd9 => self.length(1)?,
            0xda => self.length(2)?,
            0xdb => self.length(4)?,
            _ => return None,
        };
        self.take(length)
    }

    /// Raw bytes.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = match self.byte()? {
            0xc4 => self.length(1)?,
            0xc5 => self.length(2)?,
            0xc6 => self.length(4)?,
            _ => return None,
        };
        self.take(length)
    }

    /// Yes or no.
    pub fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0xc2 => Some(false),
            0xc3 => Some(true),
            _ => None,
        }
    }

    /// Whether the next value is nil, which is taken then.
    pub fn nil(&mut self) -> bool {
        let nil = self.0.first() == Some(&0xc0);
        if nil {
            self.0 = &self.0[1..];
        }
        nil
    }

    /// A value of any kind, as it is written.
    pub fn value(&mut self) -> Option<&'a [u8]> {
        let before = self.0;
        self.skip(DEEPEST)?;
        Some(&before[..before.len() - self.0.len()])
    }

    fn skip(&mut self, depth: usize) -> Option<()> {
        let first = self.byte()?;
        let (length, below) = match first {
            0..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0.. => (0, 0),
            0x80..=0x8f => (0, 2 * usize::from(first & 0x0f)),
            0x90..=0x9f => (0, usize::from(first & 0x0f)),
            0xa0..=0xbf => (usize::from(first & 0x1f), 0),
            0xc4 | 0xd9 => (self.length(1)?, 0),
            0xc5 | 0xda => (self.length(2)?, 0),
            0xc6 | 0xdb => (self.length(4)?, 0),
            0xca..=0xcb => (4 << (first - 0xca), 0),
            0xcc..=0xcf => (1 << (first - 0xcc), 0),
            0xd0..=0xd3 => (1 << (first - 0xd0), 0),
            0xdc => (0, self.length(2)?),
            0xdd => (0, self.length(4)?),
            0xde => (0, self.length(2)?.checked_mul(2)?),
            0xdf => (0, self.length(4)?.checked_mul(2)?),
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => return None, // of no kind that is used
        };
        self.take(length)?;
        if below > 0 {
            let depth = depth.checked_sub(1)?;
            for _ in 0..below {
                self.skip(depth)?;
            }
        }
        Some(())
    }
}

/// Values one after the other.
#[derive(Debug, Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// Begin an array of so many values.
    pub fn array(&mut self, length: usize) -> &mut Self {
        self.head(length, 0x90, 15, [None, Some(0xdc), Some(0xdd)])
    }

    /// Begin a map of so many pairs.
    pub fn map(&mut self, length: usize) -> &mut Self {
        self.head(length, 0x80, 15, [None, Some(0xde), Some(0xdf)])
    }

    /// Add a text, given as UTF-8.
    pub fn text(&mut self, text: &[u8]) -> &mut Self {
        self.head(text.len(), 0xa0, 31, [Some(0xd9), Some(0xda), Some(0xdb)]);
        self.value(text)
    }

    /// Add a whole number.
    pub fn uint(&mut self, number: u64) -> &mut Self {
        let bytes = number.to_be_bytes();
        let (kind, from) = match number {
            0..=0x7f => return self.value(&bytes[7..]),
            0x80..=0xff => (0xcc, 7),
            0x100..=0xffff => (0xcd, 6),
            0x1_0000..=0xffff_ffff => (0xce, 4),
            _ => (0xcf, 0),
        };
        self.0.push(kind);
        self.value(&bytes[from..])
    }

    /// Add yes or no.
    pub fn flag(&mut self, flag: bool) -> &mut Self {
        self.0.push(0xc2 + u8::from(flag));
        self
    }

    /// Add a value that is written already.
    pub fn value(&mut self, value: &[u8]) -> &mut Self {
        self.0.extend_from_slice(value);
        self
    }

    /// The front of what has a length; `kinds` are for lengths of 1, 2 and 4 bytes. What has 2^32
    /// bytes or more is in no commit.
    fn head(&mut self, length: usize, short: u8, most: usize, kinds: [Option<u8>; 3]) -> &mut Self {
        let bytes = (length as u32).to_be_bytes();
        let [one, two, four] = kinds;
        if length <= most {
            self.0.push(short | bytes[3]);
            return self;
        }
        let (kind, from) = match (one, two) {
            (Some(kind), _) if length <= 0xff => (kind, 3),
            (_, Some(kind)) if length <= 0xffff => (kind, 2),
            _ => (four.unwrap_or_default(), 0),
        };
        self.0.push(kind);
        self.value(&bytes[from..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read_again_and_short() {
        for (number, bytes) in [(0, 1), (127, 1), (128, 2), (255, 2), (256, 3), (65536, 5)] {
            let mut to = Writer::default();
            to.uint(number);
            assert_eq!((Reader(&to.0).uint(), to.0.len()), (Some(number), bytes));
        }
        for length in [0, 15, 16, 31, 32, 255, 256, 65535, 65536] {
            let text = vec![b'x'; length];
            let mut to = Writer::default();
            to.array(length)
                .map(length)
                .text(&text)
                .flag(true)
                .uint(u64::MAX);
            let mut from = Reader(&to.0);
            assert_eq!((from.array(), from.map()), (Some(length), Some(length)));
            assert_eq!(from.text(), Some(&text[..]));
            assert_eq!((from.flag(), from.uint()), (Some(true), Some(u64::MAX)));
            assert!(from.0.is_empty() && from.flag().is_none());
        }
    }

    #[test]
    fn a_value_is_taken_whole_or_not_at_all() {
        // [{1: [1.5, -1, nil]}, bin, [], "a"]
        let value = b"\x94\x81\x01\x93\xcb\x3f\xf8\0\0\0\0\0\0\xff\xc0\xc4\x02ab\x90\xa1a";
        assert_eq!(Reader(value).value(), Some(&value[..]));
        for end in 0..value.len() {
            assert_eq!(Reader(&value[..end]).value(), None);
        }
        assert!(Reader(&[0x91; 200]).value().is_none(), "too deep");
    }

    proptest! {
        #[test]
        fn bytes_of_any_kind_end_it_well(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(value) = Reader(&bytes).value() {
                prop_assert_eq!(value, &bytes[..value.len()]);
            }
            prop_assert!(crate::fold::fold(&bytes).is_none());
        }
    }
}
