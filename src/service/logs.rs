//! The last lines of a service's log, and those after them.

use super::carried::Service;
use crate::diag::{Source, Span};
use crate::playbook::ast::VarMap;
use crate::report::clean::clean;
use crate::report::event::{Status, StepEnd};
use crate::report::{Event, Reporter};
use crate::yaml::{Kind, Node};
use indexmap::IndexMap;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

/// Variable with the place up to which a service's log was read.
fn cursor(number: usize) -> String {
    format!("_mini_play_cursor_{number}")
}

/// Arguments: unit, lines, cursor. The journal, else the files in which daemons of that name write.
const SCRIPT: &str = r#"u=${1%.service}
if [ -d /run/systemd/system ] && command -v journalctl >/dev/null; then
  if [ "$3" ]; then exec journalctl --no-pager -q -o short-iso --show-cursor -u "$u" --after-cursor "$3"; fi
  exec journalctl --no-pager -q -o short-iso --show-cursor -u "$u" -n "$2"
fi
[ "$3" ] && { echo 'only the journal of systemd can be followed' >&2; exit 1; }
for f in "/var/log/upstart/$u.log" "/var/log/$u/$u.log" "/var/log/$u.log"; do
  [ -r "$f" ] && exec tail -n "$2" "$f"
done
grep -h " $u[][0-9]*:" /var/log/syslog /var/log/messages 2>/dev/null | tail -n "$2"
"#;

/// The command that reads the log of a unit, `number` being the service's place in the list.
pub(super) fn command(unit: &Node, lines: u32, number: usize) -> Node {
    let plain = |kind: Kind| Node {
        kind,
        span: unit.span.clone(),
    };
    let text = |text: &str| plain(Kind::Unsafe(text.into()));
    let lines = lines.to_string();
    let cursor = format!("{{{{ {} | default('') }}}}", cursor(number));
    let cursor = Node::string(cursor, &unit.span);
    let words = [
        text("sh"),
        text("-c"),
        text(SCRIPT),
        text("sh"),
        unit.clone(),
        text(&lines),
        cursor,
    ];
    plain(Kind::Seq(words.into()))
}

/// Shows log lines as they come, each behind its host and service. A clone shares what was read.
#[derive(Clone, Default)]
pub struct Tail {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// By host and service.
    cursors: IndexMap<(String, String), String>,
    text: String,
    failed: bool,
}

impl Tail {
    /// What came since the last call.
    #[must_use]
    pub fn take(&self) -> String {
        std::mem::take(&mut self.lock().text)
    }

    /// Whether a host's log could not be read.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.lock().failed
    }

    /// Where the next read goes on, as variables of the hosts.
    #[must_use]
    pub fn cursors(&self, services: &[Service]) -> HashMap<String, VarMap> {
        let span = Span::head(&Source::new("<service>", ""));
        let mut vars: HashMap<String, VarMap> = HashMap::new();
        for ((host, name), place) in &self.lock().cursors {
            let Some(number) = services.iter().position(|service| service.name == *name) else {
                continue;
            };
            let place = Node {
                kind: Kind::Unsafe(place.as_str().into()),
                span: span.clone(),
            };
            let own = vars.entry(host.clone()).or_default();
            own.insert(cursor(number).into(), place);
        }
        vars
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, end: &StepEnd) {
        let mut state = self.lock();
        let field = |name: &str| {
            let value = end.result.get_attr(name).unwrap_or_default();
            clean(value.as_str().unwrap_or_default())
        };
        let head = format!("{} {}", end.host, end.task.name);
        if matches!(end.status, Status::Failed | Status::Unreachable) {
            state.failed = true;
            let why = field("stderr");
            let why = if why.trim().is_empty() {
                clean(end.msg.as_deref().unwrap_or("failed"))
            } else {
                why
            };
            let _ = writeln!(state.text, "{head}: {}", why.trim());
            return;
        }
        for line in field("stdout").lines() {
            if let Some(cursor) = line.strip_prefix("-- cursor: ") {
                let key = (end.host.to_string(), end.task.name.clone());
                state.cursors.insert(key, cursor.to_owned());
            } else {
                let _ = writeln!(state.text, "{head}  {line}");
            }
        }
    }
}

impl Reporter for Tail {
    fn event(&mut self, event: &Event) {
        if let Event::Task(end) = event
            && end.task.module != "setup"
        {
            self.read(end);
        }
    }
}
