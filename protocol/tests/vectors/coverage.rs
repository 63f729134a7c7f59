//! No message, variant or error code is without a vector.

use std::collections::BTreeSet;

use serde::Deserialize;
use tidekeep_protocol::error::{Code, ErrorBody};
use tidekeep_protocol::frame::kind;
use tidekeep_protocol::op::OPERATIONS;

use crate::block::{self, Block};
use crate::{decodes_to, fields, frames};

#[test]
fn every_operation_has_requests_replies_and_malformed_ones() {
    let files = block::files();
    for spec in OPERATIONS {
        let name = format!("{}.txt", spec.name);
        let file = files.iter().find(|file| file.path.ends_with(&name));
        let blocks = &file.unwrap_or_else(|| panic!("no vectors/{name}")).blocks;
        let of = |kind| blocks.iter().filter(move |block| block.kind == kind);
        assert!(of(spec.kind).count() > 0, "{name} has no request");
        assert!(of(spec.kind | kind::REPLY).count() > 0, "{name} has no reply");
        assert!(blocks.iter().any(|block| block.expect.is_some()), "{name} has nothing malformed");
        let strange = blocks
            .iter()
            .find(|block| block.expect.is_none() && block.kind & !kind::REPLY != spec.kind);
        assert!(strange.is_none(), "{} is of another operation", strange.expect("just seen"));
    }
}

#[test]
fn every_kind_that_is_no_operation_has_a_vector() {
    let kinds: BTreeSet<u8> = block::all().map(|block| block.kind).collect();
    for kind in kind::HELLO..=kind::ERROR {
        assert!(kinds.contains(&kind), "kind {kind:#04x}");
    }
}

#[test]
fn every_variant_of_every_enum_has_a_vector() {
    let blocks: Vec<Block> = block::all().collect();
    for block in &blocks {
        if let Some(fields) = block.fields() {
            frames(block, fields);
        }
    }
    let seen = fields::seen();
    let enums = [
        "Cluster",
        "ClusterReply",
        "Condition",
        "Delivery",
        "Event",
        "Expiry",
        "NodeState",
        "Order",
        "Outcome",
        "Projection",
        "StepChange",
        "TxnOp",
        "TxnResult",
        "WatchFrom",
        "WatchMessage",
        "WriteStatus",
    ];
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), enums);
    for (name, (variants, read)) in seen {
        assert_eq!(read.len(), variants.len(), "{name}: of {variants:?} only {read:?}");
    }
}

#[test]
fn every_error_code_has_a_vector_that_says_what_the_table_says() {
    let errors: Vec<Block> = block::all().filter(|block| block.kind == kind::ERROR).collect();
    for code in Code::ALL {
        let block = errors.iter().find(|block| block.name == code.name());
        let block = block.unwrap_or_else(|| panic!("no error vector named {}", code.name()));
        let fields = block.fields().expect("an error has fields");
        let body = ErrorBody::deserialize(fields).expect("an error's fields");
        assert_eq!(Code::from_number(body.code), Some(*code), "{block}");
        assert_eq!(body.retryable, code.retryable(), "{block}");
        decodes_to::<ErrorBody<'_>>(block, &block.frames[0][12..], fields);
    }
}

#[test]
fn names_are_unique_within_a_file() {
    for file in block::files() {
        let mut names = BTreeSet::new();
        for block in &file.blocks {
            assert!(names.insert(&block.name), "{block} is there twice");
        }
    }
}
