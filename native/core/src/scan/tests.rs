//! Data sets made by hand, and the scan of them in all kinds of pieces.

mod bulk;
mod elements;
mod properties;

use super::*;
use crate::element::DEFLATED;

const SPEC: u64 = 0x0008_0005;
const NAME: u64 = 0x0010_0010;
const ID: u64 = 0x0010_0020;

/// An explicit VR little endian element.
fn element(tag: u32, vr: &str, value: &[u8]) -> Vec<u8> {
    let vr = Vr(vr.as_bytes().try_into().unwrap());
    let mut out = tag_bytes(tag);
    out.extend(vr.0);
    if vr.has_long_length() {
        out.extend([0, 0]);
        out.extend((value.len() as u32).to_le_bytes());
    } else {
        out.extend((value.len() as u16).to_le_bytes());
    }
    [&out, value].concat()
}

/// An explicit VR big endian element with a short length.
fn big(tag: u32, vr: &str, value: &[u8]) -> Vec<u8> {
    let head = [
        &tag.to_be_bytes(),
        vr.as_bytes(),
        &(value.len() as u16).to_be_bytes()[..],
    ];
    [&head.concat(), value].concat()
}

/// An implicit VR little endian element, item or delimiter.
fn implicit(tag: u32, value: &[u8]) -> Vec<u8> {
    [
        &tag_bytes(tag),
        &(value.len() as u32).to_le_bytes()[..],
        value,
    ]
    .concat()
}

/// An element of undefined length, up to its value.
fn undefined(tag: u32, vr: &str) -> Vec<u8> {
    [
        &tag_bytes(tag)[..],
        vr.as_bytes(),
        &[0, 0, 0xFF, 0xFF, 0xFF, 0xFF],
    ]
    .concat()
}

fn tag_bytes(tag: u32) -> Vec<u8> {
    [
        ((tag >> 16) as u16).to_le_bytes(),
        (tag as u16).to_le_bytes(),
    ]
    .concat()
}

const OPEN_ITEM: &[u8] = b"\xfe\xff\x00\xe0\xff\xff\xff\xff";
const CLOSE_ITEM: &[u8] = b"\xfe\xff\x0d\xe0\0\0\0\0";
const CLOSE_SEQUENCE: &[u8] = b"\xfe\xff\xdd\xe0\0\0\0\0";

fn item(value: &[u8]) -> Vec<u8> {
    implicit(crate::element::ITEM, value)
}

fn name(value: &str) -> Vec<u8> {
    element(NAME as u32, "PN", value.as_bytes())
}

fn id(value: &str) -> Vec<u8> {
    element(ID as u32, "LO", value.as_bytes())
}

/// Scan in pieces of `size`; return what was found, and the bytes of each hole.
fn scan_in(
    form: Form,
    syntax: Option<&str>,
    bytes: &[u8],
    size: usize,
    limits: Limits,
) -> (Scan, Vec<Vec<u8>>) {
    let sequenced = 0x0008_1115_0008_1150;
    let named = 0x0008_1115_0010_0010;
    let interest = [SPEC, NAME, ID, 0x0028_0106, sequenced, named];
    let mut splitter = Splitter::new(form, syntax, &interest, limits);
    let mut holes: Vec<Vec<u8>> = Vec::new();
    for piece in bytes.chunks(size.max(1)) {
        let mut runs = Vec::new();
        splitter.feed(piece, &mut runs);
        for run in runs {
            holes.resize(holes.len().max(run.hole + 1), Vec::new());
            holes[run.hole].extend(&piece[run.begin..run.end]);
        }
    }
    (splitter.finish(), holes)
}

/// Scan a data set; check that it comes back, in whatever pieces it went in.
fn scan_as(form: Form, syntax: Option<&str>, bytes: &[u8]) -> Scan {
    let (scan, holes) = scan_in(form, syntax, bytes, bytes.len(), Limits::default());
    check_whole(&scan, &holes, bytes);
    for size in [1, 3, 1000] {
        let again = scan_in(form, syntax, bytes, size, Limits::default());
        assert_eq!((&again.0, &again.1), (&scan, &holes), "in pieces of {size}");
    }
    scan
}

fn scan(bytes: &[u8]) -> Scan {
    scan_as(Form::DataSet, Some(EXPLICIT_LITTLE), bytes)
}

/// The header with the holes put back is the input, and digests are of what they say.
fn check_whole(scan: &Scan, holes: &[Vec<u8>], bytes: &[u8]) {
    if scan.fatal {
        return;
    }
    assert_eq!(scan.holes.len(), holes.len());
    let (mut whole, mut at) = (Vec::<u8>::new(), 0);
    for (hole, value) in scan.holes.iter().zip(holes) {
        whole.extend(&scan.header[at..hole.offset]);
        whole.extend(value);
        at = hole.offset;
        assert_eq!(hole.length, value.len() as u64);
        assert_eq!(hole.digest, *blake3::hash(value).as_bytes());
    }
    whole.extend(&scan.header[at..]);
    assert!(whole == bytes, "the object does not come back");
    assert_eq!(scan.length as usize, bytes.len() - scan.prefix);
}

fn text(scan: &Scan, key: u64) -> Option<Vec<&str>> {
    fn one(value: &Value) -> &str {
        match value {
            Value::Text(text) => text,
            _ => panic!("not text"),
        }
    }
    scan.values
        .get(&key)
        .map(|values| values.iter().map(one).collect())
}

fn problem(scan: &Scan) -> String {
    scan.problem
        .as_ref()
        .map_or_else(String::new, ToString::to_string)
}

fn paths(scan: &Scan) -> Vec<&[u32]> {
    scan.holes.iter().map(|hole| &hole.path[..]).collect()
}
