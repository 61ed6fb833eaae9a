//! What all pages share: title, menu, the token of their forms.

use super::assets;

/// Around every page.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// Of the page.
    pub(crate) title: String,
    /// Its place in the menu; empty: no menu.
    pub(crate) here: &'static str,
    /// The worker's name.
    pub(crate) name: String,
    /// What its forms bring back.
    pub(crate) token: String,
    /// Names this build's assets.
    pub(crate) version: &'static str,
    /// Whether the page shows what changes, and loads it again while somebody looks.
    pub(crate) live: bool,
}

/// The menu: path, name.
pub(super) const MENU: [(&str, &str); 8] = [
    ("/", "Now"),
    ("/earnings", "Earnings"),
    ("/trust", "Reputation"),
    ("/preferences", "Preferences"),
    ("/schedule", "Schedule"),
    ("/machine", "Machine"),
    ("/machines", "Machines"),
    ("/log", "Log"),
];

impl Frame {
    /// Of a page without a menu.
    pub(crate) fn bare(title: &str) -> Self {
        Self {
            title: title.into(),
            here: "",
            name: "Quorate".into(),
            token: String::new(),
            version: assets::version(),
            live: false,
        }
    }

    pub(crate) fn menu(&self) -> [(&'static str, &'static str); 8] {
        MENU
    }
}
