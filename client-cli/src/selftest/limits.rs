//! What is over a limit is refused by its code, and the connection goes on.

use tidekeep_client::{Code, PutOptions};

use super::{Probe, Wrong, expect, expect_error};

pub(super) async fn refused(probe: &Probe) -> Result<(), Wrong> {
    let client = &probe.client;
    let limits = client.server().map(|server| server.limits).unwrap_or_default();
    let size = |bytes: u32| usize::try_from(bytes).unwrap_or(usize::MAX);
    let long_key = probe.key(&"k".repeat(size(limits.key_bytes)));
    let refused = client.put(&long_key, "", PutOptions::default()).await;
    expect_error("a key that is too long", refused, Code::TooLarge)?;
    let refused = client.put("", "value", PutOptions::default()).await;
    expect_error("an empty key", refused, Code::InvalidInput)?;
    let long_value = vec![0; size(limits.value_bytes).saturating_add(1)];
    let refused = client.put(probe.key("long"), &long_value, PutOptions::default()).await;
    expect_error("a value that is too long", refused, Code::TooLarge)?;
    expect("nothing was stored", client.count(&probe.range()).await?, 0)
}
