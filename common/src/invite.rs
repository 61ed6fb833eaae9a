//! The one line an operator hands to a volunteer: where the scheduler is, which key it must show,
//! and which pool, chain and contract the worker's votes will be bound to.
//!
//! ```text
//! quorate://host:port/<64 hex digits of the node key>?pool=1&chain=31337&contract=0x…[&rpc=…][&api=…]
//! ```
//! An invitation holds no secret and allows nothing by itself: the contract decides who is a worker.

use crate::{ids::PoolId, messages::Domain};
use alloy_primitives::{Address, B256};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// Longest invitation read, in bytes: three URLs and the keys, with room to spare.
pub const INVITE_BYTES_MAX: usize = 2048;

const SCHEME: &str = "quorate://";

/// Where to work, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// `host:port` of the scheduler's QUIC socket; IPv6 hosts in brackets.
    pub address: String,
    /// The ed25519 key the scheduler must show.
    pub node_key: B256,
    /// The pool it runs.
    pub pool: PoolId,
    /// Chain and contract.
    pub domain: Domain,
    /// A JSON-RPC node of that chain, if the operator names one.
    pub rpc: Option<String>,
    /// The scheduler's HTTP API, if it is reachable for workers.
    pub api: Option<String>,
}

/// Why a text is not an invitation.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InviteError {
    /// Far too long to be one.
    #[error("invitation has {0} bytes; expected at most {INVITE_BYTES_MAX}")]
    TooLong(usize),
    /// Not one of ours.
    #[error("invitation begins with `{0}`; expected `quorate://host:port/key?pool=…`")]
    Scheme(String),
    /// A field without which there is no joining.
    #[error("invitation has no `{field}`; expected {expected}; ask the operator for a whole one")]
    Missing {
        /// Which.
        field: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
    /// A field that does not read.
    #[error("invitation field `{field}` is `{value}`; expected {expected}")]
    Field {
        /// Which.
        field: &'static str,
        /// What it holds, shortened.
        value: String,
        /// What it may hold.
        expected: &'static str,
    },
    /// A field this version does not know, which could change what joining means.
    #[error("invitation has an unknown field `{0}`; a newer quorate-worker may know it")]
    Unknown(String),
}

impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{SCHEME}{}/{}?pool={}&chain={}&contract={:#x}",
            self.address,
            hex::encode(self.node_key),
            self.pool.0,
            self.domain.chain_id,
            self.domain.contract
        )?;
        for (name, value) in [("rpc", &self.rpc), ("api", &self.api)] {
            if let Some(value) = value {
                write!(f, "&{name}={}", escape(value))?;
            }
        }
        Ok(())
    }
}

impl FromStr for Invite {
    type Err = InviteError;

    fn from_str(text: &str) -> Result<Self, InviteError> {
        let text = text.trim();
        if text.len() > INVITE_BYTES_MAX {
            return Err(InviteError::TooLong(text.len()));
        }
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| InviteError::Scheme(short(text)))?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (address, key) = place.split_once('/').unwrap_or((place, ""));
        let fields = Fields::read(query)?;
        Ok(Self {
            address: parse_address(address)?,
            node_key: parse_key(key)?,
            pool: PoolId(fields.number("pool", fields.pool, "a number from 1")?),
            domain: Domain {
                chain_id: fields.number("chain", fields.chain, "an EIP-155 chain id")?,
                contract: fields.contract()?,
            },
            rpc: url("rpc", fields.rpc)?,
            api: url("api", fields.api)?,
        })
    }
}

impl Serialize for Invite {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Invite {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The query's fields as texts, each at most once.
#[derive(Default)]
struct Fields<'a> {
    pool: Option<&'a str>,
    chain: Option<&'a str>,
    contract: Option<&'a str>,
    rpc: Option<&'a str>,
    api: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn read(query: &'a str) -> Result<Self, InviteError> {
        let mut fields = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (field, slot) = match name {
                "pool" => ("pool", &mut fields.pool),
                "chain" => ("chain", &mut fields.chain),
                "contract" => ("contract", &mut fields.contract),
                "rpc" => ("rpc", &mut fields.rpc),
                "api" => ("api", &mut fields.api),
                other => return Err(InviteError::Unknown(short(other))),
            };
            if slot.replace(value).is_some() {
                return Err(bad(field, value, "it once"));
            }
        }
        Ok(fields)
    }

    /// A decimal number above zero, in its one spelling.
    fn number<T: FromStr + ToString>(
        &self,
        field: &'static str,
        value: Option<&str>,
        expected: &'static str,
    ) -> Result<T, InviteError> {
        let text = value.ok_or(InviteError::Missing { field, expected })?;
        let number = text.parse().ok().filter(|n: &T| n.to_string() == text && text != "0");
        number.ok_or_else(|| bad(field, text, expected))
    }

    fn contract(&self) -> Result<Address, InviteError> {
        let (field, expected) = ("contract", "0x and 40 hex digits");
        let text = self.contract.ok_or(InviteError::Missing { field, expected })?;
        let digits = text.strip_prefix("0x").ok_or_else(|| bad(field, text, expected))?;
        let mut bytes = [0; 20];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| bad(field, text, expected))?;
        Ok(Address::new(bytes))
    }
}

fn parse_address(text: &str) -> Result<String, InviteError> {
    let (field, expected) = ("address", "host:port, IPv6 hosts in brackets");
    if text.is_empty() {
        return Err(InviteError::Missing { field, expected });
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(|| bad(field, text, expected))?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_is_good = match bracketed {
        Some(host) => host.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(is_host_byte),
    };
    let port_is_good = port.parse::<u16>().is_ok_and(|n| n != 0 && n.to_string() == port);
    if host_is_good && port_is_good { Ok(text.into()) } else { Err(bad(field, text, expected)) }
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

fn parse_key(text: &str) -> Result<B256, InviteError> {
    let (field, expected) = ("node_key", "64 hex digits after the address");
    if text.is_empty() {
        return Err(InviteError::Missing { field, expected });
    }
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| bad(field, text, expected))?;
    Ok(B256::new(bytes))
}

fn url(field: &'static str, value: Option<&str>) -> Result<Option<String>, InviteError> {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(None) };
    let expected = "a URL that begins with http:// or https://, escaped";
    let text = unescape(value).ok_or_else(|| bad(field, value, expected))?;
    let is_url = text.starts_with("http://") || text.starts_with("https://");
    let is_clean = !text.chars().any(|c| c.is_control() || c.is_whitespace());
    if is_url && is_clean { Ok(Some(text)) } else { Err(bad(field, value, expected)) }
}

/// Percent-escapes what would end a field or hide in a terminal.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | b'&' | b'#' | b'+' | b'\\' | b'"' | b'\'' => escaped += &format!("%{byte:02x}"),
            0x21..=0x7e => escaped.push(char::from(byte)),
            other => escaped += &format!("%{other:02x}"),
        }
    }
    escaped
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first != b'%' {
            bytes.push(first);
            rest = tail;
            continue;
        }
        let mut byte = [0];
        hex::decode_to_slice(tail.get(..2)?, &mut byte).ok()?;
        bytes.push(byte[0]);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).ok()
}

fn bad(field: &'static str, value: &str, expected: &'static str) -> InviteError {
    InviteError::Field { field, value: short(value), expected }
}

/// At most 80 printable characters of a text somebody pasted.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    const CONTRACT: &str = "0x5fbdb2315678afecb367f032d93f642f64180aa3";

    fn text() -> String {
        format!("quorate://pool.example:7421/{KEY}?pool=1&chain=31337&contract={CONTRACT}")
    }

    #[test]
    fn an_invitation_reads_and_prints_the_same() {
        let all = text() + "&rpc=http://127.0.0.1:8545&api=https://pool.example/?a=1%26b=2";
        let invite: Invite = all.parse().expect("a whole invitation");
        assert_eq!(invite.address, "pool.example:7421");
        assert_eq!(invite.pool, PoolId(1));
        assert_eq!(invite.domain.chain_id, 31_337);
        assert_eq!(invite.api.as_deref(), Some("https://pool.example/?a=1&b=2"));
        assert_eq!(invite.to_string(), all);
        let bare: Invite = text().replace("pool.example", "[::1]").parse().expect("IPv6");
        assert_eq!((bare.address.as_str(), bare.rpc), ("[::1]:7421", None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            (text().replace("quorate:", "https:"), "begins with `https://pool.example"),
            (text().replace(":7421", ""), "field `address` is `pool.example`"),
            (text().replace(":7421", ":0"), "field `address` is `pool.example:0`"),
            (text().replace(&KEY[..2], "zz"), "field `node_key` is `zz"),
            (text().replace(KEY, ""), "has no `node_key`"),
            (text().replace("pool=1", "pool=0"), "field `pool` is `0`"),
            (text().replace("pool=1", "pool=01"), "field `pool` is `01`"),
            (text().replace("pool=1&", ""), "has no `pool`"),
            (text().replace("chain=31337&", ""), "has no `chain`"),
            (text().replace("0x5fb", "0x5f"), "field `contract` is `0x5f"),
            (text() + "&pool=2", "field `pool` is `2`; expected it once"),
            (text() + "&rpc=ftp://x", "field `rpc` is `ftp://x`"),
            (text() + "&rpc=http://%zz", "field `rpc` is `http://%zz`"),
            (text() + "&gift=1", "unknown field `gift`"),
            (text() + &"x".repeat(3000), "has 3"),
        ];
        for (text, expected) in cases {
            let error = text.parse::<Invite>().expect_err(&text).to_string();
            assert!(error.contains(expected), "{text}\n  said: {error}\n  not: {expected}");
        }
    }

    proptest! {
        #[test]
        fn every_invitation_comes_back(
            host in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\\.[a-z]{2,5}){0,3}",
            port in 1_u16..,
            key in any::<[u8; 32]>(),
            pool in 1_u32..,
            chain_id in 1_u64..,
            contract in any::<[u8; 20]>(),
            rpc in proptest::option::of("https?://[!-~]{1,40}"),
            api in proptest::option::of("https?://[!-~é€]{1,40}"),
        ) {
            let invite = Invite {
                address: format!("{host}:{port}"),
                node_key: B256::new(key),
                pool: PoolId(pool),
                domain: Domain { chain_id, contract: Address::new(contract) },
                rpc,
                api,
            };
            prop_assert_eq!(invite.to_string().parse::<Invite>(), Ok(invite));
        }

        #[test]
        fn no_text_panics(text in ".{0,200}", tail in "[ -~]{0,100}") {
            drop(text.parse::<Invite>());
            drop(format!("quorate://a:1/{KEY}?{tail}").parse::<Invite>());
        }
    }
}
