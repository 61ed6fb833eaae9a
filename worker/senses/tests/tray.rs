//! The icon beside the clock, on a real message bus; the panel is played by its documented names and types. No real
//! panel of KDE or GNOME has shown it yet.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/programs.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod programs;

use programs::Bus;
use quorate_senses::tray::{self, Chosen, Look};
use std::{collections::BTreeMap, time::Duration};
use tokio::sync::{mpsc, watch};
use zbus::{Connection, OwnedVariant, Variant, connection};

const PATIENCE: Duration = Duration::from_secs(30);

struct Watcher(mpsc::Sender<String>);

#[zbus::interface(name = "org.kde.StatusNotifierWatcher")]
impl Watcher {
    fn register_status_notifier_item(&self, service: String) {
        self.0.try_send(service).unwrap();
    }
}

async fn panel(bus: &Bus) -> (Connection, mpsc::Receiver<String>) {
    let (told, heard) = mpsc::channel(8);
    let panel = connection::Builder::address(bus.address.as_str())
        .name("org.kde.StatusNotifierWatcher")
        .serve_at("/StatusNotifierWatcher", Watcher(told));
    (panel.build().await.unwrap(), heard)
}

async fn soon<T>(what: &str, step: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, step).await.unwrap_or_else(|_| panic!("waited for {what}"))
}

async fn property(panel: &Connection, item: &str, name: &str) -> OwnedVariant {
    let body = ("org.kde.StatusNotifierItem", name);
    let properties = Some("org.freedesktop.DBus.Properties");
    let got = panel.call_method(Some(item), "/StatusNotifierItem", properties, "Get", &body).await;
    got.unwrap().body().deserialize().unwrap()
}

fn look(title: &str) -> Look {
    let sentence = "not working: you paused it".to_owned();
    Look { title: title.into(), sentence, icon: "media-playback-pause" }
}

#[tokio::test]
async fn a_panel_shows_it_and_its_menu_works() {
    let Some(bus) = Bus::start() else { return };
    let (host, mut heard) = panel(&bus).await;
    let (looks, seen) = watch::channel(look("Paused"));
    let (chosen, mut choices) = mpsc::channel(8);
    let address = bus.address.clone();
    let showing = tokio::spawn(async move { tray::show(&address, seen, chosen).await });
    let item = soon("the icon", heard.recv()).await.unwrap();
    let title: String = property(&host, &item, "Title").await.try_into().unwrap();
    assert_eq!(title, "Quorate: Paused");
    let icon: String = property(&host, &item, "IconName").await.try_into().unwrap();
    assert_eq!(icon, "media-playback-pause");

    let menu = Some("com.canonical.dbusmenu");
    let all = (0, -1, Vec::<String>::new());
    let call = host.call_method(Some(item.as_str()), "/MenuBar", menu, "GetLayout", &all);
    let layout = call.await.unwrap();
    type Layout = (u32, (i32, BTreeMap<String, OwnedVariant>, Vec<OwnedVariant>));
    let (_, (_, _, entries)): Layout = layout.body().deserialize().unwrap();
    let labels = format!("{entries:?}");
    for label in ["Run", "Finish", "Pause", "Open page"] {
        assert!(labels.contains(&format!("{label:?}")), "{labels}");
    }
    let click = async |id: i32, event: &str| {
        let body = (id, event, Variant::from(""), 0_u32);
        host.call_method(Some(item.as_str()), "/MenuBar", menu, "Event", &body).await
    };
    for (id, choice) in
        [(1, Chosen::Run), (2, Chosen::Finish), (3, Chosen::Pause), (4, Chosen::Open)]
    {
        click(id, "hovered").await.unwrap();
        click(id, "clicked").await.unwrap();
        assert_eq!(soon("a choice", choices.recv()).await, Some(choice));
    }
    assert!(click(9, "clicked").await.is_err());

    looks.send(look("Resting")).unwrap();
    let title: String = property(&host, &item, "Title").await.try_into().unwrap();
    assert_eq!(title, "Quorate: Resting");

    // A panel that is started again is told again.
    host.close().await.unwrap();
    let (_host, mut heard) = panel(&bus).await;
    assert_eq!(soon("the icon again", heard.recv()).await, Some(item));
    drop(looks);
    soon("its end", showing).await.unwrap().unwrap();
}
