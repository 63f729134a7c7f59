//! Commands that make a new value of the one before.

use tidekeep_log::Entry;
use tidekeep_protocol::condition::Expiry;

use super::args::Args;
use super::encode::Encoder;
use super::fail::Fail;
use super::float;
use super::overlay::Overlay;
use super::plan::integer;

const TOO_LONG: Fail = Fail::known("ERR string exceeds maximum allowed size (proto-max-bulk-len)");

pub(super) fn append(
    args: Args<'_, '_>,
    overlay: &mut Overlay<'_>,
    to: &mut Encoder<'_>,
) -> Result<(), Fail> {
    let (key, tail) = (args.get(1), args.get(2));
    let before = overlay.get(key).map(Entry::value).unwrap_or_default();
    let value = [before, tail].concat();
    bound(value.len(), overlay)?;
    overlay.put(key, &value, Expiry::Keep)?;
    to.integer(value.len() as i64);
    Ok(())
}

pub(super) fn setrange(
    args: Args<'_, '_>,
    overlay: &mut Overlay<'_>,
    to: &mut Encoder<'_>,
) -> Result<(), Fail> {
    let (key, offset, part) = (args.get(1), integer(args.get(2))?, args.get(3));
    let offset = usize::try_from(offset).map_err(|_| Fail::known("ERR offset is out of range"))?;
    let mut value = overlay.get(key).map(|entry| entry.value().to_vec()).unwrap_or_default();
    if part.is_empty() {
        to.integer(value.len() as i64);
        return Ok(());
    }
    let end = offset.saturating_add(part.len());
    bound(end, overlay)?;
    if value.len() < end {
        value.resize(end, 0);
    }
    value[offset..end].copy_from_slice(part);
    overlay.put(key, &value, Expiry::Keep)?;
    to.integer(value.len() as i64);
    Ok(())
}

pub(super) fn incrbyfloat(
    args: Args<'_, '_>,
    overlay: &mut Overlay<'_>,
    to: &mut Encoder<'_>,
) -> Result<(), Fail> {
    let key = args.get(1);
    let before = overlay.get(key).map_or(&b"0"[..], Entry::value);
    let sum = float::add(before, args.get(2))?;
    overlay.put(key, sum.as_bytes(), Expiry::Keep)?;
    to.bulk(sum.as_bytes());
    Ok(())
}

fn bound(length: usize, overlay: &Overlay<'_>) -> Result<(), Fail> {
    if length > overlay.limits().value_bytes as usize { Err(TOO_LONG) } else { Ok(()) }
}
