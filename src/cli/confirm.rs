//! Asks before something is done that cannot be undone.

use std::io::{BufRead, IsTerminal, Write};

/// Whether the person says yes. An error where nobody can be asked.
pub fn confirmed(question: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        anyhow::bail!("nobody can be asked here: say --yes if it is meant");
    }
    print!("{question} [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
