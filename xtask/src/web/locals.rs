//! What functions' bodies leave open, chosen so that they compress well: how far memory is said to be aligned,
//! which is a hint, and the numbers of locals. Nothing else changes, not even a length.
//!
//! Locals of one type change places within a function as long as that makes the numbers likelier, given the
//! instructions before them, under what all other functions do: a model of what compression finds.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use wasmparser::{FunctionBody, Operator, Parser, Payload, ValType};

/// Rounds over all functions; later ones find nothing.
const ROUNDS: usize = 6;

/// Pairs of a function's locals that are tried in a round.
const PAIRS: usize = 300;

/// Contexts are an instruction's own kind, and up to so many instructions before it.
const BEFORE: usize = 3;

/// Locals of higher numbers take two bytes, and stay what they are.
const ONE_BYTE: u32 = 128;

/// How likely what was never seen is.
const UNSEEN: f64 = 1.0 / 64.0;

const FIRST_LOAD: u8 = 0x28;
/// How far each load and store can be aligned, as a power of two, from [`FIRST_LOAD`] on.
const NATURAL: [u8; 23] = [2, 3, 2, 3, 0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 2, 3, 2, 3, 0, 1, 0, 1, 2];

/// The module with hints of natural alignment and with locals numbered alike.
pub(super) fn alike(module: &[u8]) -> Result<Vec<u8>> {
    let mut out = module.to_vec();
    let mut functions = read(module, &mut out)?;
    let mut model = Model::default();
    for function in &functions {
        model.count(function, 1);
    }
    for _ in 0..ROUNDS {
        for function in &mut functions {
            improve(function, &mut model);
        }
    }
    for function in functions {
        for Place { at, local, .. } in function.places() {
            let number = function.numbers[local as usize];
            ensure!((number < ONE_BYTE) == (out[at] < 0x80), "a local's number changed its length");
            if number < ONE_BYTE {
                out[at] = number as u8;
            }
        }
    }
    Ok(out)
}

/// A function's body.
struct Function {
    steps: Vec<Step>,
    /// The types of its locals, parameters included.
    types: Vec<ValType>,
    parameters: usize,
    /// The number that each local has now.
    numbers: Vec<u32>,
}

/// An instruction.
#[derive(Clone, Copy)]
enum Step {
    Local(Place),
    /// A digest of any other one.
    Other(u64),
}

/// An instruction about a local.
#[derive(Clone, Copy)]
struct Place {
    opcode: u8,
    /// The number that it has in the module.
    local: u32,
    /// Where that is in the module.
    at: usize,
}

impl Function {
    fn places(&self) -> impl Iterator<Item = Place> {
        self.steps.iter().filter_map(|step| match step {
            Step::Local(place) => Some(*place),
            Step::Other(_) => None,
        })
    }

    /// Each local's number, behind its contexts from the shortest on.
    fn numbers_in_context(&self) -> impl Iterator<Item = ([u64; BEFORE + 1], u32)> {
        let mut before = [0; BEFORE];
        self.steps.iter().filter_map(move |step| {
            let (digest, told) = match *step {
                Step::Other(digest) => (digest, None),
                Step::Local(Place { opcode, local, .. }) => {
                    let number = self.numbers[local as usize];
                    let mut contexts = [mixed(0, opcode.into()); BEFORE + 1];
                    for length in 1..=BEFORE {
                        contexts[length] = mixed(contexts[length - 1], before[length - 1]);
                    }
                    (mixed(contexts[0], number.into()), Some((contexts, number)))
                }
            };
            before.rotate_right(1);
            before[0] = digest;
            told
        })
    }
}

/// Reads all functions, and lets `out`, which is the same module, hint at natural alignment.
fn read(module: &[u8], out: &mut [u8]) -> Result<Vec<Function>> {
    let (mut types, mut own, mut functions) = (Vec::new(), Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::TypeSection(section) => {
                for group in section.into_iter_err_on_gc_types() {
                    types.push(group?.params().to_vec());
                }
            }
            Payload::FunctionSection(section) => {
                for number in section {
                    own.push(number? as usize);
                }
            }
            Payload::CodeSectionEntry(body) => {
                let parameters = types[own[functions.len()]].clone();
                functions.push(function(module, out, parameters, &body)?);
            }
            _ => {}
        }
    }
    Ok(functions)
}

fn function(
    module: &[u8],
    out: &mut [u8],
    mut types: Vec<ValType>,
    body: &FunctionBody<'_>,
) -> Result<Function> {
    let parameters = types.len();
    for locals in body.get_locals_reader()? {
        let (count, kind) = locals?;
        types.extend((0..count).map(|_| kind));
    }
    let mut steps = Vec::new();
    let mut reader = body.get_operators_reader()?;
    while !reader.eof() {
        let (operator, at) = reader.read_with_offset()?;
        let bytes = &module[at..reader.original_position()];
        let opcode = bytes[0];
        if let Operator::LocalGet { local_index: local }
        | Operator::LocalSet { local_index: local }
        | Operator::LocalTee { local_index: local } = operator
        {
            steps.push(Step::Local(Place { opcode, local, at: at + 1 }));
            continue;
        }
        let load = opcode.checked_sub(FIRST_LOAD).and_then(|place| NATURAL.get(usize::from(place)));
        if let Some(&natural) = load {
            ensure!(bytes[1] <= natural, "a hint of alignment is more than natural");
            out[at + 1] = natural;
        }
        steps.push(Step::Other(bytes.iter().fold(0, |digest, &byte| mixed(digest, byte.into()))));
    }
    let numbers = (0..types.len() as u32).collect();
    Ok(Function { steps, types, parameters, numbers })
}

/// Swaps locals of a function while that makes it likelier.
fn improve(function: &mut Function, model: &mut Model) {
    model.count(function, -1);
    let mut least = model.bits(function);
    let pairs = pairs(&function.types, function.parameters);
    for &(one, other) in pairs.iter().step_by(pairs.len() / PAIRS + 1) {
        function.numbers.swap(one, other);
        let bits = model.bits(function);
        if bits < least {
            least = bits;
        } else {
            function.numbers.swap(one, other);
        }
    }
    model.count(function, 1);
}

/// The pairs of locals that may change places.
fn pairs(types: &[ValType], parameters: usize) -> Vec<(usize, usize)> {
    let most = types.len().min(ONE_BYTE as usize);
    let pairs = (parameters..most).flat_map(|one| (one + 1..most).map(move |other| (one, other)));
    pairs.filter(|&(one, other)| types[one] == types[other]).collect()
}

/// How often each number was seen in each context.
#[derive(Default)]
struct Model(HashMap<u64, Counts>);

#[derive(Default)]
struct Counts {
    all: i32,
    /// By the local's number.
    each: HashMap<u32, i32>,
}

impl Model {
    fn count(&mut self, function: &Function, times: i32) {
        for (contexts, number) in function.numbers_in_context() {
            for context in contexts {
                let counts = self.0.entry(context).or_default();
                counts.all += times;
                *counts.each.entry(number).or_default() += times;
            }
        }
    }

    /// What a function's numbers take: each is as likely as it was in the longest context, in which what is
    /// seldom is as likely as in the next shorter one (prediction by partial matching).
    fn bits(&self, function: &Function) -> f64 {
        let likely = |(contexts, number): ([u64; BEFORE + 1], u32)| {
            contexts.iter().filter_map(|context| self.0.get(context)).fold(UNSEEN, |shorter, it| {
                let seen = it.each.get(&number).copied().unwrap_or_default();
                (f64::from(seen) + shorter) / (f64::from(it.all) + 1.0)
            })
        };
        function.numbers_in_context().map(|told| -likely(told).log2()).sum()
    }
}

/// A step of a digest (multiplicative hashing); the same each time, which a hash map's own is not.
fn mixed(digest: u64, more: u64) -> u64 {
    (digest ^ more).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23)
}
