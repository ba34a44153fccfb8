//! For people: one live line per host while it runs, changes and failures in full, a recap.
//!
//! Without a terminal the output is plain and stable: no live lines, no colour.

use super::clean::clean;
use super::event::{HostRecap, Status, StepEnd};
use super::{Event, Reporter};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use minijinja::Value;
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::time::Duration;

/// Lines of a failed command's output that are shown.
const TAIL: usize = 20;

/// The terminal report.
pub struct Terminal<W: Write + Send> {
    out: W,
    color: bool,
    verbosity: u8,
    live: Option<MultiProgress>,
    bars: HashMap<String, ProgressBar>,
    width: usize,
    /// Failures already shown in full: task place and message, with the first host.
    told: HashMap<(String, String), String>,
    warned: HashSet<String>,
}

impl<W: Write + Send> Terminal<W> {
    /// To this writer. `live` shows a line per host; `verbosity` 1 shows tasks in sync too, 2 results.
    pub fn new(out: W, color: bool, live: bool, verbosity: u8) -> Self {
        Self {
            out,
            color,
            verbosity,
            live: live.then(MultiProgress::new),
            bars: HashMap::new(),
            width: 0,
            told: HashMap::new(),
            warned: HashSet::new(),
        }
    }

    fn line(&mut self, text: &str) {
        // A reader that has gone away is no reason to stop the run.
        match &self.live {
            Some(live) => live.suspend(|| {
                let _ = writeln!(self.out, "{text}");
                let _ = self.out.flush();
            }),
            None => {
                let _ = writeln!(self.out, "{text}");
                let _ = self.out.flush();
            }
        }
    }

    fn paint(&self, status: Status, text: &str) -> String {
        let code = match status {
            Status::Ok => "32",
            Status::Changed => "33",
            Status::Failed | Status::Unreachable => "31;1",
            Status::Skipped => "36",
        };
        self.code(code, text)
    }

    fn code(&self, code: &str, text: &str) -> String {
        if self.color {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn head(&self, end: &StepEnd) -> String {
        let word = if end.ignored {
            "ignored"
        } else if end.rescued {
            "rescued"
        } else {
            end.status.word()
        };
        let word = self.paint(end.status, &format!("{word:<11}"));
        let host = match &end.delegate {
            Some(other) => format!("{} -> {}", end.host, clean(other)),
            None => end.host.to_string(),
        };
        let role = end
            .task
            .role
            .as_ref()
            .map(|role| format!("{role} : "))
            .unwrap_or_default();
        let item = end
            .item
            .as_ref()
            .map(|item| format!(" ({})", short(&clean(item))))
            .unwrap_or_default();
        let handler = if end.task.handler { "handler " } else { "" };
        format!(
            "{word} {host:<width$}  {handler}{role}{}{item}",
            clean(&end.task.name),
            width = self.width
        )
    }

    fn step(&mut self, end: &StepEnd, is_item: bool, looped: bool) {
        let debug = matches!(end.task.module.rsplit('.').next(), Some("debug"));
        let shown = match end.status {
            Status::Failed | Status::Unreachable => true,
            // A loop's items have told already.
            Status::Changed => is_item || !looped,
            Status::Ok => debug && (is_item || !looped) || self.verbosity > 0,
            Status::Skipped => self.verbosity > 0,
        };
        if !shown {
            return;
        }
        let bad = matches!(end.status, Status::Failed | Status::Unreachable);
        let mut head = self.head(end);
        if debug && !bad {
            head = format!("{head}\n{}", indent(&debug_text(end)));
        }
        self.line(&head);
        if bad && (is_item || !looped) {
            self.failure(end);
        }
        for diff in &end.diff {
            let text = super::diff::render(diff, self.color);
            if !text.is_empty() {
                self.line(&indent(&text));
            }
        }
        if self.verbosity > 1 && !end.no_log {
            let text = serde_json::to_string_pretty(&end.result).unwrap_or_default();
            self.line(&indent(&clean(&text)));
        }
    }

    fn failure(&mut self, end: &StepEnd) {
        let msg = end.msg.clone().unwrap_or_else(|| "no message".into());
        let key = (end.task.place.clone(), msg.clone());
        if let Some(first) = self.told.get(&key) {
            let text = format!("same as on {first}: {}", short(&clean(&msg)));
            self.line(&indent(&text));
            return;
        }
        self.told.insert(key, end.host.to_string());
        self.line(&indent(&clean(&msg)));
        if end.status == Status::Failed {
            self.line(&indent(&format!("at {}", end.task.place)));
        }
        for field in ["stderr", "stdout"] {
            let text = end
                .result
                .get_attr(field)
                .ok()
                .and_then(|v| v.as_str().map(str::to_owned));
            let Some(text) =
                text.filter(|text| !text.trim().is_empty() && text.trim() != msg.trim())
            else {
                continue;
            };
            let text = clean(&text);
            let lines: Vec<&str> = text.trim_end().lines().collect();
            let from = lines.len().saturating_sub(TAIL);
            let more = if from > 0 {
                format!(" (last {TAIL} of {} lines)", lines.len())
            } else {
                String::new()
            };
            self.line(&indent(&format!(
                "{field}{more}:\n{}",
                indent(&lines[from..].join("\n"))
            )));
        }
        if let Some(hint) = &end.hint {
            self.line(&indent(&format!("hint: {}", clean(hint))));
        }
    }

    fn bar(&mut self, host: &str, text: &str) {
        let Some(live) = &self.live else { return };
        let width = self.width;
        let bar = self.bars.entry(host.to_owned()).or_insert_with(|| {
            let bar = live.add(ProgressBar::new_spinner());
            // A fixed template of ours: it parses.
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {wide_msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(format!("{host:<width$}"));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        bar.set_message(clean(text).replace('\n', " "));
    }

    fn recap(&mut self, recap: &[HostRecap], interrupted: bool) {
        for (_, bar) in self.bars.drain() {
            bar.finish_and_clear();
        }
        self.line("");
        let title = if interrupted {
            "RECAP (interrupted)"
        } else {
            "RECAP"
        };
        let title = self.code("1", title);
        self.line(&title);
        for host in recap {
            let status = if host.failed > 0 || host.unreachable > 0 {
                Status::Failed
            } else if host.changed > 0 {
                Status::Changed
            } else {
                Status::Ok
            };
            let name = self.paint(
                status,
                &format!("{:<width$}", host.host, width = self.width),
            );
            let mut more = String::new();
            for (count, word) in [(host.rescued, "rescued"), (host.ignored, "ignored")] {
                if count > 0 {
                    more.push_str(&format!(" {word}={count}"));
                }
            }
            let text = format!(
                "{name}  ok={} changed={} failed={} skipped={} unreachable={}{more}  {:.1}s, {} turns",
                host.ok,
                host.changed,
                host.failed,
                host.skipped,
                host.unreachable,
                host.seconds,
                host.turns
            );
            self.line(&text);
        }
    }
}

impl<W: Write + Send> Reporter for Terminal<W> {
    fn event(&mut self, event: &Event) {
        match event {
            Event::RunStart { hosts, .. } => {
                self.width = hosts
                    .iter()
                    .map(|host| host.chars().count())
                    .max()
                    .unwrap_or(0)
                    .min(40);
            }
            Event::PlayStart { name, hosts } => {
                let count = if hosts.len() == 1 {
                    "1 host".to_owned()
                } else {
                    format!("{} hosts", hosts.len())
                };
                let text = self.code("1", &format!("PLAY {} ({count})", clean(name)));
                self.line(&text);
            }
            Event::TaskStart { host, task } => {
                let role = task
                    .role
                    .as_ref()
                    .map(|role| format!("{role} : "))
                    .unwrap_or_default();
                self.bar(host, &format!("{role}{}", task.name));
            }
            Event::Item(end) => self.step(end, true, true),
            Event::Task(end) => {
                let looped = end
                    .result
                    .get_attr("results")
                    .is_ok_and(|r| !r.is_undefined());
                self.step(end, false, looped);
            }
            Event::Warning { host, text } => {
                let about = host
                    .as_ref()
                    .map(|host| format!("{host}: "))
                    .unwrap_or_default();
                let text = format!("{}{about}{}", self.code("35", "warning: "), clean(text));
                if self.warned.insert(text.clone()) {
                    self.line(&text);
                }
            }
            Event::Prompt { text } => {
                let text = format!("{}: ", clean(text));
                match &self.live {
                    Some(live) => live.suspend(|| {
                        let _ = write!(self.out, "{text}");
                        let _ = self.out.flush();
                    }),
                    None => {
                        let _ = write!(self.out, "{text}");
                        let _ = self.out.flush();
                    }
                }
            }
            Event::HostEnd(recap) => {
                if let Some(bar) = self.bars.remove(&recap.host) {
                    bar.finish_and_clear();
                }
            }
            Event::RunEnd { recap, interrupted } => self.recap(recap, *interrupted),
        }
    }
}

/// What `debug` shows.
fn debug_text(end: &StepEnd) -> String {
    let hidden = ["changed", "failed", "skipped", "msg"];
    let msg = end.result.get_attr("msg").unwrap_or_default();
    if !msg.is_undefined() {
        return pretty(&msg);
    }
    let mut lines = Vec::new();
    for key in end.result.try_iter().into_iter().flatten() {
        let name = key.to_string();
        if hidden.contains(&name.as_str())
            || name.starts_with("_ansible")
            || name.starts_with("ansible_")
        {
            continue;
        }
        let value = end.result.get_item(&key).unwrap_or_default();
        if end.item.is_some() && name == "item" {
            continue;
        }
        lines.push(format!("{name}: {}", pretty(&value)));
    }
    lines.join("\n")
}

fn pretty(value: &Value) -> String {
    match value.as_str() {
        Some(text) => clean(text),
        None => clean(&serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())),
    }
}

fn indent(text: &str) -> String {
    text.lines()
        .map(|line| format!("    {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or("");
    if line.chars().count() > 100 {
        format!("{}…", line.chars().take(99).collect::<String>())
    } else {
        line.to_owned()
    }
}
