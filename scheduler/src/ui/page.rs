//! What all pages share: title, menu, who is logged in.

use super::{Ui, assets, error::PageError, session::Who};
use actix_web::HttpResponse;
use askama::Template;

/// Around every page.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Of the page.
    pub(super) title: String,
    /// Its place in the menu; empty: none.
    pub(super) here: &'static str,
    /// The pool's name.
    pub(super) pool: String,
    /// Who is logged in; empty: nobody.
    pub(super) operator: String,
    /// Whether that one may act.
    pub(super) acts: bool,
    /// What its forms bring back.
    pub(super) csrf: String,
    /// Names this build's assets.
    pub(super) version: &'static str,
    /// Whether the page shows what changes, and loads it again by itself.
    pub(super) live: bool,
}

/// The menu: path, name.
pub(super) const MENU: [(&str, &str); 7] = [
    ("/ui", "Overview"),
    ("/ui/workers", "Workers"),
    ("/ui/orders", "Orders"),
    ("/ui/trust", "Trust"),
    ("/ui/money", "Money"),
    ("/ui/health", "Health"),
    ("/ui/log", "Log"),
];

impl Frame {
    /// Of a page for somebody.
    pub(super) fn new(ui: &Ui, who: &Who, here: &'static str, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            here,
            pool: ui.state.shared.pool.to_string(),
            operator: who.operator.name.clone(),
            acts: who.acts(),
            csrf: who.csrf.clone(),
            version: assets::version(),
            live: false,
        }
    }

    /// Of a page that changes while one looks.
    pub(super) fn live(self) -> Self {
        Self { live: true, ..self }
    }

    /// Of a page for nobody in particular.
    pub(super) fn bare(title: &str) -> Self {
        Self {
            title: title.into(),
            here: "",
            pool: "Quorate".into(),
            operator: String::new(),
            acts: false,
            csrf: String::new(),
            version: assets::version(),
            live: false,
        }
    }

    pub(super) fn menu(&self) -> [(&'static str, &'static str); 7] {
        MENU
    }
}

/// A page as it goes out.
pub(super) fn html(page: &impl Template) -> Result<HttpResponse, PageError> {
    let text = page.render()?;
    Ok(HttpResponse::Ok().content_type("text/html; charset=utf-8").body(text))
}

/// Where somebody is in a long list.
#[derive(Clone, Debug)]
pub(super) struct Pager {
    /// `1–50 of 1,234 workers`.
    pub(super) text: String,
    /// Query of the page before; empty: none.
    pub(super) before: String,
    /// Query of the next page; empty: none.
    pub(super) next: String,
}

impl Pager {
    /// Of `shown` rows from `from` on, of `total`; `query` are the page's other parameters.
    pub(super) fn new(from: usize, shown: usize, total: usize, limit: usize, query: &str) -> Self {
        let place = |from: usize| {
            if query.is_empty() { format!("?from={from}") } else { format!("?{query}&from={from}") }
        };
        let text = match shown {
            0 => format!("0 of {}", super::show::count(total as u64)),
            _ => format!(
                "{}–{} of {}",
                super::show::count(from as u64 + 1),
                super::show::count((from + shown) as u64),
                super::show::count(total as u64)
            ),
        };
        Self {
            text,
            before: if from > 0 { place(from.saturating_sub(limit)) } else { String::new() },
            next: if from + shown < total { place(from + shown) } else { String::new() },
        }
    }
}

/// Escapes what somebody typed for a query.
pub(super) fn in_query(text: &str) -> String {
    let plain = |c: &u8| c.is_ascii_alphanumeric() || b"-_.".contains(c);
    text.bytes()
        .map(|c| if plain(&c) { char::from(c).to_string() } else { format!("%{c:02X}") })
        .collect()
}
