//! One panel: what it asks, and how the answer is drawn.

use super::{source, with_selection};
use serde_json::{Value, json};

/// How a panel draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Lines over time.
    Lines,
    /// Areas that add up.
    Stack,
    /// One number, large, with its past behind it.
    Number,
    /// One number, large, alone.
    Word,
    /// Bars, one for each series, now.
    Bars,
    /// Rows, one for each series, now.
    Table,
    /// Words of ours.
    Text,
}

/// An expression, and what its series are called.
#[derive(Clone, Debug)]
pub struct Query {
    /// PromQL with `$S`.
    pub expr: String,
    /// As Grafana's legend format.
    pub legend: &'static str,
}

/// From a value on, a colour.
pub type Step = (f64, &'static str);

/// See the module.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Its title.
    pub title: &'static str,
    /// What it shows, and what to make of it.
    pub description: &'static str,
    /// How it draws.
    pub shape: Shape,
    /// Grafana's name of the unit.
    pub unit: &'static str,
    /// What it asks.
    pub queries: Vec<Query>,
    steps: Vec<Step>,
    size: (u32, u32),
    decimals: Option<u8>,
    max: Option<f64>,
    names: &'static [(&'static str, &'static str)],
    colors: &'static [(&'static str, &'static str)],
    empty: Option<&'static str>,
}

impl Panel {
    fn new(
        shape: Shape,
        title: &'static str,
        unit: &'static str,
        description: &'static str,
    ) -> Self {
        let size = match shape {
            Shape::Lines | Shape::Stack => (8, 7),
            Shape::Number | Shape::Word => (4, 4),
            Shape::Bars | Shape::Table | Shape::Text => (8, 7),
        };
        Self {
            title,
            description,
            shape,
            unit,
            size,
            queries: Vec::new(),
            steps: Vec::new(),
            decimals: None,
            max: None,
            names: &[],
            colors: &[],
            empty: None,
        }
    }

    pub(super) fn lines(
        title: &'static str,
        unit: &'static str,
        description: &'static str,
    ) -> Self {
        Self::new(Shape::Lines, title, unit, description)
    }

    pub(super) fn stack(
        title: &'static str,
        unit: &'static str,
        description: &'static str,
    ) -> Self {
        Self::new(Shape::Stack, title, unit, description)
    }

    pub(super) fn number(
        title: &'static str,
        unit: &'static str,
        description: &'static str,
    ) -> Self {
        Self::new(Shape::Number, title, unit, description)
    }

    pub(super) fn word(title: &'static str, unit: &'static str, description: &'static str) -> Self {
        Self::new(Shape::Word, title, unit, description)
    }

    pub(super) fn bars(title: &'static str, unit: &'static str, description: &'static str) -> Self {
        Self::new(Shape::Bars, title, unit, description)
    }

    pub(super) fn table(
        title: &'static str,
        unit: &'static str,
        description: &'static str,
    ) -> Self {
        Self::new(Shape::Table, title, unit, description)
    }

    /// Asks one more question.
    pub(super) fn ask(mut self, legend: &'static str, expr: impl Into<String>) -> Self {
        self.queries.push(Query { expr: expr.into(), legend });
        self
    }

    /// Colours from values on; below the first it is green, unless that is from minus infinity on.
    pub(super) fn steps(mut self, steps: &[Step]) -> Self {
        self.steps = steps.to_vec();
        self
    }

    pub(super) fn wide(mut self, width: u32) -> Self {
        self.size.0 = width;
        self
    }

    pub(super) fn high(mut self, height: u32) -> Self {
        self.size.1 = height;
        self
    }

    pub(super) fn decimals(mut self, decimals: u8) -> Self {
        self.decimals = Some(decimals);
        self
    }

    /// Where bars are full.
    pub(super) fn max(mut self, max: f64) -> Self {
        self.max = Some(max);
        self
    }

    /// What values are called.
    pub(super) fn named(mut self, names: &'static [(&'static str, &'static str)]) -> Self {
        self.names = names;
        self
    }

    /// Colours of series, by name.
    pub(super) fn colored(mut self, colors: &'static [(&'static str, &'static str)]) -> Self {
        self.colors = colors;
        self
    }

    /// What is said where there is nothing to show, and that it is well so.
    pub(super) fn empty(mut self, words: &'static str) -> Self {
        self.empty = Some(words);
        self
    }

    /// Whether no data is a good answer.
    pub fn may_be_empty(&self) -> bool {
        self.empty.is_some()
    }

    /// Columns and lines it takes.
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    pub(super) fn json(&self, id: u32, place: &Value) -> Value {
        let kind = match self.shape {
            Shape::Lines | Shape::Stack => "timeseries",
            Shape::Number | Shape::Word => "stat",
            Shape::Bars => "bargauge",
            Shape::Table => "table",
            Shape::Text => "text",
        };
        json!({
            "id": id, "type": kind, "title": self.title, "description": self.description,
            "gridPos": place, "datasource": source(), "transparent": false,
            "targets": self.targets(),
            "fieldConfig": { "defaults": self.defaults(), "overrides": self.overrides() },
            "options": self.options(),
            "transformations": self.transformations(),
        })
    }

    fn targets(&self) -> Vec<Value> {
        let now = matches!(self.shape, Shape::Bars | Shape::Table | Shape::Word);
        let target = |(at, query): (usize, &Query)| {
            json!({
                "refId": char::from(b'A' + at as u8).to_string(),
                "datasource": source(),
                "expr": with_selection(&query.expr), "legendFormat": query.legend,
                "editorMode": "code", "range": !now, "instant": now,
                "format": if self.shape == Shape::Table { "table" } else { "time_series" },
            })
        };
        self.queries.iter().enumerate().map(target).collect()
    }

    fn defaults(&self) -> Value {
        let (below, steps) = match self.steps.split_first() {
            Some(((from, color), rest)) if from.is_infinite() => (*color, rest),
            _ => ("green", self.steps.as_slice()),
        };
        let below = json!({ "color": below, "value": null });
        let steps = steps.iter().map(|(from, color)| json!({ "color": color, "value": from }));
        let steps: Vec<Value> = std::iter::once(below).chain(steps).collect();
        let single = matches!(self.shape, Shape::Number | Shape::Word | Shape::Bars);
        let mode = if single { "thresholds" } else { "palette-classic" };
        let mut defaults = json!({
            "unit": self.unit, "color": { "mode": mode },
            "thresholds": { "mode": "absolute", "steps": steps },
            "mappings": self.mappings(), "custom": self.custom(),
        });
        if let Some(decimals) = self.decimals {
            defaults["decimals"] = decimals.into();
        }
        if let Some(max) = self.max {
            (defaults["max"], defaults["min"]) = (max.into(), 0.into());
        }
        if let Some(words) = self.empty {
            defaults["noValue"] = words.into();
        }
        defaults
    }

    fn mappings(&self) -> Value {
        let nothing = self.empty.map(|words| {
            let result = json!({ "text": words, "color": "green", "index": 0 });
            json!({ "type": "special", "options": { "match": "null+nan", "result": result } })
        });
        if self.names.is_empty() {
            return nothing.into_iter().collect();
        }
        let named = |(at, (value, name)): (usize, &(&str, &str))| {
            ((*value).to_owned(), json!({ "text": name, "index": at }))
        };
        let options: serde_json::Map<_, _> = self.names.iter().enumerate().map(named).collect();
        json!([{ "type": "value", "options": options }])
    }

    fn custom(&self) -> Value {
        let (fill, stacking) = match self.shape {
            Shape::Stack => (35, "normal"),
            Shape::Lines => (8, "none"),
            Shape::Table => return json!({ "align": "auto", "cellOptions": { "type": "auto" } }),
            Shape::Number | Shape::Word | Shape::Bars | Shape::Text => return json!({}),
        };
        let limits = if self.steps.is_empty() { "off" } else { "dashed" };
        json!({
            "drawStyle": "line", "lineWidth": 1, "fillOpacity": fill, "showPoints": "never",
            "lineInterpolation": "linear", "spanNulls": false, "axisSoftMin": 0,
            "stacking": { "mode": stacking, "group": "A" }, "thresholdsStyle": { "mode": limits },
        })
    }

    fn overrides(&self) -> Vec<Value> {
        let of = |(name, color): &(&str, &str)| {
            json!({
                "matcher": { "id": "byName", "options": name },
                "properties": [{ "id": "color", "value": { "mode": "fixed", "fixedColor": color } }],
            })
        };
        self.colors.iter().map(of).collect()
    }

    fn options(&self) -> Value {
        let reduce = json!({ "calcs": ["lastNotNull"], "fields": "", "values": false });
        match self.shape {
            Shape::Lines | Shape::Stack => json!({
                "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": [] },
                "tooltip": { "mode": "multi", "sort": "desc" },
            }),
            Shape::Number | Shape::Word => json!({
                "colorMode": "value", "justifyMode": "auto", "textMode": "auto",
                "graphMode": if self.shape == Shape::Number { "area" } else { "none" },
                "orientation": "auto", "reduceOptions": reduce, "wideLayout": true,
            }),
            Shape::Bars => json!({
                "displayMode": "basic", "orientation": "horizontal", "reduceOptions": reduce,
                "showUnfilled": true, "valueMode": "color", "namePlacement": "auto", "sizing": "auto",
            }),
            Shape::Table => {
                json!({ "showHeader": true, "cellHeight": "sm", "footer": { "show": false } })
            }
            Shape::Text => json!({ "mode": "markdown", "content": self.description }),
        }
    }

    /// A table shows labels and the value, not when it was asked.
    fn transformations(&self) -> Value {
        if self.shape != Shape::Table {
            return json!([]);
        }
        json!([{
            "id": "organize",
            "options": {
                "excludeByName": { "Time": true, "__name__": true, "job": true },
                "indexByName": {}, "renameByName": { "Value": self.queries[0].legend },
            },
        }])
    }
}
