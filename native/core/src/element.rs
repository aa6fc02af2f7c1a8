//! Element headers: tag, VR and length in the three encodings (PS3.5 7.1).

use crate::dictionary;

/// The length of a value that ends with a delimitation item (PS3.5 7.1.1).
pub const UNDEFINED: u32 = 0xFFFF_FFFF;
/// Item (PS3.5 7.5).
pub const ITEM: u32 = 0xFFFE_E000;
/// Item Delimitation Item.
pub const ITEM_END: u32 = 0xFFFE_E00D;
/// Sequence Delimitation Item.
pub const SEQUENCE_END: u32 = 0xFFFE_E0DD;

/// Implicit VR Little Endian, the default transfer syntax of DICOM.
pub const IMPLICIT_LITTLE: &str = "1.2.840.10008.1.2";
/// Explicit VR Little Endian.
pub const EXPLICIT_LITTLE: &str = "1.2.840.10008.1.2.1";
/// Deflated Explicit VR Little Endian.
pub const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
/// Explicit VR Big Endian (retired).
pub const EXPLICIT_BIG: &str = "1.2.840.10008.1.2.2";
/// Papyrus 3 Implicit VR Little Endian (retired).
pub const PAPYRUS: &str = "1.2.840.10008.1.20";

/// True for transfer syntaxes in which the whole data set is deflated: the plain one, and those of
/// JPIP and JPIP HTJ2K references (PS3.5 A.5, A.7, A.12).
pub fn is_deflated(transfer_syntax: &str) -> bool {
    matches!(
        transfer_syntax,
        DEFLATED | "1.2.840.10008.1.2.4.95" | "1.2.840.10008.1.2.4.205"
    )
}

/// True for transfer syntaxes whose pixel data is one stream of video, in however many fragments: MPEG2,
/// MPEG-4 and HEVC, "fragmentable" or not (PS3.5 8.2.5 to 8.2.8).
pub fn is_video(transfer_syntax: &str) -> bool {
    let number = transfer_syntax.strip_prefix("1.2.840.10008.1.2.4.");
    let number = number.map(|number| number.strip_suffix(".1").unwrap_or(number));
    matches!(
        number,
        Some("100" | "101" | "102" | "103" | "104" | "105" | "106" | "107" | "108")
    )
}

/// True for what can identify something here: 1 to 64 ASCII characters, none of them a space, control
/// character, slash or backslash. Real objects break the stricter rules of PS3.5 9.1.
pub fn is_uid(text: &str) -> bool {
    let usable = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'\\');
    matches!(text.len(), 1..=64) && text.as_bytes().iter().all(usable)
}

/// A value representation: its two letters, or [`Vr::NONE`] for items and delimiters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vr(pub [u8; 2]);

macro_rules! vrs {
    ($($name:ident)*) => {
        #[allow(missing_docs)]
        impl Vr {
            $(pub const $name: Vr = {
                let letters = stringify!($name).as_bytes();
                Vr([letters[0], letters[1]])
            };)*
        }
    };
}
vrs!(AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV);

impl Vr {
    /// Items and delimiters have no VR.
    pub const NONE: Vr = Vr([0, 0]);

    /// True when the two bytes are capital letters: a VR that is, was, or may come to be.
    pub fn is_letters(self) -> bool {
        self.0.iter().all(u8::is_ascii_uppercase)
    }

    /// True for VRs with a 32-bit length field in explicit encodings (PS3.5 7.1.2). A VR that is
    /// not in the standard counts as one with a 16-bit length, as other readers have it.
    pub fn has_long_length(self) -> bool {
        matches!(
            self,
            Vr::OB
                | Vr::OD
                | Vr::OF
                | Vr::OL
                | Vr::OV
                | Vr::OW
                | Vr::SQ
                | Vr::SV
                | Vr::UC
                | Vr::UN
                | Vr::UR
                | Vr::UT
                | Vr::UV
        )
    }

    /// True for VRs whose values may be bulk data.
    pub fn is_bulk(self) -> bool {
        matches!(
            self,
            Vr::OB | Vr::OD | Vr::OF | Vr::OL | Vr::OV | Vr::OW | Vr::UN
        )
    }

    /// True for text in the data set's Specific Character Set (PS3.5 6.1.2.3).
    pub fn is_localized(self) -> bool {
        matches!(
            self,
            Vr::LO | Vr::LT | Vr::PN | Vr::SH | Vr::ST | Vr::UC | Vr::UT
        )
    }

    /// The letters; "UN" where they are none.
    pub fn as_str(&self) -> &str {
        if self.is_letters() {
            std::str::from_utf8(&self.0).unwrap_or("UN")
        } else {
            "UN"
        }
    }
}

impl std::fmt::Debug for Vr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if *self == Vr::NONE {
            "--"
        } else {
            self.as_str()
        })
    }
}

/// How the elements of a data set are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Syntax {
    /// The VR is in the element header.
    pub explicit: bool,
    /// Numbers have their most significant byte first.
    pub big_endian: bool,
}

impl Syntax {
    /// Implicit VR Little Endian.
    pub const IMPLICIT: Syntax = Syntax {
        explicit: false,
        big_endian: false,
    };
    /// Explicit VR Little Endian.
    pub const EXPLICIT: Syntax = Syntax {
        explicit: true,
        big_endian: false,
    };

    /// The encoding of a transfer syntax; explicit little endian for all but three of them, and so
    /// for unknown and private ones (PS3.5 A.4).
    pub fn of(transfer_syntax: &str) -> Syntax {
        match transfer_syntax {
            IMPLICIT_LITTLE | PAPYRUS => Syntax::IMPLICIT,
            EXPLICIT_BIG => Syntax {
                explicit: true,
                big_endian: true,
            },
            _ => Syntax::EXPLICIT,
        }
    }

    /// The encoding of a data set as its first 8 bytes show it, where `self` was declared.
    ///
    /// Writers err about it, and other readers look as well: letters in place of the VR are one,
    /// and the group of a first element is a small number in the right byte order.
    pub fn of_data_set(self, head: &[u8; 8]) -> Syntax {
        let little = u16::from_le_bytes([head[0], head[1]]);
        let big = u16::from_be_bytes([head[0], head[1]]);
        if little == 0 {
            return self; // a command set or padding, which shows nothing
        }
        let big_endian = if (little > 0xFF) == (big > 0xFF) {
            self.big_endian
        } else {
            little > 0xFF
        };
        Syntax {
            explicit: Vr([head[4], head[5]]).is_letters(),
            big_endian,
        }
    }

    /// The encoding of an item as its first 8 bytes show it, in a data set encoded as `self`: it
    /// may be implicit in an explicit one, never the reverse (PS3.5 6.2.2 note 2).
    pub fn of_item(self, head: &[u8; 8]) -> Syntax {
        let is_item = self.u16(head) == 0xFFFE;
        Syntax {
            explicit: self.explicit && (is_item || Vr([head[4], head[5]]).is_letters()),
            ..self
        }
    }

    /// The number in the first two bytes, 0 where there are fewer.
    pub fn u16(self, bytes: &[u8]) -> u16 {
        let Some(bytes) = bytes.first_chunk() else {
            return 0;
        };
        if self.big_endian {
            u16::from_be_bytes(*bytes)
        } else {
            u16::from_le_bytes(*bytes)
        }
    }

    /// The number in the first four bytes, 0 where there are fewer.
    pub fn u32(self, bytes: &[u8]) -> u32 {
        let Some(bytes) = bytes.first_chunk() else {
            return 0;
        };
        if self.big_endian {
            u32::from_be_bytes(*bytes)
        } else {
            u32::from_le_bytes(*bytes)
        }
    }

    /// The number in the first eight bytes, 0 where there are fewer.
    pub fn u64(self, bytes: &[u8]) -> u64 {
        let Some(bytes) = bytes.first_chunk() else {
            return 0;
        };
        if self.big_endian {
            u64::from_be_bytes(*bytes)
        } else {
            u64::from_le_bytes(*bytes)
        }
    }

    /// The tag in the first four bytes.
    pub fn tag(self, bytes: &[u8]) -> u32 {
        u32::from(self.u16(bytes)) << 16 | u32::from(self.u16(bytes.get(2..).unwrap_or_default()))
    }
}

/// What stands before a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElementHeader {
    /// `group << 16 | element`.
    pub tag: u32,
    /// As written; looked up without context where no VR is written (see
    /// [`dictionary::vr_of`] for the context).
    pub vr: Vr,
    /// Bytes of the value, or [`UNDEFINED`].
    pub length: u32,
    /// Bytes of the header itself: 8 or 12.
    pub header_len: usize,
    /// True when the VR was read, false when it was looked up.
    pub has_vr: bool,
}

impl ElementHeader {
    /// True when the value ends with a delimitation item.
    pub fn is_undefined(&self) -> bool {
        self.length == UNDEFINED
    }
}

/// Decode the element header at the front of `bytes`; None when more bytes are needed (8, or 12).
///
/// Any bytes are some header. In an explicit encoding a "VR" that is not of letters means that the
/// writer switched to implicit VR for this element, which some do inside sequences.
pub fn decode_header(bytes: &[u8], syntax: Syntax) -> Option<ElementHeader> {
    let head: &[u8; 8] = bytes.first_chunk()?;
    let tag = syntax.tag(head);
    let vr = Vr([head[4], head[5]]);
    let is_item = tag >> 16 == 0xFFFE;
    if is_item || !syntax.explicit || !vr.is_letters() {
        let vr = if is_item {
            Vr::NONE
        } else {
            dictionary::lookup(tag).plain()
        };
        let length = syntax.u32(&head[4..]);
        return Some(ElementHeader {
            tag,
            vr,
            length,
            header_len: 8,
            has_vr: false,
        });
    }
    if vr.has_long_length() {
        let head: &[u8; 12] = bytes.first_chunk()?;
        let length = syntax.u32(&head[8..]);
        return Some(ElementHeader {
            tag,
            vr,
            length,
            header_len: 12,
            has_vr: true,
        });
    }
    let length = u32::from(syntax.u16(&head[6..]));
    Some(ElementHeader {
        tag,
        vr,
        length,
        header_len: 8,
        has_vr: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explicit_short_and_long() {
        let short = b"\x10\x00\x10\x00PN\x04\x00";
        let header = decode_header(short, Syntax::EXPLICIT).unwrap();
        assert_eq!((header.tag, header.vr), (0x0010_0010, Vr::PN));
        assert_eq!((header.length, header.header_len), (4, 8));
        let long = b"\xe0\x7f\x10\x00OW\x00\x00\xff\xff\xff\xff";
        let header = decode_header(long, Syntax::EXPLICIT).unwrap();
        assert!(header.is_undefined());
        assert_eq!(header.header_len, 12);
        assert_eq!(decode_header(&long[..11], Syntax::EXPLICIT), None);
        assert_eq!(decode_header(&long[..7], Syntax::EXPLICIT), None);
    }

    #[test]
    fn big_endian() {
        let header =
            decode_header(b"\x00\x28\x00\x10US\x00\x02", Syntax::of(EXPLICIT_BIG)).unwrap();
        assert_eq!(
            (header.tag, header.vr, header.length),
            (0x0028_0010, Vr::US, 2)
        );
    }

    #[test]
    fn implicit_and_switched() {
        let bytes = b"\x10\x00\x10\x00\x06\x00\x00\x00";
        for syntax in [Syntax::IMPLICIT, Syntax::EXPLICIT] {
            let header = decode_header(bytes, syntax).unwrap();
            assert_eq!(
                (header.vr, header.length, header.has_vr),
                (Vr::PN, 6, false)
            );
        }
    }

    #[test]
    fn items_have_no_vr() {
        let header = decode_header(b"\xfe\xff\x00\xe0AB\x00\x00", Syntax::EXPLICIT).unwrap();
        assert_eq!(
            (header.tag, header.vr, header.length),
            (ITEM, Vr::NONE, 0x4241)
        );
    }

    #[test]
    fn unknown_letters_have_a_short_length() {
        let header = decode_header(b"\x09\x00\x10\x10ZX\x03\x00", Syntax::EXPLICIT).unwrap();
        assert_eq!((header.vr.as_str(), header.length), ("ZX", 3));
    }
}
