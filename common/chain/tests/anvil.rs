//! The whole scenario against a real node, when `QUORATE_ANVIL` names an anvil binary.
//!
//! Without it the test says so and ends: what is then unproven is only that anvil agrees with the
//! embedded node, on which the same scenario always runs.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and must be heard")]

#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "support/scenario.rs"]
mod scenario;

use quorate_chain::Finality;
use quorate_chain::transport::{Chain, ChainUrl};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Ends the node with the test, however the test ends.
struct Anvil(Child);

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_whole_deal_on_anvil() {
    let Some(binary) = std::env::var_os("QUORATE_ANVIL") else {
        eprintln!("SKIPPED a_whole_deal_on_anvil: QUORATE_ANVIL does not name an anvil binary");
        return;
    };
    // The port is free when asked; anvil fails loudly if somebody takes it in between.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = Command::new(&binary)
        .args(["--silent", "--port", &port.to_string()])
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("QUORATE_ANVIL={}: {error}", binary.display()));
    let mut anvil = Anvil(child);
    let url = ChainUrl::parse(&format!("http://127.0.0.1:{port}")).unwrap();
    let chain = Chain::connect(&url).unwrap();
    wait_until_up(&mut anvil, &chain).await;
    scenario::whole_deal(&chain, Finality::Latest).await;
}

async fn wait_until_up(anvil: &mut Anvil, chain: &Chain) {
    for _ in 0..200 {
        if chain.chain_id().await.is_ok() {
            return;
        }
        assert_eq!(anvil.0.try_wait().unwrap(), None, "anvil ended by itself");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("anvil does not answer");
}
