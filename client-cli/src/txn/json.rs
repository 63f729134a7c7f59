//! A transaction as JSON, for programs that make one:
//! `{"if": [{"key": "a", "absent": true}], "then": [{"put": {"key": "a", "value": "1"}}], "else":
//! [{"get": {"key": "a"}}]}`. Bytes that are no text stand under `key_base64`, `value_base64`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tidekeep_client::{Condition, DeleteOptions, Expiry, PutOptions};

use super::{Script, Step};
use crate::failure::Failure;

/// Reads the whole transaction.
pub(crate) fn parse(text: &[u8]) -> Result<Script, Failure> {
    let json: TxnJson =
        serde_json::from_slice(text).map_err(|error| Failure::invalid(error.to_string()))?;
    Ok(Script {
        compares: json.compares.into_iter().map(CompareJson::read).collect::<Result<_, _>>()?,
        then: json.then.into_iter().map(StepJson::read).collect::<Result<_, _>>()?,
        otherwise: json.otherwise.into_iter().map(StepJson::read).collect::<Result<_, _>>()?,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TxnJson {
    #[serde(default, rename = "if")]
    compares: Vec<CompareJson>,
    #[serde(default)]
    then: Vec<StepJson>,
    #[serde(default, rename = "else")]
    otherwise: Vec<StepJson>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CompareJson {
    key: Option<String>,
    key_base64: Option<String>,
    #[serde(default)]
    absent: bool,
    #[serde(default)]
    present: bool,
    revision: Option<u64>,
    value: Option<String>,
    value_base64: Option<String>,
}

impl CompareJson {
    fn read(self) -> Result<(Vec<u8>, Condition), Failure> {
        let value = bytes("value", self.value, self.value_base64)?;
        let condition = match (self.absent, self.present, self.revision, value) {
            (true, false, None, None) => Condition::Absent,
            (false, true, None, None) => Condition::Present,
            (false, false, Some(revision), None) => Condition::Revision(revision),
            (false, false, None, Some(value)) => Condition::Value(value.into()),
            _ => {
                return Err(Failure::invalid(
                    "each if has exactly one of absent, present, revision, value",
                ));
            }
        };
        Ok((key(self.key, self.key_base64)?, condition))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum StepJson {
    Get(KeyJson),
    Put(PutJson),
    Delete(DeleteJson),
    Touch(TouchJson),
    Incr(IncrJson),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyJson {
    key: Option<String>,
    key_base64: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutJson {
    key: Option<String>,
    key_base64: Option<String>,
    value: Option<String>,
    value_base64: Option<String>,
    ttl_ms: Option<u64>,
    expires_at: Option<u64>,
    #[serde(default)]
    keep_ttl: bool,
    #[serde(default)]
    prev: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeleteJson {
    key: Option<String>,
    key_base64: Option<String>,
    prefix: Option<String>,
    #[serde(default)]
    prev: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TouchJson {
    key: Option<String>,
    key_base64: Option<String>,
    ttl_ms: Option<u64>,
    expires_at: Option<u64>,
    #[serde(default)]
    persist: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IncrJson {
    key: Option<String>,
    key_base64: Option<String>,
    #[serde(default = "one")]
    by: i64,
    ttl_ms: Option<u64>,
    expires_at: Option<u64>,
}

impl StepJson {
    fn read(self) -> Result<Step, Failure> {
        Ok(match self {
            Self::Get(get) => Step::get(key(get.key, get.key_base64)?),
            Self::Put(put) => put.read()?,
            Self::Delete(delete) => delete.read()?,
            Self::Touch(touch) => {
                let persist = touch.persist.then_some(Expiry::Never);
                let expiry = expiry(touch.ttl_ms, touch.expires_at, persist)?;
                let key = key(touch.key, touch.key_base64)?;
                Step::touch(key, expiry.unwrap_or(Expiry::Keep), Condition::Always)
            }
            Self::Incr(incr) => {
                let expiry = expiry(incr.ttl_ms, incr.expires_at, None)?;
                let key = key(incr.key, incr.key_base64)?;
                Step::incr(key, incr.by, expiry.unwrap_or(Expiry::Keep))
            }
        })
    }
}

impl PutJson {
    fn read(self) -> Result<Step, Failure> {
        let keep = self.keep_ttl.then_some(Expiry::Keep);
        let expiry = expiry(self.ttl_ms, self.expires_at, keep)?.unwrap_or(Expiry::Never);
        let value = bytes("value", self.value, self.value_base64)?
            .ok_or_else(|| Failure::invalid("a put needs value or value_base64"))?;
        let options = PutOptions { expiry, previous: self.prev, ..PutOptions::default() };
        Ok(Step::put(key(self.key, self.key_base64)?, &value, options))
    }
}

impl DeleteJson {
    fn read(self) -> Result<Step, Failure> {
        match self.prefix {
            None => {
                let options = DeleteOptions { previous: self.prev, ..DeleteOptions::default() };
                Ok(Step::delete(key(self.key, self.key_base64)?, options))
            }
            Some(prefix) if self.key.is_none() && self.key_base64.is_none() && !self.prev => {
                Ok(Step::delete_prefix(prefix.into_bytes()))
            }
            Some(_) => Err(Failure::invalid("a delete with prefix takes no key and no prev")),
        }
    }
}

fn expiry(
    ttl_ms: Option<u64>,
    expires_at: Option<u64>,
    other: Option<Expiry>,
) -> Result<Option<Expiry>, Failure> {
    let given = [ttl_ms.map(Expiry::After), expires_at.map(Expiry::At), other];
    let mut given = given.into_iter().flatten();
    match (given.next(), given.next()) {
        (expiry, None) => Ok(expiry),
        _ => {
            Err(Failure::invalid("a step has at most one of ttl_ms, expires_at, keep_ttl, persist"))
        }
    }
}

fn key(text: Option<String>, base64: Option<String>) -> Result<Vec<u8>, Failure> {
    bytes("key", text, base64)?
        .ok_or_else(|| Failure::invalid("every if and every step needs key or key_base64"))
}

fn bytes(
    name: &str,
    text: Option<String>,
    base64: Option<String>,
) -> Result<Option<Vec<u8>>, Failure> {
    match (text, base64) {
        (Some(_), Some(_)) => {
            Err(Failure::invalid(format!("{name} and {name}_base64 are both there")))
        }
        (Some(text), None) => Ok(Some(text.into_bytes())),
        (None, Some(base64)) => STANDARD
            .decode(base64)
            .map(Some)
            .map_err(|_| Failure::invalid(format!("{name}_base64 is no base64"))),
        (None, None) => Ok(None),
    }
}

fn one() -> i64 {
    1
}

#[cfg(test)]
mod tests {
    use super::super::language::parse_lines;
    use super::*;
    use crate::failure::Styles;
    use crate::input::Reading;

    #[test]
    fn json_and_words_say_the_same() {
        let json = parse(
            br#"{"if": [{"key": "a", "absent": true}, {"key": "b", "value": "x"}],
                 "then": [{"put": {"key": "a", "value": "1", "ttl_ms": 5000}}, {"incr": {"key": "n"}}],
                 "else": [{"get": {"key_base64": "YQ=="}}, {"delete": {"prefix": "p/"}}]}"#,
        );
        let words = parse_lines(
            b"if a absent\nif b value x\nput a 1 --ttl 5s\nincr n\nelse get a\nelse delete --prefix p/",
            Reading::Exact,
        );
        assert_eq!(json.unwrap(), words.unwrap());
    }

    #[test]
    fn what_is_wrong_is_told() {
        let wrong = |text: &str| parse(text.as_bytes()).unwrap_err().text(&Styles::default());
        assert!(wrong(r#"{"when": []}"#).contains("unknown field `when`"));
        assert!(wrong(r#"{"if": [{"key": "a"}]}"#).contains("exactly one of"));
        assert!(wrong(r#"{"then": [{"get": {}}]}"#).contains("needs key"));
        assert!(wrong(r#"{"then": [{"put": {"key": "a"}}]}"#).contains("needs value"));
        assert!(wrong("{").contains("(invalid-input)"));
        assert!(
            wrong(r#"{"then": [{"touch": {"key": "a", "ttl_ms": 1, "persist": true}}]}"#)
                .contains("at most one")
        );
    }
}
