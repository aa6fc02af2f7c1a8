//! Any stream cut anywhere gives the same events as in one piece: the first byte says where to cut.
use vna_core::pdu::{Deframer, Event, ProtocolError};

/// Take `data`; panic where that is not as it should be.
pub fn check(data: &[u8]) {
    let Some((&size, stream)) = data.split_first() else {
        return;
    };
    let whole = receive(stream, stream.len().max(1));
    let pieces = receive(stream, usize::from(size).max(1));
    assert_eq!(pieces, whole);
}

/// Kind or context, bytes, and whether they end there; parts of a data set together.
type Seen = (u8, u8, Vec<u8>, bool);

fn receive(stream: &[u8], size: usize) -> Result<Vec<Seen>, ProtocolError> {
    let mut deframer = Deframer::new(4096);
    let mut seen: Vec<Seen> = Vec::new();
    for piece in stream.chunks(size) {
        for event in deframer.feed(piece)? {
            let (context, runs, last) = match event {
                Event::Control { kind, pdu } => {
                    seen.push((0, kind, pdu, true));
                    continue;
                }
                Event::Command { context, set } => {
                    seen.push((1, context, set, true));
                    continue;
                }
                Event::Data {
                    context,
                    runs,
                    last,
                } => (context, runs, last),
            };
            let bytes = runs.into_iter().flat_map(|run| piece[run].to_vec());
            match seen.last_mut() {
                Some((2, open, data, ended)) if *open == context && !*ended => {
                    data.extend(bytes);
                    *ended = last;
                }
                _ => seen.push((2, context, bytes.collect(), last)),
            }
        }
    }
    Ok(seen)
}
