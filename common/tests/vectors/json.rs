//! JSON that keeps the order of its fields whatever features the JSON library was built with.

use alloy_primitives::{Address, B256};
use quorate_common::ids::{DealId, PoolId, WorkerIdx};
use serde::{Serialize, Serializer, ser::SerializeMap as _};

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Json {
    Bool(bool),
    Number(u64),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(&'static str, Self)>),
}

/// Integers above this are decimal strings: beyond it not every reader is exact.
const NUMBER_MAX: u128 = 1 << 53;

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(truth) => truth.serialize(serializer),
            Self::Number(number) => number.serialize(serializer),
            Self::Text(text) => text.serialize(serializer),
            Self::List(list) => list.serialize(serializer),
            Self::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

impl From<bool> for Json {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<u128> for Json {
    fn from(number: u128) -> Self {
        match u64::try_from(number) {
            Ok(small) if number <= NUMBER_MAX => Self::Number(small),
            _ => Self::Text(number.to_string()),
        }
    }
}

macro_rules! from_small {
    ($($int:ty),*) => {$(
        impl From<$int> for Json {
            fn from(number: $int) -> Self {
                u128::from(number).into()
            }
        }
    )*};
}
from_small!(u8, u16, u32, u64);

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<B256> for Json {
    fn from(word: B256) -> Self {
        Self::Text(format!("{word:#x}"))
    }
}

impl From<Address> for Json {
    fn from(address: Address) -> Self {
        Self::Text(format!("{address:#x}"))
    }
}

impl From<PoolId> for Json {
    fn from(id: PoolId) -> Self {
        id.0.into()
    }
}

impl From<WorkerIdx> for Json {
    fn from(id: WorkerIdx) -> Self {
        id.0.into()
    }
}

impl From<DealId> for Json {
    fn from(id: DealId) -> Self {
        id.0.into()
    }
}

impl<T: Into<Self>> From<Vec<T>> for Json {
    fn from(list: Vec<T>) -> Self {
        Self::List(list.into_iter().map(Into::into).collect())
    }
}

/// Bytes as hex digits, without a prefix.
pub(crate) fn hex(bytes: &[u8]) -> Json {
    Json::Text(hex::encode(bytes))
}

/// A word made from a name: differs from every other, and is never zero.
pub(crate) fn word(name: &str) -> B256 {
    alloy_primitives::keccak256(name)
}

/// An address made from a name.
pub(crate) fn address(name: &str) -> Address {
    Address::from_word(word(name))
}
