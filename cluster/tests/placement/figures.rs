//! The figures of `docs/design-cluster.md`, worked out anew and held against the page.

use std::path::Path;

use tidekeep_cluster::placement::{Table, Target, target};

use crate::nodes::{check, equal, groups, loads, moves, up};

const REPLICAS: usize = 3;

/// One row: how even the first placement is, and what it moves when a node joins and when one leaves.
fn row(count: u16, nodes: u64) -> String {
    let before = equal(nodes);
    let first =
        Target::first(groups(count), REPLICAS, &up(&before)).expect("there are nodes enough");
    check(&first, &before, count, REPLICAS);
    let loads = loads(&first);
    let of =
        |node: &tidekeep_cluster::placement::Node| loads.get(&node.id).copied().unwrap_or_default();
    let held: Vec<usize> = before.iter().map(|node| of(node).0).collect();
    let led: Vec<usize> = before.iter().map(|node| of(node).1).collect();
    let ends = |counts: &[usize]| {
        let least = counts.iter().min().expect("there are nodes");
        let most = counts.iter().max().expect("there are nodes");
        format!("{least} / {most}")
    };
    let replicas = usize::from(count) * REPLICAS;
    let fair = replicas as f64 / nodes as f64;

    let table = Table::new(&first);
    let more = equal(nodes + 1);
    let joined = target(&table, &up(&more)).expect("there are nodes enough");
    check(&joined, &more, count, REPLICAS);
    let share = replicas as f64 / (nodes + 1) as f64;
    let join = moves(&table, &joined);
    assert!(join <= share.ceil() as usize, "{count} over {nodes}: a join moves {join} of {share}");

    let leave = if nodes as usize > REPLICAS {
        let fewer = &before[..before.len() - 1];
        let left = target(&table, &up(fewer)).expect("there are nodes enough");
        check(&left, fewer, count, REPLICAS);
        let (leave, last) = (moves(&table, &left), held[held.len() - 1]);
        assert_eq!(leave, last, "{count} over {nodes}: a leave moves what the node held");
        format!("{leave} of {last}")
    } else {
        "refused".to_owned()
    };
    format!(
        "| {count} | {nodes} | {} | {fair:.1} | {} | {join} of {share:.1} | {leave} |",
        ends(&held),
        ends(&led)
    )
}

#[test]
fn the_page_has_the_figures() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/design-cluster.md");
    let page = std::fs::read_to_string(path).expect("docs/design-cluster.md is there");
    let counts = [1, 4, 16, 64].into_iter();
    let rows: Vec<String> =
        counts.flat_map(|count| [3, 5, 9].map(|nodes| row(count, nodes))).collect();
    println!("{}", rows.join("\n"));
    let lacking = rows.iter().find(|row| !page.lines().any(|line| line == *row));
    assert_eq!(lacking, None, "the page lacks a row");
}
