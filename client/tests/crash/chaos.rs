//! Chaos: processes are killed without a word, at any moment of their lives, and started again.

use super::{dice::Dice, patience::until, stage::Stage};
use quorate_common::{B256, api::OrderView};
use std::time::Duration;

/// How often the scheduler is killed while the bag is worked on.
pub(crate) const KILLS: u64 = 20;
/// Milliseconds most of its lives last, from the start or from the first answer: in the middle of
/// replay, of connecting, of the first tasks.
const LIFE_MS: (u64, u64) = (50, 600);
/// Every fourth life lasts until some more tasks are settled, at most so many, and then some
/// milliseconds: in the middle of votes, batches, transactions.
const PROGRESS: u64 = 12;
const PROGRESS_MS: (u64, u64) = (0, 300);
/// What is settled should not be ahead of as many kills: four fifths of the bag are gone at the last one, for a
/// life that is short settles some all the same.
const PACE: u64 = KILLS + 5;
/// Lives are short when the bag gets empty: on a quick machine the last kill must not come too late.
const SHORT_LIFE_MS: (u64, u64) = (20, 100);
/// Longest wait for a task to be settled: every worker has to come back for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Kills the scheduler [`KILLS`] times and each worker once, each time at a random moment; everybody
/// is started again at once.
///
/// # Panics
/// If the bag is empty before.
pub(crate) async fn play(stage: &mut Stage, order: B256, dice: &mut Dice) {
    let turns: Vec<u64> = stage.volunteers.iter().map(|_| dice.below(KILLS)).collect();
    for turn in 0..KILLS {
        for (volunteer, _) in stage.volunteers.iter_mut().zip(&turns).filter(|of| *of.1 == turn) {
            tokio::time::sleep(dice.pause(0, 200)).await;
            volunteer.kill().await;
            volunteer.start();
        }
        live(stage, order, turn, dice).await;
        stage.operator.kill().await;
        stage.operator.start();
    }
    stage.operator.answers().await;
    let view = look(stage, order).await;
    assert!(view.settled < view.tasks, "the bag was empty before the last kill; make it larger");
}

/// Lets the scheduler live for a while.
async fn live(stage: &mut Stage, order: B256, turn: u64, dice: &mut Dice) {
    let mut life_ms = LIFE_MS;
    // Half of the lives are counted from the first answer, half may end before it.
    if turn % 4 == 3 || dice.coin() {
        stage.operator.answers().await;
        let view = look(stage, order).await;
        eprintln!("before kill {}: {} of {} tasks settled", turn + 1, view.settled, view.tasks);
        if u64::from(view.settled) * PACE > u64::from(view.tasks) * (turn + 1) {
            life_ms = SHORT_LIFE_MS;
        } else if turn % 4 == 3 {
            life_ms = PROGRESS_MS;
            let enough = u64::from(view.settled) + 1 + dice.below(PROGRESS);
            let enough = enough.min(u64::from(view.tasks) - 1);
            let is_enough = async || {
                let view = look(stage, order).await;
                (u64::from(view.settled) >= enough).then_some(())
            };
            until("tasks to be settled between two kills", PATIENCE, is_enough).await;
        }
    }
    tokio::time::sleep(dice.pause(life_ms.0, life_ms.1)).await;
}

async fn look(stage: &Stage, order: B256) -> OrderView {
    stage.operator.api().order(order).await.unwrap()
}
