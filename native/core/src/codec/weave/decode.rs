//! Coded chunks to bytes.

use std::cell::RefCell;

use super::super::Invalid;
use super::super::decode::take;
use super::super::lanes::{Escapes, Looks, Machine, Words, Woven, WovenJob};
use super::SAMPLE;
use super::header::Header;
use super::table::spread;

thread_local! {
    /// The rows that decoding looks back at, kept by each thread.
    static ROWS: RefCell<Woven> = RefCell::default();
}

/// Fill `raw` with the chunk that was coded as `stored`.
pub fn decode(stored: &[u8], raw: &mut [u8]) -> Result<(), Invalid> {
    Machine::here()
        .next()
        .map_or(Ok(()), |machine| decode_on(machine, stored, raw))
}

/// Like [`decode`], on a machine of the caller's choice: all make the same bytes.
pub fn decode_on(machine: Machine, stored: &[u8], raw: &mut [u8]) -> Result<(), Invalid> {
    ROWS.with_borrow_mut(|rows| decode_chunk(machine, stored, raw, rows))
}

fn decode_chunk(
    machine: Machine,
    mut stored: &[u8],
    raw: &mut [u8],
    rows: &mut Woven,
) -> Result<(), Invalid> {
    let header = Header::read(&mut stored)?;
    let words = take(&mut stored, u64::from(header.words) * 2)?;
    let escapes = take(&mut stored, u64::from(header.escapes) * 2)?;
    let (samples, tail) = raw.split_at_mut(raw.len() / SAMPLE * SAMPLE);
    if stored.len() != tail.len() {
        return Err(Invalid("a chunk with another tail"));
    }
    let mut looks = Looks::default();
    spread(&header.shapes, &mut looks);
    let job = WovenJob {
        columns: usize::from(header.columns),
        weights: header.weights,
        fill: header.fill ^ 1 << 15,
        flip: u16::from(!header.flipped) << 15,
        uses: header
            .levels
            .map(|half| half.map(|level| level.low << 16 | u32::from(level.table) << 6)),
        looks: &looks,
        states: header.states,
        words: Words::new(words),
        escapes: Escapes::new(escapes),
        rows,
        bytes: samples,
    };
    if !machine.decode_woven(job) {
        return Err(Invalid("a stream that does not end where it should"));
    }
    tail.copy_from_slice(stored);
    Ok(())
}
