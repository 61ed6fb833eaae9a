//! The icon's menu, as panels read it: `com.canonical.dbusmenu`. It never changes, so nothing is ever announced.

use super::Chosen;
use std::collections::BTreeMap;
use tokio::sync::mpsc;
use zbus::{OwnedVariant, Variant, fdo, interface};

/// Number, label, choice.
const ENTRIES: [(i32, &str, Chosen); 4] = [
    (1, "Run", Chosen::Run),
    (2, "Finish", Chosen::Finish),
    (3, "Pause", Chosen::Pause),
    (4, "Open page", Chosen::Open),
];

type Properties = BTreeMap<String, OwnedVariant>;
/// An entry, and those below it.
type Layout = (i32, Properties, Vec<OwnedVariant>);

/// The menu.
pub(super) struct Menu {
    chosen: mpsc::Sender<Chosen>,
}

impl Menu {
    pub(super) fn new(chosen: mpsc::Sender<Chosen>) -> Self {
        Self { chosen }
    }

    fn click(&self, id: i32, event: &str) -> fdo::Result<()> {
        let entry = ENTRIES.iter().find(|(known, ..)| *known == id);
        let Some((_, _, choice)) = entry else {
            return Err(fdo::Error::InvalidArgs(format!("no entry {id}: expected 1 to 4")));
        };
        if event == "clicked" {
            // Who clicks so fast that eight wait is answered by the first.
            let _ = self.chosen.try_send(*choice);
        }
        Ok(())
    }
}

fn properties(id: i32) -> Properties {
    let text = |name: &str, value: &str| {
        Some((name.to_owned(), Variant::from(value).try_to_owned().ok()?))
    };
    let entry = ENTRIES.iter().find(|(known, ..)| *known == id);
    let of_it = match entry {
        Some((_, label, _)) => text("label", label),
        None => text("children-display", "submenu"),
    };
    of_it.into_iter().collect()
}

#[interface(name = "com.canonical.dbusmenu")]
impl Menu {
    #[zbus(property)]
    fn version(&self) -> u32 {
        3
    }

    #[zbus(property)]
    fn status(&self) -> String {
        "normal".into()
    }

    #[zbus(property)]
    fn text_direction(&self) -> String {
        "ltr".into()
    }

    #[zbus(property)]
    fn icon_theme_path(&self) -> Vec<String> {
        Vec::new()
    }

    fn get_layout(&self, parent: i32, depth: i32, _names: Vec<String>) -> (u32, Layout) {
        let below = |(id, ..): &(i32, &str, Chosen)| {
            let entry: (i32, Properties, Vec<OwnedVariant>) = (*id, properties(*id), Vec::new());
            Variant::new(entry).try_into_owned().ok()
        };
        let shown = parent == 0 && depth != 0;
        let below = if shown { ENTRIES.iter().filter_map(below).collect() } else { Vec::new() };
        (1, (parent, properties(parent), below))
    }

    fn get_group_properties(&self, ids: Vec<i32>, _names: Vec<String>) -> Vec<(i32, Properties)> {
        ids.into_iter().take(ENTRIES.len() + 1).map(|id| (id, properties(id))).collect()
    }

    fn get_property(&self, id: i32, name: String) -> fdo::Result<OwnedVariant> {
        let none = || fdo::Error::InvalidArgs(format!("entry {id} has no `{name}`"));
        properties(id).remove(&name).ok_or_else(none)
    }

    fn event(&self, id: i32, event: String, _data: OwnedVariant, _at: u32) -> fdo::Result<()> {
        self.click(id, &event)
    }

    fn event_group(&self, events: Vec<(i32, String, OwnedVariant, u32)>) -> Vec<i32> {
        let failed = |(id, event, ..): (i32, String, OwnedVariant, u32)| {
            self.click(id, &event).is_err().then_some(id)
        };
        events.into_iter().filter_map(failed).collect()
    }

    fn about_to_show(&self, _id: i32) -> bool {
        false
    }

    fn about_to_show_group(&self, _ids: Vec<i32>) -> (Vec<i32>, Vec<i32>) {
        (Vec::new(), Vec::new())
    }
}
