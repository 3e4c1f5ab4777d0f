//! Server-sent events, as far as a pull needs them: the data of each event, out of a body that arrives in pieces.

/// Finds the events.
#[derive(Debug, Default)]
pub struct Parser {
    /// What has arrived and is no whole event yet.
    rest: Vec<u8>,
    /// How much of it is known to have no end of an event.
    looked: usize,
}

impl Parser {
    /// Takes in what has arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        // A line may end with a carriage return, too, and the pieces may be cut anywhere.
        self.rest.extend(bytes.iter().filter(|byte| **byte != b'\r'));
    }

    /// The data of the next event that has come whole. A comment, as servers send to keep a connection, is none.
    pub fn next_data(&mut self) -> Option<String> {
        loop {
            let end = self.rest[self.looked..].windows(2).position(|two| two == b"\n\n");
            let Some(end) = end else {
                self.looked = self.rest.len().saturating_sub(1);
                return None;
            };
            let event: Vec<_> = self.rest.drain(..self.looked + end + 2).collect();
            self.looked = 0;
            let event = String::from_utf8_lossy(&event);
            let data = event.lines().filter_map(|line| line.strip_prefix("data:"));
            let data: Vec<_> = data.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
            if !data.is_empty() {
                return Some(data.join("\n"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_data_finds_each_event_wherever_the_pieces_are_cut() {
        let body =
            ": hello\n\nid: 1\ndata: one\n\ndata:two\r\ndata: lines\r\n\r\nevent: x\n\ndata: \u{e9}\n\ndata: not yet";
        for size in 1..body.len() {
            let (mut parser, mut found) = (Parser::default(), Vec::new());
            for piece in body.as_bytes().chunks(size) {
                parser.feed(piece);
                found.extend(std::iter::from_fn(|| parser.next_data()));
            }
            assert_eq!(found, ["one", "two\nlines", "\u{e9}"], "{size}");
        }
    }
}
