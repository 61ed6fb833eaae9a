//! Money and chain: what is earned, what is owed, what settling costs, whether the chain answers.

use super::{Board, Panel, Row, row};

pub(super) fn board() -> Board {
    let answers = "What is earned and owed, what does settling cost, does the chain answer?";
    super::board(3, answers, vec![money(), settling(), gas(), chain()])
}

fn money() -> Row {
    row("Money", vec![
        Panel::lines("The pool's money in the contract", "suffix: tok",
            "Requesters' money locked in deals, value of batches open to challenge, final earnings that workers have not claimed, stakes.")
            .ask("{{account}}", r#"sum by (account) (quorate_pool_tokens{$S,account=~"locked|pending|owed|staked"})"#).wide(12),
        Panel::lines("Booked by batches", "suffix: tok",
            "Payout to workers, fees of the operator, royalties of owners, slashed stakes: all batches, the open one included.")
            .ask("{{to}}", "sum by (to) (quorate_pool_booked_tokens{$S})").wide(12),
        Panel::number("Fees, 24 h", "suffix: tok", "What the batches of the last day book for the operator.")
            .ask("fees", r#"sum(quorate:booked_tokens:delta1d{$S,to="fees"})"#).decimals(3).wide(6),
        Panel::number("Paid to workers, 24 h", "suffix: tok", "What the batches of the last day book for workers.")
            .ask("payout", r#"sum(quorate:booked_tokens:delta1d{$S,to="payout"})"#).decimals(3).wide(6),
        Panel::number("Fees collected", "suffix: tok", "What the operator has taken out of final batches so far.")
            .ask("collected", r#"sum(quorate_pool_tokens{$S,account="collected"})"#).decimals(3).wide(6),
        Panel::number("Slashed, 24 h", "suffix: tok", "Stakes that liars lost within the last day.")
            .ask("slashed", r#"sum(quorate:booked_tokens:delta1d{$S,to="slashed"})"#).decimals(3).wide(6),
    ])
}

fn settling() -> Row {
    row("Settling", vec![
        Panel::number("Waiting for the chain", "s",
            "How long the oldest settled task waits for its batch to be on chain, since this start.")
            .ask("oldest", "max(quorate_settlement_oldest_seconds{$S})")
            .steps(&[(1800.0, "orange"), (3600.0, "red")]).decimals(0),
        Panel::number("Tasks in the open batch", "none", "It is closed at batch.tasks, or after batch.age_s.")
            .ask("tasks", "sum(quorate_batch_open_tasks{$S})"),
        Panel::number("Batches", "none", "Number of the batch that is open: how many were closed before it.")
            .ask("{{instance}}", "max(quorate_batch_index{$S})"),
        Panel::word("Said against us on chain", "none",
            "Votes and demands that workers brought on chain because this scheduler did not listen, since it started.")
            .ask("{{kind}}", "sum by (kind) (quorate_chain_complaints_total{$S})").steps(&[(1.0, "orange")]).wide(5),
        Panel::word("Convictions", "none",
            "What the contract found against this pool, since the scheduler started. Anything but 0 is the end of the pool.")
            .ask("{{outcome}}", "sum by (outcome) (quorate_disputes_total{$S})").steps(&[(1.0, "red")]).wide(7),
        Panel::lines("Batches not final", "none",
            "Closed: not on chain yet, more than one or two is trouble. Committed: open to challenge for the contract's window.")
            .ask("{{state}}", r#"sum by (state) (quorate_batches{$S,state!="final"})"#)
            .colored(&[("closed", "orange"), ("committed", "blue")]).wide(12),
        Panel::lines("Bond and what it still carries", "suffix: tok",
            "Two thirds of the bond cap what batches open to challenge may come to. At 0 no batch can be committed until an older one is final.")
            .ask("bond", r#"sum(quorate_pool_tokens{$S,account="bond"})"#)
            .ask("headroom", "sum(quorate_bond_headroom_tokens{$S})")
            .colored(&[("bond", "blue"), ("headroom", "green")]).wide(12),
    ])
}

fn gas() -> Row {
    row("What it costs", vec![
        Panel::lines("Gas money", "suffix: coins", "Coins of the account that pays for gas.")
            .ask("{{instance}}", "quorate_gas_balance_coins{$S}"),
        Panel::lines("Gas used", "short", "Gas an hour, by what it was for.")
            .ask("{{kind}}", "3600 * sum by (kind) (rate(quorate_chain_gas_used_total{$S}[$__rate_interval]))"),
        Panel::lines("Transactions", "suffix: /h", "Those that went through, and those that failed: a failed one is tried again.")
            .ask("{{kind}} {{outcome}}", "3600 * sum by (kind, outcome) (rate(quorate_chain_transactions_total{$S}[$__rate_interval])) > 0")
            .empty("none"),
    ])
}

fn chain() -> Row {
    row("Does the chain answer?", vec![
        Panel::table("Outbox", "state",
            "How the account that sends transactions stands. Anything but ready or in_flight needs the operator: QuorateOutboxTrouble.")
            .ask("outbox", "quorate_chain_outbox{$S} == 1").high(6).wide(6),
        Panel::lines("Blocks behind", "none",
            "Newest block less the newest that was read. Events are read when they are final, so it is never 0 on a real chain.")
            .ask("{{instance}}", "quorate_chain_head_block{$S} - quorate_chain_read_block{$S}").wide(6).high(6),
        Panel::lines("Chain's time less ours", "s",
            "Above 0: this machine's clock is slow. Far below 0: the chain, or the node, stands still. A development chain stands still between transactions.")
            .ask("{{instance}}", "quorate_chain_clock_offset_seconds{$S}").steps(&[(30.0, "red")]).wide(6).high(6),
        Panel::lines("Transactions under way", "none",
            "Sent and not final yet; and the account's nonce, which grows by one with each that is mined.")
            .ask("unfinished", "sum(quorate_chain_transactions_unfinished{$S})")
            .ask("mined (nonce)", "sum(quorate_chain_nonce{$S})").wide(6).high(6),
        Panel::lines("Questions to nodes", "suffix: /s",
            "By outcome. Refused is an answer (a revert); failed is the node's fault.")
            .ask("{{outcome}}", "sum by (outcome) (rate(quorate_chain_rpc_requests_total{$S}[$__rate_interval]))")
            .colored(&[("ok", "green"), ("refused", "blue"), ("failed", "red")]).wide(12),
        Panel::lines("Questions by method", "suffix: /s",
            "What a node's quota is spent on.")
            .ask("{{method}}", "sum by (method) (rate(quorate_chain_rpc_requests_total{$S}[$__rate_interval])) > 0").wide(12).empty("none"),
    ])
}
