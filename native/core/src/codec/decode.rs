//! Coded chunks to bytes.

use std::cell::RefCell;

use super::header::{ChunkHeader, PLANES, PlaneHeader};
use super::lanes::{Bits, Cell, Job, Machine, Slots, Words};
use super::order::Order;
use super::predict::LINEAR;
use super::sink::Sink;
use super::table::{first_levels, new_slots};
use super::{Geometry, Invalid};

/// What decoding needs beside the chunk, kept by each thread.
struct Scratch {
    slots: Box<Slots>,
    above: Vec<Cell>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        RefCell::new(Scratch { slots: new_slots(), above: Vec::new() });
}

/// Fill `raw` with the chunk that was coded as `stored`.
pub fn decode(stored: &[u8], raw: &mut [u8]) -> Result<(), Invalid> {
    Machine::here()
        .next()
        .map_or(Ok(()), |machine| decode_on(machine, stored, raw))
}

/// Like [`decode`], on a machine of the caller's choice: all make the same bytes.
pub fn decode_on(machine: Machine, stored: &[u8], raw: &mut [u8]) -> Result<(), Invalid> {
    SCRATCH.with_borrow_mut(|scratch| decode_chunk(machine, stored, raw, scratch))
}

fn decode_chunk(
    machine: Machine,
    mut stored: &[u8],
    raw: &mut [u8],
    scratch: &mut Scratch,
) -> Result<(), Invalid> {
    let header = ChunkHeader::read(&mut stored)?;
    let Geometry {
        columns,
        sample_bytes,
        pixel_samples,
    } = header.geometry;
    let pixel = usize::from(sample_bytes) * usize::from(pixel_samples);
    let samples = raw.len() / pixel;
    let (pixels, tail) = raw.split_at_mut(samples * pixel);
    let order = Order::new(usize::from(columns), samples);
    if i32::try_from(samples + order.period).is_err() {
        return Err(Invalid("a chunk of too many samples"));
    }
    let mut done = [false; PLANES];
    for _ in 0..pixel_samples {
        let plane = PlaneHeader::read(&mut stored)?;
        let known = |plane: u8| usize::from(plane) < usize::from(pixel_samples);
        if !known(plane.plane) || done[usize::from(plane.plane)] {
            return Err(Invalid("a plane that is not there, or comes twice"));
        }
        if plane
            .plus
            .is_some_and(|plus| !known(plus) || !done[usize::from(plus)])
        {
            return Err(Invalid(
                "a plane on top of one that does not come before it",
            ));
        }
        done[usize::from(plane.plane)] = true;
        let sink = Sink {
            bytes: pixels,
            sample_bytes: usize::from(sample_bytes),
            stride: usize::from(pixel_samples),
            plane: usize::from(plane.plane),
            plus: plane.plus.map(usize::from),
            flip: u16::from(header.flipped) << 15,
            bias: if sample_bytes == 2 { 1 << 15 } else { 0 },
        };
        decode_plane(machine, &plane, &mut stored, sink, &order, scratch)?;
    }
    if stored.len() != tail.len() {
        return Err(Invalid("a chunk with another tail"));
    }
    tail.copy_from_slice(stored);
    Ok(())
}

fn decode_plane(
    machine: Machine,
    plane: &PlaneHeader,
    stored: &mut &[u8],
    mut sink: Sink,
    order: &Order,
    scratch: &mut Scratch,
) -> Result<(), Invalid> {
    let Some(coded) = &plane.coded else {
        sink.fill(order.samples, plane.fill);
        return Ok(());
    };
    let words = take(stored, u64::from(coded.words) * 2)?;
    let extra = take(stored, u64::from(coded.extra))?;
    for (index, table) in coded.tables.iter().enumerate() {
        table.spread(&mut scratch.slots[index << coded.table_bits..][..1 << coded.table_bits]);
    }
    if scratch.above.len() < order.period {
        scratch.above.resize(order.period, Cell::default());
    }
    let linear = coded.predictor.kind == LINEAR;
    let job = Job {
        linear,
        left: coded.left,
        weights: coded.predictor.weights,
        mask: if sink.sample_bytes == 2 { 0xffff } else { 0xff },
        fill: plane.fill ^ sink.bias,
        table_bits: coded.table_bits,
        tables: first_levels(coded.map)?.map(|table| u32::from(table) << coded.table_bits),
        slots: &scratch.slots,
        states: coded.states,
        words: Words::new(words),
        extra: Bits::new(extra),
        above: &mut scratch.above[..order.period],
        sink,
    };
    if machine.decode(job, order) {
        Ok(())
    } else {
        Err(Invalid("a stream that does not end where it should"))
    }
}

/// Take the next `count` bytes.
pub(super) fn take<'a>(stored: &mut &'a [u8], count: u64) -> Result<&'a [u8], Invalid> {
    let (taken, rest) = usize::try_from(count)
        .ok()
        .and_then(|count| stored.split_at_checked(count))
        .ok_or(Invalid("a stream cut short"))?;
    *stored = rest;
    Ok(taken)
}
