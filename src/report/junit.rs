//! JUnit XML: a suite per host, a case per task.

use super::event::{Status, StepEnd};
use super::{Event, Reporter};
use indexmap::IndexMap;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::io::Write;

/// Collects tasks and writes the report when the run ends.
pub struct Junit<W: Write + Send> {
    out: W,
    hosts: IndexMap<String, Vec<TestCase>>,
}

impl<W: Write + Send> Junit<W> {
    /// To this writer.
    pub fn new(out: W) -> Self {
        Self {
            out,
            hosts: IndexMap::new(),
        }
    }
}

impl<W: Write + Send> Reporter for Junit<W> {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Task(end) => {
                self.hosts
                    .entry(end.host.to_string())
                    .or_default()
                    .push(case(end));
            }
            Event::RunEnd { .. } => {
                let mut report = Report::new("mini-play");
                for (host, cases) in self.hosts.drain(..) {
                    let mut suite = TestSuite::new(host);
                    suite.add_test_cases(cases);
                    report.add_test_suite(suite);
                }
                // A reader that has gone away is no reason to fail the run.
                let _ = report.serialize(&mut self.out);
            }
            _ => {}
        }
    }
}

fn case(end: &StepEnd) -> TestCase {
    let status = match end.status {
        Status::Failed | Status::Unreachable if !end.ignored && !end.rescued => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(end.msg.as_deref().unwrap_or("failed"));
            status.set_type(end.status.word());
            status
        }
        Status::Skipped => TestCaseStatus::skipped(),
        _ => TestCaseStatus::success(),
    };
    let role = end
        .task
        .role
        .as_ref()
        .map(|role| format!("{role} : "))
        .unwrap_or_default();
    let mut case = TestCase::new(format!("{role}{}", end.task.name), status);
    case.set_classname(end.task.place.as_str());
    case.set_time(end.elapsed);
    case
}
