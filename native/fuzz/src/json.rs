//! Any header gives one JSON object: the first bytes choose the transfer syntax and a hole.
use serde::Deserialize;
use vna_core::element::{EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE};
use vna_core::json::dataset_json;

/// Take `data`; panic where that is not as it should be.
pub fn check(data: &[u8]) {
    let [syntax, offset, length, header @ ..] = data else {
        return;
    };
    let syntax = [EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG][usize::from(*syntax) % 3];
    let holes = [(u64::from(*offset), u64::from(*length))];
    let json = dataset_json(header, 0, syntax, &holes, "uri");
    let mut reader = serde_json::Deserializer::from_slice(&json);
    reader.disable_recursion_limit();
    let parsed = serde_json::Value::deserialize(&mut reader).expect("JSON");
    reader.end().expect("nothing after it");
    assert!(parsed.is_object());
}
