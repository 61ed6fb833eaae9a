//! What can be given with a request: the orders of those who sell to it and of who pays for it. As JSON
//! carries them ([`SignedOrder`]), and as they are kept ([`Signed`], [`Sides`]).

use crate::messages::{AppOrder, DatasetOrder, SponsorOrder};
use serde::{Deserialize, Serialize};

/// Longest signature, in bytes: a contract account of sixty owners who all sign with 65. Whoever opens the
/// deal pays 16 gas for each of its bytes.
pub const SIGNATURE_BYTES_MAX: usize = 4 << 10;
/// Characters of a wrong signature that are shown.
const SHOWN: usize = 24;

/// An order as JSON carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedOrder<Order> {
    /// The order.
    pub order: Order,
    /// Hex: 64 bytes (EIP-2098), 65, what an ERC-1271 account accepts, or nothing where it was presigned
    /// on chain.
    pub signature: String,
}

/// An order with its signature's bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed<Order> {
    /// The order.
    pub order: Order,
    /// See [`SignedOrder::signature`].
    pub signature: Vec<u8>,
}

/// The orders given with a request. What is absent is free, or the requester's to pay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sides {
    /// Of the application's owner.
    pub app: Option<Signed<AppOrder>>,
    /// Of the dataset's owner.
    pub dataset: Option<Signed<DatasetOrder>>,
    /// Of who pays.
    pub sponsor: Option<Signed<SponsorOrder>>,
}

impl Sides {
    /// Token units per task to owners of application and dataset.
    pub fn royalty(&self) -> u128 {
        let app = self.app.as_ref().map_or(0, |app| app.order.price);
        let dataset = self.dataset.as_ref().map_or(0, |dataset| dataset.order.price);
        app.saturating_add(dataset)
    }
}

impl<Order: Clone> SignedOrder<Order> {
    /// With the signature as bytes.
    ///
    /// # Errors
    /// What the signature is and what it should be.
    pub fn decode(&self) -> Result<Signed<Order>, SignatureError> {
        Ok(Signed { order: self.order.clone(), signature: decode_signature(&self.signature)? })
    }
}

/// Why a text is no signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not hex.
    #[error(
        "is {0}; expected hex digits, two a byte: 128 hex digits (64 bytes, EIP-2098), 65 bytes, an \
         ERC-1271 account's own, or none if it was presigned on chain"
    )]
    NotHex(String),
    /// Longer than [`SIGNATURE_BYTES_MAX`].
    #[error("has {0} bytes; expected at most {SIGNATURE_BYTES_MAX}: its carrier pays for each")]
    TooLong(usize),
}

/// A signature's bytes; `0x` before them is allowed.
///
/// # Errors
/// What it is and what it should be.
pub fn decode_signature(text: &str) -> Result<Vec<u8>, SignatureError> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let bytes = digits.len() / 2;
    if bytes > SIGNATURE_BYTES_MAX {
        return Err(SignatureError::TooLong(bytes));
    }
    hex::decode(digits).map_err(|_| SignatureError::NotHex(text.chars().take(SHOWN).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_hex_of_any_length_up_to_the_longest() {
        assert_eq!(decode_signature(""), Ok(vec![]));
        assert_eq!(decode_signature("0x0102"), Ok(vec![1, 2]));
        assert_eq!(decode_signature(&"ab".repeat(65)).map(|bytes| bytes.len()), Ok(65));
        let most = "00".repeat(SIGNATURE_BYTES_MAX);
        assert_eq!(decode_signature(&most).map(|bytes| bytes.len()), Ok(SIGNATURE_BYTES_MAX));
        let error = decode_signature(&format!("{most}00")).expect_err("too long");
        assert_eq!(
            error.to_string(),
            "has 4097 bytes; expected at most 4096: its carrier pays for each"
        );
        for text in ["0", "0xzz", "not hex"] {
            let error = decode_signature(text).expect_err(text).to_string();
            assert!(error.starts_with(&format!("is {text}; expected hex digits")), "{error}");
        }
    }

    #[test]
    fn prices_add_up() {
        let app = AppOrder { price: 3, ..AppOrder::default() };
        let dataset = DatasetOrder { price: 4, ..DatasetOrder::default() };
        let sides = Sides {
            app: Some(Signed { order: app, signature: vec![] }),
            dataset: Some(Signed { order: dataset, signature: vec![] }),
            sponsor: None,
        };
        assert_eq!((sides.royalty(), Sides::default().royalty()), (7, 0));
    }
}
