//! An icon beside the clock, with a menu: a StatusNotifierItem on the session's bus, which KDE shows by itself and
//! GNOME with an extension. What is shown comes through a channel, what was chosen goes through another.
//!
//! By zbus itself, that this crate speaks anyway: the crates that do it (ksni 0.3) bring a second zbus with them.
//! Left out: desktops that know the older XEmbed trays only, and pictures of our own: names of the desktop's theme.

use crate::tray::menu::Menu;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use zbus::{Connection, OwnedObjectPath, connection, interface, object_server::SignalEmitter};

mod menu;

const WATCHER: &str = "org.kde.StatusNotifierWatcher";
const WATCHER_PATH: &str = "/StatusNotifierWatcher";
const ITEM_PATH: &str = "/StatusNotifierItem";
const MENU_PATH: &str = "/MenuBar";
/// Pause between two looks for a panel: one that was started again has forgotten the icon.
const LOOK: Duration = Duration::from_secs(10);
/// A panel answers between two frames.
const ANSWER: Duration = Duration::from_secs(5);

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// Work.
    Run,
    /// End what is here.
    Finish,
    /// Rest.
    Pause,
    /// Show the page.
    Open,
}

/// What the icon says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// One word: `Working`.
    pub title: String,
    /// The sentence of `status`.
    pub sentence: String,
    /// A name of the desktop's icon theme.
    pub icon: &'static str,
}

struct Item {
    look: watch::Receiver<Look>,
    chosen: mpsc::Sender<Chosen>,
}

/// A picture: width, height, bytes.
type Pixmap = (i32, i32, Vec<u8>);

#[interface(name = "org.kde.StatusNotifierItem")]
impl Item {
    #[zbus(property)]
    fn category(&self) -> String {
        "SystemServices".into()
    }

    #[zbus(property)]
    fn id(&self) -> String {
        "quorate-worker".into()
    }

    #[zbus(property)]
    fn title(&self) -> String {
        format!("Quorate: {}", self.look.borrow().title)
    }

    #[zbus(property)]
    fn status(&self) -> String {
        "Active".into()
    }

    #[zbus(property)]
    fn window_id(&self) -> i32 {
        0
    }

    #[zbus(property)]
    fn icon_name(&self) -> String {
        self.look.borrow().icon.into()
    }

    #[zbus(property)]
    fn icon_theme_path(&self) -> String {
        String::new()
    }

    #[zbus(property)]
    fn tool_tip(&self) -> (String, Vec<Pixmap>, String, String) {
        let look = self.look.borrow();
        (look.icon.into(), Vec::new(), format!("Quorate: {}", look.title), look.sentence.clone())
    }

    #[zbus(property)]
    fn item_is_menu(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn menu(&self) -> OwnedObjectPath {
        OwnedObjectPath::try_from(MENU_PATH).expect("it is a path")
    }

    /// A click on the icon itself.
    fn activate(&self, _x: i32, _y: i32) {
        // Who clicks so fast that eight wait is answered by the first.
        let _ = self.chosen.try_send(Chosen::Open);
    }

    #[zbus(signal)]
    async fn new_title(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn new_icon(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn new_tool_tip(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;
}

/// Shows the icon on the session's bus for as long as there is something to show.
///
/// # Errors
/// No bus, or it ended.
pub async fn show(
    bus: &str,
    mut look: watch::Receiver<Look>,
    chosen: mpsc::Sender<Chosen>,
) -> zbus::Result<()> {
    let menu = Menu::new(chosen.clone());
    let name = format!("org.kde.StatusNotifierItem-{}-1", std::process::id());
    let connection = connection::Builder::address(bus)
        .method_timeout(ANSWER)
        .name(name.as_str())
        .serve_at(ITEM_PATH, Item { look: look.clone(), chosen })
        .serve_at(MENU_PATH, menu)
        .build()
        .await?;
    let emitter = SignalEmitter::new(&connection, ITEM_PATH)?;
    let mut watcher = None;
    loop {
        watcher = register(&connection, &name, watcher).await;
        tokio::select! {
            changed = look.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                Item::new_title(&emitter).await?;
                Item::new_icon(&emitter).await?;
                Item::new_tool_tip(&emitter).await?;
            }
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Tells the panel that is there, unless it was told; which one that is.
async fn register(connection: &Connection, name: &str, told: Option<String>) -> Option<String> {
    let bus = "org.freedesktop.DBus";
    let call = connection.call_method(
        Some(bus),
        "/org/freedesktop/DBus",
        Some(bus),
        "GetNameOwner",
        &(WATCHER,),
    );
    let owner: String = call.await.ok()?.body().deserialize().ok()?;
    if told.as_ref() == Some(&owner) {
        return told;
    }
    let (method, body) = ("RegisterStatusNotifierItem", (name,));
    let call = connection.call_method(Some(WATCHER), WATCHER_PATH, Some(WATCHER), method, &body);
    call.await.ok().map(|_| owner)
}
