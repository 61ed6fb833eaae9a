//! Why nothing is scheduled: every answer, made.

use crate::{
    fake::{Fake, Habit::Slow},
    world::{Asks, PRICE, World},
};
use quorate_grid::PoolExplanation;

fn one(tasks: u32) -> Asks {
    Asks { tasks, trust: 1, ..Asks::default() }
}

fn told(world: &mut World) -> PoolExplanation {
    world.run();
    world.grid.explain_pool()
}

#[test]
fn a_pool_says_what_it_lacks() {
    let mut world = World::new();
    assert_eq!(told(&mut world).reason, "nobody");
    world.worker(Fake::new(1, 1, Slow));
    assert_eq!(told(&mut world).reason, "no_orders");
    world.deal(one(1));
    let all_busy = told(&mut world);
    assert_eq!((all_busy.reason, all_busy.stuck, all_busy.busy), ("running", false, 1));
    world.deal(one(40));
    let full = told(&mut world);
    assert_eq!((full.reason, full.stuck), ("full", false));
    assert!(full.queued + full.open >= 40, "{full:?}");
    world.disconnect(1);
    let gone = told(&mut world);
    assert_eq!((gone.reason, gone.stuck), ("offline", true));
}

#[test]
fn what_keeps_all_workers_out_is_the_pools_reason() {
    let mut world = World::new();
    let mut dear = Fake::new(1, 1, Slow);
    dear.ask = PRICE + 1;
    world.worker(dear);
    world.deal(one(3));
    let told = told(&mut world);
    assert_eq!((told.reason, told.stuck), ("price", true));
    assert_eq!(told.waiting[0].tasks, 3);
    assert!(told.hint.contains("higher price"), "{}", told.hint);
}
