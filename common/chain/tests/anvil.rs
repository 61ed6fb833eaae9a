//! The whole scenario against a real node, when `QUORATE_ANVIL` names an anvil binary.
//!
//! Without it the test says so and ends: what is then unproven is only that anvil agrees with the
//! embedded node, on which the same scenario always runs.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and must be heard")]

#[expect(dead_code, reason = "the other tests use the rest")]
#[path = "support/anvil.rs"]
mod anvil;
#[expect(dead_code, reason = "the other tests use the rest")]
#[path = "support/scenario.rs"]
mod scenario;

use anvil::{Anvil, url_of};
use quorate_chain::{Chain, Finality};

#[tokio::test]
async fn a_whole_deal_on_anvil() {
    let Some(anvil) = Anvil::start(&[]).await else { return };
    scenario::whole_deal(&anvil.chain, Finality::Latest).await;
}

#[tokio::test]
async fn a_whole_deal_through_three_doors_of_anvil() {
    let Some(anvil) = Anvil::start(&[]).await else { return };
    // The same node by three names: what is tried is that agreement does not stand in the way.
    let port = anvil.port;
    let names = ["127.0.0.1:PORT", "localhost:PORT", "127.0.0.1:PORT/x"];
    let names = names.map(|name| format!("http://{}", name.replace("PORT", &port.to_string())));
    let urls = quorate_chain::ChainUrl::parse_all(&names).unwrap();
    assert!(Chain::connect_all(&[url_of(port), url_of(port)]).is_err(), "one node named twice");
    let chain = Chain::connect_all(&urls).unwrap();
    scenario::whole_deal(&chain, Finality::Latest).await;
}
