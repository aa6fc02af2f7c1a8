//! Values and the text of JSON (PS3.18 F.2.3 to F.2.7, RFC 8259).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::charset::{Charsets, decode_text};
use crate::element::{Syntax, Vr};

pub(super) const PADDING: [char; 2] = [' ', '\0'];

/// `vr`, or UN where the standard does not know it.
pub(super) fn known(vr: Vr) -> Vr {
    match &vr.0 {
        b"AE" | b"AS" | b"AT" | b"CS" | b"DA" | b"DS" | b"DT" | b"FD" | b"FL" | b"IS" | b"LO"
        | b"LT" | b"OB" | b"OD" | b"OF" | b"OL" | b"OV" | b"OW" | b"PN" | b"SH" | b"SL" | b"SQ"
        | b"SS" | b"ST" | b"SV" | b"TM" | b"UC" | b"UI" | b"UL" | b"UN" | b"UR" | b"US" | b"UT"
        | b"UV" => vr,
        _ => Vr::UN,
    }
}

/// Write `,"Value":[...]` or `,"InlineBinary":"..."`; nothing for an empty value (F.2.5).
pub(super) fn write(out: &mut Vec<u8>, vr: Vr, raw: &[u8], syntax: Syntax, charsets: &Charsets) {
    match vr {
        Vr::SQ => {}
        Vr::OB | Vr::UN => binary(out, raw),
        Vr::OW => words(out, raw, 2, syntax),
        Vr::OF | Vr::OL => words(out, raw, 4, syntax),
        Vr::OD | Vr::OV => words(out, raw, 8, syntax),
        Vr::US => numbers(out, raw, 2, |out, raw| integer(out, syntax.u16(raw))),
        Vr::SS => numbers(out, raw, 2, |out, raw| {
            integer(out, syntax.u16(raw).cast_signed());
        }),
        Vr::UL => numbers(out, raw, 4, |out, raw| integer(out, syntax.u32(raw))),
        Vr::SL => numbers(out, raw, 4, |out, raw| {
            integer(out, syntax.u32(raw).cast_signed());
        }),
        Vr::UV => numbers(out, raw, 8, |out, raw| integer(out, syntax.u64(raw))),
        Vr::SV => numbers(out, raw, 8, |out, raw| {
            integer(out, syntax.u64(raw).cast_signed());
        }),
        Vr::FL => numbers(out, raw, 4, |out, raw| {
            float(out, f64::from(f32::from_bits(syntax.u32(raw))));
        }),
        Vr::FD => numbers(out, raw, 8, |out, raw| {
            float(out, f64::from_bits(syntax.u64(raw)));
        }),
        Vr::AT => numbers(out, raw, 4, |out, raw| {
            out.push(b'"');
            hexadecimal(out, syntax.tag(raw));
            out.push(b'"');
        }),
        Vr::IS | Vr::DS => texts(out, &decode_text(raw, vr, charsets), number),
        Vr::PN => texts(out, &decode_text(raw, vr, charsets), person_name),
        // One value, in which leading spaces count (PS3.5 6.2).
        Vr::LT | Vr::ST | Vr::UR | Vr::UT => {
            let text = decode_text(raw, vr, charsets);
            let text = text.trim_end_matches(PADDING);
            if !text.is_empty() {
                out.extend(br#","Value":["#);
                string(out, text);
                out.push(b']');
            }
        }
        _ => texts(out, &decode_text(raw, vr, charsets), string),
    }
}

/// Values of a fixed size; bytes left over are no value.
fn numbers(out: &mut Vec<u8>, raw: &[u8], size: usize, write: impl Fn(&mut Vec<u8>, &[u8])) {
    if raw.len() < size {
        return;
    }
    out.extend(br#","Value":["#);
    for value in raw.chunks_exact(size) {
        write(out, value);
        out.push(b',');
    }
    end(out, b"]");
}

/// Values between backslashes, padding stripped (PS3.5 6.2); null where one is empty (F.2.5).
fn texts(out: &mut Vec<u8>, text: &str, write: fn(&mut Vec<u8>, &str)) {
    if text.trim_matches(PADDING).is_empty() {
        return;
    }
    out.extend(br#","Value":["#);
    for value in text.split('\\') {
        match value.trim_matches(PADDING) {
            "" => out.extend(b"null"),
            value => write(out, value),
        }
        out.push(b',');
    }
    end(out, b"]");
}

/// The non-empty component groups of a name (F.2.2).
pub(super) fn person_name(out: &mut Vec<u8>, name: &str) {
    let groups = name.split('=').map(|group| group.trim_matches(PADDING));
    let names = ["Alphabetic", "Ideographic", "Phonetic"];
    let begin = out.len();
    out.push(b'{');
    for (name, group) in names
        .into_iter()
        .zip(groups)
        .filter(|(_, group)| !group.is_empty())
    {
        string(out, name);
        out.push(b':');
        string(out, group);
        out.push(b',');
    }
    end(out, b"}");
    if out.len() - begin == 2 {
        out.truncate(begin);
        out.extend(b"null");
    }
}

/// A decimal string as the number that it spells, digit by digit, so that no precision is lost;
/// as a string where it spells none that JSON has (F.2.3).
pub(super) fn number(out: &mut Vec<u8>, text: &str) {
    let (sign, digits) = match text.as_bytes() {
        [b'-', rest @ ..] => ("-", rest),
        [b'+', rest @ ..] => ("", rest),
        rest => ("", rest),
    };
    let digits_of = |bytes: &[u8]| bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    let (whole, rest) = digits.split_at(digits_of(digits));
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => rest.split_at(digits_of(rest)),
        _ => (&[][..], rest),
    };
    let exponent = match rest {
        [b'e' | b'E', b'+' | b'-', power @ ..] | [b'e' | b'E', power @ ..] => {
            !power.is_empty() && digits_of(power) == power.len()
        }
        _ => rest.is_empty(),
    };
    let none = whole.is_empty() && fraction.is_empty();
    // Only an exponent, or hundreds of digits, can leave the range of a double.
    let long = !rest.is_empty() || whole.len() > 300;
    if none || !exponent || (long && !text.parse::<f64>().is_ok_and(f64::is_finite)) {
        return string(out, text);
    }
    out.extend(sign.as_bytes());
    let zeros = whole.iter().take_while(|&&digit| digit == b'0').count();
    match &whole[zeros..] {
        [] => out.push(b'0'),
        whole => out.extend(whole),
    }
    if !fraction.is_empty() {
        out.push(b'.');
        out.extend(fraction);
    }
    out.extend(rest);
}

pub(super) fn integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend(itoa::Buffer::new().format(value).as_bytes());
}

/// JSON has no numbers that are none (RFC 8259 6); those become strings.
pub(super) fn float(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        out.extend(ryu::Buffer::new().format_finite(value).as_bytes());
    } else if value.is_nan() {
        out.extend(br#""NaN""#);
    } else if value > 0.0 {
        out.extend(br#""Infinity""#);
    } else {
        out.extend(br#""-Infinity""#);
    }
}

/// A tag: eight hexadecimal digits (F.2.2).
pub(super) fn hexadecimal(out: &mut Vec<u8>, tag: u32) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend(
        (0..8)
            .rev()
            .map(|digit| DIGITS[(tag >> (4 * digit) & 15) as usize]),
    );
}

/// Words in little endian, whatever the data set's byte order: F.2.7 has the rules of PS3.5 apply,
/// and JSON names no transfer syntax, so the byte order is that of all but a retired one.
fn words(out: &mut Vec<u8>, raw: &[u8], size: usize, syntax: Syntax) {
    if !syntax.big_endian {
        return binary(out, raw);
    }
    let mut swapped = raw.to_vec();
    swapped.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    binary(out, &swapped);
}

/// Write `,"InlineBinary":"..."` (F.2.7).
pub(super) fn binary(out: &mut Vec<u8>, raw: &[u8]) {
    if raw.is_empty() {
        return;
    }
    out.extend(br#","InlineBinary":""#);
    let begin = out.len();
    out.resize(begin + raw.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(raw, &mut out[begin..]);
    debug_assert_eq!(written, Ok(out.len() - begin));
    out.push(b'"');
}

pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    escape(out, text);
    out.push(b'"');
}

/// The characters of a JSON string (RFC 8259 7).
pub(super) fn escape(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut done = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[done..at]);
        done = at + 1;
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            _ => out.extend(format!("\\u{byte:04x}").as_bytes()),
        }
    }
    out.extend_from_slice(&bytes[done..]);
}

/// Put `closing` in place of the comma after the last member, if there is one.
pub(super) fn end(out: &mut Vec<u8>, closing: &[u8]) {
    if out.last() == Some(&b',') {
        out.pop();
    }
    out.extend(closing);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(vr: Vr, raw: &[u8]) -> String {
        let mut out = Vec::new();
        write(&mut out, vr, raw, Syntax::EXPLICIT, &Charsets::default());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn decimal_strings() {
        for (text, expected) in [
            ("1.50", "1.50"),
            ("+1.5", "1.5"),
            (".5 ", "0.5"),
            ("-.5", "-0.5"),
            ("5.", "5"),
            ("007", "7"),
            ("-0", "-0"),
            ("0000", "0"),
            ("1E-3", "1E-3"),
            ("1.e+3", "1e+3"),
            ("1e400", r#""1e400""#),
            ("NaN", r#""NaN""#),
            ("1 2", r#""1 2""#),
            ("-", r#""-""#),
            (".", r#"".""#),
            ("1e", r#""1e""#),
            ("1,5", r#""1,5""#),
        ] {
            assert_eq!(
                json(Vr::DS, text.as_bytes()),
                format!(r#","Value":[{expected}]"#)
            );
        }
        assert_eq!(json(Vr::IS, b"1\\\\3"), r#","Value":[1,null,3]"#);
    }

    #[test]
    fn names() {
        let expected = r#","Value":[{"Alphabetic":"A^B","Phonetic":"C"},null,{"Ideographic":"D"}]"#;
        assert_eq!(json(Vr::PN, b"A^B==C\\=\\=D "), expected);
    }

    #[test]
    fn empty_values_are_not_written() {
        for vr in [Vr::CS, Vr::PN, Vr::LT, Vr::OB, Vr::US, Vr::SQ, Vr::DS] {
            assert_eq!(json(vr, b""), "", "{vr:?}");
        }
        assert_eq!(json(Vr::LO, b"  "), "");
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(
            json(Vr::LT, b" \"a\\b\"\r\n\x1b "),
            r#","Value":[" \"a\\b\"\r\n\u001b"]"#
        );
    }

    #[test]
    fn floats() {
        assert_eq!(
            json(Vr::FL, &0.1f32.to_le_bytes()),
            r#","Value":[0.10000000149011612]"#
        );
        assert_eq!(
            json(Vr::FD, &f64::NEG_INFINITY.to_le_bytes()),
            r#","Value":["-Infinity"]"#
        );
    }

    #[test]
    fn big_endian_words_are_swapped() {
        let big = Syntax {
            explicit: true,
            big_endian: true,
        };
        let mut out = Vec::new();
        write(&mut out, Vr::OW, &[1, 2, 3, 4], big, &Charsets::default());
        write(&mut out, Vr::OB, &[1, 2, 3, 4], big, &Charsets::default());
        assert_eq!(
            out,
            br#","InlineBinary":"AgEEAw==","InlineBinary":"AQIDBA==""#
        );
    }
}
