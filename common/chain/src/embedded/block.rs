//! One block: its header, its transaction, its receipt, and how JSON-RPC shows them.
//!
//! Header hash, transaction root, receipt root and bloom are computed as on mainnet, so a client
//! may recompute them; the state root is zero (see the parent module).

use crate::embedded::BASE_FEE_WEI;
use crate::embedded::raw_tx::SignedTx;
use alloy::consensus::proofs::{calculate_receipt_root, calculate_transaction_root};
use alloy::consensus::transaction::{Recovered, TransactionInfo};
use alloy::consensus::{
    Header, Receipt, ReceiptEnvelope, ReceiptWithBloom, Transaction as _, TxEnvelope,
};
use alloy::primitives::{Address, B256};
use alloy::rpc::types::{
    Block as RpcBlock, BlockTransactions, Header as RpcHeader, Log, Transaction, TransactionReceipt,
};
use revm::context::result::ExecutionResult;

/// A mined block and what its transaction did. Immutable.
#[derive(Clone, Debug)]
pub(super) struct Block {
    header: Header,
    hash: B256,
    mined: Option<Mined>,
}

#[derive(Clone, Debug)]
struct Mined {
    tx: SignedTx,
    receipt: TransactionReceipt,
}

/// Where a new block goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) parent: B256,
    pub(super) number: u64,
    pub(super) timestamp: u64,
    pub(super) gas_limit: u64,
}

impl Block {
    /// A block without a transaction.
    pub(super) fn empty(place: Place) -> Self {
        let header = Header {
            // The roots of empty lists are the header's defaults.
            ..header(place)
        };
        Self { hash: header.hash_slow(), header, mined: None }
    }

    /// A block with the one transaction that `result` came from.
    pub(super) fn with_transaction(place: Place, tx: SignedTx, result: &ExecutionResult) -> Self {
        let consensus = Receipt {
            status: result.is_success().into(),
            cumulative_gas_used: result.tx_gas_used(),
            logs: success_logs(result),
        }
        .with_bloom();
        let envelope = ReceiptEnvelope::from_typed(tx.envelope.tx_type(), consensus.clone());
        let header = Header {
            transactions_root: calculate_transaction_root(std::slice::from_ref(&tx.envelope)),
            receipts_root: calculate_receipt_root(std::slice::from_ref(&envelope)),
            logs_bloom: consensus.logs_bloom,
            gas_used: result.tx_gas_used(),
            ..header(place)
        };
        let hash = header.hash_slow();
        let receipt = receipt(&header, hash, &tx, result, consensus);
        Self { header, hash, mined: Some(Mined { tx, receipt }) }
    }

    pub(super) const fn number(&self) -> u64 {
        self.header.number
    }

    pub(super) const fn hash(&self) -> B256 {
        self.hash
    }

    pub(super) const fn timestamp(&self) -> u64 {
        self.header.timestamp
    }

    pub(super) const fn header(&self) -> &Header {
        &self.header
    }

    pub(super) fn tx_hash(&self) -> Option<B256> {
        self.mined.as_ref().map(|mined| mined.tx.hash)
    }

    pub(super) fn receipt(&self) -> Option<&TransactionReceipt> {
        self.mined.as_ref().map(|mined| &mined.receipt)
    }

    /// What the transaction emitted; nothing if it reverted.
    pub(super) fn logs(&self) -> &[Log] {
        self.receipt().map_or(&[], |receipt| receipt.inner.logs())
    }

    /// As `eth_getTransactionByHash` shows the block's transaction.
    pub(super) fn rpc_transaction(&self) -> Option<Transaction> {
        let mined = self.mined.as_ref()?;
        let tx: Recovered<TxEnvelope> =
            Recovered::new_unchecked(mined.tx.envelope.clone(), mined.tx.sender);
        let info = TransactionInfo {
            hash: Some(mined.tx.hash),
            index: Some(0),
            block_hash: Some(self.hash),
            block_number: Some(self.header.number),
            base_fee: Some(BASE_FEE_WEI),
            block_timestamp: Some(self.header.timestamp),
        };
        Some(Transaction::from_transaction(tx, info))
    }

    /// As `eth_getBlockByNumber` shows it, with transactions in full or as hashes.
    pub(super) fn rpc_block(&self, full: bool) -> RpcBlock {
        let transactions = if full {
            BlockTransactions::Full(self.rpc_transaction().into_iter().collect())
        } else {
            BlockTransactions::Hashes(self.tx_hash().into_iter().collect())
        };
        RpcBlock::new(RpcHeader::new(self.header.clone()), transactions)
    }
}

/// Logs of a transaction that went through. A reverted one has none on chain.
fn success_logs(result: &ExecutionResult) -> Vec<alloy::primitives::Log> {
    if result.is_success() { result.logs().to_vec() } else { Vec::new() }
}

fn header(place: Place) -> Header {
    Header {
        parent_hash: place.parent,
        number: place.number,
        timestamp: place.timestamp,
        gas_limit: place.gas_limit,
        base_fee_per_gas: Some(BASE_FEE_WEI),
        state_root: B256::ZERO,
        ..Header::default()
    }
}

fn receipt(
    header: &Header,
    block_hash: B256,
    tx: &SignedTx,
    result: &ExecutionResult,
    consensus: ReceiptWithBloom<Receipt>,
) -> TransactionReceipt {
    let logs_bloom = consensus.logs_bloom;
    let mut log_index = 0;
    let receipt = consensus.receipt.map_logs(|inner| {
        let index = log_index;
        log_index += 1;
        Log {
            inner,
            block_hash: Some(block_hash),
            block_number: Some(header.number),
            block_timestamp: Some(header.timestamp),
            transaction_hash: Some(tx.hash),
            transaction_index: Some(0),
            log_index: Some(index),
            removed: false,
        }
    });
    TransactionReceipt {
        inner: ReceiptEnvelope::from_typed(
            tx.envelope.tx_type(),
            ReceiptWithBloom { receipt, logs_bloom },
        ),
        transaction_hash: tx.hash,
        transaction_index: Some(0),
        block_hash: Some(block_hash),
        block_number: Some(header.number),
        gas_used: result.tx_gas_used(),
        effective_gas_price: tx.envelope.effective_gas_price(Some(BASE_FEE_WEI)),
        blob_gas_used: None,
        blob_gas_price: None,
        from: tx.sender,
        to: tx.envelope.to(),
        contract_address: created(result),
    }
}

fn created(result: &ExecutionResult) -> Option<Address> {
    result.created_address()
}
