//! Overview: the five questions an operator has, in their order.

use super::{Board, Panel, Row, row};

pub(super) fn board() -> Board {
    let answers = "Is my pool healthy, is it earning, who cheats, what is slow, what will run out?";
    super::board(0, answers, vec![healthy(), earning(), cheats(), slow(), runs_out()])
}

fn healthy() -> Row {
    row("Is my pool healthy?", vec![
        Panel::word("Scheduler", "none",
            "Whether Prometheus reaches the scheduler. Down: QuorateSchedulerDown says what to do.")
            .ask("{{instance}}", "min(up{$S})").named(&[("0", "DOWN"), ("1", "up")])
            .steps(&[(f64::NEG_INFINITY, "red"), (1.0, "green")]),
        Panel::word("Alerts firing", "none",
            "Alerts that fire now, of every severity. Each names its runbook.")
            .ask("alerts", r#"count(ALERTS{alertname=~"Quorate.+",alertstate="firing"}) or vector(0)"#)
            .steps(&[(1.0, "orange"), (3.0, "red")]),
        Panel::number("Workers connected", "none",
            "Workers with an open session, idle or busy. Without any, nothing is computed.")
            .ask("workers", r#"sum(quorate_workers{$S,state!="offline"})"#)
            .steps(&[(f64::NEG_INFINITY, "red"), (1.0, "green")]),
        Panel::number("Tasks settled", "suffix: /min",
            "Tasks a minute that ended with an accepted result.")
            .ask("tasks", r#"60 * sum(rate(quorate_tasks_completed_total{$S,outcome="consensus"}[$__rate_interval]))"#)
            .decimals(1),
        Panel::number("Accepted", "percentunit",
            "Of the tasks settled within the last hour, those with an accepted result. The rest found no majority in time.")
            .ask("accepted", r#"sum(rate(quorate_tasks_completed_total{$S,outcome="consensus"}[1h])) / (sum(rate(quorate_tasks_completed_total{$S}[1h])) > 0)"#)
            .steps(&[(f64::NEG_INFINITY, "red"), (0.8, "orange"), (0.95, "green")])
            .decimals(1).empty("no tasks"),
        Panel::number("Oldest waiting", "s",
            "Age of the oldest deal with a task that waits for a replica.")
            .ask("oldest", "max(quorate_task_oldest_waiting_seconds{$S})")
            .steps(&[(300.0, "orange"), (900.0, "red")]).decimals(0),
        Panel::stack("Workers by state", "none",
            "Connected workers by what they do. Offline ones are left out: many never come back.")
            .ask("{{state}}", r#"sum by (state) (quorate_workers{$S,state!="offline"})"#)
            .colored(&[("idle", "blue"), ("busy", "green"), ("paused", "yellow"), ("leaving", "orange"), ("restrained", "red")])
            .wide(12),
        Panel::stack("Tasks settled by outcome", "suffix: /s",
            "Consensus is what is paid for; no quorum and expired cost workers their time.")
            .ask("{{outcome}}", "sum by (outcome) (rate(quorate_tasks_completed_total{$S}[$__rate_interval]))")
            .colored(&[("consensus", "green"), ("no_quorum", "orange"), ("expired", "red")])
            .wide(12),
    ])
}

fn earning() -> Row {
    row("Is it earning?", vec![
        Panel::number("Operator's fees, 24 h", "suffix: tok",
            "What the batches of the last day book for the operator. Money and chain has the rest.")
            .ask("fees", r#"sum(quorate:booked_tokens:delta1d{$S,to="fees"})"#).decimals(3).high(5),
        Panel::number("Paid to workers, 24 h", "suffix: tok",
            "What the batches of the last day book for workers.")
            .ask("payout", r#"sum(quorate:booked_tokens:delta1d{$S,to="payout"})"#).decimals(3).high(5),
        Panel::lines("Booked since the first batch", "suffix: tok",
            "Operator's fees and workers' pay of all batches, the open one included. Flat: nothing is settled.")
            .ask("{{to}}", r#"sum by (to) (quorate_pool_booked_tokens{$S,to=~"fees|payout"})"#)
            .colored(&[("fees", "green"), ("payout", "blue")]).wide(8).high(5),
        Panel::number("Waiting for the chain", "s",
            "How long the oldest settled task waits for its batch to be on chain. A batch closes after batch.age_s.")
            .ask("oldest", "max(quorate_settlement_oldest_seconds{$S})")
            .steps(&[(1800.0, "orange"), (3600.0, "red")]).decimals(0).high(5),
        Panel::number("Gas used, 24 h", "short",
            "Gas of the scheduler's transactions: what the pool costs beside the machine.")
            .ask("gas", "sum(quorate:gas_used:increase1d{$S})").decimals(2).high(5),
    ])
}

fn cheats() -> Row {
    row("Who cheats?", vec![
        Panel::number("Dissenting votes, 1 h", "percentunit",
            "Of the votes of the last hour, those for something else than the accepted result, or never revealed. A few are broken machines; a rise is an attack or an application that is not deterministic.")
            .ask("dissent", "max(quorate:votes_dissenting:ratio1h{$S})")
            .steps(&[(0.02, "orange"), (0.05, "red")]).decimals(1).empty("no votes").high(5),
        Panel::number("Barred workers", "none",
            "Workers that were caught and vote only beside others until they have passed checks anew.")
            .ask("barred", r#"sum(quorate_workers_by_standing{$S,standing="barred"})"#)
            .steps(&[(1.0, "orange"), (10.0, "red")]).high(5),
        Panel::lines("Votes against the accepted result", "suffix: /min",
            "Dissents a minute, and replicas that were committed and never revealed.")
            .ask("dissents", "60 * sum(rate(quorate_dissents_total{$S}[$__rate_interval]))")
            .ask("never revealed", r#"60 * sum(rate(quorate_replicas_ended_total{$S,end="missed"}[$__rate_interval]))"#)
            .colored(&[("dissents", "red"), ("never revealed", "orange")]).wide(8).high(5),
        Panel::word("Said against us on chain", "none",
            "Votes and demands that workers brought on chain because this scheduler did not listen, since it started.")
            .ask("complaints", "sum(quorate_chain_complaints_total{$S})").steps(&[(1.0, "orange")]).high(5),
        Panel::word("Convictions", "none",
            "Batches dropped, convictions of fraud, abandonments: the contract found against this pool, since it started.")
            .ask("disputes", "sum(quorate_disputes_total{$S})").steps(&[(1.0, "red")]).high(5),
    ])
}

fn slow() -> Row {
    row("What is slow?", vec![
        Panel::lines("A task's time, 95th percentile", "s",
            "Waiting for a first replica, running one, and all from the deal's opening to the settled task.")
            .ask("waiting", "histogram_quantile(0.95, sum by (le) (rate(quorate_task_queue_wait_seconds_bucket{$S}[$__rate_interval])))")
            .ask("running", "histogram_quantile(0.95, sum by (le) (rate(quorate_replica_run_seconds_bucket{$S}[$__rate_interval])))")
            .ask("in all", "histogram_quantile(0.95, sum by (le) (rate(quorate_task_turnaround_seconds_bucket{$S}[$__rate_interval])))"),
        Panel::lines("The machine, 99th percentile", "s",
            "A group commit of the journal, a look at the grid, a question to a chain node. Slow commits slow everything.")
            .ask("journal", "histogram_quantile(0.99, sum by (le) (rate(quorate_journal_fsync_seconds_bucket{$S}[$__rate_interval])))")
            .ask("grid", "histogram_quantile(0.99, sum by (le) (rate(quorate_grid_look_seconds_bucket{$S}[$__rate_interval])))")
            .ask("chain node", "histogram_quantile(0.99, sum by (le) (rate(quorate_chain_rpc_request_seconds_bucket{$S}[$__rate_interval])))"),
        Panel::bars("Tasks that wait, by reason", "none",
            "What would have to change, in the words of `quorate order explain`. `turn` and `busy` are a queue; the others need somebody.")
            .ask("{{reason}}", "sum by (reason) (quorate_tasks_waiting{$S}) > 0").empty("nothing waits"),
    ])
}

fn runs_out() -> Row {
    row("What will run out?", vec![
        Panel::bars("Used up", "percentunit",
            "Shares of what there is: the blob store's limit, two thirds of the bond, file descriptors.")
            .ask("blob store", "max(quorate_blob_store_bytes{$S} / quorate_blob_store_limit_bytes{$S})")
            .ask("bond", r#"max(1 - quorate_bond_headroom_tokens{$S} / ignoring (account) (quorate_pool_tokens{$S,account="bond"} * 2 / 3))"#)
            .ask("file descriptors", "max(process_open_fds{$S} / process_max_fds{$S})")
            .steps(&[(0.7, "orange"), (0.9, "red")]).max(1.0).wide(8).high(5),
        Panel::number("Disk", "bytes", "Free bytes of the disk with the data folder.")
            .ask("free", "min(quorate_disk_free_bytes{$S})")
            .steps(&[(f64::NEG_INFINITY, "red"), (2e9, "orange"), (1e10, "green")]).high(5),
        Panel::number("Gas money", "suffix: coins", "Coins of the account that pays for gas.")
            .ask("balance", "min(quorate_gas_balance_coins{$S})")
            .steps(&[(f64::NEG_INFINITY, "red"), (0.005, "orange"), (0.02, "green")]).decimals(4).high(5),
        Panel::word("Gas money lasts", "s",
            "How long the coins last at the pace of the last six hours.")
            .ask("lasts", "min(quorate_gas_balance_coins{$S} / (-1 * quorate:gas_balance_coins:deriv6h{$S} > 0))")
            .steps(&[(f64::NEG_INFINITY, "red"), (259_200.0, "orange"), (1_209_600.0, "green")])
            .decimals(0).empty("for ever").high(5),
        Panel::word("Last backup", "s",
            "Age of the newest backup that `quorate-scheduler backup` completed.")
            .ask("age", "max(time() - (quorate_backup_timestamp_seconds{$S} > 0))")
            .steps(&[(90_000.0, "orange"), (172_800.0, "red")]).decimals(0).empty("never").high(5),
    ])
}
