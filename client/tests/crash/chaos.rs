//! Chaos: processes are killed without a word, at any moment of their lives, and started again.

use super::{dice::Dice, stage::Stage};
use quorate_common::B256;

/// How often the scheduler is killed while the bag is worked on.
pub(crate) const KILLS: u64 = 20;
/// Milliseconds most of its lives last, from the start or from the first answer: in the middle of
/// replay, of connecting, of the first tasks.
const LIFE_MS: (u64, u64) = (50, 600);
/// Every fourth life lasts longer: in the middle of votes, batches, transactions.
const LONG_LIFE_MS: (u64, u64) = (600, 2_400);
/// No life lasts longer when the bag gets empty: on a quick machine the last kill must not come late.
const SHORT_LIFE_MS: (u64, u64) = (20, 100);

/// Kills the scheduler [`KILLS`] times and each worker once, each time at a random moment; everybody
/// is started again at once.
///
/// # Panics
/// If the bag is empty before.
pub(crate) async fn play(stage: &mut Stage, order: B256, dice: &mut Dice) {
    let turns: Vec<u64> = stage.volunteers.iter().map(|_| dice.below(KILLS)).collect();
    let mut is_ahead = false;
    for turn in 0..KILLS {
        for (volunteer, _) in stage.volunteers.iter_mut().zip(&turns).filter(|of| *of.1 == turn) {
            tokio::time::sleep(dice.pause(0, 200)).await;
            volunteer.kill().await;
            volunteer.start();
        }
        let (least, most) = match (is_ahead, turn % 4) {
            (true, _) => SHORT_LIFE_MS,
            (false, 3) => LONG_LIFE_MS,
            (false, _) => LIFE_MS,
        };
        tokio::time::sleep(dice.pause(least, most)).await;
        stage.operator.kill().await;
        stage.operator.start();
        // Half of the lives are counted from the first answer, half may end before it.
        if dice.coin() {
            stage.operator.answers().await;
            let order = stage.operator.api().order(order).await.unwrap();
            eprintln!("kill {}: {} of {} tasks settled", turn + 1, order.settled, order.tasks);
            is_ahead = u64::from(order.settled) * KILLS > u64::from(order.tasks) * (turn + 1);
        }
    }
    stage.operator.answers().await;
    let order = stage.operator.api().order(order).await.unwrap();
    eprintln!("after the last kill: {} of {} tasks settled", order.settled, order.tasks);
    assert!(order.settled < order.tasks, "the bag was empty before the last kill; make it larger");
}
