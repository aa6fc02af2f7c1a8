//! Decodes text by Specific Character Set (0008,0005), PS3.3 C.12.1.1.2 and PS3.5 6.1.2.
//!
//! Never fails: what cannot be decoded becomes U+FFFD, an unknown character set is read as the
//! default repertoire. Text with code extensions is read as ISO 2022 means it: an escape
//! sequence designates G0 (bytes below 80H) or G1 (bytes from 80H on) until the next one, or
//! until a delimiter resets both. Every escape sequence that DICOM defines is honoured, declared
//! or not, so all that is kept of (0008,0005) is its first value.

use std::borrow::Cow;

use encoding_rs::{
    EUC_JP, EUC_KR, Encoding, GB18030, ISO_8859_2, ISO_8859_3, ISO_8859_4, ISO_8859_5, ISO_8859_6,
    ISO_8859_7, ISO_8859_8, ISO_8859_15, SHIFT_JIS, UTF_8,
};

use crate::element::Vr;

const ESC: u8 = 0x1b;
const REPLACEMENT: char = '\u{fffd}';

/// How the text of a data set (or of a sequence item, which inherits it) is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charsets(Repertoire);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repertoire {
    /// ISO 2022 with this initial G1.
    Extensible(G1),
    /// An encoding without code extensions: ISO_IR 192, GB18030, GBK.
    Whole(&'static Encoding),
}

/// What bytes from 80H on mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum G1 {
    /// ISO IR 6 alone: no such bytes. Met all the same, they are read as Latin-1.
    None,
    Latin1,
    Latin5,
    Thai,
    /// JIS X 0201. Read as Shift JIS, its superset, which senders write under this name.
    Katakana,
    Iso8859(&'static Encoding),
    Korean,
    Chinese,
}

/// What bytes below 80H mean. JIS X 0201 romaji is read as ASCII: its 5CH is the delimiter of
/// values whatever it looks like (PS3.5 6.1.2.3), so it must stay a backslash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum G0 {
    Ascii,
    Jis0208,
    Jis0212,
}

impl Default for Charsets {
    fn default() -> Self {
        Self(Repertoire::Extensible(G1::None))
    }
}

impl Charsets {
    /// Read the value of (0008,0005). Common misspellings are understood.
    pub fn from_element(raw: &[u8]) -> Self {
        let first = raw.split(|&b| b == b'\\').next().unwrap_or_default();
        let term = String::from_utf8_lossy(first).to_ascii_uppercase();
        let term = term.trim_matches([' ', '\0']);
        match term {
            "GB18030" | "GBK" | "ISO 2022 GBK" => return Self(Repertoire::Whole(GB18030)),
            "" => return Self::default(),
            _ => {}
        }
        let digits = term.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let known = if term.starts_with("ISO") {
            registration(&term[digits..])
        } else {
            None
        };
        // Names of other worlds ("utf-8", "windows-1252") are not DICOM's, but say what they mean.
        let named = || {
            Encoding::for_label(term.as_bytes())
                .filter(|encoding| encoding.is_ascii_compatible())
                .map(Repertoire::Whole)
        };
        known.or_else(named).map_or_else(Self::default, Self)
    }
}

/// The repertoire of an ISO registration number (PS3.3 tables C.12-2 to C.12-5).
fn registration(number: &str) -> Option<Repertoire> {
    let g1 = match number {
        "6" => G1::None,
        "13" | "14" | "87" | "159" => G1::Katakana,
        "58" => G1::Chinese,
        "100" => G1::Latin1,
        "101" => G1::Iso8859(ISO_8859_2),
        "109" => G1::Iso8859(ISO_8859_3),
        "110" => G1::Iso8859(ISO_8859_4),
        "126" => G1::Iso8859(ISO_8859_7),
        "127" => G1::Iso8859(ISO_8859_6),
        "138" => G1::Iso8859(ISO_8859_8),
        "144" => G1::Iso8859(ISO_8859_5),
        "148" => G1::Latin5,
        "149" => G1::Korean,
        "166" => G1::Thai,
        "192" => return Some(Repertoire::Whole(UTF_8)),
        "203" => G1::Iso8859(ISO_8859_15),
        _ => return None,
    };
    Some(Repertoire::Extensible(g1))
}

/// Decode a whole Value Field of a VR, before it is split at backslashes.
///
/// Splitting comes after: in multi-byte sets 5CH can be half of a character. VRs that
/// (0008,0005) does not affect are read in the default repertoire (PS3.5 6.1.2.3).
pub fn decode_text<'a>(raw: &'a [u8], vr: Vr, charsets: &Charsets) -> Cow<'a, str> {
    let affected = vr.is_localized();
    if raw.is_ascii() && !(affected && raw.contains(&ESC)) {
        return String::from_utf8_lossy(raw);
    }
    if !affected {
        return encoding_rs::mem::decode_latin1(raw);
    }
    match charsets.0 {
        Repertoire::Whole(encoding) => encoding.decode_without_bom_handling(raw).0,
        Repertoire::Extensible(initial) if raw.contains(&ESC) => {
            let delimiters: &[u8] = match vr {
                Vr::PN => b"\\^=",
                Vr::SH | Vr::LO | Vr::UC => b"\\\t\n\x0c\r",
                _ => b"\t\n\x0c\r",
            };
            Cow::Owned(decode_extended(raw, initial, delimiters))
        }
        Repertoire::Extensible(initial) => decode_g1(raw, initial),
    }
}

fn decode_extended(raw: &[u8], initial: G1, delimiters: &[u8]) -> String {
    let mut text = String::with_capacity(raw.len() * 2);
    let (mut g0, mut g1) = (G0::Ascii, initial);
    let mut rest = raw;
    while let Some(&first) = rest.first() {
        if first == ESC {
            let length = designate(rest, &mut g0, &mut g1);
            if length == 0 {
                text.push(char::from(ESC));
            }
            rest = &rest[length.max(1)..];
            continue;
        }
        let run = rest.iter().position(|&b| b == ESC).unwrap_or(rest.len());
        let used = match g0 {
            G0::Ascii => {
                let run = &rest[..run];
                // A delimiter goes back to the initial sets (PS3.5 6.1.2.5.3). Where the initial
                // G1 is empty the designated one stays: it alone can explain bytes that follow.
                let reset = g1 != initial && initial != G1::None;
                let stop = run.iter().position(|b| reset && delimiters.contains(b));
                let used = stop.unwrap_or(run.len());
                text.push_str(&decode_g1(&run[..used], g1));
                if stop.is_some() {
                    g1 = initial;
                }
                used
            }
            G0::Jis0208 | G0::Jis0212 => {
                let used = decode_pairs(&rest[..run], g0, &mut text);
                if used < run {
                    g0 = G0::Ascii;
                }
                used
            }
        };
        rest = &rest[used..];
    }
    text
}

/// Apply the escape sequence that `bytes` begins with; return its length, 0 where it is unknown.
///
/// A new G1 brings G0 back to ASCII too: ISO 2022 has it stay, but writers (pydicom is one) end
/// Japanese text with the escape sequence of the first character set, a G1.
fn designate(bytes: &[u8], g0: &mut G0, g1: &mut G1) -> usize {
    let high = |set| (G0::Ascii, set);
    let low = |set| (set, *g1);
    let (length, designated) = match (bytes.get(1..3), bytes.get(1..4)) {
        (Some(b"(B" | b"(J"), _) => (3, low(G0::Ascii)),
        (Some(b"$B" | b"$@"), _) => (3, low(G0::Jis0208)),
        (_, Some(b"$(D")) => (4, low(G0::Jis0212)),
        (_, Some(b"$)C")) => (4, high(G1::Korean)),
        (_, Some(b"$)A")) => (4, high(G1::Chinese)),
        (Some(b")I"), _) => (3, high(G1::Katakana)),
        (Some(b"-A"), _) => (3, high(G1::Latin1)),
        (Some(b"-B"), _) => (3, high(G1::Iso8859(ISO_8859_2))),
        (Some(b"-C"), _) => (3, high(G1::Iso8859(ISO_8859_3))),
        (Some(b"-D"), _) => (3, high(G1::Iso8859(ISO_8859_4))),
        (Some(b"-F"), _) => (3, high(G1::Iso8859(ISO_8859_7))),
        (Some(b"-G"), _) => (3, high(G1::Iso8859(ISO_8859_6))),
        (Some(b"-H"), _) => (3, high(G1::Iso8859(ISO_8859_8))),
        (Some(b"-L"), _) => (3, high(G1::Iso8859(ISO_8859_5))),
        (Some(b"-M"), _) => (3, high(G1::Latin5)),
        (Some(b"-T"), _) => (3, high(G1::Thai)),
        (Some(b"-b"), _) => (3, high(G1::Iso8859(ISO_8859_15))),
        _ => return 0,
    };
    (*g0, *g1) = designated;
    length
}

fn decode_g1(bytes: &[u8], g1: G1) -> Cow<'_, str> {
    let by_byte = |map: fn(u8) -> char| Cow::Owned(bytes.iter().map(|&b| map(b)).collect());
    match g1 {
        G1::None | G1::Latin1 => encoding_rs::mem::decode_latin1(bytes),
        G1::Latin5 => by_byte(latin5),
        G1::Thai => by_byte(thai),
        G1::Katakana => SHIFT_JIS.decode_without_bom_handling(bytes).0,
        G1::Iso8859(encoding) => encoding.decode_without_bom_handling(bytes).0,
        G1::Korean => EUC_KR.decode_without_bom_handling(bytes).0,
        G1::Chinese => GB18030.decode_without_bom_handling(bytes).0,
    }
}

/// ISO 8859-9. encoding_rs has it only as windows-1254, which differs in 80H to 9FH.
fn latin5(byte: u8) -> char {
    match byte {
        0xd0 => 'Ğ',
        0xdd => 'İ',
        0xde => 'Ş',
        0xf0 => 'ğ',
        0xfd => 'ı',
        0xfe => 'ş',
        _ => char::from(byte),
    }
}

/// TIS 620-2533: U+0E01 to U+0E5B lie in order, with gaps.
fn thai(byte: u8) -> char {
    match byte {
        0x00..=0x7f => char::from(byte),
        0xa1..=0xda | 0xdf..=0xfb => {
            char::from_u32(0x0e00 + u32::from(byte - 0xa0)).unwrap_or(REPLACEMENT)
        }
        _ => REPLACEMENT,
    }
}

/// Decode two-byte G0 characters up to a control character (which ends the shift) or the end;
/// return the bytes used.
fn decode_pairs(bytes: &[u8], set: G0, text: &mut String) -> usize {
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (0x00..=0x1f, _) => return at,
            (b' ', _) => text.push(' '),
            (first @ 0x21..=0x7e, Some(&second @ 0x21..=0x7e)) => {
                push_jis(set, first | 0x80, second | 0x80, text);
                at += 1;
            }
            _ => text.push(REPLACEMENT),
        }
        at += 1;
    }
    at
}

fn push_jis(set: G0, first: u8, second: u8, text: &mut String) {
    // encoding_rs maps these six as Windows does; JIS X 0208 itself, as the others do.
    let own = match (set, first, second) {
        (G0::Jis0208, 0xa1, 0xc1) => Some('\u{301c}'),
        (G0::Jis0208, 0xa1, 0xc2) => Some('\u{2016}'),
        (G0::Jis0208, 0xa1, 0xdd) => Some('\u{2212}'),
        (G0::Jis0208, 0xa1, 0xf1) => Some('\u{a2}'),
        (G0::Jis0208, 0xa1, 0xf2) => Some('\u{a3}'),
        (G0::Jis0208, 0xa2, 0xcc) => Some('\u{ac}'),
        _ => None,
    };
    if let Some(own) = own {
        text.push(own);
        return;
    }
    let three = [0x8f, first, second];
    let euc = if set == G0::Jis0212 {
        &three[..]
    } else {
        &three[1..]
    };
    text.push_str(&EUC_JP.decode_without_bom_handling(euc).0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(raw: &[u8], vr: Vr, charset: &str) -> String {
        decode_text(raw, vr, &Charsets::from_element(charset.as_bytes())).into_owned()
    }

    #[test]
    fn examples_of_the_standard() {
        // PS3.5 H.3.1, H.3.2, I.2, J.3 and K.2.
        let yamada =
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B";
        assert_eq!(
            text(yamada, Vr::PN, "\\ISO 2022 IR 87"),
            "Yamada^Tarou=山田^太郎=やまだ^たろう"
        );
        let kana = b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J";
        assert_eq!(
            text(kana, Vr::PN, "ISO 2022 IR 13\\ISO 2022 IR 87"),
            "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"
        );
        let hong = b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf";
        assert_eq!(
            text(hong, Vr::PN, "\\ISO 2022 IR 149"),
            "Hong^Gildong=洪^吉洞=홍^길동"
        );
        assert_eq!(
            text(
                b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab",
                Vr::PN,
                "GB18030"
            ),
            "Wang^XiaoDong=王^小东"
        );
        assert_eq!(
            text(
                b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=",
                Vr::PN,
                "\\ISO 2022 IR 58"
            ),
            "Zhang^XiaoDong=张^小东="
        );
    }

    #[test]
    fn a_delimiter_goes_back_to_the_first_set() {
        let mixed = b"Dionysios is \x1b-F\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2\r\n\xe4";
        assert_eq!(
            text(mixed, Vr::LT, "ISO 2022 IR 100\\ISO 2022 IR 126"),
            "Dionysios is Διονυσιος\r\nä"
        );
    }

    #[test]
    fn misspelt_terms_are_understood() {
        for term in [
            "ISO_IR 144",
            "ISO-IR 144",
            "ISO IR 144",
            "ISO_IR_144",
            "iso_ir144 ",
            "ISO 2022 IR 144",
            "ISO_2022_IR_144",
        ] {
            assert_eq!(text(b"\xbb", Vr::LO, term), "Л", "{term}");
        }
        assert_eq!(text("ø".as_bytes(), Vr::LO, "utf-8"), "ø");
        assert_eq!(text(b"\xf8", Vr::LO, "NO SUCH SET"), "ø");
    }

    #[test]
    fn other_vrs_ignore_the_character_set() {
        assert_eq!(text(b"\xd4", Vr::CS, "ISO_IR 192"), "Ô");
    }
}
