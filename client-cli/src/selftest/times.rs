//! Keys that end by themselves.

use tidekeep_client::{ChangeKind, Condition, Expiry, PutOptions, WatchEvent, WatchOptions};

use super::{Probe, Wrong, expect, expect_that, text};

pub(super) async fn ttl(probe: &Probe) -> Result<(), Wrong> {
    let (client, key) = (&probe.client, probe.key("brief"));
    let mut watch = client.watch(&probe.range(), WatchOptions::default());
    let options = PutOptions { expiry: Expiry::After(TTL_MS), ..PutOptions::default() };
    client.put(&key, "soon gone", options).await?;
    let entry = client.get(&key).await?;
    expect_that(
        entry.is_none_or(|entry| entry.expires_at.is_some()),
        "the entry says when it ends",
    )?;
    while let Some(event) = watch.next().await {
        let WatchEvent::Changes { changes, .. } = event? else { continue };
        if changes.iter().any(|change| matches!(change.kind, ChangeKind::Expire)) {
            let after = client.get(&key).await?;
            return expect("after its time", text(after.as_ref()), None);
        }
    }
    expect_that(false, "the watch tells the end")
}

pub(super) async fn touch(probe: &Probe) -> Result<(), Wrong> {
    let (client, key) = (&probe.client, probe.key("key"));
    let absent = client.touch(&key, Expiry::Never, Condition::Always).await?;
    expect("an absent key", absent.is_some(), false)?;
    client.put(&key, "value", PutOptions::default()).await?;
    client.touch(&key, Expiry::After(HOUR_MS), Condition::Always).await?;
    let ends = client.get(&key).await?.and_then(|entry| entry.expires_at);
    expect_that(ends.is_some(), "the touched key has an end")?;
    let options = PutOptions { expiry: Expiry::Keep, ..PutOptions::default() };
    client.put(&key, "other", options).await?;
    let kept = client.get(&key).await?.and_then(|entry| entry.expires_at);
    expect("kept by a put", kept, ends)?;
    client.touch(&key, Expiry::Never, Condition::Always).await?;
    let entry = client.get(&key).await?;
    expect("value", text(entry.as_ref()), Some("other".into()))?;
    expect("removed", entry.and_then(|entry| entry.expires_at), None)
}

const TTL_MS: u64 = 50;
const HOUR_MS: u64 = 3_600_000;
