//! The owner's page: HTML made here, on this machine's own address, readable without scripts. It asks and shows;
//! whatever it changes goes the way of the control socket's commands, and nothing is decided here.
//!
//! Left out: passwords (who may read the worker's folder may do all of this on the command line), and anything that
//! runs while nobody looks.

mod answer;
mod assets;
mod card;
mod door;
mod earnings;
mod fields;
mod form;
mod frame;
mod key;
mod log;
mod machine;
mod machines;
mod prefs;
pub(crate) mod show;
mod trust;
mod week;

pub(crate) use answer::{Answer, html};
pub(crate) use card::heading;
pub(crate) use door::{Door, Site, Visit, serve};
pub(crate) use frame::Frame;
pub(crate) use key::Key;

use crate::{
    cli::{Config, Global},
    control::{Ask, Asked, Told},
    status::Status,
};
use quorate_common::exit::{Code, Failure};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// Flags of `run`: name, key, value.
pub(crate) type Flags = [(&'static str, &'static str, Option<String>); 2];

/// What the page is made of.
#[derive(Debug)]
pub(crate) struct Page {
    /// What the command line said, so that the configuration is read as the worker reads it.
    pub(crate) said: (Global, Flags),
    /// The control socket's way.
    pub(crate) commands: mpsc::Sender<Asked>,
    /// The worker as `status` shows it.
    pub(crate) shown: watch::Receiver<Status>,
}

impl Site for Page {
    async fn visit(self: Arc<Self>, visit: Visit) -> Result<Answer, Failure> {
        let path = visit.path.clone();
        match (visit.acts, path.as_str()) {
            (false, "/") => card::page(&self, &visit),
            (true, "/wish") => card::wish(self, visit).await,
            (false, "/preferences") => prefs::page(&self, &visit),
            (true, "/preferences") => prefs::save(self, visit).await,
            (false, "/schedule") => week::page(&self, &visit),
            (true, "/schedule") => week::save(self, visit).await,
            (false, "/machine") => machine::page(&self, &visit),
            (true, "/clear") => machine::clear(self).await,
            (true, "/leave") => machine::leave(self, visit).await,
            (false, "/machines") => machines::page(self, visit).await,
            (true, "/machines") => machines::act(self, visit).await,
            (true, "/machines/forget") => machines::forget(&self, &visit),
            (false, "/earnings") => earnings::page(self, visit).await,
            (true, "/claim") => earnings::claim(self, visit).await,
            (false, "/trust") => trust::page(&self, &visit),
            (false, "/log") => log::page(&self, &visit),
            (false, _) => self.saved(&visit, &path),
            (true, _) => Err(no_page(&path)),
        }
    }
}

pub(crate) fn no_page(path: &str) -> Failure {
    let path: String = path.chars().take(80).collect();
    Failure::new(Code::NotFound, format!("there is no page {path}"))
        .hint("the menu has all of them")
}

impl Page {
    /// Files to be saved.
    fn saved(&self, visit: &Visit, path: &str) -> Result<Answer, Failure> {
        match path.trim_start_matches('/').split_once('/') {
            Some(("receipt", id)) => earnings::receipt(self, visit, id),
            Some(("evidence", name)) => trust::saved(self, name),
            _ => Err(no_page(path)),
        }
    }

    /// The configuration as it is now.
    fn config(&self) -> Result<Config, Failure> {
        Config::load(&self.said.0, &self.said.1)
    }

    /// The command line without its `--set`: what is written is what the owner saves.
    fn written(&self) -> Global {
        Global { set: Vec::new(), ..self.said.0.clone() }
    }

    fn status(&self) -> Status {
        self.shown.borrow().clone()
    }

    fn frame(&self, visit: &Visit, here: &'static str, title: &str) -> Frame {
        let name = self.shown.borrow().name.clone();
        Frame { here, name, token: visit.token.clone(), ..Frame::bare(title) }
    }

    /// Says it to the worker, as the socket would.
    async fn ask(&self, ask: Ask) -> Result<(), Failure> {
        let (answer, told) = oneshot::channel();
        let gone = || Failure::new(Code::Unreachable, "the worker ends");
        self.commands.send(Asked { ask, answer }).await.map_err(|_| gone())?;
        match told.await.map_err(|_| gone())? {
            Told::Status { .. } | Told::Page { .. } => Ok(()),
            Told::Refused { why } => Err(Failure::new(Code::Conflict, why)),
        }
    }
}
