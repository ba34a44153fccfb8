//! Two names of one machine: each would change it while the other does. Refused before anything is done.

use super::context::{RunContext, flat};
use super::play::{at_start, play_scope, select};
use crate::diag::{Diagnostic, Span};
use std::collections::HashMap;
use std::sync::Arc;

/// Whether every host of each play is a machine of its own, as far as the inventory says. Other users of a machine are others:
/// whoever writes them down means it.
pub(super) fn check(run: &Arc<RunContext>) -> Result<(), Diagnostic> {
    // Where hosts are not taken for one run, nobody promises that it is alone.
    if run.options.lock.is_none() {
        return Ok(());
    }
    for (index, play) in run.plays.iter().enumerate() {
        let scope = play_scope(run, play);
        // What is wrong with its pattern is told when the play comes.
        let Ok(patterns) = run.engine.render(&play.hosts, &scope) else {
            continue;
        };
        let hosts = select(run, play, &flat(&patterns)).unwrap_or_default();
        let mut known = HashMap::new();
        for host in &hosts {
            let (cx, _) = at_start(run, index, host);
            let Some(address) = run.links.address(&cx) else {
                continue;
            };
            if let Some(first) = known.insert(address.clone(), host) {
                let message = format!(
                    "`{host}` and `{first}` are two names of one machine ({}): both would change it at once",
                    address.0
                );
                let place = place(run, host).or_else(|| place(run, first));
                return Err(match place {
                    Some(span) => Diagnostic::error(&span, message),
                    None => Diagnostic::plain(message),
                }
                .hint("a host may be in many groups: give it one name, in each of them; `--no-lock` goes ahead regardless"));
            }
        }
    }
    Ok(())
}

/// Where the inventory says how to reach a host.
fn place(run: &RunContext, host: &str) -> Option<Span> {
    let layers = run.inventory.host_vars_layers(host);
    let said = |name: &str| layers.iter().rev().find_map(|(_, vars)| vars.get(name));
    said("ansible_host")
        .or_else(|| said("ansible_ssh_host"))
        .map(|node| node.span.clone())
}
