//! An object in pieces: nothing is lost, and the pieces make no difference.
use vna_core::scan::{Form, Limits, Scan, Splitter, inflate};

const INTEREST: [u64; 5] = [
    0x0008_0005,
    0x0010_0010,
    0x0020_000D,
    0x0028_0106,
    0x0040_0275_0040_1001,
];
const SYNTAXES: [Option<&str>; 6] = [
    None,
    Some("1.2.840.10008.1.2"),
    Some("1.2.840.10008.1.2.1"),
    Some("1.2.840.10008.1.2.2"),
    Some("1.2.840.10008.1.2.1.99"),
    Some("1.2.840.10008.1.2.4.90"),
];

/// Scan `bytes` in pieces of `size`; return what was found and the object put together again.
fn scan(form: Form, syntax: Option<&str>, bytes: &[u8], size: usize) -> (Scan, Vec<u8>) {
    let limits = Limits {
        bulk_threshold: 64,
        max_header: 1 << 16,
    };
    let mut splitter = Splitter::new(form, syntax, &INTEREST, limits);
    let mut values: Vec<Vec<u8>> = Vec::new();
    for piece in bytes.chunks(size) {
        let mut runs = Vec::new();
        splitter.feed(piece, &mut runs);
        for run in runs {
            values.resize(values.len().max(run.hole + 1), Vec::new());
            values[run.hole].extend(&piece[run.begin..run.end]);
            assert!(
                splitter
                    .hole_plan(run.hole)
                    .is_some_and(|(chunk, _)| chunk > 0)
            );
        }
    }
    let scan = splitter.finish();
    let (mut whole, mut at) = (Vec::new(), 0);
    for (hole, value) in scan.holes.iter().zip(&values) {
        assert_eq!(hole.length, value.len() as u64);
        whole.extend(scan.header.get(at..hole.offset).unwrap_or_default());
        whole.extend(value);
        at = hole.offset;
    }
    whole.extend(scan.header.get(at..).unwrap_or_default());
    (scan, whole)
}

// The first two bytes choose form, transfer syntax and the size of the pieces.
/// Take `data`; panic where that is not as it should be.
pub fn check(data: &[u8]) {
    let [choice, size, bytes @ ..] = data else {
        return;
    };
    let form = if choice & 1 == 0 {
        Form::DataSet
    } else {
        Form::Part10
    };
    let syntax = SYNTAXES[usize::from(choice >> 1) % SYNTAXES.len()];
    let (scanned, whole) = scan(form, syntax, bytes, bytes.len().max(1));
    let (again, _) = scan(form, syntax, bytes, usize::from(*size).max(1));
    assert_eq!(format!("{scanned:?}"), format!("{again:?}"));
    if !scanned.fatal {
        assert!(whole == bytes);
    }
    if let Ok(inflated) = inflate(bytes, 1000) {
        assert!(inflated.len() <= 1000);
    }
}
