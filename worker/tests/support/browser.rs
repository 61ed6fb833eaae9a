//! A browser as far as the page's door can tell: requests over a socket, a cookie, an origin; and requests that no
//! browser would send.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Got {
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.head, self.body);
        self
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    /// What the page's forms bring back.
    #[track_caller]
    pub(crate) fn token(&self) -> String {
        let (_, rest) = self.body.split_once("name=\"csrf\" value=\"").expect("a form");
        rest.split('"').next().expect("its end").to_owned()
    }
}

/// Sends bytes, and reads what comes.
pub(crate) fn raw(host: &str, request: &str) -> Got {
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    // A server that refuses early may close before it has read all.
    drop(stream.read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Got { status, head: head.to_owned(), body: body.to_owned() }
}

/// A browser with a page's cookie.
#[derive(Debug)]
pub(crate) struct Browser {
    pub(crate) host: String,
    pub(crate) cookie: String,
}

impl Browser {
    /// Follows the URL that `open` printed.
    #[track_caller]
    pub(crate) fn enter(url: &str) -> Self {
        let (host, path) = url.trim().strip_prefix("http://").unwrap().split_once('/').unwrap();
        let browser = Self { host: host.to_owned(), cookie: String::new() };
        let got = browser.get(&format!("/{path}")).expect(200);
        let cookie = got.header("set-cookie").expect("a cookie");
        assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self { cookie, ..browser }
    }

    pub(crate) fn get(&self, path: &str) -> Got {
        let Self { host, cookie } = self;
        raw(host, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\n\r\n"))
    }

    /// Sends a form as a page of ours would.
    pub(crate) fn post(&self, path: &str, fields: &[(&str, &str)]) -> Got {
        let token = self.get("/").expect(200).token();
        let fields = [&[("csrf", token.as_str())], fields].concat();
        let origin = format!("http://{}", self.host);
        self.form(path, &fields, &[("Origin", &origin), ("Sec-Fetch-Site", "same-origin")])
    }

    /// Sends a form with these headers.
    pub(crate) fn form(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Got {
        let Self { host, cookie } = self;
        let body: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        let (body, mut head) = (body.join("&"), String::new());
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        let kind = "Content-Type: application/x-www-form-urlencoded";
        raw(
            host,
            &format!(
                "POST {path} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\n{head}{kind}\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        )
    }
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|c| match c {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' => char::from(c).to_string(),
            _ => format!("%{c:02X}"),
        })
        .collect()
}
