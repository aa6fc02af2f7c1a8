//! Which VR a tag has when none is written, or only UN (PS3.6; PS3.5 Annex A, 6.2.2).

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry, VirtualVr};
use dicom_core::header::Tag;
use dicom_dictionary_std::StandardDataDictionary;

use crate::element::{Syntax, Vr};

/// Bits Allocated.
pub const BITS_ALLOCATED: u32 = 0x0028_0100;
/// Pixel Representation: 0 unsigned, 1 signed.
pub const PIXEL_REPRESENTATION: u32 = 0x0028_0103;
/// LUT Descriptor; its first value is the number of entries in LUT Data.
pub const LUT_DESCRIPTOR: u32 = 0x0028_3002;
/// Waveform Bits Allocated.
pub const WAVEFORM_BITS_ALLOCATED: u32 = 0x5400_1004;
/// Pixel Data.
pub const PIXEL_DATA: u32 = 0x7FE0_0010;

/// What the dictionary says about a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// One VR whatever the rest of the data set says.
    Exact(Vr),
    /// US or SS, as Pixel Representation says.
    UsOrSs,
    /// OB or OW.
    ObOrOw,
    /// US or OW: LUT Data.
    UsOrOw,
    /// A private element or one that the standard does not know.
    Unknown,
}

impl Entry {
    /// The VR where there is no context: the usual choice of an ambiguous one.
    pub fn plain(self) -> Vr {
        match self {
            Entry::Exact(vr) => vr,
            Entry::UsOrSs => Vr::US,
            Entry::ObOrOw | Entry::UsOrOw => Vr::OW,
            Entry::Unknown => Vr::UN,
        }
    }
}

/// Look `tag` up: the standard's dictionary with its repeating groups, group lengths, private
/// creators. Private elements are unknown, as their creators' dictionaries are not consulted.
pub fn lookup(tag: u32) -> Entry {
    let (group, element) = ((tag >> 16) as u16, tag as u16);
    if element == 0 {
        return Entry::Exact(Vr::UL);
    }
    if group & 1 == 1 {
        let creator = (0x10..0x100).contains(&element);
        return if creator {
            Entry::Exact(Vr::LO)
        } else {
            Entry::Unknown
        };
    }
    match StandardDataDictionary
        .by_tag(Tag(group, element))
        .map(|entry| entry.vr())
    {
        Some(VirtualVr::Exact(vr)) => Entry::Exact(Vr(vr.to_bytes())),
        Some(VirtualVr::Xs) => Entry::UsOrSs,
        Some(VirtualVr::Ox | VirtualVr::Px) => Entry::ObOrOw,
        Some(VirtualVr::Lt) => Entry::UsOrOw,
        _ => Entry::Unknown,
    }
}

/// Values that decide on the VR of other elements; items inherit a copy from what surrounds them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Pixel Representation is 1.
    pub signed: bool,
    /// Bits Allocated, 0 when not seen.
    pub bits_allocated: u16,
    /// Waveform Bits Allocated, 0 when not seen.
    pub waveform_bits: u16,
    /// LUT Descriptor says that LUT Data has one entry.
    pub single_lut_entry: bool,
}

impl Context {
    /// Take note of an element's value, should it decide on others.
    pub fn note(&mut self, tag: u32, value: &[u8], syntax: Syntax) {
        match tag {
            PIXEL_REPRESENTATION => self.signed = syntax.u16(value) != 0,
            BITS_ALLOCATED => self.bits_allocated = syntax.u16(value),
            LUT_DESCRIPTOR => self.single_lut_entry = syntax.u16(value) == 1,
            WAVEFORM_BITS_ALLOCATED => self.waveform_bits = syntax.u16(value),
            _ => {}
        }
    }
}

/// The VR of an element whose header has none, or has UN: what the dictionary says, and where it
/// gives a choice what the data set says (PS3.5 8.1.2, A.1, A.2; PS3.3 C.11.1.1.1).
///
/// `explicit` is the encoding that the element is in; `undefined` that its length is.
pub fn vr_of(tag: u32, explicit: bool, undefined: bool, context: &Context) -> Vr {
    match lookup(tag) {
        Entry::Exact(vr) => vr,
        Entry::UsOrSs => {
            if context.signed {
                Vr::SS
            } else {
                Vr::US
            }
        }
        Entry::UsOrOw => {
            if context.single_lut_entry {
                Vr::US
            } else {
                Vr::OW
            }
        }
        Entry::ObOrOw if undefined => Vr::OB,
        Entry::ObOrOw if explicit && tag >> 16 == 0x5400 && context.waveform_bits <= 8 => Vr::OB,
        Entry::ObOrOw if explicit && tag == PIXEL_DATA && context.bits_allocated <= 8 => Vr::OB,
        Entry::ObOrOw => Vr::OW,
        Entry::Unknown => Vr::UN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_and_repeating() {
        assert_eq!(lookup(0x0010_0010), Entry::Exact(Vr::PN));
        assert_eq!(lookup(0x0040_0275), Entry::Exact(Vr::SQ));
        assert_eq!(lookup(0x6002_0010), Entry::Exact(Vr::US));
        assert_eq!(lookup(0x60FE_3000), Entry::ObOrOw);
        assert_eq!(lookup(0x5004_0005), Entry::Exact(Vr::US));
        assert_eq!(lookup(0x0028_0000), Entry::Exact(Vr::UL));
        assert_eq!(lookup(0x0002_0010), Entry::Exact(Vr::UI));
    }

    #[test]
    fn private() {
        assert_eq!(lookup(0x0009_0010), Entry::Exact(Vr::LO));
        assert_eq!(lookup(0x7FE1_0010), Entry::Exact(Vr::LO));
        assert_eq!(lookup(0x6001_3000), Entry::Unknown);
        assert_eq!(lookup(0x0009_1010), Entry::Unknown);
        assert_eq!(lookup(0x0009_0000), Entry::Exact(Vr::UL));
        assert_eq!(
            vr_of(0x0009_1010, false, false, &Context::default()),
            Vr::UN
        );
    }

    #[test]
    fn ambiguous() {
        let mut context = Context::default();
        assert_eq!(vr_of(0x0028_0106, false, false, &context), Vr::US);
        context.note(
            PIXEL_REPRESENTATION,
            &[0, 1],
            Syntax {
                explicit: true,
                big_endian: true,
            },
        );
        assert_eq!(vr_of(0x0028_0106, false, false, &context), Vr::SS);

        assert_eq!(vr_of(0x0028_3006, false, false, &context), Vr::OW);
        context.note(LUT_DESCRIPTOR, &[1, 0, 0, 0, 16, 0], Syntax::IMPLICIT);
        assert_eq!(vr_of(0x0028_3006, false, false, &context), Vr::US);

        context.note(BITS_ALLOCATED, &[8, 0], Syntax::EXPLICIT);
        assert_eq!(vr_of(PIXEL_DATA, false, false, &context), Vr::OW);
        assert_eq!(vr_of(PIXEL_DATA, false, true, &context), Vr::OB);
        assert_eq!(vr_of(PIXEL_DATA, true, false, &context), Vr::OB);
        context.note(BITS_ALLOCATED, &[16, 0], Syntax::EXPLICIT);
        assert_eq!(vr_of(PIXEL_DATA, true, false, &context), Vr::OW);
        assert_eq!(vr_of(0x5400_1010, false, false, &context), Vr::OW);
    }
}
