//! From bytes a stranger sent to a transaction with a known sender.
//!
//! Checks what can be checked without the state; nonce, balance and gas are the EVM's to refuse.

use crate::embedded::RpcError;
use alloy::consensus::{Transaction as _, TxEnvelope};
use alloy::eips::eip2718::Decodable2718;
use alloy::primitives::{Address, B256};
use revm::precompile::crypto;

/// Bytes of one raw transaction: geth's limit for its pool (four slots of 32 KiB). Our largest,
/// the deployment of the contract, is a fifth of it.
pub(super) const RAW_TX_BYTES_MAX: usize = 128 * 1024;

/// A decoded transaction, its hash, and who signed it.
#[derive(Clone, Debug)]
pub(super) struct SignedTx {
    pub(super) envelope: TxEnvelope,
    pub(super) hash: B256,
    pub(super) sender: Address,
}

/// Decodes, and recovers the sender.
///
/// # Errors
/// In geth's words: oversized, not RLP, trailing bytes, an unsupported type, no or another chain
/// id, a signature that is malformed or not in its canonical (low-s) form.
pub(super) fn decode(raw: &[u8], chain_id: u64) -> Result<SignedTx, RpcError> {
    if raw.len() > RAW_TX_BYTES_MAX {
        return Err(RpcError::refused(format!(
            "oversized data: transaction size {}, limit {RAW_TX_BYTES_MAX}",
            raw.len()
        )));
    }
    let mut rest = raw;
    let envelope = TxEnvelope::decode_2718(&mut rest)
        .map_err(|error| RpcError::refused(format!("rlp: {error}")))?;
    if !rest.is_empty() {
        return Err(RpcError::refused(format!("rlp: {} bytes after the transaction", rest.len())));
    }
    check_kind(&envelope, chain_id)?;
    let sender = recover(&envelope)?;
    Ok(SignedTx { hash: *envelope.tx_hash(), envelope, sender })
}

fn check_kind(tx: &TxEnvelope, chain_id: u64) -> Result<(), RpcError> {
    if tx.is_eip4844() || tx.is_eip7702() {
        return Err(RpcError::refused(format!(
            "transaction type not supported: {}, expected 0, 1 or 2",
            tx.tx_type() as u8
        )));
    }
    match tx.chain_id() {
        Some(id) if id == chain_id => Ok(()),
        Some(id) => Err(RpcError::refused(format!(
            "invalid chain id for signer: have {id} want {chain_id}"
        ))),
        None => {
            Err(RpcError::refused("only replay-protected (EIP-155) transactions allowed over RPC"))
        }
    }
}

/// The sender, through the curve library of the `ecrecover` precompile (six times the speed of
/// the portable one).
fn recover(tx: &TxEnvelope) -> Result<Address, RpcError> {
    let invalid = || RpcError::refused("invalid sender: invalid transaction v, r, s values");
    let signature = tx.signature();
    // A high s is the same signature in a second form; since Homestead it is no signature.
    if signature.normalize_s().is_some() {
        return Err(invalid());
    }
    let mut rs = [0_u8; 64];
    rs[..32].copy_from_slice(&signature.r().to_be_bytes::<32>());
    rs[32..].copy_from_slice(&signature.s().to_be_bytes::<32>());
    let word = crypto()
        .secp256k1_ecrecover(&rs, u8::from(signature.v()), &tx.signature_hash().0)
        .map_err(|_| invalid())?;
    Ok(Address::from_word(B256::from(word)))
}
