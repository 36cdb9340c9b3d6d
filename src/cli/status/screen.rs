//! A terminal that is drawn again and again, and left as it was found.

use std::io::{self, Write};

use terminal_size::{Height, Width, terminal_size_of};

/// The other screen of the terminal, without a cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub width: usize,
    pub height: usize,
}

/// None where standard output is no terminal.
pub fn size() -> Option<Size> {
    let (Width(width), Height(height)) = terminal_size_of(io::stdout())?;
    // Some say that they have no size at all. The last column stays free: clearing the rest of a line would take what
    // stands there.
    (width > 1 && height > 0).then(|| Size { width: usize::from(width) - 1, height: height.into() })
}

/// As long as it lives, the terminal shows this and nothing else.
pub struct Screen(());

impl Screen {
    /// # Errors
    /// When nobody reads any more.
    pub fn open() -> io::Result<Self> {
        let mut out = io::stdout().lock();
        write!(out, "{ENTER}")?;
        out.flush()?;
        Ok(Self(()))
    }

    /// # Errors
    /// When nobody reads any more.
    pub fn draw(&mut self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(frame(text, size()).as_bytes())?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut out = io::stdout().lock();
        // Where nobody reads there is nothing to restore.
        let _ = write!(out, "{LEAVE}").and_then(|()| out.flush());
    }
}

/// Home, the lines over what is there, and nothing below them: no flicker. What is wider than the terminal, or does not
/// fit on it, would scroll, so it is cut off.
fn frame(text: &str, size: Option<Size>) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let Size { width, height } = size.unwrap_or(Size { width: usize::MAX, height: usize::MAX });
    let room = if lines.len() > height { height - 1 } else { lines.len() };
    let mut shown: Vec<String> = lines.iter().take(room).map(|line| line.chars().take(width).collect()).collect();
    if room < lines.len() {
        let more = format!("... {} more lines: make the window taller, or leave --watch out", lines.len() - room);
        shown.push(more.chars().take(width).collect());
    }
    format!("\x1b[H{}\x1b[K\x1b[J", shown.join("\x1b[K\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_draws_over_the_one_before_and_clears_what_that_left() {
        let size = Some(Size { width: 80, height: 24 });
        assert_eq!(frame("one\n\nthree", size), "\x1b[Hone\x1b[K\n\x1b[K\nthree\x1b[K\x1b[J");
        assert_eq!(frame("one", None), "\x1b[Hone\x1b[K\x1b[J");
    }

    #[test]
    fn a_frame_never_scrolls_the_terminal() {
        let text = (1..=9).map(|line| format!("line {line} is long")).collect::<Vec<_>>().join("\n");
        let drawn = frame(&text, Some(Size { width: 8, height: 3 }));
        assert_eq!(drawn, "\x1b[Hline 1 i\x1b[K\nline 2 i\x1b[K\n... 7 mo\x1b[K\x1b[J");
        assert_eq!(frame(&text, Some(Size { width: 80, height: 9 })).matches('\n').count(), 8);
    }
}
