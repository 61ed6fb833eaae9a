//! A development chain with the real contracts, workers, and a token of which there is as much as
//! anybody says: prices here are higher than any supply. One for each thread, and no time passes on it.
//!
//! A batch need not be committed to be judged: [`Arena::judge`] commits it and asks a bench in one call
//! that leaves nothing behind, so that many batches can follow the same one.

use quorate_chain::{
    Call, Chain, ChainUrl, EmbeddedConfig, EmbeddedNode, Outbox, Signer,
    court::{Court, Filing, Proof},
    settlement::{Orders, deploy_settlement},
};
use quorate_common::{
    Address, B256, U256,
    ids::{DealId, PoolId},
    keccak256,
    keys::{NodeKey, VoteKey},
    messages::{Header, Message as _, Separator},
};
use quorate_grid::ledger::Identity;
use quorate_scheduler::dev::{self, DevChain};
use serde_json::{Value, json};

/// Registered workers.
pub(crate) const CREW: u32 = 44;
/// The last workers are of the first ones' owners.
pub(crate) const TWINS: u32 = 4;
/// What every clock says.
pub(crate) const NOW: u64 = 1_800_000_000;
const WEI: u128 = 1 << 90;
/// All that a bond can be.
const BOND: u128 = (1 << 96) - 1;

/// Long enough for a question and its answer.
const WINDOW_S: u64 = 3 * 24 * 3600;

/// A token that takes every transfer, and whose balances are all the sum of what was transferred.
const TOKEN: &str = "6036806009\
    5f395ff3\
    5f3560e01c80\
    6323b872dd1460215763\
    70a0823114602d57\
    5b60015f5260205ff3\
    5b6044355f54015f55601856\
    5b5f545f5260205ff3";

/// See the module.
pub(crate) struct Arena {
    runtime: tokio::runtime::Runtime,
    chain: DevChain,
    pub(crate) court: Court,
    pub(crate) separator: Separator,
    pub(crate) crew: Vec<Identity>,
    keys: Vec<VoteKey>,
    pools: u32,
    /// A deal of a pool that no batch is of.
    pub(crate) foreign: Option<DealId>,
}

/// A pool of the chain, and who signs for it.
pub(crate) struct Operator {
    pub(crate) id: PoolId,
    pub(crate) signer: VoteKey,
}

/// What a bench says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fraud { pool: u32, index: u32 },
    NoFraud,
    Refused(String),
}

impl Arena {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (chain, court) = runtime.block_on(contracts());
        let separator = chain.settlement.separator();
        let (crew, keys) = (Vec::new(), Vec::new());
        let mut arena =
            Self { runtime, chain, court, separator, crew, keys, pools: 0, foreign: None };
        (1..=CREW).for_each(|n| arena.hire(n));
        for member in [arena.chain.bank.clone(), owner(1)] {
            arena.deposit(&member, 1 << 127);
        }
        arena
    }

    fn hire(&mut self, n: u32) {
        let owner = owner(n);
        self.endow(&owner);
        let key = VoteKey::from_bytes(&keccak256(format!("vote key {n}")).0).unwrap();
        let node_key = NodeKey::from_bytes(&[u8::try_from(n).unwrap(); 32]);
        let hired = self.chain.register_worker(&owner, &node_key, &key);
        assert_eq!(self.runtime.block_on(hired).unwrap().0, n);
        self.crew.push(Identity { owner: owner.address(), vote_key: key.address() });
        self.keys.push(key);
    }

    /// The vote key of a worker.
    pub(crate) fn key(&self, worker: u32) -> &VoteKey {
        &self.keys[worker as usize - 1]
    }

    /// A pool with as large a bond, and as much staked in it, as its batches may ever move.
    pub(crate) fn pool(&mut self) -> Operator {
        self.pools += 1;
        let id = PoolId(self.pools);
        let signer = VoteKey::from_bytes(&keccak256(format!("pool {id}")).0).unwrap();
        let s = &self.chain.settlement;
        let node_key = keccak256(format!("node {id}"));
        self.send(&self.chain.bank, s.register_pool(signer.address(), node_key, BOND));
        self.send(&owner(1), s.stake(id, quorate_common::ids::WorkerIdx(1), BOND));
        Operator { id, signer }
    }

    /// A requester with all the money that an account can hold.
    pub(crate) fn requester(&self, pool: PoolId) -> Signer {
        let requester = dev::account(1_000 + pool.0);
        self.endow(&requester);
        self.deposit(&requester, u128::MAX);
        requester
    }

    pub(crate) fn open_deal(&self, orders: &Orders<'_>, tasks: u32) {
        self.send(&dev::gas(), self.chain.settlement.open_deal(orders, tasks));
    }

    pub(crate) fn commit(&self, operator: &Operator, header: &Header) {
        self.send(&dev::gas(), self.commitment(operator, header));
    }

    fn commitment(&self, operator: &Operator, header: &Header) -> Call {
        let signature = operator.signer.sign(self.separator.digest(header.struct_hash()));
        self.chain.settlement.commit_batch(header, &signature)
    }

    fn deposit(&self, who: &Signer, amount: u128) {
        self.send(who, self.chain.settlement.deposit(amount));
    }

    fn endow(&self, who: &Signer) {
        let params = json!([who.address(), U256::from(WEI)]);
        self.chain.node.request("anvil_setBalance", params).unwrap();
    }

    fn send(&self, who: &Signer, call: Call) {
        let outbox =
            Outbox::new(self.chain.settlement.chain().clone(), who.clone(), dev::outbox_config());
        self.runtime.block_on(outbox.send(call)).unwrap();
    }

    /// What a bench says of a proof against a committed batch.
    pub(crate) fn ask(&self, proof: &Proof) -> Verdict {
        self.call(json!({ "to": proof.bench, "input": proof.data }))
    }

    /// What a bench would say were this header committed.
    pub(crate) fn judge(&self, operator: &Operator, header: &Header, proof: &Proof) -> Verdict {
        let commit = self.commitment(operator, header);
        let script = both((commit.to.unwrap(), &commit.data), (proof.bench, &proof.data));
        self.call(json!({ "input": quorate_chain::Bytes::from(script) }))
    }

    #[expect(clippy::needless_pass_by_value, reason = "written where it is passed")]
    fn call(&self, request: Value) -> Verdict {
        match self.chain.node.request("eth_call", json!([request])) {
            Ok(answer) => {
                let words = bytes_of(&answer);
                assert_eq!(words.len(), 64, "{answer}");
                let last = |word: &[u8]| u32::from_be_bytes(*word.last_chunk().unwrap());
                Verdict::Fraud { pool: last(&words[..32]), index: last(&words[32..]) }
            }
            Err(error) => {
                let why =
                    quorate_chain::abi::explain(&error.data.as_ref().map_or(vec![], bytes_of));
                if why.name == "NoFraud" {
                    return Verdict::NoFraud;
                }
                Verdict::Refused(format!("{error}: {}", why.text))
            }
        }
    }

    /// Asks for a task of a committed batch, and waits for an answer for as long as one may take.
    pub(crate) fn ask_in_vain(&self, filing: &Filing<'_>, place: u32) {
        self.send(&dev::gas(), self.court.ask(filing, place));
        let day = self.chain.settlement.chain().warp(24 * 3600 + 1);
        self.runtime.block_on(day).unwrap();
        let (pool, index) = (filing.header.pool, u32::try_from(filing.header.index).unwrap());
        self.send(&dev::gas(), self.court.silence(pool, index, place));
    }

    pub(crate) fn is_convicted(&self, pool: PoolId) -> bool {
        self.runtime.block_on(self.court.convicted_at(pool)).unwrap().is_some()
    }

    /// Whom the machine itself says a signature is of, high `s` or not.
    pub(crate) fn recover(&self, digest: B256, odd: bool, r: B256, s: B256) -> Option<Address> {
        let v = B256::with_last_byte(27 + u8::from(odd));
        let input = quorate_chain::Bytes::from([digest, v, r, s].concat());
        let request = json!([{ "to": Address::with_last_byte(1), "input": input }]);
        let answer = bytes_of(&self.chain.node.request("eth_call", request).unwrap());
        (!answer.is_empty()).then(|| Address::from_slice(&answer[12..]))
    }
}

fn owner(n: u32) -> Signer {
    let twin = n > CREW - TWINS;
    dev::account(100 + if twin { n - (CREW - TWINS) } else { n })
}

fn bytes_of(answer: &Value) -> Vec<u8> {
    hex::decode(answer.as_str().unwrap().trim_start_matches("0x")).unwrap()
}

async fn contracts() -> (DevChain, Court) {
    let bank = dev::bank();
    let config = EmbeddedConfig::new(31_337, NOW - 1)
        .with_account(bank.address(), U256::from(WEI))
        .with_account(dev::gas().address(), U256::from(WEI))
        .with_clock(|| NOW);
    let node = EmbeddedNode::new(config).unwrap();
    let chain = Chain::connect(&ChainUrl::Embedded(node.clone())).unwrap();
    let outbox = Outbox::new(chain, bank.clone(), dev::outbox_config());
    let code = hex::decode(TOKEN).unwrap().into();
    let token =
        Call { what: "a token".to_owned(), to: None, value: U256::ZERO, data: code, gas_max: None };
    let token = outbox.send(token).await.unwrap().contract.unwrap();
    let settlement = deploy_settlement(&outbox, token, WINDOW_S).await.unwrap();
    let court = Court::connect(&settlement).await.unwrap();
    (DevChain { node, settlement, bank }, court)
}

/// Creation code that makes two calls and answers what the second does.
fn both(first: (Address, &[u8]), second: (Address, &[u8])) -> Vec<u8> {
    const LENGTH: usize = 128;
    let mut code = Vec::with_capacity(LENGTH + first.1.len() + second.1.len());
    let mut at = LENGTH;
    for ((to, data), how) in [(first, 0xf1), (second, 0xfa)] {
        code.extend(load(at, data.len()));
        // Neither gives back anything by itself; a call, not a static one, carries a value: none.
        code.extend([0x5f, 0x5f]);
        code.extend(push(data.len()));
        code.push(0x5f);
        code.extend(if how == 0xf1 { vec![0x5f] } else { vec![] });
        code.push(0x73);
        code.extend(to);
        code.extend([0x5a, how]);
        revert_unless_done(&mut code);
        at += data.len();
    }
    // All that the second answered.
    code.extend([0x3d, 0x5f, 0x5f, 0x3e, 0x3d, 0x5f, 0xf3]);
    assert!(code.len() <= LENGTH, "{}", code.len());
    code.resize(LENGTH, 0);
    code.extend(first.1);
    code.extend(second.1);
    code
}

/// Copies part of the code to the start of memory.
fn load(from: usize, length: usize) -> Vec<u8> {
    [&push(length)[..], &push(from), &[0x5f, 0x39]].concat()
}

fn push(number: usize) -> [u8; 4] {
    let [.., a, b, c] = number.to_be_bytes();
    [0x62, a, b, c]
}

/// Goes on where a call was done; what it reverted with is reverted with again.
fn revert_unless_done(code: &mut Vec<u8>) {
    let on = u8::try_from(code.len() + 10).unwrap();
    code.extend([0x60, on, 0x57, 0x3d, 0x5f, 0x5f, 0x3e, 0x3d, 0x5f, 0xfd, 0x5b]);
}
