//! A message's fields as a vector file names them, read into the crate's own types through serde:
//! what JSON lacks (bytes, large integers) and what the wire lacks (names) meet here.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde::de::value::{BorrowedStrDeserializer, Error, MapDeserializer, SeqDeserializer};
use serde::de::{
    DeserializeSeed, EnumAccess, Error as _, IntoDeserializer, VariantAccess, Visitor,
};
use serde::{Deserializer, forward_to_deserialize_any};

use crate::block::from_hex;

/// The value of a field.
#[derive(Debug)]
pub(crate) enum Field {
    /// Nothing: the absent side of an option.
    Null,
    Bool(bool),
    Integer(i128),
    /// Text, and the bytes it stands for.
    Text(String, Vec<u8>),
    List(Vec<Field>),
    Map(Vec<(String, Field)>),
}

/// For each enum by name: its variants, and those of them that have been read.
pub(crate) type Seen = BTreeMap<&'static str, (&'static [&'static str], BTreeSet<&'static str>)>;

thread_local! {
    static SEEN: RefCell<Seen> = const { RefCell::new(BTreeMap::new()) };
}

/// The enums that this thread has read so far.
pub(crate) fn seen() -> Seen {
    SEEN.with_borrow(Clone::clone)
}

impl Field {
    /// The field of a JSON value.
    pub(crate) fn from_json(value: serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(number) => {
                Self::Integer(number.as_i128().unwrap_or_else(|| panic!("{number}")))
            }
            Value::String(text) => {
                let bytes = match text.strip_prefix("hex:") {
                    Some(digits) => from_hex(digits),
                    None => text.clone().into_bytes(),
                };
                Self::Text(text, bytes)
            }
            Value::Array(list) => Self::List(list.into_iter().map(Self::from_json).collect()),
            Value::Object(map) => {
                Self::Map(map.into_iter().map(|(k, v)| (k, Self::from_json(v))).collect())
            }
        }
    }
}

impl<'de> IntoDeserializer<'de, Error> for &'de Field {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for &'de Field {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Field::Null => visitor.visit_unit(),
            Field::Bool(value) => visitor.visit_bool(*value),
            Field::Integer(value) => visit_integer(*value, visitor),
            Field::Text(text, _) => visitor.visit_borrowed_str(text),
            Field::List(list) => visitor.visit_seq(SeqDeserializer::new(list.iter())),
            Field::Map(map) => {
                let entries = map.iter().map(|(name, field)| (name.as_str(), field));
                visitor.visit_map(MapDeserializer::new(entries))
            }
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.integer(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.integer(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Field::Text(_, bytes) => visitor.visit_borrowed_bytes(bytes),
            other => Err(Error::custom(format_args!("bytes expected, not {other:?}"))),
        }
    }

    /// An array of bytes, such as an identity.
    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Field::Text(_, bytes) if bytes.len() == length => {
                visitor.visit_seq(SeqDeserializer::new(bytes.iter().copied()))
            }
            other => Err(Error::custom(format_args!("{length} bytes expected, not {other:?}"))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Field::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Field::Map(map) if map.is_empty() => visitor.visit_unit(),
            other => Err(Error::custom(format_args!("no field expected, not {other:?}"))),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Field::Map(map) = self else {
            return Err(Error::custom(format_args!("fields expected, not {self:?}")));
        };
        if let Some((name, _)) = map.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            return Err(Error::unknown_field(name, names));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let (tag, content) = match self {
            Field::Text(tag, _) => (tag, None),
            Field::Map(map) if map.len() == 1 => (&map[0].0, Some(&map[0].1)),
            other => return Err(Error::custom(format_args!("no variant: {other:?}"))),
        };
        let variant = variants.iter().find(|variant| snake(variant) == *tag);
        let variant = *variant.ok_or_else(|| Error::unknown_variant(tag, variants))?;
        SEEN.with_borrow_mut(|seen| {
            seen.entry(name).or_insert_with(|| (variants, BTreeSet::new())).1.insert(variant);
        });
        visitor.visit_enum(Choice { variant, content })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i128 u8 u16 u32 u128 f32 f64 char str string byte_buf unit seq
        tuple_struct map identifier ignored_any
    }
}

impl Field {
    /// An integer; beyond 2^53, which not every JSON reader keeps, it is written as text.
    fn integer<'de, V: Visitor<'de>>(&'de self, visitor: V) -> Result<V::Value, Error> {
        let value = match self {
            Field::Integer(value) => *value,
            Field::Text(digits, _) => digits.parse().map_err(Error::custom)?,
            other => return Err(Error::custom(format_args!("no integer: {other:?}"))),
        };
        visit_integer(value, visitor)
    }
}

fn visit_integer<'de, V: Visitor<'de>>(value: i128, visitor: V) -> Result<V::Value, Error> {
    match u64::try_from(value) {
        Ok(value) => visitor.visit_u64(value),
        Err(_) => visitor.visit_i64(i64::try_from(value).map_err(Error::custom)?),
    }
}

/// A variant's name as vector files write it: `CaughtUp` is `caught_up`.
fn snake(variant: &str) -> String {
    let mut name = String::new();
    for (index, letter) in variant.chars().enumerate() {
        if letter.is_uppercase() && index > 0 {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

struct Choice<'de> {
    variant: &'static str,
    content: Option<&'de Field>,
}

impl<'de> EnumAccess<'de> for Choice<'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        let variant = seed.deserialize(BorrowedStrDeserializer::<Error>::new(self.variant))?;
        Ok((variant, self))
    }
}

impl<'de> Choice<'de> {
    fn content(&self) -> Result<&'de Field, Error> {
        self.content.ok_or_else(|| Error::custom(format_args!("{} is empty", self.variant)))
    }
}

impl<'de> VariantAccess<'de> for Choice<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.content {
            None => Ok(()),
            Some(content) => Err(Error::custom(format_args!("{} has {content:?}", self.variant))),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(self.content()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("no message has a variant of several unnamed fields"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.content()?.deserialize_struct(self.variant, names, visitor)
    }
}
