//! Answers on their way back to the node that passed calls on.
//!
//! ```text
//! | 0 | entry u64 | answers: | 0 | shows u64 | length u32 | body |  or  | 1 | code u16 | length u32 | message |
//!                       or  | 2 | length u32 | lock |, of a call that waits for a transaction
//! | 1 |: this node does not lead, and nothing was ordered
//! | 2 | message |: it is not known what became of the writes
//! ```
//! Little-endian. There is one answer for each call; `entry` is the last one that they show something of.

use tidekeep_log::{Answer, Reply};
use tidekeep_protocol::codec;
use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_store::reply::Encoded;

use crate::replicated::calls::{Asked, Calls};
use crate::replicated::piece::{Done, Failed};

const ANSWERED: u8 = 0;
const NOT_LEADER: u8 = 1;
const UNKNOWN: u8 = 2;

const REPLY: u8 = 0;
const REFUSAL: u8 = 1;
const LOCKED: u8 = 2;

/// The bytes of what became of calls.
pub(crate) fn encode(outcome: &Result<Done, Failed>) -> Vec<u8> {
    let mut out = Vec::new();
    match outcome {
        Ok(Done { index, answers }) => {
            out.push(ANSWERED);
            out.extend_from_slice(&index.to_le_bytes());
            answers.iter().for_each(|answer| encode_answer(answer, &mut out));
        }
        Err(Failed::NotLeader) => out.push(NOT_LEADER),
        Err(Failed::Unknown(why)) => {
            out.push(UNKNOWN);
            out.extend_from_slice(why.as_bytes());
        }
    }
    out
}

fn encode_answer(answer: &Answer, out: &mut Vec<u8>) {
    match answer {
        Ok(reply) => {
            if let Reply::Locked(_) = reply {
                out.push(LOCKED);
            } else {
                out.push(REPLY);
                out.extend_from_slice(&reply.shows().to_le_bytes());
            }
            let start = out.len();
            out.extend_from_slice(&[0; 4]);
            reply.encode(out);
            let length = (out.len() - start - 4) as u32;
            out[start..start + 4].copy_from_slice(&length.to_le_bytes());
        }
        Err(refusal) => {
            out.push(REFUSAL);
            out.extend_from_slice(&refusal.code.number().to_le_bytes());
            out.extend_from_slice(&(refusal.message.len() as u32).to_le_bytes());
            out.extend_from_slice(refusal.message.as_bytes());
        }
    }
}

/// What became of `calls`; none if the bytes do not say it.
pub(crate) fn decode(calls: &Calls, bytes: &[u8]) -> Option<Result<Done, Failed>> {
    let (&tag, rest) = bytes.split_first()?;
    match tag {
        ANSWERED => {
            let (index, mut rest) = rest.split_first_chunk()?;
            let mut answers = Vec::with_capacity(calls.count());
            for asked in calls.iter() {
                let (&tag, tail) = rest.split_first()?;
                if tag == REPLY {
                    let (shows, tail) = tail.split_first_chunk()?;
                    let (body, tail) = split_long(tail)?;
                    rest = tail;
                    let shows = u64::from_le_bytes(*shows);
                    answers.push(Ok(match asked {
                        Asked::Call(call) => Reply::decode(&call.request, shows, body).ok()?,
                        Asked::Step(kind) => {
                            Reply::Encoded(Encoded { shows, kind, body: body.into() })
                        }
                    }));
                } else if tag == LOCKED {
                    let (body, tail) = split_long(tail)?;
                    rest = tail;
                    answers.push(Ok(Reply::Locked(Box::new(codec::decode(body).ok()?))));
                } else {
                    let (code, tail) = tail.split_first_chunk()?;
                    let (message, tail) = split_long(tail)?;
                    rest = tail;
                    let code = Code::from_number(u16::from_le_bytes(*code));
                    let message = String::from_utf8_lossy(message).into_owned();
                    answers.push(Err(Refusal::new(code.unwrap_or(Code::Internal), message)));
                }
            }
            let index = u64::from_le_bytes(*index);
            rest.is_empty().then_some(Ok(Done { index, answers }))
        }
        NOT_LEADER => Some(Err(Failed::NotLeader)),
        UNKNOWN => Some(Err(Failed::Unknown(String::from_utf8_lossy(rest).into_owned()))),
        _ => None,
    }
}

/// What a length begins, and the rest.
fn split_long(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}
