//! An order's event stream: server-sent events become [`ServerEvent`]s. It ends when the scheduler
//! ends it or the connection breaks; who follows an order connects again.

use super::sse::{Event, Parser};
use quorate_common::{
    api::{OrderView, TaskEvent},
    exit::{Code, Failure},
    report::Chain,
};
use reqwest::Response;
use serde::de::DeserializeOwned;
use std::collections::VecDeque;

/// What happened to an order.
#[derive(Clone, Debug)]
pub enum ServerEvent {
    /// Where the order stands.
    Order(Box<OrderView>),
    /// A task is over.
    Task(TaskEvent),
    /// Events were dropped: read the order again.
    Lagged,
}

/// A stream of events.
#[derive(Debug)]
pub struct Events {
    response: Response,
    parser: Parser,
    ready: VecDeque<ServerEvent>,
}

impl Events {
    pub(super) fn new(response: Response) -> Self {
        Self { response, parser: Parser::default(), ready: VecDeque::new() }
    }

    /// The next event; `None` at the end of the stream.
    ///
    /// # Errors
    /// [`Code::Unreachable`] if the connection broke, [`Code::Conflict`] if the events are not ours.
    pub async fn next(&mut self) -> Result<Option<ServerEvent>, Failure> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let piece = self.response.chunk().await.map_err(|error| {
                Failure::new(
                    Code::Unreachable,
                    format!("the event stream broke: {}", Chain(&error)),
                )
            })?;
            let Some(piece) = piece else { return Ok(None) };
            let mut events = Vec::new();
            self.parser.feed(&piece, &mut events).map_err(|error| strange(&error))?;
            for event in &events {
                self.ready.extend(meaning(event)?);
            }
        }
    }
}

/// Events of later versions are passed over.
fn meaning(event: &Event) -> Result<Option<ServerEvent>, Failure> {
    match event.name.as_str() {
        "order" => Ok(Some(ServerEvent::Order(Box::new(parse(event)?)))),
        "task" => Ok(Some(ServerEvent::Task(parse(event)?))),
        "lagged" => Ok(Some(ServerEvent::Lagged)),
        _ => Ok(None),
    }
}

fn parse<T: DeserializeOwned>(event: &Event) -> Result<T, Failure> {
    serde_json::from_str(&event.data)
        .map_err(|error| strange(&format!("`{}`: {error}", event.name)))
}

fn strange(what: &impl std::fmt::Display) -> Failure {
    Failure::new(
        Code::Conflict,
        format!("the scheduler sent an event this client does not know: {what}"),
    )
    .hint("is the scheduler of another version?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_mean_what_they_say() {
        let event =
            |name: &str, data: &str| meaning(&Event { name: name.into(), data: data.into() });
        let task = r#"{"idx":3,"phase":"no_quorum","result":null,"replicas":2,"dissents":1,"settled":4,"age_ms":9}"#;
        let Ok(Some(ServerEvent::Task(task))) = event("task", task) else { panic!("a task event") };
        assert_eq!((task.idx, task.settled), (3, 4));
        assert!(matches!(event("lagged", ""), Ok(Some(ServerEvent::Lagged))));
        assert!(matches!(event("later", "?"), Ok(None)));
        assert_eq!(event("order", "{").expect_err("no order").exit, 8);
    }
}
