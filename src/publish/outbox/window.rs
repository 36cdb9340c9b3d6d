//! How many requests may be in flight at once: one more when all goes well, half when the target refuses.

/// Additive increase, multiplicative decrease.
#[derive(Debug)]
pub struct Window {
    size: f64,
}

const FIRST: f64 = 4.0;
const MAX: f64 = 10.0;

impl Default for Window {
    fn default() -> Self {
        Self { size: FIRST }
    }
}

impl Window {
    pub fn size(&self) -> usize {
        // Between 1 and 10 by construction.
        self.size as usize
    }

    /// A request was answered: a full window of answers makes room for one more.
    pub fn answered(&mut self) {
        self.size = (self.size + 1.0 / self.size).min(MAX);
    }

    /// The target refused or did not answer.
    pub fn refused(&mut self) {
        self.size = (self.size / 2.0).max(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_halves_on_refusal_and_grows_by_one_after_a_window_of_answers() {
        let mut window = Window::default();
        (0..100).for_each(|_| window.answered());
        assert_eq!(window.size(), 10);
        (0..10).for_each(|_| window.refused());
        assert_eq!(window.size(), 1);
        window.answered();
        assert_eq!(window.size(), 2);
    }
}
