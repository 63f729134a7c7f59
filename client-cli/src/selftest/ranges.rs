//! Many keys at a time: scans, folders, and range deletes.

use tidekeep_client::{KeyRange, Order, PutOptions, ScanOptions};

use super::{Probe, Wrong, expect, expect_that};

async fn fill(probe: &Probe, names: &[&str]) -> Result<(), Wrong> {
    for name in names {
        probe.client.put(probe.key(name), *name, PutOptions::default()).await?;
    }
    Ok(())
}

/// The values of a scan: `fill` made each the end of its key.
async fn values(probe: &Probe, options: ScanOptions) -> Result<Vec<String>, Wrong> {
    let mut scan = probe.client.scan(&probe.range(), options);
    let mut values = Vec::new();
    while let Some(page) = scan.page().await? {
        values.extend(page.iter().map(|entry| crate::escape::escape(&entry.value)));
    }
    Ok(values)
}

pub(super) async fn scan(probe: &Probe) -> Result<(), Wrong> {
    fill(probe, &["e", "a", "c", "b", "d"]).await?;
    let pages_of_two = ScanOptions { page: 2, ..ScanOptions::default() };
    let all = values(probe, pages_of_two.clone()).await?.concat();
    expect("in order, two a page", all.as_str(), "abcde")?;
    let reverse = ScanOptions { order: Order::Descending, ..pages_of_two };
    expect("reverse", values(probe, reverse).await?.concat().as_str(), "edcba")?;
    let limited = ScanOptions { limit: Some(3), ..ScanOptions::default() };
    expect("the first three", values(probe, limited).await?.concat().as_str(), "abc")?;
    let keys_only = ScanOptions { keys_only: true, ..ScanOptions::default() };
    let keys = values(probe, keys_only).await?;
    expect("keys only", (keys.len(), keys.concat().as_str()), (5, ""))?;
    expect("count", probe.client.count(&probe.range()).await?, 5)
}

pub(super) async fn children(probe: &Probe) -> Result<(), Wrong> {
    fill(probe, &["a/1", "a/2", "b", "c/x/y"]).await?;
    let children = probe.client.children(probe.key(""), "/").await?;
    let names: Vec<String> = children
        .iter()
        .map(|child| format!("{}:{}", crate::escape::escape(&child.name), child.branch))
        .collect();
    expect("names", names.join(" ").as_str(), "a/:true b:false c/:true")
}

pub(super) async fn delete_range(probe: &Probe) -> Result<(), Wrong> {
    fill(probe, &["a", "b/1", "b/2", "c"]).await?;
    let below = KeyRange::prefix(probe.key("b/").as_bytes());
    expect("deleted", probe.client.delete_range(&below).await?, 2)?;
    expect("deleted again", probe.client.delete_range(&below).await?, 0)?;
    let left = values(probe, ScanOptions::default()).await?;
    expect_that(left == ["a", "c"], "only the range is gone")
}
