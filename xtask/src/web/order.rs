//! Where the module's functions lie: compression finds again what was there a short while before, so
//! functions that are alike are put beside each other. The result is the same for the same module.

use std::collections::HashMap;
use std::io::Write;

use anyhow::Result;
use flate2::Compression;
use flate2::write::DeflateEncoder;

use crate::web::sections;

/// Bytes that functions have in common count from this length on: compression finds no shorter ones.
const GRAM: usize = 4;

/// Functions are compared with so many that were put last.
const NEAR: usize = 4;

/// So many functions are tried as the first one.
const STARTS: usize = 5;

/// How often functions are moved to see whether that is shorter.
const MOVES: usize = 1_000;

/// At most so many functions are moved together.
const MOVED_MAX: usize = 8;

/// The module with names for its functions that sort in the order in which it compresses best.
pub(super) fn named(module: &[u8]) -> Result<Vec<u8>> {
    let parts = sections::read(module)?;
    let order = best(&sections::bodies(&parts)?)?;
    sections::with_order(module, &order)
}

fn best(bodies: &[&[u8]]) -> Result<Vec<usize>> {
    let grams = grams(bodies);
    let mut order: Vec<usize> = (0..bodies.len()).collect();
    let mut least = packed(bodies, &order)?;
    for first in (0..bodies.len()).step_by(bodies.len() / STARTS + 1) {
        let chain = chain(&grams, first);
        let bytes = packed(bodies, &chain)?;
        if bytes < least {
            (order, least) = (chain, bytes);
        }
    }
    let mut random = Random(1);
    for _ in 0..MOVES {
        let mut moved = order.clone();
        let from = random.below(moved.len().max(1));
        let count = (1 << random.below(MOVED_MAX.ilog2() as usize + 1)).min(moved.len() - from);
        let run: Vec<usize> = moved.drain(from..from + count).collect();
        let to = random.below(moved.len() + 1);
        moved.splice(to..to, run);
        let bytes = packed(bodies, &moved)?;
        if bytes <= least {
            (order, least) = (moved, bytes);
        }
    }
    Ok(order)
}

/// What each function is made of, as numbers from 0 on.
fn grams<'a>(bodies: &[&'a [u8]]) -> Vec<Vec<usize>> {
    let mut numbers: HashMap<&'a [u8], usize> = HashMap::new();
    let own = |body: &&'a [u8]| {
        let mut own = Vec::new();
        for gram in body.windows(GRAM) {
            let next = numbers.len();
            own.push(*numbers.entry(gram).or_insert(next));
        }
        own.sort_unstable();
        own.dedup();
        own
    };
    bodies.iter().map(own).collect()
}

/// All functions, each behind those that it has most in common with.
fn chain(grams: &[Vec<usize>], first: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..grams.len()).filter(|&place| place != first).collect();
    let mut order = vec![first];
    let count = grams.iter().flatten().max().map_or(0, |most| most + 1);
    while !left.is_empty() {
        let mut near = vec![false; count];
        for &place in &order[order.len().saturating_sub(NEAR)..] {
            for &gram in &grams[place] {
                near[gram] = true;
            }
        }
        // Of a thousand. The shortest functions have all in common with something.
        let alike = |&place: &usize| {
            let mut common = 0;
            for &gram in &grams[place] {
                common += usize::from(near[gram]);
            }
            common * 1_000 / (grams[place].len() + 20)
        };
        let next = (0..left.len()).max_by_key(|&place| alike(&left[place])).unwrap_or_default();
        order.push(left.swap_remove(next));
    }
    order
}

fn packed(bodies: &[&[u8]], order: &[usize]) -> Result<usize> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    for &place in order {
        encoder.write_all(bodies[place])?;
    }
    Ok(encoder.finish()?.len())
}

/// Numbers that look like chance and are the same each time (xorshift).
struct Random(u32);

impl Random {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as usize % count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::sections::tests::module;

    /// Bodies in pairs that are alike, first all of one half and then all of the other, farther apart
    /// than compression looks back.
    fn pairs() -> Vec<Vec<u8>> {
        let mut random = Random(7);
        let ones: Vec<Vec<u8>> =
            (0..10).map(|_| (0..4_000).map(|_| random.below(256) as u8).collect()).collect();
        ones.iter().chain(&ones).cloned().collect()
    }

    #[test]
    fn functions_that_are_alike_come_together() {
        let pairs = pairs();
        let bodies: Vec<&[u8]> = pairs.iter().map(|body| &body[..]).collect();
        let order = best(&bodies).unwrap();
        let as_they_are: Vec<usize> = (0..bodies.len()).collect();
        let (before, after) =
            (packed(&bodies, &as_they_are).unwrap(), packed(&bodies, &order).unwrap());
        assert!(after < before * 6 / 10, "{before} B, {after} B");
        let mut sorted = order;
        sorted.sort_unstable();
        assert_eq!(sorted, as_they_are);
    }

    #[test]
    fn a_module_of_one_function_or_none_has_an_order_too() {
        for count in 0..2 {
            let module = module(&[], &vec![vec![0, 0x0B]; count]);
            assert!(named(&module).unwrap().starts_with(&module));
        }
    }
}
