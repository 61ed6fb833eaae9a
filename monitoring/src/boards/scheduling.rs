//! Scheduling and tasks: what waits and why, what runs and how long, what comes of it.

use super::{Board, Panel, Row, row};

pub(super) fn board() -> Board {
    let answers = "What waits and why, how long do things take, what comes of them?";
    super::board(1, answers, vec![waits(), runs(), comes_of_it()])
}

fn waits() -> Row {
    row("What waits, and why", vec![
        Panel::stack("Unfinished tasks", "none",
            "Queued tasks have no replica yet; open ones are waiting for another replica, running, revealing, or held until their workers are believed.")
            .ask("queued", r#"sum(quorate_tasks{$S,state="queued"})"#)
            .ask("{{stage}}", "sum by (stage) (quorate_tasks_open{$S})")
            .colored(&[("queued", "blue"), ("waiting", "orange"), ("running", "green"), ("revealing", "purple"), ("held", "yellow")])
            .wide(12).high(8),
        Panel::stack("Waiting tasks by reason", "none",
            "What would have to change, in the words of `quorate order explain`. `turn`, `busy` and `quota` are a queue; anything else needs somebody to act.")
            .ask("{{reason}}", "sum by (reason) (quorate_tasks_waiting{$S}) > 0")
            .wide(12).high(8).empty("nothing waits"),
        Panel::number("Oldest waiting", "s", "Age of the oldest deal with a task that waits for a replica.")
            .ask("oldest", "max(quorate_task_oldest_waiting_seconds{$S})")
            .steps(&[(300.0, "orange"), (900.0, "red")]).decimals(0).high(6),
        Panel::number("Slots in use", "percentunit",
            "Of the slots that connected workers offer, those at work. Full and a queue: the pool is too small. Empty and a queue: see the reasons.")
            .ask("in use", r#"sum(quorate_worker_slots{$S,state="busy"}) / (sum(quorate_worker_slots{$S,state="offered"}) > 0)"#)
            .decimals(0).empty("no workers").high(6),
        Panel::bars("Orders", "none",
            "Opening: the deal is on its way to the chain. Waiting: the module or the bag was not uploaded.")
            .ask("{{state}}", "sum by (state) (quorate_orders{$S})").high(6),
        Panel::lines("Orders that cannot begin", "none",
            "Opening for long: the chain or the gas account. Waiting for long: a requester forgot to upload.")
            .ask("{{state}}", r#"sum by (state) (quorate_orders{$S,state=~"opening|waiting"})"#).high(6),
    ])
}

fn runs() -> Row {
    row(
        "How long things take",
        vec![
            quantiles(
                "Wait for the first replica",
                "quorate_task_queue_wait_seconds",
                "From a deal's opening to its task's first replica.",
            ),
            quantiles(
                "A replica's run",
                "quorate_replica_run_seconds",
                "From a free slot to the commit, as the scheduler sees it: the worker's computing and the network.",
            ),
            quantiles(
                "From deal to settled task",
                "quorate_task_turnaround_seconds",
                "What a requester waits. Held results and canaries are in it.",
            ),
        ],
    )
}

fn quantiles(title: &'static str, metric: &str, description: &'static str) -> Panel {
    let of = |q: &str| {
        format!(
            "histogram_quantile({q}, sum by (le) (rate({metric}_bucket{{$S}}[$__rate_interval])))"
        )
    };
    Panel::lines(title, "s", description)
        .ask("half", of("0.5"))
        .ask("95 of 100", of("0.95"))
        .ask("99 of 100", of("0.99"))
        .colored(&[("half", "green"), ("95 of 100", "orange"), ("99 of 100", "red")])
}

fn comes_of_it() -> Row {
    row("What comes of it", vec![
        Panel::stack("Tasks settled by outcome", "suffix: /s",
            "Consensus; no quorum (all replicas allowed were used and no majority was found); expired (the deal's deadline came first).")
            .ask("{{outcome}}", "sum by (outcome) (rate(quorate_tasks_completed_total{$S}[$__rate_interval]))")
            .colored(&[("consensus", "green"), ("no_quorum", "orange"), ("expired", "red")]),
        Panel::lines("Replicas by what came of them", "suffix: /s",
            "Assigned, committed, revealed; lost ones (gone before a commit) are given to others.")
            .ask("assigned", "sum(rate(quorate_task_attempts_total{$S}[$__rate_interval]))")
            .ask("{{end}}", "sum by (end) (rate(quorate_replicas_ended_total{$S}[$__rate_interval]))")
            .colored(&[("lost", "orange"), ("missed", "red")]),
        Panel::lines("Replicas per settled task", "none",
            "What trust costs: replicas assigned for each task settled, within the last hour.")
            .ask("{{instance}}", "quorate:replicas_per_task:ratio1h{$S}").decimals(2).empty("no tasks"),
    ])
}
