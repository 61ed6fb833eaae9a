//! Server-sent events, the part of the format a scheduler uses: `event:` and `data:` lines, comments,
//! a blank line at the end. Bytes come in any pieces. Ids and retry times are not needed: after a
//! break the order is read again.

/// Longest event read, in bytes; the scheduler's have under one kilobyte.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its name, `message` if it has none.
    pub(crate) name: String,
    /// Its data lines, joined by newlines.
    pub(crate) data: String,
}

/// The stream is no event stream.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum SseError {
    /// Far too long to be one of ours.
    #[error("an event is longer than {EVENT_BYTES_MAX} bytes")]
    TooLong,
    /// Not text.
    #[error("an event is not UTF-8")]
    NotText,
}

/// Takes pieces, gives events.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    event: Event,
    has_data: bool,
}

impl Parser {
    /// Takes the next piece and appends the events it completes.
    pub(crate) fn feed(&mut self, piece: &[u8], events: &mut Vec<Event>) -> Result<(), SseError> {
        for byte in piece {
            if *byte != b'\n' {
                self.line.push(*byte);
                if self.line.len() + self.event.data.len() > EVENT_BYTES_MAX {
                    return Err(SseError::TooLong);
                }
                continue;
            }
            let mut line = std::mem::take(&mut self.line);
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            let line = String::from_utf8(line).map_err(|_| SseError::NotText)?;
            events.extend(self.take_line(&line));
        }
        Ok(())
    }

    fn take_line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            return self.end();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.has_data = true;
                self.event.data.push_str(value);
            }
            // Comments have an empty name; other fields are not ours.
            _ => {}
        }
        None
    }

    fn end(&mut self) -> Option<Event> {
        let mut event = std::mem::take(&mut self.event);
        if event.name.is_empty() {
            event.name.push_str("message");
        }
        std::mem::take(&mut self.has_data).then_some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, data: &str) -> Event {
        Event { name: name.into(), data: data.into() }
    }

    const STREAM: &str = ": hello\n\nevent: order\ndata: {\"a\":1}\n\nevent:task\r\ndata:x\r\ndata: é\r\nid: 7\r\n\r\n\
        event: nothing\n\ndata\n\ndata: cut";

    #[test]
    fn events_come_out_whole_however_the_bytes_come_in() {
        let expected = [event("order", "{\"a\":1}"), event("task", "x\né"), event("message", "")];
        for size in 1..STREAM.len() {
            let (mut parser, mut events) = (Parser::default(), Vec::new());
            for piece in STREAM.as_bytes().chunks(size) {
                parser.feed(piece, &mut events).expect("events");
            }
            assert_eq!(events, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_no_event_stream_is_refused() {
        let mut parser = Parser::default();
        assert_eq!(parser.feed(b"data: \xff\n", &mut vec![]), Err(SseError::NotText));
        let mut parser = Parser::default();
        let piece = vec![b'x'; EVENT_BYTES_MAX + 1];
        assert_eq!(parser.feed(&piece, &mut vec![]), Err(SseError::TooLong));
        let mut parser = Parser::default();
        let line = format!("data: {}\n", "x".repeat(1000));
        let many = (0..2000).try_for_each(|_| parser.feed(line.as_bytes(), &mut vec![]));
        assert_eq!(many, Err(SseError::TooLong));
    }
}
