//! The icon of the real session agent, on a real X server and a real message bus: its menu does what commands do.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/program.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod program;
#[path = "../senses/tests/support/programs.rs"]
mod programs;
#[path = "support/scheduler.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod scheduler;

use program::{command, ends, run, start};
use programs::{Bus, XServer};
use scheduler::{Scheduler, soon};
use serde_json::Value;
use std::{
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

const PAUSE: Duration = Duration::from_millis(100);

/// Killed when the test is over.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn status(dir: &Path) -> Value {
    serde_json::from_str(&ends(dir, &["--json", "status"], 0).0).unwrap()
}

/// Asks the icon something over the bus, as a panel does.
fn ask(bus: &Bus, agent: &Agent, path: &str, method: &str, body: &[&str]) -> Output {
    let item = format!("--dest=org.kde.StatusNotifierItem-{}-1", agent.0.id());
    let mut command = Command::new("dbus-send");
    command.env("DBUS_SESSION_BUS_ADDRESS", &bus.address);
    command.args(["--session", "--print-reply", &item, path, method]).args(body).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_icons_menu_pauses_and_resumes() {
    let (Some(server), Some(bus)) = (XServer::start(), Bus::start()) else { return };
    let scheduler = Scheduler::start();
    let dir = tempfile::tempdir().unwrap();
    ends(dir.path(), &["join", &scheduler.invite().to_string(), "--offline"], 0);
    ends(dir.path(), &["set", "page.listen=127.0.0.1:0"], 0);
    let _worker = start(dir.path(), &["run"]);
    soon("the worker", async {
        while !run(dir.path(), &["open", "--print"]).status.success() {
            tokio::time::sleep(PAUSE).await;
        }
    })
    .await;
    let agent = command(dir.path(), &["session"])
        .env("DISPLAY", &server.display)
        .env("DBUS_SESSION_BUS_ADDRESS", &bus.address)
        .stdout(Stdio::null())
        .spawn();
    let agent = Agent(agent.unwrap());
    let (menu, event) = ("/MenuBar", "com.canonical.dbusmenu.Event");
    let click = |id: &str| {
        let body = [id, "string:clicked", "variant:string:", "uint32:0"];
        ask(&bus, &agent, menu, event, &body).status.success()
    };
    soon("the icon", async {
        while !click("int32:3") {
            tokio::time::sleep(PAUSE).await;
        }
    })
    .await;
    let reason = async |wanted: &str| {
        soon(wanted, async {
            while status(dir.path())["why"]["reason"] != wanted {
                tokio::time::sleep(PAUSE).await;
            }
        })
        .await;
    };
    reason("paused").await;
    let title = ["string:org.kde.StatusNotifierItem", "string:Title"];
    soon("its words", async {
        loop {
            let get = "org.freedesktop.DBus.Properties.Get";
            let told = ask(&bus, &agent, "/StatusNotifierItem", get, &title);
            if String::from_utf8_lossy(&told.stdout).contains("Quorate: Paused") {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    })
    .await;
    assert!(click("int32:2"));
    reason("finished").await;
    assert!(click("int32:1"));
    reason("no_connection").await;
}
